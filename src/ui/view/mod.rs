//! What is drawn over and around the pictures, one part a file.
//!
//! Everything goes into a ratatui buffer that is laid over the pictures: a cell left as it is (a
//! space in default colours) lets them through; a space with [`Modifier::DIM`] dims them; text on the
//! default ground stands on them, dimmed where it stands; so does a space with a colour.

mod big;
pub(super) mod chat;
mod devices;
mod figures;
mod help;
mod initials;
mod qr;
mod sheet;
mod status;
mod tag;
mod theme;
mod waiting;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::layout::{SMALLEST, is_too_small, layout};
use super::state::{Path, Sheet, State};

/// Draws `state` over the pictures of [`layout`]; `area` is the terminal.
pub fn render(frame: &mut Frame, state: &State, area: Rect) {
    let area = area.intersection(frame.area());
    // A state made before the last resize may be larger than what there is now.
    if state.is_bare || state.terminal.cols > area.width || state.terminal.rows > area.height {
        return;
    }
    let buffer = frame.buffer_mut();
    if is_too_small(state.terminal) {
        return too_small(buffer, area);
    }
    let layout = layout(state);
    for tile in &layout.tiles {
        let person = &state.people[tile.who];
        // It may lie over what stands on another.
        clear(buffer, tile.area);
        if !person.has_picture(tile.kind) {
            initials::render(buffer, person, tile.kind, tile.area);
        }
        if state.people.len() > 1 || state.is_presented() {
            let front = (tile.who, tile.kind) == (state.front, state.front_kind);
            tag::render(buffer, person, tile.kind, front, tile.area);
        }
    }
    for tile in &layout.tiles {
        // What stands still is not what is.
        if matches!(state.people[tile.who].path, Path::Unstable { .. }) {
            dim(buffer, tile.area);
        }
    }
    if let (Some(own), Some(_), false) = (layout.own, state.me.picture, state.people.is_empty()) {
        // The own picture lies over tags and initials.
        clear(buffer, own);
    }
    if state.people.is_empty() {
        waiting::render(buffer, state, layout.stage);
    }
    if let Some(sheet) = state.sheet {
        dim(buffer, layout.stage);
        match sheet {
            Sheet::Help => help::render(buffer, state, layout.stage),
            Sheet::Figures => figures::render(buffer, state, layout.stage),
            Sheet::Devices => devices::render(buffer, &state.devices, layout.stage),
        }
    }
    if let Some(area) = layout.chat {
        chat::render(buffer, &state.chat, area);
    }
    status::render(buffer, state, layout.stage, layout.status);
}

fn too_small(buffer: &mut Buffer, area: Rect) {
    let text = format!("needs {}x{}", SMALLEST.cols, SMALLEST.rows);
    if area.is_empty() {
        return;
    }
    let text = shorten(&text, usize::from(area.width));
    buffer.set_stringn(
        area.x,
        area.y + area.height / 2,
        text,
        area.width.into(),
        theme::WARNING,
    );
}

/// Makes `area` transparent.
fn clear(buffer: &mut Buffer, area: Rect) {
    for at in area.intersection(buffer.area).positions() {
        buffer[at].reset();
    }
}

/// Dims all of `area`, pictures and text.
fn dim(buffer: &mut Buffer, area: Rect) {
    for at in area.intersection(buffer.area).positions() {
        buffer[at].modifier.insert(Modifier::DIM);
    }
}

/// `text` cut to `cols` columns, with an ellipsis where something was cut.
fn shorten(text: &str, cols: usize) -> String {
    if text.width() <= cols {
        return text.to_owned();
    }
    let mut cut = String::new();
    for grapheme in text.graphemes(true) {
        if cut.width() + grapheme.width() + 1 > cols {
            break;
        }
        cut.push_str(grapheme);
    }
    if cols > 0 {
        cut.push('…');
    }
    cut
}

/// `text` broken between words into at most `most` lines of `cols` columns; what does not fit is cut.
fn wrap(text: &str, cols: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let last = lines.len() == most;
        match lines.last_mut() {
            Some(line) if last || line.width() + 1 + word.width() <= cols => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    for line in &mut lines {
        *line = shorten(line, cols);
    }
    lines
}

#[cfg(test)]
mod tests;
