//! Cameras' pixel formats to I420 in BT.601, limited range.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::media::frame::{I420, Matrix, Range};
use crate::media::range;
use crate::units::Size;

/// Decodes MJPEG; keeps its working memory from one picture to the next.
#[derive(Default)]
pub struct Converter {
    /// The decoded picture, Y, Cb and Cr of each pixel in turn (or Y alone).
    pixels: Vec<u8>,
}

impl Converter {
    /// Fills `to`, at the size it has, from a JPEG picture of that size; bytes after its end are
    /// ignored (a camera's buffer is longer than the picture in it).
    pub fn mjpeg(&mut self, data: &[u8], to: &mut I420) -> Result<(), String> {
        let size = to.size();
        let options = DecoderOptions::default().set_strict_mode(false);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
        decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
        let info = decoder.info().ok_or("a JPEG picture without a header")?;
        if Size::new(u32::from(info.width), u32::from(info.height)) != size {
            let Size { width, height } = size;
            return Err(format!(
                "a {}x{} picture instead of {width}x{height}",
                info.width, info.height
            ));
        }
        let colour = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => ColorSpace::Luma,
            _ => ColorSpace::YCbCr,
        };
        decoder.set_options(options.jpeg_set_out_colorspace(colour));
        let bytes = decoder.output_buffer_size().ok_or("a JPEG picture of no size")?;
        self.pixels.resize(bytes, 0);
        decoder
            .decode_into(&mut self.pixels)
            .map_err(|e| format!("{e:?}"))?;
        described(to);
        match colour {
            ColorSpace::Luma => grey(&self.pixels, to),
            _ => ycbcr(&self.pixels, to),
        }
        Ok(())
    }
}

/// Fills `to`, at the size it has, from rows of Y U Y V.
pub fn yuyv(data: &[u8], to: &mut I420) -> Result<(), String> {
    let (width, height) = (to.size().width as usize, to.size().height as usize);
    let row_len = width.next_multiple_of(2) * 2;
    let data = enough(data, row_len * height)?;
    described(to);
    let half_width = width.div_ceil(2);
    let [luma, u, v] = to.planes_mut();
    for (y, from) in data.chunks_exact(row_len).enumerate() {
        for (to, from) in luma[y * width..][..width].iter_mut().zip(from.iter().step_by(2)) {
            *to = *from;
        }
    }
    let colours = u.chunks_exact_mut(half_width).zip(v.chunks_exact_mut(half_width));
    for ((u, v), rows) in colours.zip(data.chunks(row_len * 2)) {
        let (upper, lower) = rows.split_at(row_len);
        let lower = if lower.is_empty() { upper } else { lower };
        let pairs = upper.chunks_exact(4).zip(lower.chunks_exact(4));
        for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(pairs) {
            *u = mean(upper[1], lower[1]);
            *v = mean(upper[3], lower[3]);
        }
    }
    Ok(())
}

/// Fills `to`, at the size it has, from a plane of Y and one of U V pairs.
pub fn nv12(data: &[u8], to: &mut I420) -> Result<(), String> {
    let area = to.size().area() as usize;
    let [_, u, v] = to.planes();
    let data = enough(data, area + u.data.len() + v.data.len())?;
    described(to);
    let [luma, u, v] = to.planes_mut();
    luma.copy_from_slice(&data[..area]);
    for ((u, v), pair) in u.iter_mut().zip(v).zip(data[area..].chunks_exact(2)) {
        (*u, *v) = (pair[0], pair[1]);
    }
    Ok(())
}

fn grey(pixels: &[u8], to: &mut I420) {
    let [luma, u, v] = to.planes_mut();
    for (to, from) in luma.iter_mut().zip(pixels) {
        *to = range::luma(*from);
    }
    u.fill(128);
    v.fill(128);
}

fn ycbcr(pixels: &[u8], to: &mut I420) {
    let width = to.size().width as usize;
    let half_width = width.div_ceil(2);
    let [luma, u, v] = to.planes_mut();
    for (to, from) in luma.iter_mut().zip(pixels.chunks_exact(3)) {
        *to = range::luma(from[0]);
    }
    // JPEG cameras sample colour at half the width at most, and the decoder has repeated or
    // interpolated it: every other column is all there is.
    let colours = u.chunks_exact_mut(half_width).zip(v.chunks_exact_mut(half_width));
    for ((u, v), rows) in colours.zip(pixels.chunks(width * 6)) {
        let (upper, lower) = rows.split_at(width * 3);
        let lower = if lower.is_empty() { upper } else { lower };
        let pixels = upper.chunks(6).zip(lower.chunks(6));
        for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(pixels) {
            *u = range::colour(mean(upper[1], lower[1]));
            *v = range::colour(mean(upper[2], lower[2]));
        }
    }
}

fn mean(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b)).div_ceil(2)) as u8
}

fn enough(data: &[u8], len: usize) -> Result<&[u8], String> {
    data.get(..len)
        .ok_or_else(|| format!("a picture of {} bytes instead of {len}", data.len()))
}

fn described(to: &mut I420) {
    to.matrix = Matrix::Bt601;
    to.range = Range::Limited;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours at three quarters with their Y, U, V in BT.601, limited range.
    const COLOURS: [([u8; 3], [u8; 3]); 5] = [
        ([191, 0, 0], [65, 100, 212]),
        ([0, 191, 0], [112, 72, 58]),
        ([0, 0, 191], [35, 212, 114]),
        ([191, 191, 0], [162, 44, 142]),
        ([191, 191, 191], [180, 128, 128]),
    ];

    fn assert_plain(picture: &I420, expected: [u8; 3], tolerance: u8) {
        for (plane, expected) in picture.planes().into_iter().zip(expected) {
            for &sample in plane.data {
                assert!(
                    sample.abs_diff(expected) <= tolerance,
                    "{sample} instead of {expected}"
                );
            }
        }
    }

    #[test]
    fn mjpeg_keeps_its_colours_and_tolerates_what_follows() {
        for (rgb, expected) in COLOURS {
            for (width, height) in [(64, 48), (33, 17), (1, 1)] {
                let mut data = Vec::new();
                image::codecs::jpeg::JpegEncoder::new_with_quality(&mut data, 90)
                    .encode_image(&image::RgbImage::from_pixel(width, height, image::Rgb(rgb)))
                    .expect("memory takes everything");
                data.resize(data.len() + 10_000, 0);
                let mut picture = I420::new(Size::new(width, height));
                Converter::default()
                    .mjpeg(&data, &mut picture)
                    .expect("a whole picture");
                assert_plain(&picture, expected, 2);
            }
        }
    }

    #[test]
    fn grey_mjpeg_is_grey() {
        let mut data = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut data, 90)
            .encode_image(&image::GrayImage::from_pixel(16, 16, image::Luma([255])))
            .expect("memory takes everything");
        let mut picture = I420::new(Size::new(16, 16));
        Converter::default()
            .mjpeg(&data, &mut picture)
            .expect("a whole picture");
        assert_plain(&picture, [235, 128, 128], 1);
    }

    #[test]
    fn damaged_mjpeg_is_an_error_or_a_picture_but_no_panic() {
        let mut data = Vec::new();
        let image = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 77]));
        image::codecs::jpeg::JpegEncoder::new(&mut data)
            .encode_image(&image)
            .expect("memory takes everything");
        let mut converter = Converter::default();
        let mut picture = I420::new(Size::new(64, 64));
        assert!(converter.mjpeg(b"", &mut picture).is_err());
        assert!(converter.mjpeg(&data[..100], &mut picture).is_err());
        assert!(
            converter.mjpeg(&data, &mut I420::new(Size::new(32, 32))).is_err(),
            "another size"
        );
        for at in 0..data.len() {
            let mut damaged = data.clone();
            damaged[at] ^= 0x5a;
            let _ = converter.mjpeg(&damaged, &mut picture);
            let _ = converter.mjpeg(&data[..at], &mut picture);
        }
    }

    #[test]
    fn yuyv_is_shuffled_into_planes() {
        for (_, yuv @ [y, u, v]) in COLOURS {
            for (width, height) in [(64u32, 48u32), (34, 17), (33, 1)] {
                let pairs = width.div_ceil(2) * height;
                let data: Vec<u8> = (0..pairs).flat_map(|_| [y, u, y, v]).chain([0; 99]).collect();
                let mut picture = I420::new(Size::new(width, height));
                yuyv(&data, &mut picture).expect("a whole picture");
                assert_plain(&picture, yuv, 0);
            }
        }
        let rows = [[1, 10, 2, 20, 3, 30, 4, 40], [5, 12, 6, 24, 7, 36, 8, 48]].concat();
        let mut picture = I420::new(Size::new(4, 2));
        yuyv(&rows, &mut picture).expect("a whole picture");
        assert_eq!(picture.bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 11, 33, 22, 44]);
        assert!(yuyv(&rows[1..], &mut picture).is_err());
    }

    #[test]
    fn nv12_is_shuffled_into_planes() {
        let data = [1, 2, 3, 4, 5, 6, 7, 8, 11, 22, 33, 44, 99, 99];
        let mut picture = I420::new(Size::new(4, 2));
        nv12(&data, &mut picture).expect("a whole picture");
        assert_eq!(picture.bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 11, 33, 22, 44]);
        assert!(nv12(&data[..11], &mut picture).is_err());
    }
}
