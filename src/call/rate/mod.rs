//! How many bits a picture is worth, and how many it gets.

pub mod fit;
pub mod line;
pub mod load;
mod queue;
pub mod ration;

use crate::media::audio::FRAME;
use crate::units::{Bitrate, Size};

/// What the usual voice takes on the line, with RTP, SRTP and header extensions.
pub const VOICE: Bitrate = Bitrate(VOICE_USUAL.0 + VOICE_HEADERS.0);

/// Of that, what is beside the codec's own bits: 50 packets a second.
const VOICE_HEADERS: Bitrate = Bitrate::kbps(16);

/// The voice's bits: on lines that carry nothing else, on the thinnest lines, on thin ones, where the line is too weak for more, as usual
/// (speech of full band is clear), and the most that can be heard.
const VOICE_BAREST: Bitrate = Bitrate::kbps(6);
const VOICE_BARE: Bitrate = Bitrate::kbps(9);
const VOICE_THIN: Bitrate = Bitrate::kbps(12);
const VOICE_LEAST: Bitrate = Bitrate::kbps(16);
const VOICE_USUAL: Bitrate = Bitrate::kbps(20);
const VOICE_MOST: Bitrate = Bitrate::kbps(40);

/// What the best voice takes: all that a call without pictures wants.
pub const VOICE_AT_BEST: Bitrate = Bitrate(VOICE_MOST.0 + VOICE_HEADERS.0);

/// The least on a line that can pay, while error correction takes its share.
const VOICE_CORRECTED: Bitrate = Bitrate::kbps(28);

/// Below these a line carries a voice alone, is bare, thin, or weak; from the last one on it can pay.
const BAREST: Bitrate = Bitrate::kbps(26);
const BARE: Bitrate = Bitrate::kbps(40);
const THIN: Bitrate = Bitrate::kbps(64);
const WEAK: Bitrate = Bitrate::kbps(100);
const WIDE: Bitrate = Bitrate::kbps(200);

/// The voice's part of a line, beside a picture and alone.
const BESIDE: f64 = 0.1;
const ALONE: f64 = 0.25;

/// What a limit must leave to a picture.
pub const VIDEO_FLOOR: Bitrate = Bitrate::kbps(20);

/// The share of the line that is spent, so that what is sent again fits; below that rate str0m fills the
/// rest with padding anyway; and what reports of what came take of it.
const SPENT: f64 = 0.85;
const FILLED: Bitrate = Bitrate::kbps(60);
const REPORTS: Bitrate = Bitrate::kbps(8);

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

/// What the voice's encoder gets of a `line`, which a picture may share: 6 to 40 kbit/s.
pub fn voice(line: Option<Bitrate>, picture: bool, protected: Protected) -> Bitrate {
    let Some(line) = line else {
        return VOICE_USUAL;
    };
    let (least, most) = match protected {
        _ if line < BAREST => (VOICE_BAREST, VOICE_BAREST),
        _ if line < BARE => (VOICE_BARE, VOICE_BARE),
        _ if line < THIN => (VOICE_THIN, VOICE_THIN),
        _ if line < WEAK => (VOICE_LEAST, VOICE_LEAST),
        // Each bit is sent again and again.
        Protected::Copied(_) => (VOICE_USUAL, VOICE_USUAL),
        Protected::Corrected if line >= WIDE => (VOICE_CORRECTED, VOICE_MOST),
        _ => (VOICE_USUAL, VOICE_MOST),
    };
    let part = line.0 as f64 * if picture { BESIDE } else { ALONE };
    Bitrate(part as u64).clamp(least, most)
}

/// Samples of voice in a packet on a `line`: 20 ms, and more where headers would eat it up.
pub fn voice_frame(line: Bitrate) -> usize {
    match line {
        _ if line < THIN => 3 * FRAME,
        _ if line < WEAK => 2 * FRAME,
        _ => FRAME,
    }
}

/// What a voice of so many `bits` in packets of `frame` samples takes on the line.
pub fn on_line(bits: Bitrate, frame: usize, protected: Protected) -> Bitrate {
    let copies = match protected {
        Protected::Copied(copies) => u64::from(copies),
        _ => 0,
    };
    Bitrate(bits.0 * (1 + copies) + VOICE_HEADERS.0 * FRAME as u64 / frame as u64)
}

/// What a picture of `size` at `fps` needs to look good through VP9 at terminal sizes.
///
/// Detail does not grow with area, nor bits with frames: the exponents are fitted to the rates at
/// which libvpx gives 35 dB or more (80x46 at 30 fps: 34 kbit/s; 320x240: 230 kbit/s).
pub fn needed(size: Size, fps: u32) -> Bitrate {
    let pixels = (size.area() as f64).powf(0.78);
    let frames = (f64::from(fps) / 30.0).powf(0.7);
    Bitrate((56.0 * pixels * frames) as u64)
}

/// What the picture gets of a `line`: `needed`, but no more than is left after the voice, which is
/// `protected` in some way.
pub fn granted(needed: Bitrate, line: Bitrate, protected: Protected) -> Bitrate {
    let voice = on_line(voice(Some(line), true, protected), voice_frame(line), protected);
    let spent = if line < FILLED { 1.0 } else { SPENT };
    let most = ((line.0 as f64 * spent) as u64).min(line.0.saturating_sub(REPORTS.0));
    Bitrate(needed.0.min(most.saturating_sub(voice.0)))
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
        let granted = |kbps| granted(Bitrate::kbps(500), Bitrate::kbps(kbps), Protected::No);
        assert_eq!(granted(2000), Bitrate::kbps(500));
        assert_eq!(granted(200).0, 170_000 - VOICE.0);
        assert_eq!(granted(10), Bitrate(0));
    }

    #[test]
    fn a_voice_that_is_sent_three_times_leaves_less_to_the_picture() {
        let (much, line) = (Bitrate::kbps(500), Bitrate::kbps(200));
        let once = granted(much, line, Protected::No);
        let thrice = granted(much, line, Protected::Copied(2));
        assert_eq!(once.0 - thrice.0, 2 * VOICE_USUAL.0);
    }

    #[test]
    fn the_voice_grows_with_the_line() {
        let rate = |kbps, picture, protected| {
            let line = Some(Bitrate::kbps(kbps));
            voice(line, picture, protected).0 / 1_000
        };
        assert_eq!(voice(None, true, Protected::No), VOICE_USUAL);
        let alone = [25, 50, 80, 100, 120, 900].map(|line| rate(line, false, Protected::No));
        assert_eq!(alone, [6, 12, 16, 25, 30, 40]);
        let beside = [25, 50, 80, 150, 300, 900].map(|line| rate(line, true, Protected::No));
        assert_eq!(beside, [6, 12, 16, 20, 30, 40]);
        assert_eq!(rate(200, true, Protected::Corrected), 28);
        assert_eq!(rate(900, true, Protected::Copied(2)), 20);
    }
}
