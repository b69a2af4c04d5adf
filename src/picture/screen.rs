//! The model of the terminal: what shall be seen, what is seen, and the way from one to the other.

use super::cells::{Cell, Glyph, Layer, Overlay, Paint, PaintKind, intern};
use super::colour::{ColorDepth, YuvToRgb};
use super::encode::Stream;
use super::glyphs::Glyphs;
use super::grid::{Grid, Kind, Look, is_picture};
use super::palette::{Palette, ansi256_colour};
use super::scale::{GridScaler, fit};
use crate::media::frame::I420;
use crate::units::{CellRect, Cells, Size};

/// Frames in which every cell is looked at once for what was too little to redraw: two seconds at 30
/// frames a second.
const REFRESH: usize = 64;
/// How far off a cell counts as that is refreshed: before all others of a picture.
const REFRESHED: u8 = 254;
/// The most bytes that one cell of a picture takes, and the end of the frame.
const LARGEST: usize = 64;
/// Graphemes of several characters that are kept before all are forgotten (and drawn again).
const MOST_CLUSTERS: usize = 1024;

/// How much may be off before a picture's cell is drawn again, and how much may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redraw {
    /// A cell stays as it is while no channel of it is off by more than this. What is off by less
    /// becomes exact within 64 frames after it stopped changing.
    pub threshold: u8,
    /// The budget of one frame in bytes for each cell of the screen: to keep it, the threshold rises.
    /// Text is always drawn, and what was never drawn before.
    pub bytes_per_cell: Option<u16>,
}

impl Redraw {
    /// Every difference is drawn at once.
    pub const EXACT: Self = Self {
        threshold: 0,
        bytes_per_cell: None,
    };
}

impl Default for Redraw {
    /// What is hardly seen on moving pictures is not sent, and 8 bytes a cell are never exceeded:
    /// tmux throws output away from there on (`TTY_BLOCK_START` in its tty.c).
    fn default() -> Self {
        Self {
            threshold: 7,
            bytes_per_cell: Some(8),
        }
    }
}

/// The terminal.
pub struct Screen {
    size: Cells,
    depth: ColorDepth,
    glyphs: Glyphs,
    redraw: Redraw,
    /// Of the next frames, in bytes.
    budget: Option<usize>,
    scaler: GridScaler,
    wanted: Grid,
    shown: Grid,
    /// The graphemes that glyphs of `wanted` and `shown` name.
    clusters: Vec<Box<str>>,
    /// For each of the overlay's clusters its number in `clusters`.
    cluster_of: Vec<Glyph>,
    /// How far each cell is off: 0 to 254 in its colours, 255 altogether.
    off: Vec<u8>,
    /// Nothing was composed since the last frame was encoded.
    is_fresh: bool,
    /// The terminal shows we know not what.
    is_unknown: bool,
    /// Counts frames, for the refresh.
    frame: usize,
    /// How the cells next in turn looked, to see whether they stand still.
    probe: Vec<[u8; 6]>,
    /// Sixteenths of bytes that a redrawn cell took lately.
    cost: usize,
}

impl Screen {
    /// A terminal of `size`, of whose content nothing is known.
    pub fn new(size: Cells, depth: ColorDepth) -> Self {
        let mut screen = Self {
            size,
            depth,
            glyphs: Glyphs::default(),
            redraw: Redraw::default(),
            budget: None,
            scaler: GridScaler::default(),
            wanted: Grid::default(),
            shown: Grid::default(),
            clusters: Vec::new(),
            cluster_of: Vec::new(),
            off: Vec::new(),
            is_fresh: true,
            is_unknown: true,
            frame: 0,
            probe: Vec::new(),
            cost: 32 * 16,
        };
        screen.resize(size);
        screen
    }

    /// Its size.
    pub const fn size(&self) -> Cells {
        self.size
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
        self.wanted.resize(size);
        self.shown.resize(size);
        self.off.resize(self.wanted.kind.len(), 0);
        self.probe.clear();
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
        self.begin();
        let to = fit(picture.size(), area.clip(self.size));
        if to.cols == 0 || to.rows == 0 {
            return;
        }
        let convert = YuvToRgb::new(picture.matrix, picture.range);
        if self.depth == ColorDepth::Mono {
            let luma = self
                .scaler
                .scale_luma(picture, Size::new(u32::from(to.cols) * 2, u32::from(to.rows) * 2));
            self.wanted.put_grey(to, luma, &convert, mirror);
        } else {
            let planes = self.scaler.scale(picture, to.size().pixels());
            self.wanted.put(to, planes, &convert, mirror);
        }
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
            for (x, &cell) in row[..cols].iter().enumerate() {
                match cell.layer {
                    Layer::Transparent => {}
                    Layer::Dim => self.wanted.dim(x, y),
                    Layer::Text => {
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
        self.compare();
        let budget = self
            .redraw
            .bytes_per_cell
            .map(|b| usize::from(b) * self.off.len())
            .into_iter()
            .chain(self.budget)
            .min();
        let threshold = self.threshold(budget);
        self.refresh();
        self.draw(threshold, budget.unwrap_or(usize::MAX), &mut stream);
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
            true if is_picture(self.wanted.kind[at]) => inks.of(self.wanted.beneath(x, y, self.depth)),
            true => Paint::DEFAULT,
            false => inks.of(cell.bg),
        };
        let shown = self.shown.text[at];
        if is_beneath
            && self.shown.kind[at] == Kind::Text as u8
            && (Cell { bg: cell.bg, ..shown }) == cell
            && is_near(shown.bg, cell.bg, self.redraw.threshold)
        {
            cell.bg = shown.bg;
        }
        self.wanted.set_text(x, y, cell);
    }

    /// Finds how far each cell is off.
    fn compare(&mut self) {
        let Self {
            wanted, shown, off, ..
        } = self;
        let cols = wanted.cols;
        if cols == 0 {
            return;
        }
        for (y, off) in off.chunks_exact_mut(cols).enumerate() {
            let row = y * cols..(y + 1) * cols;
            let (kind, shown_kind) = (&wanted.kind[row.clone()], &shown.kind[row.clone()]);
            for ((off, a), b) in off.iter_mut().zip(kind).zip(shown_kind) {
                *off = if a == b { 0 } else { 255 };
            }
            for half in [
                2 * y * cols..(2 * y + 1) * cols,
                (2 * y + 1) * cols..(2 * y + 2) * cols,
            ] {
                for (a, b) in wanted.channels.iter().zip(&shown.channels) {
                    for ((off, a), b) in off.iter_mut().zip(&a[half.clone()]).zip(&b[half.clone()]) {
                        *off = (*off).max(a.abs_diff(*b).min(254));
                    }
                }
            }
            if wanted.has_text[y] {
                let texts = wanted.text[row.clone()].iter().zip(&shown.text[row]);
                for ((off, kind), (a, b)) in off.iter_mut().zip(kind).zip(texts) {
                    if *kind == Kind::Text as u8 && a != b {
                        *off = 255;
                    }
                }
            }
        }
    }

    /// The least threshold with which the frame likely keeps its budget.
    fn threshold(&self, budget: Option<usize>) -> u8 {
        let least = self.redraw.threshold;
        let Some(budget) = budget else { return least };
        let affordable = budget * 16 / self.cost.max(16);
        if self.off.iter().filter(|&&off| off > least).count() <= affordable {
            return least;
        }
        let mut histogram = [0_usize; 256];
        for &off in &self.off {
            histogram[usize::from(off)] += 1;
        }
        let mut drawn = histogram[254] + histogram[255];
        for threshold in (least..254).rev() {
            drawn += histogram[usize::from(threshold)];
            if drawn > affordable {
                return threshold;
            }
        }
        least
    }

    /// Marks the cells in turn, of each 8x8 one, that are off for good.
    fn refresh(&mut self) {
        self.frame += 1;
        // Sensor noise is seldom more, and never stands still.
        let noise = self.redraw.threshold / 2;
        let cols = self.wanted.cols;
        let turn = self.in_turn(self.frame);
        let is_probed = self.probe.len() == turn.clone().count();
        for (i, (x, y)) in turn.enumerate() {
            let off = &mut self.off[y * cols + x];
            let is_still = is_probed && self.probe[i] == self.wanted.samples(x, y);
            if *off > noise || (*off > 0 && is_still) {
                *off = (*off).max(REFRESHED);
            }
        }
        self.probe.clear();
        let next = self.in_turn(self.frame + 1);
        self.probe.extend(next.map(|(x, y)| self.wanted.samples(x, y)));
    }

    fn in_turn(&self, frame: usize) -> impl Iterator<Item = (usize, usize)> + Clone + use<> {
        let (x, y) = turn_place(frame % REFRESH);
        let (cols, rows) = (self.wanted.cols, usize::from(self.size.rows));
        (y..rows)
            .step_by(8)
            .flat_map(move |y| (x..cols).step_by(8).map(move |x| (x, y)))
    }

    /// Writes the cells that are off by more than `threshold`.
    fn draw(&mut self, threshold: u8, budget: usize, stream: &mut Stream<'_>) {
        let before = stream.len();
        let mut drawn = 0;
        for y in 0..self.size.rows {
            let start = usize::from(y) * usize::from(self.size.cols);
            let mut x = 0;
            while let Some(skip) = next_over(&self.off[start + x..start + self.wanted.cols], threshold) {
                x += skip;
                let is_kept = self.off[start + x] < 255 && stream.len() + LARGEST > budget;
                if !is_kept && self.draw_cell(x, usize::from(y), stream) {
                    drawn += 1;
                }
                x += 1;
            }
        }
        // Few cells say little, with the frame's own bytes among theirs.
        if drawn > 64 {
            let cost = (stream.len() - before) * 16 / drawn;
            self.cost = (self.cost * 3 + cost) / 4;
        }
    }

    /// Writes a cell; says whether there was something to write.
    fn draw_cell(&mut self, x: usize, y: usize, stream: &mut Stream<'_>) -> bool {
        let Self { wanted, shown, .. } = self;
        let Cells { cols, .. } = self.size;
        let (at, place) = (wanted.at(x, y), (x as u16, y as u16));
        if is_picture(wanted.kind[at]) {
            let look = wanted.look(x, y, self.depth);
            // Samples that differ may look the same in few colours.
            let is_same = self.depth != ColorDepth::Truecolor
                && is_picture(shown.kind[at])
                && shown.look(x, y, self.depth) == look;
            shown.take(x, y, wanted);
            if is_same {
                return false;
            }
            match look {
                Look::Halves(top, bottom) => stream.halves(place, cols, top, bottom),
                Look::Glyph(c) => stream.plain(place, cols, c),
            }
        } else {
            shown.take(x, y, wanted);
            let cell = if wanted.kind[at] == Kind::Text as u8 {
                wanted.text[at]
            } else {
                Cell::BLANK
            };
            if cell.width > 0 {
                stream.text(place, cols, &cell, &self.clusters);
            }
        }
        // A wide grapheme whose left half was overwritten is gone as a whole.
        let next = at + 1;
        if x + 1 < wanted.cols
            && shown.kind[next] == Kind::Text as u8
            && shown.text[next].width == 0
            && shown.text[at].width != 2
        {
            shown.kind[next] = Kind::Unknown as u8;
            self.off[next] = 255;
        }
        true
    }
}

#[cfg(test)]
impl Screen {
    /// What was composed, and in which depth it is shown.
    pub(super) fn wanted(&self) -> (&Grid, ColorDepth) {
        (&self.wanted, self.depth)
    }

    /// A grapheme of several characters.
    pub(super) fn cluster(&self, index: usize) -> &str {
        &self.clusters[index]
    }
}

/// The index of the first that is more than `threshold`.
fn next_over(off: &[u8], threshold: u8) -> Option<usize> {
    const MANY: usize = 16;
    let mut start = 0;
    let mut chunks = off.chunks_exact(MANY);
    for chunk in &mut chunks {
        if chunk.iter().fold(0, |most, &off| most.max(off)) > threshold {
            break;
        }
        start += MANY;
    }
    let found = off[start..].iter().position(|&off| off > threshold)?;
    Some(start + found)
}

/// Where in each 8x8 cells the one in turn is: neighbours are far apart in time.
fn turn_place(turn: usize) -> (usize, usize) {
    let scattered = (turn * 37) % REFRESH;
    (scattered % 8, scattered / 8)
}

/// Whether two backgrounds differ by no more than `threshold`.
fn is_near(a: Paint, b: Paint, threshold: u8) -> bool {
    match (a.kind(), b.kind()) {
        (PaintKind::Rgb(a), PaintKind::Rgb(b)) => a.distance(b) <= threshold,
        (PaintKind::Palette(a), PaintKind::Palette(b)) => {
            ansi256_colour(a).distance(ansi256_colour(b)) <= threshold
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
