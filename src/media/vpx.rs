//! The binding of libvpx: one encoder and one decoder as owned values. The only `unsafe` code of the
//! crate; [`super::video`] is what the rest of it uses.
#![allow(unsafe_code)]

mod decoder;
mod encoder;

use std::ffi::CStr;

use vpx_sys as sys;

pub use self::decoder::{RawDecoder, announced_size};
pub use self::encoder::{RawEncoder, Settings, TICKS, Want};

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

fn empty_context() -> sys::vpx_codec_ctx_t {
    // SAFETY: the structure is plain C data for which all zeroes is a valid value (null pointers,
    // `VPX_CODEC_OK`); the init functions zero it again themselves.
    unsafe { std::mem::zeroed() }
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
