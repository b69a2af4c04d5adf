//! Sizes and rates, so that a number says what it counts.

use serde::{Deserialize, Serialize};

/// A picture's size in square pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// A size of `width` by `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Pixels in all.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The largest size of this aspect ratio that fits into `bounds`, never larger than `self`,
    /// with both sides even and at least two (I420 halves its colour planes).
    pub fn fit_into(self, bounds: Size) -> Size {
        if self.area() == 0 || bounds.area() == 0 {
            return Size::new(2, 2);
        }
        let (w, h) = (u64::from(self.width), u64::from(self.height));
        let (bw, bh) = (
            u64::from(bounds.width.min(self.width)),
            u64::from(bounds.height.min(self.height)),
        );
        let (fw, fh) = if bw * h <= bh * w {
            (bw, (bw * h + w / 2) / w)
        } else {
            ((bh * w + h / 2) / h, bh)
        };
        let even = |n: u64| u32::try_from((n & !1).max(2)).unwrap_or(2);
        Size::new(even(fw), even(fh))
    }
}

/// A terminal's or an area's size in character cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cells {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Cells {
    /// `cols` columns by `rows` rows.
    pub const fn new(cols: u16, rows: u16) -> Self {
        Self { cols, rows }
    }

    /// The square pixels that half blocks show on this many cells (a cell is one wide, two high).
    pub const fn pixels(self) -> Size {
        Size::new(self.cols as u32, self.rows as u32 * 2)
    }
}

/// A rectangle of character cells; (0, 0) is the upper left corner of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CellRect {
    /// Column of the left edge.
    pub x: u16,
    /// Row of the upper edge.
    pub y: u16,
    /// Columns across.
    pub cols: u16,
    /// Rows down.
    pub rows: u16,
}

impl CellRect {
    /// `cols` columns by `rows` rows with the upper left corner at (`x`, `y`).
    pub const fn new(x: u16, y: u16, cols: u16, rows: u16) -> Self {
        Self { x, y, cols, rows }
    }

    /// Its size.
    pub const fn size(self) -> Cells {
        Cells::new(self.cols, self.rows)
    }

    /// The part of it that lies on a screen of `size`.
    pub fn clip(self, size: Cells) -> CellRect {
        let (x, y) = (self.x.min(size.cols), self.y.min(size.rows));
        let (right, bottom) = (self.x.saturating_add(self.cols), self.y.saturating_add(self.rows));
        CellRect::new(x, y, right.min(size.cols) - x, bottom.min(size.rows) - y)
    }
}

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// More than any line carries.
    pub const MAX: Self = Self(u64::MAX);

    /// From kilobits (1,000 bits) per second.
    pub const fn kbps(kilobits: u64) -> Self {
        Self(kilobits * 1000)
    }

    /// In kilobits per second.
    pub fn as_kbps(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_fitted_at_its_own_aspect_and_even() {
        let camera = Size::new(640, 480);
        assert_eq!(camera.fit_into(Size::new(80, 46)), Size::new(60, 46));
        assert_eq!(camera.fit_into(Size::new(30, 100)), Size::new(30, 22));
        assert_eq!(camera.fit_into(Size::new(4000, 4000)), camera);
        assert_eq!(camera.fit_into(Size::new(0, 5)), Size::new(2, 2));
    }
}
