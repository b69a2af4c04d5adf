//! A picture's pixels as red, green, blue, for terminals that take pixels.

use super::colour::YuvToRgb;
use crate::media::frame::I420;

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

#[cfg(test)]
mod tests {
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
}
