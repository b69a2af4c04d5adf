//! The loop of a call: one task owns everything, waits for one thing at a time, lets it change the
//! call, and carries out what follows.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use url::Url;

use super::clock;
use super::decode::{DecodeEvent, Decoding};
use super::encode::Encoding;
use super::error::CallError;
use super::front::{EchoFront, Front, Happening, HeadlessFront, Report, TerminalFront, Want};
use super::headless::ScreenSink;
use super::meet::Meeting;
use super::screen::{self, ScreenConfig};
use super::signals::{Asked, Signals};
use super::socket::{self, JoinRequest, Socket, SocketError, SocketEvent};
use super::sound::{self, MicSource, Sound, SoundCommand, SoundConfig, SoundEvent, SpeakerSink, VoiceStats};
use super::source::{self, CameraSource, Source, SourceEvent};
use super::terminal::Terminal;
use super::udp::Udp;
use crate::call::targets::MAX_TARGETS;
use crate::call::{Call, CallConfig, EncodedVideo, Event, Output, PathState};
use crate::media::video::VideoCodec;
use crate::signal::message::{ErrorCode, PeerId};
use crate::text::SafeText;
use crate::ui::Ui;
use crate::ui::state::{Me, State, Tone};
use crate::units::{Bitrate, Size};

/// Encoded pictures that may wait: two of each encoder.
const ENCODED: usize = 2 * MAX_TARGETS;

/// Voice packets and notices that may wait.
const SOUNDS: usize = 8;

/// What decoders have to say.
const DECODED: usize = 32;

/// How long good-bye may take.
const PARTING: Duration = Duration::from_millis(500);

/// A call, as asked for.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// The room.
    pub room: String,
    /// The meeting point; `None`: found or opened.
    pub server: Option<Url>,
    /// The own name.
    pub name: SafeText,
    /// Where pictures come from.
    pub camera: CameraSource,
    /// Where the voice comes from.
    pub mic: MicSource,
    /// Where the others' voices go.
    pub speaker: SpeakerSink,
    /// What the speaker plays is taken out of what the microphone captures.
    pub echo_cancelled: bool,
    /// Join with the microphone on.
    pub mic_on: bool,
    /// Join with the camera on.
    pub camera_on: bool,
    /// Pictures a second.
    pub fps: u32,
    /// Codecs, best first.
    pub codecs: Vec<VideoCodec>,
    /// The most that is sent to one person.
    pub max_bitrate: Option<Bitrate>,
    /// Who takes part.
    pub interface: Interface,
    /// Leave after so long.
    pub duration: Option<Duration>,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// A person at a terminal.
    Terminal(ScreenConfig),
    /// A program.
    Headless {
        /// Where the remote picture goes.
        screen: ScreenSink,
    },
    /// The built-in peer.
    Echo,
}

/// Where the call takes place.
pub enum Place {
    /// To be found by [`CallOptions::server`], or opened.
    ByOptions,
    /// Known already.
    Known(Box<Meeting>),
}

/// Runs a call to its end: the user leaves, the time is over, or `quit` is ready.
///
/// # Errors
/// What ended it otherwise.
pub async fn run(
    options: CallOptions,
    place: Place,
    log: Option<PathBuf>,
    quit: impl Future<Output = ()>,
) -> Result<(), CallError> {
    let mut driver = Driver::start(options, place, log).await?;
    let result = driver.turn(quit).await;
    driver.end(result).await
}

struct Driver {
    options: CallOptions,
    epoch: Instant,
    call: Call,
    udp: Udp,
    meeting: Meeting,
    socket: Socket,
    /// By the one who hosted, or to another one's.
    has_moved: bool,
    key: String,
    front: Front,
    signals: Option<Signals>,
    encoding: Encoding,
    encoded: mpsc::Receiver<EncodedVideo>,
    decoders: BTreeMap<PeerId, Decoding>,
    decode_events: mpsc::Sender<DecodeEvent>,
    decoded: mpsc::Receiver<DecodeEvent>,
    sound: Sound,
    sounds: mpsc::Receiver<SoundEvent>,
    source: Source,
    sources: mpsc::Receiver<SourceEvent>,
    voices: BTreeMap<PeerId, VoiceStats>,
    sizes: BTreeMap<PeerId, Size>,
    wants: Vec<Want>,
    mic_on: bool,
    camera_on: bool,
    ends: Option<Instant>,
    second: Option<Instant>,
    connected_once: bool,
    no_path: Option<String>,
    reason: Option<&'static str>,
}

enum Step {
    Asked(Asked),
    Packets,
    Video(EncodedVideo),
    Sound(SoundEvent),
    Decoded(DecodeEvent),
    Source(SourceEvent),
    Socket(SocketEvent),
    Front(Vec<Want>),
    Moved(Box<Meeting>),
    Quit,
    Timeout,
}

impl Driver {
    async fn start(options: CallOptions, place: Place, log: Option<PathBuf>) -> Result<Self, CallError> {
        let epoch = clock::now();
        let (encoded_sender, encoded) = mpsc::channel(ENCODED);
        let (decode_events, decoded) = mpsc::channel(DECODED);
        let (sound_sender, sounds) = mpsc::channel(SOUNDS);
        let (source_sender, sources) = mpsc::channel(8);
        let encoding = Encoding::start(epoch, encoded_sender);
        let sound = sound::start(
            SoundConfig {
                mic: options.mic.clone(),
                speaker: options.speaker.clone(),
                mic_on: options.mic_on,
                echo_cancelled: options.echo_cancelled,
            },
            sound_sender,
        )?;
        let udp = Udp::bind().map_err(CallError::Udp)?;
        // Before the terminal is taken, so that no signal finds it without its restorer.
        let is_echo = options.interface == Interface::Echo;
        let signals = if is_echo {
            None
        } else {
            Some(Signals::new().map_err(CallError::Signals)?)
        };
        let mut front = open_front(&options, &encoding, log, epoch)?;
        let mut outputs = vec![encoding.pictures()];
        outputs.extend(front.own());
        let source = source::start(options.camera.clone(), options.fps, outputs, source_sender)?;
        source.set_on(options.camera_on);
        let meeting = match (place, &options.server) {
            (Place::Known(meeting), _) => *meeting,
            (Place::ByOptions, Some(server)) => Meeting::named(server.clone(), &options.room),
            (Place::ByOptions, None) => Meeting::found_or_opened(&options.room).await?,
        };
        let key = socket::new_key();
        let socket = socket::connect(join(&options, &meeting.server, &key));
        let config = CallConfig {
            name: options.name.clone(),
            codecs: options.codecs.clone(),
            max_bitrate: options.max_bitrate,
            fps: options.fps,
            mic_on: options.mic_on,
            camera_on: options.camera_on,
        };
        let call = Call::new(config, udp.addresses());
        let now = clock::now();
        if meeting.hosted && !is_echo {
            front.handle(&Happening::Serving(&meeting.invite), now);
        }
        let wants = front.handle(&Happening::Invite(&meeting.invite), now);
        let (mic_on, camera_on) = (options.mic_on, options.camera_on);
        let is_headless = matches!(options.interface, Interface::Headless { .. });
        Ok(Self {
            epoch,
            call,
            udp,
            meeting,
            socket,
            has_moved: false,
            key,
            front,
            signals,
            encoding,
            encoded,
            decoders: BTreeMap::new(),
            decode_events,
            decoded,
            sound,
            sounds,
            source,
            sources,
            voices: BTreeMap::new(),
            sizes: BTreeMap::new(),
            wants,
            mic_on,
            camera_on,
            ends: options.duration.map(|duration| epoch + duration),
            second: is_headless.then(|| now + Duration::from_secs(1)),
            connected_once: false,
            no_path: None,
            reason: None,
            options,
        })
    }

    /// Turns until the call ends.
    async fn turn(&mut self, quit: impl Future<Output = ()>) -> Result<(), CallError> {
        let mut quit = std::pin::pin!(quit);
        loop {
            self.flush(clock::now());
            if self.reason.is_some() {
                return Ok(());
            }
            let step = self.wait(quit.as_mut()).await;
            self.take(step, clock::now())?;
        }
    }

    /// Waits for one thing. What is most urgent comes first.
    async fn wait(&mut self, quit: impl Future<Output = ()>) -> Step {
        let deadline = [self.call.poll_timeout(), self.ends, self.second]
            .into_iter()
            .flatten()
            .min();
        let timeout = async {
            match deadline {
                Some(at) if at <= clock::now() => {}
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let asked = async {
            match &mut self.signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            asked = asked => Step::Asked(asked),
            () = self.udp.readable() => Step::Packets,
            Some(video) = self.encoded.recv() => Step::Video(video),
            Some(event) = self.sounds.recv() => Step::Sound(event),
            () = timeout => Step::Timeout,
            wants = self.front.next() => Step::Front(wants),
            event = self.socket.event() => Step::Socket(event),
            Some(event) = self.decoded.recv() => Step::Decoded(event),
            Some(event) = self.sources.recv() => Step::Source(event),
            meeting = self.meeting.moved() => Step::Moved(Box::new(meeting)),
            () = quit => Step::Quit,
        }
    }

    fn take(&mut self, step: Step, now: Instant) -> Result<(), CallError> {
        match step {
            Step::Packets => {
                let call = &mut self.call;
                self.udp
                    .receive(|source, own, bytes| call.handle_datagram(source, own, bytes, now));
            }
            Step::Video(video) => self.call.send_video(&video, now),
            Step::Sound(event) => self.handle_sound(event, now),
            Step::Timeout => self.handle_timeout(now),
            Step::Front(wants) => self.wants.extend(wants),
            Step::Socket(event) => self.handle_socket(event, now)?,
            Step::Decoded(DecodeEvent::Trouble(peer)) => self.call.want_keyframe(&peer, now),
            Step::Decoded(DecodeEvent::Size(peer, size)) => {
                self.tell(&Happening::Picture(&peer, size), now);
                self.sizes.insert(peer, size);
            }
            Step::Source(event) => self.handle_source(event, now),
            Step::Moved(meeting) => self.handle_moved(*meeting, now),
            Step::Asked(Asked::Suspend) => {
                if let Front::Terminal(front) = &mut self.front {
                    front.suspend();
                }
            }
            Step::Asked(Asked::End(_, name)) => self.reason = Some(name),
            Step::Quit => self.reason = Some("quit"),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.call.handle_timeout(now);
        if self.ends.is_some_and(|ends| now >= ends) {
            self.reason = Some("duration");
        }
        if let Some(second) = self.second.filter(|second| now >= *second) {
            self.second = Some((second + Duration::from_secs(1)).max(now));
            self.tell(&Happening::Second, now);
        }
    }

    fn handle_sound(&mut self, event: SoundEvent, now: Instant) {
        match event {
            SoundEvent::Voice { time, data, .. } => self.call.send_voice(&Arc::from(data), time, now),
            SoundEvent::PeerStats(peer, stats) => {
                self.voices.insert(peer, stats);
            }
            event => self.tell(&Happening::Sound(&event), now),
        }
    }

    fn handle_source(&mut self, event: SourceEvent, now: Instant) {
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
                self.tell(&Happening::Camera(false), now);
                self.tell(&Happening::Tell(Tone::Warning, &why), now);
            }
            SourceEvent::Back => {
                self.tell(&Happening::Camera(true), now);
                self.tell(&Happening::Tell(Tone::Info, "the camera is back"), now);
            }
            SourceEvent::Ended => {
                self.tell(
                    &Happening::Tell(Tone::Info, "the input ended; its last picture stays"),
                    now,
                );
            }
        }
    }

    fn handle_socket(&mut self, event: SocketEvent, now: Instant) -> Result<(), CallError> {
        match event {
            SocketEvent::Message(message) => self.call.handle_server(message, now),
            SocketEvent::Up => {
                self.meeting.handle_back();
                self.tell(&Happening::Signaling { up: true, why: "" }, now);
            }
            SocketEvent::Down { why, .. } => {
                self.meeting.handle_lost(self.call.rank(), false);
                self.tell(&Happening::Signaling { up: false, why: &why }, now);
            }
            SocketEvent::Failed(error) => {
                let why = error.to_string();
                match error {
                    SocketError::Unreachable { .. } if self.meeting.handle_lost(self.call.rank(), true) => {}
                    // Two rooms became one, in which there is no place left: the call goes on.
                    SocketError::Refused { code, .. } if self.has_moved && code == ErrorCode::RoomFull => {}
                    error => return Err(error.into()),
                }
                self.tell(&Happening::Signaling { up: false, why: &why }, now);
            }
        }
        Ok(())
    }

    /// Meets the others at another server; who is known stays known, and calls go on.
    fn handle_moved(&mut self, meeting: Meeting, now: Instant) {
        self.has_moved = true;
        self.meeting = meeting;
        self.socket = socket::connect(join(&self.options, &self.meeting.server, &self.key));
        let invite = self.meeting.invite.clone();
        self.tell(&Happening::Invite(&invite), now);
        if self.meeting.hosted {
            self.tell(&Happening::Serving(&invite), now);
        }
    }

    /// Carries out what the call and the front want, until both are silent.
    fn flush(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.call.poll_output() {
                self.carry_out(output, now);
            } else if !self.wants.is_empty() {
                for want in std::mem::take(&mut self.wants) {
                    self.grant(want, now);
                }
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: Output, now: Instant) {
        match output {
            Output::Transmit(transmit) => self.udp.send(&transmit),
            Output::Signal(message) => {
                self.socket.send(message);
            }
            Output::Targets(targets) => self.encoding.set_targets(targets),
            Output::Video { peer, frame } => {
                let decoder = self.decoders.entry(peer.clone()).or_insert_with(|| {
                    Decoding::start(peer.clone(), self.front.show(&peer), self.decode_events.clone())
                });
                if !decoder.decode(frame) {
                    self.call.want_keyframe(&peer, now);
                }
            }
            Output::Voice { peer, packet } => {
                self.front.hear(&packet, now);
                self.sound.send(SoundCommand::Packet(peer, packet));
            }
            Output::Event(event) => self.handle_event(&event, now),
        }
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Connected { peer, .. } => {
                self.connected_once = true;
                self.no_path = None;
                self.sound.send(SoundCommand::RemovePeer(peer.clone()));
                self.sound.send(SoundCommand::AddPeer(peer.clone()));
            }
            Event::PeerLeft { peer, .. } => {
                self.decoders.remove(peer);
                self.voices.remove(peer);
                self.sizes.remove(peer);
                self.sound.send(SoundCommand::RemovePeer(peer.clone()));
            }
            Event::Path {
                state: PathState::Failed,
                why,
                ..
            } => self.no_path = Some(why.clone()),
            Event::Figures { peer, figures } => {
                let report = Report {
                    figures: *figures,
                    voice: self.voices.get(peer).copied().unwrap_or_default(),
                    size_in: self.sizes.get(peer).copied().unwrap_or_default(),
                    size_out: self.call.size_out(peer).unwrap_or_default(),
                };
                self.sound.send(SoundCommand::Tune {
                    bitrate: VOICE,
                    loss: figures.loss_out,
                });
                self.tell(&Happening::Figures(peer, &report), now);
                return;
            }
            _ => {}
        }
        self.tell(&Happening::Call(event), now);
    }

    fn grant(&mut self, want: Want, now: Instant) {
        match want {
            Want::Mic(on) => {
                self.mic_on = on;
                self.sound.send(SoundCommand::Mic(on));
                self.call.set_mic(on, now);
                self.switched(now);
            }
            Want::Camera(on) => {
                self.camera_on = on;
                self.source.set_on(on);
                self.call.set_camera(on, now);
                self.switched(now);
            }
            Want::Viewport(peer, size) => self.call.set_viewport(&peer, size, now),
            Want::Fps(fps) => self.call.set_wanted_fps(fps),
            Want::Source(on) => self.source.set_on(on),
            Want::Voice(on) => {
                self.sound.send(SoundCommand::Mic(on));
            }
            Want::SourceSize(size) => self.call.set_source(Some(size), now),
            Want::Say(data) => {
                let time = now.saturating_duration_since(self.epoch).as_micros() * 48 / 1000;
                self.call.send_voice(&data, time as u64, now);
            }
            Want::Leave(reason) => self.reason = Some(reason),
        }
    }

    fn switched(&mut self, now: Instant) {
        self.tell(
            &Happening::Switched {
                mic_on: self.mic_on,
                camera_on: self.camera_on,
            },
            now,
        );
    }

    fn tell(&mut self, happening: &Happening<'_>, now: Instant) {
        let wants = self.front.handle(happening, now);
        self.wants.extend(wants);
    }

    /// Says good-bye and gives everything back.
    async fn end(mut self, result: Result<(), CallError>) -> Result<(), CallError> {
        let now = clock::now();
        self.call.leave(now);
        self.flush(now);
        let reason = match &result {
            Ok(()) => self.reason.unwrap_or("leave").to_owned(),
            Err(error) => {
                self.tell(&Happening::Error(error.code(), &error.to_string()), now);
                error.code().to_owned()
            }
        };
        self.tell(&Happening::Ended(&reason), now);
        let _ = tokio::time::timeout(PARTING, self.socket.leave()).await;
        // The decoders hold ways into what the front finishes.
        drop((self.decoders, self.sound, self.source));
        self.front.finish();
        match (result, self.no_path) {
            (Ok(()), Some(why)) if !self.connected_once => Err(CallError::NoPath(why)),
            (result, _) => result,
        }
    }
}

/// What the voice is encoded at; rate control of the voice comes with its own module.
const VOICE: Bitrate = Bitrate::kbps(20);

fn join(options: &CallOptions, server: &Url, key: &str) -> JoinRequest {
    JoinRequest {
        server: server.clone(),
        room: options.room.clone(),
        name: options.name.clone(),
        key: key.to_owned(),
    }
}

fn open_front(
    options: &CallOptions,
    encoding: &Encoding,
    log: Option<PathBuf>,
    epoch: Instant,
) -> Result<Front, CallError> {
    match &options.interface {
        Interface::Echo => Ok(Front::Echo(Box::new(EchoFront::new(encoding.pictures())))),
        Interface::Headless { screen } => {
            let commands = options.camera != CameraSource::Y4mStdin;
            HeadlessFront::start(&options.room, screen, commands, options.fps, epoch)
                .map(|front| Front::Headless(Box::new(front)))
                .map_err(|error| CallError::PictureFile(error, screen.clone()))
        }
        Interface::Terminal(config) => {
            let terminal = Terminal::enter(log.as_deref())?;
            let screen = screen::start(*config)?;
            let replies = screen.replies();
            let keys = terminal.read_keys(move |reply, at| replies.put(reply, at))?;
            let me = Me {
                name: options.name.clone(),
                has_mic: options.mic != MicSource::None,
                mic_on: options.mic_on,
                has_camera: options.camera != CameraSource::None,
                camera_on: options.camera_on,
                ..Me::default()
            };
            let state = State::new(&options.room, me, terminal.size(), clock::now());
            Ok(Front::Terminal(Box::new(TerminalFront::new(
                Ui::new(state),
                screen,
                terminal,
                keys,
            ))))
        }
    }
}
