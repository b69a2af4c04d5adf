//! How many colours the terminal can show, by what its environment and tmux say.

use std::process::{Command, Stdio};
use std::thread;

use crate::picture::ColorDepth;

/// Terminals that show 24-bit colours and name themselves; most others say so in `COLORTERM`.
const TRUECOLOR: [&str; 9] = [
    "kitty",
    "ghostty",
    "alacritty",
    "foot",
    "wezterm",
    "contour",
    "rio",
    "-direct",
    "iterm",
];

/// The colours to use: `NO_COLOR` (when not empty) means none, `COLORTERM` says 24 bits, and
/// otherwise `TERM` tells. `get` reads a variable of the environment.
pub fn color_depth(get: impl Fn(&str) -> Option<String>) -> ColorDepth {
    let read = |name| get(name).unwrap_or_default().to_ascii_lowercase();
    let term = read("TERM");
    if !read("NO_COLOR").is_empty() || term == "dumb" || term.starts_with("vt") {
        return ColorDepth::Mono;
    }
    let says = read("COLORTERM");
    if says == "truecolor" || says == "24bit" || !read("WT_SESSION").is_empty() {
        return ColorDepth::Truecolor;
    }
    if TRUECOLOR.iter().any(|name| term.contains(name)) {
        return ColorDepth::Truecolor;
    }
    if term.contains("256color") {
        return ColorDepth::Ansi256;
    }
    ColorDepth::Ansi16
}

/// Where this runs in tmux and nothing says what the terminal outside of it shows, asks tmux, which knows,
/// and hands on whether that is 24-bit colours. Does not wait for the answer.
pub fn ask_tmux(get: impl Fn(&str) -> Option<String>, told: impl FnOnce(bool) + Send + 'static) {
    let is_unknown = matches!(color_depth(&get), ColorDepth::Ansi256 | ColorDepth::Ansi16);
    if !is_unknown || get("TMUX").is_none_or(|socket| socket.is_empty()) {
        return;
    }
    let ask = move || {
        let answer = Command::new("tmux")
            .args(["display-message", "-p", "#{client_termfeatures}"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        if let Ok(answer) = answer {
            told(is_truecolor(&String::from_utf8_lossy(&answer.stdout)));
        }
    };
    // Without a thread it stays as the environment says.
    let _ = thread::Builder::new().name("tmux".to_owned()).spawn(ask);
}

/// `256,bpaste,RGB,title`.
fn is_truecolor(features: &str) -> bool {
    features.trim().split(',').any(|feature| feature == "RGB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> ColorDepth {
        color_depth(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn tmux_names_what_the_terminal_outside_can_do() {
        assert!(is_truecolor("256,bpaste,RGB,title\n"));
        assert!(!is_truecolor("256,bpaste,title\n"));
        assert!(!is_truecolor(""));
    }

    #[test]
    fn the_environment_tells() {
        for (variables, wanted) in [
            (&[("TERM", "xterm-256color")][..], ColorDepth::Ansi256),
            (
                &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
                ColorDepth::Truecolor,
            ),
            (
                &[("TERM", "xterm"), ("COLORTERM", "24bit")],
                ColorDepth::Truecolor,
            ),
            (&[("TERM", "xterm-kitty")], ColorDepth::Truecolor),
            (&[("TERM", "tmux-256color")], ColorDepth::Ansi256),
            (&[("TERM", "linux")], ColorDepth::Ansi16),
            (&[("TERM", "vt220")], ColorDepth::Mono),
            (&[], ColorDepth::Ansi16),
            (&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")], ColorDepth::Mono),
            (
                &[("COLORTERM", "truecolor"), ("NO_COLOR", "")],
                ColorDepth::Truecolor,
            ),
        ] {
            assert_eq!(of(variables), wanted, "{variables:?}");
        }
    }
}
