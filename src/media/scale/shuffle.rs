//! The horizontal pass of the filter for sixteen samples at once: AVX2's shuffles fetch what each is
//! made of.

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};
use std::arch::x86_64::__m128i;

use super::plane::ONE;

/// Samples that are made at once.
const AT_ONCE: usize = 16;
/// Bytes that are loaded at once.
const LOADED: usize = 16;

/// How rows of one length become rows of another.
pub(super) struct Blocks {
    simd: V3,
    taps: usize,
    loads: Vec<Load>,
}

/// What is made of bytes that lie together: four samples of four taps each, or two of eight.
#[derive(Clone, Copy)]
struct Load {
    start: usize,
    /// For each tap the byte it takes.
    bytes: [u8; LOADED],
    /// The taps' weights.
    weights: [u8; LOADED],
}

impl Blocks {
    /// For rows of `from` samples, with so many weights for each sample made, the first for that in
    /// `starts`. `None` where there are too many, the row is too short, or the machine too old.
    pub(super) fn new(from: usize, taps: usize, starts: &[u32], weights: &[i16]) -> Option<Self> {
        let simd = V3::try_new()?;
        if from < LOADED || !matches!(taps, 4 | 8) {
            return None;
        }
        let each = LOADED / taps;
        let mut loads = Vec::with_capacity(starts.len().next_multiple_of(AT_ONCE) / each);
        for (starts, weights) in starts.chunks(each).zip(weights.chunks(LOADED)) {
            let first = starts.iter().min().map_or(0, |&first| first as usize);
            let mut load = Load {
                start: first.min(from - LOADED),
                bytes: [0; LOADED],
                weights: [0; LOADED],
            };
            for (i, weights) in weights.chunks_exact(taps).enumerate() {
                for (k, &weight) in weights.iter().enumerate() {
                    let byte = starts[i] as usize + k - load.start;
                    let at = i * taps + k;
                    if weight == 0 {
                        continue;
                    }
                    if byte >= LOADED {
                        return None;
                    }
                    load.bytes[at] = byte as u8;
                    load.weights[at] = weight.min(255) as u8;
                    // A weight of all is one too many for a byte.
                    if i32::from(weight) == ONE {
                        let other = at ^ 1;
                        (load.bytes[other], load.weights[other]) = (byte as u8, 1);
                    }
                }
            }
            loads.push(load);
        }
        let none = Load {
            start: 0,
            bytes: [0; LOADED],
            weights: [0; LOADED],
        };
        loads.resize(loads.len().next_multiple_of(taps), none);
        Some(Self { simd, taps, loads })
    }

    /// Makes a row of another.
    pub(super) fn apply(&self, row: &[u8], made: &mut [u8]) {
        self.simd.vectorize(Apply {
            blocks: self,
            row,
            made,
        });
    }
}

struct Apply<'a> {
    blocks: &'a Blocks,
    row: &'a [u8],
    made: &'a mut [u8],
}

impl NullaryFnOnce for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { blocks, row, made } = self;
        let simd = blocks.simd;
        let chunks = made.chunks_mut(AT_ONCE);
        if blocks.taps == 4 {
            for (made, l) in chunks.zip(blocks.loads.as_chunks::<4>().0) {
                let ab = add(simd, l[0].sums(simd, row), l[1].sums(simd, row));
                let cd = add(simd, l[2].sums(simd, row), l[3].sums(simd, row));
                put(simd, ab, cd, made);
            }
        } else {
            for (made, l) in chunks.zip(blocks.loads.as_chunks::<8>().0) {
                let ab = add(simd, l[0].sums(simd, row), l[1].sums(simd, row));
                let cd = add(simd, l[2].sums(simd, row), l[3].sums(simd, row));
                let ef = add(simd, l[4].sums(simd, row), l[5].sums(simd, row));
                let gh = add(simd, l[6].sums(simd, row), l[7].sums(simd, row));
                put(simd, add(simd, ab, cd), add(simd, ef, gh), made);
            }
        }
    }
}

impl Load {
    /// Sums of two taps each, less half of white.
    #[inline(always)]
    fn sums(&self, simd: V3, row: &[u8]) -> __m128i {
        let bytes: [u8; LOADED] = row[self.start..self.start + LOADED]
            .try_into()
            .expect("a slice of LOADED");
        let taken = simd.ssse3._mm_shuffle_epi8(cast(bytes), cast(self.bytes));
        let signed = simd.sse2._mm_xor_si128(taken, cast([0x80_u8; LOADED]));
        simd.ssse3._mm_maddubs_epi16(cast(self.weights), signed)
    }
}

/// Sums of neighbours.
#[inline(always)]
fn add(simd: V3, a: __m128i, b: __m128i) -> __m128i {
    simd.ssse3._mm_hadd_epi16(a, b)
}

/// Rounds the sums of all taps and puts them into as much as there is room for.
#[inline(always)]
fn put(simd: V3, a: __m128i, b: __m128i, made: &mut [u8]) {
    let half = cast([ONE as i16 / 2; 8]);
    let a = simd.sse2._mm_srai_epi16::<8>(simd.sse2._mm_add_epi16(a, half));
    let b = simd.sse2._mm_srai_epi16::<8>(simd.sse2._mm_add_epi16(b, half));
    let signed = simd.sse2._mm_packs_epi16(a, b);
    let samples: [u8; AT_ONCE] = cast(simd.sse2._mm_xor_si128(signed, cast([0x80_u8; AT_ONCE])));
    if let Ok(made) = <&mut [u8; AT_ONCE]>::try_from(&mut *made) {
        *made = samples;
    } else {
        let count = made.len();
        made.copy_from_slice(&samples[..count]);
    }
}
