//! The bottom line, and above it, for as long as it lasts, what does not fit into it.
//!
//! ```text
//!  the camera is gone; it is used again when it returns
//!  ● mic ▂▄▁  ● cam   ann · direct · 41 ms · 58 kbit/s            ? help
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use unicode_width::UnicodeWidthStr;

use super::{shorten, theme, wrap};
use crate::call::control::VideoKind;
use crate::ui::state::{Me, Path, PathKind, Person, Signaling, State, Tone};

/// A word to the user takes at most so many lines above the bottom one.
const NOTICE_LINES: usize = 4;

/// Terminals narrower than this have room for one key.
const NARROW: u16 = 60;

/// Draws the bottom line into `area`, one row, and what does not fit onto the lower end of `stage`.
pub fn render(buffer: &mut Buffer, state: &State, stage: Rect, area: Rect) {
    let left = left(&state.me);
    let right = right(state);
    let left_width = u16::try_from(left.width()).unwrap_or(u16::MAX);
    let right_width = u16::try_from(right.width()).unwrap_or(u16::MAX);
    buffer.set_line(area.x, area.y, &left, area.width);
    if left_width + right_width + 3 > area.width {
        return;
    }
    buffer.set_line(area.right() - right_width, area.y, &right, right_width);
    // Three columns of air on either side.
    let from = left_width + 3;
    let room = area.width.saturating_sub(from + right_width + 3);
    let middle = match said(state) {
        Some((text, style)) if text.width() <= room.into() => Line::styled(text, style),
        said => {
            if let Some((text, style)) = said {
                notice(buffer, &text, style, stage);
            }
            call(state, room.into())
        }
    };
    buffer.set_line(area.x + from, area.y, &middle, room);
}

/// Draws `text` on a dark ground over the lowest lines of `stage`, broken between words.
fn notice(buffer: &mut Buffer, text: &str, style: Style, stage: Rect) {
    let lines = wrap(text, usize::from(stage.width.saturating_sub(2)), NOTICE_LINES);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(stage.height);
    let ground = Rect::new(stage.x, stage.bottom() - height, stage.width, height);
    for at in ground.intersection(buffer.area).positions() {
        buffer[at].reset();
        buffer[at].set_style(theme::OVER);
    }
    for (line, y) in lines.iter().zip(ground.top()..) {
        buffer.set_stringn(
            ground.x + 1,
            y,
            line,
            usize::from(ground.width - 1),
            theme::OVER.patch(style),
        );
    }
}

/// How the path to `person` leads.
pub fn path_in_words(person: &Person) -> &'static str {
    match person.path {
        Path::Connecting => "connecting…",
        Path::Connected {
            kind: PathKind::Direct,
        } => "direct",
        Path::Connected { kind: PathKind::Nat } => "direct through NAT",
        Path::Connected {
            kind: PathKind::Relayed,
        } => "relayed (UDP)",
        Path::Connected {
            kind: PathKind::RelayedTcp,
        } => "relayed (TCP)",
        Path::Connected {
            kind: PathKind::RelayedTls,
        } => "relayed (TLS)",
        Path::Unstable { .. } => "reconnecting",
        Path::Failed => "cannot be reached",
    }
}

fn left(me: &Me) -> Line<'static> {
    let mut parts = vec![Span::raw(" ")];
    if !me.has_mic {
        parts.push(Span::styled("– no mic ", theme::QUIET));
    } else if me.mic_on {
        parts.push(Span::styled("●", theme::ACCENT));
        parts.push(Span::raw(if me.push_to_talk { " talk " } else { " mic " }));
        parts.extend(meter(me.level));
    } else {
        parts.push(Span::styled(" ○ muted ", theme::MUTED));
    }
    parts.push(Span::raw("  "));
    if !me.has_camera {
        parts.push(Span::styled("– no cam", theme::QUIET));
    } else if me.camera_on {
        parts.push(Span::styled("●", theme::ACCENT));
        parts.push(Span::raw(" cam"));
    } else {
        parts.push(Span::styled("○ cam off", theme::QUIET));
    }
    Line::from(parts)
}

/// Three bars that stand up one after the other. Speech lies between −45 and −10 dBFS, which is a
/// quarter to five sixths of the scale.
fn meter(level: f32) -> [Span<'static>; 3] {
    let bar = |bar: &'static str, from: f32| {
        if level >= from {
            Span::styled(bar, theme::ACCENT)
        } else {
            Span::styled("▁", theme::QUIET)
        }
    };
    [bar("▂", 0.25), bar("▄", 0.5), bar("▆", 0.7)]
}

fn right(state: &State) -> Line<'static> {
    if state.chat.is_open || state.sheet.is_some() {
        return Line::styled("Esc close ", theme::QUIET);
    }
    let help = Span::styled("? help ", theme::QUIET);
    match state.chat.unread {
        0 => Line::from(help),
        count => {
            let unread = Span::styled(format!("c {count} unread"), theme::ACCENT);
            // On a narrow terminal the one key to know is this one.
            match state.terminal.cols {
                ..NARROW => Line::from(vec![unread, Span::raw(" ")]),
                _ => Line::from(vec![unread, Span::raw("  "), help]),
            }
        }
    }
}

/// What is to be said before all else: a message, a hint, trouble.
fn said(state: &State) -> Option<(String, Style)> {
    if let Some(message) = &state.message {
        let style = match message.tone {
            Tone::Info => Style::new(),
            Tone::Warning => theme::WARNING,
            Tone::Error => theme::ERROR,
        };
        return Some((message.text.as_str().to_owned(), style));
    }
    if state.me.muted_talk {
        return Some(("you are muted: m or Space to talk".to_owned(), theme::WARNING));
    }
    trouble(state)
}

/// What the call is, in at most `room` columns.
fn call(state: &State, room: usize) -> Line<'static> {
    match state.in_front() {
        Some(person) => pieces(&of_person(person, state.front_kind), room),
        None => Line::raw(shorten(&state.room, room)),
    }
}

/// The worst that is wrong, if anything is.
fn trouble(state: &State) -> Option<(String, Style)> {
    let of = |wrong: fn(&Person) -> bool| {
        let mut people = state.in_front().into_iter().chain(&state.people);
        people.find(|person| wrong(person))
    };
    if let Some(person) = of(|p| matches!(p.path, Path::Failed)) {
        return Some((format!("{} · cannot be reached", person.name), theme::ERROR));
    }
    if let Some(person) = of(|p| matches!(p.path, Path::Unstable { .. }))
        && let Path::Unstable { since } = person.path
    {
        let seconds = state.now.saturating_duration_since(since).as_secs();
        return Some((
            format!("{} · reconnecting {seconds} s", person.name),
            theme::WARNING,
        ));
    }
    if let Some(person) = of(Person::is_weak) {
        let lost = person.stats.loss_in.max(person.stats.loss_out) * 100.0;
        let text = format!("{} · line is weak, {lost:.0} % lost", person.name);
        return Some((text, theme::WARNING));
    }
    if let Some(person) = of(|p| p.stats.terminal_fps.is_some())
        && let Some(fps) = person.stats.terminal_fps
    {
        let text = format!("terminal is slow, {fps} fps asked for");
        return Some((text, theme::WARNING));
    }
    if state.signaling == Signaling::Lost && !state.people.is_empty() {
        let text = "meeting point lost, the call goes on".to_owned();
        return Some((text, theme::WARNING));
    }
    None
}

/// What is to be known of a person, the most important first.
fn of_person(person: &Person, kind: VideoKind) -> Vec<String> {
    let mut pieces = vec![person.name.as_str().to_owned()];
    if kind == VideoKind::Screen {
        pieces.push("screen".to_owned());
    }
    if !person.mic_on {
        pieces.push("muted".to_owned());
    }
    pieces.push(path_in_words(person).to_owned());
    if let Some(rtt) = person.stats.rtt_ms {
        pieces.push(format!("{rtt:.0} ms"));
    }
    if person.stats.recv_kbps >= 0.5 {
        pieces.push(format!("{:.0} kbit/s", person.stats.recv_kbps));
    }
    pieces
}

/// As many of `pieces` as fit, at least (a part of) the first.
fn pieces(pieces: &[String], room: usize) -> Line<'static> {
    let mut line = Line::from(shorten(&pieces[0], room));
    for piece in &pieces[1..] {
        let piece = Span::raw(piece.clone());
        if line.width() + 3 + piece.width() > room {
            break;
        }
        line.push_span(Span::styled(" · ", theme::QUIET));
        line.push_span(piece);
    }
    line
}
