//! A terminal emulator reads the stream and must show exactly the cells that were asked for.

use super::cells::{Attrs, Cell, Ink, Overlay, Paint, PaintKind, Style};
use super::colour::{ColorDepth, Rgb};
use super::glyphs::Glyphs;
use super::grid::Kind;
use super::screen::{Redraw, Screen};
use crate::media::frame::I420;
use crate::units::{CellRect, Cells, Size};

mod property;

/// The frames after which what stands still must be exact.
const SETTLED: usize = 129;

/// The error (see `fit`) that rounding colours and samples makes at most: one in each channel, and more
/// where edges lie within samples.
const ROUNDING: u32 = 200;

const DEPTHS: [ColorDepth; 4] = [
    ColorDepth::Truecolor,
    ColorDepth::Ansi256,
    ColorDepth::Ansi16,
    ColorDepth::Mono,
];

/// A screen and the terminal it writes to.
struct Rig {
    screen: Screen,
    terminal: vt100::Parser,
    out: Vec<u8>,
}

impl Rig {
    fn new(size: Cells, depth: ColorDepth, redraw: Redraw) -> Self {
        let mut screen = Screen::new(size, depth);
        screen.set_redraw(redraw);
        let mut terminal = vt100::Parser::new(size.rows.max(1), size.cols.max(1), 0);
        // What was there before must not shine through.
        if size.rows > 1 {
            terminal.process("\x1b[31;44;1;4mleft over ".repeat(99).as_bytes());
        }
        Self {
            screen,
            terminal,
            out: Vec::new(),
        }
    }

    fn exact(size: Cells, depth: ColorDepth) -> Self {
        Self::new(size, depth, Redraw::EXACT)
    }

    /// Shows what was composed; returns the bytes it took.
    fn show(&mut self) -> usize {
        self.out.clear();
        self.screen.encode(&mut self.out);
        self.terminal.process(&self.out);
        self.out.len()
    }

    fn resize(&mut self, size: Cells) {
        self.screen.resize(size);
        self.terminal.screen_mut().set_size(size.rows, size.cols);
    }

    /// The first cell where the terminal does not show what is wanted.
    fn wrong(&self) -> Option<String> {
        let Cells { cols, rows } = self.screen.size();
        let at = (0..rows).flat_map(|y| (0..cols).map(move |x| (x, y)));
        at.filter_map(|(x, y)| self.wrong_at(x, y).map(|why| format!("({x}, {y}): {why}")))
            .next()
    }

    fn wrong_at(&self, x: u16, y: u16) -> Option<String> {
        let got = self
            .terminal
            .screen()
            .cell(y, x)
            .expect("the terminal has the screen's size");
        let shown = &self.screen.shown;
        let at = shown.at(usize::from(x), usize::from(y));
        let cell = match shown.kind[at] {
            Kind::UNKNOWN => return None,
            Kind::EMPTY => &Cell::BLANK,
            _ => &shown.text[at],
        };
        let is_right = match (cell.width, cell.glyph.cluster()) {
            (0, _) => got.is_wide_continuation(),
            (_, Some(index)) => is_text(got, &self.screen.clusters[index], cell),
            (_, None) => is_text(got, &cell.glyph.char().to_string(), cell),
        };
        (!is_right).then(|| format!("{got:?}, should be {cell:?}"))
    }

    /// The first cell that does not show what is wanted: text must be there, pictures as good as can be.
    fn unlike(&self) -> Option<String> {
        let (wanted, shown) = (&self.screen.wanted, &self.screen.shown);
        for (at, kind) in wanted.kind.iter().enumerate() {
            let is_same_text = *kind != Kind::TEXT || wanted.text[at] == shown.text[at];
            if *kind != shown.kind[at] || !is_same_text {
                return Some(format!("cell {at} is {:?}, should be {kind:?}", shown.kind[at]));
            }
        }
        let off = self.screen.most_off();
        (off > ROUNDING).then(|| format!("a cell is off by {off}"))
    }
}

/// The colours of the quarters: upper left, upper right, lower left, lower right.
fn quarters(cell: &vt100::Cell) -> [vt100::Color; 4] {
    let (fg, bg) = (cell.fgcolor(), cell.bgcolor());
    match cell.contents() {
        "▀" => [fg, fg, bg, bg],
        "▄" => [bg, bg, fg, fg],
        "▌" => [fg, bg, fg, bg],
        "▐" => [bg, fg, bg, fg],
        "█" => [fg; 4],
        "" | " " => [bg; 4],
        other => panic!("{other:?} is no half block"),
    }
}

fn is_text(got: &vt100::Cell, symbol: &str, cell: &Cell) -> bool {
    let has = |attrs: Attrs| cell.attrs.0 & attrs.0 != 0;
    let is_same_symbol = got.contents() == symbol || (symbol == " " && got.contents().is_empty());
    is_same_symbol
        && got.fgcolor() == color(cell.fg)
        && got.bgcolor() == color(cell.bg)
        && got.bold() == has(Attrs::BOLD)
        && got.dim() == has(Attrs::DIM)
        && got.italic() == has(Attrs::ITALIC)
        && got.underline() == has(Attrs::UNDERLINE)
        && got.inverse() == has(Attrs::REVERSE)
        && got.is_wide() == (cell.width == 2)
}

fn color(paint: Paint) -> vt100::Color {
    match paint.kind() {
        PaintKind::Default => vt100::Color::Default,
        PaintKind::Named(index) | PaintKind::Palette(index) => vt100::Color::Idx(index),
        PaintKind::Rgb(Rgb { r, g, b }) => vt100::Color::Rgb(r, g, b),
    }
}

/// A picture of even colour; neutral where `u` and `v` are 128.
fn even(size: Size, y: u8, u: u8, v: u8) -> I420 {
    let mut picture = I420::new(size);
    for (plane, value) in picture.planes_mut().into_iter().zip([y, u, v]) {
        plane.fill(value);
    }
    picture
}

/// A picture of noise around slopes, the same for the same seed.
fn noisy(size: Size, seed: u64, amplitude: u8) -> I420 {
    let mut picture = I420::new(size);
    let mut state = seed | 1;
    for plane in picture.planes_mut() {
        let len = plane.len().max(1);
        for (i, sample) in plane.iter_mut().enumerate() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 40) % (u64::from(amplitude) + 1);
            *sample = (i * 150 / len + 40 + noise as usize / 2) as u8;
        }
    }
    picture
}

#[test]
fn all_sizes_are_drawn_to_the_last_cell() {
    let sizes = [(1, 1), (2, 1), (1, 9), (7, 3), (33, 9)];
    let each = Glyphs::ALL
        .into_iter()
        .flat_map(|glyphs| DEPTHS.map(|depth| (glyphs, depth)));
    for (glyphs, depth) in each {
        let largest = (glyphs == Glyphs::Sextant && depth == ColorDepth::Truecolor).then_some((500, 200));
        for (cols, rows) in sizes.into_iter().chain(largest) {
            let mut rig = Rig::exact(Cells::new(cols, rows), depth);
            rig.screen.set_glyphs(glyphs);
            let picture = noisy(Size::new(u32::from(cols), u32::from(rows) * 2), 7, 90);
            rig.screen
                .picture(CellRect::new(0, 0, cols, rows), &picture, false);
            rig.show();
            assert_eq!(rig.wrong(), None, "{glyphs} {depth:?} {cols}x{rows}");
            assert_eq!(rig.unlike(), None, "{glyphs} {depth:?} {cols}x{rows}");
            assert!(rig.screen.wanted.kind.iter().all(|kind| kind.is_picture()));
        }
    }
    let mut rig = Rig::exact(Cells::new(0, 0), ColorDepth::Truecolor);
    rig.screen
        .picture(CellRect::new(0, 0, 9, 9), &noisy(Size::new(8, 8), 1, 1), true);
    rig.screen.overlay(&Overlay::new(Cells::new(3, 3)));
    rig.show();
}

/// What the bytes are is a promise to those who count them.
#[test]
fn the_shortest_bytes() {
    let mut rig = Rig::exact(Cells::new(4, 3), ColorDepth::Truecolor);
    let stream = |rig: &mut Rig| {
        rig.show();
        String::from_utf8(rig.out.clone())
            .expect("UTF-8")
            .replace('\x1b', "E")
    };
    let area = CellRect::new(0, 0, 2, 2);
    let mut picture = even(Size::new(4, 4), 16, 128, 128);
    rig.screen.fill(area, &picture, false);
    let black = "E[?2026hE[mE[2JE[HE[48;2;0;0;0m  \r\n  E[?2026l";
    assert_eq!(stream(&mut rig), black);
    // Half a cell changes: one cell, one colour more.
    picture.planes_mut()[0][14..].fill(235);
    rig.screen.fill(area, &picture, false);
    let one = "E[?2026hE[mE[2;2HE[38;2;255;255;255;48;2;0;0;0m▄E[?2026l";
    assert_eq!(stream(&mut rig), one);
    rig.screen.fill(area, &picture, false);
    assert_eq!(stream(&mut rig), "");
    let mut overlay = Overlay::new(Cells::new(4, 3));
    let cyan = Style {
        fg: Ink::Indexed(6),
        attrs: Attrs::BOLD,
        ..Style::default()
    };
    overlay.text(0, 2, "ab", cyan);
    overlay.put(3, 2, "c", Style::default());
    rig.screen.fill(area, &picture, false);
    rig.screen.overlay(&overlay);
    assert_eq!(stream(&mut rig), "E[?2026hE[mE[3HE[1;36mabE[CE[mcE[?2026l");
}

#[test]
fn without_colours_none_is_sent() {
    let mut rig = Rig::exact(Cells::new(20, 8), ColorDepth::Mono);
    let mut overlay = Overlay::new(Cells::new(20, 8));
    for (y, bg) in [
        Ink::Indexed(1),
        Ink::Indexed(200),
        Ink::Rgb(Rgb::new(9, 9, 9)),
        Ink::Beneath,
    ]
    .into_iter()
    .enumerate()
    {
        let attrs = Attrs::REVERSE | Attrs::BOLD;
        overlay.text(2, y as u16, "muted", Style { fg: bg, bg, attrs });
    }
    rig.screen.picture(
        CellRect::new(0, 0, 20, 8),
        &noisy(Size::new(64, 48), 5, 99),
        false,
    );
    rig.screen.overlay(&overlay);
    rig.show();
    assert_eq!(rig.wrong(), None);
    let stream = String::from_utf8(rig.out.clone()).expect("UTF-8");
    for sgr in stream
        .split("\x1b[")
        .filter_map(|s| s.split_once('m'))
        .map(|(sgr, _)| sgr)
    {
        if sgr.bytes().all(|b| b.is_ascii_digit() || b == b';') {
            let parameters = sgr.split(';').filter_map(|p| p.parse::<u16>().ok());
            assert!(parameters.into_iter().all(|p| p < 30), "colour in SGR {sgr}");
        }
    }
}

#[test]
fn a_mirrored_picture_is_the_picture_reversed() {
    for (glyphs, columns) in [(Glyphs::Half, 2), (Glyphs::Octant, 4)] {
        let picture = noisy(Size::new(33, 20), 3, 200);
        let [plain, mirrored] = [false, true].map(|mirror| {
            let mut rig = Rig::exact(Cells::new(33, 10), ColorDepth::Truecolor);
            rig.screen.set_glyphs(glyphs);
            rig.screen.fill(CellRect::new(0, 0, 33, 10), &picture, mirror);
            rig
        });
        for (x, y) in (0..10).flat_map(|y| (0..33).map(move |x| (x, y))) {
            let a = plain.screen.wanted.samples(x, y);
            let mut b = mirrored.screen.wanted.samples(32 - x, y);
            b.luma.chunks_exact_mut(columns).for_each(<[u8]>::reverse);
            for plane in &mut b.chroma {
                plane.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            assert_eq!(a, b, "{glyphs} ({x}, {y})");
        }
    }
}

#[test]
fn what_was_covered_comes_back() {
    let size = Cells::new(24, 6);
    let area = CellRect::new(0, 0, 24, 6);
    let picture = noisy(Size::new(24, 12), 11, 80);
    let mut rig = Rig::exact(size, ColorDepth::Truecolor);
    let mut overlay = Overlay::new(size);
    rig.screen.picture(area, &picture, false);
    rig.screen.overlay(&overlay);
    rig.show();
    let bare = rig.terminal.screen().contents_formatted();
    overlay.dim(area);
    let style = Style {
        bg: Ink::Beneath,
        ..Style::default()
    };
    overlay.text(21, 2, "中文", style);
    rig.screen.picture(area, &picture, false);
    rig.screen.overlay(&overlay);
    rig.show();
    assert_eq!(rig.wrong(), None);
    assert!(rig.terminal.screen().contents().contains("中"));
    overlay.reset(size);
    rig.screen.picture(area, &picture, false);
    rig.screen.overlay(&overlay);
    rig.show();
    assert_eq!(rig.wrong(), None);
    let restored = rig.terminal.screen();
    let mut fresh = vt100::Parser::new(6, 24, 0);
    fresh.process(&bare);
    for (x, y) in (0..6).flat_map(|y| (0..24).map(move |x| (x, y))) {
        let (a, b) = (
            restored.cell(y, x).expect("same"),
            fresh.screen().cell(y, x).expect("same"),
        );
        assert_eq!(quarters(a), quarters(b));
    }
}

#[test]
fn sensor_noise_costs_nothing() {
    let cells = 80 * 24;
    let mut rig = Rig::new(Cells::new(80, 24), ColorDepth::Truecolor, Redraw::default());
    let area = CellRect::new(0, 0, 80, 24);
    let mut bytes = 0;
    for seed in 0..2 * SETTLED {
        let picture = noisy(Size::new(80, 48), seed as u64 * 77 + 5, 3);
        rig.screen.picture(area, &picture, false);
        let shown = rig.show();
        bytes += if seed < SETTLED { 0 } else { shown };
    }
    assert!(bytes < cells * SETTLED / 10, "{bytes} bytes");
}

#[test]
fn a_frame_keeps_its_budget_whatever_moves() {
    let size = Cells::new(24, 9);
    let cells = 24 * 9;
    for glyphs in Glyphs::ALL {
        for depth in DEPTHS {
            for budget in [8 * cells, 3 * cells, 300] {
                let mut rig = Rig::new(size, depth, Redraw::default());
                rig.screen.set_glyphs(glyphs);
                rig.screen.set_budget(Some(budget));
                let area = CellRect::new(0, 0, size.cols, size.rows);
                for seed in 0..6 {
                    let picture = noisy(size.pixels(), seed * 31 + 1, 200);
                    rig.screen.picture(area, &picture, false);
                    let bytes = rig.show();
                    assert!(
                        bytes <= budget,
                        "{glyphs} {depth:?}: {bytes} bytes, {budget} allowed"
                    );
                    assert_eq!(rig.wrong(), None);
                }
                if budget < 8 * cells {
                    continue;
                }
                // And then it comes to rest at what is wanted.
                let picture = noisy(size.pixels(), 1, 200);
                for _ in 0..2 * SETTLED {
                    rig.screen.picture(area, &picture, false);
                    rig.show();
                }
                assert_eq!(rig.unlike(), None, "{glyphs} {depth:?}");
            }
        }
    }
}

#[test]
fn pictures_are_fitted_into_the_middle() {
    use super::fit;
    let area = CellRect::new(10, 2, 80, 23);
    assert_eq!(fit(Size::new(640, 480), area), CellRect::new(19, 2, 61, 23));
    assert_eq!(fit(Size::new(60, 46), area), CellRect::new(20, 2, 60, 23));
    assert_eq!(fit(Size::new(1600, 400), area), CellRect::new(10, 8, 80, 10));
    assert_eq!(fit(Size::new(1, 1000), area), CellRect::new(49, 2, 1, 23));
    assert_eq!(fit(Size::new(1000, 1), area), CellRect::new(10, 13, 80, 1));
    assert_eq!(fit(Size::new(0, 9), area).size(), Cells::new(0, 0));
    assert_eq!(
        fit(Size::new(9, 9), CellRect::new(4, 4, 0, 5)).size(),
        Cells::new(0, 0)
    );
    let most = CellRect::new(0, 0, u16::MAX, u16::MAX);
    assert_eq!(fit(Size::new(u32::MAX, u32::MAX), most).cols, u16::MAX);
}
