//! Who is in front, and with which picture.

use super::state::Tone;
use super::update::Ui;
use crate::call::control::{VideoId, VideoKind};
use crate::signal::message::PeerId;
use crate::text::SafeText;

impl Ui {
    /// The next picture comes to the front: of each person the camera's, then a screen's.
    pub(super) fn next_in_front(&mut self) {
        let state = &mut self.state;
        let front = (state.front, state.front_kind);
        let videos: Vec<_> = state.videos().collect();
        let at = videos.iter().position(|video| *video == front);
        let next = at.map_or(0, |at| (at + 1) % videos.len());
        if let Some(&(who, kind)) = videos.get(next) {
            (state.front, state.front_kind) = (who, kind);
        }
    }

    /// Somebody shares a screen, which comes to the front, or no more.
    pub(super) fn shared(&mut self, id: &PeerId, on: bool) {
        let Some(who) = self.state.people.iter().position(|person| person.id == *id) else {
            return;
        };
        let person = &mut self.state.people[who];
        (person.shares, person.screen) = (on, None);
        let name = person.name.clone();
        if on {
            (self.state.front, self.state.front_kind) = (who, VideoKind::Screen);
            return self.tell(Tone::Info, SafeText::new(&format!("{name} shares a screen"), 80));
        }
        self.viewports
            .remove(&VideoId::new(id.clone(), VideoKind::Screen));
        if (self.state.front, self.state.front_kind) == (who, VideoKind::Screen) {
            self.put_a_screen_in_front();
        }
        let text = format!("{name} shares no screen any more");
        self.tell(Tone::Info, SafeText::new(&text, 80));
    }

    /// What was in front is gone: another screen comes there, or else the camera of who is there.
    pub(super) fn put_a_screen_in_front(&mut self) {
        let state = &mut self.state;
        let screen = state.videos().find(|(_, kind)| *kind == VideoKind::Screen);
        (state.front, state.front_kind) = screen.unwrap_or((state.front, VideoKind::Camera));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::ui::state::testing::{id, state};
    use crate::ui::{Action, Command};
    use crate::units::{Cells, Size};

    fn ui(people: usize, cols: u16, rows: u16) -> (Ui, Instant) {
        let state = state(people, Cells::new(cols, rows));
        let now = state.now;
        let mut ui = Ui::new(state);
        ui.update(Action::Timeout, now);
        (ui, now)
    }

    fn front(ui: &Ui) -> (usize, VideoKind) {
        (ui.state.front, ui.state.front_kind)
    }

    fn tab(ui: &mut Ui) -> (usize, VideoKind) {
        let now = ui.state.now;
        ui.update(Action::Key(KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE)), now);
        front(ui)
    }

    #[test]
    fn tab_goes_over_people_and_screens() {
        use VideoKind::{Camera, Screen};
        let (mut ui, now) = ui(3, 120, 40);
        ui.update(Action::Screen(id(1), true), now);
        assert_eq!(front(&ui), (1, Screen), "a screen comes to the front");
        assert_eq!(tab(&mut ui), (2, Camera));
        assert_eq!(tab(&mut ui), (0, Camera));
        assert_eq!(tab(&mut ui), (1, Camera));
        ui.update(Action::Screen(id(2), true), now);
        assert_eq!(tab(&mut ui), (0, Camera));
        ui.update(Action::Screen(id(1), false), now);
        assert_eq!(
            front(&ui),
            (0, Camera),
            "what was not in front takes nothing away"
        );
        for wanted in [(1, Camera), (2, Camera), (2, Screen)] {
            assert_eq!(tab(&mut ui), wanted);
        }
        ui.update(Action::Screen(id(0), true), now);
        ui.update(Action::PeerLeft(id(0)), now);
        assert_eq!(front(&ui), (1, Screen), "the other screen");
        ui.update(Action::Screen(id(2), false), now);
        assert_eq!(front(&ui), (1, Camera));
    }

    #[test]
    fn who_is_hidden_by_a_screen_need_send_nothing() {
        let (mut ui, now) = ui(1, 80, 24);
        let commands = ui.update(Action::Screen(id(0), true), now);
        let screen = VideoId::new(id(0), VideoKind::Screen);
        let viewport = |video, w, h| Command::Viewport(video, Size::new(w, h));
        assert_eq!(
            commands,
            [viewport(id(0).into(), 16, 14), viewport(screen.clone(), 160, 92)],
            "twice the pixels of the cells: letters are thin"
        );
        let commands = ui.update(Action::Resize(Cells::new(50, 20)), now);
        assert_eq!(
            commands,
            [viewport(id(0).into(), 0, 0), viewport(screen, 100, 76)]
        );
        let commands = ui.update(Action::Screen(id(0), false), now);
        assert_eq!(commands, [viewport(id(0).into(), 50, 38)]);
    }
}
