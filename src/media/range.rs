//! From the full sample range (JPEG, webcams' MJPEG) to the limited one, which video on the wire uses.

use super::frame::{I420, Range};

/// A luma sample: 0 to 255 becomes 16 to 235.
pub const fn luma(full: u8) -> u8 {
    ((full as u16 * 220 + 4224) >> 8) as u8
}

/// A colour sample: 0 to 255 becomes 16 to 240, and 128 stays.
pub const fn colour(full: u8) -> u8 {
    ((full as u16 * 225 + 4096) >> 8) as u8
}

/// Brings a picture of the full range to the limited one, in place.
pub fn limit(picture: &mut I420) {
    if picture.range == Range::Limited {
        return;
    }
    let [y, u, v] = picture.planes_mut();
    y.iter_mut().for_each(|sample| *sample = luma(*sample));
    u.iter_mut().chain(v).for_each(|sample| *sample = colour(*sample));
    picture.range = Range::Limited;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_within_one_of_the_exact_value() {
        for full in 0..=255u8 {
            let exact_luma = 16.0 + f32::from(full) * 219.0 / 255.0;
            let exact_colour = 128.0 + (f32::from(full) - 128.0) * 224.0 / 255.0;
            assert!((f32::from(luma(full)) - exact_luma).abs() < 1.0, "luma {full}");
            assert!(
                (f32::from(colour(full)) - exact_colour).abs() < 1.0,
                "colour {full}"
            );
        }
        assert_eq!((luma(0), luma(255)), (16, 235));
        assert_eq!((colour(0), colour(128), colour(255)), (16, 128, 240));
    }
}
