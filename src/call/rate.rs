//! How many bits a picture is worth, and how many it gets.

use crate::units::{Bitrate, Size};

/// What the voice takes on the line, with RTP, SRTP and header extensions.
pub const VOICE: Bitrate = Bitrate::kbps(40);

/// Below this a picture is not worth sending, and the encoder cannot go.
pub const VIDEO_FLOOR: Bitrate = Bitrate::kbps(16);

/// The share of the estimate that is spent, so that retransmissions and control traffic fit.
const SPENT: f64 = 0.85;

/// What a picture of `size` at `fps` needs to look good through VP9 at terminal sizes.
///
/// Detail does not grow with area, nor bits with frames: the exponents are fitted to the rates at
/// which libvpx gives 35 dB or more (80x46 at 30 fps: 34 kbit/s; 320x240: 230 kbit/s).
pub fn needed(size: Size, fps: u32) -> Bitrate {
    let pixels = (size.area() as f64).powf(0.78);
    let frames = (f64::from(fps) / 30.0).powf(0.7);
    Bitrate((56.0 * pixels * frames) as u64).max(VIDEO_FLOOR)
}

/// What the picture gets of a line: `needed`, but no more than the `estimate` and the user's `limit`
/// leave after the voice.
pub fn granted(needed: Bitrate, estimate: Option<Bitrate>, limit: Option<Bitrate>) -> Bitrate {
    let line = estimate.map_or(u64::MAX, |e| (e.0 as f64 * SPENT) as u64);
    let most = line.min(limit.map_or(u64::MAX, |l| l.0));
    Bitrate(needed.0.min(most.saturating_sub(VOICE.0))).max(VIDEO_FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_needs_tens_of_kilobits() {
        let small = needed(Size::new(80, 46), 30).as_kbps();
        assert!((30.0..40.0).contains(&small), "{small}");
        assert!(needed(Size::new(320, 240), 30).as_kbps() > 200.0);
        assert!(needed(Size::new(80, 46), 10) < needed(Size::new(80, 46), 30));
    }

    #[test]
    fn the_voice_comes_first() {
        let much = Bitrate::kbps(500);
        assert_eq!(granted(much, None, None), much);
        assert_eq!(granted(much, None, Some(Bitrate::kbps(140))), Bitrate::kbps(100));
        assert_eq!(granted(much, Some(Bitrate::kbps(10)), None), VIDEO_FLOOR);
    }
}
