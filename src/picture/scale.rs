//! The planes of a picture at the size of the grid.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::media::frame::{I420, Plane};
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

/// Scales the planes of pictures, each to the full grid: the colours are converted only there.
///
/// Buffers are kept from one picture to the next.
pub(super) struct GridScaler {
    resizer: Resizer,
    options: ResizeOptions,
    /// The planes halved so often that the filter has little left to do.
    halved: [Vec<u8>; 2],
    scaled: [Vec<u8>; 3],
}

impl Default for GridScaler {
    fn default() -> Self {
        Self {
            resizer: Resizer::new(),
            // Within 0.02 dB of the best that cells of one colour can be, at half of Lanczos's cost.
            options: ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Hamming)),
            halved: Default::default(),
            scaled: Default::default(),
        }
    }
}

impl GridScaler {
    /// The planes Y, U, V at `size`, rows without padding. Neither size may be empty.
    pub(super) fn scale<'a>(&'a mut self, picture: &'a I420, size: Size) -> [&'a [u8]; 3] {
        let planes = picture.planes();
        for (index, plane) in planes.into_iter().enumerate() {
            if !is_of(plane, size) {
                self.plane(plane, size, index);
            }
        }
        let mut scaled = self.scaled.each_ref().map(|s| s.as_slice());
        for (scaled, plane) in scaled.iter_mut().zip(planes) {
            if is_of(plane, size) {
                *scaled = plane.data;
            }
        }
        scaled
    }

    /// The plane Y alone, likewise.
    pub(super) fn scale_luma<'a>(&'a mut self, picture: &'a I420, size: Size) -> &'a [u8] {
        let [luma, _, _] = picture.planes();
        if is_of(luma, size) {
            return luma.data;
        }
        self.plane(luma, size, 0);
        &self.scaled[0]
    }

    fn plane(&mut self, plane: Plane<'_>, size: Size, index: usize) {
        let Self {
            resizer,
            options,
            halved: [halved, spare],
            scaled,
        } = self;
        let (mut from, mut now) = (plane.data, Size::new(plane.width as u32, plane.height as u32));
        // Means of 2x2 cost a tenth of the filter; it keeps twice the grid's size to work on.
        while now.width % 2 == 0
            && now.height % 2 == 0
            && now.width >= size.width * 4
            && now.height >= size.height * 4
        {
            halve(from, now, spare);
            std::mem::swap(halved, spare);
            now = Size::new(now.width / 2, now.height / 2);
            from = halved;
        }
        let to = &mut scaled[index];
        to.resize(size.area() as usize, 0);
        let from =
            TypedImageRef::<U8>::from_buffer(now.width, now.height, from).expect("a plane has its size");
        let mut to = TypedImage::<U8>::from_buffer(size.width, size.height, to)
            .expect("the buffer was just given this size");
        resizer
            .resize_typed(&from, &mut to, &*options)
            .expect("the whole of the source is asked for");
    }
}

fn is_of(plane: Plane<'_>, size: Size) -> bool {
    (plane.width, plane.height, plane.stride) == (size.width as usize, size.height as usize, plane.width)
}

/// Means of squares of four samples; both sides of `size` are even.
fn halve(from: &[u8], size: Size, to: &mut Vec<u8>) {
    let width = size.width as usize;
    to.resize(from.len() / 4, 0);
    for (rows, to) in from.chunks_exact(2 * width).zip(to.chunks_exact_mut(width / 2)) {
        let (upper, lower) = rows.split_at(width);
        for ((to, upper), lower) in to
            .iter_mut()
            .zip(upper.chunks_exact(2))
            .zip(lower.chunks_exact(2))
        {
            let sum = u16::from(upper[0]) + u16::from(upper[1]) + u16::from(lower[0]) + u16::from(lower[1]);
            *to = ((sum + 2) >> 2) as u8;
        }
    }
}
