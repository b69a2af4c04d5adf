//! Planes of eight-bit samples to other sizes.
//!
//! The weights are kept from one picture to the next: for the small planes that cells need, finding
//! them anew takes longer than applying them.

#[cfg(target_arch = "x86_64")]
use super::shuffle::Blocks;

/// Weights have this many fractional bits: the sums of a pass fit 16 bits, so sixteen are made at once.
const BITS: u32 = 8;
/// The sum of the weights.
pub(super) const ONE: i32 = 1 << BITS;
/// Weights are kept for so many pairs of sizes; a call shows few.
const MOST_AXES: usize = 48;
/// A side that is so many times as long as wanted, or longer, is halved first.
const LEFT: usize = 3;

/// Scales planes: by means of two while there is much to spare, the rest with a Hamming filter. For
/// cells of one colour that is within 0.02 dB of the best that is possible, and no weight is negative.
#[derive(Default)]
pub struct PlaneScaler {
    axes: Vec<Axis>,
    row: Vec<u8>,
    made: Vec<u8>,
    /// The plane halved so often that the filter has little left to do, and the one before.
    halved: [Vec<u8>; 2],
}

impl PlaneScaler {
    /// Scales `from` with rows of `width` samples to `to_width` by `to_height`, each row mirrored where
    /// asked for, and hands over each row with its number. No side is 0.
    #[inline(always)]
    pub fn scale(
        &mut self,
        from: &[u8],
        width: usize,
        to: (usize, usize),
        mirror: bool,
        take: impl FnMut(usize, &[u8]),
    ) {
        let [mut halved, mut spare] = std::mem::take(&mut self.halved);
        let (mut width, mut height) = (width, from.len() / width);
        let mut is_first = true;
        loop {
            let from = if is_first { from } else { &halved };
            match (is_long(width, to.0), is_long(height, to.1)) {
                (true, true) => halve(from, width, &mut spare),
                (true, false) => halve_rows(from, &mut spare),
                (false, true) => halve_columns(from, width, &mut spare),
                (false, false) => {
                    self.filter(from, width, to, mirror, take);
                    break;
                }
            }
            width >>= u32::from(is_long(width, to.0));
            height >>= u32::from(is_long(height, to.1));
            std::mem::swap(&mut halved, &mut spare);
            is_first = false;
        }
        self.halved = [halved, spare];
    }

    #[inline(always)]
    fn filter(
        &mut self,
        from: &[u8],
        width: usize,
        (to_width, to_height): (usize, usize),
        mirror: bool,
        mut take: impl FnMut(usize, &[u8]),
    ) {
        if self.axes.len() + 2 > MOST_AXES {
            self.axes.clear();
        }
        let down = self.axis(from.len() / width, to_height, false);
        let across = self.axis(width, to_width, mirror);
        let Self { axes, row, made, .. } = self;
        let (down, across) = (&axes[down], &axes[across]);
        row.resize(width, 0);
        made.resize(to_width, 0);
        for (y, (start, weights)) in down.steps().enumerate() {
            let row = down_rows(&from[start * width..], weights, row);
            if width == to_width {
                if mirror {
                    made.iter_mut()
                        .zip(row.iter().rev())
                        .for_each(|(to, from)| *to = *from);
                    take(y, made);
                } else {
                    take(y, row);
                }
                continue;
            }
            across.apply(row, made);
            take(y, made);
        }
    }

    /// The index of the weights for these sizes.
    fn axis(&mut self, from: usize, to: usize, mirror: bool) -> usize {
        let known = self
            .axes
            .iter()
            .position(|axis| (axis.from, axis.to, axis.mirror) == (from, to, mirror));
        known.unwrap_or_else(|| {
            self.axes.push(Axis::new(from, to, mirror));
            self.axes.len() - 1
        })
    }
}

/// Whether a side is halved before it is filtered.
fn is_long(from: usize, to: usize) -> bool {
    from.is_multiple_of(2) && (from >= to * LEFT || from == to * 2)
}

/// The weighted sum of rows: in `made`, or, of one row, itself.
#[inline(always)]
fn down_rows<'a>(from: &'a [u8], weights: &[i16], made: &'a mut [u8]) -> &'a [u8] {
    let width = made.len();
    let used = weights.iter().rposition(|&w| w != 0).map_or(0, |last| last + 1);
    let first = weights.iter().position(|&w| w != 0).unwrap_or(0);
    let (from, weights) = (&from[first * width..], &weights[first..used]);
    match weights.len() {
        0 | 1 => return &from[..width],
        2 => sum_rows::<2>(from, weights, made),
        3 => sum_rows::<3>(from, weights, made),
        4 => sum_rows::<4>(from, weights, made),
        5 => sum_rows::<5>(from, weights, made),
        6 => sum_rows::<6>(from, weights, made),
        _ => sum_any_rows(from, weights, made),
    }
    made
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn sum_rows<const ROWS: usize>(from: &[u8], weights: &[i16], made: &mut [u8]) {
    let width = made.len();
    let weights: &[i16; ROWS] = weights.try_into().expect("as many weights as rows");
    // Loops, as what is not inlined does not get the instructions that the machine has.
    let mut rows = [&from[..width]; ROWS];
    for k in 1..ROWS {
        rows[k] = &from[k * width..(k + 1) * width];
    }
    for x in 0..width {
        let mut sum = 1 << (BITS - 1);
        for k in 0..ROWS {
            sum += u16::from(rows[k][x]).wrapping_mul(weights[k] as u16);
        }
        made[x] = (sum >> BITS) as u8;
    }
}

#[inline(always)]
fn sum_any_rows(from: &[u8], weights: &[i16], made: &mut [u8]) {
    const AT_ONCE: usize = 32;
    let width = made.len();
    for (i, made) in made.chunks_mut(AT_ONCE).enumerate() {
        let mut sums = [1_u16 << (BITS - 1); AT_ONCE];
        for (row, &weight) in from.chunks_exact(width).zip(weights) {
            let row = &row[i * AT_ONCE..][..made.len()];
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(u16::from(sample).wrapping_mul(weight as u16));
            }
        }
        for (made, sum) in made.iter_mut().zip(sums) {
            *made = (sum >> BITS) as u8;
        }
    }
}

/// The weights of one direction.
struct Axis {
    from: usize,
    to: usize,
    mirror: bool,
    /// Weights for each sample; those that are not needed are 0.
    taps: usize,
    /// For each sample made, the first it is made of.
    starts: Vec<u32>,
    weights: Vec<i16>,
    /// The same for many samples at once.
    #[cfg(target_arch = "x86_64")]
    blocks: Option<Blocks>,
}

impl Axis {
    fn new(from: usize, to: usize, mirror: bool) -> Self {
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0);
        let span = |i: usize| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - reach - 0.5).ceil().max(0.0) as usize;
            let last = (centre + reach - 0.5).floor().min(from as f64 - 1.0) as usize;
            (centre, first.min(from - 1), last.max(first.min(from - 1)))
        };
        let most = (0..to).map(|i| span(i).2 - span(i).1 + 1).max().unwrap_or(1);
        let taps = match most {
            0..=4 => 4,
            5..=8 => 8,
            _ => most,
        };
        let (mut starts, mut weights) = (Vec::with_capacity(to), Vec::with_capacity(to * taps));
        for i in 0..to {
            let (centre, first, last) = span(if mirror { to - 1 - i } else { i });
            let exact: Vec<f64> = (first..=last)
                .map(|k| hamming((k as f64 + 0.5 - centre) / reach))
                .collect();
            let sum: f64 = exact.iter().sum();
            // So that no more samples are read than there are.
            let start = first.min(from.saturating_sub(taps));
            let at = weights.len();
            weights.resize(at + first - start, 0);
            weights.extend(exact.iter().map(|w| (w / sum * f64::from(ONE)).round() as i16));
            // What rounding lost or made goes where it shows least.
            let rounded: i32 = weights[at..].iter().map(|&w| i32::from(w)).sum();
            let largest = (at..weights.len()).max_by_key(|&k| weights[k]).unwrap_or(at);
            weights[largest] += (ONE - rounded) as i16;
            weights.resize(at + taps, 0);
            starts.push(start as u32);
        }
        Self {
            from,
            to,
            mirror,
            taps,
            #[cfg(target_arch = "x86_64")]
            blocks: Blocks::new(from, taps, &starts, &weights),
            starts,
            weights,
        }
    }

    /// Makes a row of another.
    #[inline(always)]
    fn apply(&self, row: &[u8], made: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(blocks) = &self.blocks {
            return blocks.apply(row, made);
        }
        for (to, (start, weights)) in made.iter_mut().zip(self.steps()) {
            let products = row[start..]
                .iter()
                .zip(weights)
                .map(|(&s, &w)| i32::from(s) * i32::from(w));
            *to = ((products.sum::<i32>() + ONE / 2) >> BITS) as u8;
        }
    }

    #[inline(always)]
    fn steps(&self) -> impl Iterator<Item = (usize, &[i16])> {
        self.starts
            .iter()
            .map(|&start| start as usize)
            .zip(self.weights.chunks_exact(self.taps))
    }
}

/// A sinc in a Hamming window, 0 from 1 on.
fn hamming(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x == 0.0 {
        return 1.0;
    }
    if x.abs() >= 1.0 {
        return 0.0;
    }
    (PI * x).sin() / (PI * x) * (0.54 + 0.46 * (PI * x).cos())
}

/// Means of squares of four samples, rows of `width`; both sides are even.
#[inline(always)]
fn halve(from: &[u8], width: usize, to: &mut Vec<u8>) {
    to.resize(from.len() / 4, 0);
    for (rows, to) in from.chunks_exact(2 * width).zip(to.chunks_exact_mut(width / 2)) {
        let (upper, lower) = rows.split_at(width);
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (to, (upper, lower)) in to.iter_mut().zip(pairs) {
            *to = ((pair(upper) + pair(lower) + 2) >> 2) as u8;
        }
    }
}

/// Means of two samples side by side; rows are even.
#[inline(always)]
fn halve_rows(from: &[u8], to: &mut Vec<u8>) {
    to.resize(from.len() / 2, 0);
    for (to, two) in to.iter_mut().zip(from.as_chunks::<2>().0) {
        *to = ((pair(two) + 1) >> 1) as u8;
    }
}

/// Means of two samples one above the other, rows of `width`, of which there is an even number.
#[inline(always)]
fn halve_columns(from: &[u8], width: usize, to: &mut Vec<u8>) {
    to.resize(from.len() / 2, 0);
    for (rows, to) in from.chunks_exact(2 * width).zip(to.chunks_exact_mut(width)) {
        let (upper, lower) = rows.split_at(width);
        for ((to, &upper), &lower) in to.iter_mut().zip(upper).zip(lower) {
            *to = ((u16::from(upper) + u16::from(lower) + 1) >> 1) as u8;
        }
    }
}

/// The sum of two samples: of two in one number, that are added without taking them apart.
#[inline(always)]
fn pair(two: &[u8; 2]) -> u16 {
    let two = u16::from_le_bytes(*two);
    (two & 0xFF) + (two >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in floating point, two-dimensional.
    fn exact(from: &[u8], width: usize, (to_width, to_height): (usize, usize)) -> Vec<f64> {
        let height = from.len() / width;
        let line = |from: usize, to: usize, i: usize| -> Vec<f64> {
            let scale = from as f64 / to as f64;
            let centre = (i as f64 + 0.5) * scale;
            let weights: Vec<f64> = (0..from)
                .map(|k| hamming((k as f64 + 0.5 - centre) / scale.max(1.0)))
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|w| w / sum).collect()
        };
        let mut all = Vec::new();
        for y in 0..to_height {
            let down = line(height, to_height, y);
            for x in 0..to_width {
                let across = line(width, to_width, x);
                let cells = (0..from.len()).map(|i| f64::from(from[i]) * down[i / width] * across[i % width]);
                all.push(cells.sum());
            }
        }
        all
    }

    fn scaled(
        scaler: &mut PlaneScaler,
        from: &[u8],
        width: usize,
        size: (usize, usize),
        mirror: bool,
    ) -> Vec<u8> {
        let mut to = Vec::new();
        scaler.scale(from, width, size, mirror, |y, row| {
            assert_eq!(to.len(), y * size.0);
            to.extend_from_slice(row);
        });
        to
    }

    /// Every way is taken: halved in either or both directions, filtered by four taps, by eight and by
    /// more, left as it is.
    #[test]
    fn scaling_is_within_two_of_the_formula() {
        let mut scaler = PlaneScaler::default();
        for (width, height, size) in [
            (16, 12, (7, 5)),
            (16, 12, (33, 31)),
            (160, 25, (99, 12)),
            (101, 9, (35, 9)),
            (101, 9, (15, 9)),
            (23, 16, (22, 7)),
            (1, 1, (5, 4)),
            (64, 50, (1, 1)),
            (9, 7, (9, 7)),
        ] {
            let from: Vec<u8> = (0..width * height).map(|i| (i * i * 37 % 251) as u8).collect();
            let to = scaled(&mut scaler, &from, width, size, false);
            for (got, exact) in to.iter().zip(exact(&from, width, size)) {
                assert!(
                    (f64::from(*got) - exact).abs() <= 2.0,
                    "{width}x{height} to {size:?}: {got} for {exact}"
                );
            }
        }
    }

    #[test]
    fn even_planes_stay_even_at_every_size() {
        let mut scaler = PlaneScaler::default();
        for n in 1..3 * MOST_AXES {
            for value in [0, 77, 255] {
                let to = scaled(&mut scaler, &[value; 30 * 20], 30, (n, n * 2), false);
                assert_eq!(to.len(), n * n * 2);
                assert!(to.iter().all(|&sample| sample == value), "{n}: {value}");
            }
        }
        assert!(scaler.axes.len() <= MOST_AXES);
    }

    #[test]
    fn mirrored_rows_are_the_same_backwards() {
        let mut scaler = PlaneScaler::default();
        let from: Vec<u8> = (0..30 * 4).map(|i| (i * i * 37 % 251) as u8).collect();
        for width in [30, 12, 29, 47, 15, 5] {
            let plain = scaled(&mut scaler, &from, 30, (width, 3), false);
            let other = scaled(&mut scaler, &from, 30, (width, 3), true);
            for (plain, other) in plain.chunks_exact(width).zip(other.chunks_exact(width)) {
                assert!(plain.iter().rev().eq(other), "{width}");
            }
        }
    }

    #[test]
    fn halving_takes_means() {
        let from = [0, 4, 255, 255, 8, 12, 255, 255];
        let mut to = Vec::new();
        halve(&from, 4, &mut to);
        assert_eq!(to, [6, 255]);
        halve_rows(&from, &mut to);
        assert_eq!(to, [2, 255, 10, 255]);
        halve_columns(&from, 4, &mut to);
        assert_eq!(to, [4, 8, 255, 255]);
    }
}
