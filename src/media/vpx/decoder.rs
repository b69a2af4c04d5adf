//! The decoder.

use std::os::raw::{c_int, c_uint};
use std::ptr;

use vpx_sys as sys;

use super::{Failure, Kind, check, empty_context, failure};
use crate::media::frame::{Matrix, Plane, Range};
use crate::media::vp9::{self, Announced};
use crate::units::Size;

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

/// Whether the picture taken last is damaged, or refers to one that is.
fn corrupted(context: &mut sys::vpx_codec_ctx_t) -> bool {
    let mut corrupted: c_int = 0;
    let id = sys::vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED as c_int;
    // SAFETY: the context is initialised and this control writes one int.
    let answer = unsafe { sys::vpx_codec_control_(&raw mut *context, id, &raw mut corrupted) };
    check(answer).is_ok() && corrupted != 0
}
