//! Pictures and text as coloured character cells, and the shortest bytes that show them.
//!
//! [`Screen`] is the one model of the terminal. A frame is composed from the bottom up, pictures
//! first ([`Screen::picture`]), then the interface ([`Screen::overlay`]), and only then compared
//! with what the terminal shows ([`Screen::encode`]): no cell is written twice, so nothing flickers.
//!
//! ```
//! use facetty::media::frame::I420;
//! use facetty::picture::{ColorDepth, Overlay, Screen, Style};
//! use facetty::units::{CellRect, Cells, Size};
//!
//! let size = Cells::new(80, 24);
//! let mut screen = Screen::new(size, ColorDepth::Truecolor);
//! let mut overlay = Overlay::new(size);
//! overlay.text(1, 23, "ann", Style::default());
//! let mut out = Vec::new();
//! screen.picture(CellRect::new(0, 0, 80, 23), &I420::new(Size::new(60, 46)), false);
//! screen.overlay(&overlay);
//! screen.encode(&mut out); // to be written to the terminal in order, without a gap
//! ```

mod cells;
mod colour;
mod compare;
mod draw;
mod encode;
mod fit;
mod glyphs;
mod grid;
mod look;
mod mono;
mod palette;
mod rgb;
mod scale;
mod screen;
mod shapes;
mod sharpen;
#[cfg(test)]
mod tests;
mod worth;

pub use cells::{Attrs, Ink, Overlay, Style};
pub use colour::{ColorDepth, Rgb};
pub use glyphs::{Glyphs, RenderMode};
pub use rgb::to_rgb;
pub use scale::fit;
pub use screen::{Redraw, Screen};
