//! Pictures and voice as data: frames, codecs, the jitter buffer, and sources that need no device.

pub mod frame;
