//! What a check has found, and how it is told: to a person as aligned lines, to a program as JSON.

use serde::Serialize;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr;

use crate::text::SafeText;

/// No text is longer, in columns: a server may say anything.
const LONGEST: usize = 400;

/// Columns that a check's name takes, with the space after it.
const NAME: usize = 12;

/// Lines are no longer, however wide the terminal is: nobody likes to read them.
const WIDEST: usize = 100;

/// In narrower terminals what does not fit goes on below the check's name, not below its text.
const NARROW: usize = 60;

/// What is checked, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The terminal as a whole.
    Terminal,
    /// Its size.
    Size,
    /// Its colours.
    Colours,
    /// The characters that pictures are drawn with.
    Glyphs,
    /// Pictures as pixels.
    Graphics,
    /// Whether a frame is shown whole.
    Updates,
    /// How fast it takes what is written.
    Speed,
    /// The camera.
    Camera,
    /// The microphone.
    Microphone,
    /// The speaker.
    Speaker,
    /// The own addresses.
    Addresses,
    /// The meeting point.
    Server,
    /// Servers that tell the own address as seen from outside.
    Stun,
    /// How the router translates addresses.
    Nat,
    /// Relays in datagrams.
    TurnUdp,
    /// Relays over TCP.
    TurnTcp,
    /// Relays over TLS.
    TurnTls,
}

/// Checks that are told under one heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The terminal.
    Terminal,
    /// Camera and sound.
    Devices,
    /// The ways to others.
    Network,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Calls go on with less.
    Warning,
    /// Something that was asked for, or that calls need, will not work.
    Failure,
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, in words.
    pub message: SafeText,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<SafeText>,
    /// Figures, for programs.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Marks in place of words, and headings that stand out.
    pub is_terminal: bool,
    /// Colours.
    pub is_coloured: bool,
    /// Columns; `None`: nothing is wrapped.
    pub width: Option<usize>,
}

/// How many lines came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// As they should be.
    pub ok: usize,
    /// With less.
    pub warnings: usize,
    /// Not at all.
    pub failures: usize,
}

impl Check {
    /// As a person reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Size => "size",
            Self::Colours => "colours",
            Self::Glyphs => "glyphs",
            Self::Graphics => "graphics",
            Self::Updates => "updates",
            Self::Speed => "speed",
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
            Self::Addresses => "addresses",
            Self::Server => "server",
            Self::Stun => "STUN",
            Self::Nat => "NAT",
            Self::TurnUdp => "TURN, UDP",
            Self::TurnTcp => "TURN, TCP",
            Self::TurnTls => "TURN, TLS",
        }
    }

    /// Under which heading it stands.
    pub fn section(self) -> Section {
        match self {
            Self::Terminal
            | Self::Size
            | Self::Colours
            | Self::Glyphs
            | Self::Graphics
            | Self::Updates
            | Self::Speed => Section::Terminal,
            Self::Camera | Self::Microphone | Self::Speaker => Section::Devices,
            _ => Section::Network,
        }
    }
}

impl Section {
    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Terminal => "Terminal",
            Self::Devices => "Devices",
            Self::Network => "Network",
        }
    }
}

impl Finding {
    /// All is well.
    pub fn ok(check: Check, message: impl AsRef<str>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            message: SafeText::new(message.as_ref(), LONGEST),
            remedy: None,
            details: Map::new(),
        }
    }

    /// It works with less, and what to do for more.
    pub fn warning(check: Check, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::ok(check, message).judged(Verdict::Warning, remedy)
    }

    /// It does not work, and what to do.
    pub fn failure(check: Check, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::ok(check, message).judged(Verdict::Failure, remedy)
    }

    /// The same, come to this, with this remedy.
    pub fn judged(mut self, verdict: Verdict, remedy: impl AsRef<str>) -> Self {
        self.verdict = verdict;
        self.remedy = Some(SafeText::new(remedy.as_ref(), LONGEST));
        self
    }

    /// With a figure more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// As a person reads it: one line, more where it is wrapped or has a remedy; each ends with a line's end.
    pub fn lines(&self, style: Style) -> String {
        let (mark, colour, word) = match self.verdict {
            Verdict::Ok => ("✓", 32, "ok     "),
            Verdict::Warning => ("!", 33, "warning"),
            Verdict::Failure => ("✗", 31, "failure"),
        };
        let mark = match (style.is_terminal, style.is_coloured) {
            (false, _) => word.to_owned(),
            (true, true) => format!("\x1b[{colour}m{mark}\x1b[39m"),
            (true, false) => mark.to_owned(),
        };
        let mark_width = if style.is_terminal { 1 } else { word.len() };
        let text_at = 2 + mark_width + 1 + NAME;
        let width = style.width.map(|width| width.min(WIDEST));
        let hang = match width {
            Some(width) if width < NARROW => 4,
            _ => text_at,
        };
        let mut out = format!("  {mark} {:<NAME$}", self.check.name());
        wrap(&mut out, text_at, self.message.as_str(), hang, width);
        if let Some(remedy) = &self.remedy {
            let arrow = if style.is_terminal { "→ " } else { "try: " };
            out.push_str(&" ".repeat(hang));
            out.push_str(arrow);
            let at = hang + arrow.width();
            wrap(&mut out, at, remedy.as_str(), at, width);
        }
        out
    }
}

impl Tally {
    /// One more.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Warning => self.warnings += 1,
            Verdict::Failure => self.failures += 1,
        }
    }

    /// The last line, for a person.
    pub fn sentence(self) -> String {
        let some = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let bad = [some(self.failures, "failure"), some(self.warnings, "warning")];
        let bad: Vec<_> = bad.into_iter().flatten().collect();
        match bad.is_empty() {
            true => "All is well.".to_owned(),
            false => format!("{}.", bad.join(", ")),
        }
    }
}

/// Writes words after the `at` columns that the line holds already, and goes on at column `hang` of the
/// next lines. A word that is too long stays whole: an address is there to be copied.
fn wrap(out: &mut String, mut at: usize, text: &str, hang: usize, width: Option<usize>) {
    let mut is_first = true;
    for word in text.split_whitespace() {
        let space = usize::from(!is_first);
        if !is_first && width.is_some_and(|width| at + space + word.width() > width) {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            at = hang;
        } else if !is_first {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += word.width();
        is_first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Style = Style {
        is_terminal: false,
        is_coloured: false,
        width: None,
    };

    fn trouble() -> Finding {
        Finding::warning(
            Check::Microphone,
            "none was found: you hear the others, and they do not hear you",
            "plug one in, or choose another with --mic",
        )
    }

    #[test]
    fn in_a_pipe_each_line_is_whole_and_says_its_verdict() {
        let camera = Finding::ok(Check::Camera, "Integrated Camera, 640x480");
        assert_eq!(
            camera.lines(PIPE),
            "  ok      camera      Integrated Camera, 640x480\n"
        );
        assert_eq!(
            trouble().lines(PIPE),
            "  warning microphone  none was found: you hear the others, and they do not hear you\n                      \
             try: plug one in, or choose another with --mic\n"
        );
    }

    #[test]
    fn in_a_terminal_words_are_wrapped_below_each_other() {
        let style = Style {
            is_terminal: true,
            is_coloured: false,
            width: Some(60),
        };
        assert_eq!(
            trouble().lines(style),
            "  ! microphone  none was found: you hear the others, and\n                they do not hear you\n                \
             → plug one in, or choose another with --mic\n"
        );
        let narrow = Style {
            width: Some(40),
            ..style
        };
        assert_eq!(
            trouble().lines(narrow),
            "  ! microphone  none was found: you hear\n    the others, and they do not hear you\n    \
             → plug one in, or choose another\n      with --mic\n"
        );
        for width in 1..90 {
            let style = Style {
                width: Some(width),
                ..style
            };
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let whole = words(&trouble().lines(Style { width: None, ..style }));
            assert_eq!(
                words(&trouble().lines(style)),
                whole,
                "nothing is lost at {width}"
            );
        }
    }

    #[test]
    fn colour_says_nothing_that_the_mark_does_not() {
        let [plain, coloured] = [false, true].map(|is_coloured| {
            trouble().lines(Style {
                is_terminal: true,
                is_coloured,
                width: None,
            })
        });
        assert!(!plain.contains('\x1b'));
        assert!(coloured.contains("\x1b[33m!\x1b[39m"));
        assert_eq!(coloured.replace("\x1b[33m", "").replace("\x1b[39m", ""), plain);
        let mark = |finding: Finding| finding.lines(PIPE)[2..9].to_owned();
        assert_eq!(mark(Finding::ok(Check::Nat, "")), "ok     ");
        assert_eq!(mark(Finding::failure(Check::Nat, "", "")), "failure");
    }

    #[test]
    fn programs_are_told_each_finding_as_one_object() {
        let nat = Finding::ok(Check::TurnUdp, "relays").with("ms", 12.5);
        let json = serde_json::to_string(&nat).expect("it is plain data");
        assert_eq!(
            json,
            r#"{"check":"turn-udp","verdict":"ok","message":"relays","ms":12.5}"#
        );
    }

    #[test]
    fn what_a_server_says_does_no_harm_to_the_terminal() {
        let evil = Finding::ok(Check::Server, "\x1b]0;title\x07\x1b[2J");
        assert!(!evil.lines(PIPE).contains('\x1b'));
    }

    #[test]
    fn the_end_counts_what_is_wrong() {
        let tally = |ok, warnings, failures| Tally {
            ok,
            warnings,
            failures,
        };
        assert_eq!(tally(9, 0, 0).sentence(), "All is well.");
        assert_eq!(tally(9, 1, 0).sentence(), "1 warning.");
        assert_eq!(tally(0, 2, 1).sentence(), "1 failure, 2 warnings.");
    }
}
