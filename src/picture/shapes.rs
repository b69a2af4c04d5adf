//! The shapes that part a cell's two colours, and how a cell is sampled to tell which fits.

use std::sync::OnceLock;

use super::glyphs::Glyphs;

/// Luma samples of a cell at most.
pub(super) const MOST_LUMA: usize = 32;
/// Colour samples of a cell: two by two.
pub(super) const CHROMA: usize = 4;
/// Units of [`Shape::luma`]: thirds of the cell's eight rows, halves of its four columns.
pub(super) const COVERED: i16 = 6;

/// In how many columns and rows of samples a cell is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    pub(super) cols: usize,
    pub(super) rows: usize,
}

impl Sampling {
    /// For half blocks, and where only light counts.
    pub(super) const COARSE: Self = Self { cols: 2, rows: 2 };
    /// For all that is finer: columns of two eighths, rows of one.
    pub(super) const FINE: Self = Self { cols: 4, rows: 8 };

    pub(super) const fn of(glyphs: Glyphs) -> Self {
        match glyphs {
            Glyphs::Half | Glyphs::Ascii => Self::COARSE,
            Glyphs::Quadrant | Glyphs::Sextant | Glyphs::Octant => Self::FINE,
        }
    }

    /// Samples of a cell.
    pub(super) const fn len(self) -> usize {
        self.cols * self.rows
    }
}

/// A shape: a part of the cell in one colour, the rest in the other.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The glyph whose ink is the part.
    pub(super) glyph: char,
    /// The glyph whose ink is the rest.
    pub(super) inverse: Option<char>,
    /// What is written where all is ground, all is ink, for the shape, for its inverse.
    pub(super) forms: [Form; 4],
    /// How much of each luma sample is within the part, in [`COVERED`]ths.
    pub(super) luma: [i16; MOST_LUMA],
    /// How much of each colour sample is within the part, likewise of eight times as many.
    pub(super) chroma: [i16; CHROMA],
    /// How much of the cell is within the part.
    pub(super) share: f32,
    /// The error that edges within luma and within colour samples make for each squared step.
    pub(super) edges: [f32; 2],
}

/// A glyph as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) glyph: char,
    /// In UTF-8, of which the first `len` count.
    pub(super) utf8: [u8; 4],
    pub(super) len: usize,
    /// The bytes as they count; without end where there is no such glyph.
    pub(super) cost: f32,
}

impl Form {
    fn new(glyph: Option<char>) -> Self {
        let mut utf8 = [0; 4];
        let len = glyph.map_or(0, |glyph| glyph.encode_utf8(&mut utf8).len());
        Self {
            glyph: glyph.unwrap_or(' '),
            utf8,
            len,
            cost: glyph.map_or(f32::INFINITY, |_| len as f32),
        }
    }
}

/// The shapes of a set of glyphs, numbered as [`super::fit`] tries them.
pub(super) struct Shapes {
    pub(super) all: Vec<Shape>,
}

/// From the number of shapes of blocks on, the lower eighths `▁` to `▇` and the left `▏` to `▉`.
pub(super) const EIGHTHS: usize = 14;

impl Shapes {
    pub(super) fn of(glyphs: Glyphs) -> &'static Self {
        static SETS: [OnceLock<Shapes>; 4] = [const { OnceLock::new() }; 4];
        let (set, make): (usize, fn() -> Self) = match glyphs {
            Glyphs::Half | Glyphs::Ascii => (0, Self::halves),
            Glyphs::Quadrant => (1, || Self::blocks(&[2])),
            Glyphs::Sextant => (2, || Self::blocks(&[2, 3])),
            Glyphs::Octant => (3, || Self::blocks(&[3, 4])),
        };
        SETS[set].get_or_init(make)
    }

    /// The lower half, the left half.
    fn halves() -> Self {
        let sampling = Sampling::COARSE;
        let lower = Shape::new('▄', Some('▀'), sampling, |_, y| share(y, (0.5, 1.0)));
        let left = Shape::new('▌', Some('▐'), sampling, |x, _| share(x, (0.0, 0.5)));
        Self {
            all: vec![lower, left],
        }
    }

    /// The eighths, then for each number of rows all shapes of two columns in which the first block
    /// is left out, by their mask without it.
    fn blocks(rows: &[usize]) -> Self {
        let sampling = Sampling::FINE;
        let mut all = Vec::new();
        for eighths in 1..=7_u8 {
            let edge = 1.0 - f64::from(eighths) / 8.0;
            let glyph = char::from_u32(0x2580 + u32::from(eighths)).expect("a lower eighth");
            let inverse = match eighths {
                4 => Some('▀'),
                7 => Some('▔'),
                _ => None,
            };
            let cover = |_, y| share(y, (edge, 1.0));
            all.push(Shape::new(glyph, inverse, sampling, cover));
        }
        for eighths in 1..=7_u8 {
            let edge = f64::from(eighths) / 8.0;
            let glyph = char::from_u32(0x2590 - u32::from(eighths)).expect("a left eighth");
            let inverse = match eighths {
                4 => Some('▐'),
                7 => Some('▕'),
                _ => None,
            };
            let cover = |x, _| share(x, (0.0, edge));
            all.push(Shape::new(glyph, inverse, sampling, cover));
        }
        for &rows in rows {
            let blocks = rows * 2;
            for rest in 1..1_usize << (blocks - 1) {
                let mask = rest << 1;
                let full = (1 << blocks) - 1;
                let cover = |x: (f64, f64), y: (f64, f64)| -> f64 {
                    let part = |i: usize| {
                        let (bx, by) = ((i % 2) as f64, (i / 2) as f64);
                        share(x, (bx / 2.0, (bx + 1.0) / 2.0))
                            * share(y, (by / rows as f64, (by + 1.0) / rows as f64))
                    };
                    (0..blocks).filter(|i| mask >> i & 1 == 1).map(part).sum()
                };
                let [glyph, inverse] = [mask, full ^ mask].map(|mask| block_glyph(rows, mask));
                all.push(Shape::new(glyph, Some(inverse), sampling, cover));
            }
        }
        Self { all }
    }
}

/// The glyph of a mask of blocks, two to a row: 1 upper left, 2 upper right, 4 below the former.
pub(super) fn block_glyph(rows: usize, mask: usize) -> char {
    match rows {
        1 => [' ', '▌', '▐', '█'][mask],
        2 => QUADRANTS[mask],
        3 => sextant(mask),
        _ => octant(mask),
    }
}

const QUADRANTS: [char; 16] = [
    ' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█',
];

/// U+1FB00 to U+1FB3B: all masks in their order but those that are older characters.
fn sextant(mask: usize) -> char {
    match mask {
        0 => ' ',
        0b01_01_01 => '▌',
        0b10_10_10 => '▐',
        0b11_11_11 => '█',
        _ => {
            let older = 1 + usize::from(mask > 0b01_01_01) + usize::from(mask > 0b10_10_10);
            char::from_u32((0x1FB00 + mask - older) as u32).expect("below U+1FB3C")
        }
    }
}

/// Octants that are characters elsewhere: blocks, quadrants, and what Unicode 13 and 16 put into
/// other places (L2/21-235, UnicodeData.txt of Unicode 16).
#[rustfmt::skip]
const OLDER: [(u8, char); 26] = [
    (0, ' '), (1, '\u{1CEA8}'), (2, '\u{1CEAB}'), (3, '\u{1FB82}'), (5, '▘'), (10, '▝'), (15, '▀'),
    (20, '\u{1FBE6}'), (40, '\u{1FBE7}'), (63, '\u{1FB85}'), (64, '\u{1CEA3}'), (80, '▖'), (85, '▌'),
    (90, '▞'), (95, '▛'), (128, '\u{1CEA0}'), (160, '▗'), (165, '▚'), (170, '▐'), (175, '▜'),
    (192, '▂'), (240, '▄'), (245, '▙'), (250, '▟'), (252, '▆'), (255, '█'),
];

/// U+1CD00 to U+1CDE5: all masks in their order but those of [`OLDER`].
fn octant(mask: usize) -> char {
    let older = OLDER.iter().take_while(|(m, _)| usize::from(*m) < mask).count();
    match OLDER.get(older) {
        Some(&(m, glyph)) if usize::from(m) == mask => glyph,
        _ => char::from_u32((0x1CD00 + mask - older) as u32).expect("below U+1CDE6"),
    }
}

/// How much of the first span the second covers.
fn share((from, to): (f64, f64), (start, end): (f64, f64)) -> f64 {
    (to.min(end) - from.max(start)).max(0.0) / (to - from)
}

impl Shape {
    /// `cover` tells how much of a sample, given by its spans across and down the cell, is covered.
    fn new(
        glyph: char,
        inverse: Option<char>,
        sampling: Sampling,
        cover: impl Fn((f64, f64), (f64, f64)) -> f64,
    ) -> Self {
        let span = |i: usize, n: usize| (i as f64 / n as f64, (i + 1) as f64 / n as f64);
        let at = |i: usize, cols: usize, rows: usize| cover(span(i % cols, cols), span(i / cols, rows));
        let (mut luma, mut chroma) = ([0; MOST_LUMA], [0; CHROMA]);
        for (i, covered) in luma[..sampling.len()].iter_mut().enumerate() {
            *covered = (at(i, sampling.cols, sampling.rows) * f64::from(COVERED)).round() as i16;
        }
        for (i, covered) in chroma.iter_mut().enumerate() {
            *covered = (at(i, 2, 2) * f64::from(COVERED * 8)).round() as i16;
        }
        // Of 32 samples, whatever the sampling.
        let within = |covered: &[i16], most: i16| -> f32 {
            let parts = covered.iter().map(|&c| f32::from(c) / f32::from(most));
            let samples = parts.map(|part| part * (1.0 - part)).sum::<f32>();
            samples * MOST_LUMA as f32 / covered.len() as f32
        };
        Self {
            glyph,
            inverse,
            forms: [Some(' '), Some('█'), Some(glyph), inverse].map(Form::new),
            luma,
            chroma,
            share: at(0, 1, 1) as f32,
            edges: [
                within(&luma[..sampling.len()], COVERED),
                within(&chroma, COVERED * 8),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn octants_and_sextants_are_where_unicode_has_them() {
        for (mask, glyph) in [
            (0b0000_0100, '\u{1CD00}'), // BLOCK OCTANT-3
            (0b0000_0110, '\u{1CD01}'), // BLOCK OCTANT-23
            (0b1111_1110, '\u{1CDE5}'), // BLOCK OCTANT-2345678
            (0b0000_0001, '\u{1CEA8}'), // LEFT HALF UPPER ONE QUARTER BLOCK
            (0b1000_0000, '\u{1CEA0}'), // RIGHT HALF LOWER ONE QUARTER BLOCK
            (0b0001_0100, '\u{1FBE6}'), // MIDDLE LEFT ONE QUARTER BLOCK
            (0b1100_0000, '▂'),
        ] {
            assert_eq!(octant(mask), glyph, "{mask:08b}");
        }
        for (mask, glyph) in [
            (1, '\u{1FB00}'),
            (20, '\u{1FB13}'),
            (22, '\u{1FB14}'),
            (41, '\u{1FB27}'),
            (43, '\u{1FB28}'),
            (62, '\u{1FB3B}'),
        ] {
            assert_eq!(sextant(mask), glyph, "{mask:06b}");
        }
        for rows in 1..=4 {
            let all: BTreeSet<_> = (0..1 << (rows * 2)).map(|m| block_glyph(rows, m)).collect();
            assert_eq!(all.len(), 1 << (rows * 2));
        }
    }

    #[test]
    fn covers_say_what_share_is_covered() {
        for glyphs in Glyphs::ALL {
            let sampling = Sampling::of(glyphs);
            for shape in &Shapes::of(glyphs).all {
                let whole = f32::from(COVERED) * sampling.len() as f32;
                let luma: i16 = shape.luma.iter().sum();
                assert!((f32::from(luma) / whole - shape.share).abs() < 1e-5, "{shape:?}");
                let chroma: i16 = shape.chroma.iter().sum();
                let whole = f32::from(COVERED * 8 * 4);
                assert!(
                    (f32::from(chroma) / whole - shape.share).abs() < 1e-5,
                    "{shape:?}"
                );
                assert!(shape.share > 0.0 && shape.share < 1.0);
            }
        }
        assert_eq!(Shapes::of(Glyphs::Octant).all.len(), EIGHTHS + 31 + 127);
        assert_eq!(Shapes::of(Glyphs::Sextant).all.len(), EIGHTHS + 7 + 31);
    }
}
