//! The loop of a call: one task owns everything, waits for one thing at a time, lets it change the
//! call, and carries out what follows.

mod grant;
mod handle;
mod options;
mod start;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use url::Url;

pub use self::options::{CallOptions, Interface, Place};
use super::clock;
use super::decode::{DecodeEvent, Decoding};
use super::encode::Encoding;
use super::error::CallError;
use super::front::{Front, Happening, Report, Want};
use super::headless;
use super::interfaces::Watch;
use super::meet::Meeting;
use super::servers::{ServerEvent, Servers};
use super::signals::{Asked, Signals};
use super::socket::{JoinRequest, Socket, SocketError, SocketEvent};
use super::sound::{Sound, SoundCommand, SoundEvent, VoiceStats};
use super::source::{Source, SourceEvent};
use super::udp::Udp;
use crate::call::control::{VideoId, VideoKind};
use crate::call::paths::PathOutput;
use crate::call::{self, Call, EncodedVideo, Event, Output, PathState};
use crate::media::chime::Chime;
use crate::signal::message::PeerId;
use crate::units::Size;

/// How long good-bye may take.
const PARTING: Duration = Duration::from_millis(500);

/// The call's timers wait so long at most for a packet or a picture, which wakes this thread anyway; on a
/// line none of them is more exact than this.
const SLACK: Duration = Duration::from_millis(4);

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
    let epoch = clock::now();
    let is_headless = matches!(options.interface, Interface::Headless { .. });
    std::thread::spawn(move || call::warm_up(epoch));
    let mut driver = match Driver::start(options, place, log, epoch).await {
        Ok(driver) => driver,
        Err(error) => {
            if is_headless {
                headless::tell_failure(error.code(), &error.to_string(), epoch);
            }
            return Err(error);
        }
    };
    let result = driver.turn(quit).await;
    driver.end(result).await
}

struct Driver {
    options: CallOptions,
    epoch: Instant,
    call: Call,
    udp: Udp,
    /// `None` where the system gives no word of its network.
    network: Option<Watch>,
    servers: Servers,
    meeting: Meeting,
    socket: Socket,
    key: String,
    front: Front,
    signals: Option<Signals>,
    encoding: Encoding,
    encoded: mpsc::Receiver<EncodedVideo>,
    decoders: BTreeMap<VideoId, Decoding>,
    decode_events: mpsc::Sender<DecodeEvent>,
    decoded: mpsc::Receiver<DecodeEvent>,
    sound: Sound,
    sounds: mpsc::Receiver<SoundEvent>,
    source: Source,
    sources: mpsc::Receiver<SourceEvent>,
    voices: BTreeMap<PeerId, VoiceStats>,
    sizes: BTreeMap<VideoId, Size>,
    wants: Vec<Want>,
    mic_on: bool,
    camera_on: bool,
    ends: Option<Instant>,
    second: Option<Instant>,
    /// The last step took packets: now it is everything else's turn.
    received: bool,
    /// The meeting point is lost for good; the call goes on with those who are connected.
    refused: Option<SocketError>,
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
    Server(ServerEvent),
    Network(std::io::Result<()>),
    Front(Vec<Want>),
    Moved(Box<Meeting>),
    Quit,
    Timeout,
}

impl Driver {
    /// Turns until the call ends.
    async fn turn(&mut self, quit: impl Future<Output = ()>) -> Result<(), CallError> {
        let mut quit = std::pin::pin!(quit);
        loop {
            self.flush(clock::now());
            if self.reason.is_some() {
                return Ok(());
            }
            if let Some(error) = self.refused.take_if(|_| !self.call.is_connected()) {
                return Err(error.into());
            }
            let step = self.wait(quit.as_mut()).await;
            self.received = matches!(step, Step::Packets);
            let now = clock::now();
            self.take(step, now)?;
            if self.call.poll_timeout().is_some_and(|due| due <= now) {
                self.call.handle_timeout(now);
            }
        }
    }

    /// Waits for one thing. What is most urgent comes first, but packets not twice in a row: a flood
    /// of them must not starve timers and keys.
    async fn wait(&mut self, quit: impl Future<Output = ()>) -> Step {
        let now = clock::now();
        let slack = |due| if due > now { due + SLACK } else { due };
        let deadline = [self.call.poll_timeout().map(slack), self.ends, self.second]
            .into_iter()
            .flatten()
            .min();
        let timeout = async {
            match deadline {
                Some(at) if at <= now => {}
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
        let network = async {
            match &mut self.network {
                Some(network) => network.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            asked = asked => Step::Asked(asked),
            () = after_others(self.received, self.udp.readable()) => Step::Packets,
            Some(video) = self.encoded.recv() => Step::Video(video),
            Some(event) = self.sounds.recv() => Step::Sound(event),
            () = timeout => Step::Timeout,
            wants = self.front.next() => Step::Front(wants),
            event = self.servers.event() => Step::Server(event),
            changed = network => Step::Network(changed),
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
            Step::Server(event) => self.handle_server(event, now),
            Step::Network(changed) => self.handle_network(changed, now),
            Step::Decoded(DecodeEvent::Trouble(video)) => self.call.want_keyframe(video, now),
            // What was decoded of somebody who left meanwhile is nobody's.
            Step::Decoded(DecodeEvent::Size(video, size)) if self.decoders.contains_key(&video) => {
                self.tell(&Happening::Picture(&video, size), now);
                self.sizes.insert(video, size);
            }
            Step::Decoded(DecodeEvent::Size(..)) => {}
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
            Output::Transmit(packet) => self.udp.send(packet.source, packet.destination, &packet.contents),
            Output::Path(PathOutput::Datagram {
                source,
                destination,
                bytes,
            }) => self.udp.send(source, destination, &bytes),
            Output::Path(output) => self.servers.carry_out(output),
            Output::Signal(message) => {
                self.socket.send(message);
            }
            Output::Targets(targets) => self.encoding.set_targets(targets),
            Output::Video { peer, frame } => {
                let video = VideoId::new(peer, frame.kind);
                let decoder = self.decoders.entry(video.clone()).or_insert_with(|| {
                    Decoding::start(video.clone(), self.front.show(&video), self.decode_events.clone())
                });
                if !decoder.decode(frame) {
                    self.call.want_keyframe(video, now);
                }
            }
            Output::Voice { peer, packet } => {
                self.front.hear(&packet, now);
                self.sound.send(SoundCommand::Packet(peer, packet));
            }
            Output::VoiceTune(tune) => {
                self.sound.send(SoundCommand::Tune(tune));
            }
            Output::Event(event) => self.handle_event(&event, now),
        }
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        if !matches!(event, Event::Figures { .. }) {
            tracing::info!(?event);
        }
        match event {
            Event::Connected { peer, .. } => {
                self.connected_once = true;
                self.no_path = None;
                // Their first picture is news once more.
                self.decoders.retain(|video, _| video.peer != *peer);
                self.sound.send(SoundCommand::RemovePeer(peer.clone()));
                self.sound.send(SoundCommand::AddPeer(peer.clone()));
            }
            Event::PeerLeft { peer, .. } => {
                self.decoders.retain(|video, _| video.peer != *peer);
                self.voices.remove(peer);
                self.sizes.retain(|video, _| video.peer != *peer);
                self.ring(Chime::Left);
                self.sound.send(SoundCommand::RemovePeer(peer.clone()));
            }
            Event::PeerJoined { .. } => self.ring(Chime::Joined),
            Event::Screen { peer, on: false } => {
                let video = VideoId::new(peer.clone(), VideoKind::Screen);
                self.decoders.remove(&video);
                self.sizes.remove(&video);
            }
            Event::Path {
                state: PathState::Failed,
                why,
                ..
            } => self.no_path = Some(why.clone()),
            Event::Figures { peer, figures } => {
                let size = |kind| {
                    let video = VideoId::new(peer.clone(), kind);
                    self.sizes.get(&video).copied().unwrap_or_default()
                };
                let report = Report {
                    figures: *figures,
                    voice: self.voices.get(peer).copied().unwrap_or_default(),
                    size_in: size(VideoKind::Camera),
                    screen_in: size(VideoKind::Screen),
                    size_out: self.call.size_out(peer).unwrap_or_default(),
                };
                self.tell(&Happening::Figures(peer, &report), now);
                return;
            }
            _ => {}
        }
        self.tell(&Happening::Call(event), now);
    }

    /// Says good-bye and gives everything back.
    async fn end(mut self, result: Result<(), CallError>) -> Result<(), CallError> {
        let now = clock::now();
        self.call.leave(now);
        self.flush(now);
        let result = match (result, self.no_path.take()) {
            (Ok(()), Some(why)) if !self.connected_once => Err(CallError::NoPath(why)),
            (result, _) => result,
        };
        let result = result.and_then(|()| {
            self.front
                .failure()
                .map_or(Ok(()), |why| Err(CallError::Events(why)))
        });
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
        self.decoders.into_values().for_each(Decoding::finish);
        drop((self.sound, self.source));
        self.front.finish();
        result
    }
}

/// Waits for `future` and, where `yields`, lets everything else that is ready go before it once.
async fn after_others<T>(yields: bool, future: impl Future<Output = T>) -> T {
    if yields {
        tokio::task::yield_now().await;
    }
    future.await
}

fn join(options: &CallOptions, server: &Url, key: &str) -> JoinRequest {
    JoinRequest {
        server: server.clone(),
        room: options.room.clone(),
        name: options.name.clone(),
        key: key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn packets_come_first_but_not_twice_in_a_row() {
        let mut taken = Vec::new();
        let mut received = false;
        for _ in 0..4 {
            let step = tokio::select! {
                biased;
                () = after_others(received, ready(())) => "packets",
                () = ready(()) => "a timer",
            };
            received = step == "packets";
            taken.push(step);
        }
        assert_eq!(taken, ["packets", "a timer", "packets", "a timer"]);
        // With nothing else to do, packets are taken as they come.
        after_others(true, ready(())).await;
    }
}
