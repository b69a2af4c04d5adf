use proptest::prelude::*;

use super::*;
use crate::media::frame::{Matrix, Range};
use crate::media::scale::Scaler;
use crate::media::stamp;
use crate::media::test_picture::{NATIVE, TestPicture};

const CODECS: [VideoCodec; 2] = [VideoCodec::Vp9, VideoCodec::Vp8];

/// The test picture at 30 pictures a second, scaled as for a call, and the codec both ways.
struct Line {
    encoder: Encoder,
    decoder: Decoder,
    pool: Pool,
    source: TestPicture,
    native: I420,
    scaler: Scaler,
    next: u32,
}

/// What became of one picture.
struct Passed {
    sent: I420,
    shown: Picture,
    keyframe: bool,
    bytes: usize,
}

impl Line {
    fn new(codec: VideoCodec, size: Size, kbps: u64) -> Self {
        let config = EncoderConfig {
            codec,
            size,
            bitrate: Bitrate::kbps(kbps),
            fps: 30,
        };
        Self {
            encoder: Encoder::new(config).expect("a usual configuration"),
            decoder: Decoder::new(codec).expect("a decoder"),
            pool: Pool::default(),
            source: TestPicture::default(),
            native: I420::new(NATIVE),
            scaler: Scaler::default(),
            next: 0,
        }
    }

    /// Passes the next picture, stamped with its number where wanted.
    fn pass(&mut self, stamped: bool, force_keyframe: bool) -> Passed {
        let at = Duration::from_secs(1) * self.next / 30;
        self.source.draw(&mut self.native, at);
        if stamped {
            stamp::stamp(&mut self.native, self.next);
        }
        self.next += 1;
        let mut sent = I420::new(self.encoder.config().size);
        self.scaler.scale(&self.native, &mut sent);
        let encoded = self
            .encoder
            .encode(&sent, at, force_keyframe)
            .expect("a picture of its size");
        let encoded = encoded.expect("no picture is left out");
        let shown = self
            .decoder
            .decode(encoded.data, &mut self.pool)
            .expect("an undamaged frame");
        let shown = shown.expect("each frame shows a picture");
        Passed {
            sent,
            shown,
            keyframe: encoded.keyframe,
            bytes: encoded.data.len(),
        }
    }
}

/// Peak signal to noise ratio of luma, in decibels.
fn psnr(a: &I420, b: &I420) -> f64 {
    assert_eq!(a.size(), b.size());
    let (a, b) = (a.planes()[0].data, b.planes()[0].data);
    let square = |(&a, &b): (&u8, &u8)| f64::from(a.abs_diff(b)).powi(2);
    let error = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / error.max(1e-3)).log10()
}

#[test]
fn the_test_picture_looks_good_at_forty_kilobits() {
    for codec in CODECS {
        let mut line = Line::new(codec, Size::new(80, 46), 40);
        let (mut bytes, mut total, mut worst) = (0, 0.0, f64::MAX);
        for n in 0..300 {
            let passed = line.pass(false, false);
            assert_eq!(passed.keyframe, n == 0, "{codec}: key frames on request only");
            assert!(
                passed.bytes < 2500,
                "{codec}: frame {n} of {} bytes clogs a thin line",
                passed.bytes
            );
            let psnr = psnr(&passed.sent, &passed.shown);
            bytes += passed.bytes;
            total += psnr;
            worst = worst.min(psnr);
        }
        let kbps = bytes as f64 * 8.0 / 10.0 / 1000.0;
        assert!(kbps < 42.0, "{codec}: {kbps} kbit/s");
        assert!(total / 300.0 > 44.0, "{codec}: {} dB in the mean", total / 300.0);
        assert!(worst > 40.0, "{codec}: {worst} dB at worst");
    }
}

#[test]
fn every_stamp_is_read_behind_a_thin_line() {
    for codec in CODECS {
        let mut line = Line::new(codec, Size::new(80, 46), 40);
        for n in 0..300 {
            assert_eq!(stamp::read(&line.pass(true, false).shown), Some(n), "{codec}");
        }
    }
}

#[test]
fn a_key_frame_comes_when_it_is_asked_for() {
    for codec in CODECS {
        let mut line = Line::new(codec, Size::new(160, 90), 100);
        let key: Vec<bool> = (0..20)
            .map(|n| line.pass(false, n == 7 || n == 8).keyframe)
            .collect();
        let expected: Vec<bool> = (0..20).map(|n| [0, 7, 8].contains(&n)).collect();
        assert_eq!(key, expected, "{codec}");
    }
}

#[test]
fn odd_and_tiny_sizes_work() {
    for codec in CODECS {
        for (width, height) in [(1, 1), (2, 2), (3, 5), (16, 16), (81, 47), (33, 200), (161, 91)] {
            let size = Size::new(width, height);
            let mut line = Line::new(codec, size, 500);
            let passed = (0..10)
                .map(|_| line.pass(false, false))
                .last()
                .expect("ten pictures");
            assert_eq!(passed.shown.size(), size);
            let psnr = psnr(&passed.sent, &passed.shown);
            assert!(psnr > 30.0, "{codec} at {width}x{height}: {psnr} dB");
        }
    }
}

#[test]
fn colours_survive() {
    for codec in CODECS {
        let size = Size::new(64, 48);
        let mut line = Line::new(codec, size, 300);
        let mut red = I420::new(size);
        for (plane, sample) in red.planes_mut().into_iter().zip([81, 90, 240]) {
            plane.fill(sample);
        }
        let encoded = line
            .encoder
            .encode(&red, Duration::ZERO, false)
            .expect("a picture of its size");
        let data = encoded.expect("no picture is left out").data;
        let shown = line
            .decoder
            .decode(data, &mut line.pool)
            .expect("undamaged")
            .expect("a picture");
        let middle = shown.planes().map(|plane| plane.data[plane.data.len() / 2]);
        for (shown, sent) in middle.into_iter().zip([81u8, 90, 240]) {
            assert!(shown.abs_diff(sent) <= 4, "{codec}: {middle:?}");
        }
        assert_eq!(
            (shown.matrix, shown.range),
            (Matrix::Bt601, Range::Limited),
            "{codec}"
        );
    }
}

/// Sizes one after the other, each with whether VP9 needs a key frame for it.
const SIZES: [((u32, u32), bool); 10] = [
    ((320, 180), true),
    ((160, 90), false),
    ((80, 46), false),
    ((40, 24), false),
    ((80, 46), false),
    ((100, 60), false),
    ((320, 180), false),
    // Under half in one step.
    ((80, 46), true),
    ((160, 90), false),
    // Beyond the first size: a new encoder.
    ((640, 360), true),
];

#[test]
fn vp9_changes_size_without_a_key_frame_in_steps_of_a_half() {
    let mut line = Line::new(VideoCodec::Vp9, Size::new(320, 180), 150);
    for ((width, height), keyframe) in SIZES {
        let size = Size::new(width, height);
        line.encoder.set_size(size).expect("a usual size");
        for n in 0..12 {
            let passed = line.pass(false, false);
            assert_eq!(passed.shown.size(), size);
            assert_eq!(
                passed.keyframe,
                keyframe && n == 0,
                "at {width}x{height}, frame {n}"
            );
            let psnr = psnr(&passed.sent, &passed.shown);
            assert!(psnr > 27.0, "at {width}x{height}, frame {n}: {psnr} dB");
        }
    }
}

#[test]
fn size_after_size_without_a_picture_between_is_decodable() {
    for (codec, begun) in [
        (CODECS[0], false),
        (CODECS[0], true),
        (CODECS[1], false),
        (CODECS[1], true),
    ] {
        let mut line = Line::new(codec, Size::new(320, 180), 150);
        if begun {
            line.pass(false, false);
        }
        for sizes in [
            &[(160, 90), (80, 46)][..],
            &[(300, 170), (160, 90)],
            &[(80, 46), (320, 180)],
        ] {
            for &(width, height) in sizes {
                line.encoder
                    .set_size(Size::new(width, height))
                    .expect("a usual size");
            }
            for _ in 0..12 {
                line.pass(false, false);
            }
        }
    }
}

#[test]
fn vp8_changes_size_with_one_key_frame() {
    let mut line = Line::new(VideoCodec::Vp8, Size::new(320, 180), 150);
    for ((width, height), _) in SIZES {
        let changes = line.encoder.config().size != Size::new(width, height);
        line.encoder
            .set_size(Size::new(width, height))
            .expect("a usual size");
        for n in 0..6 {
            let keyframe = n == 0 && (changes || line.next == 0);
            assert_eq!(
                line.pass(false, false).keyframe,
                keyframe,
                "at {width}x{height}, frame {n}"
            );
        }
    }
}

#[test]
fn the_rate_follows_without_a_key_frame() {
    for codec in CODECS {
        let mut line = Line::new(codec, Size::new(320, 180), 400);
        let second = |line: &mut Line| -> usize {
            (0..60)
                .map(|_| line.pass(true, false))
                .skip(30)
                .map(|passed| passed.bytes)
                .sum()
        };
        let fast = second(&mut line);
        // A size that is given up before a picture was made of it takes no rate with it.
        line.encoder.set_size(Size::new(160, 90)).expect("a usual size");
        line.encoder.set_rate(Bitrate::kbps(80), 30);
        line.encoder.set_size(Size::new(320, 180)).expect("a usual size");
        let slow = second(&mut line);
        assert!(slow * 8 < 110_000, "{codec}: {slow} bytes in a second");
        assert!(fast > 2 * slow, "{codec}: {fast} bytes, then {slow}");
        assert!(!line.pass(false, false).keyframe);
    }
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let mut line = Line::new(VideoCodec::Vp9, Size::new(64, 48), 100);
    let error = line
        .encoder
        .encode(&I420::new(Size::new(48, 64)), Duration::ZERO, false);
    assert_eq!(
        error,
        Err(VideoError::WrongSize(Size::new(64, 48), Size::new(48, 64)))
    );
}

#[test]
fn an_impossible_size_is_an_error() {
    for codec in CODECS {
        for size in [Size::new(0, 10), Size::new(10, 0), Size::new(10, MAX_SIDE + 1)] {
            let config = EncoderConfig {
                codec,
                size,
                bitrate: Bitrate::kbps(100),
                fps: 30,
            };
            let error = Encoder::new(config).err();
            assert_eq!(error, Some(VideoError::BadSize(codec, size)));
            let mut encoder = Line::new(codec, Size::new(16, 16), 100).encoder;
            assert_eq!(encoder.set_size(size).err(), error);
            assert_eq!(encoder.config().size, Size::new(16, 16), "nothing has changed");
        }
    }
}

#[test]
fn without_its_key_frame_nothing_is_shown_and_with_the_next_one_all_is_well() {
    for codec in CODECS {
        let mut line = Line::new(codec, Size::new(160, 90), 100);
        line.pass(false, false);
        line.decoder = Decoder::new(codec).expect("a decoder");
        let picture = I420::new(Size::new(160, 90));
        let later = line
            .encoder
            .encode(&picture, Duration::from_secs(1), false)
            .expect("its size");
        let data = later.expect("no picture is left out").data;
        assert!(
            matches!(
                line.decoder.decode(data, &mut line.pool),
                Err(VideoError::Decode(..))
            ),
            "{codec}"
        );
        line.next = 60;
        assert!(line.pass(false, true).keyframe);
    }
}

#[test]
fn an_empty_frame_is_an_error() {
    for codec in CODECS {
        let mut decoder = Decoder::new(codec).expect("a decoder");
        assert!(decoder.decode(&[], &mut Pool::default()).is_err());
    }
}

#[test]
fn a_gigantic_picture_is_refused_before_memory_is_spent() {
    // A VP8 key frame's header: frame tag, start code, 16383 by 16383.
    let vp8 = [
        0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0, 0, 0,
    ];
    let mut decoder = Decoder::new(VideoCodec::Vp8).expect("a decoder");
    let error = decoder.decode(&vp8, &mut Pool::default());
    assert_eq!(error, Err(VideoError::TooLarge(Size::new(16_383, 16_383))));
    // VP9: marker, profile 0, key frame, shown; sync code; BT.601, limited; 65536 by 65536.
    let vp9 = [0x82, 0x49, 0x83, 0x42, 0x2f, 0xff, 0xff, 0xf0, 0, 0, 0, 0];
    let mut decoder = Decoder::new(VideoCodec::Vp9).expect("a decoder");
    let error = decoder.decode(&vp9, &mut Pool::default());
    assert!(
        matches!(error, Err(VideoError::TooLarge(size)) if size.width > 60_000),
        "{error:?}"
    );
}

/// A VP9 key frame's header for a picture with sides of `side`, a multiple of 16 up to 65536.
fn vp9_header(side: u32) -> Vec<u8> {
    let bits = u64::from(side - 1) << 16 | u64::from(side - 1);
    let mut header = vec![0x82, 0x49, 0x83, 0x42, 0x20 | (bits >> 28) as u8];
    header.extend_from_slice(&((bits << 4) as u32).to_be_bytes());
    header.resize(16, 0);
    header
}

#[test]
fn a_gigantic_picture_behind_a_small_one_is_refused_as_well() {
    let small = &frames(VideoCodec::Vp9)[0];
    let large = vp9_header(16_384);
    let too_large = Err(VideoError::TooLarge(Size::new(16_384, 16_384)));
    let decode = |packet: &[u8]| {
        let mut decoder = Decoder::new(VideoCodec::Vp9).expect("a decoder");
        decoder.decode(packet, &mut Pool::default())
    };
    assert_eq!(decode(&large), too_large);
    // Both in one superframe.
    let [a, b] = [small.len(), large.len()].map(|n| u16::try_from(n).expect("short").to_le_bytes());
    let superframe = [small, &large[..], &[0xc9], &a, &b, &[0xc9]].concat();
    assert_eq!(decode(&superframe), too_large);
    // One after the other without an index: the second one is not looked for.
    let shown = decode(&[small, &large[..]].concat()).expect("the first one is a picture");
    assert_eq!(shown.map(|picture| picture.size()), Some(Size::new(96, 64)));
}

#[test]
fn a_later_picture_that_grows_beyond_the_limit_is_refused() {
    let mut decoder = Decoder::new(VideoCodec::Vp9).expect("a decoder");
    let mut pool = Pool::default();
    decoder
        .decode(&frames(VideoCodec::Vp9)[0], &mut pool)
        .expect("a key frame");
    // Inter, shown, resilient; replaces the first reference; no reference has its size; 16 384 a side.
    let inter = [0x87, 0x01, 0x00, 0x00, 0x7f, 0xfe, 0x7f, 0xfe, 0, 0, 0, 0];
    assert_eq!(
        decoder.decode(&inter, &mut pool),
        Err(VideoError::TooLarge(Size::new(16_384, 16_384)))
    );
}

#[test]
fn names_are_read_and_written() {
    assert_eq!("vp9".parse(), Ok(VideoCodec::Vp9));
    assert_eq!("vp8".parse(), Ok(VideoCodec::Vp8));
    assert!(
        "h264"
            .parse::<VideoCodec>()
            .expect_err("not built")
            .to_string()
            .contains("vp9")
    );
    assert_eq!(CODECS.map(|codec| codec.to_string()), ["VP9", "VP8"]);
}

/// Frames of a short clip with a size change in it.
fn frames(codec: VideoCodec) -> Vec<Vec<u8>> {
    let mut line = Line::new(codec, Size::new(96, 64), 200);
    let mut frames = Vec::new();
    for n in 0..8u32 {
        let size = if n < 4 {
            Size::new(96, 64)
        } else {
            Size::new(64, 40)
        };
        line.encoder.set_size(size).expect("a usual size");
        let mut picture = I420::new(size);
        line.source
            .draw(&mut picture, Duration::from_millis(u64::from(n) * 300));
        let at = Duration::from_millis(u64::from(n) * 33);
        let encoded = line.encoder.encode(&picture, at, false).expect("its size");
        frames.push(encoded.expect("no picture is left out").data.to_vec());
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_does_no_harm(noise in proptest::collection::vec(any::<u8>(), 1..300)) {
        for codec in CODECS {
            let mut decoder = Decoder::new(codec).expect("a decoder");
            let _ = decoder.decode(&noise, &mut Pool::default());
        }
    }

    #[test]
    fn damage_does_no_harm_and_a_key_frame_heals_it(
        damage in proptest::collection::vec((0usize..8, any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of((0usize..8, any::<prop::sample::Index>())),
    ) {
        for codec in CODECS {
            let whole = frames(codec);
            let mut damaged = whole.clone();
            for (frame, at, mask) in &damage {
                let length = damaged[*frame].len();
                damaged[*frame][at.index(length)] ^= mask;
            }
            if let Some((frame, at)) = cut {
                let length = damaged[frame].len();
                damaged[frame].truncate(at.index(length).max(1));
            }
            let mut decoder = Decoder::new(codec).expect("a decoder");
            let mut pool = Pool::default();
            for frame in &damaged {
                let _ = decoder.decode(frame, &mut pool);
            }
            for frame in &whole {
                let shown = decoder.decode(frame, &mut pool);
                prop_assert!(matches!(shown, Ok(Some(_))), "{}: {:?}", codec, shown.err());
            }
        }
    }
}
