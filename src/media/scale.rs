//! Scaling of whole I420 pictures, and of planes.

mod plane;
#[cfg(target_arch = "x86_64")]
mod shuffle;

use pulp::{Arch, NullaryFnOnce};

pub use plane::PlaneScaler;

use super::frame::{I420, Plane};

/// Scales pictures; keeps its working memory from one to the next.
pub struct Scaler {
    arch: Arch,
    planes: PlaneScaler,
}

impl Default for Scaler {
    fn default() -> Self {
        Self {
            arch: Arch::new(),
            planes: PlaneScaler::default(),
        }
    }
}

impl Scaler {
    /// Fills `to`, at the size it has, with `from`, stretched to it; both any size. Colour matrix and
    /// range are `from`'s. Equal sizes are copied.
    pub fn scale(&mut self, from: &I420, to: &mut I420) {
        to.matrix = from.matrix;
        to.range = from.range;
        if from.size() == to.size() {
            to.bytes_mut().copy_from_slice(from.bytes());
            return;
        }
        if from.size().area() == 0 || to.size().area() == 0 {
            return;
        }
        let sizes = to.planes().map(|plane| (plane.width, plane.height));
        for ((to, from), size) in to.planes_mut().into_iter().zip(from.planes()).zip(sizes) {
            let planes = &mut self.planes;
            self.arch.dispatch(Scale {
                planes,
                from,
                to,
                size,
            });
        }
    }
}

/// A plane on its way to another size, with the instructions that the machine has.
struct Scale<'a> {
    planes: &'a mut PlaneScaler,
    from: Plane<'a>,
    to: &'a mut [u8],
    size: (usize, usize),
}

impl NullaryFnOnce for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            planes,
            from,
            to,
            size,
        } = self;
        planes.scale(from.data, from.width, size, false, |y, row| {
            to[y * size.0..(y + 1) * size.0].copy_from_slice(row);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    /// A picture whose luma and colour rise evenly from left to right.
    fn ramp(size: Size) -> I420 {
        let mut picture = I420::new(size);
        let widths = picture.planes().map(|plane| plane.width);
        for (plane, width) in picture.planes_mut().into_iter().zip(widths) {
            for (i, sample) in plane.iter_mut().enumerate() {
                *sample = (20 + (i % width) * 200 / width) as u8;
            }
        }
        picture
    }

    #[test]
    fn a_ramp_stays_a_ramp_at_every_size() {
        let mut scaler = Scaler::default();
        let from = ramp(Size::new(640, 360));
        for (width, height) in [
            (80, 46),
            (160, 90),
            (641, 359),
            (33, 7),
            (2, 2),
            (1, 1),
            (1280, 720),
        ] {
            let mut to = I420::new(Size::new(width, height));
            scaler.scale(&from, &mut to);
            for plane in to.planes() {
                for (i, &sample) in plane.data.iter().enumerate() {
                    let x = (i % plane.width) as f32 + 0.5;
                    let expected = 20.0 + x / plane.width as f32 * 200.0;
                    assert!(
                        (f32::from(sample) - expected).abs() < 6.0,
                        "{width}x{height} at {i}: {sample}"
                    );
                }
            }
        }
    }

    #[test]
    fn equal_sizes_are_copied_and_the_colours_meaning_goes_along() {
        use crate::media::frame::{Matrix, Range};
        let mut from = ramp(Size::new(21, 13));
        (from.matrix, from.range) = (Matrix::Bt709, Range::Full);
        let mut to = I420::new(Size::new(21, 13));
        Scaler::default().scale(&from, &mut to);
        assert_eq!(from, to);
    }
}
