//! Volumes, and the choice of microphone and speaker.

use crossterm::event::KeyCode;

use super::action::Command;
use super::state::{Devices, Sheet, State, Tone};
use super::update::Ui;
use crate::signal::message::PeerId;
use crate::text::SafeText;

/// A key changes a volume by so many dB: what is just heard as a step.
pub const STEP: i8 = 3;
/// The bounds of a volume in dB; at the lower one nothing is heard.
pub const MUTE: i8 = -30;
/// Likewise.
pub const LOUDEST: i8 = 12;

impl Ui {
    /// The person in front becomes louder or fainter.
    pub(super) fn volume_of_one(&mut self, change: i8, commands: &mut Vec<Command>) {
        let front = self.state.front;
        let Some(person) = self.state.people.get_mut(front) else {
            return self.warn("nobody is there whose volume could change");
        };
        person.volume = stepped(person.volume, change);
        let text = format!("{}: volume {}", person.name, in_words(person.volume));
        let id = person.id.clone();
        self.say(Tone::Info, SafeText::new(&text, 80));
        commands.extend(self.loudness(&id));
    }

    /// Everybody becomes louder or fainter.
    pub(super) fn volume_of_all(&mut self, change: i8, commands: &mut Vec<Command>) {
        self.state.volume = stepped(self.state.volume, change);
        let text = format!("volume of all {}", in_words(self.state.volume));
        self.say(Tone::Info, SafeText::new(&text, 80));
        let ids: Vec<PeerId> = self.state.people.iter().map(|p| p.id.clone()).collect();
        commands.extend(ids.iter().filter_map(|id| self.loudness(id)));
    }

    /// How loud a person is to be; nobody who is not there.
    pub(super) fn loudness(&self, id: &PeerId) -> Option<Command> {
        let person = self.state.people.iter().find(|p| p.id == *id)?;
        let mute = person.volume <= MUTE || self.state.volume <= MUTE;
        let sum = if mute {
            MUTE
        } else {
            person.volume.saturating_add(self.state.volume)
        };
        Some(Command::Volume(id.clone(), sum.clamp(MUTE, LOUDEST)))
    }

    /// The devices to choose from are known.
    pub(super) fn choices(&mut self, devices: Devices) {
        let cursor = self.state.devices.cursor;
        self.state.devices = Devices { cursor, ..devices };
        let last = lines(&self.state.devices).saturating_sub(1);
        self.state.devices.cursor = cursor.min(last);
    }

    /// Moves in the sheet of devices and chooses there; false where the key means something else.
    pub(super) fn chose(&mut self, key: KeyCode, commands: &mut Vec<Command>) -> bool {
        let State { sheet, devices, .. } = &mut self.state;
        let count = lines(devices);
        if *sheet != Some(Sheet::Devices) || count == 0 {
            return false;
        }
        match key {
            KeyCode::Up | KeyCode::Char('k') => devices.cursor = devices.cursor.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => devices.cursor = (devices.cursor + 1).min(count - 1),
            KeyCode::Enter => {
                let microphones = devices.microphones.len();
                if let Some(name) = devices.microphones.get(devices.cursor) {
                    devices.microphone = Some(name.clone());
                    commands.push(Command::Microphone(name.as_str().to_owned()));
                } else if let Some(name) = devices.speakers.get(devices.cursor - microphones) {
                    devices.speaker = Some(name.clone());
                    commands.push(Command::Speaker(name.as_str().to_owned()));
                }
            }
            _ => return false,
        }
        true
    }
}

fn lines(devices: &Devices) -> usize {
    devices.microphones.len() + devices.speakers.len()
}

fn stepped(volume: i8, change: i8) -> i8 {
    volume.saturating_add(change).clamp(MUTE, LOUDEST)
}

fn in_words(volume: i8) -> String {
    match volume {
        MUTE => "off".to_owned(),
        0 => "as it comes".to_owned(),
        volume => format!("{volume:+} dB"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossterm::event::{KeyEvent, KeyEventKind, KeyModifiers};

    use super::*;
    use crate::ui::Action;
    use crate::ui::state::testing::{id, person, state};
    use crate::units::Cells;

    fn ui(people: usize) -> (Ui, Instant) {
        let state = state(people, Cells::new(80, 24));
        let now = state.now;
        let mut ui = Ui::new(state);
        ui.update(Action::Timeout, now);
        (ui, now)
    }

    fn press(ui: &mut Ui, code: KeyCode) -> Vec<Command> {
        let now = ui.state.now;
        ui.update(Action::Key(KeyEvent::new(code, KeyModifiers::NONE)), now)
    }

    #[test]
    fn one_person_and_all_become_louder_and_fainter() {
        let (mut ui, now) = ui(2);
        assert_eq!(press(&mut ui, KeyCode::Char('+')), [Command::Volume(id(0), 3)]);
        let all = [Command::Volume(id(0), 0), Command::Volume(id(1), -3)];
        assert_eq!(press(&mut ui, KeyCode::Char('[')), all);
        let message = ui.state.message.as_ref().expect("it is said");
        assert!(message.text.as_str().contains("-3 dB"), "{message:?}");
        for _ in 0..20 {
            press(&mut ui, KeyCode::Char('-'));
        }
        assert_eq!(press(&mut ui, KeyCode::Char('-')), [Command::Volume(id(0), MUTE)]);
        assert_eq!(
            press(&mut ui, KeyCode::Char(']'))[0],
            Command::Volume(id(0), MUTE)
        );
        press(&mut ui, KeyCode::Char(']'));
        let newcomer = person(2);
        let joined = ui.update(Action::PeerJoined(newcomer.id, newcomer.name), now);
        assert!(joined.contains(&Command::Volume(id(2), 3)), "{joined:?}");
    }

    #[test]
    fn devices_are_listed_and_chosen() {
        let (mut ui, now) = ui(1);
        assert_eq!(press(&mut ui, KeyCode::Char('d')), [Command::ListDevices]);
        assert_eq!(press(&mut ui, KeyCode::Enter), [], "there is none yet");
        let names = |all: &[&str]| all.iter().map(|name| SafeText::new(name, 80)).collect();
        let devices = Devices {
            microphones: names(&["auto", "desk"]),
            speakers: names(&["auto", "headset"]),
            ..Devices::default()
        };
        ui.update(Action::Choices(devices), now);
        press(&mut ui, KeyCode::Down);
        assert_eq!(
            press(&mut ui, KeyCode::Enter),
            [Command::Microphone("desk".to_owned())]
        );
        for _ in 0..9 {
            press(&mut ui, KeyCode::Char('j'));
        }
        assert_eq!(
            press(&mut ui, KeyCode::Enter),
            [Command::Speaker("headset".to_owned())]
        );
        let chosen = &ui.state.devices;
        assert_eq!(chosen.microphone.as_ref().map(SafeText::as_str), Some("desk"));
        assert_eq!(
            press(&mut ui, KeyCode::Char('m')),
            [Command::Mic(false)],
            "other keys work"
        );
        press(&mut ui, KeyCode::Esc);
        assert_eq!(press(&mut ui, KeyCode::Enter), []);
    }

    #[test]
    fn space_talks_while_it_is_held_where_the_terminal_tells() {
        let (mut ui, now) = ui(1);
        press(&mut ui, KeyCode::Char('m'));
        let space = |kind| {
            Action::Key(KeyEvent::new_with_kind(
                KeyCode::Char(' '),
                KeyModifiers::NONE,
                kind,
            ))
        };
        assert_eq!(ui.update(space(KeyEventKind::Press), now), [Command::Mic(true)]);
        assert_eq!(ui.update(space(KeyEventKind::Repeat), now), []);
        assert_eq!(
            ui.update(space(KeyEventKind::Release), now),
            [Command::Mic(false)]
        );
        assert_eq!(ui.update(space(KeyEventKind::Release), now), []);
        press(&mut ui, KeyCode::Char('m'));
        assert_eq!(ui.update(space(KeyEventKind::Release), now), [], "m stays on");
    }
}
