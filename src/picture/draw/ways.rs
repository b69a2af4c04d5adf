//! The ways to draw a cell in two of 16 million colours, and the cheapest of them.
//!
//! All that the pen does not change is found for the cells of a group at once; what is left for each
//! cell has no branch, as none could be foretold.

// Several arrays are walked by the same number, and what is not inlined does not get the
// instructions that the machine has.
#![allow(clippy::needless_range_loop)]

use super::super::cells::Paint;
use super::super::colour::ColourSpace;
use super::super::fit::{LANES, Means, SAMPLES};
use super::super::look::Yuv;
use super::super::shapes::Shape;

/// What a glyph's ink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing.
    Ground,
    /// All of the cell.
    Ink,
    /// The shape.
    Shape,
    /// All but the shape.
    Inverse,
}

impl Part {
    const ALL: [Self; 4] = [Self::Ground, Self::Ink, Self::Shape, Self::Inverse];
}

/// A colour that is sent, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colour {
    pub(super) yuv: Yuv,
    pub(super) paint: Paint,
}

impl Colour {
    /// One that is far from all.
    pub(super) const UNKNOWN: Self = Self {
        yuv: [1e9; 3],
        paint: Paint::DEFAULT,
    };
}

/// The colours of a shape's part, of the rest, and of all of a cell.
type Colours = [Colour; 3];
const ON: usize = 0;
const OFF: usize = 1;
const ALL: usize = 2;

/// What may be drawn of the cells of a group.
pub(super) struct Ready {
    colours: [Colours; LANES],
    /// What the shapes take away from the error of one colour.
    lost: [f32; LANES],
}

impl Ready {
    pub(super) const NONE: Self = Self {
        colours: [[Colour::UNKNOWN; 3]; LANES],
        lost: [0.0; LANES],
    };

    /// Of cells in one space, for shapes that take these shares of them.
    #[inline(always)]
    pub(super) fn fill(&mut self, means: &Means, shares: &[f32; LANES], space: ColourSpace) {
        let (mut part, mut rest) = ([0.0; LANES], [0.0; LANES]);
        for l in 0..LANES {
            part[l] = 1.0 / shares[l];
            rest[l] = 1.0 / (1.0 - shares[l]);
        }
        let mut steps = [0.0; LANES];
        let mut yuv = [[[0.0; LANES]; 3]; 3];
        for c in 0..3 {
            let (all, off) = (&means.all[c], &means.off[c]);
            for l in 0..LANES {
                // Rounding may lead past the ends of the range.
                let on = (all[l] + off[l] * part[l]).clamp(0.0, 255.0);
                let off = (all[l] - off[l] * rest[l]).clamp(0.0, 255.0);
                yuv[ON][c][l] = on;
                yuv[OFF][c][l] = off;
                yuv[ALL][c][l] = all[l];
                steps[l] += (on - off) * (on - off);
            }
        }
        for l in 0..LANES {
            self.lost[l] = steps[l] * SAMPLES * shares[l] * (1.0 - shares[l]);
        }
        for kind in [ON, OFF, ALL] {
            let [y, u, v] = &yuv[kind];
            let mut paint = [0; LANES];
            space.paints(&yuv[kind], &mut paint);
            for l in 0..LANES {
                self.colours[l][kind] = Colour {
                    yuv: [y[l], u[l], v[l]],
                    paint: Paint::from_bits(paint[l]),
                };
            }
        }
    }

    /// The cheapest way to draw one of the cells: lambda for each byte, and the error it leaves above
    /// that of the best shape. `pens`: the ink and the ground as they are.
    #[inline(always)]
    pub(super) fn cheapest(&self, lane: usize, shape: &Shape, lambda: f32, pens: &[Colour; 2]) -> Way {
        let [on, off, all] = &self.colours[lane];
        let [for_on, for_off, for_all] = [
            lambda * colour_bytes(&on.yuv),
            lambda * colour_bytes(&off.yuv),
            lambda * colour_bytes(&all.yuv),
        ];
        let (share, rest) = (shape.share, 1.0 - shape.share);
        // What a colour costs in place of one of the pen's, and whether that one stays.
        let as_pen = |pen: usize, colour: &Colour, share: f32, sent: f32| {
            let kept = distance(&pens[pen].yuv, &colour.yuv) * share;
            (kept.min(sent), u32::from(kept <= sent))
        };
        let (fg_on, fg_keeps_on) = as_pen(0, on, share, for_on);
        let (fg_off, fg_keeps_off) = as_pen(0, off, rest, for_off);
        let (fg_all, fg_keeps_all) = as_pen(0, all, 1.0, for_all);
        let (bg_on, bg_keeps_on) = as_pen(1, on, share, for_on);
        let (bg_off, bg_keeps_off) = as_pen(1, off, rest, for_off);
        let (bg_all, bg_keeps_all) = as_pen(1, all, 1.0, for_all);

        let lost = self.lost[lane];
        let begin = |keeps: u32| if keeps == 0 { 3.0 } else { 0.0 };
        let forms = &shape.forms;
        let ground = lost + bg_all + lambda * (1.0 + begin(bg_keeps_all));
        let ink = lost + fg_all + lambda * (3.0 + begin(fg_keeps_all));
        let as_is = fg_on + bg_off + lambda * (forms[2].cost + begin(fg_keeps_on & bg_keeps_off));
        let inverse = fg_off + bg_on + lambda * (forms[3].cost + begin(fg_keeps_off & bg_keeps_on));
        // Positive numbers are in the order of their bits; the lowest two name the way.
        let named = |cost: f32, way: u32| cost.to_bits() & !3 | way;
        let least = named(ground, 0)
            .min(named(ink, 1))
            .min(named(as_is, 2))
            .min(named(inverse, 3));
        let way = least & 3;
        // Two bits for each way.
        let all_keep = (1 | bg_keeps_all << 1)
            | (fg_keeps_all | 2) << 2
            | (fg_keeps_on | bg_keeps_off << 1) << 4
            | (fg_keeps_off | bg_keeps_on << 1) << 6;
        let keeps = all_keep >> (way * 2);
        Way {
            part: Part::ALL[way as usize],
            keeps: [keeps & 1 != 0, keeps & 2 != 0],
            cost: f32::from_bits(least),
        }
    }

    /// The pen's colours for that way.
    #[inline(always)]
    pub(super) fn colours(&self, lane: usize, way: &Way, [fg, bg]: &[Colour; 2]) -> [Colour; 2] {
        let [on, off, all] = &self.colours[lane];
        let (ink, ground) = match way.part {
            Part::Ground | Part::Ink => (all, all),
            Part::Shape => (on, off),
            Part::Inverse => (off, on),
        };
        [
            *if way.keeps[0] { fg } else { ink },
            *if way.keeps[1] { bg } else { ground },
        ]
    }
}

/// A way to draw a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) part: Part,
    /// Whether the pen's colours, of ink and ground, stay.
    pub(super) keeps: [bool; 2],
    /// The error it leaves above that of the best shape, and lambda times its bytes.
    pub(super) cost: f32,
}

impl Way {
    /// What the shape's part and the rest become with the pen's colours.
    #[inline(always)]
    pub(super) fn parted(&self, pens: &[Colour; 2]) -> [Yuv; 2] {
        let [fg, bg] = pens;
        let on = match self.part {
            Part::Ink | Part::Shape => fg,
            Part::Ground | Part::Inverse => bg,
        };
        let off = match self.part {
            Part::Ink | Part::Inverse => fg,
            Part::Ground | Part::Shape => bg,
        };
        [on.yuv, off.yuv]
    }
}

/// The error of a colour in place of another, for a whole cell.
#[inline(always)]
fn distance(a: &Yuv, b: &Yuv) -> f32 {
    let (y, u, v) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    (y * y + u * u + v * v) * SAMPLES
}

/// The bytes that set a colour take, nearly: dark ones have fewer digits.
#[inline(always)]
fn colour_bytes(yuv: &Yuv) -> f32 {
    if yuv[0] < 104.0 { 12.0 } else { 14.0 }
}
