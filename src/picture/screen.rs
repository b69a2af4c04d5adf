//! The model of the terminal: what shall be seen, what is seen, and the way from one to the other.

use super::cells::{Cell, Glyph, Layer, Overlay, Paint, PaintKind, intern};
use super::colour::{ColorDepth, Rgb, YuvToRgb, dimmed};
use super::encode::Stream;
use super::mono;
use super::palette::{Palette, ansi256_colour};
use super::scale::{GridScaler, fit};
use crate::media::frame::I420;
use crate::units::{CellRect, Cells, Size};

/// Frames in which every cell is looked at once for what was too little to redraw: two seconds at 30
/// frames a second.
const REFRESH: usize = 64;
/// A cell in its turn is redrawn for more than this: sensor noise seldom is.
const NOISE: u8 = 2;
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
    redraw: Redraw,
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
            redraw: Redraw::default(),
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

    /// Sets what is worth redrawing.
    pub fn set_redraw(&mut self, redraw: Redraw) {
        self.redraw = redraw;
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
            .map(|b| usize::from(b) * self.off.len());
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
            true if self.wanted.kind[at] == Kind::Picture as u8 => {
                inks.of(self.wanted.beneath(at, self.depth))
            }
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
        self.wanted.set_text(at, cell);
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
            let (kind, shown_kind) = (&wanted.kind[row.clone()], &shown.kind[row]);
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
        }
        for (at, off) in off.iter_mut().enumerate() {
            if wanted.kind[at] == Kind::Text as u8 && wanted.text[at] != shown.text[at] {
                *off = 255;
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
        let mut drawn = histogram[255];
        for threshold in (least..255).rev() {
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
        let turn = self.in_turn(self.frame);
        let is_probed = self.probe.len() == turn.clone().count();
        for (i, at) in turn.enumerate() {
            let is_still = is_probed && self.probe[i] == self.wanted.samples(at);
            if self.off[at] > NOISE || (self.off[at] > 0 && is_still) {
                self.off[at] = 255;
            }
        }
        self.probe.clear();
        let next = self.in_turn(self.frame + 1);
        self.probe.extend(next.map(|at| self.wanted.samples(at)));
    }

    fn in_turn(&self, frame: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let turn = frame % REFRESH;
        let (x, y) = turn_place(turn);
        let (cols, rows) = (self.wanted.cols, usize::from(self.size.rows));
        (y..rows)
            .step_by(8)
            .flat_map(move |y| (x..cols).step_by(8).map(move |x| y * cols + x))
    }

    /// Writes the cells that are off by more than `threshold`.
    fn draw(&mut self, threshold: u8, budget: usize, stream: &mut Stream<'_>) {
        let Self {
            size: Cells { cols, rows },
            depth,
            wanted,
            shown,
            off,
            clusters,
            ..
        } = self;
        let (cols, depth) = (*cols, *depth);
        let before = stream.len();
        let mut drawn = 0;
        for y in 0..*rows {
            for x in 0..cols {
                let at = usize::from(y) * usize::from(cols) + usize::from(x);
                if off[at] <= threshold {
                    continue;
                }
                if wanted.kind[at] == Kind::Picture as u8 {
                    if off[at] < 255 && stream.len() + 64 > budget {
                        continue;
                    }
                    let had = (shown.kind[at] == Kind::Picture as u8).then(|| shown.look(at, depth));
                    let look = wanted.look(at, depth);
                    // What the terminal shows after this is what these samples look like.
                    shown.take(at, wanted);
                    if had == Some(look) {
                        continue;
                    }
                    match look {
                        Look::Halves(top, bottom) => stream.halves((x, y), cols, top, bottom),
                        Look::Glyph(c) => stream.plain((x, y), cols, c),
                    }
                    drawn += 1;
                } else {
                    let cell = match wanted.kind[at] == Kind::Text as u8 {
                        true => wanted.text[at],
                        false => Cell::BLANK,
                    };
                    shown.take(at, wanted);
                    if cell.width > 0 {
                        stream.text((x, y), cols, &cell, clusters);
                        drawn += 1;
                    }
                }
                // A wide grapheme of which the left half was overwritten is gone as a whole.
                let next = at + 1;
                if x + 1 < cols
                    && shown.kind[next] == Kind::Text as u8
                    && shown.text[next].width == 0
                    && shown.text[at].width != 2
                {
                    shown.kind[next] = Kind::Unknown as u8;
                    off[next] = 255;
                }
            }
        }
        if drawn > 64 {
            let cost = (stream.len() - before) * 16 / drawn;
            self.cost = (self.cost * 3 + cost) / 4;
        }
    }
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

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// As a cleared terminal has it.
    Empty,
    /// A picture's; see [`Grid::channels`].
    Picture,
    /// The interface's; see [`Grid::text`].
    Text,
    /// Of the terminal: not known.
    Unknown,
}

/// What is written for a picture's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Halves(Paint, Paint),
    Glyph(char),
}

/// All cells, what is known of them side by side: plain loops over bytes compare many at once.
#[derive(Default)]
struct Grid {
    cols: usize,
    /// Red, green, blue of each pixel, two rows of pixels to a row of cells; 0 where there is no
    /// picture. Without colours: the left and the right half's grey, and nothing.
    channels: [Vec<u8>; 3],
    /// [`Kind`] of each cell.
    kind: Vec<u8>,
    text: Vec<Cell>,
}

impl Grid {
    fn resize(&mut self, size: Cells) {
        self.cols = usize::from(size.cols);
        let cells = self.cols * usize::from(size.rows);
        for channel in &mut self.channels {
            channel.resize(cells * 2, 0);
        }
        self.kind.resize(cells, 0);
        self.text.resize(cells, Cell::BLANK);
        self.clear();
        self.text.fill(Cell::BLANK);
    }

    /// Makes every cell empty.
    fn clear(&mut self) {
        for channel in &mut self.channels {
            channel.fill(0);
        }
        self.kind.fill(Kind::Empty as u8);
    }

    fn at(&self, x: usize, y: usize) -> usize {
        y * self.cols + x
    }

    /// The indices of a cell's two pixels.
    fn pixels(&self, at: usize) -> [usize; 2] {
        let upper = at / self.cols * 2 * self.cols + at % self.cols;
        [upper, upper + self.cols]
    }

    fn samples(&self, at: usize) -> [u8; 6] {
        let [upper, lower] = self.pixels(at);
        let [r, g, b] = &self.channels;
        [r[upper], g[upper], b[upper], r[lower], g[lower], b[lower]]
    }

    fn set_samples(&mut self, at: usize, samples: [u8; 6]) {
        let [upper, lower] = self.pixels(at);
        for (channel, i) in self.channels.iter_mut().zip(0..) {
            channel[upper] = samples[i];
            channel[lower] = samples[i + 3];
        }
    }

    /// Lays the planes of a picture, two rows of pixels to a row of cells, into an area.
    fn put(&mut self, to: CellRect, planes: [&[u8]; 3], convert: &YuvToRgb, mirror: bool) {
        let cols = usize::from(to.cols);
        for y in 0..usize::from(to.rows) * 2 {
            let from = y * cols..(y + 1) * cols;
            let row = self.pixel_row(to, y);
            let rgb = self.channels.each_mut().map(|channel| &mut channel[row.clone()]);
            convert.row(planes.map(|plane| &plane[from.clone()]), rgb);
            if mirror {
                for channel in &mut self.channels {
                    channel[row.clone()].reverse();
                }
            }
        }
        self.mark(to);
    }

    /// Lays a plane of luma, two rows and two columns of samples to a cell, into an area.
    fn put_grey(&mut self, to: CellRect, luma: &[u8], convert: &YuvToRgb, mirror: bool) {
        let mut grey = [0; 2];
        let cols = usize::from(to.cols);
        for (y, luma) in luma.chunks_exact(cols * 2).enumerate() {
            let row = self.pixel_row(to, y);
            let [left, right, none] = &mut self.channels;
            none[row.clone()].fill(0);
            let cells = left[row.clone()].iter_mut().zip(&mut right[row.clone()]);
            for ((left, right), luma) in cells.zip(luma.chunks_exact(2)) {
                convert.grey_row(luma, &mut grey);
                [*left, *right] = grey;
            }
            if mirror {
                left[row.clone()].swap_with_slice(&mut right[row.clone()]);
                left[row.clone()].reverse();
                right[row].reverse();
            }
        }
        self.mark(to);
    }

    fn pixel_row(&self, to: CellRect, y: usize) -> std::ops::Range<usize> {
        let start = (usize::from(to.y) * 2 + y) * self.cols + usize::from(to.x);
        start..start + usize::from(to.cols)
    }

    fn mark(&mut self, to: CellRect) {
        for y in to.y..to.y + to.rows {
            let at = self.at(usize::from(to.x), usize::from(y));
            self.kind[at..at + usize::from(to.cols)].fill(Kind::Picture as u8);
        }
    }

    fn dim(&mut self, x: usize, y: usize) {
        let at = self.at(x, y);
        let samples = self.samples(at).map(dimmed);
        self.set_samples(at, samples);
    }

    fn set_text(&mut self, at: usize, cell: Cell) {
        self.set_samples(at, [0; 6]);
        self.kind[at] = Kind::Text as u8;
        self.text[at] = cell;
    }

    /// Takes over a cell.
    fn take(&mut self, at: usize, from: &Grid) {
        self.set_samples(at, from.samples(at));
        self.kind[at] = from.kind[at];
        self.text[at] = match from.kind[at] == Kind::Text as u8 {
            true => from.text[at],
            false => Cell::BLANK,
        };
    }

    /// What is behind text that lets the picture through.
    fn beneath(&self, at: usize, depth: ColorDepth) -> Paint {
        if depth == ColorDepth::Mono {
            return Paint::DEFAULT;
        }
        let [r, g, b, r2, g2, b2] = self.samples(at).map(dimmed);
        let Rgb { r, g, b } = Rgb::new(r, g, b).mean(Rgb::new(r2, g2, b2));
        Paint::rgb(r, g, b)
    }

    /// What is written for a picture's cell: it depends on the samples and the place alone.
    fn look(&self, at: usize, depth: ColorDepth) -> Look {
        let [r, g, b, r2, g2, b2] = self.samples(at);
        let (x, y) = (at % self.cols, at / self.cols);
        let pair = |palette: &Palette, paint: fn(u8) -> Paint| {
            let upper = palette.dithered(Rgb::new(r, g, b), x, 2 * y);
            let lower = palette.dithered(Rgb::new(r2, g2, b2), x, 2 * y + 1);
            Look::Halves(paint(upper), paint(lower))
        };
        match depth {
            ColorDepth::Truecolor => Look::Halves(Paint::rgb(r, g, b), Paint::rgb(r2, g2, b2)),
            ColorDepth::Ansi256 => pair(Palette::ansi256(), Paint::palette),
            ColorDepth::Ansi16 => pair(Palette::ansi16(), Paint::named),
            ColorDepth::Mono => Look::Glyph(mono::glyph([r, g, r2, g2], x, y)),
        }
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
