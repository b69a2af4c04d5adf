//! A terminal emulator reads the stream and must show exactly the cells that were asked for.

use proptest::prelude::*;

use super::cells::{Attrs, Cell, Ink, Overlay, Paint, PaintKind, Style};
use super::colour::{ColorDepth, Rgb};
use super::grid::{Kind, Look, is_picture};
use super::screen::{Redraw, Screen};
use crate::media::frame::I420;
use crate::units::{CellRect, Cells, Size};

/// The frames after which what stands still must be exact.
const SETTLED: usize = 65;

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
        let (wanted, depth) = self.screen.wanted();
        let at = wanted.at(usize::from(x), usize::from(y));
        let is_right = if is_picture(wanted.kind[at]) {
            match wanted.look(usize::from(x), usize::from(y), depth) {
                Look::Halves(top, bottom) => halves(got) == (color(top), color(bottom)) && is_plain(got),
                Look::Glyph(c) => is_text(got, &c.to_string(), &Cell::BLANK),
            }
        } else if wanted.kind[at] == Kind::Text as u8 {
            let cell = &wanted.text[at];
            match (cell.width, cell.glyph.cluster()) {
                (0, _) => got.is_wide_continuation(),
                (_, Some(index)) => is_text(got, self.screen.cluster(index), cell),
                (_, None) => is_text(got, &cell.glyph.char().to_string(), cell),
            }
        } else {
            is_text(got, " ", &Cell::BLANK)
        };
        (!is_right).then(|| format!("{got:?}, wanted {:?}", wanted.text[at]))
    }

    /// The largest difference of a pixel shown from the one wanted.
    fn worst(&self) -> u8 {
        let Cells { cols, rows } = self.screen.size();
        let (wanted, _) = self.screen.wanted();
        let mut worst = 0;
        for (x, y) in (0..rows).flat_map(|y| (0..cols).map(move |x| (x, y))) {
            let at = wanted.at(usize::from(x), usize::from(y));
            if is_picture(wanted.kind[at]) {
                let cell = self.terminal.screen().cell(y, x).expect("the same size");
                let (top, bottom) = halves(cell);
                let [r, g, b, r2, g2, b2] = wanted.samples(usize::from(x), usize::from(y));
                worst = worst.max(rgb(top).distance(Rgb::new(r, g, b)));
                worst = worst.max(rgb(bottom).distance(Rgb::new(r2, g2, b2)));
            }
        }
        worst
    }
}

/// The colours of the upper and the lower half.
fn halves(cell: &vt100::Cell) -> (vt100::Color, vt100::Color) {
    let (fg, bg) = (cell.fgcolor(), cell.bgcolor());
    match cell.contents() {
        "▀" => (fg, bg),
        "▄" => (bg, fg),
        "█" => (fg, fg),
        "" | " " => (bg, bg),
        other => panic!("{other:?} is no half block"),
    }
}

fn is_plain(cell: &vt100::Cell) -> bool {
    !(cell.bold() || cell.dim() || cell.italic() || cell.underline() || cell.inverse())
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

fn rgb(color: vt100::Color) -> Rgb {
    match color {
        vt100::Color::Rgb(r, g, b) => Rgb::new(r, g, b),
        other => panic!("{other:?} is no 24-bit colour"),
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

/// A step in the life of a screen.
#[derive(Clone, Debug)]
enum Step {
    Resize(Cells),
    Invalidate,
    Picture {
        area: CellRect,
        size: Size,
        seed: u64,
        amplitude: u8,
        mirror: bool,
    },
    Text {
        x: u16,
        y: u16,
        text: String,
        style: Style,
    },
    Dim(CellRect),
    Clear(CellRect),
    Bare,
}

fn rects() -> impl Strategy<Value = CellRect> {
    (0..30_u16, 0..12_u16, 0..40_u16, 0..16_u16)
        .prop_map(|(x, y, cols, rows)| CellRect::new(x, y, cols, rows))
}

fn inks() -> impl Strategy<Value = Ink> {
    prop_oneof![
        Just(Ink::Default),
        Just(Ink::Beneath),
        any::<u8>().prop_map(Ink::Indexed),
        any::<[u8; 3]>().prop_map(|[r, g, b]| Ink::Rgb(Rgb::new(r, g, b))),
    ]
}

fn styles() -> impl Strategy<Value = Style> {
    // A terminal's strike is not among what the emulator tells.
    (inks(), inks(), 0..32_u8).prop_map(|(fg, bg, attrs)| {
        let fg = if fg == Ink::Beneath { Ink::Default } else { fg };
        // Nor does it know bold and dim together.
        let attrs = if attrs & 3 == 3 {
            Attrs(attrs & !2)
        } else {
            Attrs(attrs)
        };
        Style { fg, bg, attrs }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    // The emulator itself fails where a wide character has no room.
    let sizes = (2..=40_u16, 2..=16_u16).prop_map(|(cols, rows)| Step::Resize(Cells::new(cols, rows)));
    let pictures = (
        rects(),
        0..90_u32,
        0..90_u32,
        any::<u64>(),
        0..60_u8,
        any::<bool>(),
    )
        .prop_map(|(area, width, height, seed, amplitude, mirror)| Step::Picture {
            area,
            size: Size::new(width, height),
            seed,
            amplitude,
            mirror,
        });
    let texts = (0..40_u16, 0..16_u16, "[a-z 中文é한]{1,9}", styles())
        .prop_map(|(x, y, text, style)| Step::Text { x, y, text, style });
    prop_oneof![
        1 => sizes,
        1 => Just(Step::Invalidate),
        6 => pictures,
        6 => texts,
        2 => rects().prop_map(Step::Dim),
        1 => rects().prop_map(Step::Clear),
        1 => Just(Step::Bare),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_terminal_shows_what_was_composed(
        depth in 0..4_usize,
        steps in proptest::collection::vec(steps(), 1..24),
    ) {
        let mut rig = Rig::exact(Cells::new(30, 12), DEPTHS[depth]);
        let mut overlay = Overlay::new(Cells::new(30, 12));
        let mut last = None;
        for step in &steps {
            match step.clone() {
                Step::Resize(size) => {
                    rig.resize(size);
                    overlay.reset(size);
                }
                Step::Invalidate => {
                    rig.terminal.process("\x1b[7;1;35m中\x1b[3;3Hstray".as_bytes());
                    rig.screen.invalidate();
                }
                Step::Picture { area, size, seed, amplitude, mirror } => {
                    last = Some((area, noisy(size, seed, amplitude), mirror));
                }
                Step::Text { x, y, text, style } => {
                    overlay.text(x, y, &text, style);
                }
                Step::Dim(area) => overlay.dim(area),
                Step::Clear(area) => overlay.clear(area),
                Step::Bare => last = None,
            }
            if let Some((area, picture, mirror)) = &last {
                rig.screen.picture(*area, picture, *mirror);
                // A small one over it, as the own picture lies.
                rig.screen.picture(CellRect::new(3, 1, 7, 3), picture, !mirror);
            }
            rig.screen.overlay(&overlay);
            rig.show();
            prop_assert_eq!(rig.wrong(), None);
            let composed_again = rig.show();
            prop_assert_eq!(composed_again, 0, "nothing changed");
        }
    }

    #[test]
    fn a_picture_is_never_off_by_more_than_the_threshold_and_becomes_exact(
        threshold in 0..20_u8,
        seeds in proptest::collection::vec(any::<u64>(), 1..6),
    ) {
        let size = Cells::new(20, 9);
        let mut rig = Rig::new(size, ColorDepth::Truecolor, Redraw { threshold, bytes_per_cell: None });
        let area = CellRect::new(0, 0, 20, 9);
        for seed in &seeds {
            rig.screen.picture(area, &noisy(Size::new(20, 18), *seed, 30), false);
            rig.show();
            prop_assert!(rig.worst() <= threshold, "{} > {threshold}", rig.worst());
        }
        for _ in 0..SETTLED {
            rig.screen.picture(area, &noisy(Size::new(20, 18), seeds[0], 30), false);
            rig.show();
        }
        prop_assert_eq!(rig.wrong(), None);
    }
}

#[test]
fn all_sizes_are_drawn_to_the_last_cell() {
    for depth in DEPTHS {
        for (cols, rows) in [(1, 1), (2, 1), (1, 9), (7, 3), (81, 23), (300, 80)] {
            let mut rig = Rig::exact(Cells::new(cols, rows), depth);
            let picture = noisy(Size::new(u32::from(cols), u32::from(rows) * 2), 7, 90);
            rig.screen
                .picture(CellRect::new(0, 0, cols, rows), &picture, false);
            rig.show();
            assert_eq!(rig.wrong(), None, "{depth:?} {cols}x{rows}");
            let (wanted, _) = rig.screen.wanted();
            assert!(wanted.kind.iter().all(|&kind| kind == Kind::Picture as u8));
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
    rig.screen.picture(
        CellRect::new(0, 0, 2, 2),
        &even(Size::new(2, 4), 16, 128, 128),
        false,
    );
    let black = "E[?2026hE[mE[2JE[HE[48;2;0;0;0m  \r\n  E[?2026l";
    assert_eq!(stream(&mut rig), black);
    // One pixel changes: one cell, one colour more.
    let mut picture = even(Size::new(2, 4), 16, 128, 128);
    picture.planes_mut()[0][7] = 235;
    rig.screen.picture(CellRect::new(0, 0, 2, 2), &picture, false);
    let one = "E[?2026hE[mE[2;2HE[38;2;0;0;0;48;2;255;255;255m▀E[?2026l";
    assert_eq!(stream(&mut rig), one);
    rig.screen.picture(CellRect::new(0, 0, 2, 2), &picture, false);
    assert_eq!(stream(&mut rig), "");
    let mut overlay = Overlay::new(Cells::new(4, 3));
    let cyan = Style {
        fg: Ink::Indexed(6),
        attrs: Attrs::BOLD,
        ..Style::default()
    };
    overlay.text(0, 2, "ab", cyan);
    overlay.put(3, 2, "c", Style::default());
    rig.screen.picture(CellRect::new(0, 0, 2, 2), &picture, false);
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
    for depth in DEPTHS {
        let picture = noisy(Size::new(33, 20), 3, 200);
        let [plain, mut mirrored] = [false, true].map(|mirror| {
            let mut rig = Rig::exact(Cells::new(33, 10), depth);
            rig.screen.picture(CellRect::new(0, 0, 33, 10), &picture, mirror);
            let (wanted, _) = rig.screen.wanted();
            wanted.channels.clone()
        });
        if depth == ColorDepth::Mono {
            // Here the first two channels are the two halves of each cell.
            mirrored.swap(0, 1);
        }
        for channel in &mut mirrored {
            channel.chunks_exact_mut(33).for_each(<[u8]>::reverse);
        }
        assert!(plain == mirrored, "{depth:?}");
    }
}

#[test]
fn what_was_covered_comes_back() {
    let size = Cells::new(24, 6);
    let area = CellRect::new(0, 0, 24, 6);
    let picture = noisy(Size::new(24, 12), 11, 80);
    let mut rig = Rig::new(size, ColorDepth::Truecolor, Redraw::default());
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
        assert_eq!(halves(a), halves(b));
    }
}

#[test]
fn sensor_noise_costs_nothing() {
    let mut rig = Rig::new(Cells::new(80, 24), ColorDepth::Truecolor, Redraw::default());
    let area = CellRect::new(0, 0, 80, 24);
    let mut most = 0;
    for seed in 0..2 * SETTLED {
        let picture = noisy(Size::new(80, 48), seed as u64 * 77 + 5, 3);
        rig.screen.picture(area, &picture, false);
        let bytes = rig.show();
        if seed > 0 {
            most = most.max(bytes);
        }
    }
    assert!(most < 80 * 24 / 4, "{most} bytes");
}

#[test]
fn a_frame_keeps_its_budget_whatever_moves() {
    for depth in DEPTHS {
        let cells = 120 * 40;
        let mut rig = Rig::new(Cells::new(120, 40), depth, Redraw::default());
        let area = CellRect::new(0, 0, 120, 40);
        for seed in 0..12 {
            rig.screen
                .picture(area, &noisy(Size::new(120, 80), seed * 31 + 1, 200), false);
            let bytes = rig.show();
            assert!(
                seed == 0 || bytes <= 8 * cells,
                "{depth:?}: {bytes} bytes for {cells} cells"
            );
        }
        // And then it comes to rest at what is wanted.
        for _ in 0..3 * SETTLED {
            rig.screen
                .picture(area, &noisy(Size::new(120, 80), 1, 200), false);
            rig.show();
        }
        assert_eq!(rig.wrong(), None);
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
