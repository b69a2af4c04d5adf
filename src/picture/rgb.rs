//! A picture's pixels as red, green, blue, for terminals that take pixels.

use crate::media::frame::{I420, Matrix, Range};

/// The pixels of `picture`, row by row, three bytes each (red, green, blue), into `out`, which is
/// cleared; each row backwards where mirrored.
pub fn to_rgb(picture: &I420, mirror: bool, out: &mut Vec<u8>) {
    let [y, u, v] = picture.planes();
    let convert = YuvToRgb::new(picture.matrix, picture.range);
    out.clear();
    out.reserve(y.width * y.height * 3);
    let mut chroma = [vec![0; y.width], vec![0; y.width]];
    let mut rgb = [vec![0; y.width], vec![0; y.width], vec![0; y.width]];
    for row in 0..y.height {
        for (wide, plane) in chroma.iter_mut().zip([u, v]) {
            let from = &plane.data[row / 2 * plane.stride..][..plane.width];
            for (x, sample) in wide.iter_mut().enumerate() {
                *sample = from[x / 2];
            }
        }
        let luma = &y.data[row * y.stride..][..y.width];
        let [r, g, b] = &mut rgb;
        convert.row([luma, &chroma[0], &chroma[1]], [r, g, b]);
        if mirror {
            rgb.iter_mut().for_each(|channel| channel.reverse());
        }
        let [r, g, b] = &rgb;
        for ((r, g), b) in r.iter().zip(g).zip(b) {
            out.extend_from_slice(&[*r, *g, *b]);
        }
    }
}

/// Turns rows of Y, U, V into rows of red, green, blue.
///
/// Everything is in 16 bits so that the compiler makes vectors of it: samples are shifted to 7
/// fractional bits, factors have 13, and the upper half of their product has 4.
#[derive(Clone, Copy)]
struct YuvToRgb {
    black: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
}

impl YuvToRgb {
    /// For pictures of this matrix (ITU-R BT.601-7 or BT.709-6, section 3) and range.
    fn new(matrix: Matrix, range: Range) -> Self {
        let (red_v, green_u, green_v, blue_u) = match matrix {
            Matrix::Bt601 => (1.402, -0.344_136, -0.714_136, 1.772),
            Matrix::Bt709 => (1.5748, -0.187_324, -0.468_124, 1.8556),
        };
        let (black, luma, chroma) = match range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let fixed = |factor: f64| (factor * 8192.0).round() as i16;
        Self {
            black,
            luma: fixed(luma),
            red_v: fixed(red_v * chroma),
            green_u: fixed(green_u * chroma),
            green_v: fixed(green_v * chroma),
            blue_u: fixed(blue_u * chroma),
        }
    }

    /// Converts a row; all slices have the length of `y`.
    fn row(&self, [y, u, v]: [&[u8]; 3], [r, g, b]: [&mut [u8]; 3]) {
        let n = y.len();
        let (u, v) = (&u[..n], &v[..n]);
        let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
        for i in 0..n {
            // 8 is half of the last digit, 1 makes up for the products being rounded down.
            let luma = upper(i16::from(y[i]) - self.black, self.luma) + 9;
            let (u, v) = (i16::from(u[i]) - 128, i16::from(v[i]) - 128);
            r[i] = channel(luma + upper(v, self.red_v));
            g[i] = channel(luma + upper(u, self.green_u) + upper(v, self.green_v));
            b[i] = channel(luma + upper(u, self.blue_u));
        }
    }
}

/// The upper half of a product: `sample` with no, `factor` with 13, the result with 4 fractional bits.
fn upper(sample: i16, factor: i16) -> i16 {
    ((i32::from(sample << 7) * i32::from(factor)) >> 16) as i16
}

fn channel(fixed: i16) -> u8 {
    (fixed >> 4).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::super::colour::ColourSpace;
    use super::*;
    use crate::units::Size;

    #[test]
    fn rows_are_in_order_also_at_odd_sizes_and_mirrored() {
        let mut picture = I420::new(Size::new(3, 3));
        picture.planes_mut()[0].copy_from_slice(&[235, 16, 16, 16, 235, 16, 16, 16, 235]);
        let mut out = Vec::new();
        for (mirror, lit) in [(false, [0, 4, 8]), (true, [2, 4, 6])] {
            to_rgb(&picture, mirror, &mut out);
            assert_eq!(out.len(), 27);
            for (i, pixel) in out.chunks_exact(3).enumerate() {
                assert_eq!(pixel, [if lit.contains(&i) { 255 } else { 0 }; 3], "{i}");
            }
        }
    }

    #[test]
    fn rows_are_converted_as_single_colours_are() {
        for (matrix, range) in [Matrix::Bt601, Matrix::Bt709]
            .into_iter()
            .flat_map(|matrix| [(matrix, Range::Limited), (matrix, Range::Full)])
        {
            let convert = YuvToRgb::new(matrix, range);
            let space = ColourSpace::new(matrix, range);
            for i in 0..6 * 18 * 18 {
                let [y, u, v] = [i % 6 * 51, i / 6 % 18 * 15, i / 108 * 15].map(|s| s as u8);
                let (mut r, mut g, mut b) = ([0], [0], [0]);
                convert.row([&[y], &[u], &[v]], [&mut r, &mut g, &mut b]);
                let exact = space.rgb([y, u, v].map(f32::from));
                for (got, exact) in [(r, exact.r), (g, exact.g), (b, exact.b)] {
                    assert!(got[0].abs_diff(exact) <= 1, "{matrix:?} {range:?} {y} {u} {v}");
                }
            }
        }
    }
}
