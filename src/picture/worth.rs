//! What drawing a cell again is worth: by how much it lowers the cell's error.

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
    /// With what lambda the last frame ended.
    pub(super) lambda: f32,
    /// Sixteenths of bytes that a redrawn cell took lately.
    pub(super) cost: usize,
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
            ..Self::default()
        };
    }
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
        self.refresh(turn);
    }

    /// Weighs the [`COMPARED`] cells of a row from `x` on.
    #[inline(always)]
    fn weigh_some<S: Simd>(&mut self, simd: S, x: usize, y: usize, is_turn: bool) {
        // What is left where the shape stays the best one, and most of what would be worth it.
        let slack = (self.worth.lambda.max(f32::from(self.redraw.worth)) * 10.0) as u32;
        let Self {
            wanted, shown, worth, ..
        } = self;
        let count = COMPARED.min(wanted.cols - x);
        let at = wanted.at(x, y);
        let cells = at..at + count;
        let (kind, shown_kind) = (&wanted.kind[cells.clone()], &shown.kind[cells.clone()]);
        let of = &mut worth.of[cells.clone()];
        let first = kind[0];
        if !first.is_picture() || kind.iter().any(|k| *k != first) || kind != shown_kind {
            let text = wanted.text[cells.clone()].iter().zip(&shown.text[cells.clone()]);
            for (((of, kind), shown), (a, b)) in of.iter_mut().zip(kind).zip(shown_kind).zip(text) {
                let is_other = kind != shown || (*kind == Kind::TEXT && a != b);
                *of = if is_other { FORCED } else { 0 };
            }
            if !kind.iter().any(|kind| kind.is_picture()) {
                return;
            }
        } else {
            of.fill(0);
        }

        let sampling = Sampling::of(self.glyphs);
        let error = distance(wanted.row(y), shown.row(y), x, sampling);
        let is_fitted = is_fitted(self.glyphs, self.depth);
        for part in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - part);
            let mut found = Fit::NONE;
            let is_likely = (part..part + lanes).any(|l| {
                let likely = error[l] + worth.edges[at + l] > worth.left[at + l] + slack;
                kind[l].is_picture() && (likely || of[l] == FORCED)
            });
            if !is_likely && !is_turn {
                continue;
            }
            if is_fitted {
                found = fit(simd, wanted.row(y), x + part, self.glyphs);
                worth.means[wanted.group(x + part, y)] = found.means;
            }
            for l in 0..lanes {
                let cell = part + l;
                if !kind[cell].is_picture() {
                    continue;
                }
                let left = if self.depth == ColorDepth::Truecolor {
                    found.left[l].max(0.0) as u32
                } else {
                    0
                };
                worth.left[at + cell] = left;
                worth.shape[at + cell] = found.shape[l] as u8;
                if of[cell] != FORCED {
                    let error = error[cell] + worth.edges[at + cell];
                    of[cell] = error.saturating_sub(left).min(REFRESHED - 1);
                }
            }
        }
    }

    /// Marks the cells in turn, of each 8x8 one, that are off for good.
    fn refresh(&mut self, turn: (usize, usize)) {
        let Self { wanted, worth, .. } = self;
        // Sensor noise is seldom more, and never stands still; nobody sees what is less (43 dB where the
        // worth is 16).
        let noise = u32::from(self.redraw.worth) * 20;
        let is_probed = worth.probe.len() == in_turn(wanted, turn).count();
        for (i, (x, y)) in in_turn(wanted, turn).enumerate() {
            let at = wanted.at(x, y);
            if wanted.kind[at].is_picture() && worth.of[at] != FORCED {
                let is_still = || is_probed && worth.probe[i] == hash(wanted, x, y);
                let is_off = worth.of[at] > noise && !worth.is_new[at];
                if worth.of[at] > LEAST && (is_off || is_still()) {
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
    let [u, v] = &samples.chroma;
    let kind = u64::from(grid.kind[grid.at(x, y)].is_picture());
    // FNV-1a
    let bytes = samples.luma.iter().chain(u).chain(v);
    bytes.fold(0xcbf2_9ce4_8422_2325 ^ kind, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
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
