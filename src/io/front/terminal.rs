//! The front of a person: keys in, the screen out.

use std::sync::Arc;
use std::time::Instant;

use super::wanted::Wanted;
use super::{Happening, Report, Want};
use crate::call::control::{VideoId, VideoKind};
use crate::call::{Event, PathState, Way};
use crate::io::clock;
use crate::io::decode::{Show, to_slot};
use crate::io::screen::{Screen, Told};
use crate::io::slot::Slot;
use crate::io::sound::{self, MicSource, SoundEvent, SpeakerSink};
use crate::io::terminal::{Input, Keys, Terminal};
use crate::media::frame::I420;
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::ui::sound::MUTE;
use crate::ui::state::{Devices, Path, PathKind, Signaling, Stats, Tone};
use crate::ui::{Action, Command, Ui};

/// The system's choice among devices, as `--mic` and `--speaker` name it.
const AUTO: &str = "auto";

/// The front of a person.
pub struct TerminalFront {
    ui: Ui,
    screen: Screen,
    terminal: Terminal,
    keys: Keys,
    has_mic: bool,
    has_camera: bool,
    wanted: Wanted,
    /// Frames that new pictures were drawn in, as of the last second.
    drawn: u64,
}

impl TerminalFront {
    /// Over a terminal that was taken and a screen that runs; for so many pictures a second at most.
    pub fn new(ui: Ui, screen: Screen, terminal: Terminal, keys: Keys, fps: u32) -> Self {
        let (has_mic, has_camera) = (ui.state().me.has_mic, ui.state().me.has_camera);
        let mut front = Self {
            ui,
            screen,
            terminal,
            keys,
            has_mic,
            has_camera,
            wanted: Wanted::new(fps),
            drawn: 0,
        };
        front.draw();
        front
    }

    pub(super) async fn next(&mut self) -> Vec<Want> {
        let deadline = self.ui.deadline();
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let action = tokio::select! {
            input = self.keys.next() => match input {
                Input::Key(key) => Action::Key(key),
                Input::Paste(text) => Action::Paste(text),
                Input::Resize(cells) => Action::Resize(cells),
                Input::Closed => return vec![Want::Leave("the terminal is gone")],
            },
            told = self.screen.next() => match told {
                Told::Cell(size) => Action::Cell(size),
                Told::Gone(error) => {
                    tracing::info!(%error, "the terminal takes nothing more");
                    return vec![Want::Leave("the terminal is gone")];
                }
            },
            () = timeout => Action::Timeout,
        };
        self.act(action, clock::now())
    }

    pub(super) fn handle(&mut self, happening: &Happening<'_>, now: Instant) -> Vec<Want> {
        let mut wants = match happening {
            Happening::Figures(peer, report) => self.look(peer, report),
            _ => Vec::new(),
        };
        for action in self.actions(happening) {
            wants.extend(self.act(action, now));
        }
        wants
    }

    /// A second of the person in front passed: whether the terminal took what came of them.
    fn look(&mut self, peer: &PeerId, report: &Report) -> Vec<Want> {
        if self.ui.state().in_front().is_none_or(|person| person.id != *peer) {
            return Vec::new();
        }
        let drawn = self.screen.shown().drawn;
        let fresh = drawn - std::mem::replace(&mut self.drawn, drawn);
        let Some(fps) = self.wanted.look(report.figures.fps_in, fresh as f32) else {
            return Vec::new();
        };
        let viewports = self.ui.viewports();
        let viewports = viewports.map(|(video, size)| Want::Viewport(video.clone(), *size));
        std::iter::once(Want::Fps(fps)).chain(viewports).collect()
    }

    pub(super) fn show(&mut self, video: &VideoId) -> Show {
        to_slot(self.screen.watch(video))
    }

    pub(super) fn own(&self) -> Arc<Slot<I420>> {
        self.screen.own()
    }

    /// Stops and goes on, as Ctrl-Z does elsewhere.
    pub fn suspend(&mut self) {
        if let Err(error) = self.terminal.suspend() {
            tracing::warn!(%error, "the terminal cannot be taken again");
        }
        self.screen.redraw();
        // A stopped program is not told of another size.
        let size = Action::Resize(self.terminal.size());
        self.act(size, clock::now());
    }

    fn act(&mut self, action: Action, now: Instant) -> Vec<Want> {
        let commands = self.ui.update(action, now);
        self.draw();
        if commands.contains(&Command::Suspend) {
            self.suspend();
        }
        let want = |command| {
            Some(match command {
                Command::Suspend => return None,
                Command::Mic(on) => Want::Mic(on),
                Command::Camera(on) => Want::Camera(on),
                Command::Viewport(video, size) => Want::Viewport(video, size),
                Command::Chat(text) => Want::Chat(text),
                Command::ListDevices => Want::ListDevices,
                Command::Microphone(name) => Want::Microphone(microphone(name)),
                Command::Speaker(name) => Want::Speaker(speaker(name)),
                Command::Volume(peer, db) => Want::Volume(peer, factor(db)),
                Command::Leave => Want::Leave("leave"),
            })
        };
        commands.into_iter().filter_map(want).collect()
    }

    fn draw(&mut self) {
        if self.ui.take_changed() {
            self.screen.show(Arc::new(self.ui.state().clone()));
        }
    }

    fn actions(&mut self, happening: &Happening<'_>) -> Vec<Action> {
        let tell = |tone, text: &str| Action::Tell(tone, SafeText::new(text, 400));
        match happening {
            Happening::Call(event) => self.call_actions(event),
            Happening::Sound(event) => match event {
                SoundEvent::Level { level, talking } => vec![Action::Level(*level, *talking)],
                SoundEvent::Talking(peer, on) => vec![Action::Talking(peer.clone(), *on)],
                SoundEvent::Devices { has_mic, .. } => {
                    self.has_mic = *has_mic;
                    vec![self.devices()]
                }
                SoundEvent::Notice(text) => vec![tell(Tone::Warning, text)],
                _ => vec![],
            },
            Happening::Figures(peer, report) => {
                let kind = report.figures.way.map(kind);
                let led = kind.map(|kind| Action::PathKind((*peer).clone(), kind));
                let stats = Stats {
                    terminal_fps: self.wanted.reduced(),
                    ..stats(report)
                };
                let stats = Action::Stats((*peer).clone(), stats);
                std::iter::once(stats).chain(led).collect()
            }
            Happening::Picture(video, size) => vec![Action::PictureSize((*video).clone(), *size)],
            Happening::Invite(invite) => vec![Action::Invite((*invite).clone())],
            Happening::Signaling { up: true, .. } => vec![Action::Signaling(Signaling::Joined)],
            Happening::Signaling { up: false, why } => {
                let lost = Action::Signaling(Signaling::Lost);
                // With others there the status line says that the call goes on.
                if self.ui.state().people.is_empty() {
                    vec![lost, tell(Tone::Warning, why)]
                } else {
                    vec![lost]
                }
            }
            Happening::Choices(devices, mic, speaker) => {
                vec![Action::Choices(choices(devices, mic, speaker))]
            }
            Happening::Camera(has_camera) => {
                self.has_camera = *has_camera;
                vec![self.devices()]
            }
            Happening::Switched { mic_on, camera_on } => {
                vec![Action::Switched {
                    mic_on: *mic_on,
                    camera_on: *camera_on,
                }]
            }
            Happening::Tell(tone, text) => vec![tell(*tone, text)],
            Happening::Error(_, message) => vec![tell(Tone::Error, message)],
            Happening::Serving(_) | Happening::Second | Happening::Ended(_) => vec![],
        }
    }

    fn call_actions(&mut self, event: &Event) -> Vec<Action> {
        match event {
            Event::Joined { .. } => vec![Action::Signaling(Signaling::Joined)],
            Event::PeerJoined { peer, name } | Event::Renamed { peer, name } => {
                vec![Action::PeerJoined(peer.clone(), name.clone())]
            }
            Event::PeerLeft { peer, .. } => {
                self.screen.forget_all(peer);
                vec![Action::PeerLeft(peer.clone())]
            }
            Event::Connected { peer, way, .. } => {
                let kind = kind(*way);
                vec![Action::Path(peer.clone(), Path::Connected { kind })]
            }
            Event::Path { peer, state, why } => match state {
                PathState::Unstable { since } => {
                    vec![Action::Path(peer.clone(), Path::Unstable { since: *since })]
                }
                PathState::Restored(way) => {
                    let kind = kind(*way);
                    vec![Action::Path(peer.clone(), Path::Connected { kind })]
                }
                PathState::Restarting => vec![Action::Path(peer.clone(), Path::Connecting)],
                PathState::Failed => vec![
                    Action::Path(peer.clone(), Path::Failed),
                    Action::Tell(Tone::Error, SafeText::new(why, 400)),
                ],
            },
            Event::Mute { peer, mic, camera } => {
                vec![Action::PeerMute {
                    peer: peer.clone(),
                    mic_on: !mic,
                    camera_on: !camera,
                }]
            }
            Event::Screen { peer, on } => {
                let screen = VideoId::new(peer.clone(), VideoKind::Screen);
                if !on {
                    self.screen.forget(&screen);
                }
                vec![Action::Screen(peer.clone(), *on)]
            }
            Event::Chat { peer, text } => vec![Action::Chat(peer.clone(), text.clone())],
            Event::Error { message, .. } => vec![Action::Tell(Tone::Error, SafeText::new(message, 400))],
            Event::Figures { .. } => vec![],
        }
    }

    fn devices(&self) -> Action {
        Action::Devices {
            has_mic: self.has_mic,
            has_camera: self.has_camera,
        }
    }
}

fn kind(way: Way) -> PathKind {
    match (way.local, way.remote, way.transport) {
        (.., "tcp") => PathKind::RelayedTcp,
        (.., "tls") => PathKind::RelayedTls,
        ("relay", ..) | (_, "relay", _) => PathKind::Relayed,
        ("host", "host", _) => PathKind::Direct,
        _ => PathKind::Nat,
    }
}

/// The microphone of a name of the list, which is nothing but a name.
fn microphone(name: String) -> MicSource {
    match name.as_str() {
        AUTO => MicSource::Auto,
        _ => MicSource::Device(name),
    }
}

fn speaker(name: String) -> SpeakerSink {
    match name.as_str() {
        AUTO => SpeakerSink::Auto,
        _ => SpeakerSink::Device(name),
    }
}

/// What a volume in dB multiplies by.
fn factor(db: i8) -> f32 {
    if db <= MUTE {
        return 0.0;
    }
    10.0_f32.powf(f32::from(db) / 20.0)
}

fn choices(devices: &sound::Devices, mic: &MicSource, speaker: &SpeakerSink) -> Devices {
    let safe = |name: &str| SafeText::new(name, 200);
    let list = |names: &[String]| {
        let all = std::iter::once(AUTO).chain(names.iter().map(String::as_str));
        all.map(safe).collect()
    };
    Devices {
        microphones: list(&devices.microphones),
        speakers: list(&devices.speakers),
        microphone: Some(safe(&mic.to_string())),
        speaker: Some(safe(&speaker.to_string())),
        cursor: 0,
    }
}

fn stats(report: &Report) -> Stats {
    let figures = &report.figures;
    let kbps = |rate: crate::units::Bitrate| rate.as_kbps() as f32;
    Stats {
        rtt_ms: figures.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0),
        send_kbps: kbps(figures.sent),
        recv_kbps: kbps(figures.received),
        estimate_kbps: figures.estimate.map(kbps),
        loss_in: figures.loss_in,
        loss_out: figures.loss_out,
        fps_in: figures.fps_in,
        fps_out: figures.fps_out,
        size_in: report.size_in,
        size_out: report.size_out,
        jitter_ms: report.voice.jitter_ms,
        concealed: report.voice.concealed,
        freezes: figures.freezes,
        limit: figures.limit,
        terminal_fps: None,
    }
}
