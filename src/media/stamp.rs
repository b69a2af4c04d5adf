//! A number written into a picture so that it survives scaling, the codec and drawing in character
//! cells: what tests and benches follow a frame by.
//!
//! Two rows of sixteen black or white blocks along the top edge, each row a tenth of the picture
//! high: 24 bits, most significant first, then eight check bits. The number is Gray coded, so that
//! from one to the next only two blocks change and a thin line carries it at every frame.

use super::frame::I420;

/// Numbers are below this.
pub const LIMIT: u32 = 1 << 24;

const COLUMNS: usize = 16;
const ROWS: usize = 2;
/// A row of blocks is this part of the picture's height.
const PART: usize = 10;

const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// A block that is not at least so far from the middle cannot be told.
const DOUBT: u32 = 20;

/// Draws `n` (modulo [`LIMIT`]) along the top edge of `picture`, which is at least 32 by 20 pixels.
pub fn stamp(picture: &mut I420, n: u32) {
    let code = encode(n % LIMIT);
    let [y, u, _] = picture.planes();
    let (width, height, half_width) = (y.width, y.height, u.width);
    let bottom = (ROWS * height / PART).next_multiple_of(2).min(height);
    let [luma, u, v] = picture.planes_mut();
    for y in 0..bottom {
        let row = ((2 * y + 1) * PART / (2 * height)).min(ROWS - 1);
        for (x, sample) in luma[y * width..][..width].iter_mut().enumerate() {
            let bit = row * COLUMNS + (2 * x + 1) * COLUMNS / (2 * width);
            *sample = if code >> (31 - bit) & 1 == 1 { WHITE } else { BLACK };
        }
    }
    let grey = half_width * bottom.div_ceil(2);
    u[..grey].fill(128);
    v[..grey].fill(128);
}

/// The number stamped on `picture`, or `None` where there is none that can be read for certain.
pub fn read(picture: &I420) -> Option<u32> {
    let luma = picture.planes()[0];
    if luma.width < 2 * COLUMNS || luma.height < 2 * PART {
        return None;
    }
    let mut code = 0u32;
    for block in 0..COLUMNS * ROWS {
        let (column, row) = (block % COLUMNS, block / COLUMNS);
        let span = |n: usize, length: usize, parts: usize| {
            // The middle half of the block, at least one sample.
            let quarter = |quarters: usize| (quarters * length + 2 * parts) / (4 * parts);
            quarter(4 * n + 1)..quarter(4 * n + 3).max(quarter(4 * n + 1) + 1)
        };
        let (xs, ys) = (span(column, luma.width, COLUMNS), span(row, luma.height, PART));
        let count = (xs.len() * ys.len()) as u32;
        let sum: u32 = ys
            .flat_map(|y| &luma.data[y * luma.stride..][xs.clone()])
            .map(|&sample| u32::from(sample))
            .sum();
        let middle = (u32::from(BLACK) + u32::from(WHITE)) / 2;
        let mean = sum / count;
        if mean.abs_diff(middle) < DOUBT {
            return None;
        }
        code = code << 1 | u32::from(mean > middle);
    }
    decode(code)
}

fn encode(n: u32) -> u32 {
    let gray = n ^ n >> 1;
    gray << 8 | check(gray)
}

fn decode(code: u32) -> Option<u32> {
    let gray = code >> 8;
    if check(gray) != code & 0xff {
        return None;
    }
    let mut n = gray;
    for shift in [1, 2, 4, 8, 16] {
        n ^= n >> shift;
    }
    Some(n)
}

/// The three bytes' exclusive or, inverted in part so that neither black nor white is a number.
fn check(gray: u32) -> u32 {
    (gray ^ gray >> 8 ^ gray >> 16 ^ 0b0101_1010) & 0xff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::scale::Scaler;
    use crate::media::test_picture::TestPicture;
    use crate::units::Size;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_stamped_is_read_at_every_size(n in 0..LIMIT, width in 32u32..700, height in 20u32..400) {
            let mut picture = I420::new(Size::new(width, height));
            stamp(&mut picture, n);
            prop_assert_eq!(read(&picture), Some(n));
        }

        #[test]
        fn it_survives_scaling_to_the_cells_of_a_small_terminal(n in 0..LIMIT) {
            let mut picture = I420::new(Size::new(640, 360));
            TestPicture::default().draw(&mut picture, std::time::Duration::ZERO);
            stamp(&mut picture, n);
            for (width, height) in [(80, 46), (80, 44), (64, 36), (120, 67)] {
                let mut small = I420::new(Size::new(width, height));
                Scaler::default().scale(&picture, &mut small);
                prop_assert_eq!(read(&small), Some(n), "at {}x{}", width, height);
            }
        }

        #[test]
        fn one_damaged_block_is_noticed(n in 0..LIMIT, block in 0usize..32) {
            prop_assert_eq!(decode(encode(n) ^ 1 << block), None);
        }
    }

    #[test]
    fn a_picture_without_a_stamp_has_no_number() {
        let mut picture = I420::new(Size::new(160, 90));
        assert_eq!(read(&picture), None, "black");
        picture.planes_mut()[0].fill(235);
        assert_eq!(read(&picture), None, "white");
        TestPicture::default().draw(&mut picture, std::time::Duration::ZERO);
        assert_eq!(read(&picture), None, "the test picture");
        assert_eq!(read(&I420::new(Size::new(8, 8))), None, "too small");
    }

    #[test]
    fn the_next_number_changes_two_blocks() {
        for n in 0..10_000 {
            assert_eq!((encode(n) ^ encode(n + 1)).count_ones(), 2);
        }
    }
}
