//! The bottom line.
//!
//! ```text
//!  ● mic ▂▄▁  ● cam   ann · direct · 41 ms · 58 kbit/s            ? help
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{shorten, theme};
use crate::ui::state::{Me, Path, PathKind, Person, Signaling, State, Tone};

/// Draws the bottom line into `area`, one row.
pub fn render(buffer: &mut Buffer, state: &State, area: Rect) {
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
    let middle = middle(state, room.into());
    buffer.set_line(area.x + from, area.y, &middle, room);
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
        } => "relayed",
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
    let text = if state.sheet.is_some() {
        "Esc close "
    } else {
        "? help "
    };
    Line::styled(text, theme::QUIET)
}

/// What the call is; trouble, a hint or a message instead. At most `room` columns.
fn middle(state: &State, room: usize) -> Line<'static> {
    let line = |text: &str, style: Style| Line::styled(shorten(text, room), style);
    if let Some(message) = &state.message {
        let style = match message.tone {
            Tone::Info => Style::new(),
            Tone::Warning => theme::WARNING,
            Tone::Error => theme::ERROR,
        };
        return line(message.text.as_str(), style);
    }
    if state.me.muted_talk {
        return line("you are muted: m or Space to talk", theme::WARNING);
    }
    if let Some((text, style)) = trouble(state) {
        return line(&text, style);
    }
    let Some(person) = state.in_front() else {
        return line(&state.room, Style::new());
    };
    pieces(&of_person(person), room)
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
    if state.signaling == Signaling::Lost && !state.people.is_empty() {
        let text = "meeting point lost, the call goes on".to_owned();
        return Some((text, theme::WARNING));
    }
    None
}

/// What is to be known of a person, the most important first.
fn of_person(person: &Person) -> Vec<String> {
    let mut pieces = vec![person.name.as_str().to_owned()];
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
