//! How many bits a picture is worth, and how many it gets.

use crate::units::{Bitrate, Size};

/// What the usual voice takes on the line, with RTP, SRTP and header extensions.
pub const VOICE: Bitrate = Bitrate(VOICE_USUAL.0 + VOICE_HEADERS.0);

/// Of that, what is beside the codec's own bits: 50 packets a second.
const VOICE_HEADERS: Bitrate = Bitrate::kbps(20);

/// The voice's bits: where the line is too weak for more, as usual (speech of full band is clear), and the
/// most that can be heard.
const VOICE_LEAST: Bitrate = Bitrate::kbps(16);
const VOICE_USUAL: Bitrate = Bitrate::kbps(20);
const VOICE_MOST: Bitrate = Bitrate::kbps(40);

/// What the best voice takes: all that a call without pictures wants.
pub const VOICE_AT_BEST: Bitrate = Bitrate(VOICE_MOST.0 + VOICE_HEADERS.0);

/// The least on a line that can pay, while error correction takes its share.
const VOICE_CORRECTED: Bitrate = Bitrate::kbps(28);

/// Below this a line is weak, from that on it can pay.
const WEAK: Bitrate = Bitrate::kbps(100);
const WIDE: Bitrate = Bitrate::kbps(200);

/// The voice's part of a line, beside a picture and alone.
const BESIDE: f64 = 0.1;
const ALONE: f64 = 0.25;

/// Below this a picture is not worth sending, and the encoder cannot go.
pub const VIDEO_FLOOR: Bitrate = Bitrate::kbps(16);

/// The share of the estimate that is spent, so that retransmissions and control traffic fit.
const SPENT: f64 = 0.85;

/// How the voice is protected against loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protected {
    /// Little is lost.
    #[default]
    No,
    /// The codec's own error correction takes a part of its bits.
    Corrected,
    /// Each packet carries so many earlier ones again.
    Copied(u32),
}

/// What the voice's encoder gets of a `line`, which a picture may share: 16 to 40 kbit/s.
pub fn voice(line: Option<Bitrate>, picture: bool, protected: Protected) -> Bitrate {
    let Some(line) = line else {
        return VOICE_USUAL;
    };
    let (least, most) = match protected {
        _ if line < WEAK => (VOICE_LEAST, VOICE_LEAST),
        // Each bit is sent again and again.
        Protected::Copied(_) => (VOICE_USUAL, VOICE_USUAL),
        Protected::Corrected if line >= WIDE => (VOICE_CORRECTED, VOICE_MOST),
        _ => (VOICE_USUAL, VOICE_MOST),
    };
    let part = line.0 as f64 * if picture { BESIDE } else { ALONE };
    Bitrate(part as u64).clamp(least, most)
}

/// What a voice of so many `bits` takes on the line.
pub fn on_line(bits: Bitrate, protected: Protected) -> Bitrate {
    let copies = match protected {
        Protected::Copied(copies) => u64::from(copies),
        _ => 0,
    };
    Bitrate(bits.0 * (1 + copies) + VOICE_HEADERS.0)
}

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
/// leave after the voice, which is `protected` in some way.
pub fn granted(
    needed: Bitrate,
    estimate: Option<Bitrate>,
    limit: Option<Bitrate>,
    protected: Protected,
) -> Bitrate {
    let voice = on_line(voice(lesser(estimate, limit), true, protected), protected);
    let line = estimate.map_or(u64::MAX, |e| (e.0 as f64 * SPENT) as u64);
    let most = line.min(limit.map_or(u64::MAX, |l| l.0));
    Bitrate(needed.0.min(most.saturating_sub(voice.0))).max(VIDEO_FLOOR)
}

/// The lesser of a line's estimate and the user's limit, where there is one.
pub fn lesser(estimate: Option<Bitrate>, limit: Option<Bitrate>) -> Option<Bitrate> {
    estimate.into_iter().chain(limit).min()
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
        let (much, kbps) = (Bitrate::kbps(500), |n| Some(Bitrate::kbps(n)));
        let granted = |estimate, limit| granted(much, estimate, limit, Protected::No);
        assert_eq!(granted(None, None), much);
        assert_eq!(granted(None, kbps(140)), Bitrate::kbps(100));
        assert_eq!(granted(kbps(10), None), VIDEO_FLOOR);
    }

    #[test]
    fn a_voice_that_is_sent_three_times_leaves_less_to_the_picture() {
        let (much, line) = (Bitrate::kbps(500), Some(Bitrate::kbps(200)));
        let once = granted(much, line, None, Protected::No);
        let thrice = granted(much, line, None, Protected::Copied(2));
        assert_eq!(once.0 - thrice.0, 2 * VOICE_USUAL.0);
    }

    #[test]
    fn the_voice_grows_with_the_line() {
        let rate = |kbps, picture, protected| {
            let line = Some(Bitrate::kbps(kbps));
            voice(line, picture, protected).0 / 1_000
        };
        assert_eq!(voice(None, true, Protected::No), VOICE_USUAL);
        let alone: Vec<_> = [60, 100, 120, 900]
            .map(|line| rate(line, false, Protected::No))
            .into();
        assert_eq!(alone, [16, 25, 30, 40]);
        let beside: Vec<_> = [60, 150, 300, 900]
            .map(|line| rate(line, true, Protected::No))
            .into();
        assert_eq!(beside, [16, 20, 30, 40]);
        assert_eq!(rate(200, true, Protected::Corrected), 28);
        assert_eq!(rate(900, true, Protected::Copied(2)), 20);
    }
}
