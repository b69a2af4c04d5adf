//! Voice as Opus packets (RFC 6716): the only module that names the codec's library.
//!
//! Inside the program voice is 48 kHz, mono, `f32` from −1 to 1. A packet sent holds 20 to 60 ms; a
//! packet received may hold 2.5 to 120 ms and two channels, which are mixed to one while decoding.

use audiopus::coder::{Decoder, Encoder};
use audiopus::packet::Packet;
use audiopus::{Application, Channels, MutSignals, SampleRate, Signal};

use crate::units::Bitrate;

/// Samples in a second.
pub const RATE: u32 = 48_000;
/// Samples in a packet that is sent: 20 ms; on a weak line two or three times as many.
pub const FRAME: usize = 960;
/// Samples in the step by which sound is captured, mixed and played: 10 ms.
pub const BLOCK: usize = 480;
/// Samples in the longest packet there can be: 120 ms (RFC 6716, section 3.2.5).
pub const LONGEST: usize = 5760;
/// Bytes that an encoded frame never exceeds (RFC 6716, section 3.2.1).
const LARGEST: usize = 1275;
/// A packet this short says only that the silence goes on (RFC 6716, section 2.1.9).
const SILENT: usize = 2;

/// What the codec could not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {source}")]
pub struct CodecError {
    operation: &'static str,
    source: audiopus::Error,
}

/// Makes packets of voice.
pub struct VoiceEncoder {
    coder: Encoder,
    packet: Box<[u8; LARGEST]>,
    /// What is quiet is left out.
    saving: bool,
}

impl VoiceEncoder {
    /// An encoder tuned for speech: variable rate at 24 kbit/s, in-band error correction, nothing to
    /// send in silence.
    pub fn new() -> Result<Self, CodecError> {
        let failed = |source| CodecError {
            operation: "make a voice encoder",
            source,
        };
        let mut coder =
            Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip).map_err(failed)?;
        // Five costs half of what ten does; the difference cannot be heard in speech.
        coder.set_complexity(5).map_err(failed)?;
        coder.set_vbr(true).map_err(failed)?;
        coder.set_inband_fec(true).map_err(failed)?;
        coder.set_dtx(true).map_err(failed)?;
        // Error correction and silence detection live in the codec's speech layer.
        coder.set_signal(Signal::Voice).map_err(failed)?;
        let mut encoder = Self {
            coder,
            packet: Box::new([0; LARGEST]),
            saving: true,
        };
        encoder.tune(Bitrate::kbps(24), 0.0)?;
        Ok(encoder)
    }

    /// Sets the rate (6 to 128 kbit/s, nearer values are taken) and the share of packets that get
    /// lost, 0 to 1, which the error correction is made for.
    pub fn tune(&mut self, bitrate: Bitrate, loss: f32) -> Result<(), CodecError> {
        let failed = |source| CodecError {
            operation: "tune the voice encoder",
            source,
        };
        let bits = i32::try_from(bitrate.0.clamp(6_000, 128_000)).unwrap_or(24_000);
        self.coder
            .set_bitrate(audiopus::Bitrate::BitsPerSecond(bits))
            .map_err(failed)?;
        // NaN becomes 0 in the cast.
        let percent = (loss * 100.0).ceil().clamp(0.0, 100.0) as u8;
        self.coder.set_packet_loss_perc(percent).map_err(failed)
    }

    /// Encodes 20, 40 or 60 ms. `None` in silence, when there is nothing worth a packet (about every 400 ms
    /// one comes all the same).
    ///
    /// With `loud` it is no silence, whatever the codec thinks: a sound that holds its pitch for more
    /// than a second is background noise to it, and would be left out.
    pub fn encode(&mut self, frame: &[f32], loud: bool) -> Result<Option<&[u8]>, CodecError> {
        if self.saving == loud {
            self.saving = !loud;
            self.coder.set_dtx(!loud).map_err(|source| CodecError {
                operation: "tune the voice encoder",
                source,
            })?;
        }
        let written = self
            .coder
            .encode_float(frame, &mut self.packet[..])
            .map_err(|source| CodecError {
                operation: "encode voice",
                source,
            })?;
        Ok((written > SILENT).then(|| &self.packet[..written]))
    }
}

/// Makes voice of packets, and of their absence.
pub struct VoiceDecoder {
    coder: Decoder,
}

impl VoiceDecoder {
    /// A decoder to one channel.
    pub fn new() -> Result<Self, CodecError> {
        let coder = Decoder::new(SampleRate::Hz48000, Channels::Mono).map_err(|source| CodecError {
            operation: "make a voice decoder",
            source,
        })?;
        Ok(Self { coder })
    }

    /// Decodes a packet into `out`, which has room for it ([`LONGEST`] always is). Returns the samples.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.run("decode voice", Some(packet), out, false)
    }

    /// Fills `out`, a multiple of 2.5 ms, with the lost voice as the packet after it describes it.
    pub fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.run("recover lost voice", Some(next), out, true)
    }

    /// Fills `out`, a multiple of 2.5 ms, with a continuation of what was last decoded.
    pub fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.run("conceal lost voice", None, out, false)
    }

    fn run(
        &mut self,
        operation: &'static str,
        packet: Option<&[u8]>,
        out: &mut [f32],
        fec: bool,
    ) -> Result<usize, CodecError> {
        let failed = |source| CodecError { operation, source };
        let packet = packet.map(Packet::try_from).transpose().map_err(failed)?;
        let out = MutSignals::try_from(out).map_err(failed)?;
        self.coder.decode_float(packet, out, fec).map_err(failed)
    }
}

/// Samples that a packet holds, told by its first bytes (RFC 6716, section 3.1); `None` where it is
/// none.
pub fn duration(packet: &[u8]) -> Option<usize> {
    let parsed = Packet::try_from(packet).ok()?;
    let samples = audiopus::packet::nb_samples(parsed, SampleRate::Hz48000).ok()?;
    (1..=LONGEST).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::tone::Tone;

    fn packets(frames: usize) -> Vec<Option<Vec<u8>>> {
        let mut encoder = VoiceEncoder::new().expect("an encoder");
        encoder.tune(Bitrate::kbps(24), 0.1).expect("in range");
        let mut tone = Tone::new();
        let mut frame = [0.0; FRAME];
        (0..frames)
            .map(|_| {
                tone.fill(&mut frame);
                encoder.encode(&frame, true).expect("a frame").map(<[u8]>::to_vec)
            })
            .collect()
    }

    #[test]
    fn a_tone_survives_and_costs_what_was_asked() {
        let mut decoder = VoiceDecoder::new().expect("a decoder");
        let mut out = [0.0; LONGEST];
        let (mut bytes, mut loudest) = (0, 0.0_f32);
        let all = packets(25);
        for packet in all.iter().flatten() {
            bytes += packet.len();
            assert_eq!(duration(packet), Some(FRAME));
            let n = decoder.decode(packet, &mut out).expect("a packet");
            assert_eq!(n, FRAME);
            loudest = out[..n].iter().fold(loudest, |m, s| m.max(s.abs()));
        }
        assert!((0.05..0.2).contains(&loudest), "peak {loudest}");
        assert!(bytes * 8 * 2 < 40_000, "{} bit/s", bytes * 8 * 2);
    }

    #[test]
    fn silence_is_not_sent_but_now_and_then() {
        let mut encoder = VoiceEncoder::new().expect("an encoder");
        let mut gap = 0;
        let (mut sent, mut longest) = (0, 0);
        for _ in 0..250 {
            gap += 1;
            if encoder.encode(&[0.0; FRAME], false).expect("a frame").is_some() {
                sent += 1;
                longest = longest.max(gap);
                gap = 0;
            }
        }
        assert!((5..40).contains(&sent), "{sent} packets in 5 s of silence");
        assert!(longest <= 21, "{longest} frames without a packet");
    }

    #[test]
    fn a_long_note_is_no_silence() {
        let mut encoder = VoiceEncoder::new().expect("an encoder");
        let note = |i: usize| 0.2 * (i as f32 * 700.0 / 48_000.0 * std::f32::consts::TAU).sin();
        for at in 0..500 {
            // 700 Hz fit into 480 samples a whole number of times.
            let frame: [f32; FRAME] = std::array::from_fn(note);
            let packet = encoder.encode(&frame, true).expect("a frame");
            assert!(packet.is_some(), "frame {at}");
        }
    }

    #[test]
    fn what_is_lost_is_recovered_from_the_next_or_concealed() {
        let all = packets(25);
        let mut decoder = VoiceDecoder::new().expect("a decoder");
        let mut out = [0.0; FRAME];
        let power = |x: &[f32]| x.iter().map(|s| s * s).sum::<f32>() / x.len() as f32;
        for packet in &all[..10] {
            let packet = packet.as_deref().expect("a tone is no silence");
            decoder.decode(packet, &mut out).expect("a packet");
        }
        let next = all[11].as_deref().expect("a tone is no silence");
        assert_eq!(decoder.recover(next, &mut out).expect("a packet"), FRAME);
        assert!(power(&out) > 1e-4);
        assert_eq!(decoder.conceal(&mut out).expect("concealed"), FRAME);
        assert!(power(&out) > 1e-4);
    }

    proptest! {
        #[test]
        fn no_packet_can_harm(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = VoiceDecoder::new().expect("a decoder");
            let mut out = vec![0.0; LONGEST];
            let told = duration(&packet);
            if let Ok(n) = decoder.decode(&packet, &mut out) {
                prop_assert_eq!(told, Some(n));
            }
            let _ = decoder.recover(&packet, &mut out[..FRAME]);
        }
    }
}
