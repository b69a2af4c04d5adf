//! Pictures and voice as data: frames, codecs, the jitter buffer, and sources that need no device.

pub mod audio;
pub mod chime;
pub mod clean;
pub mod comfort;
pub mod drift;
pub mod frame;
pub mod gain;
pub mod jitter;
pub mod level;
pub mod mix;
pub mod parrot;
pub mod playout;
pub mod range;
pub mod resample;
pub mod scale;
pub mod stamp;
pub mod stretch;
pub mod sync;
pub mod test_picture;
pub mod tone;
pub mod video;
mod vp9;
mod vpx;
pub mod wav;
pub mod y4m;
