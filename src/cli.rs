//! The command line: what is asked for, checked before anything begins.

mod resolve;
mod serve;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::call::paths::Server;
use crate::call::rate::{VIDEO_FLOOR, VOICE};
use crate::io::headless::ScreenSink;
use crate::signal::message::is_room_name;
use crate::units::Cells;

/// A video call that lives in a terminal.
///
/// With --room NAME (or a link, or a code) you join that room, and whoever comes first opens it. With
/// neither, a private room is opened, and its code and link are shown.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    /// What to do; a call, where nothing is said.
    pub command: Option<Command>,
    /// The call.
    #[command(flatten)]
    pub call: CallArgs,
}

/// Kilobits a second that `--max-bitrate` takes: the voice and the least of a picture, to more than any
/// line carries.
const MAX_BITRATE: std::ops::RangeInclusive<u64> = (VOICE.0 + VIDEO_FLOOR.0) / 1000..=10_000_000;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the meeting point: rooms for those who can reach this machine
    Serve(ServeArgs),
    /// A call on this machine with the built-in peer, through a real server, ICE, DTLS and SRTP
    Demo(DemoArgs),
    /// Show a clip or a picture through the same renderer as a call
    Play(PlayArgs),
    /// List cameras, microphones and speakers
    Devices,
    /// Check terminal, devices and network, and say what will not work and why
    #[command(after_help = DOCTOR_STATUS)]
    Doctor(DoctorArgs),
}

const DOCTOR_STATUS: &str = "Exit status: 0 where all is well or goes on with less (warnings), 1 where something \
                             fails, 2 for wrong usage. It takes ten seconds at most.";

/// What is to be checked, as a call would use it.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The meeting point, as for a call [env: FACETTY_SERVER]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A STUN or TURN server, as for a call (repeatable)
    #[arg(long, value_name = "URL")]
    pub ice_server: Vec<Server>,
    /// Which ways are to work: all, or those by a relay alone [default: all]
    #[arg(long, value_name = "P", value_enum)]
    pub ice_policy: Option<Policy>,
    /// The camera, as for a call; it is opened for a moment [default: auto]
    #[arg(long, value_name = "SRC")]
    pub camera: Option<String>,
    /// The microphone, as for a call; it is listened to for a moment [default: auto]
    #[arg(long, value_name = "SRC")]
    pub mic: Option<String>,
    /// The speaker, as for a call; nothing is to be heard [default: auto]
    #[arg(long, value_name = "SINK")]
    pub speaker: Option<String>,
    /// Colours of the terminal; NO_COLOR means mono [default: auto]
    #[arg(long, value_name = "DEPTH", value_enum)]
    pub color: Option<Color>,
    /// A JSON object for each line, and one with the counts at the end
    #[arg(long)]
    pub json: bool,
}

/// A call.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// A link to a room, such as http://192.168.1.23:7880/standup, or a code such as
    /// 7-crossover-clockwork
    #[arg(conflicts_with = "room")]
    pub invite: Option<String>,
    /// Join this room; the first one in opens it (1 to 64 of A-Z a-z 0-9 . _ -)
    #[arg(long, value_name = "NAME", value_parser = room_name)]
    pub room: Option<String>,
    /// The meeting point (ws:, wss:, http: or https:); without one, rooms are looked for on this
    /// machine and the local network, and opened here where there is none [env: FACETTY_SERVER]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    /// Picture and sound.
    pub media: MediaArgs,
}

/// The demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Picture and sound.
    #[command(flatten)]
    pub media: MediaArgs,
}

/// Picture, sound, and how they are shown.
#[derive(Debug, Args)]
pub struct MediaArgs {
    /// How others see you called [default: the login name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// auto, none, test, an index, /dev/videoN, image:PATH, y4m:PATH (looped), y4m:- (standard input, live)
    /// [default: auto]
    #[arg(long, value_name = "SRC")]
    pub camera: Option<String>,
    /// auto, none, tone, a device's name, wav:PATH (looped) [default: auto]
    #[arg(long, value_name = "SRC")]
    pub mic: Option<String>,
    /// auto, none, a device's name, wav:PATH (writes what would be heard) [default: auto]
    #[arg(long, value_name = "SINK")]
    pub speaker: Option<String>,
    /// Echo cancellation; off spares a headset the work [default: on]
    #[arg(long, value_enum, value_name = "on|off")]
    pub aec: Option<Switch>,
    /// No sound when somebody joins or leaves
    #[arg(long, action = ArgAction::SetTrue)]
    pub no_chimes: bool,
    /// Join with the microphone off
    #[arg(long, action = ArgAction::SetTrue)]
    pub muted: bool,
    /// Join with the camera off
    #[arg(long, action = ArgAction::SetTrue)]
    pub no_video: bool,
    #[command(flatten)]
    /// How it is shown.
    pub show: ShowArgs,
    /// Pictures a second, sent and asked for [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub fps: Option<u32>,
    /// The video codec [default: auto]
    #[arg(long, value_enum)]
    pub codec: Option<CodecChoice>,
    /// The most that is sent to one peer, picture and voice, in kbit/s (56 to 10000000)
    #[arg(long, value_name = "KBIT", value_parser = clap::value_parser!(u64).range(MAX_BITRATE))]
    pub max_bitrate: Option<u64>,
    /// A STUN or TURN server, beside those that the meeting point names (repeatable):
    /// stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT?transport=udp|tcp, turns:USER:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL")]
    pub ice_server: Vec<Server>,
    /// Which ways to be reached others are told: all, or those by a relay alone, so that nobody learns
    /// this machine's addresses [default: all]
    #[arg(long, value_name = "P", value_enum)]
    pub ice_policy: Option<Policy>,
    /// No interface: events as JSON lines on standard output, commands on standard input
    #[arg(long)]
    pub headless: bool,
    /// With --headless: none, or y4m:PATH (the remote picture as decoded)
    #[arg(long, value_name = "SINK", requires = "headless", default_value = "none")]
    pub screen: ScreenSink,
    /// Leave after so many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Log to this file
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Log more; twice: everything
    #[arg(short, action = ArgAction::Count, requires = "log")]
    pub verbose: u8,
}

/// A clip.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// A clip (Y4M), a picture, or -: a clip on standard input
    pub file: PathBuf,
    /// Columns and rows [default: the terminal's, or 80x24 where standard output is none]
    #[arg(long, value_name = "COLSxROWS", value_parser = cells)]
    pub size: Option<Cells>,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
    /// Again and again
    #[arg(long = "loop")]
    pub repeat: bool,
    /// As fast as it goes
    #[arg(long)]
    pub unpaced: bool,
}

/// How pictures are shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// auto, half, quadrant, sextant, octant, ascii, kitty, sixel [default: auto]
    #[arg(long, value_name = "MODE")]
    pub render: Option<String>,
    /// Colours of the terminal; NO_COLOR means mono [default: auto]
    #[arg(long, value_name = "DEPTH", value_enum)]
    pub color: Option<Color>,
    /// Kilobytes a second that are written to the terminal at most; auto: what it and the line take
    /// [default: auto]
    #[arg(long, value_name = "KB")]
    pub output_rate: Option<String>,
}

/// The meeting point.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen, such as 0.0.0.0:7880; port 0 picks one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:7880")]
    pub listen: SocketAddr,
    /// The server's certificate, and those between it and its authority (PEM): https: and wss: instead of
    /// http: and ws:; read again when it is renewed. TURN is spoken over TLS at the same port
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// With a certificate of its own making, whose fingerprint is shown; it is kept, for the next time
    #[arg(long, value_name = "HOW", conflicts_with = "tls_cert")]
    pub tls: Option<Tls>,
    /// Pages of this origin may connect as well (repeatable)
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Rooms at the same time
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rooms: u32,
    /// People in one room, 2 to 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub max_peers: u32,
    /// Where STUN and TURN listen, for those behind NAT: UDP and TCP
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:3478")]
    pub turn_listen: SocketAddr,
    /// Neither STUN nor TURN
    #[arg(long, conflicts_with_all = ["turn_listen", "public_ip", "turn_allow_private", "turn_ports"])]
    pub no_turn: bool,
    /// The address by which the world reaches this machine, where a NAT stands before it
    #[arg(long, value_name = "IP")]
    pub public_ip: Option<IpAddr>,
    /// Relay to private and loopback addresses too: opens this network to whoever may call
    #[arg(long)]
    pub turn_allow_private: bool,
    /// The UDP ports to relay from [default: 49152-65535]
    #[arg(long, value_name = "MIN-MAX", value_parser = port_range)]
    pub turn_ports: Option<std::ops::RangeInclusive<u16>>,
    /// A STUN or TURN server that those who join are told of (repeatable), as for a call; a TURN server
    /// with neither user nor password gets them by --turn-secret
    #[arg(long, value_name = "URL")]
    pub ice_server: Vec<String>,
    /// The secret that an external TURN server has in common with this one (coturn: static-auth-secret),
    /// for credentials that hold for hours
    #[arg(
        long,
        value_name = "SECRET",
        requires = "ice_server",
        env = "FACETTY_TURN_SECRET",
        hide_env_values = true
    )]
    pub turn_secret: Option<String>,
    /// Events as JSON lines on standard output
    #[arg(long)]
    pub headless: bool,
}

/// Where a server's certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// It is signed by itself alone.
    SelfSigned,
}

/// A terminal's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// What the environment says, or the terminal itself.
    Auto,
    /// 16 million.
    Truecolor,
    /// 256.
    #[value(name = "256")]
    Ansi256,
    /// 16.
    #[value(name = "16")]
    Ansi16,
    /// None.
    Mono,
}

/// Which codec is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodecChoice {
    /// VP9, else VP8.
    Auto,
    /// VP9 alone.
    Vp9,
    /// VP8 alone.
    Vp8,
}

/// Which ways to be reached others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// All.
    All,
    /// Relays alone.
    Relay,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// A size such as 80x24.
fn cells(text: &str) -> Result<Cells, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=1000).contains(side));
    let sides = text.split_once('x');
    sides
        .and_then(|(cols, rows)| Some(Cells::new(side(cols)?, side(rows)?)))
        .ok_or_else(|| "columns and rows, 1 to 1000 each, such as 80x24".to_owned())
}

/// Ports such as 50000-50999.
fn port_range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = text
        .split_once('-')
        .and_then(|(min, max)| Some(port(min)?..=port(max)?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "two ports are wanted, the lower one first, such as 50000-50999".to_owned())
}

fn room_name(text: &str) -> Result<String, String> {
    match is_room_name(text) {
        true => Ok(text.to_owned()),
        false => Err("a room's name has 1 to 64 of A-Z a-z 0-9 . _ - and is none of . .. ws healthz".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a number of seconds, zero or more, is wanted".into())
}

#[cfg(test)]
mod tests;
