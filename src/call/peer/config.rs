//! How str0m is set up.

use std::time::Duration;

use str0m::RtcConfig;
use str0m::format::{Codec, FormatParams};
use str0m::media::Frequency;
use str0m::rtp::Extension;

use super::protect::DISTANCES;
use crate::call::rate::line;
use crate::media::video::VideoCodec;

/// Frames that come after one that is not whole wait for it at most so many; then a key frame is asked for.
const HELD_BACK: usize = 16;

/// A check without an answer is made again after this, then after twice as long, and so on. Of two routers
/// each drops the other's first check, and str0m answers none with one of its own at once (RFC 8445,
/// 7.3.1.4), so this is what a hole takes to be punched.
const FIRST_CHECK_AGAIN: Duration = Duration::from_millis(100);

/// A connection that can send and receive `codecs` and Opus.
pub(super) fn config(codecs: &[VideoCodec]) -> RtcConfig {
    let mut config = RtcConfig::new()
        .clear_codecs()
        // No more than is used. A time in each packet costs 5 kbit/s of a call and serves an older
        // estimate than ours; without the orientation a browser turns its picture by itself.
        .clear_extension_map()
        .set_extension(3, Extension::TransportSequenceNumber)
        .set_extension(4, Extension::RtpMid)
        .enable_opus(true, true)
        .enable_bwe(Some(line::FIRST.0.into()))
        .set_reordering_size_audio(0)
        .set_reordering_size_video(HELD_BACK)
        .set_stats_interval(Some(line::TICK));
    config.set_initial_stun_rto(FIRST_CHECK_AGAIN);
    config.codec_config().set_red_distances(&DISTANCES);
    for codec in codecs {
        let (pt, rtx, format) = match codec {
            VideoCodec::Vp9 => (
                98,
                99,
                FormatParams {
                    profile_id: Some(0),
                    ..FormatParams::default()
                },
            ),
            VideoCodec::Vp8 => (96, 97, FormatParams::default()),
        };
        config.codec_config().add_config(
            pt.into(),
            Some(rtx.into()),
            to_str0m(*codec),
            Frequency::NINETY_KHZ,
            None,
            format,
        );
    }
    config
}

pub(super) fn to_str0m(codec: VideoCodec) -> Codec {
    match codec {
        VideoCodec::Vp9 => Codec::Vp9,
        VideoCodec::Vp8 => Codec::Vp8,
    }
}
