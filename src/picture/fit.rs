//! Which shape parts a cell best, for many cells at once.
//!
//! Of two colours in a part of the cell and the rest, the means are best, and the error that is left
//! is the variance less `d² / (n p q)`: `d` how far the part's sum is from what it would be were the
//! cell even, `n` the samples, `p` and `q` the shares of the part and the rest. So each shape costs a
//! few sums, the same for all cells.
//!
//! Sextants and octants are all tried, each reached from the last by adding or taking one block
//! (Gray's code); sorting the blocks by luma first and trying only cuts of that order (as others do)
//! is hardly faster when many cells go at once, and loses what colour alone tells apart.
//!
//! Errors are sums of squares in Y, U and V, for 32 samples of each whatever the sampling: 24 times
//! the mean squared error in red, green and blue, roughly (the matrices weigh all three alike).
//!
//! What is not inlined does not get the instructions that the machine has, and `map`, `from_fn` and
//! `default` of arrays are not always: so loops stand here, and everything is always inlined.

// Several arrays are walked by the same number.
#![allow(clippy::needless_range_loop)]

mod lanes;

use pulp::Simd;

use super::compare::Samples;
use super::glyphs::Glyphs;
use super::shapes::{CHROMA, EIGHTHS, Sampling};
use lanes::{F, Three};

/// Cells that are fitted together.
pub(super) const LANES: usize = 8;
/// Samples that the errors are for.
pub(super) const SAMPLES: f32 = 32.0;

/// What was found for [`LANES`] cells.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// The error that is left.
    pub(super) left: [f32; LANES],
    /// The number of the shape among [`super::shapes::Shapes::all`].
    pub(super) shape: [f32; LANES],
    pub(super) means: Means,
}

/// The means in Y, U, V of [`LANES`] cells, and how far a shape's part is from them: the part's mean
/// is the cell's and this divided by the part's share, the rest's is the cell's less this divided by
/// the rest's share.
#[derive(Clone, Copy)]
pub(super) struct Means {
    pub(super) all: [[f32; LANES]; 3],
    pub(super) off: [[f32; LANES]; 3],
}

impl Fit {
    pub(super) const NONE: Self = Self {
        left: [0.0; LANES],
        shape: [0.0; LANES],
        means: Means::NONE,
    };
}

impl Means {
    pub(super) const NONE: Self = Self {
        all: [[0.0; LANES]; 3],
        off: [[0.0; LANES]; 3],
    };
}

/// Fits the [`LANES`] cells from `at` on.
#[inline(always)]
pub(super) fn fit<S: Simd>(simd: S, samples: Samples<'_>, at: usize, glyphs: Glyphs) -> Fit {
    let mut found = Fit::NONE;
    for first in (0..LANES).step_by(S::F32_LANES) {
        let loader = Loader {
            simd,
            samples,
            at: at + first,
        };
        let (best, squares, total) = match glyphs {
            Glyphs::Half | Glyphs::Ascii => coarse(loader),
            Glyphs::Quadrant => {
                let (sums, mut best) = fine(loader);
                best.blocks::<3>(EIGHTHS, &STEPS_OF_4, sums.blocks([4, 9, 0, 0]));
                (best, sums.squares, sums.total)
            }
            Glyphs::Sextant => {
                let (sums, mut best) = fine(loader);
                best.blocks::<3>(EIGHTHS, &STEPS_OF_4, sums.blocks([4, 9, 0, 0]));
                best.blocks::<5>(EIGHTHS + 7, &STEPS_OF_6, sums.blocks([2, 6, 9, 0]));
                (best, sums.squares, sums.total)
            }
            Glyphs::Octant => {
                let (sums, mut best) = fine(loader);
                best.blocks::<5>(EIGHTHS, &STEPS_OF_6, sums.blocks([2, 6, 9, 0]));
                best.blocks::<7>(EIGHTHS + 31, &STEPS_OF_8, sums.blocks([1, 4, 7, 9]));
                (best, sums.squares, sums.total)
            }
        };
        let one = F::new(simd, 1.0 / SAMPLES);
        let variance = squares - total.square() * one;
        (variance - best.gain).store(&mut found.left[first..]);
        best.shape.store(&mut found.shape[first..]);
        for c in 0..3 {
            (total.0[c] * one).store(&mut found.means.all[c][first..]);
            (best.d.0[c] * one).store(&mut found.means.off[c][first..]);
        }
    }
    found
}

/// A shape to be tried after another: it differs by one block.
#[derive(Clone, Copy)]
struct Step {
    /// The number of the block.
    block: usize,
    /// 1 where it is added, -1 where it is taken.
    sign: f32,
    weight: f32,
    id: f32,
}

/// All shapes of blocks but the first, which is never in it.
static STEPS_OF_4: [Step; 7] = steps();
static STEPS_OF_6: [Step; 31] = steps();
static STEPS_OF_8: [Step; 127] = steps();

/// In the order of Gray's code.
const fn steps<const SHAPES: usize>() -> [Step; SHAPES] {
    let blocks = (SHAPES + 1).trailing_zeros();
    let mut steps = [Step {
        block: 0,
        sign: 0.0,
        weight: 0.0,
        id: 0.0,
    }; SHAPES];
    let mut step = 1;
    while step <= SHAPES {
        let bit = step.trailing_zeros() as usize;
        let mask = step ^ (step >> 1);
        let share = mask.count_ones() as f32 / (blocks + 1) as f32;
        steps[step - 1] = Step {
            block: bit,
            sign: if mask >> bit & 1 == 1 { 1.0 } else { -1.0 },
            weight: weight_of(share),
            id: (mask - 1) as f32,
        };
        step += 1;
    }
    steps
}

/// By how much a shape lowers the error for each squared step of [`Best::shape`].
const fn weight_of(share: f32) -> f32 {
    1.0 / (SAMPLES * share * (1.0 - share))
}

/// The best so far.
struct Best<S: Simd> {
    gain: F<S>,
    shape: F<S>,
    d: Three<S>,
}

impl<S: Simd> Best<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let zero = F::new(simd, 0.0);
        Self {
            gain: zero,
            shape: zero,
            d: Three([zero; 3]),
        }
    }

    /// Tries a shape: how far its sums are from even.
    #[inline(always)]
    fn shape(&mut self, d: Three<S>, weight: f32, id: f32) {
        let simd = self.gain.0;
        let gain = d.square() * F::new(simd, weight);
        let is_better = simd.greater_than_f32s(gain.1, self.gain.1);
        let id = F::new(simd, id);
        self.gain.1 = simd.max_f32s(gain.1, self.gain.1);
        self.shape.1 = simd.select_f32s(is_better, id.1, self.shape.1);
        for c in 0..3 {
            self.d.0[c].1 = simd.select_f32s(is_better, d.0[c].1, self.d.0[c].1);
        }
    }

    /// Tries all shapes of blocks.
    #[inline(always)]
    fn blocks<const N: usize>(&mut self, base: usize, steps: &[Step], blocks: [Three<S>; N]) {
        let simd = self.gain.0;
        let base = base as f32;
        let mut d = Three([F::new(simd, 0.0); 3]);
        for step in steps {
            let block = &blocks[step.block];
            let sign = F::new(simd, step.sign);
            for c in 0..3 {
                d.0[c].1 = simd.mul_add_e_f32s(block.0[c].1, sign.1, d.0[c].1);
            }
            self.shape(d, step.weight, base + step.id);
        }
    }
}

/// Where edges lie, in twenty-fourths of the height: those of blocks and of eighths; the last is the
/// lower end.
const PLACES: [usize; 10] = [3, 6, 8, 9, 12, 15, 16, 18, 21, 24];
/// The numbers of those that a row of samples ends at.
const ENDS: [usize; Sampling::FINE.rows] = [0, 1, 3, 4, 5, 7, 8, 9];

struct Sums<S: Simd> {
    /// Of a cell's left and right half from the top to each of [`PLACES`], less what they would be
    /// were the cell even.
    halves: [[Three<S>; PLACES.len()]; 2],
    /// Of the whole cell.
    total: Three<S>,
    /// Of all samples' squares.
    squares: F<S>,
}

impl<S: Simd> Sums<S> {
    /// Those of all blocks but the first, of two columns and rows that end at `edges`.
    #[inline(always)]
    fn blocks<const N: usize>(&self, edges: [usize; 4]) -> [Three<S>; N] {
        let mut blocks = [self.halves[1][edges[0]]; N];
        for i in 1..N {
            let (row, column) = (i.div_ceil(2), (i + 1) % 2);
            let sums = &self.halves[column];
            blocks[i] = sums[edges[row]].minus(sums[edges[row - 1]]);
        }
        blocks
    }
}

/// Where samples are loaded from.
#[derive(Clone, Copy)]
struct Loader<'a, S: Simd> {
    simd: S,
    samples: Samples<'a>,
    at: usize,
}

impl<S: Simd> Loader<'_, S> {
    #[inline(always)]
    fn luma(&self, place: usize) -> F<S> {
        self.load(self.samples.luma, place)
    }

    /// Of one of the planes.
    #[inline(always)]
    fn chroma(&self, plane: usize, place: usize) -> F<S> {
        self.load(self.samples.chroma[plane], place)
    }

    #[inline(always)]
    fn load(&self, plane: &[u8], place: usize) -> F<S> {
        let samples = &plane[place * self.samples.stride + self.at..][..S::F32_LANES];
        let mut lanes = [0.0; LANES];
        for l in 0..S::F32_LANES {
            lanes[l] = f32::from(samples[l]);
        }
        F(self.simd, S::as_simd_f32s(&lanes[..S::F32_LANES]).0[0])
    }
}

/// The sums of a finely sampled cell, and the best of the eighths.
#[inline(always)]
fn fine<S: Simd>(from: Loader<'_, S>) -> (Sums<S>, Best<S>) {
    const ROWS: usize = Sampling::FINE.rows;
    const COLS: usize = Sampling::FINE.cols;
    let simd = from.simd;
    let zero = F::new(simd, 0.0);
    let mut halves = [[Three([zero; 3]); PLACES.len()]; 2];
    // From the left edge to each eighth of the width.
    let mut across = [Three([zero; 3]); 7];
    let mut squares = zero;

    let mut columns = [zero; COLS];
    let (mut left, mut right) = (zero, zero);
    for row in 0..ROWS {
        let mut sample = [zero; COLS];
        for column in 0..COLS {
            sample[column] = from.luma(row * COLS + column);
            columns[column] = columns[column] + sample[column];
            squares = squares + sample[column] * sample[column];
        }
        let (a, b) = (sample[0] + sample[1], sample[2] + sample[3]);
        // The edges of sextants lie within the third and the sixth row.
        if row == 2 || row == 5 {
            let (place, part) = if row == 2 { (2, 2.0 / 3.0) } else { (6, 1.0 / 3.0) };
            let part = F::new(simd, part);
            halves[0][place].0[0] = left + a * part;
            halves[1][place].0[0] = right + b * part;
        }
        (left, right) = (left + a, right + b);
        halves[0][ENDS[row]].0[0] = left;
        halves[1][ENDS[row]].0[0] = right;
    }
    let mut sum = zero;
    for column in 0..COLS {
        across[column * 2].0[0] = sum + columns[column] * F::new(simd, 0.5);
        sum = sum + columns[column];
        if column < COLS - 1 {
            across[column * 2 + 1].0[0] = sum;
        }
    }
    for plane in 0..2 {
        let weight = F::new(simd, SAMPLES / CHROMA as f32);
        let mut quarter = [zero; CHROMA];
        for i in 0..CHROMA {
            let sample = from.chroma(plane, i);
            quarter[i] = sample * weight;
            squares = squares + sample * quarter[i];
        }
        for (i, &place) in PLACES.iter().enumerate() {
            let down = place as f32 / 12.0;
            let (upper, lower) = (down.min(1.0), (down - 1.0).max(0.0));
            let (upper, lower) = (F::new(simd, upper), F::new(simd, lower));
            halves[0][i].0[plane + 1] = quarter[0] * upper + quarter[2] * lower;
            halves[1][i].0[plane + 1] = quarter[1] * upper + quarter[3] * lower;
        }
        let (left, right) = (quarter[0] + quarter[2], quarter[1] + quarter[3]);
        for i in 0..across.len() {
            let part = (i + 1) as f32 / 4.0;
            let (first, second) = (part.min(1.0), (part - 1.0).max(0.0));
            across[i].0[plane + 1] = left * F::new(simd, first) + right * F::new(simd, second);
        }
    }
    let total = halves[0][9].plus(halves[1][9]);
    for (i, &place) in PLACES.iter().enumerate() {
        let even = total.times(place as f32 / 48.0);
        halves[0][i] = halves[0][i].minus(even);
        halves[1][i] = halves[1][i].minus(even);
    }

    let mut best = Best::new(simd);
    for eighths in 1..8 {
        let share = eighths as f32 / 8.0;
        // What lies below an edge is off by what lies above it, the other way round.
        let upper = ENDS[7 - eighths];
        let lower = halves[0][upper].plus(halves[1][upper]).times(-1.0);
        best.shape(lower, weight_of(share), (eighths - 1) as f32);
        let left = across[eighths - 1].minus(total.times(share));
        best.shape(left, weight_of(share), (eighths + 6) as f32);
    }
    let sums = Sums {
        halves,
        total,
        squares,
    };
    (sums, best)
}

/// The best of the halves of a coarsely sampled cell, the squares and the sums of its samples.
#[inline(always)]
fn coarse<S: Simd>(from: Loader<'_, S>) -> (Best<S>, F<S>, Three<S>) {
    let simd = from.simd;
    let zero = F::new(simd, 0.0);
    let weight = F::new(simd, SAMPLES / Sampling::COARSE.len() as f32);
    let mut lower = Three([zero; 3]);
    let mut left = lower;
    let mut total = lower;
    let mut squares = zero;
    for c in 0..3 {
        let mut quarter = [zero; CHROMA];
        for i in 0..CHROMA {
            let sample = if c == 0 {
                from.luma(i)
            } else {
                from.chroma(c - 1, i)
            };
            quarter[i] = sample;
            squares = squares + sample * sample;
        }
        let upper_row = quarter[0] + quarter[1];
        let lower_row = quarter[2] + quarter[3];
        total.0[c] = (upper_row + lower_row) * weight;
        // By half of what the one side has above the other.
        let half = weight * F::new(simd, 0.5);
        lower.0[c] = (lower_row - upper_row) * half;
        left.0[c] = ((quarter[0] - quarter[1]) + (quarter[2] - quarter[3])) * half;
    }
    let mut best = Best::new(simd);
    best.shape(lower, weight_of(0.5), 0.0);
    best.shape(left, weight_of(0.5), 1.0);
    (best, squares * weight, total)
}
