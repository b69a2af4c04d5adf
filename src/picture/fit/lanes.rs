//! Numbers of several cells side by side, as wide as the machine takes them.

// Several arrays are walked by the same number.
#![allow(clippy::needless_range_loop)]

use std::ops::{Add, Mul, Sub};

use pulp::Simd;

/// A number for each of some cells.
#[derive(Clone, Copy)]
pub(super) struct F<S: Simd>(pub(super) S, pub(super) S::f32s);

impl<S: Simd> F<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, value: f32) -> Self {
        Self(simd, simd.splat_f32s(value))
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [f32]) {
        S::as_mut_simd_f32s(&mut to[..S::F32_LANES]).0[0] = self.1;
    }
}

impl<S: Simd> Add for F<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0, self.0.add_f32s(self.1, other.1))
    }
}

impl<S: Simd> Sub for F<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0, self.0.sub_f32s(self.1, other.1))
    }
}

impl<S: Simd> Mul for F<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0, self.0.mul_f32s(self.1, other.1))
    }
}

/// Y, U, V of each cell.
#[derive(Clone, Copy)]
pub(super) struct Three<S: Simd>(pub(super) [F<S>; 3]);

impl<S: Simd> Three<S> {
    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        let mut to = self;
        for c in 0..3 {
            to.0[c] = self.0[c] + other.0[c];
        }
        to
    }

    #[inline(always)]
    pub(super) fn minus(self, other: Self) -> Self {
        let mut to = self;
        for c in 0..3 {
            to.0[c] = self.0[c] - other.0[c];
        }
        to
    }

    #[inline(always)]
    pub(super) fn times(self, factor: f32) -> Self {
        let factor = F::new(self.0[0].0, factor);
        let mut to = self;
        for c in 0..3 {
            to.0[c] = self.0[c] * factor;
        }
        to
    }

    #[inline(always)]
    pub(super) fn square(self) -> F<S> {
        let [y, u, v] = self.0;
        y * y + u * u + v * v
    }
}
