//! What is asked of a terminal about itself, and what is known of those that answer by name.

use super::depth::color_depth;
use crate::io::terminal::input::Reply;
use crate::picture::{ColorDepth, Glyphs, RenderMode};
use crate::units::{Cells, Size};

/// Asks for name and version (XTVERSION), and for the sizes in pixels of a cell and of all.
const WHO: &[u8] = b"\x1b[>q\x1b[16t\x1b[14t";

/// Asks how it keeps a 24-bit colour (DECRQSS of SGR): who knows none keeps another, or none. Not sent to
/// tmux and screen, which do not hand it on.
const COLOURS: &[u8] = b"\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[m";

/// Asks whether kitty's graphics protocol is understood. Not sent to tmux and screen, which take it for
/// a window's title.
const GRAPHICS: &[u8] = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\";

/// All that is asked, but for the last question, which every terminal answers.
pub(in crate::io) fn ask(get: impl Fn(&str) -> Option<String>, out: &mut Vec<u8>) {
    out.extend_from_slice(WHO);
    if !is_nested(get) {
        out.extend_from_slice(COLOURS);
        out.extend_from_slice(GRAPHICS);
    }
}

/// The richest glyphs that a terminal draws by itself, or as its usual fonts have them: its name, the
/// first version that does (0: all), the glyphs. Later lines win.
const TERMINALS: [(&str, u32, Glyphs); 22] = [
    ("kitty", 0, Glyphs::Quadrant),
    ("kitty", version(0, 20), Glyphs::Sextant),
    ("kitty", version(0, 40), Glyphs::Octant),
    ("foot", 0, Glyphs::Sextant),
    ("foot", version(1, 20), Glyphs::Octant),
    ("ghostty", 0, Glyphs::Sextant),
    ("ghostty", version(1, 2), Glyphs::Octant),
    ("wezterm", 0, Glyphs::Sextant),
    ("alacritty", 0, Glyphs::Quadrant),
    ("vte", 0, Glyphs::Quadrant),
    ("vte", version(0, 62), Glyphs::Sextant),
    ("vte", version(0, 78), Glyphs::Octant),
    ("contour", 0, Glyphs::Sextant),
    ("rio", 0, Glyphs::Quadrant),
    ("konsole", 0, Glyphs::Quadrant),
    ("iterm2", 0, Glyphs::Quadrant),
    ("iterm.app", 0, Glyphs::Quadrant),
    ("mintty", 0, Glyphs::Quadrant),
    ("windows terminal", 0, Glyphs::Quadrant),
    ("vscode", 0, Glyphs::Quadrant),
    ("warpterminal", 0, Glyphs::Quadrant),
    ("tmux", 0, Glyphs::Half),
];

/// A version as a number that grows with it.
const fn version(major: u32, minor: u32) -> u32 {
    major * 10_000 + minor
}

/// What a terminal has said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::io) struct Known {
    /// Its name and version.
    version: Option<String>,
    /// A cell's size in pixels.
    cell: Option<Size>,
    /// The text area's size in pixels.
    area: Option<Size>,
    kitty: bool,
    sixel: bool,
    /// It keeps 24-bit colours, or tmux says that the one outside does.
    truecolor: bool,
}

impl Known {
    /// Takes an answer.
    pub(in crate::io) fn learn(&mut self, reply: &Reply) {
        let is_size = |size: &Size| size.area() > 0 && size.width < 65_536 && size.height < 65_536;
        match reply {
            Reply::Version(version) => self.version = Some(version.to_ascii_lowercase()),
            Reply::Cell(size) => self.cell = Some(*size).filter(is_size),
            Reply::Area(size) => self.area = Some(*size).filter(is_size),
            Reply::Graphics(understood) => self.kitty = *understood,
            Reply::Attributes { sixel } => self.sixel = *sixel,
            Reply::Colours { truecolor } => self.truecolor = *truecolor,
            Reply::Status | Reply::Synchronized(_) => {}
        }
    }

    /// A cell's size in pixels on a terminal of so many cells; `now`: as the system has it, which the
    /// terminal keeps true when its font changes.
    pub(super) fn cell_size(&self, now: Option<Size>, cells: Cells) -> Option<Size> {
        let (cols, rows) = (u32::from(cells.cols).max(1), u32::from(cells.rows).max(1));
        let part = self
            .area
            .map(|area| Size::new(area.width / cols, area.height / rows));
        now.or(self.cell)
            .or(part)
            .filter(|cell| (2..=128).contains(&cell.width) && (4..=256).contains(&cell.height))
    }

    /// The colours to use. `get` reads a variable of the environment, which speaks first: over SSH it
    /// seldom says that the terminal has true colour, and the terminal does.
    pub(in crate::io) fn depth(&self, get: impl Fn(&str) -> Option<String>) -> ColorDepth {
        let depth = color_depth(&get);
        // All that are known by name have it; tmux hands on what the one outside can show.
        let is_known = || {
            let named = self.version.as_deref().and_then(named);
            self.truecolor || (named.is_some() && !self.is_nested(&get))
        };
        match depth {
            ColorDepth::Ansi256 | ColorDepth::Ansi16 if is_known() => ColorDepth::Truecolor,
            _ => depth,
        }
    }

    fn is_nested(&self, get: impl Fn(&str) -> Option<String>) -> bool {
        is_nested(get) || self.version.as_ref().is_some_and(|name| name.starts_with("tmux"))
    }

    /// The best way to draw on it. `get` reads a variable of the environment.
    pub(in crate::io) fn best(&self, get: impl Fn(&str) -> Option<String>) -> RenderMode {
        match (self.kitty, self.sixel) {
            _ if self.is_nested(&get) => RenderMode::Glyphs(Glyphs::Half),
            (true, _) => RenderMode::Kitty,
            (_, true) => RenderMode::Sixel,
            _ => RenderMode::Glyphs(self.glyphs(get)),
        }
    }

    /// The richest glyphs that it is known to draw; half blocks where nothing is known.
    pub(in crate::io) fn glyphs(&self, get: impl Fn(&str) -> Option<String>) -> Glyphs {
        let read = |name: &str| get(name).unwrap_or_default().to_ascii_lowercase();
        if let Some(version) = &self.version {
            return named(version).unwrap_or_default();
        }
        if is_nested(&get) {
            return Glyphs::Half;
        }
        let program = format!("{} {}", read("TERM_PROGRAM"), read("TERM_PROGRAM_VERSION"));
        let vte = format!("vte({})", read("VTE_VERSION"));
        named(&program)
            .or_else(|| (vte.len() > "vte()".len()).then(|| named(&vte)).flatten())
            .or_else(|| named(read("TERM").trim_start_matches("xterm-")))
            .unwrap_or_default()
    }
}

/// Whether another program stands between this one and the terminal, whose font is not known and which
/// lets no pixels through.
pub(in crate::io) fn is_nested(get: impl Fn(&str) -> Option<String>) -> bool {
    let read = |name: &str| get(name).unwrap_or_default();
    let term = read("TERM");
    !read("TMUX").is_empty()
        || !read("STY").is_empty()
        || term.starts_with("tmux")
        || term.starts_with("screen")
}

/// What is known of a terminal, by how it names itself: `kitty(0.36.4)`, `foot 1.20.2`, `VTE(7803)`.
fn named(text: &str) -> Option<Glyphs> {
    let of_name = |(name, _, _): &&(&str, u32, Glyphs)| text.starts_with(name);
    let (name, _, _) = TERMINALS.iter().find(of_name)?;
    let number = numbered(name, &text[name.len()..]);
    let of_version = |(_, since, _): &&(&str, u32, Glyphs)| *since <= number;
    let mut known = TERMINALS.iter().filter(of_name).filter(of_version);
    known.next_back().map(|(_, _, glyphs)| *glyphs)
}

/// The first version in `text`; 0 where there is none.
fn numbered(name: &str, text: &str) -> u32 {
    let Some(start) = text.find(|c: char| c.is_ascii_digit()) else {
        return 0;
    };
    let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (next(), next()) {
        // VTE has it in one: 7803 is 0.78.3.
        (Some(one), None) if name == "vte" => version(0, one / 100),
        (Some(major), minor) => version(major.min(100_000), minor.unwrap_or(0).min(9_999)),
        (None, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glyphs(version: Option<&str>, env: &[(&str, &str)]) -> Glyphs {
        let mut known = Known::default();
        if let Some(version) = version {
            known.learn(&Reply::Version(version.to_owned()));
        }
        known.glyphs(get(env))
    }

    fn get<'a>(env: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = env.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn terminals_are_known_by_name_and_version() {
        for (version, wanted) in [
            ("kitty(0.19.3)", Glyphs::Quadrant),
            ("kitty(0.36.4)", Glyphs::Sextant),
            ("kitty(0.40.0)", Glyphs::Octant),
            ("foot(1.13.1)", Glyphs::Sextant),
            ("foot(1.20.2-g12)", Glyphs::Octant),
            ("ghostty 1.1.3", Glyphs::Sextant),
            ("ghostty 1.2.0", Glyphs::Octant),
            ("WezTerm 20240203-110809-5046fc22", Glyphs::Sextant),
            ("VTE(7006)", Glyphs::Sextant),
            ("VTE(7803)", Glyphs::Octant),
            ("VTE(0.78.1)", Glyphs::Octant),
            ("Konsole 22.12.3", Glyphs::Quadrant),
            ("XTerm(379)", Glyphs::Half),
            ("tmux 3.4", Glyphs::Half),
            ("", Glyphs::Half),
            ("kitty", Glyphs::Quadrant),
            ("kitty(99999999999.1)", Glyphs::Quadrant),
        ] {
            assert_eq!(glyphs(Some(version), &[]), wanted, "{version}");
        }
    }

    #[test]
    fn the_environment_speaks_for_those_that_do_not_answer() {
        for (env, wanted) in [
            (&[("TERM_PROGRAM", "WezTerm")][..], Glyphs::Sextant),
            (
                &[("TERM_PROGRAM", "iTerm.app"), ("TERM", "xterm-256color")],
                Glyphs::Quadrant,
            ),
            (&[("TERM_PROGRAM", "Apple_Terminal")], Glyphs::Half),
            (&[("TERM", "xterm-kitty")], Glyphs::Quadrant),
            (&[("TERM", "foot")], Glyphs::Sextant),
            (&[("TERM", "alacritty")], Glyphs::Quadrant),
            (
                &[("VTE_VERSION", "7803"), ("TERM", "xterm-256color")],
                Glyphs::Octant,
            ),
            (&[("VTE_VERSION", "7803"), ("TMUX", "/tmp/x,1,0")], Glyphs::Half),
            (
                &[("TERM", "tmux-256color"), ("TERM_PROGRAM", "tmux")],
                Glyphs::Half,
            ),
            (&[("TERM", "xterm-256color")], Glyphs::Half),
            (&[], Glyphs::Half),
        ] {
            assert_eq!(glyphs(None, env), wanted, "{env:?}");
        }
        let env = [("TERM_PROGRAM", "WezTerm")];
        assert_eq!(
            glyphs(Some("XTerm(379)"), &env),
            Glyphs::Half,
            "who answers knows better"
        );
    }

    #[test]
    fn a_terminal_says_that_it_has_true_colour_where_the_environment_does_not() {
        let depth = |replies: &[Reply], env: &[(&str, &str)]| {
            let mut known = Known::default();
            replies.iter().for_each(|reply| known.learn(reply));
            known.depth(get(env))
        };
        let version = |name: &str| Reply::Version(name.to_owned());
        let truecolor = Reply::Colours { truecolor: true };
        let xterm = [("TERM", "xterm-256color")];
        assert_eq!(depth(&[], &xterm), ColorDepth::Ansi256);
        assert_eq!(depth(&[version("XTerm(379)")], &xterm), ColorDepth::Ansi256);
        assert_eq!(
            depth(&[version("XTerm(379)"), truecolor.clone()], &xterm),
            ColorDepth::Truecolor
        );
        assert_eq!(
            depth(&[version("Konsole 22.12.3")], &xterm),
            ColorDepth::Truecolor
        );
        assert_eq!(depth(&[version("tmux 3.4")], &xterm), ColorDepth::Ansi256);
        let tmux = [("TERM", "tmux-256color"), ("TMUX", "/tmp/x,1,0")];
        assert_eq!(depth(&[version("kitty(0.40.0)")], &tmux), ColorDepth::Ansi256);
        let none = [("TERM", "xterm-256color"), ("NO_COLOR", "1")];
        assert_eq!(depth(&[truecolor], &none), ColorDepth::Mono);
    }

    #[test]
    fn a_cell_is_as_large_as_who_knows_best_says() {
        let cells = Cells::new(100, 30);
        let mut known = Known::default();
        assert_eq!(known.cell_size(None, cells), None);
        known.learn(&Reply::Area(Size::new(800, 510)));
        assert_eq!(known.cell_size(None, cells), Some(Size::new(8, 17)));
        known.learn(&Reply::Cell(Size::new(9, 18)));
        assert_eq!(known.cell_size(None, cells), Some(Size::new(9, 18)));
        let larger = Size::new(12, 25);
        assert_eq!(known.cell_size(Some(larger), cells), Some(larger));
        assert_eq!(
            known.cell_size(Some(Size::new(1, 9)), cells),
            None,
            "no cell is so thin"
        );
    }

    #[test]
    fn pixels_are_taken_where_they_are_understood_and_nothing_stands_between() {
        let mut known = Known::default();
        known.learn(&Reply::Attributes { sixel: true });
        assert_eq!(known.best(get(&[])), RenderMode::Sixel);
        known.learn(&Reply::Graphics(true));
        assert_eq!(known.best(get(&[])), RenderMode::Kitty);
        let half = RenderMode::Glyphs(Glyphs::Half);
        assert_eq!(known.best(get(&[("TMUX", "/tmp/x,1,0")])), half);
        known.learn(&Reply::Version("tmux 3.4".to_owned()));
        assert_eq!(known.best(get(&[])), half);
    }
}
