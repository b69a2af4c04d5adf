//! The command line: what is asked for, checked before anything begins.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::call::rate::{VIDEO_FLOOR, VOICE};
use crate::config::Config;
use crate::io::drive::{CallOptions, Interface};
use crate::io::headless::ScreenSink;
use crate::io::play::PlayOptions;
use crate::io::screen::ScreenConfig;
use crate::io::socket::Invite;
use crate::io::sound::{MicSource, SpeakerSink};
use crate::io::source::CameraSource;
use crate::media::video::VideoCodec;
use crate::picture::ColorDepth;
use crate::signal::code::Code;
use crate::signal::message::is_room_name;
use crate::text::SafeText;
use crate::units::{Bitrate, Cells};

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
    /// Pages of this origin may connect as well (repeatable)
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Rooms at the same time
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rooms: u32,
    /// People in one room, 2 to 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub max_peers: u32,
    /// Events as JSON lines on standard output
    #[arg(long)]
    pub headless: bool,
}

/// A terminal's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// What the environment says.
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

impl CallArgs {
    /// Options and configuration file brought together.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(self, config: &Config) -> Result<CallOptions, String> {
        let mut options = self.media.resolve(config)?;
        let (invited_by, room) = match &self.invite {
            Some(text) => invited(text)?,
            None => (None, self.room.unwrap_or_else(|| Code::random().to_string())),
        };
        if invited_by.is_some() && self.server.is_some() {
            return Err("a link names its own server; leave --server out".into());
        }
        // A link is the nearer word than what is set for every call.
        let named = self.server.or_else(|| config.server.clone());
        options.server = match (invited_by, named) {
            (Some(server), _) => Some(server),
            (None, Some(text)) => {
                Some(Invite::parse_server(&text).map_err(|e| format!("--server '{text}': {e}"))?)
            }
            (None, None) => None,
        };
        options.by_code = self.invite.is_some() && Code::of_room(&room).is_some();
        options.room = room;
        Ok(options)
    }
}

impl MediaArgs {
    /// Options and configuration file brought together; room and server are left open.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(self, config: &Config) -> Result<CallOptions, String> {
        let camera = self
            .camera
            .or_else(|| config.camera.clone())
            .unwrap_or_else(|| "auto".into());
        let mic = self
            .mic
            .or_else(|| config.mic.clone())
            .unwrap_or_else(|| "auto".into());
        let speaker = self
            .speaker
            .or_else(|| config.speaker.clone())
            .unwrap_or_else(|| "auto".into());
        let name = self
            .name
            .or_else(|| config.name.clone())
            .unwrap_or_else(login_name);
        let codec = match (self.codec, &config.codec) {
            (Some(codec), _) => codec,
            (None, Some(text)) => CodecChoice::from_str(text, false).map_err(|e| format!("codec: {e}"))?,
            (None, None) => CodecChoice::Auto,
        };
        let aec = match (self.aec, &config.aec) {
            (Some(aec), _) => aec,
            (None, Some(text)) => Switch::from_str(text, false).map_err(|e| format!("aec: {e}"))?,
            (None, None) => Switch::On,
        };
        let screen = self.show.resolve(config)?;
        let fps = self.fps.or(config.fps).unwrap_or(30);
        if !(1..=60).contains(&fps) {
            return Err(format!("fps is {fps}; it goes from 1 to 60"));
        }
        let max_bitrate = self.max_bitrate.or(config.max_bitrate);
        if let Some(kbit) = max_bitrate.filter(|kbit| !MAX_BITRATE.contains(kbit)) {
            let (least, most) = MAX_BITRATE.into_inner();
            return Err(format!("max-bitrate is {kbit}; it goes from {least} to {most}"));
        }
        Ok(CallOptions {
            room: String::new(),
            by_code: false,
            server: None,
            name: SafeText::name(&name),
            camera: camera
                .parse::<CameraSource>()
                .map_err(|e| format!("--camera {camera}: {e}"))?,
            mic: mic
                .parse::<MicSource>()
                .map_err(|e| format!("--mic {mic}: {e}"))?,
            speaker: speaker
                .parse::<SpeakerSink>()
                .map_err(|e| format!("--speaker {speaker}: {e}"))?,
            // A program is told by events.
            chimes: !(self.headless || self.no_chimes || config.no_chimes.unwrap_or(false)),
            echo_cancelled: aec == Switch::On,
            mic_on: !(self.muted || config.muted.unwrap_or(false)),
            camera_on: !(self.no_video || config.no_video.unwrap_or(false)),
            fps,
            codecs: codec.codecs(),
            max_bitrate: max_bitrate.map(Bitrate::kbps),
            interface: if self.headless {
                Interface::Headless { screen: self.screen }
            } else {
                Interface::Terminal(screen)
            },
            duration: self.duration,
        })
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl PlayArgs {
    /// Options and configuration file brought together.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(self, config: &Config) -> Result<PlayOptions, String> {
        Ok(PlayOptions {
            screen: self.show.resolve(config)?,
            file: self.file,
            size: self.size,
            repeat: self.repeat,
            unpaced: self.unpaced,
        })
    }
}

impl ShowArgs {
    /// Options and configuration file brought together.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(&self, config: &Config) -> Result<ScreenConfig, String> {
        let mode = match self
            .render
            .as_ref()
            .or(config.render.as_ref())
            .map(String::as_str)
        {
            None | Some("auto") => None,
            Some(text) => match text.parse() {
                Ok(mode) => Some(mode),
                Err(error) => return Err(format!("--render: {error}; or auto")),
            },
        };
        let color = match (self.color, &config.color) {
            (Some(color), _) => color,
            (None, Some(text)) => Color::from_str(text, false).map_err(|e| format!("color: {e}"))?,
            (None, None) => Color::Auto,
        };
        let rate = self.output_rate.as_ref().or(config.output_rate.as_ref());
        Ok(ScreenConfig {
            depth: color.depth(),
            mode,
            rate: rate.map_or(Ok(None), |text| output_rate(text))?,
        })
    }
}

impl Color {
    /// `None`: the environment decides.
    fn depth(self) -> Option<ColorDepth> {
        match self {
            Color::Auto => None,
            Color::Truecolor => Some(ColorDepth::Truecolor),
            Color::Ansi256 => Some(ColorDepth::Ansi256),
            Color::Ansi16 => Some(ColorDepth::Ansi16),
            Color::Mono => Some(ColorDepth::Mono),
        }
    }
}

impl CodecChoice {
    fn codecs(self) -> Vec<VideoCodec> {
        match self {
            CodecChoice::Auto => vec![VideoCodec::Vp9, VideoCodec::Vp8],
            CodecChoice::Vp9 => vec![VideoCodec::Vp9],
            CodecChoice::Vp8 => vec![VideoCodec::Vp8],
        }
    }
}

/// The server (a link's; a code has none) and the room of an invitation.
fn invited(text: &str) -> Result<(Option<Url>, String), String> {
    if !text.contains([':', '/', '.']) {
        let code = Code::parse(text)
            .map_err(|e| format!("'{text}': {e} (a room's name goes with --room, a link has its server)"))?;
        return Ok((None, code.to_string()));
    }
    let invite = Invite::parse(text).map_err(|e| format!("'{text}' is no link to a room: {e}"))?;
    let room = invite.room.ok_or_else(|| {
        format!("'{text}' names no room; a link looks like http://192.168.1.23:7880/standup")
    })?;
    Ok((Some(invite.server), room))
}

/// Bytes a second; `None`: what terminal and line take.
fn output_rate(text: &str) -> Result<Option<u64>, String> {
    match text {
        "auto" => Ok(None),
        _ => match text.parse() {
            Ok(rate @ 1..=1_000_000) => Ok(Some(rate * 1000)),
            _ => Err(format!(
                "--output-rate {text}: auto, or kilobytes a second from 1 to 1000000"
            )),
        },
    }
}

/// A size such as 80x24.
fn cells(text: &str) -> Result<Cells, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=1000).contains(side));
    let sides = text.split_once('x');
    sides
        .and_then(|(cols, rows)| Some(Cells::new(side(cols)?, side(rows)?)))
        .ok_or_else(|| "columns and rows, 1 to 1000 each, such as 80x24".to_owned())
}

fn login_name() -> String {
    whoami::username().unwrap_or_else(|_| "somebody".into())
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
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn resolve(args: &[&str], config: &Config) -> Result<CallOptions, String> {
        Cli::try_parse_from([&["facetty"], args].concat())
            .map_err(|e| e.to_string())?
            .call
            .resolve(config)
    }

    #[test]
    fn a_link_names_server_and_room() {
        let options = resolve(&["http://example.org:7880/standup"], &Config::default()).expect("a link");
        assert_eq!(options.room, "standup");
        assert_eq!(
            options.server.map(|u| u.to_string()).as_deref(),
            Some("http://example.org:7880/")
        );
        assert!(resolve(&["http://example.org:7880/"], &Config::default()).is_err());
        assert!(resolve(&["no link"], &Config::default()).is_err());
    }

    #[test]
    fn a_code_names_the_room_and_leaves_the_server_open() {
        let none = Config::default();
        let options = resolve(&["7-Crossover-Clockwork"], &none).expect("a code");
        assert_eq!(
            (options.room.as_str(), options.server),
            ("7-crossover-clockwork", None)
        );
        let at = ["7-crossover-clockwork", "--server", "ws://example.org"];
        let options = resolve(&at, &none).expect("a code at a server");
        assert_eq!(
            options.server.map(|u| u.to_string()).as_deref(),
            Some("http://example.org/")
        );
        for (wrong, told) in [
            ("lobby", "a code is a number and two words"),
            ("7-crosover-clockwork", "is \"crossover\" meant?"),
            ("100-crossover-clockwork", "from 1 to 99"),
        ] {
            let error = resolve(&[wrong], &none).expect_err("no code");
            assert!(error.contains(told) && error.contains("--room"), "{error}");
        }
    }

    #[test]
    fn with_nothing_said_a_room_with_a_code_is_opened() {
        let [a, b] = [(); 2].map(|()| resolve(&[], &Config::default()).expect("nothing is wrong").room);
        assert!(
            Code::of_room(&a).is_some() && Code::of_room(&b).is_some(),
            "{a} {b}"
        );
        assert_ne!(a, b);
    }

    #[test]
    fn a_link_is_nearer_than_the_file_and_refuses_another_server() {
        let config = Config {
            server: Some("ws://file.example.org".into()),
            ..Config::default()
        };
        let server = |args: &[&str]| resolve(args, &config).map(|o| o.server.map(|u| u.to_string()));
        assert_eq!(
            server(&["http://example.org/standup"]),
            Ok(Some("http://example.org/".into()))
        );
        assert_eq!(
            server(&["--room", "a"]),
            Ok(Some("http://file.example.org/".into()))
        );
        let both = server(&["http://example.org/standup", "--server", "ws://example.net"]);
        assert!(both.expect_err("which?").contains("leave --server out"));
    }

    #[test]
    fn options_come_before_the_file_and_the_file_before_the_default() {
        let config = Config {
            fps: Some(10),
            name: Some("file".into()),
            ..Config::default()
        };
        let options = resolve(&["--room", "a", "--name", "flag"], &config).expect("valid");
        assert_eq!((options.fps, options.name.as_str()), (10, "flag"));
        assert_eq!(
            resolve(&["--room", "a"], &Config::default()).expect("valid").fps,
            30
        );
    }

    #[test]
    fn the_file_s_bit_rate_is_held_to_the_range_as_well() {
        let of_file = |kbit| {
            let config = Config {
                max_bitrate: Some(kbit),
                ..Config::default()
            };
            resolve(&["--room", "a"], &config).map(|options| options.max_bitrate)
        };
        assert_eq!(of_file(56), Ok(Some(Bitrate::kbps(56))));
        for kbit in [0, 55, u64::MAX] {
            let error = of_file(kbit).expect_err("out of range");
            assert!(error.contains("from 56 to 10000000"), "{error}");
        }
    }

    #[test]
    fn wrong_words_are_refused() {
        for args in [
            &["--room", "a b"][..],
            &["--room", ""],
            &["--room", "."],
            &["--room", ".."],
            &["--room", "ws"],
            &["--room", "healthz"],
            &["--fps", "0"],
            &["--max-bitrate", "55"],
            &["--max-bitrate", "10000001"],
            &["--max-bitrate", "18446744073709551615"],
            &["--codec", "h264"],
            &["--screen", "y4m:a"],
            &["--camera", "nonsense:x"],
            &["--render", "braille"],
            &["--output-rate", "0"],
            &["--output-rate", "fast"],
        ] {
            assert!(resolve(args, &Config::default()).is_err(), "{args:?}");
        }
    }
}
