//! The model of the terminal: what shall be seen, what is seen, and the way from one to the other.

use pulp::{Arch, NullaryFnOnce};

use super::cells::{Cell, Glyph, Layer, Overlay, Paint, PaintKind, intern};
use super::colour::{ColorDepth, ColourSpace};
use super::encode::Stream;
use super::glyphs::Glyphs;
use super::grid::{Grid, Kind};
use super::palette::{Palette, ansi256_colour};
use super::scale::fit;
use super::shapes::Sampling;
use super::sharpen::Sharpener;
use super::worth::Worth;
use crate::media::frame::{I420, Plane};
use crate::media::scale::PlaneScaler;
use crate::units::{CellRect, Cells};

/// Graphemes of several characters that are kept before all are forgotten (and drawn again).
const MOST_CLUSTERS: usize = 1024;

/// How much better a cell must become to be drawn again, and how much may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redraw {
    /// A picture's cell is drawn again if that lowers its mean squared error (of 8-bit channels) by
    /// more than this, for the bytes that a cell takes as a rule; by more where it takes more, and
    /// where the sensor's noise is worth more. What is worth less is drawn within 128 frames if it is
    /// well above that noise, or stands still, and within 2048 if it is not exact.
    pub worth: u16,
    /// The budget of one frame in bytes for each cell of the screen: to keep it, more must be gained
    /// for a byte. Text is always drawn.
    pub bytes_per_cell: Option<u16>,
}

impl Redraw {
    /// Every difference is drawn at once.
    pub const EXACT: Self = Self {
        worth: 0,
        bytes_per_cell: None,
    };
}

impl Default for Redraw {
    /// What is hardly seen on moving pictures is not sent, and 8 bytes a cell are never exceeded:
    /// tmux throws output away from there on (`TTY_BLOCK_START` in its tty.c).
    fn default() -> Self {
        Self {
            worth: 16,
            bytes_per_cell: Some(8),
        }
    }
}

/// The terminal.
pub struct Screen {
    /// What the machine has instructions for: all that goes through many samples is compiled for each.
    pub(super) arch: Arch,
    pub(super) size: Cells,
    pub(super) depth: ColorDepth,
    pub(super) glyphs: Glyphs,
    pub(super) redraw: Redraw,
    /// Of the next frames, in bytes.
    budget: Option<usize>,
    scaler: PlaneScaler,
    sharpener: Sharpener,
    pub(super) wanted: Grid,
    pub(super) shown: Grid,
    /// The graphemes that glyphs of `wanted` and `shown` name.
    pub(super) clusters: Vec<Box<str>>,
    /// For each of the overlay's clusters its number in `clusters`.
    cluster_of: Vec<Glyph>,
    pub(super) worth: Worth,
    /// Nothing was composed since the last frame was encoded.
    is_fresh: bool,
    /// The terminal shows we know not what.
    is_unknown: bool,
}

impl Screen {
    /// A terminal of `size`, of whose content nothing is known.
    pub fn new(size: Cells, depth: ColorDepth) -> Self {
        let mut screen = Self {
            arch: Arch::new(),
            size,
            depth,
            glyphs: Glyphs::default(),
            redraw: Redraw::default(),
            budget: None,
            scaler: PlaneScaler::default(),
            sharpener: Sharpener::default(),
            wanted: Grid::default(),
            shown: Grid::default(),
            clusters: Vec::new(),
            cluster_of: Vec::new(),
            worth: Worth::default(),
            is_fresh: true,
            is_unknown: true,
        };
        screen.resize(size);
        screen
    }

    /// Its size.
    pub const fn size(&self) -> Cells {
        self.size
    }

    /// The colours that the terminal is told.
    pub const fn depth(&self) -> ColorDepth {
        self.depth
    }

    /// With what pictures are drawn.
    pub const fn glyphs(&self) -> Glyphs {
        self.glyphs
    }

    /// Sets with what pictures are drawn; until then with half blocks.
    pub fn set_glyphs(&mut self, glyphs: Glyphs) {
        if glyphs != self.glyphs {
            self.glyphs = glyphs;
            self.resize(self.size);
        }
    }

    /// Sets the colours that the terminal is told.
    pub fn set_depth(&mut self, depth: ColorDepth) {
        if depth != self.depth {
            self.depth = depth;
            self.resize(self.size);
        }
    }

    /// Sets what is worth redrawing.
    pub fn set_redraw(&mut self, redraw: Redraw) {
        self.redraw = redraw;
    }

    /// Sets how many bytes each of the next frames may take, for a line that takes no more; the budget
    /// of [`Redraw`] stands beside it, and the lower one counts.
    pub fn set_budget(&mut self, bytes_per_frame: Option<usize>) {
        self.budget = bytes_per_frame;
    }

    /// The terminal has another size: the next frame clears it and draws everything.
    pub fn resize(&mut self, size: Cells) {
        self.size = size;
        let sampling = Sampling::of(self.glyphs);
        self.wanted.resize(size, sampling);
        self.shown.resize(size, sampling);
        self.worth.resize(size);
        self.is_fresh = true;
        self.invalidate();
    }

    /// Something else wrote to the terminal: the next frame clears it and draws everything.
    pub fn invalidate(&mut self) {
        self.is_unknown = true;
    }

    /// Lays a picture into an area, over what lies there: as [`fit`] says, mirrored where asked for.
    ///
    /// The first call after [`Screen::encode`] begins a new, empty frame.
    pub fn picture(&mut self, area: CellRect, picture: &I420, mirror: bool) {
        self.fill(fit(picture.size(), area.clip(self.size)), picture, mirror);
    }

    /// The same over all of an area, whatever shape that gives the picture.
    pub fn fill(&mut self, area: CellRect, picture: &I420, mirror: bool) {
        self.put(area, picture, mirror, false);
    }

    /// Lays a picture as [`Screen::picture`] does that shows another screen: its letters are brought out.
    pub fn desktop(&mut self, area: CellRect, picture: &I420) {
        self.put(fit(picture.size(), area.clip(self.size)), picture, false, true);
    }

    fn put(&mut self, area: CellRect, picture: &I420, mirror: bool, has_letters: bool) {
        self.begin();
        let to = area.clip(self.size);
        if to.cols == 0 || to.rows == 0 || picture.size().area() == 0 {
            return;
        }
        let sampling = Sampling::of(self.glyphs);
        let places = [sampling, Sampling::COARSE, Sampling::COARSE];
        let has_colours = self.depth != ColorDepth::Mono;
        for (index, plane) in picture.planes().into_iter().enumerate() {
            if index > 0 && !has_colours {
                break;
            }
            let places = places[index];
            self.arch.dispatch(Scale {
                scaler: &mut self.scaler,
                sharpener: (has_letters && index == 0).then_some(&mut self.sharpener),
                wanted: &mut self.wanted,
                plane,
                index,
                places,
                mirror,
                to,
            });
        }
        let space = ColourSpace::new(picture.matrix, picture.range);
        self.wanted.mark(to, Kind::picture(space));
    }

    /// Lays the interface over all that was composed so far.
    pub fn overlay(&mut self, overlay: &Overlay) {
        self.begin();
        if self.clusters.len() > MOST_CLUSTERS {
            self.clusters.clear();
            self.invalidate();
        }
        let clusters = &mut self.clusters;
        self.cluster_of.clear();
        self.cluster_of
            .extend(overlay.clusters().iter().map(|symbol| intern(clusters, symbol)));
        let cols = usize::from(self.size.cols.min(overlay.size().cols));
        let mut inks = Inks::new(self.depth);
        for y in 0..usize::from(self.size.rows.min(overlay.size().rows)) {
            let Some(row) = overlay.row(y) else { continue };
            let row = &row[..cols];
            let mut x = 0;
            while x < cols {
                let run = row[x..]
                    .iter()
                    .take_while(|cell| cell.layer == row[x].layer)
                    .count();
                match row[x].layer {
                    Layer::Transparent => {}
                    Layer::Dim => self.wanted.dim(x, x + run, y),
                    Layer::Text => {
                        for (x, &cell) in (x..).zip(&row[x..x + run]) {
                            let mut cell = cell;
                            if let Some(index) = cell.glyph.cluster() {
                                cell.glyph = self.cluster_of[index];
                            }
                            if cell.width == 2 && x + 1 == cols {
                                (cell.glyph, cell.width) = (Glyph::SPACE, 1);
                            }
                            self.lay(x, y, cell, &mut inks);
                        }
                    }
                }
                x += run;
            }
        }
    }

    /// Appends the fewest bytes that make the terminal show what was composed: one frame between
    /// `CSI ?2026h` and `CSI ?2026l`, or nothing. They must reach the terminal whole and in order.
    pub fn encode(&mut self, out: &mut Vec<u8>) {
        self.is_fresh = true;
        let mut stream = Stream::begin(out);
        if self.is_unknown {
            self.is_unknown = false;
            stream.clear();
            self.shown.clear();
        }
        let cells = self.wanted.kind.len();
        let bytes_per_cell = self.redraw.bytes_per_cell.map(|b| usize::from(b) * cells);
        let budget = bytes_per_cell.into_iter().chain(self.budget).min();
        self.weigh();
        self.draw(budget.unwrap_or(usize::MAX), &mut stream);
        stream.end();
    }

    fn begin(&mut self) {
        if self.is_fresh {
            self.is_fresh = false;
            self.wanted.clear();
        }
    }

    /// Lays a cell of text, its colours as the depth has them.
    fn lay(&mut self, x: usize, y: usize, cell: Cell, inks: &mut Inks) {
        let at = self.wanted.at(x, y);
        let mut cell = cell;
        cell.fg = inks.of(cell.fg);
        let is_beneath = cell.bg == Paint::BENEATH;
        cell.bg = match is_beneath {
            true if self.wanted.kind[at].is_picture() && self.depth != ColorDepth::Mono => {
                inks.of(self.wanted.beneath(x, y))
            }
            true => Paint::DEFAULT,
            false => inks.of(cell.bg),
        };
        let shown = self.shown.text[at];
        if is_beneath
            && self.shown.kind[at] == Kind::TEXT
            && (Cell { bg: cell.bg, ..shown }) == cell
            && self.redraw.worth > 0
            && is_near(shown.bg, cell.bg)
        {
            cell.bg = shown.bg;
        }
        self.wanted.set_text(x, y, cell);
    }
}

/// A plane of a picture on its way to the grid, with the instructions that the machine has.
struct Scale<'a> {
    scaler: &'a mut PlaneScaler,
    /// Of letters' light.
    sharpener: Option<&'a mut Sharpener>,
    wanted: &'a mut Grid,
    plane: Plane<'a>,
    index: usize,
    places: Sampling,
    mirror: bool,
    to: CellRect,
}

impl NullaryFnOnce for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (cols, rows) = (usize::from(self.to.cols), usize::from(self.to.rows));
        let size = (cols * self.places.cols, rows * self.places.rows);
        let wanted = self.wanted;
        let Plane { data, width, .. } = self.plane;
        let (to, index, places, mirror) = (self.to, self.index, self.places, self.mirror);
        let Some(sharpener) = self.sharpener else {
            return self.scaler.scale(
                data,
                width,
                size,
                mirror,
                #[inline(always)]
                |y, row| wanted.put(to, index, places, y, row),
            );
        };
        sharpener.begin(size);
        self.scaler.scale(
            data,
            width,
            size,
            mirror,
            #[inline(always)]
            |y, row| sharpener.put(y, row),
        );
        sharpener.finish(
            places,
            #[inline(always)]
            |y, row| wanted.put(to, index, places, y, row),
        );
    }
}

/// Whether two backgrounds differ by so little that it is hardly seen.
fn is_near(a: Paint, b: Paint) -> bool {
    const NEAR: u8 = 7;
    match (a.kind(), b.kind()) {
        (PaintKind::Rgb(a), PaintKind::Rgb(b)) => a.distance(b) <= NEAR,
        (PaintKind::Palette(a), PaintKind::Palette(b)) => {
            ansi256_colour(a).distance(ansi256_colour(b)) <= NEAR
        }
        _ => a == b,
    }
}

/// Colours of text as a depth has them; remembers the last, as text comes in runs.
struct Inks {
    depth: ColorDepth,
    last: (Paint, Paint),
}

impl Inks {
    fn new(depth: ColorDepth) -> Self {
        Self {
            depth,
            last: (Paint::DEFAULT, Paint::DEFAULT),
        }
    }

    fn of(&mut self, paint: Paint) -> Paint {
        if self.last.0 != paint {
            self.last = (paint, self.convert(paint));
        }
        self.last.1
    }

    fn convert(&self, paint: Paint) -> Paint {
        use ColorDepth::{Ansi16, Ansi256, Mono, Truecolor};
        match (self.depth, paint.kind()) {
            (Mono, _) | (_, PaintKind::Default) => Paint::DEFAULT,
            (Ansi256, PaintKind::Rgb(rgb)) => Paint::palette(Palette::ansi256().nearest(rgb)),
            (Ansi16, PaintKind::Rgb(rgb)) => Paint::named(Palette::ansi16().nearest(rgb)),
            (Ansi16, PaintKind::Palette(index)) => {
                Paint::named(Palette::ansi16().nearest(ansi256_colour(index)))
            }
            (Truecolor | Ansi256 | Ansi16, _) => paint,
        }
    }
}
