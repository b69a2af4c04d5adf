//! Pictures without colours: shades and blocks in the text's own colour.

use super::palette::BAYER;

/// The glyph that looks most like four samples (0 is the background, 255 the text's colour; upper
/// left, upper right, lower left, lower right) in the cell at a place of the screen.
///
/// Even areas get one of five shades, chosen by a pattern fixed to the screen where they lie between
/// two; edges get the block of their shape.
pub(super) fn glyph(samples: [u8; 4], x: usize, y: usize) -> char {
    /// From one shade to the next.
    const STEP: i32 = 64;
    // Half a step to each side would be exact on the mean, and look like a grating.
    let offset = (i32::from(BAYER[y & 7][x & 7]) - 32) / 2;
    let samples = samples.map(|s| (i32::from(s) * 256 / 255 + offset).clamp(0, 256));
    let sum: i32 = samples.iter().sum();
    let shade = (sum / 4 + STEP / 2) / STEP;
    let even: i32 = samples.iter().map(|s| (s - shade * STEP).pow(2)).sum();
    let mask = (0..4).fold(0, |mask, i| mask | usize::from(samples[i] >= 128) << i);
    let split: i32 = samples.iter().map(|&s| s.min(256 - s).pow(2)).sum();
    if split < even {
        BLOCKS[mask]
    } else {
        SHADES[shade.clamp(0, 4) as usize]
    }
}

const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// By mask: 1 upper left, 2 upper right, 4 lower left, 8 lower right.
const BLOCKS: [char; 16] = [
    ' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_shaded_and_edges_drawn() {
        assert_eq!(glyph([0; 4], 0, 0), ' ');
        assert_eq!(glyph([255; 4], 3, 3), '█');
        assert_eq!(glyph([255, 255, 0, 0], 5, 1), '▀');
        assert_eq!(glyph([0, 255, 255, 0], 2, 1), '▞');
        assert_eq!(glyph([255, 0, 255, 0], 2, 1), '▌');
        let shades: Vec<_> = (0..64).map(|i| glyph([95; 4], i % 8, i / 8)).collect();
        assert!(shades.contains(&'░') && shades.contains(&'▒'));
    }

    #[test]
    fn more_light_is_more_ink() {
        let ink = |c: char| {
            SHADES
                .iter()
                .position(|&s| s == c)
                .expect("even areas are shaded")
        };
        for i in 0..64 {
            let shades: Vec<_> = (0..=255).map(|v| ink(glyph([v; 4], i % 8, i / 8))).collect();
            assert!(shades.is_sorted());
        }
    }
}
