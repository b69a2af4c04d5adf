//! A connection to a sound server that speaks PulseAudio's protocol (PipeWire does too): one socket, read
//! and written by one thread, with a deadline for each thing that is waited for.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{self, Cursor, Read, Write};
use std::mem::discriminant;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, CommandReply, DESCRIPTOR_SIZE, Descriptor, DescriptorFlags,
    MAX_VERSION, MIN_VERSION, Prop, Props, SetClientNameReply, TagStructReader,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, Socket, Type};

use super::super::Quit;
use super::super::flow::{Drain, Fill};
use crate::io::clock;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is read at once; ten turns of both directions.
const ROOM: usize = 64 * 1024;
/// The longest message that is taken: a list of devices of a very large studio.
const LONGEST: usize = 4 * 1024 * 1024;
/// What a server may ask for at once: a second.
const MOST_ASKED: usize = 48_000 * size_of::<f32>();

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(in crate::io::sound) enum Trouble {
    /// No server is there.
    #[error("no sound server is running")]
    Absent,
    /// It does not answer in time.
    #[error("the sound server does not answer")]
    Silent,
    /// It answered that it will not.
    #[error("the sound server refuses ({0})")]
    Refused(protocol::PulseError),
    /// The connection broke.
    #[error("the connection to the sound server broke ({0})")]
    Broken(String),
    /// The connection is not wanted any more.
    #[error("not wanted any more")]
    Quit,
}

impl Trouble {
    /// What to do about it.
    pub(in crate::io::sound) fn remedy(&self) -> &'static str {
        match self {
            Self::Silent => "; restart it (systemctl --user restart pipewire-pulse, or pulseaudio -k)",
            Self::Absent | Self::Refused(_) | Self::Broken(_) => "; waiting for it",
            Self::Quit => "",
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<protocol::ProtocolError> for Trouble {
    fn from(error: protocol::ProtocolError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What goes on over the connection besides answers.
pub(super) enum Flow {
    /// What a microphone captures comes.
    Capture(Fill),
    /// What a speaker is to play is asked for.
    Playback(Drain),
}

/// What came in.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Sound, or a request for some.
    Flowed,
    /// Something of the server changed: its devices, or its choice.
    Changed,
    /// The stream was ended by the server.
    Ended,
    /// The server, or who looks after it, moved the stream to this device.
    Moved(String),
    /// Nothing of interest.
    Nothing,
}

/// A message's meaning to who reads the connection.
enum Incoming {
    Turn(Turn),
    Answer(u32),
    Refusal(u32, protocol::PulseError),
}

/// A connection.
pub(super) struct Line {
    socket: UnixStream,
    quit: Arc<Quit>,
    version: u16,
    tag: u32,
    input: Vec<u8>,
    filled: usize,
    /// The payload of the last answer.
    answer: Vec<u8>,
    output: Vec<u8>,
    /// What came while an answer was awaited, the newest of each kind.
    meanwhile: VecDeque<Turn>,
    /// The stream's channel, and what it does.
    pub(super) flow: Option<(u32, Flow)>,
}

impl Line {
    /// Connects to the server that the environment names.
    pub(super) fn connect(quit: &Arc<Quit>) -> Result<Self, Trouble> {
        let path = pulseaudio::socket_path_from_env().ok_or(Trouble::Absent)?;
        let mut line = Self::over(open(&path)?, quit);
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let auth: AuthReply = line.ask(&Command::Auth(AuthParams {
            version: MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: cookie.unwrap_or_default(),
        }))?;
        if auth.version < MIN_VERSION {
            let old = format!("it speaks version {}, {MIN_VERSION} is needed", auth.version);
            return Err(Trouble::Broken(old));
        }
        line.version = auth.version.min(MAX_VERSION);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"facetty");
        if let Ok(pid) = CString::new(std::process::id().to_string()) {
            props.set(Prop::ApplicationProcessId, pid);
        }
        let _: SetClientNameReply = line.ask(&Command::SetClientName(props))?;
        Ok(line)
    }

    /// Over a socket that does not block.
    fn over(socket: UnixStream, quit: &Arc<Quit>) -> Self {
        Self {
            socket,
            quit: quit.clone(),
            version: MAX_VERSION,
            tag: 0,
            input: vec![0; ROOM],
            filled: 0,
            answer: Vec::new(),
            output: Vec::with_capacity(ROOM),
            meanwhile: VecDeque::new(),
            flow: None,
        }
    }

    /// Has something done and gives the answer. Sound that comes meanwhile is seen to, and whatever else
    /// comes is the next turn's.
    pub(super) fn ask<R: CommandReply>(&mut self, command: &Command) -> Result<R, Trouble> {
        self.tell(command)?;
        let mut payload = Cursor::new(&self.answer);
        Ok(TagStructReader::new(&mut payload, self.version).read()?)
    }

    /// Has something done that is answered by no more than that it is.
    pub(super) fn tell(&mut self, command: &Command) -> Result<(), Trouble> {
        self.tag += 1;
        let tag = self.tag;
        self.output.clear();
        protocol::encode_command_message(&mut self.output, tag, command, self.version)?;
        self.write()?;
        let until = clock::now() + PATIENCE;
        loop {
            match self.receive(until)? {
                None => return Err(Trouble::Silent),
                Some(Incoming::Answer(answered)) if answered == tag => return Ok(()),
                Some(Incoming::Refusal(refused, why)) if refused == tag => return Err(Trouble::Refused(why)),
                Some(Incoming::Turn(turn)) => self.keep(turn),
                // What was given up long ago is answered.
                Some(Incoming::Answer(_) | Incoming::Refusal(..)) => {}
            }
        }
    }

    /// Keeps what came for the next turn. Of each kind only the newest says how things are, so that there
    /// are never more than there are kinds.
    fn keep(&mut self, turn: Turn) {
        if !matches!(turn, Turn::Nothing) {
            self.meanwhile
                .retain(|older| discriminant(older) != discriminant(&turn));
            self.meanwhile.push_back(turn);
        }
    }

    /// Sees to what came while an answer was awaited, or else to what comes next. `None` where nothing
    /// came until then.
    pub(super) fn turn(&mut self, until: Instant) -> Result<Option<Turn>, Trouble> {
        if let Some(turn) = self.meanwhile.pop_front() {
            return Ok(Some(turn));
        }
        Ok(self.receive(until)?.map(|incoming| match incoming {
            Incoming::Turn(turn) => turn,
            Incoming::Answer(_) | Incoming::Refusal(..) => Turn::Nothing,
        }))
    }

    /// Sends so many bytes of what is to be played; of silence where `silent`.
    pub(super) fn give(&mut self, length: usize, silent: bool) -> Result<(), Trouble> {
        let Some((channel, Flow::Playback(drain))) = &mut self.flow else {
            return Ok(());
        };
        let length = length.min(MOST_ASKED) / size_of::<f32>() * size_of::<f32>();
        self.output.clear();
        self.output.resize(DESCRIPTOR_SIZE + length, 0);
        let (head, sound) = self.output.split_at_mut(DESCRIPTOR_SIZE);
        let descriptor = Descriptor {
            length: length as u32,
            channel: *channel,
            offset: 0,
            flags: DescriptorFlags::empty(),
        };
        let head: &mut [u8; DESCRIPTOR_SIZE] = head.try_into().expect("it was split off as long");
        protocol::encode_descriptor(head, &descriptor);
        if !silent {
            drain.give_bytes(sound);
        }
        self.write()
    }

    /// The next message, and what it brings seen to.
    fn receive(&mut self, until: Instant) -> Result<Option<Incoming>, Trouble> {
        loop {
            if let Some(incoming) = self.next()? {
                return Ok(Some(incoming));
            }
            if !self.ready(PollFlags::IN, until)? {
                return Ok(None);
            }
            match self.socket.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(Trouble::Broken("it was closed".into())),
                Ok(count) => self.filled += count,
                Err(error) if retried(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a message out of what was read, if it is whole.
    fn next(&mut self) -> Result<Option<Incoming>, Trouble> {
        if self.filled < DESCRIPTOR_SIZE {
            return Ok(None);
        }
        let head = protocol::read_descriptor(&mut &self.input[..DESCRIPTOR_SIZE])?;
        let length = DESCRIPTOR_SIZE + head.length as usize;
        if length > LONGEST {
            return Err(Trouble::Broken(format!("a message of {length} bytes")));
        }
        if self.filled < length {
            if self.input.len() < length {
                self.input.resize(length, 0);
            }
            return Ok(None);
        }
        let payload = &self.input[DESCRIPTOR_SIZE..length];
        let mut asked = None;
        let incoming = if head.channel != u32::MAX {
            match &mut self.flow {
                Some((channel, Flow::Capture(fill))) if *channel == head.channel => {
                    fill.take_bytes(payload);
                    Incoming::Turn(Turn::Flowed)
                }
                _ => Incoming::Turn(Turn::Nothing),
            }
        } else {
            let mut payload = Cursor::new(payload);
            match Command::read_tag_prefixed(&mut payload, self.version) {
                Ok((tag, Command::Reply)) => {
                    let read = payload.position() as usize;
                    self.answer.clear();
                    self.answer.extend_from_slice(&payload.into_inner()[read..]);
                    Incoming::Answer(tag)
                }
                Ok((tag, Command::Error(why))) => Incoming::Refusal(tag, why),
                Ok((_, Command::Request(request))) => {
                    asked = Some(request.length as usize);
                    Incoming::Turn(Turn::Flowed)
                }
                Ok((_, event)) => Incoming::Turn(event_of(event)),
                // An event of a later version, which is not for us.
                Err(error) => {
                    tracing::debug!("a message of the sound server is passed over: {error}");
                    Incoming::Turn(Turn::Nothing)
                }
            }
        };
        self.input.copy_within(length..self.filled, 0);
        self.filled -= length;
        if let Some(length) = asked {
            self.give(length, false)?;
        }
        Ok(Some(incoming))
    }

    /// Writes what is to go out.
    fn write(&mut self) -> Result<(), Trouble> {
        let until = clock::now() + PATIENCE;
        let mut written = 0;
        while written < self.output.len() {
            match self.socket.write(&self.output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.ready(PollFlags::OUT, until)? {
                        return Err(Trouble::Silent);
                    }
                }
                Err(error) if retried(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the socket can be read or written; false where it could not until then.
    fn ready(&self, what: PollFlags, until: Instant) -> Result<bool, Trouble> {
        loop {
            let mut both = [
                PollFd::new(&self.socket, what),
                PollFd::new(&self.quit.wake, PollFlags::IN),
            ];
            let left = until.saturating_duration_since(clock::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
            let ready = match poll(&mut both, Some(&left)) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => ready.map_err(io::Error::from)?,
            };
            if !both[1].revents().is_empty() {
                return Err(Trouble::Quit);
            }
            return Ok(ready > 0);
        }
    }
}

/// What an event means.
fn event_of(event: Command) -> Turn {
    match event {
        Command::SubscribeEvent(_) => Turn::Changed,
        Command::PlaybackStreamKilled(_) | Command::RecordStreamKilled(_) => Turn::Ended,
        Command::RecordStreamMoved(moved) => Turn::Moved(moved.device_name.to_string_lossy().into_owned()),
        Command::PlaybackStreamMoved(moved) => Turn::Moved(moved.device_name.to_string_lossy().into_owned()),
        _ => Turn::Nothing,
    }
}

/// A socket that never blocks, not even while it is being connected: a server that hangs takes nobody.
fn open(path: &std::path::Path) -> Result<UnixStream, Trouble> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(UnixStream::from(socket)),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::WouldBlock => Trouble::Silent,
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Trouble::Absent,
            _ => error.into(),
        }),
    }
}

fn retried(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
