//! The binding of libvpx: one encoder and one decoder as owned values. The only `unsafe` code of the
//! crate; [`super::video`] is what the rest of it uses.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_uint, c_ulong};
use std::ptr;

use vpx_sys as sys;
use vpx_sys::vp8e_enc_control_id as control;

use super::frame::{I420, Matrix, Plane, Range};
use super::vp9::{self, Announced};
use crate::units::Size;

/// Which codec of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
}

/// What libvpx answered to a call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
}

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
    /// [`TICKS`]; `pts` grows). The frame and whether it is a key frame, or `None` where the rate
    /// control left it out.
    pub fn encode(
        &mut self,
        picture: &I420,
        pts: i64,
        duration: u32,
        want: Want,
    ) -> Result<Option<(&[u8], bool)>, Failure> {
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
            return Ok(Some((data, flags & sys::VPX_FRAME_IS_KEY != 0)));
        }
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

/// A libvpx decoder with one thread.
pub struct RawDecoder {
    context: Box<sys::vpx_codec_ctx_t>,
    kind: Kind,
    /// A VP9 frame with the index that makes it the only one.
    indexed: Vec<u8>,
}

// SAFETY: as for `RawEncoder`.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    /// A decoder that waits for its first key frame.
    pub fn new(kind: Kind) -> Result<Self, Failure> {
        let config = sys::vpx_codec_dec_cfg_t {
            threads: 1,
            w: 0,
            h: 0,
        };
        let mut context = Box::new(empty_context());
        // SAFETY: the context is zeroed memory at an address that stays; the configuration outlives
        // the call, which copies it.
        check(unsafe {
            sys::vpx_codec_dec_init_ver(
                &raw mut *context,
                decoder_interface(kind),
                &raw const config,
                0,
                sys::VPX_DECODER_ABI_VERSION as c_int,
            )
        })?;
        Ok(Self {
            context,
            kind,
            indexed: Vec::new(),
        })
    }

    /// Decodes one frame and lets `use_picture` see what it shows: the last picture, if any.
    pub fn decode<T>(
        &mut self,
        data: &[u8],
        use_picture: impl FnOnce(Decoded<'_>) -> T,
    ) -> Result<Option<T>, Failure> {
        let limit = c_uint::MAX as usize - vp9::INDEX_LEN;
        let Some(length) = c_uint::try_from(data.len())
            .ok()
            .filter(|_| (1..limit).contains(&data.len()))
        else {
            // An empty frame would tell VP8 to repeat the last picture.
            return Err(Failure {
                what: "the frame is empty".to_owned(),
            });
        };
        let (data, length) = if self.kind == Kind::Vp9 && !vp9::has_index(data) {
            // Without an index the library takes what follows the first frame for another one, of a
            // size that nobody has looked at.
            self.indexed.clear();
            self.indexed.extend_from_slice(data);
            self.indexed.extend_from_slice(&vp9::whole(length));
            (&self.indexed[..], length + vp9::INDEX_LEN as c_uint)
        } else {
            (data, length)
        };
        // SAFETY: the context is initialised; `data` is valid for `length` bytes and only read,
        // within this call.
        let answer = unsafe {
            sys::vpx_codec_decode(&raw mut *self.context, data.as_ptr(), length, ptr::null_mut(), 0)
        };
        check(answer).map_err(|_| failure(&mut self.context))?;
        let mut iter: sys::vpx_codec_iter_t = ptr::null();
        let mut last = None;
        loop {
            // SAFETY: the context is initialised and `iter` belongs to this walk over its pictures.
            let image = unsafe { sys::vpx_codec_get_frame(&raw mut *self.context, &raw mut iter) };
            // SAFETY: a picture that is not null is valid until the next call of decode.
            let Some(image) = (unsafe { image.as_ref() }) else {
                break;
            };
            last = Some(image);
        }
        let Some(image) = last else {
            return Ok(None);
        };
        // VP9 answers for the picture taken last, so this comes after taking it.
        if corrupted(&mut self.context) {
            return Err(Failure {
                what: "the picture is damaged".to_owned(),
            });
        }
        Ok(Some(use_picture(unwrap(image)?)))
    }

    /// The codec.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: the context was initialised by `new` and is not used afterwards.
        unsafe { sys::vpx_codec_destroy(&raw mut *self.context) };
    }
}

/// A decoded picture inside the decoder's memory.
pub struct Decoded<'a> {
    /// Its size in pixels.
    pub size: Size,
    /// The planes Y, U, V.
    pub planes: [Plane<'a>; 3],
    /// The colour matrix the stream names (BT.601 where it names none).
    pub matrix: Matrix,
    /// The sample range the stream names.
    pub range: Range,
}

/// The size that a packet asks the decoder for: of several frames in it, the largest. `None` where it
/// has only frames of a size that was decoded before.
///
/// # Errors
/// Where it holds what is no frame.
pub fn announced_size(kind: Kind, data: &[u8]) -> Result<Option<Size>, Failure> {
    if kind == Kind::Vp8 {
        return Ok(peeked_size(kind, data));
    }
    let mut largest = None;
    // A frame of no bytes stands for one that was lost.
    for frame in vp9::frames(data).filter(|frame| !frame.is_empty()) {
        match vp9::announced(frame) {
            Announced::Size(size) => {
                largest = largest
                    .into_iter()
                    .chain([size])
                    .max_by_key(|size: &Size| size.area());
            }
            Announced::Inherited => {}
            Announced::Unusable => {
                return Err(Failure {
                    what: "the header is damaged, or not of profile 0".to_owned(),
                });
            }
        }
    }
    Ok(largest)
}

/// The size in the one header of a VP8 key frame.
fn peeked_size(kind: Kind, data: &[u8]) -> Option<Size> {
    let mut info = sys::vpx_codec_stream_info_t {
        sz: size_of::<sys::vpx_codec_stream_info_t>() as c_uint,
        w: 0,
        h: 0,
        is_kf: 0,
    };
    let length = c_uint::try_from(data.len()).ok().filter(|&n| n > 0)?;
    // SAFETY: `data` is valid for `length` bytes and only read; `info` is valid and says its size.
    let answer = unsafe {
        sys::vpx_codec_peek_stream_info(decoder_interface(kind), data.as_ptr(), length, &raw mut info)
    };
    (check(answer).is_ok() && info.w > 0 && info.h > 0).then(|| Size::new(info.w, info.h))
}

fn decoder_interface(kind: Kind) -> *const sys::vpx_codec_iface {
    // SAFETY: both functions only return the address of a static table.
    unsafe {
        match kind {
            Kind::Vp8 => sys::vpx_codec_vp8_dx(),
            Kind::Vp9 => sys::vpx_codec_vp9_dx(),
        }
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

fn unwrap(image: &sys::vpx_image_t) -> Result<Decoded<'_>, Failure> {
    if image.fmt != sys::vpx_img_fmt::VPX_IMG_FMT_I420 {
        let what = format!("the picture is {:?}, not 8-bit 4:2:0", image.fmt);
        return Err(Failure { what });
    }
    let (width, height) = (image.d_w as usize, image.d_h as usize);
    let plane = |i: usize, width: usize, height: usize| {
        let stride = usize::try_from(image.stride[i])
            .ok()
            .filter(|&stride| stride >= width && width > 0 && height > 0)
            .ok_or_else(|| Failure {
                what: "the picture has no rows".to_owned(),
            })?;
        // SAFETY: libvpx lays out `height` rows of `width` samples, `stride` bytes apart, at
        // `planes[i]`, valid for as long as the image is; the last row need not be padded.
        let data = unsafe { std::slice::from_raw_parts(image.planes[i], stride * (height - 1) + width) };
        Ok(Plane {
            data,
            stride,
            width,
            height,
        })
    };
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    Ok(Decoded {
        size: Size::new(image.d_w, image.d_h),
        planes: [
            plane(0, width, height)?,
            plane(1, half_width, half_height)?,
            plane(2, half_width, half_height)?,
        ],
        matrix: match image.cs {
            sys::vpx_color_space::VPX_CS_BT_709 => Matrix::Bt709,
            _ => Matrix::Bt601,
        },
        range: match image.range {
            sys::vpx_color_range::VPX_CR_FULL_RANGE => Range::Full,
            sys::vpx_color_range::VPX_CR_STUDIO_RANGE => Range::Limited,
        },
    })
}

fn empty_context() -> sys::vpx_codec_ctx_t {
    // SAFETY: the structure is plain C data for which all zeroes is a valid value (null pointers,
    // `VPX_CODEC_OK`); the init functions zero it again themselves.
    unsafe { std::mem::zeroed() }
}

/// Whether the picture taken last is damaged, or refers to one that is.
fn corrupted(context: &mut sys::vpx_codec_ctx_t) -> bool {
    let mut corrupted: c_int = 0;
    let id = sys::vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED as c_int;
    // SAFETY: the context is initialised and this control writes one int.
    let answer = unsafe { sys::vpx_codec_control_(&raw mut *context, id, &raw mut corrupted) };
    check(answer).is_ok() && corrupted != 0
}

fn check(answer: sys::vpx_codec_err_t) -> Result<(), Failure> {
    if answer == sys::vpx_codec_err_t::VPX_CODEC_OK {
        return Ok(());
    }
    // SAFETY: the function returns a static string for every value.
    let text = unsafe { CStr::from_ptr(sys::vpx_codec_err_to_string(answer)) };
    Err(Failure {
        what: text.to_string_lossy().into_owned(),
    })
}

fn failure(context: &mut sys::vpx_codec_ctx_t) -> Failure {
    // SAFETY: the context is initialised; both strings are static or live in it, and are copied here.
    let (error, detail) = unsafe {
        let detail = sys::vpx_codec_error_detail(&raw mut *context);
        (
            CStr::from_ptr(sys::vpx_codec_error(&raw mut *context))
                .to_string_lossy()
                .into_owned(),
            (!detail.is_null()).then(|| CStr::from_ptr(detail).to_string_lossy().into_owned()),
        )
    };
    Failure {
        what: match detail {
            Some(detail) => format!("{error}: {detail}"),
            None => error,
        },
    }
}
