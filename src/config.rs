//! The configuration file: `$XDG_CONFIG_HOME/facetty/config.toml`, the same names as the long options.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// What the file may say.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `--server`
    pub server: Option<String>,
    /// `--name`
    pub name: Option<String>,
    /// `--camera`
    pub camera: Option<String>,
    /// `--mic`
    pub mic: Option<String>,
    /// `--speaker`
    pub speaker: Option<String>,
    /// `--aec`: `on` or `off`
    pub aec: Option<String>,
    /// `--no-chimes`
    pub no_chimes: Option<bool>,
    /// `--muted`
    pub muted: Option<bool>,
    /// `--no-video`
    pub no_video: Option<bool>,
    /// `--color`
    pub color: Option<String>,
    /// `--render`
    pub render: Option<String>,
    /// `--output-rate`
    #[serde(default, deserialize_with = "word_or_number")]
    pub output_rate: Option<String>,
    /// `--fps`
    pub fps: Option<u32>,
    /// `--codec`
    pub codec: Option<String>,
    /// `--max-bitrate`
    pub max_bitrate: Option<u64>,
    /// `--ice-server`: a list
    pub ice_server: Option<Vec<String>>,
    /// `--ice-policy`: `all` or `relay`
    pub ice_policy: Option<String>,
}

/// Reads what is a word or a number on the command line.
fn word_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a word or a number")]
    enum Value {
        Word(String),
        Number(u64),
    }
    Ok(Some(match Value::deserialize(from)? {
        Value::Word(word) => word,
        Value::Number(number) => number.to_string(),
    }))
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {1} cannot be read: {0}")]
    Read(std::io::Error, PathBuf),
    /// It is not TOML, or says something unknown.
    #[error("the configuration file {1} is wrong: {0}")]
    Parse(String, PathBuf),
}

impl Config {
    /// Where the file is; `None` where there is no home.
    pub fn path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let base = match set("XDG_CONFIG_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(set("HOME")?).join(".config"),
        };
        Some(base.join("facetty").join("config.toml"))
    }

    /// Reads the file; none is an empty one.
    ///
    /// # Errors
    /// Where it is there and cannot be read or says something unknown.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ConfigError::Read(error, path.to_owned())),
        };
        toml::from_str(&text).map_err(|error| {
            ConfigError::Parse(error.to_string().trim_end().replace('\n', " "), path.to_owned())
        })
    }
}

/// Where what the program keeps from one time to the next belongs: `$XDG_STATE_HOME/facetty`; `None` where
/// there is no home.
pub fn state_folder(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let base = match set("XDG_STATE_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(set("HOME")?).join(".local/state"),
    };
    Some(base.join("facetty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_names_of_the_options() {
        let config: Config =
            toml::from_str("server = \"ws://a\"\nno-video = true\nmax-bitrate = 90").expect("valid");
        assert_eq!((config.no_video, config.max_bitrate), (Some(true), Some(90)));
        for text in ["output-rate = 200", "output-rate = \"200\""] {
            let config: Config = toml::from_str(text).expect("valid");
            assert_eq!(config.output_rate.as_deref(), Some("200"));
        }
        assert!(toml::from_str::<Config>("colour = \"256\"").is_err());
    }

    #[test]
    fn it_lies_in_the_configuration_folder() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            }
        };
        let at = |pairs| Config::path(env(pairs)).map(|p| p.display().to_string());
        assert_eq!(
            at(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]).as_deref(),
            Some("/x/facetty/config.toml")
        );
        assert_eq!(
            at(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]).as_deref(),
            Some("/h/.config/facetty/config.toml")
        );
        assert_eq!(at(&[]), None);
    }
}
