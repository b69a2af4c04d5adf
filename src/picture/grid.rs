//! The cells of a screen, what is known of them side by side.

// What is not inlined does not get the instructions that the machine has: so loops stand here.
#![allow(clippy::needless_range_loop)]

use super::cells::{Cell, Paint};
use super::colour::{ColourSpace, dimmed};
use super::compare::{COMPARED, Samples};
use super::fit::LANES;
use super::look::{CellSamples, Yuv};
use super::shapes::{CHROMA, COVERED, MOST_LUMA, Sampling, Shape};
use crate::units::{CellRect, Cells};

/// What a cell is: one of the constants, or a picture's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    /// As a cleared terminal has it.
    pub(super) const EMPTY: Self = Self(0);
    /// The interface's; see [`Grid::text`].
    pub(super) const TEXT: Self = Self(1);
    /// Of the terminal: not known.
    pub(super) const UNKNOWN: Self = Self(2);
    const PICTURE: u8 = 8;
    /// A picture's, darkened: another kind, so that a sheet opens and closes at once whatever it costs.
    const DIMMED: u8 = 16;

    /// A picture's, its samples in that space.
    pub(super) const fn picture(space: ColourSpace) -> Self {
        Self(Self::PICTURE | space.index())
    }

    pub(super) const fn is_picture(self) -> bool {
        self.0 >= Self::PICTURE
    }

    pub(super) const fn is_dimmed(self) -> bool {
        self.0 & Self::DIMMED != 0
    }

    pub(super) const fn space(self) -> ColourSpace {
        ColourSpace::from_index(self.0)
    }
}

/// All cells, what is known of them side by side: plain loops over bytes compare many at once.
#[derive(Default)]
pub(super) struct Grid {
    pub(super) cols: usize,
    /// Columns and what fills them up, so that many are always taken at once.
    pub(super) stride: usize,
    /// For each row of cells a plane for each place in the cell, `stride` samples each.
    luma: Vec<u8>,
    /// Likewise.
    chroma: [Vec<u8>; 2],
    places: usize,
    pub(super) kind: Vec<Kind>,
    /// Text, and on the terminal what stands for a picture's cell.
    pub(super) text: Vec<Cell>,
    /// Whether there is text in each row.
    pub(super) has_text: Vec<bool>,
}

impl Grid {
    pub(super) fn resize(&mut self, size: Cells, sampling: Sampling) {
        let (cols, rows) = (usize::from(size.cols), usize::from(size.rows));
        self.cols = cols;
        self.stride = cols.next_multiple_of(COMPARED);
        self.places = sampling.len();
        self.luma.clear();
        self.luma.resize(rows * self.places * self.stride, 0);
        for plane in &mut self.chroma {
            plane.clear();
            // Neutral: no colour is ever put in where there are none.
            plane.resize(rows * CHROMA * self.stride, 128);
        }
        self.kind.clear();
        self.kind.resize(cols * rows, Kind::EMPTY);
        self.text.clear();
        self.text.resize(cols * rows, Cell::BLANK);
        self.has_text.clear();
        self.has_text.resize(rows, false);
    }

    /// Makes every cell empty.
    pub(super) fn clear(&mut self) {
        self.kind.fill(Kind::EMPTY);
        self.has_text.fill(false);
    }

    pub(super) fn at(&self, x: usize, y: usize) -> usize {
        y * self.cols + x
    }

    /// The samples of a row of cells.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> Samples<'_> {
        let luma = self.places * self.stride;
        let chroma = CHROMA * self.stride;
        let chroma = y * chroma..(y + 1) * chroma;
        let [u, v] = &self.chroma;
        Samples {
            luma: &self.luma[y * luma..(y + 1) * luma],
            chroma: [&u[chroma.clone()], &v[chroma]],
            stride: self.stride,
        }
    }

    /// The samples of a cell.
    pub(super) fn samples(&self, x: usize, y: usize) -> CellSamples {
        let row = self.row(y);
        let mut samples = CellSamples::default();
        for (i, sample) in samples.luma[..self.places].iter_mut().enumerate() {
            *sample = row.luma[i * self.stride + x];
        }
        for (plane, from) in samples.chroma.iter_mut().zip(row.chroma) {
            for (i, sample) in plane.iter_mut().enumerate() {
                *sample = from[i * self.stride + x];
            }
        }
        samples
    }

    /// The number of the cells among which it is fitted.
    pub(super) fn group(&self, x: usize, y: usize) -> usize {
        (y * self.stride + x) / LANES
    }

    /// Makes a cell's samples those of a shape in two colours.
    #[inline(always)]
    pub(super) fn set_parted(&mut self, x: usize, y: usize, shape: &Shape, [on, off]: [Yuv; 2]) {
        let whole = |sample: f32| (sample + 0.5) as u8;
        let (stride, chroma) = (self.stride, y * CHROMA * self.stride + x);
        if self.places == MOST_LUMA {
            let mut mixed = [0; MOST_LUMA];
            mix(&shape.luma, COVERED, whole(on[0]), whole(off[0]), &mut mixed);
            scatter(&mut self.luma[y * MOST_LUMA * stride + x..], stride, &mixed);
            for (c, plane) in self.chroma.iter_mut().enumerate() {
                let mut mixed = [0; CHROMA];
                let (on, off) = (whole(on[c + 1]), whole(off[c + 1]));
                mix(&shape.chroma, COVERED * 8, on, off, &mut mixed);
                scatter(&mut plane[chroma..], stride, &mixed);
            }
            return;
        }
        // Halves cover samples as a whole or not at all.
        let [u, v] = &mut self.chroma;
        let planes = [&mut self.luma, u, v];
        for (c, plane) in planes.into_iter().enumerate() {
            let (on, off) = (whole(on[c]), whole(off[c]));
            let plane = &mut plane[chroma..][..(CHROMA - 1) * stride + 1];
            for i in 0..CHROMA {
                plane[i * stride] = if shape.chroma[i] == 0 { off } else { on };
            }
        }
    }

    pub(super) fn set_samples(&mut self, x: usize, y: usize, samples: &CellSamples) {
        let start = y * self.places * self.stride + x;
        for (i, &sample) in samples.luma[..self.places].iter().enumerate() {
            self.luma[start + i * self.stride] = sample;
        }
        let start = y * CHROMA * self.stride + x;
        for (to, plane) in self.chroma.iter_mut().zip(&samples.chroma) {
            for (i, &sample) in plane.iter().enumerate() {
                to[start + i * self.stride] = sample;
            }
        }
    }

    /// Takes a row of samples of a picture's plane (0 is luma) in an area.
    #[inline(always)]
    pub(super) fn put(&mut self, to: CellRect, plane: usize, sampling: Sampling, y: usize, row: &[u8]) {
        let (samples, places) = match plane {
            0 => (&mut self.luma, self.places),
            _ => (&mut self.chroma[plane - 1], CHROMA),
        };
        let (cell, place) = (y / sampling.rows, y % sampling.rows * sampling.cols);
        let start = ((usize::from(to.y) + cell) * places + place) * self.stride + usize::from(to.x);
        let cols = usize::from(to.cols);
        let samples = &mut samples[start..];
        match sampling.cols {
            4 => part::<4>(row, samples, self.stride, cols),
            _ => part::<2>(row, samples, self.stride, cols),
        }
    }

    /// Makes the cells of an area a picture's.
    pub(super) fn mark(&mut self, to: CellRect, kind: Kind) {
        for y in to.y..to.y + to.rows {
            let at = self.at(usize::from(to.x), usize::from(y));
            self.kind[at..at + usize::from(to.cols)].fill(kind);
        }
    }

    /// Darkens what is a picture's among the cells of a row from `x` to `end`.
    pub(super) fn dim(&mut self, x: usize, end: usize, y: usize) {
        let mut x = x;
        while x < end {
            let kind = self.kind[self.at(x, y)];
            let run = self.kind[self.at(x, y)..self.at(end, y)]
                .iter()
                .take_while(|k| **k == kind)
                .count();
            if kind.is_picture() && !kind.is_dimmed() {
                self.dim_run(x, run, y, kind);
            }
            x += run;
        }
    }

    fn dim_run(&mut self, x: usize, run: usize, y: usize, kind: Kind) {
        let at = self.at(x, y);
        self.kind[at..at + run].fill(Kind(kind.0 | Kind::DIMMED));
        let (stride, black) = (self.stride, kind.space().black());
        let planes = |samples: &mut [u8], places: usize, zero: u8| {
            for place in 0..places {
                let start = (y * places + place) * stride + x;
                for sample in &mut samples[start..start + run] {
                    *sample = dimmed(*sample, zero);
                }
            }
        };
        planes(&mut self.luma, self.places, black);
        for plane in &mut self.chroma {
            planes(plane, CHROMA, 128);
        }
    }

    pub(super) fn set_text(&mut self, x: usize, y: usize, cell: Cell) {
        let at = self.at(x, y);
        self.kind[at] = Kind::TEXT;
        self.text[at] = cell;
        self.has_text[y] = true;
    }

    /// What is behind text that lets the picture through: its mean, darkened.
    pub(super) fn beneath(&self, x: usize, y: usize) -> Paint {
        let kind = self.kind[self.at(x, y)];
        let space = kind.space();
        let mut mean = self.samples(x, y).mean(self.places);
        if !kind.is_dimmed() {
            mean = mean.map(|sample| sample * 0.375);
            let black = f32::from(space.black());
            mean[0] += black * 0.625;
            mean[1] += 80.0;
            mean[2] += 80.0;
        }
        space.rgb(mean).into()
    }
}

/// Samples of which so much is covered, in parts of `whole`.
#[inline(always)]
fn mix<const N: usize>(covered: &[i16; N], whole: i16, on: u8, off: u8, mixed: &mut [u8; N]) {
    let (on, off, whole) = (u16::from(on), u16::from(off), whole as u16);
    for i in 0..N {
        let sum = on * covered[i] as u16 + off * (whole - covered[i] as u16);
        mixed[i] = ((sum + whole / 2) / whole) as u8;
    }
}

/// Puts samples `stride` apart.
#[inline(always)]
fn scatter<const N: usize>(to: &mut [u8], stride: usize, samples: &[u8; N]) {
    let to = &mut to[..(N - 1) * stride + 1];
    for i in 0..N {
        to[i * stride] = samples[i];
    }
}

/// Parts a row of `N` samples for each of `cols` cells: those of the first column of all cells lie side
/// by side, `stride` before those of the second.
#[inline(always)]
fn part<const N: usize>(row: &[u8], samples: &mut [u8], stride: usize, cols: usize) {
    let from = &row.as_chunks::<N>().0[..cols];
    for column in 0..N {
        let to = &mut samples[column * stride..][..cols];
        for x in 0..cols {
            to[x] = from[x][column];
        }
    }
}
