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

/// What remains of a channel where the picture lies dim behind text.
pub(super) const fn dimmed(channel: u8) -> u8 {
    ((channel as u16 * 3) >> 3) as u8
}

/// Turns rows of Y, U, V into rows of red, green, blue.
///
/// Everything is in 16 bits so that the compiler makes vectors of it: samples are shifted to 7
/// fractional bits, factors have 13, and the upper half of their product has 4.
#[derive(Clone, Copy)]
pub(super) struct YuvToRgb {
    black: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
}

impl YuvToRgb {
    /// For pictures of this matrix (ITU-R BT.601-7 or BT.709-6, section 3) and range.
    pub(super) fn new(matrix: Matrix, range: Range) -> Self {
        let (red_v, green_u, green_v, blue_u) = match matrix {
            Matrix::Bt601 => (1.402, -0.344_136, -0.714_136, 1.772),
            Matrix::Bt709 => (1.5748, -0.187_324, -0.468_124, 1.8556),
        };
        let (black, luma, chroma) = match range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let fixed = |factor: f64| (factor * 8192.0).round() as i16;
        Self {
            black,
            luma: fixed(luma),
            red_v: fixed(red_v * chroma),
            green_u: fixed(green_u * chroma),
            green_v: fixed(green_v * chroma),
            blue_u: fixed(blue_u * chroma),
        }
    }

    /// Converts a row; all slices have the length of `y`.
    pub(super) fn row(&self, [y, u, v]: [&[u8]; 3], [r, g, b]: [&mut [u8]; 3]) {
        let n = y.len();
        let (u, v) = (&u[..n], &v[..n]);
        let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
        for i in 0..n {
            // 8 is half of the last digit, 1 makes up for the products being rounded down.
            let luma = upper(i16::from(y[i]) - self.black, self.luma) + 9;
            let (u, v) = (i16::from(u[i]) - 128, i16::from(v[i]) - 128);
            r[i] = channel(luma + upper(v, self.red_v));
            g[i] = channel(luma + upper(u, self.green_u) + upper(v, self.green_v));
            b[i] = channel(luma + upper(u, self.blue_u));
        }
    }

    /// Converts a row's luma alone.
    pub(super) fn grey_row(&self, y: &[u8], grey: &mut [u8]) {
        for (grey, &y) in grey.iter_mut().zip(y) {
            *grey = channel(upper(i16::from(y) - self.black, self.luma) + 9);
        }
    }
}

/// The upper half of a product: `sample` with no, `factor` with 13, the result with 4 fractional bits.
fn upper(sample: i16, factor: i16) -> i16 {
    ((i32::from(sample << 7) * i32::from(factor)) >> 16) as i16
}

fn channel(fixed: i16) -> u8 {
    (fixed >> 4).clamp(0, 255) as u8
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
                let convert = YuvToRgb::new(matrix, range);
                for y in (0..=255).step_by(5) {
                    for u in (0..=255).step_by(15) {
                        for v in (0..=255).step_by(15) {
                            let (mut r, mut g, mut b) = ([0], [0], [0]);
                            convert.row([&[y], &[u], &[v]], [&mut r, &mut g, &mut b]);
                            let luma = (f64::from(y) - black) / luma;
                            let (pb, pr) = ((f64::from(u) - 128.0) / chroma, (f64::from(v) - 128.0) / chroma);
                            let (er, eb) = (luma + 2.0 * (1.0 - kr) * pr, luma + 2.0 * (1.0 - kb) * pb);
                            let eg = (luma - kr * er - kb * eb) / (1.0 - kr - kb);
                            for (got, exact) in [(r, er), (g, eg), (b, eb)] {
                                let exact = (exact * 255.0).clamp(0.0, 255.0);
                                let off = (f64::from(got[0]) - exact).abs();
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
