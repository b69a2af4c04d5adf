//! The encoder.

use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_ulong};
use std::ptr;

use vpx_sys as sys;
use vpx_sys::vp8e_enc_control_id as control;

use super::{Failure, Kind, check, empty_context, failure};
use crate::media::frame::I420;
use crate::units::Size;

/// What of an encoder's configuration can change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Picture size; each side 1 to 8192.
    pub size: Size,
    /// Target in kilobits per second.
    pub kbps: u32,
}

/// Ticks of [`RawEncoder::encode`]'s time in a second.
pub const TICKS: i64 = 90_000;

/// What one picture is encoded as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// A key frame.
    pub keyframe: bool,
    /// All reference frames are replaced by this one.
    pub refresh: bool,
}

/// One encoded picture, in the encoder's memory.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The codec's bytes.
    pub data: &'a [u8],
    /// It needs no other.
    pub keyframe: bool,
    /// How coarse it is: 0 (best) to 63.
    pub quantizer: u8,
}

/// A libvpx encoder for live pictures: constant bit rate, one thread, no delay, key frames only on
/// request.
pub struct RawEncoder {
    context: Box<sys::vpx_codec_ctx_t>,
    config: sys::vpx_codec_enc_cfg_t,
}

// SAFETY: libvpx keeps no thread-local state in a context; it may be used from any thread as long as
// from one at a time, which `&mut self` ensures.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    /// An encoder for `settings`.
    pub fn new(kind: Kind, settings: Settings) -> Result<Self, Failure> {
        // SAFETY: both functions only return the address of a static table.
        let interface = unsafe {
            match kind {
                Kind::Vp8 => sys::vpx_codec_vp8_cx(),
                Kind::Vp9 => sys::vpx_codec_vp9_cx(),
            }
        };
        let mut config = MaybeUninit::uninit();
        // SAFETY: `config` is valid for a write of the structure, which success initialises.
        let config = unsafe {
            check(sys::vpx_codec_enc_config_default(
                interface,
                config.as_mut_ptr(),
                0,
            ))?;
            config.assume_init()
        };
        let config = live(config, settings);
        let mut context = Box::new(empty_context());
        // SAFETY: the context is zeroed memory at an address that stays; the configuration outlives
        // the call, which copies it.
        check(unsafe {
            sys::vpx_codec_enc_init_ver(
                &raw mut *context,
                interface,
                &raw const config,
                0,
                sys::VPX_ENCODER_ABI_VERSION as c_int,
            )
        })?;
        let mut encoder = Self { context, config };
        for &(id, value) in controls(kind) {
            encoder.control(id, value)?;
        }
        Ok(encoder)
    }

    /// What it is configured for.
    pub fn settings(&self) -> Settings {
        let config = &self.config;
        Settings {
            size: Size::new(config.g_w, config.g_h),
            kbps: config.rc_target_bitrate,
        }
    }

    /// Changes size and rate in place. Between two sizes there must be a frame; see
    /// [`super::video::Encoder`] for which sizes are safe.
    pub fn configure(&mut self, settings: Settings) -> Result<(), Failure> {
        let config = live(self.config, settings);
        // SAFETY: the context is initialised; the configuration is valid for the call, which copies it.
        check(unsafe { sys::vpx_codec_enc_config_set(&raw mut *self.context, &raw const config) })
            .map_err(|_| self.failure())?;
        self.config = config;
        Ok(())
    }

    /// Encodes `picture`, which has the configured size, at `pts` lasting `duration` (both in
    /// [`TICKS`]; `pts` grows). `None` where the rate control left it out.
    pub fn encode(
        &mut self,
        picture: &I420,
        pts: i64,
        duration: u32,
        want: Want,
    ) -> Result<Option<Packet<'_>>, Failure> {
        assert_eq!(
            picture.size(),
            Size::new(self.config.g_w, self.config.g_h),
            "an encoder is fed pictures of its size"
        );
        let image = wrap(picture);
        let mut flags = 0;
        if want.keyframe {
            flags |= sys::VPX_EFLAG_FORCE_KF as i64;
        }
        if want.refresh {
            flags |= i64::from(sys::VP8_EFLAG_FORCE_GF | sys::VP8_EFLAG_FORCE_ARF);
        }
        // SAFETY: the context is initialised; the planes of `image` are borrowed from `picture`, have
        // the configured size and are only read, within this call.
        let answer = unsafe {
            sys::vpx_codec_encode(
                &raw mut *self.context,
                &raw const image,
                pts,
                c_ulong::from(duration),
                flags as _,
                sys::VPX_DL_REALTIME as c_ulong,
            )
        };
        check(answer).map_err(|_| self.failure())?;
        let quantizer = self.quantizer();
        let mut iter: sys::vpx_codec_iter_t = ptr::null();
        loop {
            // SAFETY: the context is initialised and `iter` belongs to this walk over its packets.
            let packet = unsafe { sys::vpx_codec_get_cx_data(&raw mut *self.context, &raw mut iter) };
            // SAFETY: a packet that is not null is valid until the next call of encode, which needs
            // `&mut self` and so ends the borrow returned here.
            let Some(packet) = (unsafe { packet.as_ref() }) else {
                return Ok(None);
            };
            if packet.kind != sys::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: the kind says that `frame` is the member set; `buf` holds `sz` bytes for as
            // long as the packet is valid.
            let (data, flags) = unsafe {
                let frame = packet.data.frame;
                assert!(!frame.buf.is_null(), "a frame has bytes");
                (
                    std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz),
                    frame.flags,
                )
            };
            return Ok(Some(Packet {
                data,
                keyframe: flags & sys::VPX_FRAME_IS_KEY != 0,
                quantizer,
            }));
        }
    }

    /// The quantizer of the last frame, 0 (best) to 63.
    fn quantizer(&mut self) -> u8 {
        let mut quantizer: c_int = 0;
        let id = control::VP8E_GET_LAST_QUANTIZER_64 as c_int;
        // SAFETY: the context is initialised and this control writes one int.
        let answer = unsafe { sys::vpx_codec_control_(&raw mut *self.context, id, &raw mut quantizer) };
        check(answer)
            .ok()
            .and_then(|()| u8::try_from(quantizer).ok())
            .unwrap_or(0)
    }

    fn control(&mut self, id: control, value: c_int) -> Result<(), Failure> {
        // SAFETY: the context is initialised and every control in `controls` takes one int.
        check(unsafe { sys::vpx_codec_control_(&raw mut *self.context, id as c_int, value) })
            .map_err(|_| self.failure())
    }

    fn failure(&mut self) -> Failure {
        failure(&mut self.context)
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        // SAFETY: the context was initialised by `new` and is not used afterwards.
        unsafe { sys::vpx_codec_destroy(&raw mut *self.context) };
    }
}

/// The controls of a live encoder, each with its reason.
fn controls(kind: Kind) -> &'static [(control, c_int)] {
    match kind {
        Kind::Vp8 => &[
            // Negative: a fixed speed, whatever the machine is doing; -12 costs 2 dB.
            (control::VP8E_SET_CPUUSED, -6),
            // Off: it smears small pictures.
            (control::VP8E_SET_NOISE_SENSITIVITY, 0),
            (control::VP8E_SET_TOKEN_PARTITIONS, 0),
            (control::VP8E_SET_MAX_INTRA_BITRATE_PCT, MAX_INTRA_PERCENT),
            (control::VP8E_SET_SCREEN_CONTENT_MODE, 0),
        ],
        Kind::Vp9 => &[
            (control::VP8E_SET_CPUUSED, 8),
            // Cyclic refresh: a still background is sharpened bit by bit.
            (control::VP9E_SET_AQ_MODE, 3),
            (control::VP9E_SET_NOISE_SENSITIVITY, 0),
            (control::VP9E_SET_TILE_COLUMNS, 0),
            (control::VP9E_SET_FRAME_PARALLEL_DECODING, 0),
            (control::VP8E_SET_MAX_INTRA_BITRATE_PCT, MAX_INTRA_PERCENT),
            (control::VP9E_SET_TUNE_CONTENT, 0),
            // BT.601, limited range: what every source delivers.
            (control::VP9E_SET_COLOR_SPACE, 1),
            (control::VP9E_SET_COLOR_RANGE, 0),
        ],
    }
}

/// A key frame is at most so many per cent of an average frame, so that it does not clog a thin line
/// (ten frames' worth: a third of a second at 30 fps).
const MAX_INTRA_PERCENT: c_int = 1000;

fn live(mut config: sys::vpx_codec_enc_cfg_t, settings: Settings) -> sys::vpx_codec_enc_cfg_t {
    config.g_w = settings.size.width;
    config.g_h = settings.size.height;
    config.rc_target_bitrate = settings.kbps.max(1);
    config.g_threads = 1;
    config.g_timebase = sys::vpx_rational_t {
        num: 1,
        den: TICKS as c_int,
    };
    // Lost packets are resent, or a key frame is asked for; resilience would cost bits always.
    config.g_error_resilient = 0;
    config.g_pass = sys::vpx_enc_pass::VPX_RC_ONE_PASS;
    config.g_lag_in_frames = 0;
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    config.rc_end_usage = sys::vpx_rc_mode::VPX_CBR;
    config.rc_min_quantizer = 2;
    config.rc_max_quantizer = 56;
    config.rc_undershoot_pct = 100;
    config.rc_overshoot_pct = 15;
    // Milliseconds of the target rate: how far the encoder may run ahead of the line.
    config.rc_buf_sz = 1000;
    config.rc_buf_initial_sz = 500;
    config.rc_buf_optimal_sz = 600;
    config.kf_mode = sys::vpx_kf_mode::VPX_KF_DISABLED;
    config
}

fn wrap(picture: &I420) -> sys::vpx_image_t {
    let size = picture.size();
    // SAFETY: the structure is plain C data for which all zeroes is a valid value (null pointers and
    // enumerations that have a zero).
    let mut image: sys::vpx_image_t = unsafe { std::mem::zeroed() };
    image.fmt = sys::vpx_img_fmt::VPX_IMG_FMT_I420;
    (image.w, image.h) = (size.width, size.height);
    (image.d_w, image.d_h) = (size.width, size.height);
    (image.x_chroma_shift, image.y_chroma_shift) = (1, 1);
    (image.bit_depth, image.bps) = (8, 12);
    for (i, plane) in picture.planes().into_iter().enumerate() {
        image.planes[i] = plane.data.as_ptr().cast_mut();
        image.stride[i] = plane.stride as c_int;
    }
    image
}
