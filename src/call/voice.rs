//! At what rate, and how well protected, the voice is encoded: one encoding serves everybody, so the
//! weakest line counts.

use std::collections::BTreeMap;

use super::figures::Figures;
use super::rate;
use crate::media::audio::FRAME;
use crate::signal::message::PeerId;
use crate::units::Bitrate;

/// What is left of an older, greater loss each second.
const FORGET: f32 = 0.85;

/// How the own voice is to be encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoiceTune {
    /// For one copy, without headers.
    pub bitrate: Bitrate,
    /// The share of packets that get lost, 0 to 1, as the receivers report it.
    pub loss: f32,
    /// Samples in a packet, 48 kHz: [`FRAME`] or a small multiple of it.
    pub frame: usize,
}

/// What the others report.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Each one's loss, 0 to 1, and what the voice gets of their line.
    people: BTreeMap<PeerId, (f32, Bitrate)>,
}

impl Reports {
    /// A second's figures of the way to somebody, to whom no more than `limit` is to be sent.
    pub(super) fn take(&mut self, peer: &PeerId, figures: &Figures, limit: Option<Bitrate>) {
        let line = rate::lesser(figures.estimate, limit);
        let before = self.people.get(peer).map_or(0.0, |(loss, _)| *loss);
        let loss = figures.loss_out.max(before * FORGET);
        let bitrate = rate::voice(line, figures.fps_out > 0.0, figures.protected);
        self.people.insert(peer.clone(), (loss, bitrate));
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.people.remove(peer);
    }

    /// How the voice is to be encoded.
    pub(super) fn tune(&self) -> VoiceTune {
        let people = self.people.values();
        let loss = people.clone().fold(0.0_f32, |most, (loss, _)| most.max(*loss));
        let weakest = people.map(|(_, bitrate)| *bitrate).min();
        let bitrate = weakest.unwrap_or_else(|| rate::voice(None, false, rate::Protected::No));
        VoiceTune {
            bitrate,
            loss,
            frame: FRAME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::rate::Protected;

    fn tuned(reports: &Reports) -> (u64, f32) {
        let tune = reports.tune();
        (tune.bitrate.0 / 1_000, tune.loss)
    }

    #[test]
    fn the_weakest_line_counts() {
        let id = |name: &str| PeerId::try_from(name.to_owned()).expect("a good name");
        let figures = |loss_out, kbps, protected| Figures {
            loss_out,
            estimate: Some(Bitrate::kbps(kbps)),
            protected,
            fps_out: 30.0,
            ..Figures::default()
        };
        let mut reports = Reports::default();
        assert_eq!(tuned(&reports), (20, 0.0));
        reports.take(&id("a"), &figures(0.0, 900, Protected::No), None);
        assert_eq!(tuned(&reports), (40, 0.0));
        reports.take(&id("b"), &figures(0.1, 250, Protected::Corrected), None);
        assert_eq!(tuned(&reports), (28, 0.1));
        reports.take(&id("b"), &figures(0.0, 60, Protected::No), None);
        let (kbps, loss) = tuned(&reports);
        assert_eq!(kbps, 16);
        assert!(
            (0.05..0.1).contains(&loss),
            "a lucky second changes little: {loss}"
        );
        reports.forget(&id("b"));
        assert_eq!(tuned(&reports), (40, 0.0));
        let limit = Some(Bitrate::kbps(150));
        reports.take(&id("a"), &figures(0.0, 900, Protected::No), limit);
        assert_eq!(tuned(&reports), (20, 0.0));
    }
}
