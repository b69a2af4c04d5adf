//! Devices of a sound server: which one is meant, opened, watched, and left for another.
//!
//! The server is spoken to over a connection of our own and not through cpal, which waits for ever for a
//! server that hangs and for a microphone that gives nothing, keeps three threads for each stream, and
//! clears 1 MiB for each read.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pulseaudio::protocol::stream::{BufferAttr, CorkStreamParams, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, PlaybackStreamParams, Prop,
    Props, RecordStreamParams, SampleFormat, SampleSpec, ServerInfo, SinkInfoList, SourceInfoList,
    SubscriptionMask,
};

use self::line::{Flow, Line, Turn};
use super::find::{self, Candidate};
use super::flow::{Drain, Fill};
use super::{End, Keeper, Quit};
use crate::io::clock;
use crate::io::sound::Devices;
use crate::io::sound::ports::{Capture, Direction, Playback, Report};
use crate::media::audio::RATE;

pub(super) use self::line::Trouble;

mod line;

/// The latency that a microphone is asked for, in microseconds: half of it the device's, half the server's.
const CAPTURE: u32 = 10_000;
/// What a speaker asks for at once, in microseconds; its buffer holds twice as much. Half a block of ours, so
/// that a block is made for every second turn.
const PLAYBACK: u32 = 5_000;
/// What the server keeps of a microphone for who does not read, in microseconds: more would only be late.
const KEPT: u32 = 200_000;
/// A stream that was opened and does nothing for so long is dead …
const FIRST_SOUND: Duration = Duration::from_secs(3);
/// … and likewise one that did something.
const SILENCE: Duration = Duration::from_secs(5);
/// Changes come in swarms; they are looked at when it is calm.
const CALM: Duration = Duration::from_millis(50);
/// So often devices that gave nothing are tried again where there is no other.
const AGAIN: Duration = Duration::from_secs(10);

/// A device, by its number on the server.
type Served = Candidate<u32>;

/// The devices that can be chosen by name. `None` where there is no server.
pub(super) fn list() -> Option<Devices> {
    let quit = Arc::new(Quit::new().ok()?);
    let mut line = Line::connect(&quit).ok()?;
    let mut names = |direction| {
        let mut all = everything(&mut line, direction).ok()?;
        all.retain(|candidate| !candidate.is_monitor());
        Some(all.iter().map(|c| c.shown(&all)).collect())
    };
    Some(Devices {
        microphones: names(Direction::Capture)?,
        speakers: names(Direction::Playback)?,
    })
}

impl Keeper {
    /// Opens a device of the server and watches it. Returns how it ended, or as an error why none opened.
    /// `None` where the server does not have the one that was named.
    pub(super) fn keep_served(&mut self) -> Result<Option<End>, Trouble> {
        let mut line = Line::connect(&self.quit)?;
        self.on_server = true;
        self.follows = self.name.is_none();
        let facility = match self.direction {
            Direction::Capture => SubscriptionMask::SOURCE,
            Direction::Playback => SubscriptionMask::SINK,
        };
        line.tell(&Command::Subscribe(facility | SubscriptionMask::SERVER))?;
        let mut missed = false;
        let mut again = clock::now() + AGAIN;
        let device = loop {
            match self.pick(&mut line)? {
                Ok(device) => break device,
                Err(_) if !missed && self.is_hardware() => return Ok(None),
                Err(why) => self.miss(why),
            }
            missed = true;
            if !wait_for_change(&mut line, again)? {
                // Perhaps one has come to life.
                self.passed.clear();
                again = clock::now() + AGAIN;
            }
        };
        tracing::info!("{} is {}", self.direction, device.name);
        match self.open(&mut line, &device) {
            Ok(report) => Ok(Some(self.attend(&mut line, device, report))),
            Err(Trouble::Refused(why)) => {
                let why = format!("{} cannot be opened ({why})", device.name);
                Ok(Some(self.pass(device, &why)))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// A server has come, and has something to offer, where there was none before.
    pub(super) fn is_served(&self) -> bool {
        let offered = Line::connect(&self.quit).and_then(|mut line| everything(&mut line, self.direction));
        offered.is_ok_and(|all| all.iter().any(|c| !c.is_monitor() && !c.is_dummy()))
    }

    /// The device of the name, or the server's choice, or where that gave nothing another one; as an error
    /// why there is none.
    fn pick(&mut self, line: &mut Line) -> Result<Result<Served, String>, Trouble> {
        let direction = self.direction;
        let mut all = everything(line, direction)?;
        if let Some(name) = &self.name {
            return Ok(match find::place(&all, name) {
                Some(place) => Ok(all.swap_remove(place)),
                None => Err(find::unknown(direction, name, &all)),
            });
        }
        let chosen = choice(line, direction)?;
        // What a speaker plays is no microphone, whatever the server thinks.
        all.retain(|candidate| direction == Direction::Playback || !candidate.is_monitor());
        all.sort_by_key(|candidate| Some(&candidate.id) != chosen.as_ref());
        let tried: Vec<String> = all.iter().map(|candidate| candidate.name.clone()).collect();
        let alive = all.into_iter().find(|c| !self.passed.contains(&c.id));
        self.chosen_by_server = chosen;
        Ok(alive.ok_or_else(|| {
            if tried.is_empty() {
                return find::none(direction);
            }
            let tried = tried.join(", ");
            format!(
                "no {direction}: {} ({tried}); {}",
                dead(direction),
                find::remedy(direction)
            )
        }))
    }

    /// Makes a stream and starts it; what comes of it goes through the report's port.
    fn open(&self, line: &mut Line, device: &Served) -> Result<Report, Trouble> {
        let sample_spec = SampleSpec {
            format: SampleFormat::Float32Le,
            channels: 1,
            sample_rate: RATE,
        };
        let mut props = Props::new();
        props.set(Prop::MediaName, c"call");
        let flags = StreamFlags {
            start_corked: true,
            adjust_latency: true,
            ..StreamFlags::default()
        };
        let started = |channel| CorkStreamParams { channel, cork: false };
        match self.direction {
            Direction::Capture => {
                let made: CreateRecordStreamReply =
                    line.ask(&Command::CreateRecordStream(RecordStreamParams {
                        sample_spec,
                        channel_map: ChannelMap::mono(),
                        source_index: Some(device.device),
                        buffer_attr: BufferAttr {
                            max_length: bytes(KEPT),
                            fragment_size: bytes(CAPTURE),
                            ..BufferAttr::default()
                        },
                        flags,
                        props,
                        ..RecordStreamParams::default()
                    }))?;
                let (capture, source) = Capture::new(RATE);
                line.flow = Some((made.channel, Flow::Capture(Fill::new(source, 1))));
                line.tell(&Command::CorkRecordStream(started(made.channel)))?;
                Ok(Report::Microphone(Box::new(capture), device.name.clone()))
            }
            Direction::Playback => {
                let made: CreatePlaybackStreamReply =
                    line.ask(&Command::CreatePlaybackStream(PlaybackStreamParams {
                        sample_spec,
                        channel_map: ChannelMap::mono(),
                        sink_index: Some(device.device),
                        buffer_attr: BufferAttr {
                            target_length: bytes(2 * PLAYBACK),
                            minimum_request_length: bytes(PLAYBACK),
                            ..BufferAttr::default()
                        },
                        flags,
                        props,
                        ..PlaybackStreamParams::default()
                    }))?;
                let (playback, sink) = Playback::new(RATE);
                line.flow = Some((made.channel, Flow::Playback(Drain::new(sink, 1))));
                // Nothing is there to be played yet.
                line.give(made.requested_bytes as usize, true)?;
                line.tell(&Command::CorkPlaybackStream(started(made.channel)))?;
                Ok(Report::Speaker(Box::new(playback), device.name.clone()))
            }
        }
    }

    /// Waits until the stream fails, goes silent, is another's, or is no longer wanted.
    fn attend(&mut self, line: &mut Line, device: Served, report: Report) -> End {
        self.watch_served(line, device, report)
            .unwrap_or_else(|trouble| End::Lost(trouble.to_string()))
    }

    fn watch_served(&mut self, line: &mut Line, mut device: Served, report: Report) -> Result<End, Trouble> {
        let mut report = Some(report);
        if self.direction == Direction::Playback {
            // Nothing is asked for twice of who gives nothing.
            self.announce(report.take(), &device.name);
        }
        let mut watch = Watch {
            alive: clock::now(),
            patience: FIRST_SOUND,
            look: None,
            moved: None,
        };
        loop {
            let turn = line.turn(watch.deadline())?;
            let now = clock::now();
            match turn {
                Some(Turn::Flowed) => {
                    self.audio.unpark();
                    (watch.alive, watch.patience) = (now, SILENCE);
                    if report.is_some() {
                        self.announce(report.take(), &device.name);
                    }
                }
                Some(Turn::Moved(to)) => {
                    watch.moved = Some(to);
                    watch.look.get_or_insert(now + CALM);
                }
                Some(Turn::Changed) => {
                    watch.look.get_or_insert(now + CALM);
                }
                Some(Turn::Ended) => return Ok(End::Lost("the sound server ended it".into())),
                Some(Turn::Nothing) | None => {}
            }
            if watch.look.is_some_and(|at| at <= now) {
                watch.look = None;
                if let Some(end) = self.look(line, &mut device, watch.moved.take())? {
                    return Ok(end);
                }
            }
            if now >= watch.alive + watch.patience {
                // A server that hangs is another matter.
                let _: ServerInfo = line.ask(&Command::GetServerInfo)?;
                let why = format!("{} {}", device.name, dead(self.direction));
                return Ok(self.pass(device, &why));
            }
        }
    }

    /// Something changed at the server: how that ends the stream, if it does.
    fn look(
        &mut self,
        line: &mut Line,
        device: &mut Served,
        moved: Option<String>,
    ) -> Result<Option<End>, Trouble> {
        let all = everything(line, self.direction)?;
        if all.iter().all(|candidate| candidate.id != device.id) {
            // It gives something else in its place: for a microphone perhaps what the speaker plays.
            return Ok(Some(End::Lost("it was unplugged".into())));
        }
        if let Some(to) = moved.and_then(|to| all.into_iter().find(|c| c.id == to))
            && to.id != device.id
        {
            // Somebody moved it by the server's own means, and is obeyed.
            *device = to;
            self.follows = false;
            self.report(Report::News(format!("{} is now {}", self.direction, device.name)));
        }
        if self.name.is_some() || !self.follows {
            return Ok(None);
        }
        if choice(line, self.direction)? == self.chosen_by_server {
            return Ok(None);
        }
        self.passed.clear();
        let better = self.pick(line)?.is_ok_and(|other| other.id != device.id);
        Ok(better.then_some(End::Moved))
    }

    /// Leaves a device that does nothing for another, where it was not asked for by name.
    fn pass(&mut self, device: Served, why: &str) -> End {
        if self.name.is_some() {
            let direction = self.direction;
            return End::Dead(format!("no {direction}: {why}; {}", find::remedy(direction)));
        }
        self.because = Some(why.to_owned());
        self.passed.push(device.id);
        End::Moved
    }
}

/// What a stream is watched for.
struct Watch {
    /// When it last did something.
    alive: Instant,
    patience: Duration,
    /// When the server's devices are to be looked at.
    look: Option<Instant>,
    moved: Option<String>,
}

impl Watch {
    fn deadline(&self) -> Instant {
        let silence = self.alive + self.patience;
        self.look.map_or(silence, |look| look.min(silence))
    }
}

/// Waits for a change of the server's devices; false where none came until then.
fn wait_for_change(line: &mut Line, until: Instant) -> Result<bool, Trouble> {
    loop {
        match line.turn(until)? {
            None => return Ok(false),
            Some(Turn::Changed) => return Ok(true),
            Some(_) => {}
        }
    }
}

/// What is wrong with a device that does nothing.
fn dead(direction: Direction) -> &'static str {
    match direction {
        Direction::Capture => "gives no sound",
        Direction::Playback => "takes no sound",
    }
}

/// All that can be opened.
fn everything(line: &mut Line, direction: Direction) -> Result<Vec<Served>, Trouble> {
    let served = |device, id: &CStr, name: Option<&CStr>| {
        let id = id.to_string_lossy().into_owned();
        Candidate {
            device,
            name: name.map_or_else(|| id.clone(), |name| name.to_string_lossy().into_owned()),
            full: format!("pulseaudio:{id}"),
            id,
        }
    };
    Ok(match direction {
        Direction::Capture => {
            let all: SourceInfoList = line.ask(&Command::GetSourceInfoList)?;
            let all = all.iter();
            all.map(|s| served(s.index, &s.name, s.description.as_deref()))
                .collect()
        }
        Direction::Playback => {
            let all: SinkInfoList = line.ask(&Command::GetSinkInfoList)?;
            let all = all.iter();
            all.map(|s| served(s.index, &s.name, s.description.as_deref()))
                .collect()
        }
    })
}

/// The id of the device that the server would use.
fn choice(line: &mut Line, direction: Direction) -> Result<Option<String>, Trouble> {
    let info: ServerInfo = line.ask(&Command::GetServerInfo)?;
    let chosen = match direction {
        Direction::Capture => info.default_source_name,
        Direction::Playback => info.default_sink_name,
    };
    Ok(chosen.map(|name| name.to_string_lossy().into_owned()))
}

/// Bytes of so many microseconds.
fn bytes(micros: u32) -> u32 {
    (u64::from(micros) * u64::from(RATE) / 1_000_000) as u32 * size_of::<f32>() as u32
}
