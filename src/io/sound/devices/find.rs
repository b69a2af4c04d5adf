//! Which devices there are, and which one is meant.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, Host};

use crate::io::sound::Devices;
use crate::io::sound::ports::Direction;

/// A device to be opened.
pub(super) struct Found {
    pub(super) device: Device,
    pub(super) name: String,
    /// A sound server has it.
    pub(super) on_server: bool,
    /// It is the server's choice, which may change.
    follows: bool,
    id: Option<String>,
    host: Option<Host>,
}

impl Found {
    /// The sound server does not have it any more, and gives something else in its place: for a
    /// microphone perhaps what the speaker plays.
    pub(super) fn is_gone(&self, direction: Direction) -> bool {
        let (Some(host), Some(id), true) = (&self.host, &self.id, self.on_server) else {
            return false;
        };
        let all = everything(host, direction);
        // None at all: the server is gone, which the stream itself tells.
        !all.is_empty() && all.iter().all(|candidate| candidate.id != *id)
    }

    /// The sound server's choice is another one now.
    pub(super) fn has_moved(&self, direction: Direction) -> bool {
        let (Some(host), Some(id), true) = (&self.host, &self.id, self.follows) else {
            return false;
        };
        // While there is none, what is open is as good as any.
        standard(host, direction)
            .ok()
            .and_then(|device| Candidate::new(&device))
            .is_some_and(|now| now.id != *id)
    }
}

/// Keeps libasound from printing on this thread: with no card it writes eight lines to standard error
/// for each device it is asked for, and what matters of them is in the error that it returns.
pub(super) fn silence_libasound() {
    #[cfg(target_os = "linux")]
    if let Err(error) = alsa::Output::local_error_handler() {
        tracing::debug!("libasound goes on printing: {error}");
    }
}

/// The devices that can be chosen by name.
pub fn list() -> Devices {
    silence_libasound();
    let host = server().unwrap_or_else(|_| cpal::default_host());
    let names = |direction| {
        let candidates = candidates(&host, direction);
        candidates.iter().map(|c| c.shown(&candidates)).collect()
    };
    Devices {
        microphones: names(Direction::Capture),
        speakers: names(Direction::Playback),
    }
}

/// The device of this name, or the system's. With `only_server` nothing but a sound server's will do.
pub(super) fn find(direction: Direction, name: Option<&str>, only_server: bool) -> Result<Found, String> {
    let host = server();
    if only_server && let Err(error) = &host {
        return Err(format!("no {direction}: {error}"));
    }
    let follows = host.is_ok() && name.is_none();
    let found = match (&host, name) {
        (Ok(host), None) => standard(host, direction).map(|device| (device, true)),
        (Err(_), None) => standard(&cpal::default_host(), direction).map(|device| (device, false)),
        (host, Some(name)) => named(host.as_ref().ok(), direction, name),
    };
    let (device, on_server) = found?;
    let (name, id) = match Candidate::new(&device) {
        Some(candidate) => (candidate.name, Some(candidate.id)),
        None => ("unnamed".into(), None),
    };
    Ok(Found {
        device,
        name,
        on_server,
        follows,
        id,
        host: host.ok(),
    })
}

/// The sound server, where one answers.
#[cfg(target_os = "linux")]
fn server() -> Result<Host, cpal::Error> {
    cpal::host_from_id(cpal::HostId::PulseAudio)
}

/// Elsewhere the system's own sound is as good.
#[cfg(not(target_os = "linux"))]
fn server() -> Result<Host, cpal::Error> {
    Ok(cpal::default_host())
}

/// The system's own sound below any server.
fn hardware() -> Option<Host> {
    #[cfg(target_os = "linux")]
    let host = cpal::host_from_id(cpal::HostId::Alsa).ok();
    #[cfg(not(target_os = "linux"))]
    let host = None;
    host
}

/// What the system would use. A microphone that is only the speaker heard again is none.
fn standard(host: &Host, direction: Direction) -> Result<Device, String> {
    let device = match direction {
        Direction::Capture => host
            .default_input_device()
            .filter(|device| Candidate::new(device).is_none_or(|c| !c.is_monitor()))
            .or_else(|| {
                let mut all = candidates(host, direction);
                (!all.is_empty()).then(|| all.swap_remove(0).device)
            }),
        Direction::Playback => host.default_output_device(),
    };
    device.ok_or_else(|| format!("no {direction} found; {}", remedy(direction)))
}

/// What to do where there is no device.
fn remedy(direction: Direction) -> &'static str {
    match direction {
        Direction::Capture => "plug one in, or choose another with --mic",
        Direction::Playback => "plug one in, or choose another with --speaker",
    }
}

/// Why a device that was found does not open, and what to do; `name`: by which it was asked for.
pub(super) fn refusal(
    direction: Direction,
    name: Option<&str>,
    found: &Found,
    error: &cpal::Error,
) -> String {
    let remedy = remedy(direction);
    // The system's choice may be the name of nothing.
    if name.is_none() && error.kind() == cpal::ErrorKind::DeviceNotAvailable {
        return format!("no {direction} found; {remedy}");
    }
    let error = error.to_string();
    let error = error.trim_end_matches('.');
    format!("no {direction}: {}: {error}; {remedy}", found.name)
}

/// The device that `name` means, on the server or else on the hardware.
fn named(server: Option<&Host>, direction: Direction, name: &str) -> Result<(Device, bool), String> {
    let mut shown = Vec::new();
    let hardware = hardware();
    for (host, on_server) in [(server, true), (hardware.as_ref(), false)] {
        let Some(host) = host else {
            continue;
        };
        let all = everything(host, direction);
        let lower = name.to_lowercase();
        let exact = |c: &Candidate| c.id == name || c.full == name || c.name == name;
        let part =
            |c: &Candidate| c.name.to_lowercase().contains(&lower) || c.id.to_lowercase().contains(&lower);
        let place = all.iter().position(exact).or_else(|| all.iter().position(part));
        if shown.is_empty() {
            let choice = all.iter().filter(|c| !c.is_monitor() && !c.is_converter());
            shown = choice.map(|c| c.shown(&all)).collect();
        }
        if let Some(place) = place {
            let device = all.into_iter().nth(place).map(|c| c.device);
            return device.map(|device| (device, on_server)).ok_or_else(String::new);
        }
    }
    let there = if shown.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are: {}", shown.join(", "))
    };
    Err(format!("no {direction} is named \"{name}\"; {there}"))
}

/// A device by its names.
struct Candidate {
    device: Device,
    /// As a person knows it.
    name: String,
    /// As its host knows it.
    id: String,
    /// With its host.
    full: String,
}

impl Candidate {
    fn new(device: &Device) -> Option<Self> {
        let id = device.id().ok()?;
        let name = match device.description() {
            Ok(description) => description.name().to_owned(),
            Err(_) => id.id().to_owned(),
        };
        Some(Self {
            device: device.clone(),
            name,
            full: id.to_string(),
            id: id.id().to_owned(),
        })
    }

    /// It captures what a speaker plays.
    fn is_monitor(&self) -> bool {
        self.id.ends_with(".monitor")
    }

    /// It is one of ALSA's converters and bridges, which are no devices of their own.
    fn is_converter(&self) -> bool {
        let is_card = self.id.contains("CARD=") || matches!(self.id.as_str(), "default" | "pipewire");
        self.full.starts_with("alsa:") && !is_card
    }

    /// The name to choose it by among `all`.
    fn shown(&self, all: &[Self]) -> String {
        if all.iter().filter(|other| other.name == self.name).count() > 1 {
            self.id.clone()
        } else {
            self.name.clone()
        }
    }
}

/// All that a user would think of.
fn candidates(host: &Host, direction: Direction) -> Vec<Candidate> {
    let mut all = everything(host, direction);
    all.retain(|candidate| !candidate.is_monitor() && !candidate.is_converter());
    all
}

/// All that can be opened.
fn everything(host: &Host, direction: Direction) -> Vec<Candidate> {
    let devices: Vec<Device> = match direction {
        Direction::Capture => host.input_devices().map(Iterator::collect),
        Direction::Playback => host.output_devices().map(Iterator::collect),
    }
    .unwrap_or_default();
    devices.iter().filter_map(Candidate::new).collect()
}
