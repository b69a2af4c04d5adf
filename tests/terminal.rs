//! The real program in a pseudo-terminal: what is seen, what keys do, and that the terminal is given
//! back, whatever the road out.

mod support;

use std::collections::HashSet;

use facetty::signal::code::Code;
use facetty::units::Cells;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use support::program::{DEMO, NO_DEVICES};
use support::terminal::Terminal;

const USUAL: Cells = Cells::new(80, 24);

/// A demo call whose picture is seen.
fn demo(size: Cells, env: &[(&str, &str)]) -> Terminal {
    let mut terminal = Terminal::start_with(size, DEMO, None, env);
    terminal.until("the far picture", |screen| {
        has_picture(screen, size) && screen.contents().contains("echo")
    });
    terminal
}

/// Whether the middle of the screen is a picture: many cells of two colours each.
fn has_picture(screen: &vt100::Screen, size: Cells) -> bool {
    let mut colours = HashSet::new();
    let mut halves = 0;
    for row in size.rows / 4..size.rows * 3 / 4 {
        for col in size.cols / 4..size.cols * 3 / 4 {
            let Some(cell) = screen.cell(row, col) else {
                continue;
            };
            halves += usize::from(["▀", "▄", "▌", "▐"].contains(&cell.contents()));
            if let vt100::Color::Rgb(r, g, b) = cell.bgcolor() {
                colours.insert((r, g, b));
            }
        }
    }
    halves > usize::from(size.cols) * usize::from(size.rows) / 16 && colours.len() > 20
}

fn bottom(screen: &vt100::Screen) -> String {
    let (rows, cols) = screen.size();
    screen.contents_between(rows - 1, 0, rows - 1, cols)
}

fn press(terminal: &mut Terminal, key: &str, wanted: &str) {
    terminal.type_keys(key);
    terminal.until(&format!("{wanted:?} after {key:?}"), |s| {
        s.contents().contains(wanted)
    });
}

#[test]
fn the_far_picture_moves_and_the_bottom_line_tells_of_the_call() {
    let mut terminal = demo(USUAL, &[]);
    let first = terminal.screen().state_formatted();
    terminal.until("another picture", |screen| {
        has_picture(screen, USUAL) && screen.state_formatted() != first
    });
    terminal.until("the figures of the call", |screen| {
        let line = bottom(screen);
        line.contains("● cam")
            && line.contains("echo · direct")
            && line.contains("ms")
            && line.contains("kbit/s")
    });
    terminal.type_keys("q");
    let (status, _) = terminal.restored();
    assert!(status.success(), "{status:?}");
}

#[test]
fn keys_do_what_the_help_says() {
    let mut terminal = demo(USUAL, &[]);
    press(&mut terminal, "m", "○ muted");
    press(&mut terminal, " ", "● talk");
    press(&mut terminal, " ", "○ muted");
    press(&mut terminal, "m", "● mic");
    press(&mut terminal, "v", "○ cam off");
    press(&mut terminal, "v", "● cam ");
    press(&mut terminal, "s", "received");
    press(&mut terminal, "?", "own picture as others see it");
    press(&mut terminal, "x", "own picture as in a mirror");
    terminal.type_keys("\x1b");
    terminal.until("no sheet after Esc", |s| !s.contents().contains("mirror"));
    terminal.type_keys("\x03");
    let (status, _) = terminal.restored();
    assert!(status.success(), "{status:?}");
}

#[test]
fn what_is_typed_in_the_chat_is_text_and_is_answered() {
    let mut terminal = demo(USUAL, &[]);
    terminal.until("no message", |screen| bottom(screen).contains("echo ·"));
    press(&mut terminal, "c", "write to everyone");
    press(&mut terminal, "quiet here", "› quiet here");
    press(&mut terminal, "\x1b[200~, m v q\r\x1b[201~", "› quiet here, m v");
    terminal.type_keys("\r");
    terminal.until("the line and its echo", |screen| {
        let text = screen.contents();
        text.contains("I am an echo") && text.matches("quiet here, m v q").count() == 2
    });
    press(&mut terminal, "\x1b[A", "↓ more");
    terminal.type_keys("\x1b");
    terminal.until("the call without the chat", |screen| {
        has_picture(screen, USUAL) && !screen.contents().contains("I am an echo")
    });
    terminal.type_keys("q");
    let (status, _) = terminal.restored();
    assert!(status.success(), "{status:?}");
}

#[test]
fn another_size_is_followed() {
    let mut terminal = demo(USUAL, &[]);
    for size in [Cells::new(120, 40), Cells::new(40, 12), Cells::new(100, 30)] {
        terminal.resize(size);
        terminal.until(&format!("the picture at {size:?}"), |screen| {
            has_picture(screen, size) && bottom(screen).contains("? help")
        });
    }
    terminal.resize(Cells::new(30, 8));
    terminal.until("that it is too small", |s| s.contents().contains("needs 40x12"));
    terminal.type_keys("q");
    terminal.restored();
}

#[test]
fn signals_end_the_call_and_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let terminal = demo(USUAL, &[]);
        terminal.signal(signal);
        terminal.restored();
    }
}

#[test]
fn a_signal_before_the_first_picture_gives_the_terminal_back() {
    let mut terminal = Terminal::start(USUAL, DEMO, None);
    terminal.until("the interface", |screen| screen.alternate_screen());
    terminal.signal(Signal::TERM);
    terminal.restored();
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_on_any_thread_gives_the_terminal_back_and_is_read() {
    for thread in ["screen", "keys"] {
        let mut terminal = Terminal::start_with(USUAL, DEMO, None, &[("FACETTY_TEST_PANIC", thread)]);
        terminal.until("the interface", |screen| screen.alternate_screen());
        if thread == "keys" {
            terminal.type_keys("m");
        }
        let (status, text) = terminal.restored();
        assert_eq!(status.exit_code(), 101);
        let said = format!("asked for it on the thread {thread}");
        assert!(text.replace('\n', "").contains(&said), "{text}");
    }
}

#[test]
fn a_stopped_program_gives_the_terminal_back_and_takes_it_again() {
    let mut terminal = demo(USUAL, &[]);
    terminal.signal(Signal::TSTP);
    terminal.until("the shell's screen", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
    // A shell continues what has stopped; a signal that came before that would be lost.
    let pid = Pid::from_raw(terminal.pid().cast_signed()).expect("a child's number");
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), stopped).expect("the child stops");
    terminal.signal(Signal::CONT);
    terminal.until("the call", |screen| {
        screen.alternate_screen() && has_picture(screen, USUAL) && bottom(screen).contains("? help")
    });
    terminal.type_keys("q");
    terminal.restored();
}

#[test]
fn a_closed_terminal_ends_the_program() {
    let status = demo(USUAL, &[]).closed();
    assert!(status.signal().is_none(), "{status:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_closes_without_a_signal_ends_the_program() {
    // In a session of its own nothing tells it but the terminal itself; and nobody types.
    let script = "trap '' HUP; exec setsid --wait \"$0\" \"$@\"";
    let mut terminal = Terminal::start_shell(USUAL, script, DEMO);
    terminal.until("the far picture", |screen| has_picture(screen, USUAL));
    let status = terminal.closed();
    assert!(status.success(), "{status:?}");
}

#[test]
fn in_a_terminals_background_it_reads_no_commands_and_goes_on() {
    let args = [
        "demo",
        "--headless",
        "--duration",
        "1",
        "--camera",
        "none",
        "--mic",
        "none",
    ];
    let args = [&args[..], &["--speaker", "none"]].concat();
    let script = "set -m; \"$0\" \"$@\" & wait $!; echo status $?";
    let (status, parser) = Terminal::start_shell(Cells::new(200, 50), script, &args).ended();
    let text = parser.screen().contents();
    assert!(status.success() && text.contains("\"event\":\"ended\""), "{text}");
    assert!(text.contains("status 0"), "{text}");
}

#[test]
fn without_colour_none_is_sent() {
    let mut terminal = Terminal::start_with(USUAL, DEMO, None, &[("NO_COLOR", "1")]);
    let shades = |screen: &vt100::Screen| {
        let text = screen.contents();
        text.chars().filter(|c| "░▒▓█".contains(*c)).count() > 200 && text.contains("echo · direct")
    };
    terminal.until("a picture of shades", shades);
    let screen = terminal.screen();
    for row in 0..USUAL.rows {
        for col in 0..USUAL.cols {
            let cell = screen.cell(row, col).expect("it is on the screen");
            let colours = (cell.fgcolor(), cell.bgcolor());
            assert_eq!(colours, (vt100::Color::Default, vt100::Color::Default));
        }
    }
}

#[test]
fn a_private_room_shows_its_code_and_its_link() {
    let mut terminal = Terminal::start(Cells::new(100, 30), NO_DEVICES, None);
    let mut code = String::new();
    terminal.until("a code", |screen| screen.contents().contains("Your code is "));
    let text = terminal.screen().contents();
    if let Some((_, rest)) = text.split_once("Your code is ") {
        code.extend(rest.chars().take_while(|c| *c != '.'));
    }
    assert!(Code::of_room(&code).is_some(), "{code}");
    assert!(text.contains(&format!("facetty {code} --server ")), "{text}");
    assert!(text.contains(&format!("/{code}")), "{text}");
    terminal.type_keys("q");
    terminal.restored();
}

#[test]
fn alone_it_says_how_others_come() {
    let room = format!("alone-{}", std::process::id());
    let args = [&["--room", &room], NO_DEVICES].concat();
    let mut terminal = Terminal::start(Cells::new(100, 30), &args, None);
    let wanted = [
        format!("You are alone in {room}."),
        format!("facetty --room {room} --server "),
        "http://".to_owned(),
    ];
    terminal.until("what others type", |screen| {
        wanted
            .iter()
            .all(|wanted| screen.contents().contains(wanted.as_str()))
    });
    terminal.type_keys("q");
    terminal.restored();
}

#[test]
fn a_stream_is_not_taken_from_who_types() {
    let stream = [
        "--room",
        "typed",
        "--camera",
        "y4m:-",
        "--mic",
        "none",
        "--speaker",
        "none",
    ];
    let terminal = Terminal::start(USUAL, &stream, None);
    let (_, parser) = terminal.ended();
    let text = parser.screen().contents();
    assert!(text.contains("pipe a Y4M stream"), "{text}");
}
