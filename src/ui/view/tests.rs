//! What stands on the screen, as a test backend sees it.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::text::SafeText;
use crate::ui::chat::Entry;
use crate::ui::state::testing::state;
use crate::ui::state::{Message, Path, Signaling, Tone};
use crate::units::Cells;

fn draw(state: &State) -> Terminal<TestBackend> {
    let Cells { cols, rows } = state.terminal;
    let mut terminal = Terminal::new(TestBackend::new(cols, rows)).expect("it cannot fail");
    terminal
        .draw(|frame| render(frame, state, frame.area()))
        .expect("it cannot fail");
    terminal
}

/// The lines without what ends them.
fn lines(state: &State) -> Vec<String> {
    let terminal = draw(state);
    let buffer = terminal.backend().buffer();
    let row = |y| {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(symbol.width()).unwrap_or(1).max(1);
        }
        line.trim_end().to_owned()
    };
    (0..buffer.area.height).map(row).collect()
}

fn status_at(state: &mut State, cols: u16) -> String {
    state.terminal.cols = cols;
    lines(state).pop().expect("there is a bottom line")
}

#[test]
fn the_status_line_is_shortened_from_the_right_and_never_wraps() {
    let mut state = state(1, Cells::new(80, 24));
    state.me.level = 0.5;
    for (cols, wanted) in [
        (
            80,
            " ● mic ▂▄▁  ● cam   ann · direct · 41 ms · 58 kbit/s                     ? help",
        ),
        (60, " ● mic ▂▄▁  ● cam   ann · direct · 41 ms             ? help"),
        (45, " ● mic ▂▄▁  ● cam   ann · direct      ? help"),
        (40, " ● mic ▂▄▁  ● cam   ann          ? help"),
    ] {
        assert_eq!(status_at(&mut state, cols), wanted);
    }
}

#[test]
fn each_width_shows_as_much_as_fits() {
    let mut state = state(1, Cells::new(80, 24));
    state.people[0].name = SafeText::new("Bartholomew", 40);
    for cols in 40..=120 {
        let line = status_at(&mut state, cols);
        assert_eq!(line.width(), usize::from(cols) - 1, "{line}");
        assert!(line.ends_with("   ? help"), "{line}");
        assert!(line.contains("   Barth"), "{line}");
    }
}

#[test]
fn muted_is_said_in_words() {
    let mut state = state(1, Cells::new(80, 24));
    state.me.mic_on = false;
    state.me.camera_on = false;
    let line = status_at(&mut state, 80);
    assert!(line.starts_with("  ○ muted   ○ cam off   ann"), "{line}");
    state.me.muted_talk = true;
    assert!(status_at(&mut state, 80).contains("you are muted: m or Space to talk"));
    (state.me.has_mic, state.me.has_camera) = (false, false);
    state.me.muted_talk = false;
    let line = status_at(&mut state, 80);
    assert!(line.starts_with(" – no mic   – no cam   ann"), "{line}");
}

#[test]
fn trouble_replaces_the_middle_and_a_message_replaces_trouble() {
    let mut state = state(2, Cells::new(80, 24));
    state.people[1].stats.loss_in = 0.12;
    assert!(status_at(&mut state, 80).contains("Bob Olsen · line is weak, 12 % lost"));
    let since = state.now;
    state.now += Duration::from_millis(3900);
    state.people[0].path = Path::Unstable { since };
    assert!(status_at(&mut state, 80).contains("   ann · reconnecting 3 s   "));
    state.people[1].path = Path::Failed;
    assert!(status_at(&mut state, 80).contains("   Bob Olsen · cannot be reached   "));
    state.message = Some(Message {
        text: SafeText::new("cleo left", 40),
        tone: Tone::Info,
        until: state.now + Duration::from_secs(4),
    });
    assert!(status_at(&mut state, 80).contains("   cleo left   "));
}

#[test]
fn what_does_not_fit_the_bottom_line_stands_above_it_unbroken() {
    let mut state = state(1, Cells::new(40, 12));
    let text = "the camera is gone; it is used again when it returns";
    state.message = Some(Message {
        text: SafeText::new(text, 400),
        tone: Tone::Error,
        until: state.now + Duration::from_secs(4),
    });
    let shown = lines(&state);
    assert_eq!(shown[9].trim(), "the camera is gone; it is used again");
    assert_eq!(shown[10].trim(), "when it returns");
    assert!(shown[11].contains("ann"), "the call stays in the bottom line");
    let long = "word ".repeat(80);
    assert_eq!(wrap(&long, 38, 4).len(), 4);
    assert!(wrap(&long, 38, 4)[3].ends_with('…'));
    assert_eq!(wrap(&"x".repeat(50), 10, 4), ["xxxxxxxxx…"]);
}

#[test]
fn alone_the_command_and_the_link_stand_on_their_own_lines() {
    let mut state = state(0, Cells::new(80, 24));
    let shown = lines(&state);
    let trimmed: Vec<&str> = shown.iter().map(|line| line.trim()).collect();
    for wanted in [
        "You are alone in standup.",
        "facetty --room standup --server ws://192.168.1.23:7880",
        "http://192.168.1.23:7880/standup",
    ] {
        assert!(trimmed.contains(&wanted), "{wanted} in {trimmed:#?}");
    }
    state.signaling = Signaling::Connecting;
    assert!(lines(&state).iter().any(|line| line.trim() == "Joining standup…"));
}

#[test]
fn several_people_have_tags() {
    let mut state = state(3, Cells::new(80, 24));
    state.me.camera_on = false;
    state.people[1].talking = true;
    state.people[2].mic_on = false;
    let shown = lines(&state).join("\n");
    for tag in ["▸ann ", " Bob Olsen ▂▄▆", " cleo muted"] {
        assert!(shown.contains(tag), "{tag} in {shown}");
    }
}

#[test]
fn who_has_no_picture_is_told_why() {
    let mut state = state(1, Cells::new(80, 24));
    let says = |state: &State, text| lines(state).iter().any(|line| line.contains(text));
    assert!(!says(&state, "picture"));
    state.people[0].picture = None;
    assert!(says(&state, "waiting for the picture…"));
    state.people[0].camera_on = false;
    assert!(says(&state, "camera off"));
    state.people[0].path = Path::Connecting;
    assert!(says(&state, "connecting…"));
}

#[test]
fn sheets_dim_what_lies_behind() {
    let mut state = state(1, Cells::new(80, 24));
    state.sheet = Some(Sheet::Help);
    let terminal = draw(&state);
    let corner = &terminal.backend().buffer()[(0, 0)];
    assert!(corner.modifier.contains(Modifier::DIM) && corner.symbol() == " ");
    let status = &terminal.backend().buffer()[(21, 23)];
    assert!(!status.modifier.contains(Modifier::DIM));
    assert!(lines(&state).iter().any(|line| line.contains("q       leave")));
    state.sheet = Some(Sheet::Figures);
    assert!(
        lines(&state)
            .iter()
            .any(|line| line.contains("58 kbit/s  30 fps  80x46"))
    );
}

#[test]
fn the_chat_stands_beside_the_pictures_and_over_them_where_it_is_narrow() {
    let mut state = state(2, Cells::new(90, 24));
    state.chat.is_open = true;
    let wrote = |person: usize, text: &str| Entry::Wrote {
        who: (person > 0).then(|| {
            let person = &state.people[person - 1];
            (person.id.clone(), person.name.clone())
        }),
        text: SafeText::chat(text),
    };
    let entries = vec![
        Entry::Happened(Tone::Info, SafeText::new("Bob Olsen joined", 80)),
        wrote(2, "a sentence that is longer than a line of it"),
        wrote(2, "and more"),
        wrote(0, "yes"),
    ];
    state.chat.entries = entries.into();
    let shown = lines(&state);
    let rows: Vec<_> = shown[15..23]
        .iter()
        .map(|line| line.chars().skip(60).collect::<String>())
        .collect();
    let wanted = [
        " Bob Olsen joined",
        " Bob Olsen",
        " a sentence that is longer",
        " than a line of it",
        " and more",
        " you",
        " yes",
        "›  write to everyone",
    ];
    assert_eq!(rows, wanted);
    assert!(
        shown[22].starts_with(" Bob Olsen  "),
        "the pictures move together: {shown:#?}"
    );
    assert_eq!(layout(&state).stage.width, 60);
    state.terminal.cols = 50;
    let narrow = lines(&state);
    assert_eq!(narrow[21], " yes");
    assert!(!narrow.join("").contains('▸'), "{narrow:#?}");
}

#[test]
fn unread_lines_are_counted_beside_the_keys() {
    let mut state = state(1, Cells::new(80, 24));
    state.chat.unread = 2;
    assert!(status_at(&mut state, 80).ends_with("   c 2 unread  ? help"));
    assert!(status_at(&mut state, 40).ends_with("   c 2 unread"));
    state.chat.is_open = true;
    assert!(status_at(&mut state, 80).ends_with("   Esc close"));
}

#[test]
fn every_size_is_drawn_without_a_panic() {
    for cols in [1, 2, 7, 20, 39, 40, 41, 59, 60, 61, 79, 131, 300] {
        for rows in [1, 2, 5, 11, 12, 13, 17, 24, 80] {
            for people in [0, 1, 3, 8] {
                let mut state = state(people, Cells::new(cols, rows));
                for (index, person) in state.people.iter_mut().enumerate() {
                    person.picture = person.picture.filter(|_| index % 2 == 0);
                }
                for sheet in [
                    None,
                    Some(Sheet::Help),
                    Some(Sheet::Figures),
                    Some(Sheet::Devices),
                ] {
                    state.sheet = sheet;
                    draw(&state);
                }
                if people != 1 {
                    continue;
                }
                state.chat.is_open = true;
                let text = SafeText::chat(&"李小龍 👩‍👩‍👧 longwordlongword ".repeat(9));
                state.chat.entries = vec![Entry::Wrote { who: None, text }; 30].into();
                for scroll in [0, 3, 900] {
                    state.chat.scroll = scroll;
                    draw(&state);
                }
            }
        }
    }
}

#[test]
fn a_small_terminal_is_told_so_in_one_line() {
    let state = state(1, Cells::new(39, 12));
    let shown = lines(&state);
    assert_eq!(shown[6], "needs 40x12");
    assert!(
        shown
            .iter()
            .enumerate()
            .all(|(y, line)| y == 6 || line.is_empty())
    );
}

#[test]
fn text_is_cut_at_columns_not_at_bytes() {
    assert_eq!(shorten("李小龍", 6), "李小龍");
    assert_eq!(shorten("李小龍", 5), "李小…");
    assert_eq!(shorten("李小龍", 4), "李…");
    assert_eq!(shorten("abc", 0), "");
}
