//! What happened at one person's peer, and what the call makes of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use str0m::net::Transmit;

use super::control::{self, Control, VideoId, VideoKind};
use super::figures::Figures;
use super::people::{Alarm, Presence};
use super::{Call, Event, Output, PathState, rate};
use crate::signal::message::PeerId;
use crate::units::Size;

/// Silence so soon after the own socket came back means that the other side had given up.
const REJOINED: Duration = Duration::from_secs(5);

/// Another path is sought again after so long, as long as nothing comes.
const SEEK_AGAIN: Duration = Duration::from_secs(4);

/// Something happened that changes the call.
#[derive(Debug)]
pub(super) enum News {
    /// They may send from this address.
    Far(IpAddr),
    /// A packet to be sent by an own relay.
    Relay(Transmit),
    Connected,
    Disconnected,
    /// The connection cannot go on, and why.
    Broken(String),
    /// The own end of the path is gone.
    Cut,
    ChannelOpen,
    Control(Control),
    /// They share a screen, or no more.
    Screen(bool),
    KeyframeWanted,
    /// Something is thought of the line that was not before.
    Line,
    /// Of the last second.
    Figures(Box<Figures>),
    Alarm(Alarm),
}

impl Call {
    pub(super) fn handle_news(&mut self, id: &PeerId, news: News, now: Instant) {
        match news {
            News::Far(ip) => self.paths.permit(ip, now),
            News::Relay(Transmit {
                source,
                destination,
                contents,
                ..
            }) => {
                // Of a relay that is gone meanwhile, it is lost.
                self.paths.relay(source, destination, contents.into(), now);
            }
            News::Connected => self.handle_connected(id, now),
            News::Disconnected => self.handle_disconnected(id, now),
            News::Broken(why) => self.handle_broken(id, &why, now),
            News::Cut => self.handle_cut(id, now),
            News::ChannelOpen => self.handle_channel(id, now),
            News::Control(message) => self.handle_control(id, message, now),
            News::Screen(on) => self.handle_screen(id, on),
            News::KeyframeWanted => self.handle_keyframe_wanted(id, now),
            News::Line => self.assign(now),
            News::Figures(mut figures) => {
                figures.limit = self.limit_of(id);
                let someone = self.people.get(id);
                let line = someone.map(|someone| someone.peer.line().capacity());
                let connected = someone.filter(|someone| someone.connected.is_some());
                figures.way = connected.map(|someone| someone.way(&self.paths));
                let line = rate::lesser(line, self.config.max_bitrate);
                self.reports.take(id, &figures, line.unwrap_or_default());
                self.out.push_back(Output::VoiceTune(self.reports.tune()));
                self.out.push_back(Output::Event(Event::Figures {
                    peer: id.clone(),
                    figures: *figures,
                }));
            }
            News::Alarm(alarm) => self.handle_alarm(id, alarm, now),
        }
    }

    fn handle_connected(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        someone.connected = Some(now);
        (someone.failed, someone.retry, someone.tries) = (false, None, 0);
        let way = someone.way(&self.paths);
        let agreed = someone.peer.agreed();
        let after = now.saturating_duration_since(someone.since);
        self.out.push_back(Output::Event(Event::Connected {
            peer: id.clone(),
            after,
            way,
            agreed,
        }));
        self.check_agreement(id);
        self.assign(now);
    }

    fn handle_disconnected(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if someone.said_bye || (someone.presence == Presence::Lost && !someone.peer.is_alive()) {
            self.part(id, "left", now);
        }
    }

    fn handle_cut(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id).filter(|s| s.connected.is_some()) else {
            return;
        };
        someone.cut(now);
        let since = someone.peer.last_heard();
        let why = "the address that the path began at is gone".to_owned();
        self.path(id, PathState::Unstable { since }, why);
        self.seek(id, now);
    }

    fn handle_channel(&mut self, id: &PeerId, now: Instant) {
        let hello = Control::Hello {
            name: self.config.name.clone(),
            version: control::VERSION,
            renews: true,
        };
        let mute = self.mute_message();
        let viewports: Vec<_> = [VideoKind::Camera, VideoKind::Screen]
            .into_iter()
            .filter_map(|kind| {
                let (size, fps) = self.viewports.get(&VideoId::new(id.clone(), kind))?;
                Some(Control::viewport(kind, *size, *fps))
            })
            .collect();
        self.with(id, now, |someone| {
            // The viewport first: it is what the other side waits for.
            for message in viewports.iter().chain([&hello, &mute]) {
                someone.peer.send_control(message, now);
            }
            someone.say_kept(now);
        });
    }

    fn handle_control(&mut self, id: &PeerId, message: Control, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        match message {
            Control::Hello { name, renews, .. } => {
                someone.peer.set_renews(renews);
                if someone.name != name {
                    someone.name = name.clone();
                    self.out.push_back(Output::Event(Event::Renamed {
                        peer: id.clone(),
                        name,
                    }));
                }
            }
            Control::Viewport {
                width,
                height,
                fps,
                of: VideoKind::Camera,
            } => {
                someone.viewport = Some((Size::new(width, height), fps));
                self.assign(now);
            }
            // No screen is shared from here.
            Control::Viewport { .. } => {}
            Control::Media { mid, what } => {
                self.with(id, now, |someone| someone.peer.name_line(&mid, what));
            }
            Control::Mute { mic, camera, screen } => {
                if camera {
                    someone.peer.picture_pauses();
                }
                self.with(id, now, |someone| someone.peer.set_said_screen(screen));
                self.out.push_back(Output::Event(Event::Mute {
                    peer: id.clone(),
                    mic,
                    camera,
                }));
            }
            Control::Chat { text } if text.is_empty() => {}
            Control::Chat { text } => self.out.push_back(Output::Event(Event::Chat {
                peer: id.clone(),
                text,
            })),
            Control::Bye => {
                someone.said_bye = true;
                self.part(id, "left", now);
            }
        }
    }

    pub(super) fn handle_screen(&mut self, id: &PeerId, on: bool) {
        if !on {
            self.viewports
                .remove(&VideoId::new(id.clone(), VideoKind::Screen));
        }
        self.out
            .push_back(Output::Event(Event::Screen { peer: id.clone(), on }));
    }

    fn handle_keyframe_wanted(&mut self, id: &PeerId, now: Instant) {
        let target = self.targets.target_of(id).map(|target| target.id);
        // What is asked for while one is under way is that one.
        let apart = self
            .people
            .get(id)
            .and_then(|someone| someone.peer.line().round_trip());
        if target.is_some_and(|target| {
            self.targets
                .request_keyframe(target, apart.unwrap_or_default(), now)
        }) {
            self.announce_targets();
        }
    }

    /// The connection broke by what was said on it, not by silence.
    fn handle_broken(&mut self, id: &PeerId, why: &str, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if someone.connected.is_none() {
            if std::mem::replace(&mut someone.failed, true) {
                return;
            }
            let why = format!("the encrypted connection to {} was refused: {why}", someone.name);
            self.give_up(id, why, now);
        } else if someone.presence == Presence::Here && !someone.said_bye {
            self.restart(id, now);
        } else {
            self.handle_disconnected(id, now);
        }
    }

    /// There is no path to somebody for now.
    fn give_up(&mut self, id: &PeerId, why: String, now: Instant) {
        let calls = self.makes_calls_to(id);
        if let Some(someone) = self.people.get_mut(id)
            && calls
        {
            someone.plan_retry(now);
        }
        self.path(id, PathState::Failed, why);
    }

    fn handle_alarm(&mut self, id: &PeerId, alarm: Alarm, now: Instant) {
        let Some(someone) = self.people.get(id) else {
            return;
        };
        match alarm {
            Alarm::Gone if someone.presence == Presence::Lost => self.part(id, "lost", now),
            Alarm::Gone | Alarm::Retry => self.restart(id, now),
            Alarm::NoViewport => self.assign(now),
            Alarm::NoPath => self.give_up(id, someone.why_no_path(&self.paths, self.is_met), now),
            Alarm::Seek => self.seek(id, now),
            Alarm::Unstable => {
                // So soon after the own socket came back they may have given up, and wait to be asked.
                let rejoined = someone.rejoined.is_some_and(|at| now < at + REJOINED);
                let since = someone.peer.last_heard();
                let why = "nothing has come for two seconds".to_owned();
                self.path(id, PathState::Unstable { since }, why);
                // One side asks; the other only if that one does not notice, or cannot be heard either.
                let calls = rejoined || self.makes_calls_to(id);
                if let Some(someone) = self.people.get_mut(id) {
                    match calls {
                        true => someone.seek = Some(now),
                        false => someone.seek_later(now),
                    }
                }
            }
            Alarm::Restored => {
                let way = someone.way(&self.paths);
                self.path(id, PathState::Restored(way), "packets come again".to_owned());
                self.with(id, now, |someone| someone.say_kept(now));
            }
        }
    }

    /// Seeks another path for a connection that stays otherwise: an ICE restart (RFC 8445, 2.4).
    pub(super) fn seek(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        someone.seek = Some(now + SEEK_AGAIN);
        // For all at once: to ask anew drops what is being asked.
        if self.doubted.is_none_or(|at| now >= at + SEEK_AGAIN) {
            self.doubted = Some(now);
            self.paths.doubt(now);
        }
        if someone.presence == Presence::Here && someone.peer.is_described() {
            let why = "nothing comes by this path; another is sought".to_owned();
            self.path(id, PathState::Restarting, why);
            self.with(id, now, |someone| someone.peer.restart_ice(now));
        }
    }

    pub(super) fn path(&mut self, id: &PeerId, state: PathState, why: String) {
        self.out.push_back(Output::Event(Event::Path {
            peer: id.clone(),
            state,
            why,
        }));
    }

    fn check_agreement(&mut self, id: &PeerId) {
        let Some(someone) = self.people.get(id).filter(|s| s.peer.is_described()) else {
            return;
        };
        if someone.peer.agreed().video.is_none() {
            let ours: Vec<_> = self.config.codecs.iter().map(ToString::to_string).collect();
            let message = format!(
                "no common video codec: {} takes none of {}; leave --codec at auto on both sides",
                someone.name,
                ours.join(", ")
            );
            self.fail(id, "no-common-codec", message);
        }
    }
}
