//! What stands for a cell of a picture: a glyph and two colours.

use super::cells::{Cell, Paint};
use super::colour::{ColorDepth, ColourSpace, Rgb};
use super::glyphs::Glyphs;
use super::mono;
use super::palette::{BAYER, Palette};
use super::shapes::{CHROMA, COVERED, MOST_LUMA, Sampling, Shape, Shapes, block_glyph};

/// The samples of a cell, row by row; see [`Sampling`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct CellSamples {
    pub(super) luma: [u8; MOST_LUMA],
    pub(super) chroma: [[u8; CHROMA]; 2],
}

/// Y, U, V.
pub(super) type Yuv = [f32; 3];

impl CellSamples {
    /// The mean of the cell; `places` is how many luma samples it has.
    pub(super) fn mean(&self, places: usize) -> Yuv {
        let mean = |samples: &[u8]| {
            let sum: u32 = samples.iter().map(|&s| u32::from(s)).sum();
            sum as f32 / samples.len() as f32
        };
        let [u, v] = &self.chroma;
        [mean(&self.luma[..places]), mean(u), mean(v)]
    }

    /// The means of a shape's part, of the rest, and of all.
    pub(super) fn means(&self, shape: &Shape, places: usize) -> [Yuv; 3] {
        let mut means = [[0.0; 3]; 3];
        let mut put = |channel: usize, part: i32, all: i32, most: f32, unit: f32| {
            let (part, all) = (part as f32, all as f32 * unit);
            means[0][channel] = part / (shape.share * most * unit);
            means[1][channel] = (all - part) / ((1.0 - shape.share) * most * unit);
            means[2][channel] = all / (most * unit);
        };
        let (mut part, mut all) = (0, 0);
        if places == MOST_LUMA {
            (part, all) = dot(&self.luma, &shape.luma);
        } else {
            for (&sample, &covered) in self.luma[..places].iter().zip(&shape.luma) {
                part += i32::from(sample) * i32::from(covered);
                all += i32::from(sample);
            }
        }
        put(0, part, all, places as f32, f32::from(COVERED));
        for (channel, plane) in self.chroma.iter().enumerate() {
            let (part, all) = dot(plane, &shape.chroma);
            put(channel + 1, part, all, CHROMA as f32, f32::from(COVERED * 8));
        }
        means
    }

    /// The means of blocks, two to a row.
    fn blocks(&self, rows: usize, sampling: Sampling) -> [Yuv; 8] {
        let mut blocks = [[0.0; 3]; 8];
        for (i, block) in blocks[..rows * 2].iter_mut().enumerate() {
            let (column, row) = (i % 2, i / 2);
            let mut mean = |channel: usize, samples: &[u8], cols: usize, count: usize| {
                let (from, to) = (
                    (row * count) as f32 / rows as f32,
                    ((row + 1) * count) as f32 / rows as f32,
                );
                let mut sum = 0.0;
                for y in from as usize..(to.ceil() as usize).min(count) {
                    let part = to.min(y as f32 + 1.0) - from.max(y as f32);
                    for x in column * cols / 2..(column + 1) * cols / 2 {
                        sum += f32::from(samples[y * cols + x]) * part;
                    }
                }
                block[channel] = sum / ((to - from) * (cols / 2) as f32);
            };
            mean(0, &self.luma, sampling.cols, sampling.rows);
            mean(1, &self.chroma[0], 2, 2);
            mean(2, &self.chroma[1], 2, 2);
        }
        blocks
    }
}

/// The sum of samples by what of them is covered, and of all.
#[inline]
fn dot<const N: usize>(samples: &[u8; N], covered: &[i16; N]) -> (i32, i32) {
    let (mut part, mut all) = (0, 0);
    for i in 0..N {
        part += i32::from(i16::from(samples[i])) * i32::from(covered[i]);
        all += i32::from(samples[i]);
    }
    (part, all)
}

/// A glyph and its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) glyph: char,
    /// The glyph that shows the same with the colours exchanged.
    pub(super) inverse: Option<char>,
    pub(super) fg: Paint,
    pub(super) bg: Paint,
}

/// Where a cell is looked at from: what it depends on beside its samples.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) glyphs: Glyphs,
    pub(super) depth: ColorDepth,
    pub(super) space: ColourSpace,
    pub(super) x: usize,
    pub(super) y: usize,
}

impl View {
    /// What stands for a cell where colours are few, or glyphs are ASCII. It depends on the samples
    /// and the place alone, so a picture at rest stays at rest.
    pub(super) fn look(self, samples: &CellSamples, shape: u8) -> Look {
        match (self.glyphs, self.depth) {
            (Glyphs::Ascii, _) => self.ascii(samples),
            (_, ColorDepth::Mono) => self.mono(samples),
            (Glyphs::Half, _) => self.halves(samples),
            _ => self.few(samples, shape),
        }
    }

    fn halves(self, samples: &CellSamples) -> Look {
        let (palette, paint) = self.palette();
        let blocks = samples.blocks(2, Sampling::COARSE);
        let half = |row: usize| {
            let mut mean = blocks[row * 2];
            for (mean, right) in mean.iter_mut().zip(blocks[row * 2 + 1]) {
                *mean = (*mean + right) / 2.0;
            }
            paint(palette.dithered(self.space.rgb(mean), self.x, self.y * 2 + row))
        };
        let (fg, bg) = (half(0), half(1));
        if fg == bg {
            return Look::even(bg);
        }
        Look {
            glyph: '▀',
            inverse: Some('▄'),
            fg,
            bg,
        }
    }

    /// Either an edge between two colours, or blocks that mix two.
    fn few(self, samples: &CellSamples, shape: u8) -> Look {
        let (palette, paint) = self.palette();
        let rows = self.rows();
        let places = Sampling::FINE.len();
        let blocks = samples
            .blocks(rows, Sampling::FINE)
            .map(|block| self.space.rgb(block));
        let blocks = &blocks[..rows * 2];
        let shape = &Shapes::of(self.glyphs).all[usize::from(shape)];
        let [on, off, all] = samples.means(shape, places).map(|mean| self.space.rgb(mean));

        let pair = palette.pair(all);
        let mixed: i32 = blocks.iter().map(|&block| palette.off_mixture(pair, block)).sum();
        let [fg, bg] = [(on, 0), (off, 1)].map(|(colour, row)| {
            let index = palette.dithered(colour, self.x, self.y * 2 + row);
            (index, palette.distance(colour, index))
        });
        let [fg_blocks, bg_blocks] =
            [shape.share, 1.0 - shape.share].map(|s| (s * blocks.len() as f32) as i32);
        let parted: i32 = blocks
            .iter()
            .map(|&block| block.unlike(on).min(block.unlike(off)))
            .sum::<i32>()
            + (fg.1 * fg_blocks + bg.1 * bg_blocks) / CALM;
        if parted < mixed && fg.0 != bg.0 {
            return Look {
                glyph: shape.glyph,
                inverse: shape.inverse,
                fg: paint(fg.0),
                bg: paint(bg.0),
            };
        }
        let mask = (0..blocks.len()).fold(0, |mask, i| {
            let (x, y) = (self.x * 2 + i % 2, self.y * rows + i / 2);
            mask | usize::from(palette.is_lighter(pair, blocks[i], x, y)) << i
        });
        let [dark, light] = palette.indices(pair).map(paint);
        let full = (1 << blocks.len()) - 1;
        match mask {
            0 => Look::even(dark),
            _ if mask == full => Look::even(light),
            _ => Look {
                glyph: block_glyph(rows, mask),
                inverse: Some(block_glyph(rows, full ^ mask)),
                fg: light,
                bg: dark,
            },
        }
    }

    fn mono(self, samples: &CellSamples) -> Look {
        let sampling = Sampling::of(self.glyphs);
        let rows = self.rows();
        let grey = |block: &Yuv| self.space.grey(block[0]);
        if rows <= 2 {
            let blocks = samples.blocks(2, sampling);
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| grey(&blocks[i]) as u8);
            return Look::plain(mono::glyph([a, b, c, d], self.x, self.y));
        }
        let blocks = samples.blocks(rows, sampling);
        let mask = (0..rows * 2).fold(0, |mask, i| {
            let (x, y) = (self.x * 2 + i % 2, self.y * rows + i / 2);
            let threshold = (f32::from(BAYER[y & 7][x & 7]) + 0.5) * 4.0;
            mask | usize::from(grey(&blocks[i]) > threshold) << i
        });
        Look::plain(block_glyph(rows, mask))
    }

    /// The lighter the cell, the more ink; with colours ink and ground have the cell's together.
    fn ascii(self, samples: &CellSamples) -> Look {
        let sampling = Sampling::of(self.glyphs);
        let mean = samples.mean(sampling.len());
        let light = self.space.grey(mean[0]) / 255.0;
        if self.depth == ColorDepth::Mono {
            // The lightest there is stands for white; so does the eye see what is between.
            return Look::plain(self.inked(light.powf(0.8)).0);
        }
        let (glyph, share) = self.inked(light);
        let colour = self.space.rgb(mean);
        let each = |f: &dyn Fn(f32) -> f32| {
            let [r, g, b] = [colour.r, colour.g, colour.b].map(|c| f(f32::from(c)) as u8);
            Rgb::new(r, g, b)
        };
        // As much lighter than the ground as is seen, and no lighter than white, in few steps, so that
        // neighbours share it; the ground makes up for it.
        const LIGHTER: f32 = 1.8;
        const STEP: f32 = 51.0;
        let lit = |c: f32| ((c * LIGHTER / STEP).round() * STEP).min(255.0);
        let ink = each(&|c| lit(c) + 0.5);
        let ground = each(&|c| (c - lit(c) * share) / (1.0 - share) + 0.5);
        let (fg, bg) = match self.depth {
            ColorDepth::Truecolor | ColorDepth::Mono => (ink.into(), ground.into()),
            ColorDepth::Ansi256 | ColorDepth::Ansi16 => {
                let (palette, paint) = self.palette();
                let ground = palette.dithered(ground, self.x, self.y);
                (paint(palette.dithered(ink, self.x, self.y)), paint(ground))
            }
        };
        match glyph {
            ' ' => Look::even(bg),
            _ => Look {
                glyph,
                inverse: None,
                fg,
                bg,
            },
        }
    }

    /// The character whose ink stands for so much light, 0 to 1, and its share of the cell.
    fn inked(self, light: f32) -> (char, f32) {
        let share = light * RAMP[RAMP.len() - 1].1;
        let above = RAMP.iter().position(|(_, ink)| *ink > share);
        let above = above.unwrap_or(RAMP.len() - 1).max(1);
        let (below, above) = (RAMP[above - 1], RAMP[above]);
        // Half a step to each side would be exact, and look like a grating.
        let threshold = 0.25 + (f32::from(BAYER[self.y & 7][self.x & 7]) + 0.5) / 128.0;
        if (share - below.1) > (above.1 - below.1) * threshold {
            above
        } else {
            below
        }
    }

    fn palette(self) -> (&'static Palette, fn(u8) -> Paint) {
        match self.depth {
            ColorDepth::Ansi16 => (Palette::ansi16(), Paint::named),
            _ => (Palette::ansi256(), Paint::palette),
        }
    }

    /// Rows of blocks in a cell.
    fn rows(self) -> usize {
        match self.glyphs {
            Glyphs::Half | Glyphs::Quadrant | Glyphs::Ascii => 2,
            Glyphs::Sextant => 3,
            Glyphs::Octant => 4,
        }
    }
}

/// By how much an edge's colours being off counts less than blocks being off: neighbours make up
/// for it.
const CALM: i32 = 4;

/// Characters by their ink, and how much of the cell it covers: the mean of DejaVu Sans Mono, Hack,
/// Inconsolata, JetBrains Mono and Liberation Mono.
const RAMP: [(char, f32); 10] = [
    (' ', 0.0),
    ('.', 0.025),
    (':', 0.05),
    (';', 0.07),
    ('+', 0.10),
    ('x', 0.135),
    ('o', 0.16),
    ('%', 0.19),
    ('&', 0.215),
    ('@', 0.25),
];

impl Look {
    /// Whether a cell shows the same, whichever way round its colours are.
    pub(super) fn is_shown(&self, cell: &Cell) -> bool {
        let c = cell.glyph.char();
        let is = |glyph, fg, bg| c == glyph && (cell.fg, cell.bg) == (fg, bg);
        match self.inverse {
            Some(full) if self.glyph == ' ' => {
                (c == ' ' && cell.bg == self.bg) || (c == full && cell.fg == self.bg)
            }
            Some(inverse) => is(self.glyph, self.fg, self.bg) || is(inverse, self.bg, self.fg),
            None => is(self.glyph, self.fg, self.bg),
        }
    }

    pub(super) fn even(bg: Paint) -> Self {
        Self {
            glyph: ' ',
            inverse: Some('█'),
            fg: Paint::DEFAULT,
            bg,
        }
    }

    /// In the terminal's own colours.
    fn plain(glyph: char) -> Self {
        Self {
            glyph,
            inverse: None,
            fg: Paint::DEFAULT,
            bg: Paint::DEFAULT,
        }
    }
}
