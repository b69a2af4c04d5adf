//! What each set of glyphs makes of a picture in each colour depth, as a terminal shows it: the
//! committed files are what was looked at and found good. After a change that should be seen,
//! `FACETTY_BLESS=1 cargo test --test picture` writes them anew; look at them before committing.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::PathBuf;

use facetty::media::frame::I420;
use facetty::picture::{Attrs, ColorDepth, Glyphs, Ink, Overlay, Redraw, Screen, Style};
use facetty::units::{CellRect, Cells, Size};

const SIZE: Cells = Cells::new(24, 8);
const DEPTHS: [(ColorDepth, &str); 4] = [
    (ColorDepth::Truecolor, "truecolor"),
    (ColorDepth::Ansi256, "256"),
    (ColorDepth::Ansi16, "16"),
    (ColorDepth::Mono, "mono"),
];

#[test]
fn every_set_of_glyphs_shows_the_picture_in_every_depth() {
    let mut wrong = Vec::new();
    for glyphs in Glyphs::ALL {
        for (depth, name) in DEPTHS {
            let seen = seen(glyphs, depth);
            let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/picture"]
                .iter()
                .collect();
            let path = path.join(format!("{glyphs}-{name}.txt"));
            if std::env::var_os("FACETTY_BLESS").is_some() {
                std::fs::write(&path, &seen).unwrap();
            } else if std::fs::read_to_string(&path).unwrap_or_default() != seen {
                wrong.push(format!("{}\n{seen}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these differ:\n{}", wrong.join("\n"));
}

/// The characters, and below them the colours of each cell: of the ink and the ground.
fn seen(glyphs: Glyphs, depth: ColorDepth) -> String {
    let mut screen = Screen::new(SIZE, depth);
    screen.set_glyphs(glyphs);
    let mut overlay = Overlay::new(SIZE);
    let tag = Style {
        bg: Ink::Beneath,
        attrs: Attrs::BOLD,
        ..Style::default()
    };
    overlay.text(1, 7, "ann 中", tag);
    overlay.dim(CellRect::new(18, 0, 6, 2));
    let picture = picture();
    let mut terminal = vt100::Parser::new(SIZE.rows, SIZE.cols, 0);
    // The second frame corrects what the first one had no bytes for.
    screen.set_redraw(Redraw::EXACT);
    for _ in 0..2 {
        screen.fill(CellRect::new(0, 0, SIZE.cols, SIZE.rows), &picture, false);
        screen.overlay(&overlay);
        let mut out = Vec::new();
        screen.encode(&mut out);
        terminal.process(&out);
    }
    let mut text = String::new();
    let cell = |x: u16, y: u16| terminal.screen().cell(y, x).unwrap();
    for y in 0..SIZE.rows {
        for x in 0..SIZE.cols {
            let cell = cell(x, y);
            match cell.contents() {
                "" if !cell.is_wide_continuation() => text.push(' '),
                contents => text.push_str(contents),
            }
        }
        text.push('\n');
    }
    for y in 0..SIZE.rows {
        for x in 0..SIZE.cols {
            let cell = cell(x, y);
            let [fg, bg] = [cell.fgcolor(), cell.bgcolor()].map(name);
            // Of a space the ink is not seen, of a full block the ground.
            let (fg, bg) = match cell.contents() {
                "" | " " => ("-".to_owned(), bg),
                "█" => (fg, "-".to_owned()),
                _ => (fg, bg),
            };
            let _ = write!(text, "{fg}/{bg} ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn name(colour: vt100::Color) -> String {
    match colour {
        vt100::Color::Default => "d".to_owned(),
        vt100::Color::Idx(index) => index.to_string(),
        vt100::Color::Rgb(r, g, b) => format!("{r:02x}{g:02x}{b:02x}"),
    }
}

/// A disc before a slope, a thin line, and colours: something for every shape.
fn picture() -> I420 {
    let mut picture = I420::new(Size::new(192, 128));
    for (index, plane) in picture.planes_mut().into_iter().enumerate() {
        let shrink = if index == 0 { 1 } else { 2 };
        let width = 192 / shrink;
        for (i, sample) in plane.iter_mut().enumerate() {
            let (x, y) = (i % width * shrink, i / width * shrink);
            let is_disc = x.abs_diff(70).pow(2) + y.abs_diff(60).pow(2) < 40 * 40;
            let is_line = (x * 2 + y * 3).abs_diff(400) < 9;
            *sample = match index {
                0 if is_line => 225,
                0 if is_disc => (190 - x / 2) as u8,
                0 => (30 + x / 3 + y / 2) as u8,
                1 if is_disc => 100,
                1 => (110 + x / 5) as u8,
                _ if is_disc => 160,
                _ => (140 - y / 5) as u8,
            };
        }
    }
    picture
}
