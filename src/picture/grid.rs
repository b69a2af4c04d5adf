//! The cells of a screen, what is known of them side by side.

use super::cells::{Cell, Paint};
use super::colour::{ColorDepth, Rgb, YuvToRgb, dimmed};
use super::mono;
use super::palette::Palette;
use crate::units::{CellRect, Cells};

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// As a cleared terminal has it.
    Empty,
    /// A picture's; see [`Grid::channels`].
    Picture,
    /// A picture's, darkened: another kind, so that a sheet opens and closes at once whatever it costs.
    Dimmed,
    /// The interface's; see [`Grid::text`].
    Text,
    /// Of the terminal: not known.
    Unknown,
}

/// Whether a cell of this [`Kind`] is a picture's.
pub(super) const fn is_picture(kind: u8) -> bool {
    kind == Kind::Picture as u8 || kind == Kind::Dimmed as u8
}

/// What is written for a picture's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Halves(Paint, Paint),
    Glyph(char),
}

/// All cells, what is known of them side by side: plain loops over bytes compare many at once.
#[derive(Default)]
pub(super) struct Grid {
    pub(super) cols: usize,
    /// Red, green, blue of each pixel, two rows of pixels to a row of cells; 0 where there is no
    /// picture. Without colours: the left and the right half's grey, and nothing.
    pub(super) channels: [Vec<u8>; 3],
    /// [`Kind`] of each cell.
    pub(super) kind: Vec<u8>,
    pub(super) text: Vec<Cell>,
    /// Whether there is text in each row.
    pub(super) has_text: Vec<bool>,
    /// A row of samples on its way.
    grey: Vec<u8>,
}

impl Grid {
    pub(super) fn resize(&mut self, size: Cells) {
        self.cols = usize::from(size.cols);
        let cells = self.cols * usize::from(size.rows);
        for channel in &mut self.channels {
            channel.resize(cells * 2, 0);
        }
        self.kind.resize(cells, 0);
        self.text.resize(cells, Cell::BLANK);
        self.has_text.resize(usize::from(size.rows), false);
        self.clear();
        self.text.fill(Cell::BLANK);
    }

    /// Makes every cell empty.
    pub(super) fn clear(&mut self) {
        for channel in &mut self.channels {
            channel.fill(0);
        }
        self.kind.fill(Kind::Empty as u8);
        self.has_text.fill(false);
    }

    pub(super) fn at(&self, x: usize, y: usize) -> usize {
        y * self.cols + x
    }

    pub(super) fn samples(&self, x: usize, y: usize) -> [u8; 6] {
        let upper = 2 * y * self.cols + x;
        let lower = upper + self.cols;
        let [r, g, b] = &self.channels;
        [r[upper], g[upper], b[upper], r[lower], g[lower], b[lower]]
    }

    fn set_samples(&mut self, x: usize, y: usize, samples: [u8; 6]) {
        let upper = 2 * y * self.cols + x;
        let lower = upper + self.cols;
        for (channel, i) in self.channels.iter_mut().zip(0..) {
            channel[upper] = samples[i];
            channel[lower] = samples[i + 3];
        }
    }

    /// Lays the planes of a picture, two rows of pixels to a row of cells, into an area.
    pub(super) fn put(&mut self, to: CellRect, planes: [&[u8]; 3], convert: &YuvToRgb, mirror: bool) {
        let cols = usize::from(to.cols);
        for y in 0..usize::from(to.rows) * 2 {
            let from = y * cols..(y + 1) * cols;
            let row = self.pixel_row(to, y);
            let rgb = self.channels.each_mut().map(|channel| &mut channel[row.clone()]);
            convert.row(planes.map(|plane| &plane[from.clone()]), rgb);
            if mirror {
                for channel in &mut self.channels {
                    channel[row.clone()].reverse();
                }
            }
        }
        self.mark(to);
    }

    /// Lays a plane of luma, two rows and two columns of samples to a cell, into an area.
    pub(super) fn put_grey(&mut self, to: CellRect, luma: &[u8], convert: &YuvToRgb, mirror: bool) {
        let mut grey = std::mem::take(&mut self.grey);
        grey.resize(usize::from(to.cols) * 2, 0);
        let cols = usize::from(to.cols);
        for (y, luma) in luma.chunks_exact(cols * 2).enumerate() {
            let row = self.pixel_row(to, y);
            let [left, right, none] = &mut self.channels;
            none[row.clone()].fill(0);
            convert.grey_row(luma, &mut grey);
            let cells = left[row.clone()].iter_mut().zip(&mut right[row.clone()]);
            for ((left, right), grey) in cells.zip(grey.as_chunks::<2>().0) {
                [*left, *right] = *grey;
            }
            if mirror {
                left[row.clone()].swap_with_slice(&mut right[row.clone()]);
                left[row.clone()].reverse();
                right[row].reverse();
            }
        }
        self.grey = grey;
        self.mark(to);
    }

    fn pixel_row(&self, to: CellRect, y: usize) -> std::ops::Range<usize> {
        let start = (usize::from(to.y) * 2 + y) * self.cols + usize::from(to.x);
        start..start + usize::from(to.cols)
    }

    fn mark(&mut self, to: CellRect) {
        for y in to.y..to.y + to.rows {
            let at = self.at(usize::from(to.x), usize::from(y));
            self.kind[at..at + usize::from(to.cols)].fill(Kind::Picture as u8);
        }
    }

    pub(super) fn dim(&mut self, x: usize, y: usize) {
        let at = self.at(x, y);
        if self.kind[at] == Kind::Picture as u8 {
            let samples = self.samples(x, y).map(dimmed);
            self.set_samples(x, y, samples);
            self.kind[at] = Kind::Dimmed as u8;
        }
    }

    pub(super) fn set_text(&mut self, x: usize, y: usize, cell: Cell) {
        self.set_samples(x, y, [0; 6]);
        let at = self.at(x, y);
        self.kind[at] = Kind::Text as u8;
        self.text[at] = cell;
        self.has_text[y] = true;
    }

    /// Takes over a cell.
    pub(super) fn take(&mut self, x: usize, y: usize, from: &Grid) {
        let at = self.at(x, y);
        self.set_samples(x, y, from.samples(x, y));
        if from.kind[at] == Kind::Text as u8 {
            self.text[at] = from.text[at];
        } else if self.kind[at] == Kind::Text as u8 {
            self.text[at] = Cell::BLANK;
        }
        self.kind[at] = from.kind[at];
    }

    /// What is behind text that lets the picture through.
    pub(super) fn beneath(&self, x: usize, y: usize, depth: ColorDepth) -> Paint {
        if depth == ColorDepth::Mono {
            return Paint::DEFAULT;
        }
        let [r, g, b, r2, g2, b2] = self.samples(x, y);
        let mut mean = [r.midpoint(r2), g.midpoint(g2), b.midpoint(b2)];
        if self.kind[self.at(x, y)] != Kind::Dimmed as u8 {
            mean = mean.map(dimmed);
        }
        let [r, g, b] = mean;
        Paint::rgb(r, g, b)
    }

    /// What is written for a picture's cell: it depends on the samples and the place alone.
    pub(super) fn look(&self, x: usize, y: usize, depth: ColorDepth) -> Look {
        let [r, g, b, r2, g2, b2] = self.samples(x, y);
        let pair = |palette: &Palette, paint: fn(u8) -> Paint| {
            let upper = palette.dithered(Rgb::new(r, g, b), x, 2 * y);
            let lower = palette.dithered(Rgb::new(r2, g2, b2), x, 2 * y + 1);
            Look::Halves(paint(upper), paint(lower))
        };
        match depth {
            ColorDepth::Truecolor => Look::Halves(Paint::rgb(r, g, b), Paint::rgb(r2, g2, b2)),
            ColorDepth::Ansi256 => pair(Palette::ansi256(), Paint::palette),
            ColorDepth::Ansi16 => pair(Palette::ansi16(), Paint::named),
            ColorDepth::Mono => Look::Glyph(mono::glyph([r, g, r2, g2], x, y)),
        }
    }
}
