//! One person talks to another over a simulated line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use facetty::media::audio::{BLOCK, FRAME, VoiceEncoder};
use facetty::media::jitter::{Counts, VoicePacket};
use facetty::media::playout::Playout;
use facetty::units::Bitrate;

use super::line::Line;

/// How the sender speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// Kilobits a second.
    pub kbit: u64,
    /// The loss that receivers report, 0 to 1.
    pub loss: f64,
    /// Each packet carries the two before it as well (RFC 2198).
    pub red: bool,
    /// Samples in a packet: [`FRAME`] or a small multiple of it.
    pub frame: usize,
}

/// What the other heard.
pub struct Heard {
    /// 48 kHz mono.
    pub sound: Vec<f32>,
    /// Of each 10 ms: a packet's voice was in it.
    pub voiced: Vec<bool>,
    pub counts: Counts,
    /// How long packets waited in the buffer until they were played, in milliseconds: the mean by the
    /// buffer's own account, over all seconds but the first five.
    pub delay: f64,
    /// The greatest of that account after the first minute.
    pub longest: f64,
    /// Samples concealed after the first minute.
    pub concealed_later: u64,
}

impl Heard {
    /// The share of what was made up, 0 to 1.
    pub fn concealed(&self) -> f64 {
        let Counts {
            played, concealed, ..
        } = self.counts;
        concealed as f64 / (played + concealed).max(1) as f64
    }
}

/// What is packed into packets; `None` where nothing is sent.
pub fn encode(voice: &[f32], speech: Speech) -> Vec<Option<Arc<[u8]>>> {
    let mut encoder = VoiceEncoder::new().expect("an encoder");
    encoder
        .tune(Bitrate::kbps(speech.kbit), speech.loss as f32)
        .expect("in range");
    let frames = voice.chunks_exact(speech.frame);
    frames
        .map(|frame| encoder.encode(frame, false).expect("a frame").map(Arc::from))
        .collect()
}

/// What is heard of `frames`, sent one after the other over `line`.
pub fn talk(frames: &[Option<Arc<[u8]>>], speech: Speech, line: &Line, seed: u64, start: Instant) -> Heard {
    let mut packets: Vec<Sent> = Vec::new();
    let units = speech.frame / FRAME;
    for (number, data) in frames.iter().enumerate() {
        if let Some(data) = data {
            packets.push((number * units, data.clone()));
        }
    }
    let bytes = |i: usize| {
        let copies = if speech.red { i.min(2) } else { 0 };
        let before = packets[i - copies..i].iter().map(|(_, data)| data.len() + 4);
        packets[i].1.len() + before.sum::<usize>()
    };
    let sent = (0..packets.len()).map(|i| (packets[i].0 as f64 * 20.0, bytes(i)));
    let came = line.carry(seed, sent);
    listen(&packets, &came, speech.red, frames.len() * units * 2 + 40, start)
}

/// A packet: its place in units of 20 ms, and what is in it.
pub type Sent = (usize, Arc<[u8]>);

/// What is heard of `packets` that come as told, in so many blocks of 10 ms.
pub fn listen(packets: &[Sent], came: &[(usize, f64)], red: bool, blocks: usize, start: Instant) -> Heard {
    let mut playout = Playout::new().expect("a decoder");
    let mut heard = Heard {
        sound: Vec::with_capacity(blocks * BLOCK),
        voiced: Vec::with_capacity(blocks),
        counts: Counts::default(),
        delay: 0.0,
        longest: 0.0,
        concealed_later: 0,
    };
    let mut arrivals = came.iter().peekable();
    let (mut known, mut seconds) = (vec![false; packets.len()], 0.0);
    for step in 0..blocks {
        let now_ms = step as f64 * 10.0;
        while let Some((index, at)) = arrivals.next_if(|(_, at)| *at <= now_ms) {
            let mut give = |i: usize| {
                if std::mem::replace(&mut known[i], true) {
                    return;
                }
                playout.insert(VoicePacket {
                    seq: i as u64,
                    time: packets[i].0 as u64 * FRAME as u64,
                    data: packets[i].1.clone(),
                    arrived: start + Duration::from_secs_f64(at / 1e3),
                });
            };
            give(*index);
            for before in 1..=if red { (*index).min(2) } else { 0 } {
                give(*index - before);
            }
        }
        let mut block = [0.0; BLOCK];
        let now = start + Duration::from_secs_f64(now_ms / 1e3);
        heard.voiced.push(playout.fill(now, &mut block));
        heard.sound.extend_from_slice(&block);
        if step % 100 == 99 {
            let delay = playout.delay().as_secs_f64() * 1e3;
            if step >= 500 {
                heard.delay += delay;
                seconds += 1.0;
            }
            let counts = playout.take_counts();
            if step >= 6_000 {
                heard.longest = heard.longest.max(delay);
                heard.concealed_later += counts.concealed;
            }
            let all = &mut heard.counts;
            all.played += counts.played;
            all.concealed += counts.concealed;
            all.lost += counts.lost;
            all.late += counts.late;
        }
    }
    heard.delay /= f64::max(seconds, 1.0);
    heard
}
