//! Which of their lines carries the camera, and which a screen that they share.

use str0m::media::{MediaKind, Mid};

use super::media::Intake;
use super::{Peer, PeerOutput};
use crate::call::control::VideoKind;
use crate::call::news::News;

/// Names of lines that are kept; each share of a screen may bring a new one.
const MAX_NAMED: usize = 16;

impl Peer {
    /// They say what comes by a line.
    pub(in crate::call) fn name_line(&mut self, mid: &str, kind: VideoKind) {
        if mid.is_empty() || mid.len() > 16 {
            return;
        }
        let mid = Mid::from(mid);
        self.named.retain(|(known, _)| *known != mid);
        if self.named.len() >= MAX_NAMED {
            self.named.remove(0);
        }
        self.named.push((mid, kind));
        self.sort_pictures();
    }

    /// They say that they share a screen, or none; `None`: they do not say.
    pub(in crate::call) fn set_said_screen(&mut self, screen: Option<bool>) {
        self.said_screen = screen;
        self.sort_pictures();
    }

    /// They share a screen.
    pub(in crate::call) fn has_screen(&self) -> bool {
        self.has_screen
    }

    /// Looks up by which line each of their pictures comes.
    pub(super) fn sort_pictures(&mut self) {
        let (mut camera, mut screen) = (None, None);
        for line in self.lines.of_kind(MediaKind::Video) {
            let named = self.named.iter().find(|(mid, _)| *mid == line.mid);
            let by_place = || match line.place {
                0 => VideoKind::Camera,
                _ => VideoKind::Screen,
            };
            match named.map_or_else(by_place, |(_, kind)| *kind) {
                VideoKind::Camera => camera = camera.or(Some(line.mid)),
                // The newest counts.
                VideoKind::Screen if line.sends => screen = Some(line.mid),
                VideoKind::Screen => {}
            }
        }
        for (intake, mid) in [
            (&mut self.intakes.camera, camera),
            (&mut self.intakes.screen, screen),
        ] {
            if intake.mid != mid {
                *intake = Intake::by(mid);
            }
        }
        let has_screen = screen.is_some() && self.said_screen != Some(false);
        if std::mem::replace(&mut self.has_screen, has_screen) != has_screen {
            self.out.push_back(PeerOutput::News(News::Screen(has_screen)));
        }
    }
}
