//! How like two pictures are, by their luma.

use facetty::media::frame::I420;

/// PSNR in decibels, and SSIM (0 to 1) over windows of 8 by 8, four apart.
pub type Quality = (f64, f64);

/// Two pictures of one size.
pub fn of(shown: &I420, sent: &I420) -> Quality {
    let size = sent.size();
    let (width, height) = (size.width as usize, size.height as usize);
    let (a, b) = (shown.planes()[0].data, sent.planes()[0].data);
    let squares: u64 = a
        .iter()
        .zip(b)
        .map(|(x, y)| u64::from(x.abs_diff(*y)).pow(2))
        .sum();
    let mse = squares as f64 / (width * height) as f64;
    let psnr = 10.0 * (255.0 * 255.0 / mse.max(0.01)).log10();
    let (mut sum, mut windows) = (0.0, 0);
    for y in (0..height.saturating_sub(7)).step_by(4) {
        for x in (0..width.saturating_sub(7)).step_by(4) {
            sum += window(a, b, y * width + x, width);
            windows += 1;
        }
    }
    (psnr, sum / f64::from(windows.max(1)))
}

fn window(a: &[u8], b: &[u8], from: usize, width: usize) -> f64 {
    let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for row in 0..8 {
        let at = from + row * width;
        for (x, y) in a[at..at + 8].iter().zip(&b[at..at + 8]) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            sa += x;
            sb += y;
            saa += x * x;
            sbb += y * y;
            sab += x * y;
        }
    }
    let n = 64.0;
    let (ma, mb) = (sa / n, sb / n);
    let (va, vb, cov) = (saa / n - ma * ma, sbb / n - mb * mb, sab / n - ma * mb);
    let (c1, c2) = (6.5025, 58.5225);
    ((2.0 * ma * mb + c1) * (2.0 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
}
