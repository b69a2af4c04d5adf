//! Devices by their names.

use crate::io::sound::ports::Direction;

/// A device by its names.
pub(super) struct Candidate<D> {
    /// What it is opened by.
    pub(super) device: D,
    /// As a person knows it.
    pub(super) name: String,
    /// As its host knows it.
    pub(super) id: String,
    /// With its host.
    pub(super) full: String,
}

impl<D> Candidate<D> {
    /// It captures what a speaker plays.
    pub(super) fn is_monitor(&self) -> bool {
        self.id.ends_with(".monitor")
    }

    /// It stands for a device where a sound server has none.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn is_dummy(&self) -> bool {
        self.id.starts_with("auto_null")
    }

    /// The name to choose it by among `all`.
    pub(super) fn shown(&self, all: &[Self]) -> String {
        if all.iter().filter(|other| other.name == self.name).count() > 1 {
            self.id.clone()
        } else {
            self.name.clone()
        }
    }
}

/// Which of them `name` means: one that is called so, or else one whose name holds it.
pub(super) fn place<D>(all: &[Candidate<D>], name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    let exact = |c: &Candidate<D>| c.id == name || c.full == name || c.name == name;
    let part =
        |c: &Candidate<D>| c.name.to_lowercase().contains(&lower) || c.id.to_lowercase().contains(&lower);
    all.iter().position(exact).or_else(|| all.iter().position(part))
}

/// That none of them has this name, and which names they have.
pub(super) fn unknown<D>(direction: Direction, name: &str, all: &[Candidate<D>]) -> String {
    let choice = all.iter().filter(|c| !c.is_monitor());
    let shown: Vec<String> = choice.map(|c| c.shown(all)).collect();
    let there = if shown.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are: {}", shown.join(", "))
    };
    format!("no {direction} is named \"{name}\"; {there}")
}

/// That there is none.
pub(super) fn none(direction: Direction) -> String {
    format!("no {direction} found; {}", remedy(direction))
}

/// What to do where there is no device.
pub(super) fn remedy(direction: Direction) -> &'static str {
    match direction {
        Direction::Capture => "plug one in, or choose another with --mic",
        Direction::Playback => "plug one in, or choose another with --speaker",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_meant_by_any_of_its_names() {
        let candidate = |name: &str, id: &str| Candidate {
            device: (),
            name: name.into(),
            id: id.into(),
            full: format!("pulseaudio:{id}"),
        };
        let all = [
            candidate("Monitor of Built-in Audio", "alsa_output.pci.monitor"),
            candidate("Built-in Audio", "alsa_input.pci"),
            candidate("USB Headset", "alsa_input.usb-0"),
            candidate("USB Headset", "alsa_input.usb-1"),
        ];
        for (name, meant) in [
            ("Built-in Audio", Some(1)),
            ("alsa_input.usb-1", Some(3)),
            ("pulseaudio:alsa_input.usb-0", Some(2)),
            ("headset", Some(2)),
            ("webcam", None),
        ] {
            assert_eq!(place(&all, name), meant, "{name}");
        }
        assert_eq!(
            unknown(Direction::Capture, "webcam", &all),
            "no microphone is named \"webcam\"; there are: Built-in Audio, alsa_input.usb-0, alsa_input.usb-1"
        );
    }
}
