//! The planes of a picture at the size of the grid.

use super::resample::{Order, Resampler, halve};
use crate::media::frame::Plane;
use crate::units::{CellRect, Size};

/// Where a picture of `size` square pixels lies in `area`: as large as it can be at its own aspect
/// ratio (a cell is one pixel wide and two high), centred, in whole cells, at least one. Empty
/// where the picture or the area is.
pub fn fit(size: Size, area: CellRect) -> CellRect {
    if size.area() == 0 || area.cols == 0 || area.rows == 0 {
        return CellRect::new(area.x, area.y, 0, 0);
    }
    let (w, h) = (u64::from(size.width), u64::from(size.height));
    let (cols, rows) = (u64::from(area.cols), u64::from(area.rows));
    let (fit_cols, fit_rows) = if w * rows * 2 >= h * cols {
        (cols, (h * cols + w) / (2 * w))
    } else {
        ((w * rows * 2 + h / 2) / h, rows)
    };
    let within = |n: u64, most: u16| u16::try_from(n).unwrap_or(most).clamp(1, most);
    let (fit_cols, fit_rows) = (within(fit_cols, area.cols), within(fit_rows, area.rows));
    CellRect {
        x: area.x + (area.cols - fit_cols) / 2,
        y: area.y + (area.rows - fit_rows) / 2,
        cols: fit_cols,
        rows: fit_rows,
    }
}

/// Scales the planes of pictures, each to its own grid of samples: colours are converted only where
/// one is sent.
///
/// Buffers are kept from one picture to the next.
#[derive(Default)]
pub(super) struct GridScaler {
    resampler: Resampler,
    /// The plane halved so often that the filter has little left to do, and the one before.
    halved: [Vec<u8>; 2],
}

impl GridScaler {
    /// Scales a plane to `to` samples across and down, and hands over each row with its number.
    /// Neither size may be empty.
    #[inline(always)]
    pub(super) fn scale(
        &mut self,
        plane: Plane<'_>,
        to: (usize, usize),
        order: Order,
        take: impl FnMut(usize, &[u8]),
    ) {
        let Self {
            resampler,
            halved: [halved, spare],
        } = self;
        let (mut from, mut width, mut height) = (plane.data, plane.width, plane.height);
        // Means of 2x2 cost a tenth of the filter.
        while width % 2 == 0 && height % 2 == 0 && width >= to.0 * LEFT && height >= to.1 * LEFT {
            halve(from, width, spare);
            std::mem::swap(halved, spare);
            (from, width, height) = (&*halved, width / 2, height / 2);
        }
        resampler.scale(from, width, to, order, take);
    }
}

/// A plane that has so many times the size that is wanted, or more, is halved.
const LEFT: usize = 3;
