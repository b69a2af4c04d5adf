//! Pictures and voice as data: frames, codecs, the jitter buffer, and sources that need no device.

pub mod frame;
pub mod scale;
pub mod stamp;
pub mod test_picture;
pub mod video;
mod vpx;
pub mod y4m;
