//! Microphones and speakers to choose from.
//!
//! ```text
//!  microphone
//!  ▸ ● system's choice
//!      Built-in Audio
//!
//!  speaker
//!    ● system's choice
//!
//!  ↑ ↓ move   Enter choose
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{sheet, shorten, theme};
use crate::text::SafeText;
use crate::ui::state::Devices;

/// The longest name that is shown whole, in columns.
const NAME: usize = 44;

/// Draws the sheet of devices.
pub fn render(buffer: &mut Buffer, devices: &Devices, stage: Rect) {
    if devices.microphones.is_empty() && devices.speakers.is_empty() {
        let line = Line::styled("looking for microphones and speakers…", theme::OVER);
        return sheet::render(buffer, stage, &[line]);
    }
    let mut lines = vec![Line::styled("microphone", theme::OVER_QUIET)];
    let row = |at: usize, name: &SafeText, chosen: &Option<SafeText>| {
        let is_chosen = chosen.as_ref() == Some(name);
        let name = match name.as_str() {
            "auto" => "system's choice",
            name => name,
        };
        let style = if at == devices.cursor {
            theme::OVER_ACCENT
        } else {
            theme::OVER
        };
        let mark = format!(
            "{} {} ",
            if at == devices.cursor { "▸" } else { " " },
            if is_chosen { "●" } else { " " }
        );
        Line::from(vec![
            Span::styled(mark, theme::OVER_ACCENT),
            Span::styled(shorten(name, NAME), style),
        ])
    };
    let microphones = devices.microphones.iter().enumerate();
    lines.extend(microphones.map(|(at, name)| row(at, name, &devices.microphone)));
    lines.extend([Line::default(), Line::styled("speaker", theme::OVER_QUIET)]);
    let from = devices.microphones.len();
    let speakers = devices.speakers.iter().enumerate();
    lines.extend(speakers.map(|(at, name)| row(from + at, name, &devices.speaker)));
    lines.extend([
        Line::default(),
        Line::styled("↑ ↓ move   Enter choose", theme::OVER_QUIET),
    ]);
    sheet::render(buffer, stage, &lines);
}
