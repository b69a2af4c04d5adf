//! Character cells: what the interface lays over the pictures.

use std::ops::{BitOr, BitOrAssign};

use unicode_width::UnicodeWidthStr;

use super::colour::Rgb;
use crate::units::{CellRect, Cells};

/// A colour of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ink {
    /// The terminal's own.
    #[default]
    Default,
    /// A palette colour: 0 to 15 are the named ones, the rest the cube and the greys.
    Indexed(u8),
    /// This one, or the nearest that the terminal has.
    Rgb(Rgb),
    /// As a background: the picture below, darkened; where there is none, [`Ink::Default`].
    Beneath,
}

/// How text is set: any of the constants, joined by `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attrs(pub(super) u8);

impl Attrs {
    /// Plain.
    pub const NONE: Self = Self(0);
    /// `SGR 1`.
    pub const BOLD: Self = Self(1);
    /// `SGR 2`.
    pub const DIM: Self = Self(2);
    /// `SGR 3`.
    pub const ITALIC: Self = Self(4);
    /// `SGR 4`.
    pub const UNDERLINE: Self = Self(8);
    /// `SGR 7`.
    pub const REVERSE: Self = Self(16);
    /// `SGR 9`.
    pub const STRIKE: Self = Self(32);
}

impl BitOr for Attrs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Attrs {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Colours and attributes of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// The text's colour.
    pub fg: Ink,
    /// The colour behind it.
    pub bg: Ink,
    /// How it is set.
    pub attrs: Attrs,
}

/// The interface: one cell for each of the screen's, most of them transparent.
///
/// A cell is transparent (the picture is seen), dim (the picture is seen darkened), or text.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    size: Cells,
    cells: Vec<Cell>,
    /// Whether anything in the row is not transparent.
    used: Vec<bool>,
    /// Graphemes of more than one character, by the number in [`Glyph`].
    clusters: Vec<Box<str>>,
}

impl Overlay {
    /// A transparent overlay.
    pub fn new(size: Cells) -> Self {
        let mut overlay = Self::default();
        overlay.reset(size);
        overlay
    }

    /// Makes it transparent, and of this size.
    pub fn reset(&mut self, size: Cells) {
        let cols = usize::from(size.cols);
        if size == self.size {
            for (row, used) in self.cells.chunks_exact_mut(cols.max(1)).zip(&mut self.used) {
                if *used {
                    row.fill(Cell::default());
                    *used = false;
                }
            }
        } else {
            self.size = size;
            self.cells.clear();
            self.cells.resize(cols * usize::from(size.rows), Cell::default());
            self.used.clear();
            self.used.resize(usize::from(size.rows), false);
        }
        self.clusters.clear();
    }

    /// Its size.
    pub const fn size(&self) -> Cells {
        self.size
    }

    /// Puts one grapheme at a position, and says how many columns it takes (1 or 2); the caller's
    /// next one belongs that much further right.
    ///
    /// What cannot be shown becomes harmless: a control character or a grapheme wider than two
    /// columns U+FFFD, one without width or a wide one with only a column left a space. What is
    /// left of a wide grapheme when one of its halves is overwritten becomes a space.
    pub fn put(&mut self, x: u16, y: u16, symbol: &str, style: Style) -> u16 {
        let (mut glyph, mut width) = self.glyph(symbol);
        if x >= self.size.cols || y >= self.size.rows {
            return width;
        }
        if x + width > self.size.cols {
            (glyph, width) = (Glyph::SPACE, 1);
        }
        let cell = Cell {
            glyph,
            fg: Paint::from(style.fg),
            bg: Paint::from(style.bg),
            attrs: style.attrs,
            width: width as u8,
            layer: Layer::Text,
        };
        self.part(x, y);
        self.part(x + width, y);
        let at = self.at(x, y);
        self.cells[at] = cell;
        if width == 2 {
            self.cells[at + 1] = Cell { width: 0, ..cell };
        }
        self.used[usize::from(y)] = true;
        width
    }

    /// Puts text at a position, grapheme by grapheme, as far as the row goes; returns the column
    /// after it.
    pub fn text(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        use unicode_segmentation::UnicodeSegmentation;
        let mut x = x;
        for symbol in text.graphemes(true) {
            if x >= self.size.cols {
                break;
            }
            x += self.put(x, y, symbol, style);
        }
        x
    }

    /// Lets the picture shine through darkened; text that was there goes.
    pub fn dim(&mut self, area: CellRect) {
        let dim = Cell {
            layer: Layer::Dim,
            ..Cell::default()
        };
        self.fill(area, dim);
    }

    /// Lets the picture be seen again; text that was there goes.
    pub fn clear(&mut self, area: CellRect) {
        self.fill(area, Cell::default());
    }

    fn fill(&mut self, area: CellRect, cell: Cell) {
        let area = area.clip(self.size);
        if area.cols == 0 {
            return;
        }
        for y in area.y..area.y + area.rows {
            self.part(area.x, y);
            self.part(area.x + area.cols, y);
            let at = self.at(area.x, y);
            self.cells[at..at + usize::from(area.cols)].fill(cell);
            self.used[usize::from(y)] = true;
        }
    }

    /// Parts a wide grapheme that stands across the left edge of column `x`.
    fn part(&mut self, x: u16, y: u16) {
        if x == 0 || x >= self.size.cols {
            return;
        }
        let at = self.at(x, y);
        if self.cells[at].layer == Layer::Text && self.cells[at].width == 0 {
            for half in &mut self.cells[at - 1..=at] {
                half.glyph = Glyph::SPACE;
                half.width = 1;
            }
        }
    }

    fn glyph(&mut self, symbol: &str) -> (Glyph, u16) {
        if let &[byte @ b' '..=b'~'] = symbol.as_bytes() {
            return (Glyph(u32::from(byte)), 1);
        }
        if symbol.chars().any(char::is_control) {
            return (Glyph::REPLACEMENT, 1);
        }
        let width = match symbol.width() {
            0 => return (Glyph::SPACE, 1),
            width @ 1..=2 => width as u16,
            _ => return (Glyph::REPLACEMENT, 1),
        };
        let mut chars = symbol.chars();
        if let (Some(c), None) = (chars.next(), chars.next()) {
            return (Glyph(u32::from(c)), width);
        }
        (intern(&mut self.clusters, symbol), width)
    }

    fn at(&self, x: u16, y: u16) -> usize {
        usize::from(y) * usize::from(self.size.cols) + usize::from(x)
    }

    /// The row's cells, or `None` where all are transparent.
    pub(super) fn row(&self, y: usize) -> Option<&[Cell]> {
        let cols = usize::from(self.size.cols);
        self.used[y].then(|| &self.cells[y * cols..(y + 1) * cols])
    }

    /// Graphemes of more than one character, by the number in [`Glyph`].
    pub(super) fn clusters(&self) -> &[Box<str>] {
        &self.clusters
    }
}

/// Finds a grapheme among `clusters`, or adds it.
pub(super) fn intern(clusters: &mut Vec<Box<str>>, symbol: &str) -> Glyph {
    let index = clusters.iter().position(|c| **c == *symbol).unwrap_or_else(|| {
        clusters.push(symbol.into());
        clusters.len() - 1
    });
    Glyph(Glyph::CLUSTER | index as u32)
}

/// A character, or the number of a grapheme of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Glyph(u32);

impl Glyph {
    const CLUSTER: u32 = 1 << 31;
    pub(super) const SPACE: Self = Self(b' ' as u32);
    pub(super) const REPLACEMENT: Self = Self(0xFFFD);

    /// The index among the clusters, of a grapheme of several characters.
    pub(super) fn cluster(self) -> Option<usize> {
        (self.0 & Self::CLUSTER != 0).then_some((self.0 & !Self::CLUSTER) as usize)
    }

    /// The character, of a grapheme of one.
    pub(super) fn char(self) -> char {
        char::from_u32(self.0).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl From<char> for Glyph {
    fn from(c: char) -> Self {
        Self(u32::from(c))
    }
}

/// An [`Ink`] in four bytes: the kind in the upper one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Paint(u32);

/// [`Paint`] taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaintKind {
    Default,
    Named(u8),
    Palette(u8),
    Rgb(Rgb),
}

impl Paint {
    pub(super) const DEFAULT: Self = Self(0);
    pub(super) const BENEATH: Self = Self(4 << 24);

    pub(super) const fn named(index: u8) -> Self {
        Self(1 << 24 | index as u32)
    }

    pub(super) const fn palette(index: u8) -> Self {
        Self(2 << 24 | index as u32)
    }

    pub(super) const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self(3 << 24 | (r as u32) << 16 | (g as u32) << 8 | b as u32)
    }

    /// Of `3 << 24 | red << 16 | green << 8 | blue`, as [`Self::rgb`] has it.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The channels of one that [`Self::rgb`] made.
    pub(super) const fn channels(self) -> [u8; 3] {
        let [_, r, g, b] = self.0.to_be_bytes();
        [r, g, b]
    }

    pub(super) const fn kind(self) -> PaintKind {
        let [kind, r, g, b] = self.0.to_be_bytes();
        match kind {
            1 => PaintKind::Named(b),
            2 => PaintKind::Palette(b),
            3 => PaintKind::Rgb(Rgb::new(r, g, b)),
            _ => PaintKind::Default,
        }
    }
}

impl From<Rgb> for Paint {
    fn from(Rgb { r, g, b }: Rgb) -> Self {
        Self::rgb(r, g, b)
    }
}

impl From<Ink> for Paint {
    fn from(ink: Ink) -> Self {
        match ink {
            Ink::Default => Self::DEFAULT,
            Ink::Indexed(index @ 0..=15) => Self::named(index),
            Ink::Indexed(index) => Self::palette(index),
            Ink::Rgb(rgb) => rgb.into(),
            Ink::Beneath => Self::BENEATH,
        }
    }
}

/// What a cell of the overlay does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Layer {
    #[default]
    Transparent,
    Dim,
    Text,
}

/// A cell of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) glyph: Glyph,
    pub(super) fg: Paint,
    pub(super) bg: Paint,
    pub(super) attrs: Attrs,
    /// Columns; 0 for the right half of a wide grapheme.
    pub(super) width: u8,
    pub(super) layer: Layer,
}

impl Cell {
    /// Whether it shows this glyph of a picture in these colours.
    pub(super) fn is_same(&self, glyph: char, fg: Paint, bg: Paint) -> bool {
        let is_ink = self.fg == fg || glyph == ' ';
        let is_ground = self.bg == bg || glyph == '█';
        self.glyph == Glyph::from(glyph) && is_ink && is_ground
    }

    /// A plain character in two colours.
    #[inline(always)]
    pub(super) fn plain(glyph: char, fg: Paint, bg: Paint) -> Self {
        Self {
            glyph: glyph.into(),
            fg,
            bg,
            ..Self::BLANK
        }
    }

    /// What a cleared terminal shows.
    pub(super) const BLANK: Self = Self {
        glyph: Glyph::SPACE,
        fg: Paint::DEFAULT,
        bg: Paint::DEFAULT,
        attrs: Attrs::NONE,
        width: 1,
        layer: Layer::Text,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(overlay: &Overlay) -> String {
        let cells = overlay.cells.iter();
        cells
            .map(|c| match (c.layer, c.width) {
                (Layer::Transparent, _) => '.',
                (Layer::Dim, _) => ':',
                (Layer::Text, 0) => '<',
                (Layer::Text, _) => c.glyph.char(),
            })
            .collect()
    }

    #[test]
    fn wide_graphemes_are_never_left_in_half() {
        let mut overlay = Overlay::new(Cells::new(6, 1));
        assert_eq!(overlay.text(0, 0, "中文a", Style::default()), 5);
        assert_eq!(shown(&overlay), "中<文<a.");
        overlay.put(1, 0, "x", Style::default());
        assert_eq!(shown(&overlay), " x文<a.");
        overlay.put(1, 0, "中", Style::default());
        assert_eq!(shown(&overlay), " 中< a.");
        assert_eq!(overlay.put(5, 0, "中", Style::default()), 1);
        assert_eq!(shown(&overlay), " 中< a ");
        overlay.dim(CellRect::new(2, 0, 2, 9));
        assert_eq!(shown(&overlay), "  ::a ");
    }

    #[test]
    fn nothing_harmful_becomes_a_cell() {
        let mut overlay = Overlay::new(Cells::new(4, 1));
        for (x, symbol) in ["\x1b", "\u{200b}", "", "\u{9b}31m"].iter().enumerate() {
            overlay.put(x as u16, 0, symbol, Style::default());
        }
        assert_eq!(shown(&overlay), "\u{fffd}  \u{fffd}");
    }

    #[test]
    fn outside_is_ignored() {
        let mut overlay = Overlay::new(Cells::new(2, 2));
        overlay.put(2, 0, "a", Style::default());
        overlay.put(0, 2, "a", Style::default());
        overlay.dim(CellRect::new(7, 7, u16::MAX, u16::MAX));
        overlay.clear(CellRect::new(0, 0, 0, 9));
        assert_eq!(shown(&overlay), "....");
        Overlay::new(Cells::default()).put(0, 0, "a", Style::default());
    }
}
