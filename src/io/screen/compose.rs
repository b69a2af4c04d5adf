//! Puts pictures and interface together into frames.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size as Area};
use ratatui::style::{Color, Modifier};

use super::pixels::{Frame, Pixels, Protocol};
use crate::call::control::{VideoId, VideoKind};
use crate::media::frame::Picture;
use crate::picture::{Attrs, ColorDepth, Glyphs, Ink, Overlay, Rgb, Screen, Style};
use crate::ui::layout::{Layout, layout};
use crate::ui::{State, view};
use crate::units::{CellRect, Cells, Size};

/// The bytes that a frame may have for each cell of the screen: tmux throws output away from there on
/// (`TTY_BLOCK_START` in its tty.c).
const BYTES_PER_CELL: usize = 8;

/// The most bytes of a frame of pixels.
const MOST_OF_PIXELS: usize = 4 << 20;

/// Around what the terminal shows at once (DEC private mode 2026).
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// The ground of text on pixels: nearly black, as kitty takes a ground that has the colour of the
/// terminal's own, which often is black, for none.
const ON_PIXELS: Ink = Ink::Rgb(Rgb::new(17, 18, 20));

/// The newest of everything that is shown.
pub(super) struct Composer {
    screen: Screen,
    terminal: Terminal<Memory>,
    overlay: Overlay,
    /// Which cells are the interface's.
    covered: Vec<bool>,
    /// Where pixels are shown in place of glyphs.
    pixels: Option<Pixels>,
    layout: Layout,
    state: Option<State>,
    pictures: BTreeMap<VideoId, Picture>,
    own: Option<Picture>,
    /// What takes pixels away that are shown no more.
    farewell: Vec<u8>,
    /// The overlay is that of another state.
    is_stale: bool,
}

impl Composer {
    pub(super) fn new(depth: ColorDepth) -> Self {
        let terminal = Terminal::new(Memory(Area::default())).unwrap_or_else(|never| match never {});
        Self {
            screen: Screen::new(Cells::default(), depth),
            terminal,
            overlay: Overlay::default(),
            covered: Vec::new(),
            pixels: None,
            layout: Layout::default(),
            state: None,
            pictures: BTreeMap::new(),
            own: None,
            farewell: Vec::new(),
            is_stale: true,
        }
    }

    /// Colours are those of this depth from now on; says whether that is news.
    pub(super) fn depth(&mut self, depth: ColorDepth) -> bool {
        let is_news = depth != self.screen.depth();
        self.screen.set_depth(depth);
        self.is_stale |= is_news;
        is_news
    }

    /// Pictures are drawn with these from now on.
    pub(super) fn glyphs(&mut self, glyphs: Glyphs) {
        self.screen.set_glyphs(glyphs);
        if let Some(pixels) = self.pixels.take() {
            self.screen.invalidate();
            self.farewell = pixels.farewell();
            self.is_stale = true;
        }
    }

    /// Pictures are shown as pixels from now on; a cell has so many of them.
    pub(super) fn pixels(&mut self, protocol: Protocol, cell: Option<Size>) {
        self.pixels = Some(Pixels::new(protocol, cell));
        self.screen.invalidate();
        self.is_stale = true;
    }

    /// The square pixels that are seen on a cell.
    pub(super) fn cell(&self) -> Size {
        let glyphs = || self.screen.glyphs().pixels_per_cell();
        self.pixels.as_ref().map_or_else(glyphs, Pixels::cell)
    }

    /// Pixels take far more than the line does.
    pub(super) fn is_starved(&self) -> bool {
        self.pixels.as_ref().is_some_and(Pixels::is_starved)
    }

    /// Cells have another number of pixels: another font, or a terminal that took this one over. Says
    /// whether that is news.
    pub(super) fn resize_cells(&mut self, cell: Option<Size>) -> bool {
        let is_news = self
            .pixels
            .as_mut()
            .is_some_and(|pixels| pixels.resize_cells(cell));
        if is_news {
            self.invalidate();
        }
        is_news
    }

    /// Says whether the terminal has another size.
    pub(super) fn state(&mut self, state: Arc<State>) -> bool {
        let mut state = Arc::unwrap_or_clone(state);
        let is_resized = state.terminal != self.screen.size();
        if is_resized {
            self.screen.resize(state.terminal);
            self.invalidate();
        }
        // A picture from before the camera was switched off is not shown when it is on again.
        for person in state.people.iter_mut().filter(|person| !person.camera_on) {
            self.pictures.remove(&VideoId::from(&person.id));
            person.picture = None;
        }
        if !state.me.camera_on || !state.me.has_camera {
            self.own = None;
        }
        self.state = Some(state);
        self.is_stale = true;
        is_resized
    }

    pub(super) fn picture(&mut self, video: &VideoId, picture: Picture) {
        if let Some(shown) = self.pictures.get_mut(video) {
            *shown = picture;
        } else {
            self.pictures.insert(video.clone(), picture);
            self.is_stale = true;
        }
    }

    pub(super) fn own(&mut self, picture: Picture) {
        let size = |picture: &Picture| picture.size();
        self.is_stale |= self.own.as_ref().map(size) != Some(picture.size());
        self.own = Some(picture);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&VideoId) -> bool) {
        self.pictures.retain(|video, _| keep(video));
        self.is_stale = true;
    }

    pub(super) fn invalidate(&mut self) {
        self.screen.invalidate();
        if let Some(pixels) = &mut self.pixels {
            pixels.forget();
        }
    }

    /// The most bytes that a frame may have on any line.
    pub(super) fn most(&self) -> usize {
        let Cells { cols, rows } = self.screen.size();
        match self.pixels {
            Some(_) => MOST_OF_PIXELS,
            None => usize::from(cols) * usize::from(rows) * BYTES_PER_CELL,
        }
    }

    /// Appends what brings the terminal nearest to the newest of everything, in so many bytes (text
    /// apart, which is always written).
    pub(super) fn frame(&mut self, budget: usize, out: &mut Vec<u8>) {
        self.screen.set_budget(Some(budget));
        let Some(state) = &mut self.state else { return };
        if self.is_stale {
            self.is_stale = false;
            // Whether there is a picture is known here first.
            for person in &mut state.people {
                let size = |kind| {
                    let video = VideoId::new(person.id.clone(), kind);
                    self.pictures.get(&video).map(|picture| picture.size())
                };
                (person.picture, person.screen) = (size(VideoKind::Camera), size(VideoKind::Screen));
            }
            state.me.picture = self.own.as_ref().map(|picture| picture.size());
            self.layout = layout(state);
            self.terminal.backend_mut().0 = Area::new(state.terminal.cols, state.terminal.rows);
            let drawn = self
                .terminal
                .draw(|frame| view::render(frame, state, frame.area()))
                .unwrap_or_else(|never| match never {});
            self.overlay.reset(state.terminal);
            let on_pixels = |x: u16, y: u16| {
                self.pixels.is_some()
                    && self.layout.tiles.iter().any(|tile| {
                        state.people[tile.who].has_picture(tile.kind)
                            && tile.area.contains(Position::new(x, y))
                    })
            };
            lay(drawn.buffer, &mut self.overlay, &mut self.covered, on_pixels);
        }
        out.append(&mut self.farewell);
        let tiles = self.layout.tiles.iter().filter_map(|tile| {
            let video = VideoId::new(state.people[tile.who].id.clone(), tile.kind);
            let picture = self.pictures.get(&video)?;
            Some((cells(tile.area), picture, false, tile.kind))
        });
        let own = self.layout.own.zip(self.own.as_ref());
        let own = own.map(|(area, picture)| (cells(area), picture, state.mirror, VideoKind::Camera));
        let pictures = tiles.chain(own);
        let Some(pixels) = &mut self.pixels else {
            for (area, picture, mirror, kind) in pictures {
                match kind {
                    VideoKind::Camera => self.screen.picture(area, picture, mirror),
                    VideoKind::Screen => self.screen.desktop(area, picture),
                }
            }
            self.screen.overlay(&self.overlay);
            return self.screen.encode(out);
        };
        let pictures: Vec<_> = pictures
            .map(|(area, picture, mirror, _)| (area, picture, mirror))
            .collect();
        let cols = usize::from(state.terminal.cols);
        let covered = &self.covered;
        let is_text = |x: u16, y: u16| {
            covered
                .get(usize::from(y) * cols + usize::from(x))
                .is_some_and(|covered| *covered)
        };
        let start = out.len();
        loop {
            self.screen.overlay(&self.overlay);
            let before = out.len();
            self.screen.encode(out);
            let has_text = out.len() > before;
            if has_text {
                // The pictures belong to the same update.
                out.truncate(out.len() - END.len());
            } else {
                out.extend_from_slice(BEGIN);
            }
            let after = out.len();
            let frame = Frame {
                budget,
                has_text,
                is_text: &is_text,
            };
            if !pixels.draw(&pictures, &frame, out) {
                self.screen.invalidate();
            } else if has_text || out.len() > after || before > start {
                return out.extend_from_slice(END);
            } else {
                return out.truncate(start);
            }
        }
    }
}

fn cells(area: Rect) -> CellRect {
    CellRect::new(area.x, area.y, area.width, area.height)
}

/// Lays what was drawn over the pictures: a plain space is transparent, a dim one dims, and text
/// (a space with a colour, too) on the default ground stands on the darkened picture, or where that
/// consists of pixels on [`ON_PIXELS`]. Marks the cells that are covered.
fn lay(
    buffer: &Buffer,
    overlay: &mut Overlay,
    covered: &mut Vec<bool>,
    on_pixels: impl Fn(u16, u16) -> bool,
) {
    covered.clear();
    covered.resize(buffer.content.len(), false);
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut x = buffer.area.left();
        while x < buffer.area.right() {
            let cell = &buffer[(x, y)];
            let is_ground = cell.symbol() == " " && (cell.fg, cell.bg) == (Color::Reset, Color::Reset);
            x += match (is_ground, cell.modifier) {
                (true, modifier) if modifier.is_empty() => 1,
                (true, Modifier::DIM) => {
                    overlay.dim(CellRect::new(x, y, 1, 1));
                    1
                }
                _ => {
                    let mut style = style(cell);
                    if on_pixels(x, y) && style.bg == Ink::Beneath {
                        style.bg = ON_PIXELS;
                        if style.fg == Ink::Default {
                            style.fg = Ink::Indexed(15);
                        }
                    }
                    let width = overlay.put(x, y, cell.symbol(), style);
                    for x in x..(x + width).min(buffer.area.right()) {
                        covered[buffer.index_of(x, y)] = true;
                    }
                    width
                }
            };
        }
    }
}

fn style(cell: &Cell) -> Style {
    let mut attrs = Attrs::NONE;
    for (modifier, attr) in [
        (Modifier::BOLD, Attrs::BOLD),
        (Modifier::DIM, Attrs::DIM),
        (Modifier::ITALIC, Attrs::ITALIC),
        (Modifier::UNDERLINED, Attrs::UNDERLINE),
        (Modifier::REVERSED, Attrs::REVERSE),
        (Modifier::CROSSED_OUT, Attrs::STRIKE),
    ] {
        if cell.modifier.contains(modifier) {
            attrs |= attr;
        }
    }
    let bg = match cell.bg {
        Color::Reset => Ink::Beneath,
        color => ink(color),
    };
    Style {
        fg: ink(cell.fg),
        bg,
        attrs,
    }
}

fn ink(color: Color) -> Ink {
    match color {
        Color::Reset => Ink::Default,
        Color::Black => Ink::Indexed(0),
        Color::Red => Ink::Indexed(1),
        Color::Green => Ink::Indexed(2),
        Color::Yellow => Ink::Indexed(3),
        Color::Blue => Ink::Indexed(4),
        Color::Magenta => Ink::Indexed(5),
        Color::Cyan => Ink::Indexed(6),
        Color::Gray => Ink::Indexed(7),
        Color::DarkGray => Ink::Indexed(8),
        Color::LightRed => Ink::Indexed(9),
        Color::LightGreen => Ink::Indexed(10),
        Color::LightYellow => Ink::Indexed(11),
        Color::LightBlue => Ink::Indexed(12),
        Color::LightMagenta => Ink::Indexed(13),
        Color::LightCyan => Ink::Indexed(14),
        Color::White => Ink::Indexed(15),
        Color::Indexed(index) => Ink::Indexed(index),
        Color::Rgb(r, g, b) => Ink::Rgb(Rgb::new(r, g, b)),
    }
}

/// A terminal that exists only as its size: what is drawn on it is read from ratatui's own buffer.
struct Memory(Area);

impl Backend for Memory {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, _content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _position: P) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear_region(&mut self, _region: ClearType) -> Result<(), Infallible> {
        Ok(())
    }

    fn size(&self) -> Result<Area, Infallible> {
        Ok(self.0)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize {
            columns_rows: self.0,
            pixels: Area::default(),
        })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
