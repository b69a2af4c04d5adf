//! What is sent to whom: each person's wish and line, and the encoders that serve them.

use std::collections::BTreeMap;
use std::time::Instant;

use super::figures::Limit;
use super::targets::Want;
use super::{Call, Output, rate};
use crate::signal::message::PeerId;
use crate::units::{Bitrate, Size};

impl Call {
    /// Shares the encoders out anew.
    pub(super) fn assign(&mut self, now: Instant) {
        let mut wants = BTreeMap::new();
        let people: Vec<_> = self.people.keys().cloned().collect();
        for id in people {
            let asked = self.asked_by(&id);
            if let Some(want) = self.want_of(&id, asked, now) {
                wants.insert(id.clone(), want);
            }
            self.desire(&id, asked, now);
        }
        if self.targets.assign(&wants, now) {
            self.announce_targets();
        }
    }

    /// What somebody can show of the own camera, at its aspect and rate.
    fn asked_by(&self, id: &PeerId) -> Option<(Size, u32)> {
        let source = self.source.filter(|_| self.config.camera_on)?;
        let someone = self.people.get(id)?;
        someone.peer.agreed().video?;
        someone.connected?;
        let (viewport, fps) = someone.viewport?;
        let is_shown = viewport.area() > 0 && fps > 0;
        is_shown.then(|| (source.fit_into(viewport), fps.min(self.config.fps)))
    }

    /// What of that their line carries.
    fn want_of(&mut self, id: &PeerId, asked: Option<(Size, u32)>, now: Instant) -> Option<Want> {
        let limit = self.config.max_bitrate;
        let most_fps = self.load.most_fps();
        let someone = self.people.get_mut(id)?;
        let protected = someone.peer.protected();
        let portion = asked.and_then(|asked| {
            let line = someone.peer.line();
            someone.ration.portion(asked, line, limit, protected, now)
        });
        let Some(portion) = portion else {
            if asked.is_some() {
                self.with(id, now, |someone| someone.peer.close_video(now));
            }
            return None;
        };
        someone.peer.set_copies(portion.copies);
        Some(Want {
            codec: someone.peer.agreed().video?,
            size: portion.size,
            fps: portion.fps.min(most_fps),
            bitrate: portion.bitrate,
            held: someone.peer.is_held(),
        })
    }

    /// Without a word the line would be probed for a picture that nobody sends. Ends: what this makes the
    /// estimate say changes no desire.
    fn desire(&mut self, id: &PeerId, asked: Option<(Size, u32)>, now: Instant) {
        let is_connected = self.people.get(id).is_some_and(|s| s.connected.is_some());
        if !is_connected {
            return;
        }
        let wanted = asked.map_or(rate::VOICE_AT_BEST, |(size, fps)| {
            // Beside it there is a part that is not spent.
            Bitrate((rate::needed(size, fps).0 + rate::VOICE.0) * 6 / 5)
        });
        let desired = self.config.max_bitrate.map_or(wanted, |limit| limit.min(wanted));
        self.with(id, now, |someone| someone.peer.set_desired(desired, now));
    }

    /// What keeps the pictures sent to somebody from being better.
    pub(super) fn limit_of(&self, id: &PeerId) -> Limit {
        let (Some(someone), Some((_, fps))) = (self.people.get(id), self.asked_by(id)) else {
            return Limit::Far;
        };
        let line = someone.peer.line().capacity();
        if self.load.most_fps() < fps {
            Limit::Cpu
        } else if !someone.ration.is_reduced() {
            Limit::Far
        } else if self.config.max_bitrate.is_some_and(|limit| limit < line) {
            Limit::User
        } else {
            Limit::Line
        }
    }

    pub(super) fn announce_targets(&mut self) {
        self.out.push_back(Output::Targets(self.targets.list().to_vec()));
    }
}
