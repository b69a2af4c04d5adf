//! The others' voices: from packets to the block that is played.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::thread::Outbox;
use super::{SoundEvent, VoiceStats};
use crate::media::audio::BLOCK;
use crate::media::chime::{Chime, Chimes};
use crate::media::jitter::VoicePacket;
use crate::media::level::{VoiceDetector, rms};
use crate::media::mix::{self, Mixer};
use crate::media::playout::Playout;
use crate::signal::message::PeerId;

/// Blocks between two reports of how voices come: one second.
const REPORT: u32 = 100;

/// Everybody whose voice comes.
#[derive(Default)]
pub(super) struct Hear {
    voices: Vec<Voice>,
    mixer: Mixer,
    chimes: Chimes,
    /// By how much a person's voice is multiplied; 1 where nothing was said. They outlive a voice: who
    /// comes back is as loud as before.
    volumes: BTreeMap<PeerId, f32>,
    blocks: u32,
    /// From the mixer to the ear; `None` where there is none.
    speaker: Option<Duration>,
}

struct Voice {
    peer: PeerId,
    playout: Playout,
    /// The volume that is wanted, and that of the last block's end.
    volume: f32,
    gain: f32,
    detector: VoiceDetector,
    talking: bool,
    heard: bool,
}

impl Hear {
    /// Nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.voices.is_empty()
    }

    pub(super) fn add(&mut self, peer: PeerId) {
        if self.voices.iter().any(|voice| voice.peer == peer) {
            return;
        }
        let volume = self.volumes.get(&peer).copied().unwrap_or(1.0);
        match Playout::new() {
            Ok(playout) => self.voices.push(Voice {
                peer,
                playout,
                volume,
                gain: volume,
                detector: VoiceDetector::default(),
                talking: false,
                heard: false,
            }),
            Err(error) => tracing::warn!("{peer} cannot be heard: {error}"),
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.voices.retain(|voice| voice.peer != *peer);
    }

    pub(super) fn packet(&mut self, peer: &PeerId, packet: VoicePacket) {
        if let Some(voice) = self.voices.iter_mut().find(|voice| voice.peer == *peer) {
            voice.playout.insert(packet);
        }
    }

    /// Sets the factor of somebody's voice, also of one who is still to come.
    pub(super) fn set_volume(&mut self, peer: PeerId, factor: f32) {
        for voice in self.voices.iter_mut().filter(|voice| voice.peer == peer) {
            voice.volume = factor;
        }
        self.volumes.insert(peer, factor);
    }

    /// Holds somebody's voice back for at least so long.
    pub(super) fn set_floor(&mut self, peer: &PeerId, floor: Duration) {
        for voice in self.voices.iter_mut().filter(|voice| voice.peer == *peer) {
            voice.playout.set_floor(floor);
        }
    }

    /// It takes so long from here to the ear; `None` where nobody listens.
    pub(super) fn set_speaker(&mut self, latency: Option<Duration>) {
        self.speaker = latency;
    }

    pub(super) fn ring(&mut self, chime: Chime) {
        self.chimes.ring(chime);
    }

    /// The 10 ms to be played from `now` on.
    pub(super) fn block(&mut self, now: Instant, sum: &mut [f32; BLOCK], out: &mut Outbox) {
        sum.fill(0.0);
        let mut block = [0.0; BLOCK];
        for voice in &mut self.voices {
            if voice.playout.fill(now, &mut block) && !voice.heard {
                voice.heard = true;
                out.send(SoundEvent::FirstAudio(voice.peer.clone()));
            }
            let talking = voice.detector.hear(rms(&block));
            if talking != voice.talking {
                voice.talking = talking;
                out.send(SoundEvent::Talking(voice.peer.clone(), talking));
            }
            mix::add(sum, &block, voice.gain, voice.volume);
            voice.gain = voice.volume;
        }
        self.chimes.add(sum);
        self.mixer.limit(sum);
        self.blocks += 1;
        if self.blocks >= REPORT {
            self.blocks = 0;
            self.report(out);
        }
    }

    fn report(&mut self, out: &mut Outbox) {
        for voice in &mut self.voices {
            let counts = voice.playout.take_counts();
            let total = (counts.played + counts.concealed).max(1);
            let held = voice.playout.delay();
            let stats = VoiceStats {
                jitter_ms: held.as_secs_f32() * 1e3,
                to_ear: self.speaker.map(|latency| held + latency),
                concealed: counts.concealed as f32 / total as f32,
                late: counts.late,
                lost: counts.lost,
            };
            out.send_or_drop(SoundEvent::PeerStats(voice.peer.clone(), stats));
        }
    }
}
