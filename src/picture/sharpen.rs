//! Letters that are thinner than a cell's pixels, brought out: an unsharp mask over the light of a picture of
//! a screen. Text recognition reads a page of slides, code and prose in half blocks of 200x60 to 0.76 with it
//! and to 0.65 without, in sextants to 0.95 and 0.91; a picture of a camera only becomes noisier.

// What is not inlined does not get the instructions that the machine has: so loops stand here.
#![allow(clippy::needless_range_loop)]

use super::shapes::Sampling;

/// How much of what a sample is above its surroundings is added to it, in 64ths.
const GAIN: i16 = 77;

/// Brings out what differs from its surroundings: those are about a pixel of the cells wide, whatever the
/// samples. Keeps its working memory.
#[derive(Default)]
pub(super) struct Sharpener {
    width: usize,
    plane: Vec<u8>,
    /// The plane, smoothed from left to right.
    smooth: Vec<u8>,
    row: Vec<u8>,
}

impl Sharpener {
    /// Makes place for a plane of this size.
    pub(super) fn begin(&mut self, (width, height): (usize, usize)) {
        self.width = width;
        self.plane.resize(width * height, 0);
        self.smooth.resize(width * height, 0);
    }

    /// Takes a row of it.
    #[inline(always)]
    pub(super) fn put(&mut self, y: usize, row: &[u8]) {
        self.plane[y * self.width..][..self.width].copy_from_slice(row);
    }

    /// Hands over its rows, sharpened.
    #[inline(always)]
    pub(super) fn finish(&mut self, sampling: Sampling, take: impl FnMut(usize, &[u8])) {
        // A pixel is two samples wide, and of half blocks one sample high, of sextants nearly three.
        self.across::<2>();
        if sampling == Sampling::COARSE {
            self.down::<1>(take);
        } else {
            self.down::<3>(take);
        }
    }

    /// Smooths each row by a triangle that reaches `2 * REACH` samples to each side.
    #[inline(always)]
    fn across<const REACH: usize>(&mut self) {
        let (width, edge) = (self.width, 2 * REACH);
        let weights = triangle::<REACH>();
        let rows = self.plane.chunks_exact(width);
        for (from, to) in rows.zip(self.smooth.chunks_exact_mut(width)) {
            let row = &mut self.row;
            row.clear();
            row.resize(edge, from[0]);
            row.extend_from_slice(from);
            row.resize(width + 2 * edge, from[width - 1]);
            for x in 0..width {
                let mut sum = 0;
                for k in 0..=2 * edge {
                    sum += u16::from(row[x + k]) * weights[k];
                }
                to[x] = mean::<REACH>(sum);
            }
        }
    }

    /// Smooths likewise from top to bottom, and adds what that takes away.
    #[inline(always)]
    fn down<const REACH: usize>(&mut self, mut take: impl FnMut(usize, &[u8])) {
        let (width, edge) = (self.width, 2 * REACH);
        let height = self.plane.len() / width;
        let weights = triangle::<REACH>();
        let row = &mut self.row;
        row.resize(width, 0);
        for y in 0..height {
            let plane = &self.plane[y * width..][..width];
            let mut rows = [plane; MOST_TAPS];
            for k in 0..=2 * edge {
                let y = (y + k).saturating_sub(edge).min(height - 1);
                rows[k] = &self.smooth[y * width..][..width];
            }
            let row = &mut row[..width];
            for x in 0..width {
                let mut sum = 0;
                for k in 0..=2 * edge {
                    sum += u16::from(rows[k][x]) * weights[k];
                }
                let sample = i16::from(plane[x]);
                let above = sample - i16::from(mean::<REACH>(sum));
                row[x] = (sample + ((above * GAIN) >> 6)).clamp(0, 255) as u8;
            }
            take(y, row);
        }
    }
}

/// The samples of the widest triangle.
const MOST_TAPS: usize = 13;

/// The weights of a triangle; together `(2 * REACH + 1)²`, so a sum of weighted samples fits 16 bits.
#[inline(always)]
const fn triangle<const REACH: usize>() -> [u16; MOST_TAPS] {
    let mut weights = [0; MOST_TAPS];
    let mut k = 0;
    while k <= 4 * REACH {
        weights[k] = (2 * REACH + 1 - k.abs_diff(2 * REACH)) as u16;
        k += 1;
    }
    weights
}

/// A sum of samples weighted by that triangle, divided by all its weights.
#[inline(always)]
fn mean<const REACH: usize>(sum: u16) -> u8 {
    let all = (2 * REACH + 1).pow(2) as u32;
    // By a multiplication, which many samples share.
    (((u32::from(sum) + all / 2) * (65536 / all + 1)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharpened(rows: &[[u8; 16]], sampling: Sampling) -> Vec<u8> {
        let mut sharpener = Sharpener::default();
        sharpener.begin((16, rows.len()));
        for (y, row) in rows.iter().enumerate() {
            sharpener.put(y, row);
        }
        let mut made = vec![0; 16 * rows.len()];
        sharpener.finish(sampling, |y, row| made[y * 16..][..16].copy_from_slice(row));
        made
    }

    #[test]
    fn what_is_even_stays_as_it_is() {
        for sampling in [Sampling::COARSE, Sampling::FINE] {
            for luma in [0, 16, 100, 235, 255] {
                for height in [1, 2, 12] {
                    let even = vec![[luma; 16]; height];
                    assert_eq!(sharpened(&even, sampling), even.concat(), "{luma}, {height} high");
                }
            }
        }
    }

    #[test]
    fn a_thin_stroke_gets_darker_and_its_ground_stays() {
        for sampling in [Sampling::COARSE, Sampling::FINE] {
            let mut page = [[200; 16]; 12];
            for row in &mut page {
                row[8] = 140;
            }
            let made = sharpened(&page, sampling);
            for row in made.chunks(16) {
                assert!((75..110).contains(&row[8]), "{row:?}");
                assert!(row[..4].iter().chain(&row[13..]).all(|&s| s == 200), "{row:?}");
                assert!(row[7] > 200 && row[9] > 200, "{row:?}");
            }
        }
    }
}
