//! What happens beside the call itself: clocks, sound, the camera, and the meeting point.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Driver, join};
use crate::io::error::CallError;
use crate::io::front::Happening;
use crate::io::meet::Meeting;
use crate::io::servers::ServerEvent;
use crate::io::socket::{self, SocketError, SocketEvent};
use crate::io::sound::{SoundCommand, SoundEvent};
use crate::io::source::SourceEvent;
use crate::ui::state::Tone;

impl Driver {
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.ends.is_some_and(|ends| now >= ends) {
            self.reason = Some("duration");
        }
        if let Some(second) = self.second.filter(|second| now >= *second) {
            self.second = Some((second + Duration::from_secs(1)).max(now));
            self.tell(&Happening::Second, now);
        }
    }

    pub(super) fn handle_sound(&mut self, event: SoundEvent, now: Instant) {
        match event {
            SoundEvent::Voice { time, data, .. } => self.call.send_voice(&Arc::from(data), time, now),
            SoundEvent::PeerStats(peer, stats) => {
                let floor = self.call.set_voice_delay(&peer, stats.to_ear);
                self.sound.send(SoundCommand::Floor(peer.clone(), floor));
                self.voices.insert(peer, stats);
            }
            SoundEvent::Choices(devices) => {
                let (mic, speaker) = (self.options.mic.clone(), self.options.speaker.clone());
                self.tell(&Happening::Choices(&devices, &mic, &speaker), now);
            }
            event => {
                if let SoundEvent::Devices { has_mic, .. } = event {
                    self.call.set_microphone(has_mic, now);
                }
                self.tell(&Happening::Sound(&event), now);
            }
        }
    }

    pub(super) fn handle_source(&mut self, event: SourceEvent, now: Instant) {
        match event {
            SourceEvent::Ready { size, .. } => {
                self.call.set_source(Some(size), now);
                self.tell(&Happening::Camera(true), now);
            }
            SourceEvent::Failed(why) => {
                self.call.set_source(None, now);
                self.tell(&Happening::Camera(false), now);
                self.tell(&Happening::Tell(Tone::Warning, &why), now);
            }
            SourceEvent::Lost(why) => {
                self.call.set_source(None, now);
                self.encoding.forget();
                self.tell(&Happening::Camera(false), now);
                self.tell(&Happening::Tell(Tone::Warning, &why), now);
            }
            SourceEvent::Back { size } => {
                self.call.set_source(Some(size), now);
                self.tell(&Happening::Camera(true), now);
                self.tell(&Happening::Tell(Tone::Info, "the camera is back"), now);
            }
            SourceEvent::Ended => {
                self.tell(
                    &Happening::Tell(Tone::Warning, "the input ended; its last picture stays"),
                    now,
                );
            }
        }
    }

    pub(super) fn handle_socket(&mut self, event: SocketEvent, now: Instant) -> Result<(), CallError> {
        match event {
            SocketEvent::Message(message) => self.call.handle_server(message, now),
            SocketEvent::Up => {
                self.meeting.handle_back();
                self.call.set_meeting_point(true);
                self.tell(&Happening::Signaling { up: true, why: "" }, now);
            }
            SocketEvent::Down { stood, why, .. } => {
                self.meeting.handle_lost(self.call.rank(), false);
                self.call.set_meeting_point(false);
                if stood {
                    let why = format!("the meeting point is lost: {why}; it is tried again");
                    self.tell(&Happening::Signaling { up: false, why: &why }, now);
                } else {
                    tracing::info!(why, "the meeting point is not back");
                }
            }
            SocketEvent::Failed(error) => {
                let why = error.to_string();
                match error {
                    SocketError::Unreachable { .. } if self.meeting.handle_lost(self.call.rank(), true) => {}
                    error if self.call.is_connected() => self.refused = Some(error),
                    error => return Err(error.into()),
                }
                self.call.set_meeting_point(false);
                self.tell(&Happening::Signaling { up: false, why: &why }, now);
            }
        }
        Ok(())
    }

    pub(super) fn handle_server(&mut self, event: ServerEvent, now: Instant) {
        match event {
            ServerEvent::Resolved(id, found) => self.call.handle_resolved(id, found, now),
            ServerEvent::Connected(id, leg) => self.call.handle_server_connected(id, leg, now),
            ServerEvent::Bytes(id, bytes) => self.call.handle_server_bytes(id, &bytes, now),
            ServerEvent::Closed(id, why) => self.call.handle_server_closed(id, &why, now),
        }
    }

    /// The network changed, or what tells of it is no more.
    pub(super) fn handle_network(&mut self, changed: std::io::Result<()>, now: Instant) {
        if let Err(error) = changed {
            tracing::warn!(%error, "changes of the network are not noticed any more");
            self.network = None;
        }
        let Some(change) = self.udp.update() else {
            return;
        };
        tracing::info!(?change, "the network changed");
        // What came first, so that there is something to offer in place of what went.
        for address in change.new {
            self.call.add_local_address(address, now);
        }
        for address in change.gone {
            self.call.remove_local_address(address, now);
        }
        self.socket.doubt();
        self.call.handle_network(now);
    }

    /// Meets the others at another server; who is known stays known, and calls go on.
    pub(super) fn handle_moved(&mut self, meeting: Meeting, now: Instant) {
        self.refused = None;
        self.meeting = meeting;
        self.socket = socket::connect(join(&self.options, &self.meeting.server, &self.key));
        let invite = self.meeting.invite.clone();
        self.tell(&Happening::Invite(&invite), now);
        if self.meeting.hosted {
            self.tell(&Happening::Serving(&invite), now);
        }
    }
}
