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
    people: BTreeMap<PeerId, Report>,
}

/// What is known of the way to one person.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// The share of packets that get lost, 0 to 1.
    loss: f32,
    /// What the voice gets of the line.
    bitrate: Bitrate,
    /// Samples in a packet.
    frame: usize,
}

impl Reports {
    /// A second's figures of the way to somebody, and what the voice may count on of it.
    pub(super) fn take(&mut self, peer: &PeerId, figures: &Figures, line: Bitrate) {
        let before = self.people.get(peer).copied();
        let forgotten = before.map_or(0.0, |before| before.loss * FORGET);
        // Long packets stay until the line is better by a part, so that they do not come and go.
        let worse = rate::voice_frame(Bitrate(line.0 * 4 / 5));
        let kept = before.map_or(FRAME, |before| before.frame.min(worse));
        let report = Report {
            loss: figures.loss_out.max(forgotten),
            bitrate: rate::voice(Some(line), figures.fps_out > 0.0, figures.protected),
            frame: rate::voice_frame(line).max(kept),
        };
        self.people.insert(peer.clone(), report);
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.people.remove(peer);
    }

    /// How the voice is to be encoded.
    pub(super) fn tune(&self) -> VoiceTune {
        let people = self.people.values();
        let weakest = people.clone().map(|report| report.bitrate).min();
        VoiceTune {
            bitrate: weakest.unwrap_or_else(|| rate::voice(None, false, rate::Protected::No)),
            loss: people.clone().fold(0.0_f32, |most, report| most.max(report.loss)),
            frame: people.map(|report| report.frame).max().unwrap_or(FRAME),
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
        let figures = |loss_out, protected| Figures {
            loss_out,
            protected,
            fps_out: 30.0,
            ..Figures::default()
        };
        let mut reports = Reports::default();
        let take = |reports: &mut Reports, name, loss, kbps, protected| {
            reports.take(&id(name), &figures(loss, protected), Bitrate::kbps(kbps));
        };
        assert_eq!(tuned(&reports), (20, 0.0));
        take(&mut reports, "a", 0.0, 900, Protected::No);
        assert_eq!(tuned(&reports), (40, 0.0));
        take(&mut reports, "b", 0.1, 250, Protected::Corrected);
        assert_eq!(tuned(&reports), (28, 0.1));
        take(&mut reports, "b", 0.0, 70, Protected::No);
        let (kbps, loss) = tuned(&reports);
        assert_eq!((kbps, reports.tune().frame), (16, 2 * FRAME));
        assert!(
            (0.05..0.1).contains(&loss),
            "a lucky second changes little: {loss}"
        );
        take(&mut reports, "b", 0.0, 110, Protected::No);
        assert_eq!(reports.tune().frame, 2 * FRAME, "no better by much");
        take(&mut reports, "b", 0.0, 130, Protected::No);
        assert_eq!(reports.tune().frame, FRAME);
        reports.forget(&id("b"));
        assert_eq!(tuned(&reports), (40, 0.0));
        take(&mut reports, "a", 0.0, 150, Protected::No);
        assert_eq!(tuned(&reports), (20, 0.0));
    }
}
