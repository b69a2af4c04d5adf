//! The chat beside the pictures, or over them where there is little room.
//!
//! ```text
//!  cleo joined
//!  ann
//!  hello, can you see
//!  this?
//!  you
//!  yes
//! › and now I wri█
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{shorten, theme};
use crate::ui::chat::{Chat, Draft, Entry};
use crate::ui::state::Tone;

/// The ground of the line that is being written.
const FIELD: Color = Color::Rgb(38, 42, 48);

/// The rows that what is being written takes at most.
const FIELD_ROWS: usize = 4;

/// Columns that stay free on either side.
const AIR: u16 = 1;

/// Draws the chat on the whole of `area`.
pub fn render(buffer: &mut Buffer, chat: &Chat, area: Rect) {
    for at in area.intersection(buffer.area).positions() {
        buffer[at].reset();
        buffer[at].set_style(theme::OVER);
    }
    let field = field(&chat.draft, area.width);
    let height = u16::try_from(field.len()).unwrap_or(1).min(area.height);
    let (history, below) = (area.height - height, area.bottom() - height);
    let mut rows = newest(chat, area.width, chat.scroll + usize::from(history));
    rows.drain(..chat.scroll.min(rows.len()));
    // The newest stands lowest.
    for (row, y) in rows.iter().zip((area.y..below).rev()) {
        let style = theme::OVER.patch(row.style);
        buffer.set_stringn(area.x + AIR, y, &row.text, width(area.width), style);
    }
    if chat.scroll > 0 && history > 0 {
        let line = Rect::new(area.x, below - 1, area.width, 1);
        buffer.set_style(line, theme::OVER);
        let more = format!("{:<1$}", "↓ more", width(area.width));
        buffer.set_stringn(line.x + AIR, line.y, more, width(area.width), theme::OVER_ACCENT);
    }
    let ground = Rect::new(area.x, below, area.width, height);
    buffer.set_style(ground, Style::new().bg(FIELD));
    for ((row, y), first) in field
        .iter()
        .zip(ground.top()..)
        .zip([true].into_iter().chain([false; FIELD_ROWS]))
    {
        if first {
            buffer.set_stringn(area.x, y, "›", 1, theme::OVER_ACCENT.bg(FIELD));
        }
        let mut x = area.x + 2;
        for (text, style) in row {
            (x, _) = buffer.set_stringn(
                x,
                y,
                text,
                usize::from(area.right().saturating_sub(x)),
                style.bg(FIELD),
            );
        }
    }
}

/// The rows that all of it takes, in a chat of `cols` columns.
pub fn rows(chat: &Chat, cols: u16) -> usize {
    newest(chat, cols, usize::MAX).len()
}

/// The rows that the newest entry takes, with its name where that is told.
pub fn rows_of_newest(chat: &Chat, cols: u16) -> usize {
    newest(chat, cols, 1).len()
}

struct Row {
    text: String,
    style: Style,
}

/// The newest rows, so many at least where there are so many, the newest first.
fn newest(chat: &Chat, cols: u16, count: usize) -> Vec<Row> {
    let width = width(cols);
    let mut rows = Vec::new();
    for (index, entry) in chat.entries.iter().enumerate().rev() {
        let (text, style) = match entry {
            Entry::Wrote { text, .. } => (text, theme::OVER),
            Entry::Happened(tone, text) => (text, of(*tone)),
        };
        let lines = fold(text.as_str(), width);
        rows.extend(lines.into_iter().rev().map(|text| Row { text, style }));
        // Who goes on writing is not named again.
        if let Entry::Wrote { who, .. } = entry
            && !matches!(index.checked_sub(1).map(|before| &chat.entries[before]),
                         Some(Entry::Wrote { who: before, .. }) if before == who)
        {
            let (name, style) = match who {
                Some((_, name)) => (name.as_str(), theme::OVER_ACCENT),
                None => ("you", theme::OVER_QUIET),
            };
            let style = style.add_modifier(Modifier::BOLD);
            rows.push(Row {
                text: shorten(name, width),
                style,
            });
        }
        if rows.len() >= count {
            break;
        }
    }
    rows
}

fn of(tone: Tone) -> Style {
    match tone {
        Tone::Info => theme::OVER_QUIET,
        Tone::Warning => theme::OVER_WARNING,
        Tone::Error => theme::OVER_MUTED,
    }
}

/// The rows of what is being written, those around the cursor, each in differently styled parts.
fn field(draft: &Draft, cols: u16) -> Vec<Vec<(String, Style)>> {
    if draft.is_empty() {
        let hint = "write to everyone".to_owned();
        let cursor = (" ".to_owned(), theme::OVER.add_modifier(Modifier::REVERSED));
        return vec![vec![cursor, (hint, theme::OVER_QUIET)]];
    }
    // The sign before it, and a column for the cursor at the end.
    let width = usize::from(cols).saturating_sub(3).max(2);
    let (before, after) = draft.parts();
    let mut after = after.as_str().graphemes(true);
    let at = after.next().unwrap_or(" ");
    let mut rows = vec![vec![]];
    let (mut used, mut row_of_cursor) = (0, 0);
    let plain = before.as_str().graphemes(true).map(|g| (g, false));
    let all = plain.chain([(at, true)]).chain(after.map(|g| (g, false)));
    for (grapheme, is_cursor) in all {
        if used + grapheme.width() > width {
            rows.push(vec![]);
            used = 0;
        }
        used += grapheme.width();
        let row = rows.len() - 1;
        let style = if is_cursor {
            row_of_cursor = row;
            theme::OVER.add_modifier(Modifier::REVERSED)
        } else {
            theme::OVER
        };
        rows[row].push((grapheme.to_owned(), style));
    }
    let first = (row_of_cursor + 1).saturating_sub(FIELD_ROWS);
    rows.drain(..first);
    rows.truncate(FIELD_ROWS);
    rows
}

/// The columns of text in a chat of so many.
fn width(cols: u16) -> usize {
    usize::from(cols.saturating_sub(2 * AIR)).max(2)
}

/// `text` broken into lines of `cols` columns, two at least: between words, and anywhere in one that
/// is longer than a line.
fn fold(text: &str, cols: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let width = columns(word.trim_end());
        let is_broken = width > cols;
        if !is_broken && used + width > cols {
            lines.push(String::new());
            used = 0;
        }
        for grapheme in word.graphemes(true) {
            let width = grapheme.width();
            if used + width > cols {
                if grapheme == " " {
                    continue; // The end of the line stands for it.
                }
                lines.push(String::new());
                used = 0;
            }
            used += width;
            lines
                .last_mut()
                .expect("there is one from the start")
                .push_str(grapheme);
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

fn columns(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SafeText;

    #[test]
    fn text_is_broken_between_words_and_in_those_that_are_too_long() {
        for (text, cols, lines) in [
            ("hello there, you", 10, &["hello", "there, you"][..]),
            (
                "https://example.org/a/long/one",
                10,
                &["https://ex", "ample.org/", "a/long/one"],
            ),
            ("aaaaaaaaaaaaaa b", 6, &["aaaaaa", "aaaaaa", "aa b"]),
            ("李小龍李小龍", 5, &["李小", "龍李", "小龍"]),
            ("👩‍👩‍👧👩‍👩‍👧 x", 3, &["👩‍👩‍👧", "👩‍👩‍👧", "x"]),
            ("", 5, &[""]),
            ("שלום עולם", 5, &["שלום", "עולם"]),
        ] {
            let folded = fold(text, cols);
            assert!(folded.iter().all(|line| columns(line) <= cols), "{folded:?}");
            assert_eq!(folded, lines, "{text}");
        }
    }

    #[test]
    fn nothing_is_lost_in_breaking() {
        let text = SafeText::chat("the quick 李小龍 brown👩‍👩‍👧 foxxxxxxxxxxxxxxxxxxxxxxxxx e\u{301}e\u{301} 🇩🇪");
        for cols in 2..40 {
            let folded: String = fold(text.as_str(), cols).concat();
            let plain = |text: &str| text.replace(' ', "");
            assert_eq!(plain(&folded), plain(text.as_str()), "{cols}");
        }
    }
}
