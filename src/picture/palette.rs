//! Few colours made to look like many: two of them mixed by a pattern fixed to the screen.

use std::sync::OnceLock;

use super::colour::Rgb;

/// Thresholds 0 to 63, each once in every 8x8 pixels of the screen (Bayer 1973).
pub(super) const BAYER: [[u8; 8]; 8] = bayer();

const fn bayer() -> [[u8; 8]; 8] {
    let mut matrix = [[0; 8]; 8];
    let mut i = 0;
    while i < 64 {
        let (x, y) = (i & 7, i >> 3);
        let (mut value, mut bit) = (0, 0);
        while bit < 3 {
            let (bx, by) = ((x >> bit) & 1, (y >> bit) & 1);
            value |= ((bx ^ by) << 1 | by) << (2 * (2 - bit));
            bit += 1;
        }
        matrix[y][x] = value as u8;
        i += 1;
    }
    matrix
}

/// A palette, and for each colour the two entries that look most like it when mixed.
///
/// Which of the two a pixel gets depends on its colour and its place alone, so a picture at rest
/// stays at rest.
pub(super) struct Palette {
    colours: Vec<Rgb>,
    /// Added to an index into `colours`.
    first: u8,
    /// For each colour of 4 bits a channel (red in the upper ones): the darker index, the lighter.
    pairs: Vec<[u8; 2]>,
}

impl Palette {
    /// The cube and the greys of the 256 colours.
    pub(super) fn ansi256() -> &'static Self {
        static PALETTE: OnceLock<Palette> = OnceLock::new();
        PALETTE.get_or_init(|| Self::new((16..=255).map(ansi256_colour).collect(), 16, 8, 10))
    }

    /// The sixteen named colours, as xterm has them.
    pub(super) fn ansi16() -> &'static Self {
        static PALETTE: OnceLock<Palette> = OnceLock::new();
        PALETTE.get_or_init(|| Self::new(NAMED.to_vec(), 0, 16, 80))
    }

    /// `tried`: how many of the nearest entries are tried as one of the two; `calm`: by how much
    /// the distance of the two counts less than their mixture's from the colour.
    fn new(colours: Vec<Rgb>, first: u8, tried: usize, calm: i32) -> Self {
        let mut pairs = Vec::with_capacity(4096);
        let mut nearest = Vec::with_capacity(colours.len());
        for index in 0..4096_u32 {
            let wide = |shift: u32| (((index >> shift) & 15) * 17) as u8;
            let colour = Rgb::new(wide(8), wide(4), wide(0));
            nearest.clear();
            nearest.extend(colours.iter().enumerate().map(|(i, &c)| (distance(colour, c), i)));
            nearest.select_nth_unstable(tried - 1);
            let mut best = (i32::MAX, 0, 0);
            for &(_, a) in &nearest[..tried] {
                for (b, &other) in colours.iter().enumerate() {
                    let apart = distance(colours[a], other);
                    if apart / calm < best.0 {
                        let off = distance_from_mixture(colour, colours[a], other) + apart / calm;
                        best = best.min((off, a, b));
                    }
                }
            }
            let (_, a, b) = best;
            let (a, b) = if luma(colours[a]) <= luma(colours[b]) {
                (a, b)
            } else {
                (b, a)
            };
            pairs.push([a as u8, b as u8]);
        }
        Self {
            colours,
            first,
            pairs,
        }
    }

    /// The palette index for a pixel of this colour at this place of the screen.
    pub(super) fn dithered(&self, colour: Rgb, x: usize, y: usize) -> u8 {
        let pair = self.pair(colour);
        let [dark, light] = self.indices(pair);
        if self.is_lighter(pair, colour, x, y) {
            light
        } else {
            dark
        }
    }

    /// The two that mixed look most like a colour, the darker first.
    pub(super) fn pair(&self, Rgb { r, g, b }: Rgb) -> Pair {
        Pair(self.pairs[usize::from(r >> 4) << 8 | usize::from(g >> 4) << 4 | usize::from(b >> 4)])
    }

    /// Their palette indices.
    pub(super) fn indices(&self, pair: Pair) -> [u8; 2] {
        pair.0.map(|index| self.first + index)
    }

    /// Whether a pixel of this colour at this place of the screen gets the lighter one of the two.
    pub(super) fn is_lighter(&self, pair: Pair, colour: Rgb, x: usize, y: usize) -> bool {
        let [from, to] = pair.0.map(|index| self.colours[usize::from(index)]);
        let along = dot(from, to, colour);
        let whole = distance(from, to);
        // along / whole > (threshold + ½) / 64, without the division
        let threshold = i32::from(BAYER[y & 7][x & 7]);
        along * 64 > whole * threshold + whole / 2
    }

    /// The squared distance of a colour from the nearest mixture of two.
    pub(super) fn off_mixture(&self, pair: Pair, colour: Rgb) -> i32 {
        let [from, to] = pair.0.map(|index| self.colours[usize::from(index)]);
        distance_from_mixture(colour, from, to)
    }

    /// The squared distance of a colour from that of a palette index.
    pub(super) fn distance(&self, colour: Rgb, index: u8) -> i32 {
        distance(colour, self.colours[usize::from(index - self.first)])
    }

    /// The palette index nearest to a colour.
    pub(super) fn nearest(&self, colour: Rgb) -> u8 {
        let indexed = self.colours.iter().enumerate();
        let nearest = indexed.min_by_key(|&(_, &c)| distance(colour, c));
        self.first + nearest.map_or(0, |(index, _)| index as u8)
    }
}

/// Two entries of a palette.
#[derive(Clone, Copy)]
pub(super) struct Pair([u8; 2]);

impl Rgb {
    /// The squared distance of two colours as mixtures are judged by.
    pub(super) fn unlike(self, other: Self) -> i32 {
        distance(self, other)
    }
}

/// The sixteen named colours of xterm.
const NAMED: [Rgb; 16] = [
    Rgb::new(0, 0, 0),
    Rgb::new(205, 0, 0),
    Rgb::new(0, 205, 0),
    Rgb::new(205, 205, 0),
    Rgb::new(0, 0, 238),
    Rgb::new(205, 0, 205),
    Rgb::new(0, 205, 205),
    Rgb::new(229, 229, 229),
    Rgb::new(127, 127, 127),
    Rgb::new(255, 0, 0),
    Rgb::new(0, 255, 0),
    Rgb::new(255, 255, 0),
    Rgb::new(92, 92, 255),
    Rgb::new(255, 0, 255),
    Rgb::new(0, 255, 255),
    Rgb::new(255, 255, 255),
];

/// What the index means in the 256-colour palette of xterm and everybody since.
pub(super) fn ansi256_colour(index: u8) -> Rgb {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..=15 => NAMED[usize::from(index)],
        16..=231 => {
            let n = usize::from(index - 16);
            Rgb::new(LEVELS[n / 36], LEVELS[n / 6 % 6], LEVELS[n % 6])
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            Rgb::new(grey, grey, grey)
        }
    }
}

/// (`to` − `from`) · (`colour` − `from`) in red, green, blue and, counting most, luma: the eye sees
/// light finer than colour, so mixtures of like light look even and shading comes out right.
fn dot(from: Rgb, to: Rgb, colour: Rgb) -> i32 {
    let part = |from: u8, to: u8, c: u8| (i32::from(to) - i32::from(from)) * (i32::from(c) - i32::from(from));
    let light = (luma(to) - luma(from)) * (luma(colour) - luma(from)) / 16;
    light + part(from.r, to.r, colour.r) + part(from.g, to.g, colour.g) + part(from.b, to.b, colour.b)
}

/// The squared distance of two colours, at most 455,175.
fn distance(a: Rgb, b: Rgb) -> i32 {
    dot(a, b, b)
}

/// The squared distance of a colour from the nearest mixture of two.
fn distance_from_mixture(colour: Rgb, a: Rgb, b: Rgb) -> i32 {
    let (along, whole) = (dot(a, b, colour), distance(a, b));
    if along <= 0 || whole == 0 {
        return distance(a, colour);
    }
    if along >= whole {
        return distance(b, colour);
    }
    let along = along as f32;
    distance(a, colour) - (along * along / whole as f32) as i32
}

/// Eight times the luma, roughly.
fn luma(colour: Rgb) -> i32 {
    let Rgb { r, g, b } = colour;
    2 * i32::from(r) + 5 * i32::from(g) + i32::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_is_there_once() {
        let mut all: Vec<_> = BAYER.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..64));
        assert_eq!(&BAYER[0][..4], &[0, 32, 8, 40]);
    }

    #[test]
    fn palette_colours_are_themselves() {
        let palette = Palette::ansi256();
        for index in 16..=255_u8 {
            assert_eq!(
                ansi256_colour(palette.nearest(ansi256_colour(index))),
                ansi256_colour(index)
            );
        }
        for (index, colour) in NAMED.into_iter().enumerate() {
            assert_eq!(usize::from(Palette::ansi16().nearest(colour)), index);
        }
    }

    /// The mean over an area is what the eye sees from afar.
    #[test]
    fn a_dithered_area_has_nearly_the_mean_of_its_colour() {
        for (palette, most) in [(Palette::ansi256(), 20.0), (Palette::ansi16(), 45.0)] {
            for colour in [
                Rgb::new(200, 160, 140),
                Rgb::new(30, 30, 30),
                Rgb::new(90, 110, 160),
            ] {
                let mut sum = [0_u32; 3];
                for i in 0..64 {
                    let c = ansi256_colour(palette.dithered(colour, i % 8, i / 8));
                    sum[0] += u32::from(c.r);
                    sum[1] += u32::from(c.g);
                    sum[2] += u32::from(c.b);
                }
                for (sum, exact) in sum.into_iter().zip([colour.r, colour.g, colour.b]) {
                    let off = (f64::from(sum) / 64.0 - f64::from(exact)).abs();
                    assert!(off <= most, "{colour:?}: off by {off}");
                }
            }
        }
    }
}
