//! Which cells are drawn, how, and for how many bytes.
//!
//! One number rules a frame: lambda, the error that a byte must take away. It is as low as sensor
//! noise allows, and higher where the budget would not hold. With it each cell has several ways to be
//! drawn, in the order of the screen: with its own two colours, or with one or both that the pen has
//! already, either way round, or in one colour. The one counts that is cheapest, an error and lambda
//! times its bytes together; if that is no less than the error of what is shown, the cell stays.

use super::cells::{Cell, Paint};
use super::colour::{ColorDepth, ColourSpace};
use super::encode::{LARGEST, Stream};
use super::fit::LANES;
use super::glyphs::Glyphs;
use super::grid::Kind;
use super::look::{View, Yuv};
use super::screen::Screen;
use super::shapes::{Shape, Shapes};
use super::worth::{FORCED, LEAST, REFRESHED};

/// Samples that errors are for; see [`super::fit`].
const SAMPLES: f32 = 32.0;
/// The fewest bytes for which a cell is drawn, as a rule.
const FEW_BYTES: f32 = 15.0;

impl Screen {
    /// Writes the cells that are worth it.
    pub(super) fn draw(&mut self, budget: usize, stream: &mut Stream<'_>) {
        let rows = usize::from(self.size.rows);
        let before = stream.len();
        let (mut lambda, mut waiting) = self.lambda(budget.saturating_sub(before));
        let mut pens = Pens::new(self.glyphs);
        let mut drawn = 0;
        let mut stopped = None;
        let first = self.worth.first_row.min(rows);
        for y in (first..rows).chain(0..first) {
            if waiting > 0 && budget != usize::MAX {
                lambda = self.steer(
                    lambda,
                    waiting,
                    drawn,
                    stream.len() - before,
                    budget - before.min(budget),
                );
            }
            let start = self.wanted.at(0, y);
            let threshold = self.threshold(lambda);
            let mut x = 0;
            while let Some(skip) = next_over(&self.worth.of[start + x..start + self.wanted.cols], threshold) {
                x += skip;
                waiting = waiting.saturating_sub(1);
                let is_picture = self.wanted.kind[start + x].is_picture();
                if is_picture && stream.len() + LARGEST > budget {
                    stopped.get_or_insert(y);
                } else if self.draw_cell(x, y, lambda, &mut pens, stream) {
                    drawn += 1;
                }
                x += 1;
            }
        }
        self.worth.first_row = stopped.unwrap_or(0);
        self.worth.lambda = lambda;
        // Few cells say little, with the frame's own bytes among theirs.
        if drawn > 64 {
            let cost = (stream.len() - before) * 16 / drawn;
            self.worth.cost = (self.worth.cost * 3 + cost) / 4;
        }
    }

    /// The least lambda.
    fn least(&self) -> f32 {
        f32::from(self.redraw.worth)
    }

    /// A cell that is worth no more is not looked at.
    fn threshold(&self, lambda: f32) -> u32 {
        ((lambda * FEW_BYTES) as u32).max(LEAST)
    }

    /// The lambda with which the frame likely keeps its budget, and how many cells are likely drawn.
    fn lambda(&self, budget: usize) -> (f32, usize) {
        let least = self.least();
        let of = &self.worth.of;
        let cost = self.worth.cost.max(16) as f32 / 16.0;
        let affordable = (budget as f32 / cost) as usize;
        let wanted = (least * cost) as u32;
        let count = of.iter().filter(|&&worth| worth > wanted.max(LEAST)).count();
        if count <= affordable {
            return (least, count);
        }
        let forced = of.iter().filter(|&&worth| worth == FORCED).count();
        if forced >= affordable {
            // All are drawn, and cheaply.
            let ratio = forced as f32 * cost / budget.max(1) as f32;
            return (least.max(1.0) * ratio * ratio, forced);
        }
        // By the exponent and two bits of the mantissa: steps of a quarter.
        let mut histogram = [0_usize; 160];
        for &worth in of.iter().filter(|&&worth| worth > LEAST) {
            histogram[(((worth as f32).to_bits() >> 21) as usize - (127 << 2)).min(159)] += 1;
        }
        let mut drawn = 0;
        for (step, &cells) in histogram.iter().enumerate().rev() {
            drawn += cells;
            if drawn > affordable {
                let worth = f32::from_bits(((step + 1 + (127 << 2)) << 21) as u32);
                let worth = worth.min(REFRESHED as f32 / 64.0);
                return ((worth / cost).max(least), affordable);
            }
        }
        (least, count)
    }

    /// Corrects lambda while the frame is drawn.
    fn steer(&self, lambda: f32, waiting: usize, drawn: usize, spent: usize, budget: usize) -> f32 {
        let cost = if drawn > 32 {
            spent as f32 / drawn as f32
        } else {
            self.worth.cost as f32 / 16.0
        };
        let left = budget.saturating_sub(spent + LARGEST).max(1) as f32;
        let ratio = (waiting as f32 * cost / left).clamp(0.5, 4.0);
        (lambda * ratio.sqrt()).clamp(self.least(), 1e6)
    }

    /// Writes a cell; says whether there was something to write.
    fn draw_cell(
        &mut self,
        x: usize,
        y: usize,
        lambda: f32,
        pens: &mut Pens,
        stream: &mut Stream<'_>,
    ) -> bool {
        let at = self.wanted.at(x, y);
        let place = (x as u16, y as u16);
        let kind = self.wanted.kind[at];
        let was_half = self.shown.kind[at] == Kind::TEXT && self.shown.text[at].width == 0;
        if kind.is_picture() {
            let is_drawn = if self.depth == ColorDepth::Truecolor && self.glyphs != Glyphs::Ascii {
                self.draw_fit(place, at, lambda, pens, stream)
            } else {
                self.draw_look(place, at, stream)
            };
            if !is_drawn {
                return false;
            }
        } else {
            let cell = match kind {
                Kind::TEXT => self.wanted.text[at],
                _ => Cell::BLANK,
            };
            if cell.width > 0 {
                stream.text(place, self.size.cols, &cell, &self.clusters);
            }
            self.shown.text[at] = cell;
        }
        self.part_wide(x, at, kind, was_half);
        self.shown.kind[at] = kind;
        true
    }

    /// A wide grapheme of which one half was overwritten is gone as a whole.
    fn part_wide(&mut self, x: usize, at: usize, kind: Kind, was_half: bool) {
        let Self { shown, worth, .. } = self;
        let is_text = |kind: Kind| kind == Kind::TEXT;
        let is_half = is_text(kind) && shown.text[at].width == 0;
        if x > 0 && was_half && !is_half && is_text(shown.kind[at - 1]) && shown.text[at - 1].width == 2 {
            shown.kind[at - 1] = Kind::UNKNOWN;
        }
        let next = at + 1;
        if x + 1 < shown.cols
            && is_text(shown.kind[next])
            && shown.text[next].width == 0
            && !(is_text(kind) && shown.text[at].width == 2)
        {
            shown.kind[next] = Kind::UNKNOWN;
            worth.of[next] = FORCED;
        }
    }

    /// Draws a cell in any two of 16 million colours.
    fn draw_fit(
        &mut self,
        place: (u16, u16),
        at: usize,
        lambda: f32,
        pens: &mut Pens,
        stream: &mut Stream<'_>,
    ) -> bool {
        let (x, y) = (usize::from(place.0), usize::from(place.1));
        let kind = self.wanted.kind[at];
        let shape = &pens.shapes.all[usize::from(self.worth.shape[at])];
        let means = self.worth.means[self.wanted.group(x, y)].of(x % LANES, shape.share);
        let space = kind.space();
        let worth = self.worth.of[at];
        // What is refreshed becomes exact.
        let is_refreshed = (REFRESHED..FORCED).contains(&worth);
        let lambda = if is_refreshed { 0.0 } else { lambda };
        let choice = Choice {
            lambda: lambda.max(1e-3),
            pens: pens.known(stream, space),
            shape,
            means: &means,
        };
        let jump = if stream.is_at(place) { 0.0 } else { JUMP };
        let gained = match worth {
            FORCED => f32::INFINITY,
            worth => (worth & (REFRESHED - 1)) as f32,
        };
        let way = choice.cheapest();
        if way.cost + choice.lambda * jump >= gained {
            return false;
        }

        let [fg_now, bg_now] = stream.colours();
        let [ink, ground] = choice.colours(way.part);
        let fg = if way.keeps[0] {
            pens.fg
        } else {
            Colour::new(ink, space)
        };
        let bg = if way.keeps[1] {
            pens.bg
        } else {
            Colour::new(ground, space)
        };
        let (glyph, paints, on, off) = match way.part {
            Part::Ground => (' ', (fg_now, bg.paint), bg.yuv, bg.yuv),
            Part::Ink => ('█', (fg.paint, bg_now), fg.yuv, fg.yuv),
            Part::Shape => (shape.glyph, (fg.paint, bg.paint), fg.yuv, bg.yuv),
            Part::Inverse => {
                let glyph = shape.inverse.unwrap_or(shape.glyph);
                (glyph, (fg.paint, bg.paint), bg.yuv, fg.yuv)
            }
        };
        // Colours that no screen has look the same as others.
        let is_same = self.shown.kind[at] == kind && self.shown.text[at].is_same(glyph, paints.0, paints.1);
        if !is_same {
            self.shown.text[at] = stream.glyph(place, self.size.cols, glyph, paints.0, paints.1);
            pens.take(way.part, fg, bg, space);
        }
        let mut edges = 0.0;
        if !matches!(way.part, Part::Ground | Part::Ink) {
            let (dy, du, dv) = (on[0] - off[0], on[1] - off[1], on[2] - off[2]);
            edges = shape.edges[0] * dy * dy + shape.edges[1] * (du * du + dv * dv);
        }
        self.shown.set_parted(x, y, shape, on, off);
        self.worth.edges[at] = edges as u32;
        self.worth.is_new[at] = true;
        !is_same
    }

    /// Draws a cell in few colours, or none; the model keeps what it stands for.
    fn draw_look(&mut self, place: (u16, u16), at: usize, stream: &mut Stream<'_>) -> bool {
        let (x, y) = (usize::from(place.0), usize::from(place.1));
        let kind = self.wanted.kind[at];
        let samples = self.wanted.samples(x, y);
        let view = View {
            glyphs: self.glyphs,
            depth: self.depth,
            space: kind.space(),
            x,
            y,
        };
        let look = view.look(&samples, self.worth.shape[at]);
        self.shown.set_samples(x, y, &samples);
        self.worth.edges[at] = 0;
        self.worth.is_new[at] = true;
        // Samples that differ may look the same.
        if self.shown.kind[at].is_picture() && look.is_shown(&self.shown.text[at]) {
            self.shown.kind[at] = kind;
            return false;
        }
        self.shown.text[at] = stream.look(place, self.size.cols, &look);
        true
    }
}

/// Bytes that it takes to move the cursor, as a rule.
const JUMP: f32 = 4.0;

/// A colour that is sent, and what it stands for.
#[derive(Clone, Copy)]
struct Colour {
    paint: Paint,
    yuv: Yuv,
}

impl Colour {
    /// One that is far from all.
    const UNKNOWN: Self = Self {
        paint: Paint::DEFAULT,
        yuv: [1e9; 3],
    };

    #[inline]
    fn new(yuv: Yuv, space: ColourSpace) -> Self {
        Self {
            paint: space.rgb(yuv).into(),
            yuv,
        }
    }
}

/// The error of a colour in place of another, for a whole cell.
#[inline]
fn distance(a: &Yuv, b: &Yuv) -> f32 {
    let (y, u, v) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    (y * y + u * u + v * v) * SAMPLES
}

/// The bytes that set a colour take, nearly: dark ones have fewer digits.
#[inline]
fn colour_bytes(yuv: &Yuv) -> f32 {
    if yuv[0] < 104.0 { 12.0 } else { 14.0 }
}

/// The pen's colours, as far as pictures set them, and the shapes that it draws.
#[derive(Clone, Copy)]
struct Pens {
    shapes: &'static Shapes,
    fg: Colour,
    bg: Colour,
    space: ColourSpace,
}

impl Pens {
    fn new(glyphs: Glyphs) -> Self {
        Self {
            shapes: Shapes::of(glyphs),
            fg: Colour::UNKNOWN,
            bg: Colour::UNKNOWN,
            space: ColourSpace::default(),
        }
    }

    /// Those that are still set, for a picture in that space.
    #[inline]
    fn known(&self, stream: &Stream<'_>, space: ColourSpace) -> [Yuv; 2] {
        let [fg, bg] = stream.colours();
        let still = |colour: &Colour, paint| {
            if colour.paint == paint && self.space == space {
                colour.yuv
            } else {
                Colour::UNKNOWN.yuv
            }
        };
        [still(&self.fg, fg), still(&self.bg, bg)]
    }

    fn take(&mut self, part: Part, fg: Colour, bg: Colour, space: ColourSpace) {
        if space != self.space {
            (self.fg, self.bg, self.space) = (Colour::UNKNOWN, Colour::UNKNOWN, space);
        }
        if !matches!(part, Part::Ground) {
            self.fg = fg;
        }
        if !matches!(part, Part::Ink) {
            self.bg = bg;
        }
    }
}

/// What a glyph's ink is.
#[derive(Clone, Copy)]
enum Part {
    /// Nothing.
    Ground,
    /// All of the cell.
    Ink,
    Shape,
    Inverse,
}

/// A way to draw a cell.
#[derive(Clone, Copy)]
struct Way {
    part: Part,
    /// Whether the pen's colours, of ink and ground, stay.
    keeps: [bool; 2],
    /// The error it leaves above that of the best shape, and lambda times its bytes.
    cost: f32,
}

/// The ways to draw a cell.
struct Choice<'a> {
    lambda: f32,
    pens: [Yuv; 2],
    shape: &'a Shape,
    /// Of the shape's part, of the rest, of all.
    means: &'a [Yuv; 3],
}

impl Choice<'_> {
    #[inline]
    fn cheapest(&self) -> Way {
        let Self { shape, lambda, .. } = *self;
        let [on, off, all] = self.means;
        let (share, rest) = (shape.share, 1.0 - shape.share);
        // What the shape takes away from the error of one colour.
        let lost = distance(on, off) * share * rest;
        let [ground, ink] = [self.colour(1, all, 1.0), self.colour(0, all, 1.0)];
        let mut best = self.way(Part::Ground, lost + lambda, (0.0, true), ground);
        let mut try_way = |way: Way| {
            if way.cost < best.cost {
                best = way;
            }
        };
        try_way(self.way(Part::Ink, lost + lambda * 3.0, ink, (0.0, true)));
        let bytes = lambda * shape.glyph.len_utf8() as f32;
        let colours = [self.colour(0, on, share), self.colour(1, off, rest)];
        try_way(self.way(Part::Shape, bytes, colours[0], colours[1]));
        if let Some(inverse) = shape.inverse {
            let bytes = lambda * inverse.len_utf8() as f32;
            let colours = [self.colour(0, off, rest), self.colour(1, on, share)];
            try_way(self.way(Part::Inverse, bytes, colours[0], colours[1]));
        }
        best
    }

    /// What a colour costs, and whether it is left as the pen has it.
    #[inline]
    fn colour(&self, pen: usize, colour: &Yuv, share: f32) -> (f32, bool) {
        let sent = self.lambda * colour_bytes(colour);
        let kept = distance(&self.pens[pen], colour) * share;
        (kept.min(sent), kept <= sent)
    }

    #[inline]
    fn way(&self, part: Part, cost: f32, fg: (f32, bool), bg: (f32, bool)) -> Way {
        let keeps = [fg.1, bg.1];
        let begin = if keeps == [true; 2] {
            0.0
        } else {
            self.lambda * 3.0
        };
        Way {
            part,
            keeps,
            cost: cost + fg.0 + bg.0 + begin,
        }
    }

    /// Of the ink and of the ground.
    fn colours(&self, part: Part) -> [Yuv; 2] {
        let [on, off, all] = *self.means;
        match part {
            Part::Ground | Part::Ink => [all, all],
            Part::Shape => [on, off],
            Part::Inverse => [off, on],
        }
    }
}

/// The index of the first that is more than `threshold`.
fn next_over(of: &[u32], threshold: u32) -> Option<usize> {
    const MANY: usize = 8;
    let mut start = 0;
    let mut chunks = of.chunks_exact(MANY);
    for chunk in &mut chunks {
        if chunk.iter().any(|&of| of > threshold) {
            break;
        }
        start += MANY;
    }
    let found = of[start..].iter().position(|&of| of > threshold)?;
    Some(start + found)
}
