//! What the sound costs: everything between the device's rings and the packets, on one thread.

use std::time::Duration;

use facetty::io::clock;
use facetty::media::audio::{BLOCK, FRAME, VoiceEncoder};
use facetty::media::clean::cleaner;
use facetty::media::jitter::VoicePacket;
use facetty::media::level::rms;
use facetty::media::mix::{self, Mixer};
use facetty::media::playout::Playout;
use facetty::media::resample::Resampler;
use facetty::units::Bitrate;

use super::speech::speech;
use super::talk::{Speech, encode};
use super::{Bound, row};

const SECONDS: usize = 60;

pub fn measure() {
    let said = speech("en+f3", 0, SECONDS);
    row(
        "whole audio path, one person",
        path(&said, 1),
        Bound::AtMost(3.0),
        "% of a core",
    );
    row(
        "whole audio path, eight people",
        path(&said, 8),
        Bound::AtMost(8.0),
        "% of a core",
    );
}

/// The share of a core, in percent, that a call with so many others costs: devices of another rate and
/// clock, echo cancellation, encoding, decoding and mixing.
fn path(said: &[f32], people: usize) -> f64 {
    let speech = Speech {
        kbit: 20,
        loss: 0.05,
        red: false,
        frame: FRAME,
    };
    let frames = encode(said, speech);
    let mut voices: Vec<Playout> = (0..people).map(|_| Playout::new().expect("a decoder")).collect();
    let mut encoder = VoiceEncoder::new().expect("an encoder");
    encoder.tune(Bitrate::kbps(20), 0.05).expect("in range");
    let (mut cleaner, mut mixer) = (cleaner(true), Mixer::default());
    let (mut capture, mut playback) = (
        Resampler::giving(48_000, 48_000),
        Resampler::taking(48_000, 48_000),
    );
    let mut played = Resampler::giving(48_000, 48_000);
    let mut buffer = vec![0.0; playback.gives_at_most() + 1_000];
    let mut frame = [0.0; FRAME];
    let start = clock::now();
    let before = cpu();
    for step in 0..SECONDS * 100 {
        let now = start + Duration::from_millis(step as u64 * 10);
        if step % 2 == 0
            && let Some(data) = &frames[step / 2]
        {
            for voice in &mut voices {
                voice.insert(VoicePacket {
                    seq: step as u64 / 2,
                    time: step as u64 * BLOCK as u64,
                    data: data.clone(),
                    arrived: now,
                });
            }
        }
        let (mut sum, mut block) = ([0.0; BLOCK], [0.0; BLOCK]);
        for voice in &mut voices {
            voice.fill(now, &mut block);
            rms(&block);
            mix::add(&mut sum, &block, 1.0, 1.0);
        }
        mixer.limit(&mut sum);
        playback.run(&sum, &mut buffer);
        played.run(&buffer, &mut block);
        cleaner.played(&block);
        let at = step * BLOCK;
        let end = (at + capture.needs()).min(said.len());
        buffer[..end - at].copy_from_slice(&said[at..end]);
        capture.run(&buffer, &mut block);
        cleaner.clean(&mut block);
        frame[step % 2 * BLOCK..][..BLOCK].copy_from_slice(&block);
        if step % 2 == 1 {
            encoder.encode(&frame, false).expect("a frame");
        }
    }
    (cpu() - before) / SECONDS as f64 * 100.0
}

/// Seconds of a core that this thread has used.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
