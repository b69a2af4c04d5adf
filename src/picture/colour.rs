//! Colours, and the way from Y, U, V to red, green, blue.

use std::str::FromStr;

use crate::media::frame::{Matrix, Range};

/// How many colours the terminal is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorDepth {
    /// 24-bit colours (`SGR 38;2;r;g;b`).
    #[default]
    Truecolor,
    /// The 256-colour palette (`SGR 38;5;n`), of which pictures use the colour cube and the greys:
    /// the first sixteen look different in every terminal.
    Ansi256,
    /// The sixteen named colours (`SGR 30–37, 90–97`).
    Ansi16,
    /// None: no colour is ever sent, pictures are drawn with shades of the text's own colour.
    Mono,
}

impl FromStr for ColorDepth {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "truecolor" | "24bit" => Ok(Self::Truecolor),
            "256" => Ok(Self::Ansi256),
            "16" => Ok(Self::Ansi16),
            "mono" => Ok(Self::Mono),
            _ => Err(format!("{name:?} is no colour depth: truecolor, 256, 16 or mono")),
        }
    }
}

/// A colour, 8 bits a channel, gamma-encoded as terminals take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rgb {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
}

impl Rgb {
    /// A colour of its channels.
    pub const fn new(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b }
    }

    /// The largest difference in a channel, 0 to 255.
    pub fn distance(self, other: Rgb) -> u8 {
        let r = self.r.abs_diff(other.r);
        let g = self.g.abs_diff(other.g);
        r.max(g).max(self.b.abs_diff(other.b))
    }
}

/// What remains of a sample where the picture lies dim behind text; `zero` stands for none.
pub(super) const fn dimmed(sample: u8, zero: u8) -> u8 {
    ((sample as u16 * 3 + zero as u16 * 5) >> 3) as u8
}

/// What Y, U, V stand for: a matrix (ITU-R BT.601-7 or BT.709-6, section 3) and a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ColourSpace(u8);

impl ColourSpace {
    pub(super) const fn new(matrix: Matrix, range: Range) -> Self {
        let matrix = match matrix {
            Matrix::Bt601 => 0,
            Matrix::Bt709 => 1,
        };
        let range = match range {
            Range::Limited => 0,
            Range::Full => 2,
        };
        Self(matrix | range)
    }

    /// 0 to 3.
    pub(super) const fn index(self) -> u8 {
        self.0
    }

    /// Of a number's last two bits.
    pub(super) const fn from_index(index: u8) -> Self {
        Self(index & 3)
    }

    /// The luma of black.
    pub(super) const fn black(self) -> u8 {
        if self.0 & 2 == 0 { 16 } else { 0 }
    }

    /// The colour of Y, U, V.
    pub(super) fn rgb(self, [y, u, v]: [f32; 3]) -> Rgb {
        let &Factors {
            luma,
            red_v,
            green_u,
            green_v,
            blue_u,
        } = &FACTORS[usize::from(self.0)];
        let y = (y - f32::from(self.black())) * luma;
        let (u, v) = (u - 128.0, v - 128.0);
        // The conversion takes what is below 0 or above 255 to the end of the range.
        let channel = |value: f32| (value + 0.5) as u8;
        Rgb {
            r: channel(y + v * red_v),
            g: channel(y + u * green_u + v * green_v),
            b: channel(y + u * blue_u),
        }
    }

    /// The colours of many Y, U, V, as [`Paint`](super::cells::Paint) has them; to the nearest, as
    /// [`Self::rgb`].
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    pub(super) fn paints<const N: usize>(self, [y, u, v]: &[[f32; N]; 3], paints: &mut [u32; N]) {
        let &Factors {
            luma,
            red_v,
            green_u,
            green_v,
            blue_u,
        } = &FACTORS[usize::from(self.0)];
        let black = f32::from(self.black());
        // From here on numbers have no fraction: adding it rounds, and the lowest bits are the integer.
        const ROUND: f32 = (1 << 23) as f32;
        for l in 0..N {
            let y = (y[l] - black) * luma;
            let (u, v) = (u[l] - 128.0, v[l] - 128.0);
            let r = (y + v * red_v).clamp(0.0, 255.0) + ROUND;
            let g = (y + u * green_u + v * green_v).clamp(0.0, 255.0) + ROUND;
            let b = (y + u * blue_u).clamp(0.0, 255.0) + ROUND;
            let [r, g, b] = [r.to_bits() & 0xFF, g.to_bits() & 0xFF, b.to_bits() & 0xFF];
            paints[l] = 3 << 24 | r << 16 | g << 8 | b;
        }
    }

    /// The light of Y alone, 0 to 255.
    pub(super) fn grey(self, y: f32) -> f32 {
        let Factors { luma, .. } = FACTORS[usize::from(self.0)];
        ((y - f32::from(self.black())) * luma).clamp(0.0, 255.0)
    }
}

struct Factors {
    luma: f32,
    red_v: f32,
    green_u: f32,
    green_v: f32,
    blue_u: f32,
}

static FACTORS: [Factors; 4] = [
    factors(0.299, 0.114, 219.0, 224.0),
    factors(0.2126, 0.0722, 219.0, 224.0),
    factors(0.299, 0.114, 255.0, 255.0),
    factors(0.2126, 0.0722, 255.0, 255.0),
];

/// Of the shares of red and blue in luma, and how far luma and colour reach.
const fn factors(kr: f32, kb: f32, luma: f32, chroma: f32) -> Factors {
    let kg = 1.0 - kr - kb;
    let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
    Factors {
        luma: 255.0 / luma,
        red_v: red * 255.0 / chroma,
        green_u: -blue * kb / kg * 255.0 / chroma,
        green_v: -red * kr / kg * 255.0 / chroma,
        blue_u: blue * 255.0 / chroma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_is_within_one_of_the_formula() {
        for matrix in [Matrix::Bt601, Matrix::Bt709] {
            for range in [Range::Limited, Range::Full] {
                let (kr, kb) = match matrix {
                    Matrix::Bt601 => (0.299, 0.114),
                    Matrix::Bt709 => (0.2126, 0.0722),
                };
                let (black, luma, chroma) = match range {
                    Range::Limited => (16.0, 219.0, 224.0),
                    Range::Full => (0.0, 255.0, 255.0),
                };
                let space = ColourSpace::new(matrix, range);
                assert_eq!(ColourSpace::from_index(space.index() | 8), space);
                for y in (0..=255).step_by(5) {
                    for u in (0..=255).step_by(15) {
                        for v in (0..=255).step_by(15) {
                            let got = space.rgb([y as f32, u as f32, v as f32]);
                            let mut paint = [0];
                            space.paints(&[[y as f32], [u as f32], [v as f32]], &mut paint);
                            let [_, r, g, b] = paint[0].to_be_bytes();
                            assert!(got.distance(Rgb { r, g, b }) <= 1, "{got:?}: {:x}", paint[0]);
                            let luma = (f64::from(y) - black) / luma;
                            let (pb, pr) = ((f64::from(u) - 128.0) / chroma, (f64::from(v) - 128.0) / chroma);
                            let (er, eb) = (luma + 2.0 * (1.0 - kr) * pr, luma + 2.0 * (1.0 - kb) * pb);
                            let eg = (luma - kr * er - kb * eb) / (1.0 - kr - kb);
                            for (got, exact) in [(got.r, er), (got.g, eg), (got.b, eb)] {
                                let exact = (exact * 255.0).clamp(0.0, 255.0);
                                let off = (f64::from(got) - exact).abs();
                                assert!(
                                    off <= 1.0,
                                    "{matrix:?} {range:?} {y} {u} {v}: {got:?} for {exact}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn names_are_read() {
        assert_eq!("256".parse(), Ok(ColorDepth::Ansi256));
        assert!("".parse::<ColorDepth>().is_err());
    }
}
