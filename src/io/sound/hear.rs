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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::io::clock;
    use crate::media::audio::{FRAME, RATE, VoiceEncoder};

    fn peer(number: usize) -> PeerId {
        PeerId::try_from(format!("p{number}")).expect("a good name")
    }

    /// The pitch of somebody's voice: the packets repeat after 20 ms.
    fn pitch(number: usize) -> f32 {
        350.0 + 150.0 * number as f32
    }

    /// Some who hum, each at a pitch of their own.
    struct Choir {
        hear: Hear,
        out: Outbox,
        _told: Receiver<SoundEvent>,
        encoders: Vec<VoiceEncoder>,
        frames: u64,
        start: Instant,
    }

    impl Choir {
        fn new(people: usize) -> Self {
            let (events, told) = channel(8_192);
            let mut hear = Hear::default();
            (0..people).for_each(|number| hear.add(peer(number)));
            Self {
                hear,
                out: Outbox {
                    events,
                    waiting: VecDeque::new(),
                },
                _told: told,
                encoders: (0..people)
                    .map(|_| VoiceEncoder::new().expect("an encoder"))
                    .collect(),
                frames: 0,
                start: clock::now(),
            }
        }

        /// A second passes; what is heard of its last half.
        fn second(&mut self, loud: f32) -> Vec<f32> {
            let mut heard = Vec::new();
            for _ in 0..50 {
                let now = self.start + Duration::from_millis(20 * self.frames);
                for (number, encoder) in self.encoders.iter_mut().enumerate() {
                    let turn = pitch(number) / RATE as f32 * std::f32::consts::TAU;
                    let frame: [f32; FRAME] = std::array::from_fn(|i| loud * (turn * i as f32).sin());
                    let packet = VoicePacket {
                        seq: self.frames,
                        time: self.frames * FRAME as u64,
                        data: encoder
                            .encode(&frame, true)
                            .expect("a frame")
                            .expect("it is loud")
                            .into(),
                        arrived: now,
                    };
                    self.hear.packet(&peer(number), packet);
                }
                for half in 0..2 {
                    let mut block = [0.0; BLOCK];
                    let now = now + Duration::from_millis(10 * half);
                    self.hear.block(now, &mut block, &mut self.out);
                    heard.extend_from_slice(&block);
                }
                self.frames += 1;
            }
            heard.split_off(heard.len() / 2)
        }
    }

    fn strength(sound: &[f32], pitch: f32) -> f32 {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in sound.iter().enumerate() {
            let angle = i as f32 * pitch / RATE as f32 * std::f32::consts::TAU;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / sound.len() as f32
    }

    #[test]
    fn any_number_is_heard_at_once_and_never_clips() {
        for people in [1, 3, 12] {
            let mut choir = Choir::new(people);
            choir.second(0.2);
            let heard = choir.second(0.2);
            let most = heard.iter().fold(0.0_f32, |most, s| most.max(s.abs()));
            assert!(most <= 0.98, "{people}: {most}");
            for number in 0..people {
                let part = strength(&heard, pitch(number));
                assert!(part > 0.2 / 6.0, "{number} of {people}: {part}");
            }
            // A limiter that distorts would be heard where nobody hums.
            let between = strength(&heard, pitch(0) + 75.0);
            assert!(between < 0.01, "{people}: {between}");
        }
    }

    #[test]
    fn a_persons_volume_is_theirs_and_outlives_their_leave() {
        let mut choir = Choir::new(2);
        choir.hear.set_volume(peer(0), 0.25);
        choir.second(0.2);
        let heard = choir.second(0.2);
        let (faint, whole) = (strength(&heard, pitch(0)), strength(&heard, pitch(1)));
        assert!((faint / whole - 0.25).abs() < 0.05, "{faint} of {whole}");
        choir.hear.remove(&peer(0));
        choir.hear.add(peer(0));
        choir.second(0.2);
        let heard = choir.second(0.2);
        let again = strength(&heard, pitch(0));
        assert!((again - faint).abs() < 0.01, "{again}, and {faint} before");
        choir.hear.set_volume(peer(0), 0.0);
        choir.second(0.2);
        assert!(strength(&choir.second(0.2), pitch(0)) < 0.002);
    }
}
