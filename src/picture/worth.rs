//! What drawing a cell again is worth: by how much it lowers the cell's error.

// What is not inlined does not get the instructions that the machine has: so loops stand here.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::colour::ColorDepth;
use super::compare::{COMPARED, distance};
use super::fit::{Fit, LANES, Means, fit};
use super::glyphs::Glyphs;
use super::grid::{Grid, Kind};
use super::screen::Screen;
use super::shapes::Sampling;
use crate::units::Cells;

/// The worth of a cell that must be drawn: it shows something else altogether.
pub(super) const FORCED: u32 = u32::MAX;
/// Added to the worth of a cell that is refreshed.
pub(super) const REFRESHED: u32 = 1 << 30;
/// No cell is worth drawing whose colours are off by what rounding does.
pub(super) const LEAST: u32 = 32;

/// What is known of each cell of the terminal for deciding whether it is drawn again.
#[derive(Default)]
pub(super) struct Worth {
    /// By how much a cell's error becomes less (see [`super::fit`]) if it is drawn again: exact for
    /// those where that is likely to be much, else 0.
    pub(super) of: Vec<u32>,
    /// The number of the best shape, where `of` is not 0.
    pub(super) shape: Vec<u8>,
    /// The means of the cells and of the shapes' parts, by [`Grid::group`], where `of` is not 0.
    pub(super) means: Vec<Means>,
    /// The error that was left when it was found last.
    left: Vec<u32>,
    /// What edges within samples add to the error of what is shown.
    pub(super) edges: Vec<u32>,
    /// Drawn since its last turn.
    pub(super) is_new: Vec<bool>,
    /// Counts frames, for the turns.
    frame: usize,
    /// Hashes of the cells next in turn, to see whether they stand still.
    probe: Vec<u64>,
    /// What noise alone is worth, seldom more.
    pub(super) noise: u32,
    heard: f32,
    /// The mean lambda of the last frame's rows.
    pub(super) lambda: f32,
    /// Sixteenths of bytes that a redrawn cell took lately.
    pub(super) cost: usize,
    /// Likewise, that each cell took which was worth it, drawn or not.
    pub(super) rate: usize,
    /// How many cells of each row are worth more than the least.
    pub(super) in_row: Vec<u32>,
    /// The row with which the next frame begins: where the last one ran out of budget.
    pub(super) first_row: usize,
}

impl Worth {
    pub(super) fn resize(&mut self, size: Cells) {
        let cells = usize::from(size.cols) * usize::from(size.rows);
        *self = Self {
            of: vec![0; cells],
            shape: vec![0; cells],
            means: vec![
                Means::NONE;
                usize::from(size.cols).next_multiple_of(COMPARED) / LANES * usize::from(size.rows)
            ],
            left: vec![0; cells],
            edges: vec![0; cells],
            is_new: vec![false; cells],
            cost: 24 * 16,
            rate: 16 * 16,
            ..Self::default()
        };
    }
}

/// Of so many cells one at least stands still, as a rule.
const STILL: u32 = 5;
/// How much more noise is seldom worth than where a fifth of it is less: the sums of six squares that
/// are left of a cell (of two colours) are more once in some thousand times.
const NOISE_ABOVE_STILL: f32 = 8.0;
/// Noise counts as worth at most this times [`Redraw::worth`](super::screen::Redraw::worth): more is
/// seen.
const MOST_NOISE: f32 = 38.0;

/// The step of a quarter of an octave that a worth is in.
#[inline(always)]
pub(super) fn octave(worth: u32) -> usize {
    ((worth as f32).to_bits() >> 21).saturating_sub(127 << 2).min(127) as usize
}

/// Where such a step begins.
pub(super) fn of_octave(step: usize) -> f32 {
    f32::from_bits((step as u32 + (127 << 2)) << 21)
}

/// Frames in which every cell is looked at once for what was too little to redraw.
const TURNS: usize = 64;
/// The turns of rows, and of columns.
const SIDE: usize = 8;

impl Screen {
    /// Finds what each cell is worth.
    pub(super) fn weigh(&mut self) {
        self.worth.frame += 1;
        let turn = turn_place(self.worth.frame);
        let arch = self.arch;
        arch.dispatch(Weigh {
            screen: self,
            turn_row: turn.1,
        });
        self.hear_noise(turn.1);
        self.refresh(turn);
    }

    /// Learns from the rows in turn, all of whose cells are weighed, what noise is worth.
    fn hear_noise(&mut self, turn_row: usize) {
        let most = f32::from(self.redraw.worth) * MOST_NOISE;
        if most == 0.0 {
            return;
        }
        let Self { wanted, worth, .. } = self;
        // In steps of an octave's quarter: the exponent and two bits of the mantissa.
        let mut histogram = [0_u32; 128];
        let mut count = 0;
        for y in (turn_row..wanted.has_text.len()).step_by(SIDE) {
            for at in wanted.at(0, y)..wanted.at(0, y + 1) {
                if wanted.kind[at].is_picture() && worth.of[at] < REFRESHED {
                    histogram[octave(worth.of[at])] += 1;
                    count += 1;
                }
            }
        }
        if count == 0 {
            return;
        }
        let mut below = 0;
        let still = histogram.iter().position(|&cells| {
            below += cells;
            below * STILL >= count
        });
        let noise = of_octave(still.unwrap_or(0) + 1) * NOISE_ABOVE_STILL;
        worth.heard += (noise - worth.heard) / 8.0;
        worth.noise = worth.heard.min(most) as u32;
    }

    /// Weighs the [`COMPARED`] cells of a row from `x` on.
    #[inline(always)]
    fn weigh_some<S: Simd>(&mut self, simd: S, x: usize, y: usize, is_turn: bool) {
        // What is left where the shape stays the best one, and most of what would be worth it.
        let slack = (self.worth.lambda.max(f32::from(self.redraw.worth)) * 10.0) as u32;
        let slack = slack.max(self.worth.noise / 2);
        // What is left is known where there are colours for everything.
        let is_exact = self.depth == ColorDepth::Truecolor;
        let Self {
            wanted, shown, worth, ..
        } = self;
        let count = COMPARED.min(wanted.cols - x);
        let at = wanted.at(x, y);
        let cells = at..at + count;
        let (kind, shown_kind) = (&wanted.kind[cells.clone()], &shown.kind[cells.clone()]);
        let of = &mut worth.of[cells.clone()];
        let first = kind[0];
        let mut is_even = true;
        if !first.is_picture() || kind.iter().any(|k| *k != first) || kind != shown_kind {
            let text = wanted.text[cells.clone()].iter().zip(&shown.text[cells.clone()]);
            for (((of, kind), shown), (a, b)) in of.iter_mut().zip(kind).zip(shown_kind).zip(text) {
                let is_other = kind != shown || (*kind == Kind::TEXT && a != b);
                *of = if is_other { FORCED } else { 0 };
            }
            if !kind.iter().any(|kind| kind.is_picture()) {
                return;
            }
            is_even = false;
        } else {
            of.fill(0);
        }

        let sampling = Sampling::of(self.glyphs);
        let mut error = distance(wanted.row(y), shown.row(y), x, sampling);
        add(&mut error, &worth.edges[cells.clone()]);
        let is_fitted = is_fitted(self.glyphs, self.depth);
        for part in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - part);
            let cells = at + part..at + part + lanes;
            let (of, kind) = (&mut of[part..part + lanes], &kind[part..part + lanes]);
            let error: &[u32; LANES] = error[part..part + LANES].try_into().expect("LANES of them");
            if !is_turn && of.iter().all(|of| *of == 0) && !is_over(error, &worth.left[cells.clone()], slack)
            {
                continue;
            }
            let mut found = Fit::NONE;
            if is_fitted {
                found = fit(simd, wanted.row(y), x + part, self.glyphs);
                worth.means[wanted.group(x + part, y)] = found.means;
            }
            let (mut left, mut gain, mut shape) = ([0; LANES], [0; LANES], [0; LANES]);
            for l in 0..LANES {
                left[l] = found.left[l].max(0.0) as i32 as u32 * u32::from(is_exact);
                gain[l] = error[l].saturating_sub(left[l]).min(REFRESHED - 1);
                shape[l] = found.shape[l] as i32 as u8;
            }
            set(&mut worth.left[cells.clone()], &left);
            set(&mut worth.shape[cells], &shape);
            if is_even {
                set(of, &gain);
                continue;
            }
            for l in 0..lanes {
                if kind[l].is_picture() && of[l] != FORCED {
                    of[l] = gain[l];
                }
            }
        }
    }

    /// Marks the cells in turn, of each 8x8 one, that are off for good.
    fn refresh(&mut self, turn: (usize, usize)) {
        let Self { wanted, worth, .. } = self;
        // Sensor noise is seldom more, and never stands still; nobody sees what is less (43 dB where the
        // worth is 16).
        let noise = (u32::from(self.redraw.worth) * 20).max(worth.noise);
        // Every 32nd time.
        let is_long_ago =
            |x: usize, y: usize| (x / SIDE + y / SIDE * 5 + worth.frame / TURNS).is_multiple_of(32);
        let is_probed = worth.probe.len() == in_turn(wanted, turn).count();
        for (i, (x, y)) in in_turn(wanted, turn).enumerate() {
            let at = wanted.at(x, y);
            if wanted.kind[at].is_picture() && worth.of[at] != FORCED {
                let is_still = || is_probed && worth.probe[i] == hash(wanted, x, y);
                let is_off = worth.of[at] > noise && !worth.is_new[at];
                if worth.of[at] > LEAST && (is_off || is_long_ago(x, y) || is_still()) {
                    worth.of[at] += REFRESHED;
                }
            }
            worth.is_new[at] = false;
        }
        worth.probe.clear();
        let next = in_turn(wanted, turn_place(worth.frame + 1));
        worth.probe.extend(next.map(|(x, y)| hash(wanted, x, y)));
    }
}

/// Adds what there is of `more`; all is the rule.
#[inline(always)]
fn add(to: &mut [u32; COMPARED], more: &[u32]) {
    if let Ok(more) = <&[u32; COMPARED]>::try_from(more) {
        for l in 0..COMPARED {
            to[l] += more[l];
        }
    } else {
        for l in 0..more.len() {
            to[l] += more[l];
        }
    }
}

/// Whether any error is more than what is left and the slack.
#[inline(always)]
fn is_over(error: &[u32; LANES], left: &[u32], slack: u32) -> bool {
    let mut is_over = false;
    if let Ok(left) = <&[u32; LANES]>::try_from(left) {
        for l in 0..LANES {
            is_over |= error[l] > left[l] + slack;
        }
    } else {
        for l in 0..left.len() {
            is_over |= error[l] > left[l] + slack;
        }
    }
    is_over
}

/// Takes as many as there is room for; all is the rule.
#[inline(always)]
fn set<T: Copy>(to: &mut [T], from: &[T; LANES]) {
    if let Ok(to) = <&mut [T; LANES]>::try_from(&mut *to) {
        *to = *from;
    } else {
        to.copy_from_slice(&from[..to.len()]);
    }
}

/// All cells, with the instructions that the machine has.
struct Weigh<'a> {
    screen: &'a mut Screen,
    turn_row: usize,
}

impl WithSimd for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { screen, turn_row } = self;
        for y in 0..usize::from(screen.size.rows) {
            for x in (0..screen.wanted.cols).step_by(COMPARED) {
                screen.weigh_some(simd, x, y, y % SIDE == turn_row);
            }
        }
    }
}

/// Whether the shape that fits best is looked for.
const fn is_fitted(glyphs: Glyphs, depth: ColorDepth) -> bool {
    match (glyphs, depth) {
        (Glyphs::Ascii, _) | (_, ColorDepth::Mono) => false,
        (_, ColorDepth::Truecolor) => true,
        (Glyphs::Half, _) => false,
        (_, ColorDepth::Ansi256 | ColorDepth::Ansi16) => true,
    }
}

fn in_turn(grid: &Grid, (x, y): (usize, usize)) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (cols, rows) = (grid.cols, grid.has_text.len());
    (y..rows)
        .step_by(SIDE)
        .flat_map(move |y| (x..cols).step_by(SIDE).map(move |x| (x, y)))
}

/// Where in each 8x8 cells the one in turn is: every row has a turn in eight frames, and neighbours
/// are far apart in time.
fn turn_place(frame: usize) -> (usize, usize) {
    let turn = frame % TURNS;
    let (row, column) = (turn % SIDE, turn / SIDE);
    ((column * 3 + row * 5) % SIDE, row * 3 % SIDE)
}

fn hash(grid: &Grid, x: usize, y: usize) -> u64 {
    let samples = grid.samples(x, y);
    let kind = u64::from(grid.kind[grid.at(x, y)].is_picture());
    let [u, v] = samples.chroma;
    let colours = u64::from(u32::from_le_bytes(u)) << 32 | u64::from(u32::from_le_bytes(v));
    let luma = samples.luma.as_chunks::<8>().0.iter();
    let words = luma.map(|&eight| u64::from_le_bytes(eight)).chain([colours]);
    // As FNV-1a, by words; what is multiplied out at the upper end comes back at the lower one.
    words.fold(0xcbf2_9ce4_8422_2325 ^ kind, |hash, word| {
        (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

#[cfg(test)]
impl Screen {
    /// The most that any cell's error would become less by drawing it again.
    pub(super) fn most_off(&self) -> u32 {
        let sampling = Sampling::of(self.glyphs);
        let mut most = 0;
        for y in 0..usize::from(self.size.rows) {
            for x in 0..self.wanted.cols {
                let at = self.wanted.at(x, y);
                if !self.wanted.kind[at].is_picture() {
                    continue;
                }
                assert_eq!(self.wanted.kind[at], self.shown.kind[at], "({x}, {y})");
                let lane = x % COMPARED;
                let rows = (self.wanted.row(y), self.shown.row(y));
                let error = distance(rows.0, rows.1, x - lane, sampling)[lane] + self.worth.edges[at];
                let mut left = 0;
                if self.depth == ColorDepth::Truecolor && self.glyphs != Glyphs::Ascii {
                    let lane = x % LANES;
                    left = fit(pulp::Scalar::new(), rows.0, x - lane, self.glyphs).left[lane] as u32;
                }
                most = most.max(error.saturating_sub(left));
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cell_has_its_turn() {
        let places: BTreeSet<_> = (0..TURNS).map(turn_place).collect();
        assert_eq!(places.len(), TURNS);
        let rows: BTreeSet<_> = (5..13).map(|frame| turn_place(frame).1).collect();
        assert_eq!(rows.len(), SIDE);
    }
}
