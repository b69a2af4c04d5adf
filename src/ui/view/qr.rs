//! A code for phones: half a cell a square, in a light margin.
//!
//! ```text
//! ████████████████████
//! ██ ▄▄▄▄▄ █▀ █ ▄▄▄▄▄ ██
//! ██ █   █ █▄▀█ █   █ ██
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Modifier;

use super::theme;
use crate::ui::qr::Qr;

/// Light squares around the code: as many as the standard asks for, and as few as phones still take
/// where there is no room for those.
const MARGINS: [usize; 2] = [4, 2];

/// The cells that the code takes within `room`, with the widest margin for which there is room.
pub fn size(code: &Qr, room: Size) -> Option<Size> {
    MARGINS.iter().find_map(|margin| {
        let side = code.side() + 2 * margin;
        let width = u16::try_from(side).ok()?;
        let size = Size::new(width, width.div_ceil(2));
        (size.width <= room.width && size.height <= room.height).then_some(size)
    })
}

/// Draws the code over all of `area`, which [`size`] gave.
pub fn render(buffer: &mut Buffer, code: &Qr, area: Rect) {
    let margin = usize::from(area.width).saturating_sub(code.side()) / 2;
    let light = theme::QR.add_modifier(Modifier::REVERSED);
    for at in area.intersection(buffer.area).positions() {
        let (x, y) = (usize::from(at.x - area.x), 2 * usize::from(at.y - area.y));
        // In the margin, and past the ends, this is beyond the code's last square.
        let is_dark = |y: usize| code.is_dark(x.wrapping_sub(margin), y.wrapping_sub(margin));
        // The light ones are the ground, which has no gaps between rows, whatever the font.
        let (symbol, style) = match (is_dark(y), is_dark(y + 1)) {
            (false, false) => (" ", light),
            (false, true) => ("▄", light),
            (true, false) => ("▀", light),
            (true, true) => (" ", theme::QR),
        };
        buffer[at].reset();
        buffer[at].set_symbol(symbol).set_style(style);
    }
}
