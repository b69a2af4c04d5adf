//! Where a picture lies.

use crate::units::{CellRect, Size};

/// Where a picture of `size` square pixels lies in `area`: as large as it can be at its own aspect
/// ratio (a cell is one pixel wide and two high), centred, in whole cells, at least one. Empty
/// where the picture or the area is.
pub fn fit(size: Size, area: CellRect) -> CellRect {
    if size.area() == 0 || area.cols == 0 || area.rows == 0 {
        return CellRect::new(area.x, area.y, 0, 0);
    }
    let (w, h) = (u64::from(size.width), u64::from(size.height));
    let (cols, rows) = (u64::from(area.cols), u64::from(area.rows));
    let (fit_cols, fit_rows) = if w * rows * 2 >= h * cols {
        (cols, (h * cols + w) / (2 * w))
    } else {
        ((w * rows * 2 + h / 2) / h, rows)
    };
    let within = |n: u64, most: u16| u16::try_from(n).unwrap_or(most).clamp(1, most);
    let (fit_cols, fit_rows) = (within(fit_cols, area.cols), within(fit_rows, area.rows));
    CellRect {
        x: area.x + (area.cols - fit_cols) / 2,
        y: area.y + (area.rows - fit_rows) / 2,
        cols: fit_cols,
        rows: fit_rows,
    }
}
