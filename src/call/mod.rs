//! The call: the people in a room, a peer for each, and what flows between them. Sans-IO: packets,
//! messages, encoded media and the time go in by `handle_*` and `send_*`; [`Call::poll_output`] says
//! what to do, [`Call::poll_timeout`] when to come back.
//!
//! The newcomer to a room calls everyone who is there: it takes its local stream, makes the offer,
//! sends description and candidates, and shows the remote stream. The callee answers, sends its
//! candidates, and shows the remote stream. Should both call at the same time, the one with the
//! smaller identity gives way (it is "polite", as in the perfect negotiation of the WebRTC
//! specification, 10.7).

pub mod control;
mod events;
pub mod figures;
mod peer;
mod people;
pub mod rate;
pub mod targets;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Input;
use str0m::net::{Protocol, Receive};

use self::control::Control;
use self::peer::{Peer, PeerOutput};
use self::people::{Presence, Someone};
use self::targets::{TargetId, Targets, Want};
use crate::media::video::VideoCodec;
use crate::signal::message::{Body, ClientMessage, LeaveReason, Member, PeerId, ServerMessage};
use crate::text::SafeText;
use crate::units::{Bitrate, Size};

pub use self::events::{Event, Output, PathState};
pub use self::peer::{Agreed, NegotiationError, VideoFrame};

/// A path is sought for so long before that is said; loss can cost DTLS 4 s, so not less than 10 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Silence of a connected person after which the line counts as unstable; voice alone is 50 packets a
/// second, and ICE and RTCP speak at least once a second.
pub const UNSTABLE_AFTER: Duration = Duration::from_secs(2);

/// Silence after which somebody whose socket is gone as well is taken to have left.
pub const ABSENT_AFTER: Duration = Duration::from_secs(8);

/// Silence after which anybody is taken to have left.
pub const GONE_AFTER: Duration = Duration::from_secs(30);

/// Until a viewport comes (a browser without the channel never sends one) so much is sent.
const DEFAULT_VIEWPORT: Size = Size::new(320, 180);

/// How long the sender waits for the viewport before it sends [`DEFAULT_VIEWPORT`].
const VIEWPORT_PATIENCE: Duration = Duration::from_secs(1);

/// How this person takes part.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// The own name.
    pub name: SafeText,
    /// Codecs to offer and take, best first.
    pub codecs: Vec<VideoCodec>,
    /// The most that is sent to one person, voice included.
    pub max_bitrate: Option<Bitrate>,
    /// Pictures a second, at most.
    pub fps: u32,
    /// The microphone is on.
    pub mic_on: bool,
    /// The camera is on.
    pub camera_on: bool,
}

/// An encoded picture to send.
#[derive(Clone, Debug)]
pub struct EncodedVideo {
    /// The encoder that made it.
    pub target: TargetId,
    /// The codec's bytes.
    pub data: Arc<[u8]>,
    /// It needs no picture before it.
    pub keyframe: bool,
    /// When it was taken, since the start.
    pub time: Duration,
}

/// The call.
pub struct Call {
    config: CallConfig,
    id: Option<PeerId>,
    people: BTreeMap<PeerId, Someone>,
    addresses: Vec<SocketAddr>,
    source: Option<Size>,
    targets: Targets,
    viewports: BTreeMap<PeerId, (Size, u32)>,
    out: VecDeque<Output>,
}

impl Call {
    /// A call with nobody, reachable at these addresses.
    pub fn new(config: CallConfig, addresses: Vec<SocketAddr>) -> Self {
        Self {
            config,
            id: None,
            people: BTreeMap::new(),
            addresses,
            source: None,
            targets: Targets::default(),
            viewports: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// What to do next; `None` until something goes in again.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Call::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let people = self.people.values().map(Someone::poll_timeout);
        people.chain(self.targets.poll_timeout()).min()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ids: Vec<_> = self.people.keys().cloned().collect();
        for id in ids {
            if self.people.get(&id).is_some_and(|s| s.poll_timeout() <= now) {
                self.with(&id, now, |someone| someone.peer.handle_timeout(now));
                self.watch(&id, now);
            }
        }
        if self.targets.handle_timeout(now) {
            self.announce_targets();
        }
    }

    /// A message from the meeting point.
    pub fn handle_server(&mut self, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Welcome { id, peers, .. } => self.handle_welcome(id, peers, now),
            ServerMessage::PeerJoined(member) => self.handle_joined(member, now),
            ServerMessage::PeerLeft { id, reason } => self.handle_left(&id, reason, now),
            ServerMessage::Signal { from, body } => self.handle_signal(&from, body, now),
            ServerMessage::Error { code, message } => {
                let (code, message) = (code.word().to_owned(), message.as_str().to_owned());
                self.out.push_back(Output::Event(Event::Error { code, message }));
            }
            ServerMessage::Unknown => {}
        }
    }

    /// A packet from `source` to the own address `destination`.
    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            return;
        };
        let packet = Input::Receive(now, receive);
        let Some((id, someone)) = self.people.iter_mut().find(|(_, s)| s.peer.accepts(&packet)) else {
            return;
        };
        let id = id.clone();
        someone.peer.handle_packet(packet, bytes.len(), now);
        self.collect(&id, now);
        self.watch(&id, now);
    }

    /// A local address came up.
    pub fn add_local_address(&mut self, address: SocketAddr, now: Instant) {
        if self.addresses.contains(&address) {
            return;
        }
        self.addresses.push(address);
        self.with_all(now, |someone| someone.peer.add_local_address(address, now));
    }

    /// Sends an encoded picture to all whom its encoder serves.
    pub fn send_video(&mut self, video: &EncodedVideo, now: Instant) {
        let peers: Vec<_> = self.targets.served_by(video.target).cloned().collect();
        for id in peers {
            self.with(&id, now, |someone| {
                someone.peer.send_video(&video.data, video.time, now)
            });
        }
    }

    /// Sends an Opus packet to everyone; `time` in samples at 48 kHz.
    pub fn send_voice(&mut self, data: &Arc<[u8]>, time: u64, now: Instant) {
        if self.config.mic_on {
            self.with_all(now, |someone| someone.peer.send_voice(data, time, now));
        }
    }

    /// The size of the pictures that the camera gives; `None`: there is no camera.
    pub fn set_source(&mut self, size: Option<Size>, now: Instant) {
        if self.source != size {
            self.source = size;
            self.tell_all(&self.mute_message(), now);
            self.assign(now);
        }
    }

    /// So much of a person can be shown here, at `fps`.
    pub fn set_viewport(&mut self, peer: &PeerId, size: Size, now: Instant) {
        let viewport = (size, self.config.fps);
        if self.viewports.insert(peer.clone(), viewport) != Some(viewport) {
            let message = Control::viewport(size, self.config.fps);
            self.with(peer, now, |someone| someone.peer.send_control(&message, now));
        }
    }

    /// Pictures a second that are wanted of the others.
    pub fn set_fps(&mut self, fps: u32) {
        self.config.fps = fps;
    }

    /// Switches the microphone.
    pub fn set_mic(&mut self, on: bool, now: Instant) {
        self.config.mic_on = on;
        self.tell_all(&self.mute_message(), now);
    }

    /// Switches the camera.
    pub fn set_camera(&mut self, on: bool, now: Instant) {
        self.config.camera_on = on;
        self.tell_all(&self.mute_message(), now);
        self.assign(now);
    }

    /// The decoder of a person's picture lost its way.
    pub fn want_keyframe(&mut self, peer: &PeerId, now: Instant) {
        self.with(peer, now, |someone| someone.peer.want_keyframe(now));
    }

    /// Says good-bye to everyone.
    pub fn leave(&mut self, now: Instant) {
        self.tell_all(&Control::Bye, now);
        self.out.push_back(Output::Signal(ClientMessage::Leave));
    }

    /// The size that is sent to a person now.
    pub fn size_out(&self, peer: &PeerId) -> Option<Size> {
        self.targets.target_of(peer).map(|target| target.size)
    }

    /// There is or was a path to somebody.
    pub fn is_connected(&self) -> bool {
        self.people.values().any(|s| s.peer.is_connected())
    }

    /// How many others there are.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Nobody else is there.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    fn handle_welcome(&mut self, id: PeerId, peers: Vec<Member>, now: Instant) {
        self.id = Some(id.clone());
        self.out.push_back(Output::Event(Event::Joined { id }));
        for someone in self.people.values_mut() {
            someone.presence = Presence::Lost;
        }
        for member in peers {
            let known = self.meet(&member, now);
            let connected = self.people.get(&member.id).is_some_and(|s| s.peer.is_connected());
            if !(known && connected) {
                self.renew(&member.id, now);
                self.with(&member.id, now, |someone| someone.peer.call(now));
            }
        }
    }

    /// They will call: the newcomer does.
    fn handle_joined(&mut self, member: Member, now: Instant) {
        self.meet(&member, now);
    }

    fn handle_left(&mut self, id: &PeerId, reason: LeaveReason, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if reason == LeaveReason::Left {
            self.part(id, "left", now);
        } else if !someone.peer.is_connected() {
            self.part(id, "lost", now);
        } else {
            someone.presence = Presence::Lost;
        }
    }

    fn handle_signal(&mut self, from: &PeerId, body: Body, now: Instant) {
        if !self.people.contains_key(from) {
            return;
        }
        match body {
            Body::Candidate(Some(candidate)) if !candidate.candidate.is_empty() => {
                self.with(from, now, |someone| {
                    someone.peer.add_remote_candidate(&candidate, now)
                });
            }
            Body::Candidate(_) => {}
            Body::Description(description) => {
                let result = match description.kind.as_str() {
                    "offer" => self.handle_offer(from, &description.sdp, now),
                    "answer" => {
                        let mut result = Ok(());
                        self.with(from, now, |s| {
                            result = s.peer.accept_answer(&description.sdp, now)
                        });
                        result
                    }
                    _ => Ok(()),
                };
                if let Err(error) = result {
                    self.fail(from, "negotiation", error.to_string());
                }
            }
        }
    }

    fn handle_offer(&mut self, from: &PeerId, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let polite = self.id.as_ref().is_some_and(|own| own < from);
        let Some(someone) = self.people.get_mut(from) else {
            return Ok(());
        };
        if someone.peer.is_offering() && !polite {
            return Ok(()); // Glare: ours stands, theirs is withdrawn by them.
        }
        if someone.peer.is_other_session(sdp) {
            self.renew(from, now);
        }
        let mut result = Ok(());
        self.with(from, now, |someone| result = someone.peer.accept_offer(sdp, now));
        result
    }

    /// Adds a person, or notes that a known one is back. Returns true where they were known.
    fn meet(&mut self, member: &Member, now: Instant) -> bool {
        if let Some(someone) = self.people.get_mut(&member.id) {
            someone.presence = Presence::Here;
            someone.name = member.name.clone();
            return true;
        }
        let peer = Peer::new(&self.config.codecs, &self.addresses, now);
        self.people
            .insert(member.id.clone(), Someone::new(member.name.clone(), peer, now));
        self.out.push_back(Output::Event(Event::PeerJoined {
            peer: member.id.clone(),
            name: member.name.clone(),
        }));
        self.collect(&member.id, now);
        false
    }

    /// Gives a person a fresh peer, if the present one has begun to talk.
    fn renew(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if someone.peer.is_described() || someone.peer.is_offering() {
            let name = someone.name.clone();
            let peer = Peer::new(&self.config.codecs, &self.addresses, now);
            *someone = Someone::new(name, peer, now);
            self.assign(now);
        }
    }

    fn part(&mut self, id: &PeerId, reason: &str, now: Instant) {
        if self.people.remove(id).is_some() {
            self.viewports.remove(id);
            let (peer, reason) = (id.clone(), reason.to_owned());
            self.out
                .push_back(Output::Event(Event::PeerLeft { peer, reason }));
            self.assign(now);
        }
    }

    fn with(&mut self, id: &PeerId, now: Instant, act: impl FnOnce(&mut Someone)) {
        if let Some(someone) = self.people.get_mut(id) {
            act(someone);
            self.collect(id, now);
        }
    }

    fn with_all(&mut self, now: Instant, mut act: impl FnMut(&mut Someone)) {
        let ids: Vec<_> = self.people.keys().cloned().collect();
        for id in ids {
            self.with(&id, now, &mut act);
        }
    }

    fn tell_all(&mut self, message: &Control, now: Instant) {
        self.with_all(now, |someone| someone.peer.send_control(message, now));
    }

    fn mute_message(&self) -> Control {
        let camera = !self.config.camera_on || self.source.is_none();
        Control::Mute {
            mic: !self.config.mic_on,
            camera,
        }
    }

    /// Takes what a peer has to give.
    fn collect(&mut self, id: &PeerId, now: Instant) {
        while let Some(output) = self.people.get_mut(id).and_then(|s| s.peer.poll_output()) {
            match output {
                PeerOutput::Transmit(transmit) => self.out.push_back(Output::Transmit(transmit)),
                PeerOutput::Signal(body) => {
                    self.out
                        .push_back(Output::Signal(ClientMessage::Signal { to: id.clone(), body }));
                }
                PeerOutput::Video(frame) => {
                    self.out.push_back(Output::Video {
                        peer: id.clone(),
                        frame,
                    });
                }
                PeerOutput::Voice(packet) => {
                    self.out.push_back(Output::Voice {
                        peer: id.clone(),
                        packet,
                    });
                }
                PeerOutput::Figures(figures) => {
                    self.out.push_back(Output::Event(Event::Figures {
                        peer: id.clone(),
                        figures: *figures,
                    }));
                }
                PeerOutput::Connected => self.handle_connected(id, now),
                PeerOutput::Disconnected => self.handle_disconnected(id, now),
                PeerOutput::ChannelOpen => self.handle_channel(id, now),
                PeerOutput::Control(message) => self.handle_control(id, message, now),
                PeerOutput::KeyframeWanted => self.handle_keyframe_wanted(id, now),
                PeerOutput::Estimate(estimate) => {
                    if let Some(someone) = self.people.get_mut(id) {
                        someone.estimate = Some(estimate);
                    }
                    self.assign(now);
                }
            }
        }
    }

    fn handle_connected(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        someone.connected = Some(now);
        someone.failed = false;
        let (local, remote) = someone.peer.path_kinds();
        let agreed = someone.peer.agreed();
        let after = now.saturating_duration_since(someone.since);
        self.out.push_back(Output::Event(Event::Connected {
            peer: id.clone(),
            after,
            local,
            remote,
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

    fn handle_channel(&mut self, id: &PeerId, now: Instant) {
        let hello = Control::Hello {
            name: self.config.name.clone(),
            version: control::VERSION,
        };
        let mute = self.mute_message();
        let viewport = self
            .viewports
            .get(id)
            .map(|(size, fps)| Control::viewport(*size, *fps));
        self.with(id, now, |someone| {
            // The viewport first: it is what the other side waits for.
            for message in viewport.iter().chain([&hello, &mute]) {
                someone.peer.send_control(message, now);
            }
        });
    }

    fn handle_control(&mut self, id: &PeerId, message: Control, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        match message {
            Control::Hello { name, .. } => {
                if someone.name != name {
                    someone.name = name.clone();
                    self.out.push_back(Output::Event(Event::Renamed {
                        peer: id.clone(),
                        name,
                    }));
                }
            }
            Control::Viewport { width, height, fps } => {
                someone.viewport = Some((Size::new(width, height), fps));
                self.assign(now);
            }
            Control::Mute { mic, camera } => {
                someone.peer.picture_pauses();
                self.out.push_back(Output::Event(Event::Mute {
                    peer: id.clone(),
                    mic,
                    camera,
                }));
            }
            Control::Bye => {
                someone.said_bye = true;
                self.part(id, "left", now);
            }
        }
    }

    fn handle_keyframe_wanted(&mut self, id: &PeerId, now: Instant) {
        let target = self.targets.target_of(id).map(|target| target.id);
        if target.is_some_and(|target| self.targets.request_keyframe(target, now)) {
            self.announce_targets();
        }
    }

    /// Shares the encoders out anew.
    fn assign(&mut self, now: Instant) {
        let wants: BTreeMap<_, _> = self
            .people
            .iter()
            .filter_map(|(id, s)| Some((id.clone(), self.want_of(s, now)?)))
            .collect();
        if self.targets.assign(&wants, now) {
            self.announce_targets();
        }
        let idle = self
            .people
            .iter()
            .filter(|(id, s)| s.connected.is_some() && !wants.contains_key(id));
        let idle: Vec<_> = idle.map(|(id, _)| id.clone()).collect();
        for id in idle {
            // Without a word the line would be probed for a picture that nobody sends.
            self.with(&id, now, |someone| someone.desire(rate::VOICE, now));
        }
        for (id, want) in wants {
            let desired = Bitrate(rate::needed(want.size, want.fps).0 + rate::VOICE.0);
            // Ends: what `desire` makes the estimate say changes no desire.
            self.with(&id, now, |someone| someone.desire(desired, now));
        }
    }

    fn want_of(&self, someone: &Someone, now: Instant) -> Option<Want> {
        let source = self.source.filter(|_| self.config.camera_on)?;
        let codec = someone.peer.agreed().video?;
        let connected = someone.connected?;
        let patience = now >= connected + VIEWPORT_PATIENCE;
        let (viewport, fps) = match someone.viewport {
            Some(viewport) => viewport,
            None if patience => (DEFAULT_VIEWPORT, 30),
            None => return None,
        };
        if viewport.area() == 0 || fps == 0 {
            return None;
        }
        let size = source.fit_into(viewport);
        let fps = fps.min(self.config.fps);
        let bitrate = rate::granted(rate::needed(size, fps), someone.estimate, self.config.max_bitrate);
        Some(Want {
            codec,
            size,
            fps,
            bitrate,
        })
    }

    fn announce_targets(&mut self) {
        self.out.push_back(Output::Targets(self.targets.list().to_vec()));
    }

    /// Looks at a person's clocks: connecting for too long, silent for too long.
    fn watch(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        let silence = now.saturating_duration_since(someone.peer.last_heard());
        if someone.connected.is_none() {
            if !someone.failed && now >= someone.since + CONNECT_TIMEOUT {
                someone.failed = true;
                let why = someone.why_no_path();
                self.path(id, PathState::Failed, why);
            }
            return;
        }
        let limit = if someone.presence == Presence::Lost {
            ABSENT_AFTER
        } else {
            GONE_AFTER
        };
        if silence >= limit {
            self.part(id, "lost", now);
            return;
        }
        let unstable = silence >= UNSTABLE_AFTER;
        let waited = someone.viewport.is_none() && !someone.impatient;
        if waited && someone.connected.is_some_and(|at| now >= at + VIEWPORT_PATIENCE) {
            someone.impatient = true;
            self.assign(now);
        } else if unstable != someone.unstable {
            someone.unstable = unstable;
            let heard = someone.peer.last_heard();
            let state = if unstable {
                PathState::Unstable { since: heard }
            } else {
                PathState::Restored
            };
            let why = if unstable {
                "nothing has come for two seconds"
            } else {
                "packets come again"
            };
            self.path(id, state, why.to_owned());
        }
    }

    fn path(&mut self, id: &PeerId, state: PathState, why: String) {
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

    fn fail(&mut self, id: &PeerId, code: &str, message: String) {
        tracing::warn!(peer = %id, code, message);
        self.out.push_back(Output::Event(Event::Error {
            code: code.to_owned(),
            message,
        }));
    }
}

/// A fixed present for tests that only add durations to it.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) fn tests_epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
