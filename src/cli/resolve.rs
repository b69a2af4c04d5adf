//! What was asked for, brought together with the configuration file and the defaults.

use clap::{CommandFactory, ValueEnum};
use url::Url;

use super::{
    CallArgs, Cli, CodecChoice, Color, DoctorArgs, MAX_BITRATE, MediaArgs, PlayArgs, Policy, ShowArgs, Switch,
};
use crate::call::paths::{IcePolicy, Server};
use crate::config::Config;
use crate::io::doctor::DoctorOptions;
use crate::io::drive::{CallOptions, Interface};
use crate::io::play::PlayOptions;
use crate::io::screen::ScreenConfig;
use crate::io::socket::Invite;
use crate::io::sound::{MicSource, SpeakerSink};
use crate::io::source::CameraSource;
use crate::media::video::VideoCodec;
use crate::picture::ColorDepth;
use crate::signal::code::Code;
use crate::text::SafeText;
use crate::units::Bitrate;

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
            (None, Some(text)) => Some(named_server(&text)?),
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
            camera: camera(self.camera, config)?,
            mic: mic(self.mic, config)?,
            speaker: speaker(self.speaker, config)?,
            // A program is told by events.
            chimes: !(self.headless || self.no_chimes || config.no_chimes.unwrap_or(false)),
            echo_cancelled: aec == Switch::On,
            mic_on: !(self.muted || config.muted.unwrap_or(false)),
            camera_on: !(self.no_video || config.no_video.unwrap_or(false)),
            fps,
            codecs: codec.codecs(),
            max_bitrate: max_bitrate.map(Bitrate::kbps),
            ice_servers: ice_servers(self.ice_server, config)?,
            ice_policy: ice_policy(self.ice_policy, config)?,
            interface: if self.headless {
                Interface::Headless { screen: self.screen }
            } else {
                Interface::Terminal(screen)
            },
            duration: self.duration,
        })
    }
}

impl DoctorArgs {
    /// Options and configuration file brought together.
    ///
    /// # Errors
    /// A sentence that names the option and the remedy.
    pub fn resolve(self, config: &Config) -> Result<DoctorOptions, String> {
        let server = self.server.as_ref().or(config.server.as_ref());
        Ok(DoctorOptions {
            server: server.map(|text| named_server(text)).transpose()?,
            ice_servers: ice_servers(self.ice_server, config)?,
            ice_policy: ice_policy(self.ice_policy, config)?,
            camera: camera(self.camera, config)?,
            mic: mic(self.mic, config)?,
            speaker: speaker(self.speaker, config)?,
            depth: color(self.color, config)?.depth(),
            json: self.json,
        })
    }
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
        let color = color(self.color, config)?;
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

fn named_server(text: &str) -> Result<Url, String> {
    Invite::parse_server(text).map_err(|e| format!("--server '{text}': {e}"))
}

fn camera(asked: Option<String>, config: &Config) -> Result<CameraSource, String> {
    let text = asked.or_else(|| config.camera.clone());
    let text = text.unwrap_or_else(|| "auto".into());
    text.parse().map_err(|e| format!("--camera {text}: {e}"))
}

fn mic(asked: Option<String>, config: &Config) -> Result<MicSource, String> {
    let text = asked.or_else(|| config.mic.clone());
    let text = text.unwrap_or_else(|| "auto".into());
    text.parse().map_err(|e| format!("--mic {text}: {e}"))
}

fn speaker(asked: Option<String>, config: &Config) -> Result<SpeakerSink, String> {
    let text = asked.or_else(|| config.speaker.clone());
    let text = text.unwrap_or_else(|| "auto".into());
    text.parse().map_err(|e| format!("--speaker {text}: {e}"))
}

fn color(asked: Option<Color>, config: &Config) -> Result<Color, String> {
    match (asked, &config.color) {
        (Some(color), _) => Ok(color),
        (None, Some(text)) => Color::from_str(text, false).map_err(|e| format!("color: {e}")),
        (None, None) => Ok(Color::Auto),
    }
}

fn ice_servers(asked: Vec<Server>, config: &Config) -> Result<Vec<Server>, String> {
    if !asked.is_empty() {
        return Ok(asked);
    }
    let named = config.ice_server.iter().flatten();
    let read = |text: &String| text.parse().map_err(|e| format!("ice-server {text}: {e}"));
    named.map(read).collect()
}

fn ice_policy(asked: Option<Policy>, config: &Config) -> Result<IcePolicy, String> {
    let policy = match (asked, &config.ice_policy) {
        (Some(policy), _) => policy,
        (None, Some(text)) => Policy::from_str(text, false).map_err(|e| format!("ice-policy: {e}"))?,
        (None, None) => Policy::All,
    };
    Ok(match policy {
        Policy::All => IcePolicy::All,
        Policy::Relay => IcePolicy::Relay,
    })
}

/// The server (a link's; a code has none) and the room of an invitation.
fn invited(text: &str) -> Result<(Option<Url>, String), String> {
    if !text.contains([':', '/', '.']) {
        let code = Code::parse(text).map_err(|e| match command_like(text) {
            Some(command) => format!("'{text}' is no command; '{command}' is one"),
            None => format!("'{text}': {e} (a room's name goes with --room, a link has its server)"),
        })?;
        return Ok((None, code.to_string()));
    }
    let invite = Invite::parse(text).map_err(|e| format!("'{text}' is no link to a room: {e}"))?;
    let room = invite.room.ok_or_else(|| {
        format!("'{text}' names no room; a link looks like http://192.168.1.23:7880/standup")
    })?;
    Ok((Some(invite.server), room))
}

/// The command that was probably meant.
fn command_like(text: &str) -> Option<String> {
    let commands = Cli::command();
    let mut names = commands.get_subcommands().map(|command| command.get_name());
    let meant = names.find(|name| strsim::osa_distance(name, text) <= name.len() / 3)?;
    Some(meant.to_owned())
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

fn login_name() -> String {
    whoami::username().unwrap_or_else(|_| "somebody".into())
}
