//! Somebody in the room: their peer and what is known of them.

use std::time::Instant;

use super::peer::Peer;
use super::{ABSENT_AFTER, CONNECT_TIMEOUT, GONE_AFTER, UNSTABLE_AFTER, VIEWPORT_PATIENCE};
use crate::text::SafeText;
use crate::units::{Bitrate, Size};

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
    pub(super) failed: bool,
    pub(super) said_bye: bool,
    /// What they can show, and at what rate.
    pub(super) viewport: Option<(Size, u32)>,
    /// The wait for a viewport is over.
    pub(super) impatient: bool,
    pub(super) estimate: Option<Bitrate>,
    desired: Bitrate,
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
            failed: false,
            said_bye: false,
            viewport: None,
            impatient: false,
            estimate: None,
            desired: Bitrate::default(),
        }
    }

    /// When the peer or one of the clocks is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        let clock = match self.connected {
            None if self.failed => None,
            None => Some(self.since + CONNECT_TIMEOUT),
            Some(at) if self.viewport.is_none() && !self.impatient => Some(at + VIEWPORT_PATIENCE),
            Some(_) => {
                let limit = match (self.unstable, self.presence) {
                    (false, _) => UNSTABLE_AFTER,
                    (true, Presence::Lost) => ABSENT_AFTER,
                    (true, Presence::Here) => GONE_AFTER,
                };
                Some(self.peer.last_heard() + limit)
            }
        };
        let peer = self.peer.poll_timeout();
        clock.map_or(peer, |at| at.min(peer))
    }

    /// Says to the bandwidth estimate what would be used, where that changed.
    pub(super) fn desire(&mut self, bitrate: Bitrate, now: Instant) {
        if self.desired != bitrate {
            self.desired = bitrate;
            self.peer.set_desired_bitrate(bitrate, now);
        }
    }

    /// What is known about a path that was not found.
    pub(super) fn why_no_path(&self) -> String {
        if !self.peer.is_described() {
            return format!("{} did not answer; is that facetty still running?", self.name);
        }
        format!(
            "no packet of {} came through: a firewall or NAT is in the way of UDP; try a network that both \
             sides share",
            self.name
        )
    }
}
