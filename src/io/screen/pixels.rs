//! Pictures for terminals that take pixels: kitty's graphics protocol and sixel graphics (DEC STD 070).
//!
//! The interface is written as everywhere else. With kitty, pictures lie beneath it; sixel graphics
//! and text share the cells, so the cells of the interface are left out of the picture.

use std::io::Write;
use std::sync::Arc;

use data_encoding::BASE64;
use icy_sixel::{EncodeOptions, sixel_encode};

use crate::media::frame::{I420, Picture};
use crate::media::scale::Scaler;
use crate::picture::{fit, to_rgb};
use crate::units::{CellRect, Size};

/// A cell's size in pixels where the terminal does not say.
const USUAL_CELL: Size = Size::new(8, 16);

/// The most pixels of one picture: what is larger takes longer than it is worth.
const MOST_PIXELS: f64 = 640.0 * 480.0;

/// The fewest pixels across: below, glyphs show more in as many bytes.
const LEAST_WIDTH: u32 = 48;

/// Beneath text, and beneath cells that have a ground of their own (kitty: below −2³⁰).
const BENEATH: i32 = -1_073_741_900;

/// The most base64 in one sequence of kitty's.
const CHUNK: usize = 4096;

/// Takes all of kitty's pictures away.
const CLEAR: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";

/// More frames than this with too few bytes: the line is slow.
const STARVED: u32 = 15;

/// The first of the numbers that pictures have in kitty's protocol; others may use lower ones.
const FIRST_ID: u32 = 0xface;

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Kitty's.
    Kitty,
    /// Sixel graphics.
    Sixel,
}

/// The pictures on the screen.
pub(super) struct Pixels {
    protocol: Protocol,
    /// A cell's size in pixels.
    cell: Size,
    /// What lies where, from the bottom up.
    placed: Vec<Placed>,
    scaler: Scaler,
    scaled: I420,
    rgb: Vec<u8>,
    rgba: Vec<u8>,
    base64: String,
    /// Pictures may be shown that are not known here.
    is_unknown: bool,
    /// Frames in a row in which far fewer pixels could be sent than are seen.
    starved: u32,
}

struct Placed {
    area: CellRect,
    picture: Picture,
    id: u32,
    mirror: bool,
}

/// What a frame may take, and what else is in it.
pub(super) struct Frame<'a> {
    /// Bytes for all pictures.
    pub(super) budget: usize,
    /// The interface was written anew somewhere, or all of it.
    pub(super) has_text: bool,
    /// Whether a cell is the interface's.
    pub(super) is_text: &'a dyn Fn(u16, u16) -> bool,
}

impl Pixels {
    pub(super) fn new(protocol: Protocol, cell: Option<Size>) -> Self {
        Self {
            protocol,
            cell: cell.unwrap_or(USUAL_CELL),
            placed: Vec::new(),
            scaler: Scaler::default(),
            scaled: I420::default(),
            rgb: Vec::new(),
            rgba: Vec::new(),
            base64: String::new(),
            is_unknown: true,
            starved: 0,
        }
    }

    /// The square pixels that are seen on a cell.
    pub(super) fn cell(&self) -> Size {
        self.cell
    }

    /// They have another number from now on; says whether it is one.
    pub(super) fn resize_cells(&mut self, cell: Option<Size>) -> bool {
        let cell = cell.unwrap_or(USUAL_CELL);
        std::mem::replace(&mut self.cell, cell) != cell
    }

    /// Frame after frame was far from what could be seen.
    pub(super) fn is_starved(&self) -> bool {
        self.starved > STARVED
    }

    /// Nothing is known any more of what is shown.
    pub(super) fn forget(&mut self) {
        self.placed.clear();
        self.is_unknown = true;
    }

    /// What takes all away.
    pub(super) fn farewell(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Kitty => CLEAR.to_vec(),
            Protocol::Sixel => Vec::new(),
        }
    }

    /// Appends what shows the pictures, given from the bottom up with their areas; false where others
    /// than before are to be seen or elsewhere, so that all must be cleared and drawn anew.
    pub(super) fn draw(
        &mut self,
        pictures: &[(CellRect, &Picture, bool)],
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let areas: Vec<_> = pictures
            .iter()
            .map(|(area, picture, _)| fit(picture.size(), *area))
            .collect();
        let is_same = self
            .placed
            .iter()
            .map(|placed| placed.area)
            .eq(areas.iter().copied());
        if !is_same && !self.placed.is_empty() {
            self.forget();
            return false;
        }
        if std::mem::take(&mut self.is_unknown) {
            out.extend(self.farewell());
        }
        let before = out.len();
        let cells: u32 = areas
            .iter()
            .map(|area| u32::from(area.cols) * u32::from(area.rows))
            .sum();
        for (index, (&area, &(_, picture, mirror))) in areas.iter().zip(pictures).enumerate() {
            let is_shown = self
                .placed
                .get(index)
                .is_some_and(|placed| Arc::ptr_eq(&placed.picture, picture) && placed.mirror == mirror);
            let is_overwritten = self.protocol == Protocol::Sixel && (frame.has_text || out.len() > before);
            if area.cols == 0 || area.rows == 0 || (is_shown && !is_overwritten) {
                continue;
            }
            let share = f64::from(u32::from(area.cols) * u32::from(area.rows)) / f64::from(cells.max(1));
            let old = self.placed.get(index).map(|placed| placed.id);
            let id = FIRST_ID + 2 * index as u32 + u32::from(old.is_some_and(|old| old % 2 == 0));
            match self.protocol {
                Protocol::Kitty => self.kitty(
                    area,
                    picture,
                    mirror,
                    frame.budget as f64 * share,
                    (id, old, index),
                    out,
                ),
                Protocol::Sixel => {
                    // What lies over it is left out, as the interface is.
                    let above: Vec<_> = areas[index + 1..].to_vec();
                    let is_covered = |x: u16, y: u16| {
                        (frame.is_text)(x, y)
                            || above
                                .iter()
                                .any(|a| (a.x..a.x + a.cols).contains(&x) && (a.y..a.y + a.rows).contains(&y))
                    };
                    self.sixel(area, picture, mirror, &is_covered, out);
                }
            }
            let placed = Placed {
                area,
                picture: Arc::clone(picture),
                id,
                mirror,
            };
            match self.placed.get_mut(index) {
                Some(slot) => *slot = placed,
                None => self.placed.push(placed),
            }
        }
        if self.protocol == Protocol::Sixel && out.len() > before {
            let is_starved = out.len() - before > frame.budget * 4;
            self.starved = if is_starved { self.starved + 1 } else { 0 };
        }
        true
    }

    /// The picture in as many pixels as the bytes allow; the terminal scales it to its cells. It is
    /// shown over the one before, which then goes.
    fn kitty(
        &mut self,
        area: CellRect,
        picture: &Picture,
        mirror: bool,
        budget: f64,
        (id, old, index): (u32, Option<u32>, usize),
        out: &mut Vec<u8>,
    ) {
        let full = self.full(area, picture.size());
        // Four characters of base64 for each pixel of three bytes.
        let pixels = (budget / 4.0).min(MOST_PIXELS);
        let scale = (pixels / full.area() as f64).sqrt().min(1.0);
        // In steps, so that it does not swim.
        let scale = (scale * 8.0).floor().max(1.0) / 8.0;
        let of = |side: u32| ((f64::from(side) * scale) as u32).max(2);
        let size = Size::new(of(full.width), of(full.height));
        let is_starved = size.width < LEAST_WIDTH.min(full.width) || scale < 0.3;
        self.starved = if is_starved { self.starved + 1 } else { 0 };
        self.scale(picture, size, mirror);
        self.base64.clear();
        BASE64.encode_append(&self.rgb, &mut self.base64);
        let _ = write!(out, "\x1b[{};{}H", area.y + 1, area.x + 1);
        let mut chunks = self.base64.as_bytes().chunks(CHUNK).peekable();
        let mut is_first = true;
        while let Some(chunk) = chunks.next() {
            let more = u8::from(chunks.peek().is_some());
            if std::mem::take(&mut is_first) {
                let (z, Size { width, height }) = (BENEATH + index as i32, size);
                let _ = write!(
                    out,
                    "\x1b_Ga=T,f=24,s={width},v={height},i={id},p=1,c={},r={},z={z},C=1,q=2,m={more};",
                    area.cols, area.rows
                );
            } else {
                let _ = write!(out, "\x1b_Gm={more};");
            }
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\x1b\\");
        }
        if let Some(old) = old {
            let _ = write!(out, "\x1b_Ga=d,d=I,i={old},q=2\x1b\\");
        }
    }

    fn sixel(
        &mut self,
        area: CellRect,
        picture: &Picture,
        mirror: bool,
        is_covered: &dyn Fn(u16, u16) -> bool,
        out: &mut Vec<u8>,
    ) {
        let size = Size::new(
            u32::from(area.cols) * self.cell.width,
            u32::from(area.rows) * self.cell.height,
        );
        self.scale(picture, size, mirror);
        self.rgba.clear();
        for (i, pixel) in self.rgb.as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (i as u32 % size.width, i as u32 / size.width);
            let x = area.x + (x / self.cell.width) as u16;
            let y = area.y + (y / self.cell.height) as u16;
            let opaque = if is_covered(x, y) { 0 } else { 255 };
            let [r, g, b] = *pixel;
            self.rgba.extend_from_slice(&[r, g, b, opaque]);
        }
        let options = EncodeOptions {
            // Dithering differs from frame to frame, and shimmers.
            diffusion: 0.0,
            ..EncodeOptions::default()
        };
        let encoded = sixel_encode(&self.rgba, size.width as usize, size.height as usize, &options);
        match encoded {
            Ok(sixel) => {
                let _ = write!(out, "\x1b[{};{}H", area.y + 1, area.x + 1);
                out.extend_from_slice(sixel.as_bytes());
            }
            Err(error) => tracing::debug!(%error, "a picture is no sixel graphic"),
        }
    }

    /// The pixels that are seen of a picture of `size` on `area`, at most as many as it has.
    fn full(&self, area: CellRect, size: Size) -> Size {
        let seen = Size::new(
            u32::from(area.cols) * self.cell.width,
            u32::from(area.rows) * self.cell.height,
        );
        Size::new(
            seen.width.min(size.width).max(2),
            seen.height.min(size.height).max(2),
        )
    }

    fn scale(&mut self, picture: &Picture, size: Size, mirror: bool) {
        if picture.size() == size {
            return to_rgb(picture, mirror, &mut self.rgb);
        }
        self.scaled.resize(size);
        (self.scaled.matrix, self.scaled.range) = (picture.matrix, picture.range);
        self.scaler.scale(picture, &mut self.scaled);
        to_rgb(&self.scaled, mirror, &mut self.rgb);
    }
}
