//! The front of a program: events out, commands in (see [`crate::io::headless`]).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;

use super::{Happening, Report, Want};
use crate::call::control::{VideoId, VideoKind};
use crate::call::{Event, Limit, PathState, Way};
use crate::io::decode::Show;
use crate::io::headless::{self, Events, Line, Order, PictureFile, ScreenSink, Usage, round};
use crate::io::sound::SoundEvent;
use crate::signal::code::Code;
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::{Bitrate, Size};

/// The front of a program.
pub struct HeadlessFront {
    events: Events,
    lines: mpsc::Receiver<Line>,
    room: String,
    id: Option<PeerId>,
    announced: bool,
    link: Option<String>,
    viewport: Size,
    peers: BTreeMap<PeerId, Met>,
    file: Option<PictureFile>,
    usage: Usage,
    /// Nobody reads the events any more.
    unread: Cell<bool>,
}

struct Met {
    name: SafeText,
    since: Instant,
    seen: bool,
    /// They share a screen, and it was seen.
    screen: bool,
    screen_seen: bool,
}

impl HeadlessFront {
    /// Begins to write events; reads commands unless standard input is taken by the picture.
    ///
    /// # Errors
    /// Where the picture file cannot be created.
    pub fn start(
        room: &str,
        screen: &ScreenSink,
        commands: bool,
        fps: u32,
        start: Instant,
    ) -> std::io::Result<Self> {
        let (sender, lines) = mpsc::channel(16);
        if commands {
            headless::read_commands(sender);
        }
        let file = match screen {
            ScreenSink::None => None,
            ScreenSink::Y4m(path) => Some(PictureFile::create(path.clone(), fps)?),
        };
        Ok(Self {
            events: Events::start(start),
            lines,
            room: room.to_owned(),
            id: None,
            announced: false,
            link: None,
            viewport: screen.viewport(),
            peers: BTreeMap::new(),
            file,
            usage: Usage::default(),
            unread: Cell::new(false),
        })
    }

    pub(super) async fn next(&mut self) -> Vec<Want> {
        match self.lines.recv().await {
            Some(Line::Order(Order::Mic { on })) => vec![Want::Mic(on)],
            Some(Line::Order(Order::Camera { on })) => vec![Want::Camera(on)],
            Some(Line::Order(Order::Viewport { width, height, fps })) => {
                self.viewport = Size::new(width.min(8192), height.min(8192));
                let viewport = self.viewport;
                let videos = self.peers.iter().flat_map(|(peer, met)| {
                    let screen = met.screen.then(|| VideoId::new(peer.clone(), VideoKind::Screen));
                    std::iter::once(peer.into()).chain(screen)
                });
                let all = videos.map(|video| Want::Viewport(video, viewport));
                std::iter::once(Want::Fps(fps.min(60))).chain(all).collect()
            }
            Some(Line::Order(Order::Chat { text })) => match SafeText::chat(text.trim()) {
                text if text.is_empty() => self.wrong("the chat has no text"),
                text => vec![Want::Chat(text)],
            },
            Some(Line::Order(Order::Leave)) => vec![Want::Leave("leave")],
            Some(Line::Wrong(why)) => self.wrong(&why),
            None => std::future::pending().await,
        }
    }

    pub(super) fn handle(&mut self, happening: &Happening<'_>, now: Instant) -> Vec<Want> {
        match happening {
            Happening::Call(event) => return self.handle_call(event, now),
            Happening::Sound(SoundEvent::FirstAudio(peer)) => {
                let ms = self.since_met(peer, now);
                self.emit("first-audio", json!({ "peer": peer, "ms": ms }));
            }
            Happening::Sound(SoundEvent::Notice(text)) => {
                self.emit("error", json!({ "code": "sound", "message": text }));
            }
            Happening::Picture(video, size) => self.first_frame(video, *size, now),
            Happening::Figures(peer, report) => self.stats(peer, report),
            Happening::Invite(invite) => {
                let link = self.link.replace(invite.link.clone());
                if link.is_some_and(|link| link != invite.link) {
                    self.forget_room();
                }
                self.announce();
            }
            Happening::Serving(invite) => {
                self.emit("serving", json!({ "url": invite.server, "page": invite.link }));
            }
            Happening::Signaling { up: false, why } => {
                self.forget_room();
                self.emit("error", json!({ "code": "signaling-lost", "message": why }));
            }
            Happening::Error(code, message) => {
                self.emit("error", json!({ "code": code, "message": message }));
            }
            Happening::Tell(crate::ui::state::Tone::Warning | crate::ui::state::Tone::Error, text) => {
                self.emit("error", json!({ "code": "notice", "message": text }));
            }
            Happening::Second => {
                if let Some(why) = self.file.as_ref().and_then(PictureFile::failure) {
                    self.emit("error", json!({ "code": "screen", "message": why }));
                }
                if let Some((cpu, rss)) = self.usage.sample(now) {
                    self.emit("stats", json!({ "cpu": round(cpu, 4), "rss_mb": round(rss, 1) }));
                }
            }
            Happening::Ended(reason) => self.emit("ended", json!({ "reason": reason })),
            _ => {}
        }
        if self.unread.get() {
            vec![Want::Leave("nobody reads the events")]
        } else {
            vec![]
        }
    }

    /// Everyone's pictures go into the one file; with several people it holds whoever sent last.
    pub(super) fn show(&self) -> Show {
        let file = self.file.as_ref().and_then(PictureFile::sender);
        Box::new(move |picture| {
            if let Some(file) = &file {
                let _ = file.try_send(picture.clone());
            }
        })
    }

    /// Why no event can be written any more.
    pub(super) fn failure(&self) -> Option<String> {
        self.events.failure()
    }

    pub(super) fn finish(self) {
        if let Some(file) = self.file {
            file.finish();
        }
    }

    fn wrong(&self, why: &str) -> Vec<Want> {
        let message = SafeText::new(why, 400);
        self.emit("error", json!({ "code": "bad-command", "message": message }));
        vec![]
    }

    fn handle_call(&mut self, event: &Event, now: Instant) -> Vec<Want> {
        match event {
            Event::Joined { id } => {
                self.id = Some(id.clone());
                self.announce();
            }
            Event::PeerJoined { peer, name } => {
                self.peers.insert(
                    peer.clone(),
                    Met {
                        name: name.clone(),
                        since: now,
                        seen: false,
                        screen: false,
                        screen_seen: false,
                    },
                );
                self.emit("peer-joined", json!({ "peer": peer, "name": name }));
                return vec![Want::Viewport(peer.into(), self.viewport)];
            }
            Event::Renamed { peer, name } => {
                if let Some(met) = self.peers.get_mut(peer) {
                    met.name = name.clone();
                }
            }
            Event::Figures { .. } => {}
            Event::PeerLeft { peer, reason } => {
                let name = self.peers.remove(peer).map(|met| met.name);
                self.emit(
                    "peer-left",
                    json!({ "peer": peer, "name": name, "reason": reason }),
                );
            }
            Event::Connected {
                peer,
                after,
                way,
                agreed,
            } => {
                if let Some(met) = self.peers.get_mut(peer) {
                    met.since = now.checked_sub(*after).unwrap_or(now);
                    met.seen = false;
                }
                let mut event = json!({
                    "peer": peer,
                    "ms": milliseconds(*after),
                    "video": agreed.video.map(|codec| codec.to_string()),
                    "audio": agreed.audio.then_some("opus"),
                });
                tell_way(&mut event, *way);
                self.emit("connected", event);
            }
            Event::Path { peer, state, why } => {
                let (word, way) = match state {
                    PathState::Unstable { .. } => ("unstable", None),
                    PathState::Restored(way) => ("restored", Some(way)),
                    PathState::Restarting => ("restarting", None),
                    PathState::Failed => ("failed", None),
                };
                let mut event = json!({ "peer": peer, "state": word, "why": why });
                if let Some(way) = way {
                    tell_way(&mut event, *way);
                }
                self.emit("path", event);
            }
            Event::Mute { peer, mic, camera } => {
                self.emit("mute", json!({ "peer": peer, "mic": mic, "camera": camera }));
            }
            Event::Screen { peer, on } => {
                self.emit("screen", json!({ "peer": peer, "on": on }));
                if let Some(met) = self.peers.get_mut(peer) {
                    (met.screen, met.screen_seen) = (*on, false);
                }
                if *on {
                    let screen = VideoId::new(peer.clone(), VideoKind::Screen);
                    return vec![Want::Viewport(screen, self.viewport)];
                }
            }
            Event::Chat { peer, text } => self.emit("chat", json!({ "peer": peer, "text": text })),
            Event::Error { code, message } => {
                self.emit("error", json!({ "code": code, "message": message }));
            }
        }
        vec![]
    }

    /// The room is announced as soon as both halves of it are known, and again when the lost meeting
    /// point is back.
    fn announce(&mut self) {
        if let (Some(id), Some(link), false) = (&self.id, &self.link, self.announced) {
            self.announced = true;
            let mut joined = json!({ "room": self.room, "id": id, "link": link });
            if let Some(code) = Code::of_room(&self.room) {
                joined["code"] = code.to_string().into();
            }
            self.emit("joined", joined);
        }
    }

    /// The room is to be joined anew.
    fn forget_room(&mut self) {
        self.announced = false;
        self.id = None;
    }

    fn first_frame(&mut self, video: &VideoId, size: Size, now: Instant) {
        let ms = self.since_met(&video.peer, now);
        let Some(met) = self.peers.get_mut(&video.peer) else {
            return;
        };
        let seen = match video.kind {
            VideoKind::Camera => &mut met.seen,
            VideoKind::Screen => &mut met.screen_seen,
        };
        if std::mem::replace(seen, true) {
            return;
        }
        let (width, height) = (size.width, size.height);
        let mut event = json!({ "peer": video.peer, "ms": ms, "width": width, "height": height });
        if video.kind == VideoKind::Screen {
            event["of"] = "screen".into();
        }
        self.emit("first-frame", event);
    }

    fn since_met(&self, peer: &PeerId, now: Instant) -> Option<f64> {
        self.peers
            .get(peer)
            .map(|met| milliseconds(now.saturating_duration_since(met.since)))
    }

    fn stats(&self, peer: &PeerId, report: &Report) {
        let kbps = |rate: Bitrate| round(rate.as_kbps(), 1);
        let share = |share: f32| round(f64::from(share), 4);
        let figures = &report.figures;
        let mut event = json!({
            "peer": peer,
            "rtt_ms": figures.rtt.map(milliseconds),
            "send_kbps": kbps(figures.sent),
            "recv_kbps": kbps(figures.received),
            "estimate_kbps": figures.estimate.map(kbps),
            "loss_in": share(figures.loss_in),
            "loss_out": share(figures.loss_out),
            "fps_in": round(f64::from(figures.fps_in), 1),
            "screen_fps_in": round(f64::from(figures.screen_fps_in), 1),
            "screen_width_in": report.screen_in.width,
            "screen_height_in": report.screen_in.height,
            "fps_out": round(f64::from(figures.fps_out), 1),
            "width_in": report.size_in.width,
            "height_in": report.size_in.height,
            "width_out": report.size_out.width,
            "height_out": report.size_out.height,
            "freezes": figures.freezes,
            "jitter_ms": round(f64::from(report.voice.jitter_ms), 1),
            "concealed": share(report.voice.concealed),
            "keyframes_in": figures.keyframes_in,
            "limit": match figures.limit {
                Limit::Far => "far",
                Limit::Line => "line",
                Limit::User => "user",
                Limit::Cpu => "cpu",
            },
        });
        if let Some(way) = figures.way {
            tell_way(&mut event, way);
        }
        self.emit("stats", event);
    }

    fn emit(&self, event: &str, fields: serde_json::Value) {
        if !self.events.emit(event, fields) {
            self.unread.set(true);
        }
    }
}

fn tell_way(event: &mut serde_json::Value, way: Way) {
    event["local"] = way.local.into();
    event["remote"] = way.remote.into();
    event["transport"] = way.transport.into();
}

fn milliseconds(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1000.0, 2)
}
