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

/// The most pixels of one sixel graphic to each side: xterm shows nothing of a larger one.
const MOST_OF_SIXEL: u32 = 1000;

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
        for piece in pieces(area, self.cell) {
            self.sixel_piece(area, piece, size.width, is_covered, out);
        }
    }

    /// Writes the part of the scaled picture, `width` pixels wide and as large as `area`, that lies on `piece`.
    fn sixel_piece(
        &mut self,
        area: CellRect,
        piece: CellRect,
        width: u32,
        is_covered: &dyn Fn(u16, u16) -> bool,
        out: &mut Vec<u8>,
    ) {
        let (left, right) = (piece.x - area.x, piece.x - area.x + piece.cols);
        let (top, bottom) = (piece.y - area.y, piece.y - area.y + piece.rows);
        let [left, right] = [left, right].map(|x| u32::from(x) * self.cell.width);
        let [top, bottom] = [top, bottom].map(|y| u32::from(y) * self.cell.height);
        let pixels = self.rgb.as_chunks::<3>().0;
        self.rgba.clear();
        for y in top..bottom {
            let row = &pixels[(y * width) as usize..][left as usize..right as usize];
            for (x, [r, g, b]) in (left..).zip(row) {
                let x = area.x + (x / self.cell.width) as u16;
                let y = area.y + (y / self.cell.height) as u16;
                let opaque = if is_covered(x, y) { 0 } else { 255 };
                self.rgba.extend_from_slice(&[*r, *g, *b, opaque]);
            }
        }
        let options = EncodeOptions {
            // Dithering differs from frame to frame, and shimmers.
            diffusion: 0.0,
            ..EncodeOptions::default()
        };
        let (width, height) = ((right - left) as usize, (bottom - top) as usize);
        match sixel_encode(&self.rgba, width, height, &options) {
            Ok(sixel) => {
                let _ = write!(out, "\x1b[{};{}H", piece.y + 1, piece.x + 1);
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

/// The fewest equal pieces of an area that are no larger than one sixel graphic may be.
fn pieces(area: CellRect, cell: Size) -> impl Iterator<Item = CellRect> {
    let parts = |cells: u16, pixels: u32| {
        let most = (MOST_OF_SIXEL / pixels).max(1) as u16;
        let count = cells.div_ceil(most).max(1);
        (0..count).map(move |i| {
            let at = |i: u16| (u32::from(cells) * u32::from(i) / u32::from(count)) as u16;
            (at(i), at(i + 1) - at(i))
        })
    };
    parts(area.rows, cell.height).flat_map(move |(y, rows)| {
        parts(area.cols, cell.width).map(move |(x, cols)| CellRect::new(area.x + x, area.y + y, cols, rows))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey ramp from the left to the right, twice as light in the lower half.
    fn ramp(size: Size) -> Picture {
        let mut picture = I420::new(size);
        for (i, luma) in picture.planes_mut()[0].iter_mut().enumerate() {
            let (x, y) = (i as u32 % size.width, i as u32 / size.width);
            *luma = (16 + x * 100 / size.width * (1 + y * 2 / size.height)) as u8;
        }
        Arc::new(picture)
    }

    /// What the ramp is at a place of a picture of `size`, as a channel.
    fn expected(x: usize, y: usize, size: Size) -> f32 {
        let luma =
            x as f32 * 100.0 / size.width as f32 * if y * 2 < size.height as usize { 1.0 } else { 2.0 };
        luma * 255.0 / 219.0
    }

    fn drawn(protocol: Protocol, area: CellRect, cell: Size, picture: &Picture) -> Vec<u8> {
        let mut pixels = Pixels::new(protocol, Some(cell));
        let frame = Frame {
            budget: MOST_PIXELS as usize * 8,
            has_text: false,
            is_text: &|_, _| false,
        };
        let mut out = Vec::new();
        assert!(pixels.draw(&[(area, picture, false)], &frame, &mut out));
        out
    }

    /// The sequences that begin with `begin` and end with ST, each with where the cursor was put before it.
    fn sequences(out: &[u8], begin: &str) -> Vec<((u16, u16), String)> {
        let text = String::from_utf8(out.to_vec()).expect("all of it is ASCII");
        let mut found = Vec::new();
        let mut cursor = (0, 0);
        for part in text.split("\x1b\\") {
            let Some(at) = part.find(begin) else { continue };
            if let Some((_, position)) = part[..at].rsplit_once("\x1b[")
                && let Some((row, column)) = position.strip_suffix('H').and_then(|p| p.split_once(';'))
            {
                let number = |text: &str| text.parse::<u16>().expect("a number");
                cursor = (number(column) - 1, number(row) - 1);
            }
            found.push((cursor, part[at + begin.len()..].to_owned()));
        }
        found
    }

    #[test]
    fn a_large_sixel_picture_is_drawn_in_pieces() {
        let cell = Size::new(9, 18);
        let area = CellRect::new(3, 2, 200, 100);
        let size = Size::new(1800, 1800);
        let out = drawn(Protocol::Sixel, area, cell, &ramp(Size::new(450, 450)));
        let images = sequences(&out, "\x1bP");
        assert_eq!(images.len(), 4);
        let mut covered = 0;
        for ((column, row), data) in images {
            let image = icy_sixel::SixelImage::decode(format!("\x1bP{data}\x1b\\").as_bytes());
            let image = image.expect("a sixel graphic");
            assert!(
                image.width <= 1000 && image.height <= 1000,
                "{}x{}",
                image.width,
                image.height
            );
            covered += image.width * image.height;
            let left = usize::from(column - area.x) * cell.width as usize;
            let top = usize::from(row - area.y) * cell.height as usize;
            // The palette has 256 colours, in percent.
            for (x, y) in [
                (5, 5),
                (image.width / 2, image.height / 3),
                (image.width - 5, image.height - 5),
            ] {
                let at = (y * image.width + x) * 4;
                let seen = f32::from(image.pixels[at]);
                let wanted = expected(left + x, top + y, size);
                assert!(
                    (seen - wanted).abs() < 8.0,
                    "({left} + {x}, {top} + {y}): {seen} for {wanted}"
                );
            }
        }
        assert_eq!(covered, 1800 * 1800);
    }

    #[test]
    fn what_kitty_gets_is_the_picture() {
        let size = Size::new(160, 96);
        let area = CellRect::new(1, 1, 20, 6);
        let out = drawn(Protocol::Kitty, area, Size::new(8, 16), &ramp(size));
        let chunks = sequences(&out, "\x1b_G");
        // The first takes away all that was there.
        assert_eq!(chunks[0].1, "a=d,d=A,q=2");
        let (first, _) = chunks[1].1.split_once(';').expect("keys and data");
        assert!(first.starts_with("a=T,f=24,s=160,v=96,"), "{first}");
        assert!(first.contains(",c=20,r=6,") && first.ends_with(",m=1"), "{first}");
        assert_eq!(chunks[1].0, (1, 1));
        let mut data = String::new();
        for (_, chunk) in &chunks[1..] {
            let (keys, part) = chunk.split_once(';').expect("keys and data");
            assert!(part.len() <= CHUNK);
            let is_last = data.len() + part.len() == (160 * 96 * 4);
            assert!(keys.ends_with(if is_last { "m=0" } else { "m=1" }), "{keys}");
            data += part;
        }
        let rgb = BASE64.decode(data.as_bytes()).expect("base64");
        assert_eq!(rgb.len(), 160 * 96 * 3);
        for (i, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
            let wanted = expected(i % 160, i / 160, size);
            for channel in pixel {
                let seen = f32::from(*channel);
                assert!((seen - wanted).abs() < 3.0, "{i}: {seen} for {wanted}");
            }
        }
    }

    #[test]
    fn pieces_cover_an_area_once() {
        for (cols, rows, cell) in [
            (1, 1, (2, 4)),
            (200, 60, (9, 15)),
            (500, 200, (16, 32)),
            (333, 7, (128, 256)),
        ] {
            let area = CellRect::new(2, 1, cols, rows);
            let cell = Size::new(cell.0, cell.1);
            let mut seen = vec![0; usize::from(cols) * usize::from(rows)];
            for piece in pieces(area, cell) {
                assert!(u32::from(piece.cols) * cell.width <= MOST_OF_SIXEL);
                assert!(u32::from(piece.rows) * cell.height <= MOST_OF_SIXEL);
                for y in piece.y..piece.y + piece.rows {
                    for x in piece.x..piece.x + piece.cols {
                        seen[usize::from(y - area.y) * usize::from(cols) + usize::from(x - area.x)] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|times| *times == 1), "{area:?}");
        }
    }
}
