//! Which shape parts a cell best, for eight cells at once.
//!
//! Of two colours in a part of the cell and the rest, the means are best, and the error that is left
//! is the variance less `d² / (n p q)`: `d` how far the part's sum is from what it would be were the
//! cell even, `n` the samples, `p` and `q` the shares of the part and the rest. So each shape costs a
//! few sums, the same for all cells: plain loops over arrays, of which the compiler makes vectors.
//!
//! Sextants and octants are all tried, each reached from the last by adding or taking one block
//! (Gray's code); sorting the blocks by luma first and trying only cuts of that order (as others do)
//! is hardly faster when eight cells go at once, and loses what colour alone tells apart.
//!
//! Errors are sums of squares in Y, U and V, for 32 samples of each whatever the sampling: 24 times
//! the mean squared error in red, green and blue, roughly (the matrices weigh all three alike).

// Lanes of several arrays are taken by the same number.
#![allow(clippy::needless_range_loop)]

use super::glyphs::Glyphs;
use super::shapes::{CHROMA, EIGHTHS, Sampling};

/// Cells that are fitted at once.
pub(super) const LANES: usize = 8;

/// One number for each cell.
type Lanes = [f32; LANES];

/// The samples of a row of cells: for each place in the cell, one after the other, a plane of
/// `stride` cells.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    pub(super) luma: &'a [u8],
    pub(super) chroma: [&'a [u8]; 2],
    pub(super) stride: usize,
}

/// What was found.
#[derive(Clone, Copy, Default)]
pub(super) struct Fit {
    /// By how much the best shape lowers the error below that of one colour.
    pub(super) gain: Lanes,
    /// The error that is left.
    pub(super) left: Lanes,
    /// The number of the shape among [`super::shapes::Shapes::all`].
    pub(super) shape: [u8; LANES],
}

/// Fits the [`LANES`] cells from `at` on.
#[inline(always)]
pub(super) fn fit(samples: Samples<'_>, at: usize, glyphs: Glyphs) -> Fit {
    match glyphs {
        Glyphs::Half | Glyphs::Ascii => coarse(samples, at),
        Glyphs::Quadrant => fine(
            samples,
            at,
            #[inline(always)]
            |sums, best| {
                best.blocks(EIGHTHS, sums.blocks::<3>([12, 24, 0, 0]));
            },
        ),
        Glyphs::Sextant => fine(
            samples,
            at,
            #[inline(always)]
            |sums, best| {
                best.blocks(EIGHTHS, sums.blocks::<3>([12, 24, 0, 0]));
                best.blocks(EIGHTHS + 7, sums.blocks::<5>([8, 16, 24, 0]));
            },
        ),
        Glyphs::Octant => fine(
            samples,
            at,
            #[inline(always)]
            |sums, best| {
                best.blocks(EIGHTHS, sums.blocks::<5>([8, 16, 24, 0]));
                best.blocks(EIGHTHS + 31, sums.blocks::<7>([6, 12, 18, 24]));
            },
        ),
    }
}

/// Samples that the errors are for.
const SAMPLES: f32 = 32.0;

/// Y, U, V of each cell.
#[derive(Clone, Copy, Default)]
struct Three([Lanes; 3]);

impl Three {
    #[inline(always)]
    fn map2(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut to = Self::default();
        for c in 0..3 {
            for l in 0..LANES {
                to.0[c][l] = f(self.0[c][l], other.0[c][l]);
            }
        }
        to
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.map2(other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.map2(other, |a, b| a - b)
    }
}

/// The best so far.
#[derive(Default)]
struct Best {
    gain: Lanes,
    shape: Lanes,
}

impl Best {
    /// Tries a shape: how far its sums are from even, and what share it covers.
    #[inline(always)]
    fn shape(&mut self, d: &Three, share: f32, id: usize) {
        let weight = 1.0 / (SAMPLES * share * (1.0 - share));
        let id = id as f32;
        for l in 0..LANES {
            let [y, u, v] = [d.0[0][l], d.0[1][l], d.0[2][l]];
            let gain = (y * y + u * u + v * v) * weight;
            let is_better = gain > self.gain[l];
            self.shape[l] = if is_better { id } else { self.shape[l] };
            self.gain[l] = if is_better { gain } else { self.gain[l] };
        }
    }

    /// Tries all shapes of blocks without the first; `N` is how many others there are.
    #[inline(always)]
    fn blocks<const N: usize>(&mut self, base: usize, blocks: [Three; N]) {
        let mut d = Three::default();
        for step in 1..1_usize << N {
            let bit = step.trailing_zeros() as usize;
            let mask = step ^ (step >> 1);
            d = if mask >> bit & 1 == 1 {
                d.plus(blocks[bit])
            } else {
                d.minus(blocks[bit])
            };
            let share = mask.count_ones() as f32 / (N + 1) as f32;
            self.shape(&d, share, base + mask - 1);
        }
    }
}

/// Sums of a cell's left and right half from the top to each twenty-fourth of its height that an edge
/// lies at, less what they would be were the cell even.
struct Sums {
    left: [Three; 25],
    right: [Three; 25],
}

impl Sums {
    /// The sums of all blocks but the first, of two columns and rows that end at `edges`.
    #[inline(always)]
    fn blocks<const N: usize>(&self, edges: [usize; 4]) -> [Three; N] {
        let mut blocks = [Three::default(); N];
        for (i, block) in blocks.iter_mut().enumerate() {
            let (row, column) = (i.div_ceil(2), (i + 1) % 2);
            let sums = if column == 0 { &self.left } else { &self.right };
            *block = match row {
                0 => sums[edges[0]],
                row => sums[edges[row]].minus(sums[edges[row - 1]]),
            };
        }
        blocks
    }
}

#[inline(always)]
fn fine(samples: Samples<'_>, at: usize, blocks: impl Fn(&Sums, &mut Best)) -> Fit {
    const ROWS: usize = Sampling::FINE.rows;
    const COLS: usize = Sampling::FINE.cols;
    let zero = Three::default();
    let mut sums = Sums {
        left: [zero; 25],
        right: [zero; 25],
    };
    // From the left edge to each eighth of the width.
    let mut across = [zero; 8];
    let mut squares: Lanes = [0.0; LANES];

    let mut columns = [[0.0; LANES]; COLS];
    let (mut left, mut right): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
    for row in 0..ROWS {
        let mut sample = [[0.0; LANES]; COLS];
        for column in 0..COLS {
            sample[column] = load(samples.luma, (row * COLS + column) * samples.stride + at);
            for l in 0..LANES {
                columns[column][l] += sample[column][l];
                squares[l] += sample[column][l] * sample[column][l];
            }
        }
        let third = match row {
            2 => Some((8, 2.0 / 3.0)),
            5 => Some((16, 1.0 / 3.0)),
            _ => None,
        };
        for l in 0..LANES {
            let (a, b) = (sample[0][l] + sample[1][l], sample[2][l] + sample[3][l]);
            if let Some((place, part)) = third {
                sums.left[place].0[0][l] = left[l] + a * part;
                sums.right[place].0[0][l] = right[l] + b * part;
            }
            left[l] += a;
            right[l] += b;
        }
        sums.left[(row + 1) * 3].0[0] = left;
        sums.right[(row + 1) * 3].0[0] = right;
    }
    for l in 0..LANES {
        let mut sum = 0.0;
        for (column, column_sum) in columns.iter().enumerate() {
            across[column * 2 + 1].0[0][l] = sum + column_sum[l] * 0.5;
            sum += column_sum[l];
            if column < COLS - 1 {
                across[column * 2 + 2].0[0][l] = sum;
            }
        }
    }
    for (c, plane) in samples.chroma.iter().enumerate() {
        let weight = SAMPLES / CHROMA as f32;
        let mut quarter = [[0.0; LANES]; CHROMA];
        for i in 0..CHROMA {
            let sample = load(plane, i * samples.stride + at);
            for l in 0..LANES {
                squares[l] += sample[l] * sample[l] * weight;
                quarter[i][l] = sample[l] * weight;
            }
        }
        for &place in &PLACES {
            let down = place as f32 / 24.0;
            let (upper, lower) = ((down * 2.0).min(1.0), (down * 2.0 - 1.0).max(0.0));
            for l in 0..LANES {
                sums.left[place].0[c + 1][l] = quarter[0][l] * upper + quarter[2][l] * lower;
                sums.right[place].0[c + 1][l] = quarter[1][l] * upper + quarter[3][l] * lower;
            }
        }
        for eighths in 1..8 {
            let part = eighths as f32 / 8.0;
            let (first, second) = ((part * 2.0).min(1.0), (part * 2.0 - 1.0).max(0.0));
            for l in 0..LANES {
                across[eighths].0[c + 1][l] =
                    (quarter[0][l] + quarter[2][l]) * first + (quarter[1][l] + quarter[3][l]) * second;
            }
        }
    }
    let total = sums.left[24].plus(sums.right[24]);
    for &place in &PLACES {
        let half = place as f32 / 48.0;
        for c in 0..3 {
            for l in 0..LANES {
                sums.left[place].0[c][l] -= total.0[c][l] * half;
                sums.right[place].0[c][l] -= total.0[c][l] * half;
            }
        }
    }
    for eighths in 1..8 {
        let part = eighths as f32 / 8.0;
        for c in 0..3 {
            for l in 0..LANES {
                across[eighths].0[c][l] -= total.0[c][l] * part;
            }
        }
    }

    let mut best = Best::default();
    for eighths in 1..8 {
        let place = 24 - eighths * 3;
        let upper = sums.left[place].plus(sums.right[place]);
        best.shape(&upper, eighths as f32 / 8.0, eighths - 1);
        best.shape(&across[eighths], eighths as f32 / 8.0, eighths + 6);
    }
    blocks(&sums, &mut best);
    finish(best, &squares, &total)
}

/// Where edges lie, in twenty-fourths of the height; the last is the lower end.
const PLACES: [usize; 10] = [3, 6, 8, 9, 12, 15, 16, 18, 21, 24];

#[inline(always)]
fn coarse(samples: Samples<'_>, at: usize) -> Fit {
    const WEIGHT: f32 = SAMPLES / Sampling::COARSE.len() as f32;
    let mut lower = Three::default();
    let mut left = Three::default();
    let mut total = Three::default();
    let mut squares = [0.0; LANES];
    for (c, plane) in [samples.luma, samples.chroma[0], samples.chroma[1]]
        .into_iter()
        .enumerate()
    {
        let mut quarter = [[0.0; LANES]; CHROMA];
        for i in 0..CHROMA {
            quarter[i] = load(plane, i * samples.stride + at);
        }
        for l in 0..LANES {
            let [a, b, c1, d] = [quarter[0][l], quarter[1][l], quarter[2][l], quarter[3][l]];
            squares[l] += (a * a + b * b + c1 * c1 + d * d) * WEIGHT;
            let sum = a + b + c1 + d;
            total.0[c][l] = sum * WEIGHT;
            lower.0[c][l] = (c1 + d - sum * 0.5) * WEIGHT;
            left.0[c][l] = (a + c1 - sum * 0.5) * WEIGHT;
        }
    }
    let mut best = Best::default();
    best.shape(&lower, 0.5, 0);
    best.shape(&left, 0.5, 1);
    finish(best, &squares, &total)
}

#[inline(always)]
fn finish(best: Best, squares: &Lanes, total: &Three) -> Fit {
    let mut found = Fit::default();
    for l in 0..LANES {
        let [y, u, v] = [total.0[0][l], total.0[1][l], total.0[2][l]];
        let variance = squares[l] - (y * y + u * u + v * v) / SAMPLES;
        found.gain[l] = best.gain[l];
        found.left[l] = (variance - best.gain[l]).max(0.0);
        found.shape[l] = best.shape[l] as u8;
    }
    found
}

#[inline(always)]
fn load(plane: &[u8], at: usize) -> Lanes {
    let samples: &[u8; LANES] = plane[at..at + LANES].try_into().expect("a slice of LANES");
    let mut lanes = [0.0; LANES];
    for l in 0..LANES {
        lanes[l] = f32::from(samples[l]);
    }
    lanes
}

/// Cells that are compared at once.
pub(super) const COMPARED: usize = 16;

/// How far the [`COMPARED`] cells from `at` on are from others: the error, as above.
#[inline(always)]
pub(super) fn distance(a: Samples<'_>, b: Samples<'_>, at: usize, sampling: Sampling) -> [u32; COMPARED] {
    let mut luma = [0; COMPARED];
    let mut chroma = [0; COMPARED];
    for i in 0..sampling.len() {
        add_squares(&mut luma, a.luma, b.luma, i * a.stride + at);
    }
    for i in 0..CHROMA {
        for (a_plane, b_plane) in a.chroma.iter().zip(b.chroma) {
            add_squares(&mut chroma, a_plane, b_plane, i * a.stride + at);
        }
    }
    let weight = MOST / sampling.len() as u32;
    let mut error = [0; COMPARED];
    for l in 0..COMPARED {
        error[l] = luma[l] * weight + chroma[l] * (MOST / CHROMA as u32);
    }
    error
}

const MOST: u32 = SAMPLES as u32;

#[inline(always)]
fn add_squares(sums: &mut [u32; COMPARED], a: &[u8], b: &[u8], at: usize) {
    let a: &[u8; COMPARED] = a[at..at + COMPARED].try_into().expect("a slice of COMPARED");
    let b: &[u8; COMPARED] = b[at..at + COMPARED].try_into().expect("a slice of COMPARED");
    for l in 0..COMPARED {
        let d = u16::from(a[l].abs_diff(b[l]));
        sums[l] += u32::from(d.wrapping_mul(d));
    }
}
