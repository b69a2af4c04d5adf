//! One encoder at work for its target: which pictures it takes, at what size, and which of them are key
//! frames. Whoever owns it brings pictures and the time; the encode thread does, and so do simulations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EncodedVideo;
use super::targets::Target;
use crate::media::frame::I420;
use crate::media::scale::Scaler;
use crate::media::video::{Encoder, EncoderConfig, VideoError};

/// A picture that comes this much before its time at a lowered rate is still taken: a camera's clock and
/// ours are not the same.
const EARLY: Duration = Duration::from_millis(8);

/// An encoder that follows its target.
pub struct Feed {
    target: Target,
    encoder: Encoder,
    scaler: Scaler,
    scaled: I420,
    keyframes_made: u32,
    due: Instant,
}

impl Feed {
    /// An encoder for `target`; its first picture is a key frame.
    ///
    /// # Errors
    /// Where there is none for this size.
    pub fn new(target: Target, now: Instant) -> Result<Self, VideoError> {
        let encoder = Encoder::new(EncoderConfig {
            codec: target.codec,
            size: target.size,
            bitrate: target.bitrate,
            fps: target.fps,
        })?;
        Ok(Self {
            target,
            encoder,
            scaler: Scaler::default(),
            scaled: I420::new(target.size),
            keyframes_made: target.keyframes.wrapping_sub(1),
            due: now,
        })
    }

    /// What it is to make.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Follows a change of the target, in place.
    ///
    /// # Errors
    /// Where the encoder cannot.
    pub fn retarget(&mut self, target: Target) -> Result<(), VideoError> {
        if (target.bitrate, target.fps) != (self.target.bitrate, self.target.fps) {
            self.encoder.set_rate(target.bitrate, target.fps);
        }
        if target.size != self.target.size {
            self.encoder.set_size(target.size)?;
            self.scaled.resize(target.size);
        }
        self.target = target;
        Ok(())
    }

    /// A picture is wanted now: a fresh one whose time has come, or any for a key frame.
    pub fn wants(&self, is_fresh: bool, now: Instant) -> bool {
        !self.target.paused && (self.wants_keyframe() || (is_fresh && now + EARLY >= self.due))
    }

    fn wants_keyframe(&self) -> bool {
        self.keyframes_made != self.target.keyframes
    }

    /// Encodes a picture of any size, taken `time` after the call's start. `None` where the encoder left
    /// it out.
    ///
    /// # Errors
    /// Where the encoder refuses it.
    pub fn encode(
        &mut self,
        picture: &I420,
        time: Duration,
        now: Instant,
    ) -> Result<Option<EncodedVideo>, VideoError> {
        let keyframe = self.wants_keyframe();
        let step = Duration::from_secs(1) / self.target.fps.max(1);
        self.due = (self.due + step).max(now + step / 2);
        let picture = if picture.size() == self.target.size {
            picture
        } else {
            self.scaler.scale(picture, &mut self.scaled);
            &self.scaled
        };
        let Some(encoded) = self.encoder.encode(picture, time, keyframe)? else {
            return Ok(None);
        };
        if encoded.keyframe {
            self.keyframes_made = self.target.keyframes;
        }
        Ok(Some(EncodedVideo {
            target: self.target.id,
            data: Arc::from(encoded.data),
            keyframe: encoded.keyframe,
            quantizer: encoded.quantizer,
            time,
            took: Duration::ZERO,
        }))
    }
}
