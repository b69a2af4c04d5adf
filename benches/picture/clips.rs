//! What is shown: a talking head where one is given, and clips that are made here.

use fast_image_resize as fir;
use fir::images::{Image, ImageRef};

use facetty::media::frame::{I420, Matrix, Range};
use facetty::media::y4m::Reader;
use facetty::units::Size;

/// A camera's size.
pub const CAMERA: Size = Size::new(640, 480);
const FRAMES: usize = 96;

/// A clip.
pub struct Clip {
    pub name: &'static str,
    pub frames: Vec<I420>,
}

/// A clip from a Y4M file, scaled to a camera's size.
pub fn file(path: &str) -> Clip {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut reader = Reader::new(std::io::BufReader::new(file)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut frames = Vec::new();
    let mut frame = I420::default();
    while frames.len() < FRAMES && reader.read(&mut frame).unwrap_or_else(|e| panic!("{path}: {e}")) {
        frames.push(scaled(&frame, CAMERA));
    }
    assert!(!frames.is_empty(), "{path} has no frame");
    Clip { name: "clip", frames }
}

/// The picture at another size, by a cubic filter.
pub fn scaled(picture: &I420, size: Size) -> I420 {
    let mut to = I420::new(size);
    (to.matrix, to.range) = (picture.matrix, picture.range);
    let sizes = [
        size,
        Size::new(size.width.div_ceil(2), size.height.div_ceil(2)),
        Size::new(size.width.div_ceil(2), size.height.div_ceil(2)),
    ];
    for ((plane, to), size) in picture.planes().into_iter().zip(to.planes_mut()).zip(sizes) {
        to.copy_from_slice(&resized(plane.data, (plane.width, plane.height), size));
    }
    to
}

fn resized(samples: &[u8], (width, height): (usize, usize), size: Size) -> Vec<u8> {
    let from = ImageRef::new(width as u32, height as u32, samples, fir::PixelType::U8)
        .expect("a plane has as many bytes as samples");
    let mut to = Image::new(size.width, size.height, fir::PixelType::U8);
    let options =
        fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
    fir::Resizer::new()
        .resize(&from, &mut to, &options)
        .expect("planes of one byte are of one kind");
    to.into_vec()
}

/// The picture as red, green, blue at a size: what a terminal of such pixels should show.
pub fn reference(picture: &I420, size: Size) -> Vec<f32> {
    let planes = picture
        .planes()
        .map(|plane| resized(plane.data, (plane.width, plane.height), size));
    let (kr, kb) = match picture.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let (black, luma, chroma) = match picture.range {
        Range::Limited => (16.0, 219.0, 224.0),
        Range::Full => (0.0, 255.0, 255.0),
    };
    let mut pixels = Vec::with_capacity(size.area() as usize * 3);
    let [y, u, v] = &planes;
    for ((&y, &u), &v) in y.iter().zip(u).zip(v) {
        let y = (f32::from(y) - black) * 255.0 / luma;
        let [u, v] = [u, v].map(|sample| (f32::from(sample) - 128.0) * 255.0 / chroma);
        let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        pixels.extend([r, g, b].map(|c| c.clamp(0.0, 255.0)));
    }
    pixels
}

/// The same picture with a webcam's noise on it, new in every frame.
pub fn still() -> Clip {
    let mut noise = Noise(1);
    let frames = (0..FRAMES).map(|_| made(0, |_| noise.next(6))).collect();
    Clip {
        name: "noisy still",
        frames,
    }
}

/// Slopes, edges and a disc, all of them moving, with a webcam's noise.
pub fn motion() -> Clip {
    let mut noise = Noise(2);
    let frames = (0..FRAMES).map(|i| made(i, |_| noise.next(4))).collect();
    Clip {
        name: "motion",
        frames,
    }
}

fn made(frame: usize, mut noise: impl FnMut(usize) -> i32) -> I420 {
    let mut picture = I420::new(CAMERA);
    for (index, plane) in picture.planes_mut().into_iter().enumerate() {
        let shrink = if index == 0 { 1 } else { 2 };
        let (width, height) = (640 / shrink, 480 / shrink);
        let (cx, cy) = (width * (32 + frame % 64) / 128, height / 2);
        for (i, sample) in plane.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let is_disc = x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < (height / 4).pow(2);
            // Stripes that lean and drift, as blinds behind a head.
            let stripe = ((x * shrink + y * shrink / 3 + frame * 2) / 37) % 2 * 24;
            let value = if is_disc {
                170 - (x.abs_diff(cx) * 60 / width) as i32
            } else {
                (60 + x * 60 / width + y * 30 / height + stripe) as i32
            };
            let value = if index == 0 { value } else { 100 + value / 3 };
            *sample = (value + noise(index)).clamp(16, 235) as u8;
        }
    }
    picture
}

struct Noise(u64);

impl Noise {
    /// -`most` to `most`, the middle more often.
    fn next(&mut self, most: i32) -> i32 {
        let mut one = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) as i32) % (most + 1)
        };
        (one() - one() + one() - one()) / 2
    }
}
