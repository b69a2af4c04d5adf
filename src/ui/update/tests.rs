//! What keys and happenings make of the state.

use super::*;
use crate::ui::state::testing::{id, state};
use crate::ui::state::{PathKind, Stats};
use crate::units::Cells;

fn ui(people: usize) -> (Ui, Instant) {
    let state = state(people, Cells::new(80, 24));
    let now = state.now;
    let mut ui = Ui::new(state);
    ui.update(Action::Timeout, now);
    ui.take_changed();
    (ui, now)
}

fn press(ui: &mut Ui, code: KeyCode) -> Vec<Command> {
    let now = ui.state.now;
    ui.update(Action::Key(KeyEvent::new(code, KeyModifiers::NONE)), now)
}

fn key(ui: &mut Ui, c: char) -> Vec<Command> {
    press(ui, KeyCode::Char(c))
}

#[test]
fn keys_switch_microphone_and_camera() {
    let (mut ui, _) = ui(1);
    assert_eq!(key(&mut ui, 'm'), [Command::Mic(false)]);
    assert_eq!(key(&mut ui, 'M'), [Command::Mic(true)]);
    assert_eq!(key(&mut ui, 'v'), [Command::Camera(false)]);
    assert_eq!(key(&mut ui, 'v'), [Command::Camera(true)]);
    assert!(ui.take_changed());
}

#[test]
fn what_is_not_there_is_switched_for_when_it_comes_and_that_is_said() {
    let (mut ui, now) = ui(1);
    let none = Action::Devices {
        has_mic: false,
        has_camera: false,
    };
    ui.update(none, now);
    for (char, asked, said) in [
        (
            'm',
            Command::Mic(false),
            "no microphone; one that comes stays muted",
        ),
        (
            ' ',
            Command::Mic(true),
            "no microphone; one that comes will be heard",
        ),
        ('v', Command::Camera(false), "no camera; one that comes stays off"),
        (
            'v',
            Command::Camera(true),
            "no camera; one that is found will be seen",
        ),
    ] {
        assert_eq!(key(&mut ui, char), [asked]);
        let message = ui.state.message.take().expect("it is said");
        assert!(message.text.as_str().contains(said), "{}", message.text);
    }
}

#[test]
fn space_that_is_repeated_is_held() {
    let (mut ui, start) = ui(1);
    key(&mut ui, 'm');
    let mut at = |ms: u64, action: Action| ui.update(action, start + Duration::from_millis(ms));
    let space = || Action::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE));
    assert_eq!(at(1000, space()), [Command::Mic(true)]);
    // Whether the first repeat is one cannot be known; the second one shows it.
    assert_eq!(at(1500, space()), [Command::Mic(false)]);
    assert_eq!(at(1530, space()), [Command::Mic(true)]);
    for ms in (1560..3000).step_by(30) {
        assert_eq!(at(ms, space()), []);
    }
    assert_eq!(at(3100, Action::Timeout), []);
    assert_eq!(at(3300, Action::Timeout), [Command::Mic(false)]);
}

#[test]
fn space_talks_while_muted_and_never_mutes() {
    let (mut ui, start) = ui(1);
    let mut second = 0;
    let mut key = |ui: &mut Ui, char| {
        second += 1;
        let key = KeyEvent::new(KeyCode::Char(char), KeyModifiers::NONE);
        ui.update(Action::Key(key), start + Duration::from_secs(second))
    };
    assert_eq!(key(&mut ui, ' '), []);
    key(&mut ui, 'm');
    assert_eq!(key(&mut ui, ' '), [Command::Mic(true)]);
    assert!(ui.state.me.push_to_talk);
    assert_eq!(key(&mut ui, ' '), [Command::Mic(false)]);
    key(&mut ui, ' ');
    assert_eq!(key(&mut ui, 'm'), [Command::Mic(false)], "m ends it too");
    assert!(!ui.state.me.push_to_talk);
}

#[test]
fn q_and_control_c_leave_and_other_chords_do_nothing() {
    let (mut ui, now) = ui(1);
    assert_eq!(key(&mut ui, 'q'), [Command::Leave]);
    assert_eq!(
        ui.update(
            Action::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL)),
            now
        ),
        [Command::Suspend]
    );
    let chord = |c, modifiers| Action::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
    assert_eq!(
        ui.update(chord('c', KeyModifiers::CONTROL), now),
        [Command::Leave]
    );
    assert_eq!(ui.update(chord('m', KeyModifiers::CONTROL), now), []);
    assert_eq!(ui.update(chord('q', KeyModifiers::ALT), now), []);
}

#[test]
fn a_released_key_does_nothing() {
    let (mut ui, now) = ui(1);
    let released = KeyEvent::new_with_kind(KeyCode::Char('m'), KeyModifiers::NONE, KeyEventKind::Release);
    assert_eq!(ui.update(Action::Key(released), now), []);
}

#[test]
fn sheets_open_close_and_replace_each_other() {
    let (mut ui, _) = ui(1);
    key(&mut ui, '?');
    assert_eq!(ui.state.sheet, Some(Sheet::Help));
    key(&mut ui, 's');
    assert_eq!(ui.state.sheet, Some(Sheet::Figures));
    key(&mut ui, 's');
    assert_eq!(ui.state.sheet, None);
    key(&mut ui, '?');
    press(&mut ui, KeyCode::Esc);
    assert_eq!(ui.state.sheet, None);
}

#[test]
fn viewports_follow_people_and_size_and_nothing_else() {
    let (mut ui, now) = ui(0);
    let joined = |i| Action::PeerJoined(id(i), SafeText::new("x", 9));
    let viewport = |i, w, h| Command::Viewport(id(i).into(), Size::new(w, h));
    let volume = |i| Command::Volume(id(i), 0);
    assert_eq!(ui.update(joined(0), now), [volume(0), viewport(0, 80, 46)]);
    assert_eq!(
        ui.update(joined(1), now),
        [volume(1), viewport(0, 40, 46), viewport(1, 40, 46)]
    );
    assert_eq!(key(&mut ui, '?'), []);
    assert_eq!(
        ui.update(Action::PeerLeft(id(0)), now),
        [viewport(1, 80, 46)],
        "who stays gets the room"
    );
    assert_eq!(
        ui.update(Action::Resize(Cells::new(100, 30)), now),
        [viewport(1, 100, 58)]
    );
    assert_eq!(
        ui.update(Action::Cell(Size::new(2, 4)), now),
        [viewport(1, 200, 116)],
        "finer glyphs show more"
    );
    assert_eq!(
        ui.update(Action::Resize(Cells::new(10, 3)), now),
        [viewport(1, 0, 0)]
    );
    assert_eq!(ui.update(Action::Timeout, now), []);
}

#[test]
fn the_same_person_coming_again_is_no_second_one() {
    let (mut ui, now) = ui(1);
    let again = Action::PeerJoined(id(0), SafeText::new("anna", 9));
    assert_eq!(ui.update(again, now), []);
    assert_eq!(ui.state.people.len(), 1);
    assert_eq!(ui.state.people[0].name.as_str(), "anna");
    assert_eq!(
        ui.state.people[0].path,
        Path::Connected {
            kind: PathKind::Direct
        }
    );
}

#[test]
fn who_is_in_front_stays_in_front_while_others_go() {
    let (mut ui, now) = ui(3);
    press(&mut ui, KeyCode::Tab);
    press(&mut ui, KeyCode::Tab);
    ui.update(Action::PeerLeft(id(0)), now);
    assert_eq!(ui.state.in_front().map(|p| &p.id), Some(&id(2)));
    ui.update(Action::PeerLeft(id(2)), now);
    assert_eq!(ui.state.in_front().map(|p| &p.id), Some(&id(1)));
    ui.update(Action::PeerLeft(id(1)), now);
    assert_eq!(ui.state.in_front(), None);
    press(&mut ui, KeyCode::Tab);
}

#[test]
fn a_message_stands_four_seconds_and_the_newest_wins() {
    let (mut ui, now) = ui(1);
    let tell = |text| Action::Tell(Tone::Info, SafeText::new(text, 80));
    ui.update(tell("one"), now);
    ui.update(tell("two"), now + Duration::from_secs(3));
    let due = now + Duration::from_secs(7);
    assert_eq!(ui.deadline(), Some(due));
    ui.update(Action::Timeout, due - Duration::from_millis(1));
    assert_eq!(ui.state.message.as_ref().map(|m| m.text.as_str()), Some("two"));
    ui.take_changed();
    ui.update(Action::Timeout, due);
    assert!(ui.take_changed());
    assert_eq!(ui.state.message, None);
    assert_eq!(ui.deadline(), None);
}

#[test]
fn seconds_are_counted_only_while_a_path_is_unstable() {
    let (mut ui, now) = ui(1);
    assert_eq!(ui.deadline(), None);
    ui.update(Action::Path(id(0), Path::Unstable { since: now }), now);
    let second = |s| now + Duration::from_secs(s);
    assert_eq!(ui.deadline(), Some(second(1)));
    ui.update(Action::Timeout, second(1));
    assert_eq!(ui.deadline(), Some(second(2)));
    // Another one is sought.
    ui.update(Action::Path(id(0), Path::Connecting), second(1));
    ui.update(Action::PathKind(id(0), PathKind::Nat), second(1));
    assert_eq!(ui.deadline(), Some(second(2)));
    let back = Path::Connected { kind: PathKind::Nat };
    ui.update(Action::Path(id(0), back), second(1));
    assert_eq!(ui.deadline(), None);
    ui.update(Action::PathKind(id(0), PathKind::Relayed), second(1));
    let relayed = PathKind::Relayed;
    assert_eq!(ui.state.people[0].path, Path::Connected { kind: relayed });
}

#[test]
fn only_a_level_that_looks_different_is_a_change() {
    let (mut ui, now) = ui(1);
    ui.update(Action::Level(0.5, true), now);
    assert!(ui.take_changed());
    ui.update(Action::Level(0.51, true), now);
    assert!(!ui.take_changed());
    assert!(!ui.state.me.muted_talk);
}

#[test]
fn talking_while_muted_is_noticed_and_forgotten() {
    let (mut ui, now) = ui(1);
    key(&mut ui, 'm');
    ui.update(Action::Level(0.6, true), now);
    assert!(ui.state.me.muted_talk);
    assert_eq!(ui.state.me.level, 0.0, "what is muted has no level");
    assert_eq!(ui.deadline(), Some(now + MUTED_TALK_TIME));
    ui.update(Action::Timeout, now + MUTED_TALK_TIME);
    assert!(!ui.state.me.muted_talk);
    ui.update(Action::Level(0.6, true), now);
    key(&mut ui, 'm');
    assert!(!ui.state.me.muted_talk);
}

#[test]
fn what_concerns_nobody_present_is_ignored() {
    let (mut ui, now) = ui(1);
    let before = ui.state.clone();
    for action in [
        Action::PeerLeft(id(7)),
        Action::Path(id(7), Path::Failed),
        Action::Stats(id(7), Stats::default()),
        Action::Talking(id(7), true),
        Action::PictureSize(id(7).into(), Size::new(2, 2)),
    ] {
        assert_eq!(ui.update(action, now), []);
    }
    assert_eq!(ui.state, before);
}
