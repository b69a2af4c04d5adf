//! What a picture is drawn with: the modes of `--render`.

use std::fmt;
use std::str::FromStr;

use crate::units::{Cells, Size};

/// How pictures are drawn: with characters, or by a protocol that takes pixels.
///
/// Parsed from and written as the names of `--render`; `auto` is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenderMode {
    /// Coloured character cells, in every terminal whose font has the glyphs.
    Glyphs(Glyphs),
    /// The kitty graphics protocol.
    Kitty,
    /// Sixel graphics (DEC STD 070).
    Sixel,
}

/// The characters that pictures are drawn with: each shows two colours in a cell, and the finer the
/// shapes that part them, the more is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Glyphs {
    /// `▀`, `▄`, `▌`, `▐`: in every font with block elements.
    #[default]
    Half,
    /// Quarters and eighths of a cell, `▚ ▙ ▃ ▎` (U+2580 to U+259F): in the same fonts, if not always
    /// to the edge of the cell.
    Quadrant,
    /// These, and all shapes of two by three (U+1FB00 to U+1FB3B, Unicode 13).
    Sextant,
    /// These, and all shapes of two by four (U+1CD00 to U+1CDE5 and where else they live, Unicode 16).
    Octant,
    /// ASCII by its ink, for fonts without blocks.
    Ascii,
}

impl Glyphs {
    /// All, from the simplest that takes blocks to the richest, then ASCII.
    pub const ALL: [Self; 5] = [
        Self::Half,
        Self::Quadrant,
        Self::Sextant,
        Self::Octant,
        Self::Ascii,
    ];

    /// The square pixels, across and down, that a cell of it shows at most: more of them in a picture
    /// are not seen. A cell is twice as high as wide.
    pub const fn pixels_per_cell(self) -> Size {
        match self {
            Self::Ascii | Self::Half => Size::new(1, 2),
            Self::Quadrant | Self::Sextant | Self::Octant => Size::new(2, 4),
        }
    }

    /// The square pixels that are seen at most of a picture on so many cells.
    pub const fn pixels(self, cells: Cells) -> Size {
        let one = self.pixels_per_cell();
        Size::new(cells.cols as u32 * one.width, cells.rows as u32 * one.height)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::Quadrant => "quadrant",
            Self::Sextant => "sextant",
            Self::Octant => "octant",
            Self::Ascii => "ascii",
        }
    }
}

impl fmt::Display for Glyphs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Glyphs {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|glyphs| glyphs.name() == name);
        found.ok_or_else(|| format!("{name:?} is no set of glyphs: half, quadrant, sextant, octant or ascii"))
    }
}

impl fmt::Display for RenderMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glyphs(glyphs) => glyphs.fmt(f),
            Self::Kitty => f.pad("kitty"),
            Self::Sixel => f.pad("sixel"),
        }
    }
}

impl FromStr for RenderMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "kitty" => Ok(Self::Kitty),
            "sixel" => Ok(Self::Sixel),
            _ => name.parse().map(Self::Glyphs).map_err(|_| {
                format!("{name:?} is no way to draw: half, quadrant, sextant, octant, ascii, kitty or sixel")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for glyphs in Glyphs::ALL {
            assert_eq!(glyphs.to_string().parse(), Ok(glyphs));
            let mode = RenderMode::Glyphs(glyphs);
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("kitty".parse(), Ok(RenderMode::Kitty));
        assert_eq!(RenderMode::Sixel.to_string(), "sixel");
        for name in ["", "auto", "Half", "braille"] {
            assert!(name.parse::<RenderMode>().is_err(), "{name}");
        }
        assert!("kitty".parse::<Glyphs>().is_err());
    }

    #[test]
    fn pixels_are_square() {
        for glyphs in Glyphs::ALL {
            let one = glyphs.pixels_per_cell();
            assert_eq!(one.height, 2 * one.width);
        }
        assert_eq!(Glyphs::Octant.pixels(Cells::new(80, 23)), Size::new(160, 92));
    }
}
