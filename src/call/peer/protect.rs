//! How the voice is protected against loss: redundancy (RFC 2198) where the line loses much and can
//! pay for it. What the codec adds by itself (in-band error correction) follows the reports elsewhere.

use super::Peer;
use crate::call::figures::Figures;
use crate::call::rate::{Protected, lesser};
use crate::units::Bitrate;

/// Each packet carries the voice of so many packets before it: a burst of two is repaired.
pub(super) const DISTANCES: [u32; 2] = [1, 2];
/// Redundancy begins at this share of lost packets, and ends below that one.
const LOSSY: f32 = 0.05;
const CALM: f32 = 0.02;
/// It begins where the line is thought to carry this, and ends below that: two more copies of 20 kbit/s
/// must leave the picture something.
const PAYS: Bitrate = Bitrate::kbps(150);
const POOR: Bitrate = Bitrate::kbps(100);
/// From here on the codec's own error correction is worth bits.
const CORRECTED: f32 = 0.03;
/// The weight of a second's reports in what is thought of the line.
const WEIGHT: f32 = 0.4;

/// Whether redundancy is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Protection {
    loss: f32,
    redundant: bool,
}

impl Protection {
    /// Redundancy is to be sent.
    pub(super) fn is_redundant(self) -> bool {
        self.redundant
    }

    /// Takes a second's figures; true where redundancy is to be sent.
    fn update(&mut self, loss: f32, estimate: Option<Bitrate>) -> bool {
        self.loss += (loss - self.loss) * WEIGHT;
        let (lossy, needed) = if self.redundant {
            (CALM, POOR)
        } else {
            (LOSSY, PAYS)
        };
        self.redundant = self.loss >= lossy && estimate.is_none_or(|estimate| estimate >= needed);
        self.redundant
    }
}

impl Peer {
    /// Protects the voice as the last second demands, and as the line and the user's limit allow.
    pub(super) fn protect(&mut self, figures: &Figures) {
        let line = lesser(Some(self.line.capacity()), self.max_bitrate);
        let redundant = self.protection.update(figures.loss_out, line);
        self.send_redundancy(redundant);
    }

    /// How the voice is protected at present.
    pub(in crate::call) fn protected(&self) -> Protected {
        if self.protection.is_redundant() {
            Protected::Copied(DISTANCES.len() as u32)
        } else if self.protection.loss >= CORRECTED {
            Protected::Corrected
        } else {
            Protected::No
        }
    }

    /// Sends redundancy, or none; where it was not agreed on, none is sent either way.
    pub(super) fn send_redundancy(&mut self, redundant: bool) {
        if let Some(mid) = self.audio
            && self.rtc.direct_api().set_red_send(mid, redundant)
        {
            tracing::debug!(redundant, "the voice's redundancy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_comes_with_loss_and_goes_with_it() {
        let mut protection = Protection::default();
        let line = Some(Bitrate::kbps(300));
        assert!(!protection.update(0.02, line));
        let mut seconds = 0;
        while !protection.update(0.1, line) {
            seconds += 1;
        }
        assert!(seconds <= 2, "{seconds} s");
        assert!(protection.update(0.03, line), "a better second changes nothing");
        for _ in 0..10 {
            protection.update(0.0, line);
        }
        assert!(!protection.update(0.0, line));
    }

    #[test]
    fn a_poor_line_does_not_pay() {
        let mut protection = Protection::default();
        for _ in 0..10 {
            assert!(!protection.update(0.2, Some(Bitrate::kbps(120))));
        }
        assert!(protection.update(0.2, Some(Bitrate::kbps(160))));
        assert!(protection.update(0.2, Some(Bitrate::kbps(120))));
        assert!(!protection.update(0.2, Some(Bitrate::kbps(90))));
    }
}
