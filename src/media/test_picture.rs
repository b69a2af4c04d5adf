//! The moving test picture: an evening sky, a drifting moon, colour bars and a clock. It is made to
//! look well in character cells and to cost little on the line: nearly all of it stands still.

use std::time::Duration;

use super::frame::I420;
use crate::units::Size;

/// The size it is meant for (16:9); it can be drawn at any.
pub const NATIVE: Size = Size::new(640, 360);

/// Draws the test picture.
#[derive(Default)]
pub struct TestPicture {
    /// All that does not move, at the size last asked for.
    still: I420,
}

impl TestPicture {
    /// Fills `to`, at the size it has, with the picture as it is `at` so long after its beginning.
    pub fn draw(&mut self, to: &mut I420, at: Duration) {
        let size = to.size();
        if size.area() == 0 {
            return;
        }
        if self.still.size() != size {
            self.still = still(size);
        }
        to.matrix = self.still.matrix;
        to.range = self.still.range;
        to.bytes_mut().copy_from_slice(self.still.bytes());
        draw_moon(to, at);
        draw_clock(to, at);
    }
}

/// Red, green, blue; each 0 to 1.
type Rgb = [f32; 3];

const SKY_TOP: Rgb = [0.06, 0.09, 0.26];
const SKY_LOW: Rgb = [0.78, 0.38, 0.42];
const MOON: Rgb = [1.0, 0.90, 0.62];
const DIGITS: Rgb = [0.97, 0.97, 1.0];
/// The bars of a test card at three quarters, left to right.
const BARS: [Rgb; 7] = [
    [0.75, 0.75, 0.75],
    [0.75, 0.75, 0.10],
    [0.10, 0.75, 0.75],
    [0.10, 0.70, 0.15],
    [0.72, 0.12, 0.72],
    [0.75, 0.12, 0.12],
    [0.12, 0.16, 0.75],
];

fn still(size: Size) -> I420 {
    let mut picture = I420::new(size);
    let bars_from = size.height - size.height / 8;
    paint(&mut picture, |x, y| {
        if y >= bars_from as f32 {
            let bar = (x / size.width as f32 * BARS.len() as f32) as usize;
            return BARS[bar.min(BARS.len() - 1)];
        }
        let down = y / bars_from as f32;
        mix(SKY_TOP, SKY_LOW, down * down)
    });
    picture
}

/// Sets every sample of `picture` by the colour at its centre, in pixels of the luma plane.
fn paint(picture: &mut I420, colour: impl Fn(f32, f32) -> Rgb) {
    let planes = picture.planes().map(|plane| (plane.width, plane.height));
    for (i, samples) in picture.planes_mut().into_iter().enumerate() {
        let (width, height) = planes[i];
        let step = if i == 0 { 1.0 } else { 2.0 };
        for (row, y) in samples.chunks_exact_mut(width).zip(0..height) {
            for (sample, x) in row.iter_mut().zip(0..width) {
                let at = colour((x as f32 + 0.5) * step, (y as f32 + 0.5) * step);
                *sample = yuv(at)[i];
            }
        }
    }
}

fn draw_moon(to: &mut I420, at: Duration) {
    let size = to.size();
    let (width, height) = (size.width as f32, size.height as f32);
    let seconds = at.as_secs_f32() % 3600.0;
    let turn = |period: f32| (seconds / period * std::f32::consts::TAU).sin();
    let radius = (height * 0.11).max(1.5);
    let centre = (
        width * (0.5 + 0.40 * turn(12.0)),
        height * (0.22 + 0.07 * turn(7.2)),
    );
    let colour = yuv(MOON);
    let planes = to.planes().map(|plane| (plane.width, plane.height));
    for (i, samples) in to.planes_mut().into_iter().enumerate() {
        let (plane_width, plane_height) = planes[i];
        let step = if i == 0 { 1.0 } else { 2.0 };
        let span = |centre: f32, limit: usize| {
            let first = ((centre - radius - 1.0) / step).floor().max(0.0) as usize;
            let last = ((centre + radius + 1.0) / step).ceil().max(0.0) as usize;
            first.min(limit)..last.min(limit)
        };
        for y in span(centre.1, plane_height) {
            for x in span(centre.0, plane_width) {
                let (dx, dy) = (
                    (x as f32 + 0.5) * step - centre.0,
                    (y as f32 + 0.5) * step - centre.1,
                );
                let inside = ((radius - (dx * dx + dy * dy).sqrt()) / step + 0.5).clamp(0.0, 1.0);
                blend(&mut samples[y * plane_width + x], colour[i], inside);
            }
        }
    }
}

fn draw_clock(to: &mut I420, at: Duration) {
    let size = to.size();
    let unit = ((size.width + 20) / 40).min(size.height / 11).max(1);
    let (minutes, seconds) = (at.as_secs() / 60 % 100, at.as_secs() % 60);
    let glyphs = [minutes / 10, minutes % 10, COLON, seconds / 10, seconds % 10];
    let columns: u32 = glyphs.iter().map(|&g| glyph_columns(g) + 1).sum::<u32>() - 1;
    let mut left = i64::from(size.width / 2) - i64::from(columns * unit / 2);
    // On even pixels, so that the colour planes agree with the luma plane.
    left &= !1;
    let top = i64::from(size.height * 46 / 100) & !1;
    for glyph in glyphs {
        draw_glyph(to, glyph, left, top, unit);
        left += i64::from((glyph_columns(glyph) + 1) * unit);
    }
}

fn draw_glyph(to: &mut I420, glyph: u64, left: i64, top: i64, unit: u32) {
    let white = yuv(DIGITS);
    let planes = to.planes().map(|plane| (plane.width, plane.height));
    for (i, samples) in to.planes_mut().into_iter().enumerate() {
        let (width, height) = planes[i];
        let shift = u32::from(i > 0);
        for (row, bits) in (0i64..).zip(GLYPHS[glyph as usize]) {
            for column in 0..i64::from(glyph_columns(glyph)) {
                if bits >> (4 - column) & 1 == 0 {
                    continue;
                }
                let side = i64::from(unit);
                let span = |first: i64, limit: usize| {
                    let clip = |n: i64| usize::try_from(n >> shift).unwrap_or(0).min(limit);
                    clip(first)..clip(first + side)
                };
                for y in span(top + row * side, height) {
                    samples[y * width..][span(left + column * side, width)].fill(white[i]);
                }
            }
        }
    }
}

const COLON: u64 = 10;

fn glyph_columns(glyph: u64) -> u32 {
    if glyph == COLON { 1 } else { 5 }
}

/// Digits of five by seven points, the leftmost in bit 4; the colon is one point wide.
const GLYPHS: [[u8; 7]; 11] = [
    [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
    [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b01110, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00001, 0b01110],
    [0b00000, 0b00000, 0b10000, 0b00000, 0b10000, 0b00000, 0b00000],
];

fn mix(from: Rgb, to: Rgb, part: f32) -> Rgb {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * part)
}

fn blend(sample: &mut u8, to: u8, part: f32) {
    let from = f32::from(*sample);
    *sample = (from + (f32::from(to) - from) * part + 0.5) as u8;
}

/// BT.601, limited range.
fn yuv([r, g, b]: Rgb) -> [u8; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    let colour = |difference: f32, span: f32| (128.0 + 224.0 * difference / span + 0.5) as u8;
    [
        (16.0 + 219.0 * y + 0.5) as u8,
        colour(b - y, 1.772),
        colour(r - y, 1.402),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(size: Size, millis: u64) -> I420 {
        let mut picture = I420::new(size);
        TestPicture::default().draw(&mut picture, Duration::from_millis(millis));
        picture
    }

    #[test]
    fn it_moves_and_keeps_time() {
        let size = Size::new(80, 46);
        assert_ne!(drawn(size, 0), drawn(size, 500), "the moon drifts");
        let digits = |picture: &I420| {
            let luma = picture.planes()[0];
            luma.data[luma.width * 24..luma.width * 36].to_vec()
        };
        assert_eq!(digits(&drawn(size, 0)), digits(&drawn(size, 900)));
        assert_ne!(digits(&drawn(size, 900)), digits(&drawn(size, 1000)));
        assert_ne!(digits(&drawn(size, 59_000)), digits(&drawn(size, 119_000)));
    }

    #[test]
    fn any_size_and_any_time_can_be_drawn() {
        for (width, height) in [
            (1, 1),
            (2, 2),
            (3, 5),
            (40, 12),
            (81, 47),
            (5, 300),
            (300, 5),
            (1280, 720),
        ] {
            for at in [Duration::ZERO, Duration::from_secs(3599), Duration::MAX] {
                let mut picture = I420::new(Size::new(width, height));
                TestPicture::default().draw(&mut picture, at);
            }
        }
        TestPicture::default().draw(&mut I420::default(), Duration::ZERO);
    }

    #[test]
    fn samples_keep_to_the_limited_range() {
        let picture = drawn(NATIVE, 1234);
        let [y, u, v] = picture.planes();
        assert!(y.data.iter().all(|s| (16..=235).contains(s)));
        assert!(u.data.iter().chain(v.data).all(|s| (16..=240).contains(s)));
    }
}
