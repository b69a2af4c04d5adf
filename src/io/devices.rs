//! `facetty devices`: the cameras, microphones and speakers there are, each with the option that
//! chooses it.

use std::fmt;

use super::sound;
use crate::text::SafeText;

/// No name is shown wider, in columns.
const NAME_COLS: usize = 60;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Number and name of each camera; `None` where the program was built without cameras.
    pub cameras: Option<Vec<(u32, String)>>,
    /// The names of microphones and speakers; `None` where it was built without sound.
    pub sound: Option<sound::Devices>,
}

impl Listing {
    /// Asks the system. May take seconds where a sound server does not answer.
    pub fn of_system() -> Self {
        Self {
            cameras: cameras(),
            sound: cfg!(feature = "sound").then(sound::list),
        }
    }
}

#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
fn cameras() -> Option<Vec<(u32, String)>> {
    Some(super::camera::list())
}

#[cfg(not(all(feature = "camera", any(target_os = "linux", target_os = "macos"))))]
fn cameras() -> Option<Vec<(u32, String)>> {
    None
}

impl fmt::Display for Listing {
    /// A line each, aligned; what is missing is said with its remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cameras = self.cameras.as_ref().map(|cameras| {
            let line = |(number, name): &(u32, String)| (number.to_string(), name.clone());
            cameras.iter().map(line).collect::<Vec<_>>()
        });
        let names = |names: &Vec<String>| names.iter().map(|n| (quoted(n), n.clone())).collect();
        let microphones = self.sound.as_ref().map(|sound| names(&sound.microphones));
        let speakers = self.sound.as_ref().map(|sound| names(&sound.speakers));
        section(
            f,
            "Cameras",
            "--camera",
            cameras,
            "camera",
            "plug one in, or use --camera test",
        )?;
        section(
            f,
            "Microphones",
            "--mic",
            microphones,
            "sound",
            "plug one in, or use --mic tone",
        )?;
        section(
            f,
            "Speakers",
            "--speaker",
            speakers,
            "sound",
            "plug one in, or use --speaker wav:PATH",
        )
    }
}

/// `lines`: the option's value and the device's name.
fn section(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    option: &str,
    lines: Option<Vec<(String, String)>>,
    feature: &str,
    remedy: &str,
) -> fmt::Result {
    writeln!(f, "{title}")?;
    let Some(lines) = lines else {
        return writeln!(f, "  none: built without them; build with `--features {feature}`");
    };
    if lines.is_empty() {
        return writeln!(f, "  none was found; {remedy}");
    }
    for (value, name) in lines {
        let name = SafeText::new(&name, NAME_COLS);
        if value == quoted(name.as_str()) {
            writeln!(f, "  {option} {value}")?;
        } else {
            writeln!(f, "  {option} {value}   {name}")?;
        }
    }
    Ok(())
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_stands_with_the_option_that_chooses_it() {
        let listing = Listing {
            cameras: Some(vec![(0, "Integrated Camera".into()), (2, "USB\x1b[31m".into())]),
            sound: Some(sound::Devices {
                microphones: vec!["Ann's headset".into()],
                speakers: vec![],
            }),
        };
        let expected = "Cameras\n  --camera 0   Integrated Camera\n  --camera 2   USB[31m\n\
            Microphones\n  --mic 'Ann'\\''s headset'\n\
            Speakers\n  none was found; plug one in, or use --speaker wav:PATH\n";
        assert_eq!(listing.to_string(), expected);
    }

    #[test]
    fn what_was_not_built_in_is_said() {
        let text = Listing::default().to_string();
        assert!(
            text.contains("--features camera") && text.contains("--features sound"),
            "{text}"
        );
    }
}
