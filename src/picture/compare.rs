//! How far cells are from what is shown of them.

// Several arrays are walked by the same number.
#![allow(clippy::needless_range_loop)]

use super::fit::SAMPLES;
use super::shapes::{CHROMA, Sampling};

/// The samples of a row of cells: for each place in the cell, one after the other, a plane of
/// `stride` cells.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    pub(super) luma: &'a [u8],
    pub(super) chroma: [&'a [u8]; 2],
    pub(super) stride: usize,
}

/// Cells that are compared at once.
pub(super) const COMPARED: usize = 16;

/// How far the [`COMPARED`] cells from `at` on are from others: the error, as in [`super::fit`].
#[inline(always)]
pub(super) fn distance(a: Samples<'_>, b: Samples<'_>, at: usize, sampling: Sampling) -> [u32; COMPARED] {
    let mut luma = [0; COMPARED];
    let mut chroma = [0; COMPARED];
    for first in (0..sampling.len()).step_by(CHROMA) {
        add_squares(&mut luma, a.luma, b.luma, first * a.stride + at, a.stride);
    }
    for (a_plane, b_plane) in a.chroma.iter().zip(b.chroma) {
        add_squares(&mut chroma, a_plane, b_plane, at, a.stride);
    }
    let weight = MOST / sampling.len() as u32;
    let mut error = [0; COMPARED];
    for l in 0..COMPARED {
        error[l] = luma[l] * weight + chroma[l] * (MOST / CHROMA as u32);
    }
    error
}

/// Luma samples that errors are for.
const MOST: u32 = SAMPLES as u32;

/// Adds the squares of four samples' differences, which count as if they were no more than 127: so
/// four squares fit 16 bits.
#[inline(always)]
fn add_squares(sums: &mut [u32; COMPARED], a: &[u8], b: &[u8], at: usize, stride: usize) {
    let mut squares = [0_u16; COMPARED];
    for i in 0..CHROMA {
        let at = at + i * stride;
        let a: &[u8; COMPARED] = a[at..at + COMPARED].try_into().expect("a slice of COMPARED");
        let b: &[u8; COMPARED] = b[at..at + COMPARED].try_into().expect("a slice of COMPARED");
        for l in 0..COMPARED {
            let d = u16::from(a[l].abs_diff(b[l]).min(127));
            squares[l] = squares[l].wrapping_add(d.wrapping_mul(d));
        }
    }
    for l in 0..COMPARED {
        sums[l] += u32::from(squares[l]);
    }
}
