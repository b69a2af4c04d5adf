//! Somebody in the room: their peer and what is known of them.

use std::time::{Duration, Instant};

use super::control::Control;
use super::events::Way;
use super::paths::{Paths, Transport};
use super::peer::Peer;
use super::rate::ration::Ration;
use super::{ABSENT_AFTER, CONNECT_TIMEOUT, GONE_AFTER, UNSTABLE_AFTER};
use crate::text::SafeText;
use crate::units::Size;

/// Until a viewport comes (a browser without the channel never sends one) so much is sent.
const DEFAULT_VIEWPORT: (Size, u32) = (Size::new(320, 180), 30);

/// How long the sender waits for the viewport before it sends [`DEFAULT_VIEWPORT`].
const VIEWPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Another path is sought at once by the side that calls, and by the other one so much later: long enough for
/// the first one's offer to come by a slow way.
const SEEK_LATER: Duration = Duration::from_millis(700);

/// Until a path is sought again after none was found; it doubles with each try, up to the longest.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// Lines of chat that wait for the way to somebody; a program could write more than anybody reads.
const MAX_UNSAID: usize = 256;

/// A clock of somebody's that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// No path was found in time.
    NoPath,
    /// They did not say what they can show; [`DEFAULT_VIEWPORT`] is assumed.
    NoViewport,
    /// Nothing has come for a while.
    Unstable,
    /// Still nothing: another path is to be sought.
    Seek,
    /// Something comes again.
    Restored,
    /// Nothing has come for so long that the path is lost, or they are.
    Gone,
    /// The next try to find a path is due.
    Retry,
}

/// Where somebody stands with the meeting point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    Lost,
}

pub(super) struct Someone {
    pub(super) name: SafeText,
    pub(super) peer: Peer,
    pub(super) presence: Presence,
    pub(super) since: Instant,
    pub(super) connected: Option<Instant>,
    pub(super) unstable: bool,
    /// When the own end of the path went away; nothing has come since.
    pub(super) cut: Option<Instant>,
    pub(super) failed: bool,
    /// Tries to find a path anew since there last was one.
    pub(super) tries: u32,
    /// When the next one is due, where that is up to this side.
    pub(super) retry: Option<Instant>,
    /// When the own socket came back while they seemed to be connected.
    pub(super) rejoined: Option<Instant>,
    /// When another path is to be sought, while nothing comes.
    pub(super) seek: Option<Instant>,
    pub(super) said_bye: bool,
    /// What they can show, and at what rate.
    pub(super) viewport: Option<(Size, u32)>,
    /// What is made of the pictures for them.
    pub(super) ration: Ration,
    /// Chat that waits for a channel that is heard.
    unsaid: Vec<SafeText>,
}

impl Someone {
    pub(super) fn new(name: SafeText, peer: Peer, now: Instant) -> Self {
        Self {
            name,
            peer,
            presence: Presence::Here,
            since: now,
            connected: None,
            unstable: false,
            cut: None,
            failed: false,
            tries: 0,
            retry: None,
            rejoined: None,
            seek: None,
            said_bye: false,
            viewport: None,
            ration: Ration::default(),
            unsaid: Vec::new(),
        }
    }

    /// Begins anew with a fresh peer; who they are stays.
    pub(super) fn renew(&mut self, peer: Peer, now: Instant) {
        let fresh = Self::new(self.name.clone(), peer, now);
        let old = std::mem::replace(self, fresh);
        (self.presence, self.tries) = (old.presence, old.tries);
        self.unsaid = old.peer.unsaid().chain(old.unsaid).collect();
    }

    /// Sends a line of chat; while the channel is not open, or nothing comes by it, it is kept.
    pub(super) fn say(&mut self, text: SafeText, now: Instant) {
        if self.unsaid.len() < MAX_UNSAID {
            self.unsaid.push(text);
        }
        self.say_kept(now);
    }

    /// Sends the chat that was kept, if it can go now.
    pub(super) fn say_kept(&mut self, now: Instant) {
        if self.peer.is_talking() && !self.unstable {
            for text in std::mem::take(&mut self.unsaid) {
                self.peer.send_control(&Control::Chat { text }, now);
            }
        }
    }

    /// There is a path, and something came over it just now.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.peer.last_heard());
        self.peer.is_connected() && self.peer.is_alive() && silence < UNSTABLE_AFTER
    }

    /// The call with them can go on over another path: they have not been silent for so long that they
    /// would have given this side up.
    pub(super) fn is_kept(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.peer.last_heard());
        self.peer.is_connected() && self.peer.is_alive() && silence < ABSENT_AFTER
    }

    /// The own end of the path went away: nothing can come by it.
    pub(super) fn cut(&mut self, now: Instant) {
        (self.cut, self.unstable) = (Some(now), true);
    }

    /// How the path to them leads.
    pub(super) fn way(&self, paths: &Paths) -> Way {
        let (local, remote) = self.peer.path_kinds(paths.candidates());
        let relayed_by = self.peer.source().and_then(|own| paths.transport_of(own));
        let transport = relayed_by.unwrap_or(Transport::Udp).word();
        Way {
            local,
            remote,
            transport,
        }
    }

    /// Another path is sought, unless the other side does so first.
    pub(super) fn seek_later(&mut self, now: Instant) {
        self.seek = Some(now + SEEK_LATER);
    }

    /// Nothing comes, and another path is needed.
    pub(super) fn needs_path(&self) -> bool {
        self.connected.is_some() && self.unstable
    }

    /// No path was found: when the next try is due, for the side that makes it.
    pub(super) fn plan_retry(&mut self, now: Instant) {
        let wait = RETRY_AFTER.saturating_mul(1 << self.tries.min(8));
        self.retry = Some(now + wait.min(RETRY_AT_MOST));
    }

    /// When the peer or one of the clocks is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        let clock = match self.connected {
            None if self.failed => self.retry,
            None => Some(self.since + CONNECT_TIMEOUT),
            Some(at) => {
                let patience = if self.unstable {
                    self.patience()
                } else {
                    UNSTABLE_AFTER
                };
                let seek = self.seek.filter(|_| self.unstable);
                let silent = self.peer.last_heard() + patience;
                let silent = seek.map_or(silent, |at| at.min(silent));
                let viewport = self.viewport.is_none().then(|| at + VIEWPORT_PATIENCE);
                Some(viewport.map_or(silent, |due| due.min(silent)))
            }
        };
        let peer = self.peer.poll_timeout();
        clock.map_or(peer, |at| at.min(peer))
    }

    /// Looks at the clocks. Each tells once that it ran out.
    pub(super) fn look(&mut self, now: Instant) -> Option<Alarm> {
        let Some(connected) = self.connected else {
            if self.retry.take_if(|at| now >= *at).is_some() {
                return Some(Alarm::Retry);
            }
            let late = !self.failed && now >= self.since + CONNECT_TIMEOUT;
            self.failed |= late;
            return late.then_some(Alarm::NoPath);
        };
        let silence = now.saturating_duration_since(self.peer.last_heard());
        if silence >= self.patience() {
            return Some(Alarm::Gone);
        }
        if self.viewport.is_none() && now >= connected + VIEWPORT_PATIENCE {
            self.viewport = Some(DEFAULT_VIEWPORT);
            return Some(Alarm::NoViewport);
        }
        self.cut = self.cut.filter(|at| self.peer.last_heard() <= *at);
        let unstable = self.cut.is_some() || silence >= UNSTABLE_AFTER;
        let changed = unstable != self.unstable;
        self.unstable = unstable;
        if changed {
            self.seek = None;
        } else if unstable && self.seek.take_if(|at| now >= *at).is_some() {
            return Some(Alarm::Seek);
        }
        changed.then_some(if unstable {
            Alarm::Unstable
        } else {
            Alarm::Restored
        })
    }

    /// The silence after which the path is given up.
    fn patience(&self) -> Duration {
        match self.presence {
            Presence::Here => GONE_AFTER,
            Presence::Lost => ABSENT_AFTER,
        }
    }

    /// What is known about a path that was not found: what was tried, what answered, what to do.
    /// `is_met`: the meeting point is there.
    pub(super) fn why_no_path(&self, paths: &Paths, is_met: bool) -> String {
        let name = &self.name;
        if !is_met {
            return format!(
                "the meeting point is lost, and without it no way to {name} can be agreed upon; see that it runs \
                 and is reached, and it goes on by itself"
            );
        }
        if !self.peer.is_described() {
            return format!("{name} did not answer; is that facetty still running?");
        }
        let tried = match paths.report() {
            report if report.is_empty() => String::new(),
            report => format!(" ({report})"),
        };
        let remedy = if paths.has_relay() {
            "the own relay answers, but does not reach them: let it (--turn-allow-private), or name another"
        } else if paths.is_relay_offered() {
            "no relay can be had: check its address, user and password, and firewalls on the way to it"
        } else if paths.is_mapping_dependent() == Some(true) {
            "this side is behind a NAT that changes ports, and no relay was offered: run facetty serve on a \
             public machine"
        } else {
            "a firewall or NAT is in the way, and no relay was offered: run facetty serve on a public machine, or \
             try a network that both sides share"
        };
        format!("no packet of {name} came through{tried}; {remedy}")
    }
}
