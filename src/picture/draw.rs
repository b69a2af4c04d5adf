//! Which cells are drawn, how, and for how many bytes.
//!
//! One number rules a frame: lambda, the error that a byte must take away. It is as low as sensor
//! noise allows, and higher where the budget would not hold. With it each cell has several ways to be
//! drawn, in the order of the screen: with its own two colours, or with one or both that the pen has
//! already, either way round, or in one colour. The one counts that is cheapest, an error and lambda
//! times its bytes together; if that is no less than the error of what is shown, the cell stays.

mod ways;

use pulp::NullaryFnOnce;

use super::cells::Cell;
use super::colour::{ColorDepth, ColourSpace};
use super::encode::{LARGEST, Stream};
use super::fit::LANES;
use super::glyphs::Glyphs;
use super::grid::Kind;
use super::look::View;
use super::screen::Screen;
use super::shapes::Shapes;
use super::worth::{FORCED, LEAST, REFRESHED, octave, of_octave};
use ways::{Colour, Ready};

/// The fewest bytes for which a cell is drawn, as a rule.
const FEW_BYTES: f32 = 15.0;
/// What cells took in the last frames counts like so many cells of this one.
const LIKE_CELLS: f32 = 256.0;
/// With this no cell is drawn but where all of it is another.
const MOST_LAMBDA: f32 = 1e5;

impl Screen {
    /// Writes the cells that are worth it.
    pub(super) fn draw(&mut self, budget: usize, stream: &mut Stream<'_>) {
        let arch = self.arch;
        arch.dispatch(Draw {
            screen: self,
            budget,
            stream,
        });
    }

    #[inline(always)]
    fn draw_rows(&mut self, budget: usize, stream: &mut Stream<'_>) {
        let rows = usize::from(self.size.rows);
        let before = stream.len();
        let room = budget.saturating_sub(before);
        let waiting = self.count();
        let mut lambda = self.lambda(room);
        // Lambda is thought to fit until it is seen not to.
        let fits = room as f32 / waiting.max(1) as f32;
        let usual = (self.worth.rate as f32 / 16.0).min(fits);
        let mut pens = Pens::new(self.glyphs);
        let (mut drawn, mut passed) = (0, 0);
        let (mut sum, mut steered) = (0.0, 0.0);
        let mut stopped = None;
        let first = self.worth.first_row.min(rows);
        for y in (first..rows).chain(0..first) {
            let in_row = self.worth.in_row[y] as usize;
            if budget != usize::MAX && in_row > 0 && stopped.is_none() {
                let spent = stream.len() - before;
                let each = (usual * LIKE_CELLS + spent as f32) / (passed as f32 + LIKE_CELLS);
                let likely = (waiting - passed) as f32 * each;
                lambda = self.steer(lambda, likely, room.saturating_sub(spent));
            }
            if stopped.is_none() {
                sum += lambda;
                steered += 1.0;
            }
            passed += in_row;
            let start = self.wanted.at(0, y);
            let threshold = self.threshold(lambda);
            let mut x = 0;
            while let Some(skip) = next_over(&self.worth.of[start + x..start + self.wanted.cols], threshold) {
                x += skip;
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
        self.worth.lambda = sum / f32::max(steered, 1.0);
        // Few cells say little, with the frame's own bytes among theirs.
        if drawn > 64 {
            let spent = stream.len() - before;
            let mean = |before: usize, cells: usize| (before * 3 + spent * 16 / cells) / 4;
            self.worth.cost = mean(self.worth.cost, drawn);
            if stopped.is_none() {
                self.worth.rate = mean(self.worth.rate, waiting.max(1));
            }
        }
    }

    /// Counts the cells of each row, and of all, that would be drawn if bytes were of no matter.
    fn count(&mut self) -> usize {
        let least = self.threshold(self.least());
        let Self { worth, wanted, .. } = self;
        worth.in_row.clear();
        let rows = worth.of.chunks_exact(wanted.cols.max(1));
        let over = rows.map(|row| row.iter().map(|&of| u32::from(of > least)).sum::<u32>());
        worth.in_row.extend(over);
        worth.in_row.iter().sum::<u32>() as usize
    }

    /// The least lambda.
    fn least(&self) -> f32 {
        f32::from(self.redraw.worth)
    }

    /// A cell that is worth no more is not looked at.
    fn threshold(&self, lambda: f32) -> u32 {
        ((lambda * FEW_BYTES) as u32).max(LEAST).max(self.worth.noise)
    }

    /// The lambda with which the frame likely keeps its budget.
    fn lambda(&self, budget: usize) -> f32 {
        let least = self.least();
        let of = &self.worth.of;
        let cost = self.worth.cost.max(16) as f32 / 16.0;
        let affordable = (budget as f32 / cost) as usize;
        let wanted = ((least * cost) as u32).max(LEAST).max(self.worth.noise);
        let count = of.iter().filter(|&&worth| worth > wanted).count();
        if count <= affordable {
            return least;
        }
        let forced = of.iter().filter(|&&worth| worth == FORCED).count();
        if forced >= affordable {
            // All are drawn, and cheaply.
            let ratio = forced as f32 * cost / budget.max(1) as f32;
            return least.max(1.0) * ratio * ratio;
        }
        // Of many cells some tell enough.
        let each = 1 + of.len() / 4096;
        let mut histogram = [0_usize; 128];
        for &worth in of.iter().step_by(each) {
            histogram[octave(worth)] += each;
        }
        let mut drawn = 0;
        for (step, &cells) in histogram.iter().enumerate().rev() {
            drawn += cells;
            if drawn > affordable {
                let worth = of_octave(step + 1).min(REFRESHED as f32 / 64.0);
                return (worth / cost).max(least);
            }
        }
        least
    }

    /// Corrects lambda while the frame is drawn, for the bytes that it is likely to take yet and those that
    /// are left.
    fn steer(&self, lambda: f32, likely: f32, left: usize) -> f32 {
        let left = left.saturating_sub(LARGEST + self.worth.in_row.len()).max(1) as f32;
        let ratio = (likely / left).clamp(0.5, 4.0);
        (lambda * ratio.sqrt()).clamp(self.least(), MOST_LAMBDA)
    }

    /// Writes a cell; says whether there was something to write.
    #[inline(always)]
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
                pens.forget();
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
    #[inline(always)]
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
        let space = kind.space();
        let group = self.wanted.group(x, y);
        if pens.ready_for != Some((group, space)) {
            let first = at - x % LANES;
            let end = (first + LANES).min(self.wanted.at(0, y) + self.wanted.cols);
            let mut shares = [0.5; LANES];
            for (share, &shape) in shares.iter_mut().zip(&self.worth.shape[first..end]) {
                *share = pens.shapes.all[usize::from(shape)].share;
            }
            pens.ready.fill(&self.worth.means[group], &shares, space);
            pens.ready_for = Some((group, space));
        }
        let shape = &pens.shapes.all[usize::from(self.worth.shape[at])];
        let worth = self.worth.of[at];
        // What is refreshed becomes exact.
        let is_refreshed = (REFRESHED..FORCED).contains(&worth);
        let lambda = if is_refreshed { 1e-3 } else { lambda.max(1e-3) };
        if pens.space != space {
            pens.forget();
            pens.space = space;
        }
        let way = pens.ready.cheapest(x % LANES, shape, lambda, &pens.now);
        let jump = if stream.is_at(place) { 0.0 } else { JUMP };
        let gained = match worth {
            FORCED => f32::INFINITY,
            worth => (worth & (REFRESHED - 1)) as f32,
        };
        if way.cost + lambda * jump >= gained {
            return false;
        }

        let form = &shape.forms[way.part as usize];
        let now = pens.ready.colours(x % LANES, &way, &pens.now);
        let [fg, bg] = stream.colours();
        let fg = if way.keeps[0] { fg } else { now[0].paint };
        let bg = if way.keeps[1] { bg } else { now[1].paint };
        // Colours that no screen has look the same as others.
        let shown = &mut self.shown.text[at];
        let is_same = self.shown.kind[at] == kind && shown.is_same(form.glyph, fg, bg);
        if !is_same {
            stream.form(place, self.size.cols, form, [fg, bg], way.keeps);
            pens.now = now;
            *shown = Cell::plain(form.glyph, fg, bg);
        }
        let [on, off] = way.parted(&now);
        let (dy, du, dv) = (on[0] - off[0], on[1] - off[1], on[2] - off[2]);
        let edges = shape.edges[0] * dy * dy + shape.edges[1] * (du * du + dv * dv);
        self.shown.set_parted(x, y, shape, [on, off]);
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

/// The pen's colours, as far as pictures set them, and the shapes that it draws.
struct Pens {
    shapes: &'static Shapes,
    /// Of the ink and of the ground, in `space`.
    now: [Colour; 2],
    space: ColourSpace,
    /// What may be drawn of the cells of a group, and of which.
    ready: Ready,
    ready_for: Option<(usize, ColourSpace)>,
}

impl Pens {
    fn new(glyphs: Glyphs) -> Self {
        Self {
            shapes: Shapes::of(glyphs),
            now: [Colour::UNKNOWN; 2],
            space: ColourSpace::default(),
            ready: Ready::NONE,
            ready_for: None,
        }
    }

    /// Something else set them.
    fn forget(&mut self) {
        self.now = [Colour::UNKNOWN; 2];
    }
}

/// All cells, with the instructions that the machine has.
struct Draw<'a, 'out> {
    screen: &'a mut Screen,
    budget: usize,
    stream: &'a mut Stream<'out>,
}

impl NullaryFnOnce for Draw<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.screen.draw_rows(self.budget, self.stream);
    }
}

/// The index of the first that is more than `threshold`.
#[inline(always)]
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
