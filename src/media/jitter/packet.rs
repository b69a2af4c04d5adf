//! What goes into a jitter buffer, and what comes out.

use std::sync::Arc;
use std::time::Instant;

/// A packet of voice as it came from the network.
#[derive(Clone, Debug)]
pub struct VoicePacket {
    /// The RTP sequence number, extended so that it never wraps.
    pub seq: u64,
    /// The RTP time of its first sample, 48 kHz, extended likewise.
    pub time: u64,
    /// The Opus packet.
    pub data: Arc<[u8]>,
    /// When it came.
    pub arrived: Instant,
}

/// What is to be played next.
#[derive(Clone, Debug)]
pub enum Next {
    /// This packet.
    Play(VoicePacket),
    /// So many samples lost, to be recovered from this packet, which follows them and comes next.
    Recover(Arc<[u8]>, usize),
    /// So many samples that did not come.
    Conceal(usize),
    /// So many samples of a pause.
    Pause(usize),
}

/// What would bring the delay nearer to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Keep,
    /// A shorter frame; with true even if it is heard.
    Shrink(bool),
    /// A longer frame.
    Grow,
}

/// Counts since the last time they were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples played from packets, recovered ones included.
    pub played: u64,
    /// Samples concealed because they did not come in time.
    pub concealed: u64,
    /// Packets that never came before their time.
    pub lost: u64,
    /// Packets that came after their time, or that there was no room for.
    pub late: u64,
}
