//! Comfort noise: what a pause sounds like when nothing is sent in it (RFC 3389's idea, made at the
//! receiver): the room's noise goes on, so that nobody thinks the call is dead.
//!
//! The quietest of what was heard is taken for the room. Its loudness and colour (an all-pole model)
//! shape white noise.

/// Poles of the model.
const ORDER: usize = 8;
/// A frame so much louder than the room (4 dB) is no room.
const ABOVE: f32 = 1.6;
/// How much the room may become louder in a frame of 20 ms (2 dB a second).
const RISE: f32 = 1.005;
/// No room is louder than this: −40 dBFS.
const LOUDEST: f32 = 0.01;
/// Frames (of 20 ms: a second) without which nothing is said: before, any sound may be the quietest.
const ENOUGH: u32 = 50;
/// Below −80 dBFS it is silence.
const SILENCE: f32 = 1e-4;
/// The weight of a new frame in what is known.
const WEIGHT: f32 = 0.2;

/// Learns a room's noise, and makes more of it.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    /// Root mean square of the room; nothing is known at first.
    level: f32,
    /// Frames heard, up to [`ENOUGH`].
    heard: u32,
    /// Its autocorrelation, of a power of one.
    correlation: [f32; ORDER + 1],
    model: [f32; ORDER],
    /// What makes the model's noise as loud as white noise.
    gain: f32,
    past: [f32; ORDER],
    state: u32,
}

impl Default for ComfortNoise {
    fn default() -> Self {
        Self {
            level: 0.0,
            heard: 0,
            correlation: std::array::from_fn(|lag| if lag == 0 { 1.0 } else { 0.0 }),
            model: [0.0; ORDER],
            gain: 1.0,
            past: [0.0; ORDER],
            state: 1,
        }
    }
}

impl ComfortNoise {
    /// Hears a frame of what was sent.
    pub fn hear(&mut self, frame: &[f32]) {
        if frame.len() <= ORDER {
            return;
        }
        let power: f32 = frame.iter().map(|s| s * s).sum::<f32>() / frame.len() as f32;
        let rms = power.sqrt();
        let known = self.level > 0.0;
        self.heard = (self.heard + 1).min(ENOUGH);
        if !rms.is_finite() || rms > LOUDEST || (known && rms > self.level * ABOVE) {
            self.level = (self.level * RISE).min(LOUDEST);
            return;
        }
        // Quieter by far is another room, which was talked in until now.
        let known = known && rms > self.level / ABOVE;
        self.level = match known {
            true => self.level + (rms.max(1e-6) - self.level) * WEIGHT,
            false => rms.max(1e-6),
        };
        if rms < SILENCE {
            return;
        }
        for (lag, kept) in self.correlation.iter_mut().enumerate() {
            let product: f32 = frame[lag..].iter().zip(frame).map(|(a, b)| a * b).sum();
            let new = product / (power * frame.len() as f32);
            *kept += (new - *kept) * if known { WEIGHT } else { 1.0 };
        }
        self.fit();
    }

    /// Adds noise to `out`, as loud as the room times `from` at its beginning and `to` at its end.
    pub fn add(&mut self, out: &mut [f32], from: f32, to: f32) {
        if self.level < SILENCE || self.heard < ENOUGH {
            return;
        }
        let loud = self.level * self.gain;
        let count = out.len().max(1) as f32;
        for (i, sample) in out.iter_mut().enumerate() {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Even between −√3 and √3: a power of one.
            let mut noise = (self.state as f32 / u32::MAX as f32 - 0.5) * 3.464;
            for (weight, past) in self.model.iter().zip(&self.past) {
                noise += weight * past;
            }
            self.past.copy_within(..ORDER - 1, 1);
            self.past[0] = noise;
            *sample += noise * loud * (from + (to - from) * i as f32 / count);
        }
    }

    /// Fits the model to the autocorrelation (Levinson, Durbin).
    fn fit(&mut self) {
        let r = &self.correlation;
        // A little white noise keeps it far from ringing.
        let mut error = r[0] * 1.001;
        let mut model = [0.0_f32; ORDER];
        for order in 0..ORDER {
            let mut product = r[order + 1];
            for (j, weight) in model[..order].iter().enumerate() {
                product -= weight * r[order - j];
            }
            let reflection = (product / error).clamp(-0.98, 0.98);
            let before = model;
            model[order] = reflection;
            for j in 0..order {
                model[j] = before[j] - reflection * before[order - 1 - j];
            }
            error *= 1.0 - reflection * reflection;
        }
        self.model = model;
        self.gain = error.max(1e-4).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(count: usize, smooth: f32, level: f32) -> Vec<f32> {
        let (mut state, mut last) = (7_u32, 0.0);
        let raw: Vec<f32> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                last = last * smooth + (state as f32 / u32::MAX as f32 - 0.5);
                last
            })
            .collect();
        let rms = rms(&raw);
        raw.iter().map(|s| s * level / rms).collect()
    }

    fn rms(x: &[f32]) -> f32 {
        (x.iter().map(|s| s * s).sum::<f32>() / x.len() as f32).sqrt()
    }

    /// How alike neighbouring samples are: the colour.
    fn colour(x: &[f32]) -> f32 {
        let product: f32 = x.windows(2).map(|w| w[0] * w[1]).sum();
        product / x.iter().map(|s| s * s).sum::<f32>()
    }

    #[test]
    fn the_room_goes_on_as_loud_and_of_the_same_colour() {
        for (smooth, level) in [(0.0, 0.002), (0.9, 0.002), (0.6, 0.0005)] {
            let room = noise(48_000, smooth, level);
            let voice = noise(48_000, 0.95, 0.1);
            let mut comfort = ComfortNoise::default();
            for (room, voice) in room.chunks(960).zip(voice.chunks(960)) {
                comfort.hear(room);
                comfort.hear(voice);
            }
            let mut made = vec![0.0; 48_000];
            comfort.add(&mut made, 1.0, 1.0);
            let loud = rms(&made) / level;
            assert!((0.7..1.4).contains(&loud), "{smooth}: {loud} times as loud");
            let difference = (colour(&made) - colour(&room)).abs();
            assert!(
                difference < 0.15,
                "{smooth}: {} for {}",
                colour(&made),
                colour(&room)
            );
        }
    }

    #[test]
    fn a_silent_room_stays_silent() {
        let mut comfort = ComfortNoise::default();
        let mut made = vec![0.0; 960];
        comfort.add(&mut made, 1.0, 1.0);
        comfort.hear(&[0.0; 960]);
        comfort.hear(&noise(960, 0.9, 0.2));
        comfort.add(&mut made, 1.0, 1.0);
        assert!(made.iter().all(|s| *s == 0.0));
    }

    proptest! {
        #[test]
        fn no_sound_can_harm(frames in prop::collection::vec(prop::collection::vec(any::<f32>(), 0..40), 0..20)) {
            let mut comfort = ComfortNoise::default();
            for frame in &frames {
                comfort.hear(frame);
            }
            let mut made = vec![0.0; 960];
            comfort.add(&mut made, 1.0, 1.0);
            prop_assert!(made.iter().all(|s| s.abs() < 1.0), "{:?}", comfort);
        }
    }
}
