//! What is sent to whom: each person's wish and line, and the encoders that serve them.

use std::collections::BTreeMap;
use std::time::Instant;

use super::people::Someone;
use super::targets::Want;
use super::{Call, Output, rate};
use crate::units::Bitrate;

impl Call {
    /// Shares the encoders out anew.
    pub(super) fn assign(&mut self, now: Instant) {
        let wants: BTreeMap<_, _> = self
            .people
            .iter()
            .filter_map(|(id, s)| Some((id.clone(), self.want_of(s)?)))
            .collect();
        if self.targets.assign(&wants, now) {
            self.announce_targets();
        }
        let idle = self
            .people
            .iter()
            .filter(|(id, s)| s.connected.is_some() && !wants.contains_key(id));
        let idle: Vec<_> = idle.map(|(id, _)| id.clone()).collect();
        for id in idle {
            // Without a word the line would be probed for a picture that nobody sends.
            let desired = self
                .config
                .max_bitrate
                .map_or(rate::VOICE_AT_BEST, |limit| limit.min(rate::VOICE_AT_BEST));
            self.with(&id, now, |someone| someone.desire(desired, now));
        }
        for (id, want) in wants {
            let needed = Bitrate(rate::needed(want.size, want.fps).0 + rate::VOICE.0);
            let desired = self.config.max_bitrate.map_or(needed, |limit| limit.min(needed));
            // Ends: what `desire` makes the estimate say changes no desire.
            self.with(&id, now, |someone| someone.desire(desired, now));
        }
    }

    fn want_of(&self, someone: &Someone) -> Option<Want> {
        let source = self.source.filter(|_| self.config.camera_on)?;
        let codec = someone.peer.agreed().video?;
        someone.connected?;
        let (viewport, fps) = someone.viewport?;
        if viewport.area() == 0 || fps == 0 {
            return None;
        }
        let size = source.fit_into(viewport);
        let fps = fps.min(self.config.fps);
        let bitrate = rate::granted(
            rate::needed(size, fps),
            someone.estimate,
            self.config.max_bitrate,
            someone.peer.protected(),
        );
        Some(Want {
            codec,
            size,
            fps,
            bitrate,
        })
    }

    pub(super) fn announce_targets(&mut self) {
        self.out.push_back(Output::Targets(self.targets.list().to_vec()));
    }
}
