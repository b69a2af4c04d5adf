//! Raw pictures: I420 planes, shared by reference count and recycled by a pool.

use std::sync::Arc;

use crate::units::Size;

/// A raw picture, shared between threads without a copy.
pub type Picture = Arc<I420>;

/// The matrix by which Y, U and V stand for red, green and blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601, standard definition and cameras.
    #[default]
    Bt601,
    /// ITU-R BT.709, high definition.
    Bt709,
}

/// The range of the sample values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// Luma 16 to 235, colour 16 to 240 ("TV", "studio").
    #[default]
    Limited,
    /// 0 to 255 ("PC", JPEG).
    Full,
}

/// One plane of samples; row `y` begins at `data[y * stride]`.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The samples.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// A planar YUV 4:2:0 picture with eight-bit samples: `width * height` luma samples, then two
/// colour planes of `ceil(width / 2) * ceil(height / 2)` samples each, rows without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I420 {
    size: Size,
    data: Vec<u8>,
    /// The colour matrix.
    pub matrix: Matrix,
    /// The sample range.
    pub range: Range,
}

/// Bytes of an I420 picture of `size`.
pub const fn i420_len(size: Size) -> usize {
    let (w, h) = (size.width as usize, size.height as usize);
    w * h + 2 * w.div_ceil(2) * h.div_ceil(2)
}

impl I420 {
    /// A black picture (limited range).
    pub fn new(size: Size) -> Self {
        let mut data = vec![16; size.area() as usize];
        data.resize(i420_len(size), 128);
        Self {
            size,
            data,
            ..Self::default()
        }
    }

    /// A picture from its bytes, or `None` where their number is not [`i420_len`].
    pub fn from_bytes(size: Size, data: Vec<u8>) -> Option<Self> {
        (data.len() == i420_len(size)).then(|| Self {
            size,
            data,
            ..Self::default()
        })
    }

    /// Its size in pixels.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// All bytes: the Y plane, the U plane, the V plane.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the picture another size; the samples are unspecified afterwards.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        self.data.resize(i420_len(size), 128);
    }

    /// The planes Y, U, V.
    pub fn planes(&self) -> [Plane<'_>; 3] {
        let (w, h) = (self.size.width as usize, self.size.height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let (y, rest) = self.data.split_at(w * h);
        let (u, v) = rest.split_at(cw * ch);
        [
            Plane {
                data: y,
                stride: w,
                width: w,
                height: h,
            },
            Plane {
                data: u,
                stride: cw,
                width: cw,
                height: ch,
            },
            Plane {
                data: v,
                stride: cw,
                width: cw,
                height: ch,
            },
        ]
    }

    /// The planes Y, U, V, to be written; strides as in [`I420::planes`].
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let (w, h) = (self.size.width as usize, self.size.height as usize);
        let (y, rest) = self.data.split_at_mut(w * h);
        let (u, v) = rest.split_at_mut(w.div_ceil(2) * h.div_ceil(2));
        [y, u, v]
    }
}

/// Recycles pictures: a picture handed out comes back by itself when its last holder drops it, so a
/// steady stream allocates nothing.
#[derive(Default)]
pub struct Pool {
    pictures: Vec<Picture>,
}

impl Pool {
    /// A picture of `size` with unspecified samples that nobody else holds, filled by `fill`.
    pub fn make(&mut self, size: Size, fill: impl FnOnce(&mut I420)) -> Picture {
        let free = self.pictures.iter_mut().position(|p| Arc::get_mut(p).is_some());
        let index = free.unwrap_or_else(|| {
            self.pictures.push(Arc::new(I420::default()));
            self.pictures.len() - 1
        });
        let shared = &mut self.pictures[index];
        let picture = Arc::get_mut(shared).expect("the picture just found has no other holder");
        picture.resize(size);
        fill(picture);
        Arc::clone(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_cover_the_picture_also_at_odd_sizes() {
        let picture = I420::new(Size::new(5, 3));
        let [y, u, v] = picture.planes();
        assert_eq!((y.data.len(), u.data.len(), v.data.len()), (15, 6, 6));
        assert_eq!((u.width, u.height), (3, 2));
    }

    #[test]
    fn the_pool_reuses_what_nobody_holds() {
        let mut pool = Pool::default();
        let size = Size::new(4, 4);
        let a = pool.make(size, |_| ());
        let b = pool.make(size, |_| ());
        assert_eq!(pool.pictures.len(), 2);
        drop((a, b));
        let _c = pool.make(size, |_| ());
        assert_eq!(pool.pictures.len(), 2);
    }
}
