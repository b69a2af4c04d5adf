//! At what rate, and how well protected, the voice is encoded: one encoding serves everybody, so the
//! weakest line counts.

use std::collections::BTreeMap;

use crate::io::sound::SoundCommand;
use crate::signal::message::PeerId;
use crate::units::Bitrate;

/// The usual rate: speech of full band is clear, and leaves a weak line to the picture.
const USUAL: Bitrate = Bitrate::kbps(20);
/// Where error correction takes its share, of a line that can pay.
const PROTECTED: Bitrate = Bitrate::kbps(28);
/// Where the line is too weak for more.
const LEAST: Bitrate = Bitrate::kbps(16);
/// Below this a line is weak, above that it can pay.
const WEAK: Bitrate = Bitrate::kbps(100);
const WIDE: Bitrate = Bitrate::kbps(200);
/// More than this share of packets is lost, and error correction is worth bits.
const LOSSY: f32 = 0.03;
/// What is left of an older, greater loss each second.
const FORGET: f32 = 0.85;

/// What the others report.
#[derive(Debug, Default)]
pub(super) struct Reports {
    people: BTreeMap<PeerId, (f32, Option<Bitrate>)>,
}

impl Reports {
    /// A second's loss on the way to somebody, 0 to 1, and what their line is thought to carry.
    pub(super) fn take(&mut self, peer: &PeerId, loss: f32, estimate: Option<Bitrate>) {
        let kept = self.people.entry(peer.clone()).or_default();
        *kept = (loss.max(kept.0 * FORGET), estimate);
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.people.remove(peer);
    }

    /// How the voice is to be encoded.
    pub(super) fn tune(&self) -> SoundCommand {
        let loss = self
            .people
            .values()
            .fold(0.0_f32, |most, (loss, _)| most.max(*loss));
        let weakest = self.people.values().filter_map(|(_, estimate)| *estimate).min();
        let bitrate = match weakest {
            Some(line) if line < WEAK => LEAST,
            Some(line) if line >= WIDE && loss > LOSSY => PROTECTED,
            _ => USUAL,
        };
        SoundCommand::Tune { bitrate, loss }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(reports: &Reports) -> (u64, f32) {
        match reports.tune() {
            SoundCommand::Tune { bitrate, loss } => (bitrate.0 / 1_000, loss),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_weakest_line_counts() {
        let id = |name: &str| PeerId::try_from(name.to_owned()).expect("a good name");
        let mut reports = Reports::default();
        assert_eq!(tuned(&reports), (20, 0.0));
        reports.take(&id("a"), 0.0, Some(Bitrate::kbps(900)));
        reports.take(&id("b"), 0.1, Some(Bitrate::kbps(400)));
        assert_eq!(tuned(&reports), (28, 0.1));
        reports.take(&id("b"), 0.0, Some(Bitrate::kbps(60)));
        let (kbps, loss) = tuned(&reports);
        assert_eq!(kbps, 16);
        assert!(
            (0.05..0.1).contains(&loss),
            "a lucky second changes little: {loss}"
        );
        reports.forget(&id("b"));
        assert_eq!(tuned(&reports), (20, 0.0));
    }
}
