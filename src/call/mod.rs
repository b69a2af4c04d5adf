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
mod early;
mod events;
pub mod feed;
pub mod figures;
mod network;
mod news;
pub mod paths;
mod peer;
mod people;
pub mod rate;
mod room;
mod share;
pub mod targets;
mod voice;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::control::{Control, VideoId, VideoKind};
use self::early::EarlyPackets;
use self::news::News;
use self::paths::{IcePolicy, Paths, Server};
use self::peer::PeerOutput;
use self::people::Someone;
use self::rate::load::Load;
use self::targets::{TargetId, Targets};
use self::voice::Reports;
use crate::media::video::VideoCodec;
use crate::signal::message::{ClientMessage, PeerId, ServerMessage};
use crate::text::SafeText;
use crate::units::{Bitrate, Size};

pub use self::events::{Event, Output, PathState, Way};
pub use self::figures::Limit;
pub use self::peer::{Agreed, NegotiationError, VideoFrame};
pub use self::voice::VoiceTune;

/// A path is sought for so long before that is said; loss can cost DTLS 4 s, so not less than 10 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Silence of a connected person after which the line counts as unstable; voice alone is 50 packets a
/// second, and ICE and RTCP speak at least once a second. It is shown within two.
pub const UNSTABLE_AFTER: Duration = Duration::from_millis(1_800);

/// Silence after which somebody whose socket is gone as well is taken to have left.
pub const ABSENT_AFTER: Duration = Duration::from_secs(8);

/// Silence after which a path to somebody who is still in the room is given up and sought anew.
pub const GONE_AFTER: Duration = Duration::from_secs(30);

/// Pictures a second that are wanted of a screen: letters are read, not watched.
pub const SCREEN_FPS: u32 = 10;

/// How this person takes part.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// The own name.
    pub name: SafeText,
    /// Codecs to offer and take, best first.
    pub codecs: Vec<VideoCodec>,
    /// The most that is sent to one person, voice included.
    pub max_bitrate: Option<Bitrate>,
    /// Pictures a second: sent at most, and wanted of the others.
    pub fps: u32,
    /// The microphone is on.
    pub mic_on: bool,
    /// The camera is on.
    pub camera_on: bool,
    /// STUN and TURN servers, beside those that the meeting point names.
    pub ice_servers: Vec<Server>,
    /// Which of the own addresses are told to others.
    pub ice_policy: IcePolicy,
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
    /// How coarse it is: 0 (best) to 63.
    pub quantizer: u8,
    /// When it was taken, since the start.
    pub time: Duration,
    /// How long it took to be made.
    pub took: Duration,
}

/// The call.
pub struct Call {
    config: CallConfig,
    id: Option<PeerId>,
    /// The meeting point is there.
    is_met: bool,
    people: BTreeMap<PeerId, Someone>,
    paths: Paths,
    source: Option<Size>,
    has_mic: bool,
    targets: Targets,
    viewports: BTreeMap<VideoId, (Size, u32)>,
    wanted_fps: u32,
    /// When the paths were last doubted because nothing came.
    doubted: Option<Instant>,
    /// What others report of the own voice.
    reports: Reports,
    load: Load,
    news: VecDeque<(PeerId, News)>,
    early: EarlyPackets,
    out: VecDeque<Output>,
}

/// Gathers the randomness that keys are made of, which takes a tenth of a second once in a process, and
/// would otherwise be waited for when the first person is met.
pub fn warm_up(now: Instant) {
    drop(str0m::RtcConfig::new().build(now));
}

impl Call {
    /// A call with nobody, reachable at these addresses.
    pub fn new(config: CallConfig, addresses: Vec<SocketAddr>) -> Self {
        Self {
            wanted_fps: config.fps,
            doubted: None,
            paths: Paths::new(addresses, config.ice_servers.clone(), config.ice_policy),
            config,
            id: None,
            is_met: true,
            people: BTreeMap::new(),
            source: None,
            has_mic: true,
            targets: Targets::default(),
            viewports: BTreeMap::new(),
            reports: Reports::default(),
            load: Load::default(),
            news: VecDeque::new(),
            early: EarlyPackets::default(),
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
        people
            .chain(self.targets.poll_timeout())
            .chain(self.paths.poll_timeout())
            .min()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (id, someone) in &mut self.people {
            if someone.poll_timeout() <= now {
                someone.peer.handle_timeout(now);
                gather(id, someone, now, &mut self.out, &mut self.news);
            }
        }
        if self.targets.handle_timeout(now) {
            self.announce_targets();
        }
        self.paths.handle_timeout(now);
        self.settle(now);
    }

    /// The meeting point is there, or is lost: then nobody is blamed for what they do not say.
    pub fn set_meeting_point(&mut self, is_there: bool) {
        self.is_met = is_there;
    }

    /// A message from the meeting point.
    pub fn handle_server(&mut self, message: ServerMessage, now: Instant) {
        self.handle_message(message, now);
        self.settle(now);
    }

    /// Sends an encoded picture to all whom its encoder serves.
    pub fn send_video(&mut self, video: &EncodedVideo, now: Instant) {
        self.targets.picture_made(video.target, video.keyframe);
        if self.load.note(video.took, self.targets.list().len()) {
            self.assign(now);
        }
        for id in self.targets.served_by(video.target) {
            if let Some(someone) = self.people.get_mut(id) {
                someone.ration.note(video.quantizer);
                someone.peer.send_video(&video.data, video.time, now);
                gather(id, someone, now, &mut self.out, &mut self.news);
            }
        }
        self.settle(now);
    }

    /// Sends an Opus packet to everyone; `time` in samples at 48 kHz.
    pub fn send_voice(&mut self, data: &Arc<[u8]>, time: u64, now: Instant) {
        if self.config.mic_on {
            self.with_all(now, |someone| someone.peer.send_voice(data, time, now));
            self.settle(now);
        }
    }

    /// A person's voice takes so long from its arrival to the ear; `None` where nobody hears it. Returns for
    /// how long it ought to be held back at least, so that it does not come before their pictures.
    pub fn set_voice_delay(&mut self, peer: &PeerId, delay: Option<Duration>) -> Duration {
        match self.people.get_mut(peer) {
            Some(someone) => someone.peer.set_voice_delay(delay),
            None => Duration::ZERO,
        }
    }

    /// The size of the pictures that the camera gives; `None`: there is no camera.
    pub fn set_source(&mut self, size: Option<Size>, now: Instant) {
        if self.source != size {
            self.source = size;
            self.tell_all(&self.mute_message(), now);
            self.assign(now);
            self.settle(now);
        }
    }

    /// So much of a picture can be shown here, at the rate of [`Call::set_wanted_fps`]; of a screen at
    /// [`SCREEN_FPS`] at most.
    pub fn set_viewport(&mut self, video: impl Into<VideoId>, size: Size, now: Instant) {
        let video = video.into();
        let fps = match video.kind {
            VideoKind::Camera => self.wanted_fps,
            VideoKind::Screen => self.wanted_fps.min(SCREEN_FPS),
        };
        if self.viewports.insert(video.clone(), (size, fps)) != Some((size, fps)) {
            let message = Control::viewport(video.kind, size, fps);
            self.with(&video.peer, now, |someone| {
                someone.peer.send_control(&message, now)
            });
            self.settle(now);
        }
    }

    /// Pictures a second that are wanted of the others; it goes out with the next viewports.
    pub fn set_wanted_fps(&mut self, fps: u32) {
        self.wanted_fps = fps;
    }

    /// There is a microphone, or none (any more).
    pub fn set_microphone(&mut self, is_there: bool, now: Instant) {
        if std::mem::replace(&mut self.has_mic, is_there) != is_there {
            self.tell_all(&self.mute_message(), now);
            self.settle(now);
        }
    }

    /// Switches the microphone.
    pub fn set_mic(&mut self, on: bool, now: Instant) {
        self.config.mic_on = on;
        self.tell_all(&self.mute_message(), now);
        self.settle(now);
    }

    /// Switches the camera.
    pub fn set_camera(&mut self, on: bool, now: Instant) {
        self.config.camera_on = on;
        self.tell_all(&self.mute_message(), now);
        self.assign(now);
        self.settle(now);
    }

    /// Writes to everyone in the room. To whom there is no way yet, it goes as soon as there is one.
    pub fn chat(&mut self, text: &SafeText, now: Instant) {
        self.with_all(now, |someone| someone.say(text.clone(), now));
        self.settle(now);
    }

    /// The decoder of a picture lost its way.
    pub fn want_keyframe(&mut self, video: impl Into<VideoId>, now: Instant) {
        let VideoId { peer, kind } = video.into();
        self.with(&peer, now, |someone| someone.peer.want_keyframe(kind, now));
        self.settle(now);
    }

    /// Says good-bye to everyone.
    pub fn leave(&mut self, now: Instant) {
        self.tell_all(&Control::Bye, now);
        self.settle(now);
        self.paths.close(now);
        self.settle(now);
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

    /// How many of the others have a smaller identity: an order that all agree on.
    pub fn rank(&self) -> usize {
        let me = self.id.as_ref();
        self.people.keys().filter(|id| Some(*id) < me).count()
    }

    /// Changes one person's state and takes what comes of it; [`Call::settle`] is still to follow.
    fn with(&mut self, id: &PeerId, now: Instant, act: impl FnOnce(&mut Someone)) {
        if let Some(someone) = self.people.get_mut(id) {
            act(someone);
            gather(id, someone, now, &mut self.out, &mut self.news);
        }
    }

    fn with_all(&mut self, now: Instant, mut act: impl FnMut(&mut Someone)) {
        for (id, someone) in &mut self.people {
            act(someone);
            gather(id, someone, now, &mut self.out, &mut self.news);
        }
    }

    fn tell_all(&mut self, message: &Control, now: Instant) {
        self.with_all(now, |someone| someone.peer.send_control(message, now));
    }

    /// Draws the consequences of what happened. The last step of all that changes the call.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some((id, news)) = self.news.pop_front() {
                self.handle_news(&id, news, now);
            } else if let Some(output) = self.paths.poll_output() {
                self.handle_path(output, now);
            } else {
                return;
            }
        }
    }

    fn mute_message(&self) -> Control {
        let camera = !self.config.camera_on || self.source.is_none();
        Control::Mute {
            mic: !self.config.mic_on || !self.has_mic,
            camera,
            screen: None,
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

/// Takes what a person's peer has to give and looks at their clocks: what is to be carried out goes to
/// `out`, what changes the call itself to `news`.
fn gather(
    id: &PeerId,
    someone: &mut Someone,
    now: Instant,
    out: &mut VecDeque<Output>,
    news: &mut VecDeque<(PeerId, News)>,
) {
    while let Some(output) = someone.peer.poll_output() {
        let peer = || id.clone();
        match output {
            PeerOutput::Transmit(transmit) => out.push_back(Output::Transmit(transmit)),
            PeerOutput::Far(ip) => news.push_back((peer(), News::Far(ip))),
            PeerOutput::Relay(transmit) => news.push_back((peer(), News::Relay(transmit))),
            PeerOutput::Signal(body) => {
                out.push_back(Output::Signal(ClientMessage::Signal { to: peer(), body }));
            }
            PeerOutput::Video(frame) => out.push_back(Output::Video { peer: peer(), frame }),
            PeerOutput::Voice(packet) => out.push_back(Output::Voice { peer: peer(), packet }),
            PeerOutput::Figures(figures) => news.push_back((peer(), News::Figures(figures))),
            PeerOutput::News(happened) => news.push_back((peer(), happened)),
        }
    }
    if let Some(alarm) = someone.look(now) {
        news.push_back((id.clone(), News::Alarm(alarm)));
    }
}

/// A fixed present for tests that only add durations to it.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) fn tests_epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
