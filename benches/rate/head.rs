//! Somebody who talks into a camera, drawn: a room with some detail, a head that moves, a mouth and eyes
//! that move more, and a sensor's noise.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use facetty::media::frame::I420;
use facetty::media::y4m::{Reader, Y4mError};
use facetty::units::Size;

use crate::world::side::Camera;

/// Pictures that are shown over and over, 30 a second.
pub type Clip = Arc<Vec<I420>>;

/// Pictures in a drawn clip: forth and back it lasts for 20 s.
const DRAWN: u32 = 300;

/// A drawn head at this size.
pub fn drawn(size: Size) -> Clip {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let at = |number| Duration::from_secs_f64(f64::from(number) / 30.0);
    Arc::new(
        (0..DRAWN)
            .map(|number| draw(size, at(number), &mut noise))
            .collect(),
    )
}

/// The pictures of a file.
pub fn clip(path: &Path) -> Result<Clip, String> {
    let open = || -> Result<Vec<I420>, Y4mError> {
        let mut reader = Reader::new(File::open(path)?)?;
        let mut pictures = Vec::new();
        let mut picture = I420::default();
        while reader.read(&mut picture)? {
            pictures.push(picture.clone());
        }
        Ok(pictures)
    };
    let pictures = open().map_err(|error| format!("{}: {error}", path.display()))?;
    match pictures.is_empty() {
        true => Err(format!("{}: there is no picture", path.display())),
        false => Ok(Arc::new(pictures)),
    }
}

/// A camera that shows a clip forth and back, beginning somewhere.
pub fn camera(clip: Clip, from: u32) -> Camera {
    Box::new(move |number, _| {
        let round = 2 * clip.len();
        let at = (number + from) as usize % round;
        clip[at.min(round - 1 - at)].clone()
    })
}

fn draw(size: Size, at: Duration, noise: &mut u64) -> I420 {
    let mut picture = I420::new(size);
    let t = at.as_secs_f32();
    let (width, height) = (size.width as usize, size.height as usize);
    let scale = height as f32;
    // Where the head is, in heights of the picture.
    let (cx, cy) = (
        0.5 * width as f32 / scale + 0.05 * (0.7 * t).sin() + 0.015 * (2.3 * t).sin(),
        0.46 + 0.03 * (1.1 * t).cos(),
    );
    let opened = 0.02 + 0.03 * (9.0 * t).sin().abs() * (0.8 * t).sin().max(0.0);
    let blinks = (t % 3.1) < 0.15;
    let planes = picture.planes_mut();
    let [luma, blue, red] = planes;
    for y in 0..height {
        for x in 0..width {
            let (px, py) = (x as f32 / scale, y as f32 / scale);
            *noise ^= *noise << 13;
            *noise ^= *noise >> 7;
            *noise ^= *noise << 17;
            let grain = ((*noise >> 60) as f32 - 7.5) * 0.35;
            let value = room(px, py) + grain;
            let value = head(px - cx, py - cy, opened, blinks).map_or(value, |skin| skin + grain);
            luma[y * width + x] = value.clamp(16.0, 235.0) as u8;
        }
    }
    let (half, rows) = (width.div_ceil(2), height.div_ceil(2));
    for y in 0..rows {
        for x in 0..half {
            let (px, py) = ((2 * x) as f32 / scale, (2 * y) as f32 / scale);
            let is_skin = head(px - cx, py - cy, opened, blinks).is_some();
            (blue[y * half + x], red[y * half + x]) = if is_skin { (112, 148) } else { (130, 124) };
        }
    }
    picture
}

/// A wall with a shelf of books.
fn room(x: f32, y: f32) -> f32 {
    let wall = 150.0 - 40.0 * y + 12.0 * x;
    if !(0.12..0.36).contains(&y) {
        return wall;
    }
    let book = (x * 23.0).floor();
    let hue = (book * 12.9898).sin() * 43_758.547;
    let edge = if (x * 23.0).fract() < 0.08 { 0.6 } else { 1.0 };
    (60.0 + 120.0 * hue.fract().abs()) * edge
}

/// The head's light at a place from its middle; `None` beside it.
fn head(x: f32, y: f32, opened: f32, blinks: bool) -> Option<f32> {
    let within = |cx: f32, cy: f32, rx: f32, ry: f32| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
    let shoulders = y > 0.28 && (x / 0.42).powi(2) + ((y - 0.62) / 0.36).powi(2) < 1.0;
    let face = within(0.0, 0.0, 0.2, 0.28);
    if !face {
        return shoulders.then(|| 70.0 + 14.0 * ((x * 90.0).sin() * (y * 70.0).cos()));
    }
    if y < -0.16 + 0.05 * (x * 30.0).sin() {
        return Some(45.0 + 10.0 * (x * 160.0).sin());
    }
    if within(0.0, 0.14, 0.07, opened) {
        return Some(40.0);
    }
    let eye = within(-0.08, -0.04, 0.035, 0.02) || within(0.08, -0.04, 0.035, 0.02);
    if eye && !blinks {
        let pupil = within(-0.08, -0.04, 0.014, 0.016) || within(0.08, -0.04, 0.014, 0.016);
        return Some(if pupil { 30.0 } else { 200.0 });
    }
    Some(165.0 - 60.0 * x.abs() + 25.0 * y - 8.0 * (y * 40.0).sin() * (x * 25.0).cos())
}
