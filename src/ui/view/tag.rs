//! A person's name over their picture, in the lower left corner; who talks is lit.
//!
//! ```text
//!  ann        ann ▂▄▆      ▸ ann · muted      ann · screen
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{shorten, theme};
use crate::call::control::VideoKind;
use crate::ui::state::Person;

/// Draws the tag of the person of the tile `area`; `front`: the status line is about them.
pub fn render(buffer: &mut Buffer, person: &Person, kind: VideoKind, front: bool, area: Rect) {
    if area.height < 2 || area.width < 6 {
        return;
    }
    let over = theme::OVER;
    let name_style = if person.talking && kind == VideoKind::Camera {
        theme::OVER_ACCENT
    } else {
        over
    };
    let mut parts = vec![Span::styled(if front { "▸" } else { " " }, theme::OVER_QUIET)];
    let mut room = usize::from(area.width) - 2;
    let note = if kind == VideoKind::Screen {
        Span::styled(" · screen", theme::OVER_QUIET)
    } else if !person.mic_on {
        Span::styled(" muted", theme::OVER_MUTED)
    } else if person.talking {
        Span::styled(" ▂▄▆", theme::OVER_ACCENT)
    } else {
        Span::raw("")
    };
    // The note is worth more than the end of a long name.
    room = room.saturating_sub(note.width());
    parts.push(Span::styled(shorten(person.name.as_str(), room), name_style));
    parts.push(note);
    parts.push(Span::styled(" ", over));
    let line = Line::from(parts).style(over);
    buffer.set_line(area.x, area.bottom() - 1, &line, area.width);
}
