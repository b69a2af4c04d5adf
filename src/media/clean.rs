//! What a microphone captures, made into a voice worth sending: echo and noise taken out, the level
//! brought to a common one.

use aec3::api::config::EchoCanceller3Config;
use aec3::api::control::EchoControl;
use aec3::audio_processing::aec3::echo_canceller3::EchoCanceller3;
use aec3::audio_processing::agc2::cpu_features::get_available_cpu_features;
use aec3::audio_processing::agc2::vad_wrapper::VoiceActivityDetectorWrapper;
use aec3::audio_processing::audio_buffer::AudioBuffer;
use aec3::audio_processing::high_pass_filter::HighPassFilter;
use aec3::audio_processing::ns::{NoiseSuppressor, NsConfig};
use aec3::audio_processing::stream_config::StreamConfig;

use crate::media::audio::{BLOCK, RATE};
use crate::media::gain::LevelControl;
use crate::media::level::rms;

/// What is quieter (−60 dBFS) is no speech, and is not looked at further.
const QUIET: f32 = 0.001;
/// Louder than this (−50 dBFS), what is played can be heard again in the microphone …
const AUDIBLE: f32 = 0.003;
/// … for so many blocks: 500 ms.
const ECHOES: u32 = 50;

/// Cleans a microphone, 10 ms at a time.
pub trait Cleaner {
    /// Tells 10 ms that the speaker is about to play: what comes back of them is echo. Tell them before
    /// their echo is captured.
    fn played(&mut self, block: &[f32; BLOCK]);

    /// Cleans 10 ms of capture in place. It comes out up to 17 ms later than it went in. Returns how
    /// likely it is speech, 0 to 1.
    fn clean(&mut self, block: &mut [f32; BLOCK]) -> f32;
}

/// A cleaner; without `echo` it leaves in what the speaker plays (for headsets, which spare it the work).
pub fn cleaner(echo: bool) -> Box<dyn Cleaner> {
    Box::new(Apm::new(echo))
}

/// The audio processing module of WebRTC, in the port of the `aec3` crate: high pass, AEC3, noise
/// suppression; and our level control.
struct Apm {
    stream: StreamConfig,
    render: AudioBuffer,
    capture: AudioBuffer,
    high_pass: HighPassFilter,
    /// Its input; it wants vectors.
    high_passed: [Vec<f32>; 1],
    echo: Option<EchoCanceller3>,
    noise: NoiseSuppressor,
    speech: SpeechDetector,
    level: LevelControl,
    /// Blocks for which an echo may still be heard.
    echoes: u32,
}

impl Apm {
    fn new(echo: bool) -> Self {
        let rate = RATE as usize;
        let buffer = || AudioBuffer::from_sample_rates(rate, 1, rate, 1, rate);
        Self {
            stream: StreamConfig::new(rate, 1, false),
            render: buffer(),
            capture: buffer(),
            high_pass: HighPassFilter::new(RATE as i32, 1),
            high_passed: [vec![0.0; BLOCK]],
            echo: echo.then(|| EchoCanceller3::new(echo_config(), RATE as i32, 1, 1)),
            noise: NoiseSuppressor::new(NsConfig::default(), rate, 1),
            speech: SpeechDetector::default(),
            level: LevelControl::default(),
            echoes: 0,
        }
    }
}

/// How echo is taken out, where that is not as the crate has it: with more of the voice left in double talk.
fn echo_config() -> EchoCanceller3Config {
    let mut config = EchoCanceller3Config::default();
    // What an echo is taken for until the room is known: 6 dB fainter than what is played. With more, a
    // headset's voice is ducked for nothing.
    config.ep_strength.default_gain = 0.25;
    // What the filter leaves of an echo is taken for as little as it was measured to be, down to 10 dB less
    // (6 above 1 kHz). By default 6 (2) dB are believed at most, and the rest is taken out of the voice.
    (config.erle.max_l, config.erle.max_h) = (10.0, 4.0);
    // The room's tail is as it was found in each band, and not in all as in the loudest.
    config.ep_strength.use_conservative_tail_frequency_response = false;
    // That there is no echo at all (a headset) is told by a model of how that comes and goes.
    config.transparent_mode.use_hmm = true;
    let near = &mut config.suppressor.nearend_tuning;
    // A voice comes back at once where it was taken down, and not by 6 dB each 4 ms.
    near.max_inc_factor = 50.0;
    // What of a voice lies above 1 kHz is taken down only where the echo comes near to it, as long as the
    // near end is known to speak.
    (near.mask_hf.enr_transparent, near.mask_hf.enr_suppress) = (0.3, 0.8);
    config
}

impl Cleaner for Apm {
    fn played(&mut self, block: &[f32; BLOCK]) {
        if let Some(echo) = &mut self.echo {
            if rms(block) > AUDIBLE {
                self.echoes = ECHOES;
            }
            self.render.copy_from(&[block], &self.stream);
            self.render.split_into_frequency_bands();
            echo.analyze_render(&mut self.render);
        }
    }

    fn clean(&mut self, block: &mut [f32; BLOCK]) -> f32 {
        for (to, from) in self.high_passed[0].iter_mut().zip(block.iter()) {
            *to = if from.is_finite() {
                from.clamp(-1.0, 1.0)
            } else {
                0.0
            };
        }
        self.high_pass.process(&mut self.high_passed);
        self.capture.copy_from(&[&self.high_passed[0]], &self.stream);
        if let Some(echo) = &mut self.echo {
            echo.analyze_capture(&mut self.capture);
        }
        self.capture.split_into_frequency_bands();
        if let Some(echo) = &mut self.echo {
            echo.process_capture(&mut self.capture, false);
        }
        self.noise.analyze(&self.capture);
        self.noise.process(&mut self.capture);
        self.capture.merge_frequency_bands();
        self.capture.copy_to_stream(&self.stream, &mut [block]);
        let speech = if rms(block) > QUIET {
            self.speech.hear(block)
        } else {
            0.0
        };
        // What may be an echo is not taken for the voice that is to be lifted.
        self.level.adjust(block, speech, self.echoes > 0);
        self.echoes = self.echoes.saturating_sub(1);
        speech
    }
}

/// Tells speech from other sounds by what it sounds like: a small recurrent network (RNNoise's, as
/// WebRTC runs it).
struct SpeechDetector {
    network: VoiceActivityDetectorWrapper,
}

impl Default for SpeechDetector {
    fn default() -> Self {
        Self {
            network: VoiceActivityDetectorWrapper::new(get_available_cpu_features(), RATE as usize),
        }
    }
}

impl SpeechDetector {
    /// How likely 10 ms hold speech, 0 to 1. They are to be finite.
    fn hear(&mut self, block: &[f32; BLOCK]) -> f32 {
        self.network.analyze(&[&block.map(|sample| sample * 32_768.0)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bursts of noise, as loud as speech, of which no two moments are alike.
    fn far(seconds: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut low = 0.0;
        (0..seconds * RATE as usize)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low += (state as f32 / u32::MAX as f32 - 0.5 - low) * 0.3;
                let syllable = (i as f32 * std::f32::consts::TAU * 3.0 / RATE as f32).sin();
                0.4 * low * syllable.max(0.0)
            })
            .collect()
    }

    /// By how many dB the last second of what is captured is quieter when it has been cleaned: an echo
    /// that takes `delay` samples and loses 6 dB.
    fn quieter(echo: bool, delay: usize) -> f32 {
        let mut cleaner = cleaner(echo);
        let far = far(6);
        let (mut before, mut after) = (0.0, 0.0);
        for (n, block) in far.chunks_exact(BLOCK).enumerate() {
            let mut played = [0.0; BLOCK];
            played.copy_from_slice(block);
            cleaner.played(&played);
            let echo = |i: usize| (n * BLOCK + i).checked_sub(delay).map_or(0.0, |at| 0.5 * far[at]);
            let mut captured: [f32; BLOCK] = std::array::from_fn(echo);
            let last = n * BLOCK >= far.len() - RATE as usize;
            before += if last {
                captured.iter().map(|s| s * s).sum::<f32>()
            } else {
                0.0
            };
            cleaner.clean(&mut captured);
            after += if last {
                captured.iter().map(|s| s * s).sum::<f32>()
            } else {
                0.0
            };
        }
        10.0 * (before / after.max(1e-12)).log10()
    }

    #[test]
    fn what_the_speaker_plays_is_taken_out() {
        for delay in [3_000, 9_600] {
            let less = quieter(true, delay);
            assert!(less > 30.0, "{delay} samples later: {less} dB");
        }
        let less = quieter(false, 3_000);
        assert!(less < 12.0, "not asked to, and yet {less} dB");
    }

    #[test]
    fn silence_and_noise_are_no_speech() {
        let mut detector = SpeechDetector::default();
        assert!((0..50).all(|_| detector.hear(&[0.0; BLOCK]) < 0.5));
        let noise = far(2);
        let taken = noise
            .chunks_exact(BLOCK)
            .filter(|block| detector.hear((*block).try_into().expect("a block")) > 0.5)
            .count();
        assert!(taken < 60, "{taken} of 200 blocks of noise");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn no_sound_can_harm(samples in prop::collection::vec(any::<f32>(), 10), echo: bool) {
            let mut cleaner = cleaner(echo);
            let mut detector = SpeechDetector::default();
            for sample in samples {
                cleaner.played(&[if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }; BLOCK]);
                let mut block = [sample; BLOCK];
                block[3] = f32::NAN;
                cleaner.clean(&mut block);
                prop_assert!(block.iter().all(|s| s.is_finite() && s.abs() <= 1.0));
                detector.hear(&block);
            }
        }
    }
}
