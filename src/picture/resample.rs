//! Planes of eight-bit samples to other sizes.
//!
//! The weights are kept from one picture to the next: for the small planes that cells need, finding
//! them anew takes longer than applying them.

/// Weights have this many fractional bits: the sums of a pass fit 16 bits, so eight are made at once.
const BITS: u32 = 8;
const ONE: i32 = 1 << BITS;
/// Weights are kept for so many pairs of sizes; a call shows few.
const MOST_AXES: usize = 48;

/// In what order the samples of a row are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Every so manieth sample, then those beside them, and so on: 2 makes the even ones, then the
    /// odd ones.
    pub(super) apart: usize,
    /// The row is mirrored first.
    pub(super) mirror: bool,
}

/// Scales planes with a Hamming filter: for cells of one colour within 0.02 dB of the best that is
/// possible, and without negative weights.
#[derive(Default)]
pub(super) struct Resampler {
    axes: Vec<Axis>,
    sums: Vec<u16>,
    row: Vec<i16>,
    made: Vec<u8>,
}

impl Resampler {
    /// Scales `from` with rows of `width` samples to `to_width` by `to_height`, and hands over each
    /// row with its number. No side is 0, and `order.apart` divides `to_width`.
    #[inline(always)]
    pub(super) fn scale(
        &mut self,
        from: &[u8],
        width: usize,
        (to_width, to_height): (usize, usize),
        order: Order,
        mut take: impl FnMut(usize, &[u8]),
    ) {
        if self.axes.len() + 2 > MOST_AXES {
            self.axes.clear();
        }
        let down = self.axis(
            from.len() / width,
            to_height,
            Order {
                apart: 1,
                mirror: false,
            },
        );
        let across = self.axis(width, to_width, order);
        let Self {
            axes,
            sums,
            row,
            made,
        } = self;
        let (down, across) = (&axes[down], &axes[across]);
        sums.resize(width, 0);
        made.resize(to_width, 0);
        row.clear();
        row.resize(width + across.taps, 0);
        for (y, (start, weights)) in down.steps().enumerate() {
            let mut rows = from[start * width..]
                .chunks_exact(width)
                .zip(weights)
                .filter(|(_, weight)| **weight != 0);
            match (rows.next(), rows.next()) {
                (Some((from, _)), None) => {
                    for (sample, &from) in row.iter_mut().zip(from) {
                        *sample = i16::from(from);
                    }
                }
                (Some(first), Some(second)) => {
                    begin(sums, first.0, *first.1 as u16, second.0, *second.1 as u16);
                    for (from, &weight) in rows {
                        add(sums, from, weight as u16);
                    }
                    for (sample, sum) in row.iter_mut().zip(&*sums) {
                        *sample = (sum >> BITS) as i16;
                    }
                }
                (None, _) => {}
            }
            match across.taps {
                4 => dot_rows::<4>(made, row, across),
                8 => dot_rows::<8>(made, row, across),
                _ => dot_rows_of_any(made, row, across),
            }
            take(y, made);
        }
    }

    /// The index of the weights for these sizes.
    fn axis(&mut self, from: usize, to: usize, order: Order) -> usize {
        let known = self
            .axes
            .iter()
            .position(|axis| (axis.from, axis.to, axis.order) == (from, to, order));
        known.unwrap_or_else(|| {
            self.axes.push(Axis::new(from, to, order));
            self.axes.len() - 1
        })
    }
}

/// `sums = first * weight + second * weight + half`, in steps of eight.
#[inline(always)]
fn begin(sums: &mut [u16], first: &[u8], a: u16, second: &[u8], b: u16) {
    for ((sum, &first), &second) in sums.iter_mut().zip(first).zip(second) {
        let sample = u16::from(first).wrapping_mul(a);
        *sum = sample
            .wrapping_add(u16::from(second).wrapping_mul(b))
            .wrapping_add(1 << (BITS - 1));
    }
}

/// `sums += from * weight`, in steps of eight.
#[inline(always)]
fn add(sums: &mut [u16], from: &[u8], weight: u16) {
    for (sum, &sample) in sums.iter_mut().zip(from) {
        *sum = sum.wrapping_add(u16::from(sample).wrapping_mul(weight));
    }
}

#[inline(always)]
fn dot_rows<const TAPS: usize>(to: &mut [u8], row: &[i16], axis: &Axis) {
    for ((to, &start), weights) in to
        .iter_mut()
        .zip(&axis.starts)
        .zip(axis.weights.as_chunks::<TAPS>().0)
    {
        let start = start as usize;
        let samples: &[i16; TAPS] = row[start..start + TAPS].try_into().expect("a slice of TAPS");
        let mut sum = ONE / 2;
        for i in 0..TAPS {
            sum += i32::from(samples[i]) * i32::from(weights[i]);
        }
        *to = (sum >> BITS) as u8;
    }
}

#[inline(always)]
fn dot_rows_of_any(to: &mut [u8], row: &[i16], axis: &Axis) {
    for (to, (start, weights)) in to.iter_mut().zip(axis.steps()) {
        let products = row[start..]
            .iter()
            .zip(weights)
            .map(|(&s, &w)| i32::from(s) * i32::from(w));
        *to = ((products.sum::<i32>() + ONE / 2) >> BITS) as u8;
    }
}

/// The weights of one direction.
struct Axis {
    from: usize,
    to: usize,
    order: Order,
    /// Weights for each sample; those that are not needed are 0.
    taps: usize,
    /// For each sample made, the first it is made of.
    starts: Vec<u32>,
    weights: Vec<i16>,
}

impl Axis {
    fn new(from: usize, to: usize, order: Order) -> Self {
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0);
        let span = |i: usize| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - reach - 0.5).ceil().max(0.0) as usize;
            let last = (centre + reach - 0.5).floor().min(from as f64 - 1.0) as usize;
            (centre, first.min(from - 1), last.max(first.min(from - 1)))
        };
        let most = (0..to).map(|i| span(i).2 - span(i).1 + 1).max().unwrap_or(1);
        let taps = if most <= 4 { 4 } else { most.next_multiple_of(8) };
        let (mut starts, mut weights) = (Vec::with_capacity(to), Vec::with_capacity(to * taps));
        let made = |i: usize| {
            let per = to / order.apart;
            let i = i % per * order.apart + i / per;
            if order.mirror { to - 1 - i } else { i }
        };
        for i in (0..to).map(made) {
            let (centre, first, last) = span(i);
            let exact: Vec<f64> = (first..=last)
                .map(|k| hamming((k as f64 + 0.5 - centre) / reach))
                .collect();
            let sum: f64 = exact.iter().sum();
            let at = weights.len();
            weights.extend(exact.iter().map(|w| (w / sum * f64::from(ONE)).round() as i16));
            // What rounding lost or made goes where it shows least.
            let rounded: i32 = weights[at..].iter().map(|&w| i32::from(w)).sum();
            let largest = (at..weights.len()).max_by_key(|&k| weights[k]).unwrap_or(at);
            weights[largest] += (ONE - rounded) as i16;
            weights.resize(at + taps, 0);
            starts.push(first as u32);
        }
        Self {
            from,
            to,
            order,
            taps,
            starts,
            weights,
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
pub(super) fn halve(from: &[u8], width: usize, to: &mut Vec<u8>) {
    // Two samples in one number are two to add without taking them apart.
    let pair = |two: &[u8; 2]| {
        let two = u16::from_le_bytes(*two);
        (two & 0xFF) + (two >> 8)
    };
    to.resize(from.len() / 4, 0);
    for (rows, to) in from.chunks_exact(2 * width).zip(to.chunks_exact_mut(width / 2)) {
        let (upper, lower) = rows.split_at(width);
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (to, (upper, lower)) in to.iter_mut().zip(pairs) {
            *to = ((pair(upper) + pair(lower) + 2) >> 2) as u8;
        }
    }
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
        resampler: &mut Resampler,
        from: &[u8],
        width: usize,
        size: (usize, usize),
        order: Order,
    ) -> Vec<u8> {
        let mut to = Vec::new();
        resampler.scale(from, width, size, order, |y, row| {
            assert_eq!(to.len(), y * size.0);
            to.extend_from_slice(row);
        });
        to
    }

    const PLAIN: Order = Order {
        apart: 1,
        mirror: false,
    };

    #[test]
    fn scaling_is_within_two_of_the_formula() {
        let mut resampler = Resampler::default();
        for (width, height, size) in [
            (16, 12, (7, 5)),
            (16, 12, (33, 31)),
            (40, 9, (3, 9)),
            (1, 1, (5, 4)),
            (64, 50, (1, 1)),
            (9, 7, (9, 7)),
        ] {
            let from: Vec<u8> = (0..width * height).map(|i| (i * i * 37 % 251) as u8).collect();
            let to = scaled(&mut resampler, &from, width, size, PLAIN);
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
        let mut resampler = Resampler::default();
        for n in 1..3 * MOST_AXES {
            for value in [0, 77, 255] {
                let to = scaled(&mut resampler, &[value; 30 * 20], 30, (n, n * 2), PLAIN);
                assert_eq!(to.len(), n * n * 2);
                assert!(to.iter().all(|&sample| sample == value), "{n}: {value}");
            }
        }
        assert!(resampler.axes.len() <= MOST_AXES);
    }

    #[test]
    fn rows_are_made_in_any_order() {
        let mut resampler = Resampler::default();
        let from: Vec<u8> = (0..30 * 4).map(|i| (i * i * 37 % 251) as u8).collect();
        let plain = scaled(&mut resampler, &from, 30, (12, 3), PLAIN);
        let order = Order {
            apart: 4,
            mirror: true,
        };
        let other = scaled(&mut resampler, &from, 30, (12, 3), order);
        for (y, row) in plain.chunks_exact(12).enumerate() {
            for (x, &sample) in row.iter().rev().enumerate() {
                assert_eq!(other[y * 12 + x % 4 * 3 + x / 4], sample, "({x}, {y})");
            }
        }
    }

    #[test]
    fn halving_takes_means() {
        let mut to = Vec::new();
        halve(&[0, 4, 255, 255, 8, 12, 255, 255], 4, &mut to);
        assert_eq!(to, [6, 255]);
    }
}
