//! Video as on the wire: VP9 and VP8, encoder and decoder.
//!
//! Pictures are I420 in BT.601, limited range, on the way in; on the way out a decoded [`Picture`]
//! says what the stream named.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::frame::{I420, Picture, Pool};
use super::vpx::{Failure, Kind, RawDecoder, RawEncoder, Settings, TICKS, Want, announced_size};
use crate::units::{Bitrate, Size};

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// VP9, profile 0: the better picture, and most size changes need no key frame.
    Vp9,
    /// VP8 (RFC 6386): what every WebRTC endpoint has (RFC 7742).
    Vp8,
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vp9 => "VP9",
            Self::Vp8 => "VP8",
        })
    }
}

impl FromStr for VideoCodec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        match text {
            "vp9" => Ok(Self::Vp9),
            "vp8" => Ok(Self::Vp8),
            _ => Err(UnknownCodec(text.to_owned())),
        }
    }
}

/// A name that is no codec's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no video codec is called {0:?} (there are vp9 and vp8)")]
pub struct UnknownCodec(pub String);

/// Why a picture could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VideoError {
    /// No encoder for this size and rate.
    #[error("cannot make a {0} encoder for {width}x{height}: {2}", width = .1.width, height = .1.height)]
    NewEncoder(VideoCodec, Size, Failure),
    /// A change was refused.
    #[error("cannot change the {0} encoder: {1}")]
    Configure(VideoCodec, Failure),
    /// A side is zero or longer than [`MAX_SIDE`].
    #[error("{codec} pictures of {width}x{height} cannot be made", codec = .0, width = .1.width, height = .1.height)]
    BadSize(VideoCodec, Size),
    /// A picture was refused.
    #[error("cannot encode a picture as {0}: {1}")]
    Encode(VideoCodec, Failure),
    /// The picture has another size than the encoder.
    #[error("the encoder takes {}x{} pictures, not {}x{}", .0.width, .0.height, .1.width, .1.height)]
    WrongSize(Size, Size),
    /// No decoder.
    #[error("cannot make a {0} decoder: {1}")]
    NewDecoder(VideoCodec, Failure),
    /// The frame is damaged, not a frame, or refers to one that is missing: ask for a key frame.
    #[error("cannot decode a {0} frame: {1}")]
    Decode(VideoCodec, Failure),
    /// The sender's picture is larger than [`MAX_DECODED`].
    #[error("a picture of {}x{} is too large", .0.width, .0.height)]
    TooLarge(Size),
}

/// The most pixels that are decoded (4K UHD): beyond, memory would be the sender's to spend.
pub const MAX_DECODED: u64 = 3840 * 2160;

/// The longest side of a picture that is encoded.
pub const MAX_SIDE: u32 = 8192;

/// What an encoder is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderConfig {
    /// The codec.
    pub codec: VideoCodec,
    /// The pictures' size; each side 1 to [`MAX_SIDE`].
    pub size: Size,
    /// The target rate.
    pub bitrate: Bitrate,
    /// Pictures a second expected (1 to 60): what one lasts where its successor is not yet known.
    pub fps: u32,
}

/// Makes one stream of frames, at a constant bit rate and without delay.
pub struct Encoder {
    raw: RawEncoder,
    config: EncoderConfig,
    /// The size `raw` was made with: it cannot grow beyond.
    first_size: Size,
    /// The size of the last frame made by `raw`, which the next one refers to.
    last_size: Option<Size>,
    last_pts: Option<i64>,
}

/// A frame as it goes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<'a> {
    /// The frame's bytes.
    pub data: &'a [u8],
    /// Whether it can be decoded without any other.
    pub keyframe: bool,
    /// How coarse it is: 0 (best) to 63; a picture is blurred from about 50 on.
    pub quantizer: u8,
}

impl Encoder {
    /// An encoder; its first frame is a key frame.
    pub fn new(config: EncoderConfig) -> Result<Self, VideoError> {
        check_size(config)?;
        Ok(Self {
            raw: new_raw(config)?,
            config,
            first_size: config.size,
            last_size: None,
            last_pts: None,
        })
    }

    /// What it makes now.
    pub const fn config(&self) -> EncoderConfig {
        self.config
    }

    /// Encodes `picture`, which has the configured size, is BT.601 in limited range, and is to be
    /// shown at `pts` (since any fixed moment; growing). `None` where the rate control left it out.
    /// The bytes are the encoder's, until the next call.
    pub fn encode(
        &mut self,
        picture: &I420,
        pts: Duration,
        force_keyframe: bool,
    ) -> Result<Option<Encoded<'_>>, VideoError> {
        let EncoderConfig { codec, size, fps, .. } = self.config;
        if picture.size() != size {
            return Err(VideoError::WrongSize(size, picture.size()));
        }
        let mut want = self.fit()?;
        want.keyframe |= force_keyframe;
        let ticks = i64::try_from(pts.as_micros() * TICKS as u128 / 1_000_000).unwrap_or(i64::MAX / 2);
        let ticks = self.last_pts.map_or(ticks, |last| ticks.max(last + 1));
        self.last_pts = Some(ticks);
        let frame = self
            .raw
            .encode(picture, ticks, TICKS as u32 / fps.max(1), want)
            .map_err(|e| VideoError::Encode(codec, e))?;
        let Some(packet) = frame else {
            return Ok(None);
        };
        self.last_size = Some(size);
        Ok(Some(Encoded {
            data: packet.data,
            keyframe: packet.keyframe,
            quantizer: packet.quantizer,
        }))
    }

    /// Changes the target from the next picture on, without a key frame.
    pub fn set_rate(&mut self, bitrate: Bitrate, fps: u32) {
        self.config.bitrate = bitrate;
        self.config.fps = fps;
    }

    /// Changes the pictures' size from the next one on. VP9 does so without a key frame where neither
    /// side shrinks to under half nor grows beyond the size the encoder was made with; everything
    /// else makes one.
    pub fn set_size(&mut self, size: Size) -> Result<(), VideoError> {
        let config = EncoderConfig { size, ..self.config };
        check_size(config)?;
        self.config = config;
        Ok(())
    }

    /// Brings `raw` to what is configured, once for each frame made: size changes without a frame between
    /// them lead libvpx to refer to pictures that are out of proportion, and crash it.
    fn fit(&mut self) -> Result<Want, VideoError> {
        let config = self.config;
        if self.raw.settings().size == config.size {
            if self.raw.settings() != settings(config) {
                self.configure(config)?;
            }
            return Ok(Want::default());
        }
        let size = config.size;
        let grows = size.width > self.first_size.width || size.height > self.first_size.height;
        let Some(last) = self.last_size.filter(|_| !grows) else {
            self.raw = new_raw(config)?;
            self.first_size = size;
            self.last_size = None;
            return Ok(Want::default());
        };
        self.configure(config)?;
        Ok(Want {
            keyframe: 2 * size.width < last.width || 2 * size.height < last.height,
            // Golden and alternate references of several sizes ago would be too large to refer to.
            refresh: config.codec == VideoCodec::Vp9,
        })
    }

    fn configure(&mut self, config: EncoderConfig) -> Result<(), VideoError> {
        self.raw
            .configure(settings(config))
            .map_err(|e| VideoError::Configure(config.codec, e))
    }
}

fn check_size(config: EncoderConfig) -> Result<(), VideoError> {
    let sides = [config.size.width, config.size.height];
    match sides.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        true => Ok(()),
        false => Err(VideoError::BadSize(config.codec, config.size)),
    }
}

fn new_raw(config: EncoderConfig) -> Result<RawEncoder, VideoError> {
    RawEncoder::new(kind(config.codec), settings(config))
        .map_err(|e| VideoError::NewEncoder(config.codec, config.size, e))
}

/// Turns one stream of frames into pictures.
pub struct Decoder {
    raw: RawDecoder,
    codec: VideoCodec,
}

impl Decoder {
    /// A decoder that waits for its first key frame.
    pub fn new(codec: VideoCodec) -> Result<Self, VideoError> {
        let raw = RawDecoder::new(kind(codec)).map_err(|e| VideoError::NewDecoder(codec, e))?;
        Ok(Self { raw, codec })
    }

    /// Decodes one frame into a picture of `pool`; `None` where the frame shows nothing. An error
    /// stands until the next key frame.
    pub fn decode(&mut self, data: &[u8], pool: &mut Pool) -> Result<Option<Picture>, VideoError> {
        let failed = |e| VideoError::Decode(self.codec, e);
        if let Some(size) = announced_size(self.raw.kind(), data).map_err(failed)? {
            check_decoded(size)?;
        }
        let decoded = self.raw.decode(data, |decoded| {
            check_decoded(decoded.size)?;
            let picture = pool.make(decoded.size, |picture| {
                picture.matrix = decoded.matrix;
                picture.range = decoded.range;
                for (to, from) in picture.planes_mut().into_iter().zip(decoded.planes) {
                    let rows = from.data.chunks(from.stride);
                    for (to, from) in to.chunks_exact_mut(from.width).zip(rows) {
                        to.copy_from_slice(&from[..to.len()]);
                    }
                }
            });
            Ok(picture)
        });
        decoded.map_err(failed)?.transpose()
    }
}

fn check_decoded(size: Size) -> Result<(), VideoError> {
    match size.area() {
        ..=MAX_DECODED => Ok(()),
        _ => Err(VideoError::TooLarge(size)),
    }
}

fn kind(codec: VideoCodec) -> Kind {
    match codec {
        VideoCodec::Vp9 => Kind::Vp9,
        VideoCodec::Vp8 => Kind::Vp8,
    }
}

fn settings(config: EncoderConfig) -> Settings {
    Settings {
        size: config.size,
        kbps: u32::try_from(config.bitrate.0 / 1000)
            .unwrap_or(u32::MAX)
            .clamp(1, 1_000_000),
    }
}

#[cfg(test)]
mod tests;
