//! A tile without a picture: who it is, and why there is none.
//!
//! ```text
//!          █▀▀█ █▀▀▄
//!          █▀▀█ █▀▀▄
//!          ▀  ▀ ▀▀▀
//!         camera off
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{big, shorten, theme};
use crate::call::control::VideoKind;
use crate::ui::state::{Path, Person};

const LETTERS: Color = Color::Rgb(232, 234, 237);
const WORDS: Color = Color::Rgb(176, 182, 188);

/// Draws a person who has no picture to show on the whole of `area`.
pub fn render(buffer: &mut Buffer, person: &Person, kind: VideoKind, area: Rect) {
    let ground = Style::new().bg(ground(person));
    buffer.set_style(area, ground);
    for at in area.positions() {
        if let Some(cell) = buffer.cell_mut(at) {
            cell.set_symbol(" ");
        }
    }
    let why = why(person, kind);
    let initials = initials(person.name.as_str());
    let letters: Vec<char> = initials.chars().collect();
    let scale = scale(&letters, area);
    let (width, height) = match scale {
        0 => (width_of(&initials), 1),
        scale => big::size(letters.len(), scale),
    };
    // The letters and, a line below, the words stand in the middle as one.
    let gap = u16::from(area.height > height + 2);
    let top = area.y + area.height.saturating_sub(height + gap + 1) / 2;
    let letters_at = centred(area, width, top, height);
    if scale == 0 {
        let style = ground.fg(LETTERS).add_modifier(Modifier::BOLD);
        buffer.set_stringn(
            letters_at.x,
            letters_at.y,
            &initials,
            letters_at.width.into(),
            style,
        );
    } else {
        big::render(buffer, &letters, scale, letters_at, ground.fg(LETTERS));
    }
    let words = shorten(why, area.width.into());
    let at = centred(area, width_of(&words), top + height + gap, 1);
    if at.bottom() <= area.bottom() {
        buffer.set_stringn(at.x, at.y, &words, at.width.into(), ground.fg(WORDS));
    }
}

/// Why there is no picture.
fn why(person: &Person, kind: VideoKind) -> &'static str {
    match person.path {
        Path::Connecting => "connecting…",
        Path::Failed => "cannot be reached",
        _ if kind == VideoKind::Screen => "waiting for the screen…",
        _ if !person.camera_on => "camera off",
        _ => "waiting for the picture…",
    }
}

/// The first letters of the first and the last word, or the first of the only one.
fn initials(name: &str) -> String {
    let mut words = name
        .split_whitespace()
        .filter_map(|word| word.graphemes(true).next());
    let first = words.next().unwrap_or("?");
    let last = words.next_back().unwrap_or_default();
    format!("{first}{last}").to_uppercase()
}

/// Square pixels a dot: the letters take two fifths of the height and of the width; 0: plain ones.
fn scale(letters: &[char], area: Rect) -> u16 {
    if !letters.iter().all(|&letter| big::is_known(letter)) {
        return 0;
    }
    let (width, height) = big::size(letters.len(), 2);
    let scale = (area.width / 5 * 4 / width.max(1)).min(area.height / 5 * 4 / height.max(1));
    let smallest = big::size(letters.len(), 1);
    match scale {
        0 if smallest.0 <= area.width && smallest.1 + 2 <= area.height => 1,
        scale => scale,
    }
}

fn ground(person: &Person) -> Color {
    // FNV-1a: the same person has the same colour on every screen.
    let hash = person.id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    theme::PEOPLE[hash as usize % theme::PEOPLE.len()]
}

fn centred(area: Rect, width: u16, top: u16, height: u16) -> Rect {
    let width = width.min(area.width);
    let left = area.x + (area.width - width) / 2;
    Rect::new(left, top, width, height)
}

fn width_of(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn initials_are_of_the_first_and_the_last_word() {
        assert_eq!(initials("ann"), "A");
        assert_eq!(initials("Bob van Olsen"), "BO");
        assert_eq!(initials("李小龍"), "李");
        assert_eq!(initials("  "), "?");
    }
}
