//! A sheet over the middle: no frame, a dark ground, and what lies behind is dimmed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::theme;

/// Terminals narrower than this give a sheet all of the stage.
const NARROW: u16 = 60;

/// Draws `lines` in the middle of `stage`, cut where they do not fit.
pub fn render(buffer: &mut Buffer, stage: Rect, lines: &[Line]) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = u16::try_from(widest).unwrap_or(u16::MAX).min(stage.width);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(stage.height);
    let text = centred(stage, width, height);
    let ground = if stage.width < NARROW {
        stage
    } else {
        // Three columns and a line of air around the text.
        centred(stage, width.saturating_add(6), height.saturating_add(2))
    };
    for at in ground.intersection(buffer.area).positions() {
        buffer[at].reset();
        buffer[at].set_style(theme::OVER);
    }
    for (line, y) in lines.iter().zip(text.top()..text.bottom()) {
        buffer.set_line(text.x, y, line, text.width);
    }
}

fn centred(stage: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(stage.width), height.min(stage.height));
    let (x, y) = ((stage.width - width) / 2, (stage.height - height) / 2);
    Rect::new(stage.x + x, stage.y + y, width, height)
}
