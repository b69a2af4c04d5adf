//! Cameras, through nokhwa: opening one in a format that can be read cheaply, and its pictures as
//! I420 without a detour over RGB.

mod convert;

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
};

use self::convert::Converter;
use crate::media::frame::{I420, Picture, Pool};
use crate::units::Size;

/// The formats that are read, the one asked for first in front: MJPEG leaves room on a USB bus that
/// raw pictures would fill.
const FORMATS: [FrameFormat; 3] = [FrameFormat::MJPEG, FrameFormat::YUYV, FrameFormat::NV12];

/// The sizes asked for, best first. Terminals show less; more would only be scaled down.
const SIZES: [(u32, u32); 8] = [
    (640, 360),
    (640, 480),
    (848, 480),
    (800, 600),
    (1280, 720),
    (352, 288),
    (320, 240),
    (320, 180),
];

/// A picture on the way that cannot be converted is passed over; so many in a row are a failure.
const MAX_DAMAGED: u32 = 30;

/// The cameras there are: number and name, lowest number first.
pub fn list() -> Vec<(u32, String)> {
    let mut cameras: Vec<_> = nokhwa::query(ApiBackend::Auto)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|camera| Some((camera.index().as_index().ok()?, camera.human_name())))
        .collect();
    cameras.sort();
    cameras
}

/// The number of the camera at `path`: `/dev/video2` or a link to it.
pub fn index_of(path: &str) -> Result<u32, String> {
    let real = std::fs::canonicalize(path).map_err(|e| format!("cannot open {path}: {e}"))?;
    real.to_str()
        .and_then(|path| path.strip_prefix("/dev/video"))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("{path} is no camera (they are called /dev/videoN)"))
}

/// An open camera.
pub struct Device {
    camera: Camera,
    converter: Converter,
    name: String,
    format: FrameFormat,
    size: Size,
}

impl Device {
    /// Opens the camera of this number and starts it, at `fps` or as near as it can.
    pub fn open(index: u32, fps: u32) -> Result<Self, String> {
        let mut camera = open_in_some_format(index, fps)?;
        camera.open_stream().map_err(|e| explain(index, &e))?;
        let resolution = camera.resolution();
        Ok(Self {
            name: camera.info().human_name(),
            format: camera.frame_format(),
            size: Size::new(resolution.width(), resolution.height()),
            camera,
            converter: Converter::default(),
        })
    }

    /// What the camera calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size of its pictures.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Waits for the next picture, without limit. An error is final: the camera is gone.
    pub fn picture(&mut self, pool: &mut Pool) -> Result<Picture, String> {
        let mut damage = String::new();
        for _ in 0..MAX_DAMAGED {
            let data = self.camera.frame_raw().map_err(|e| broken(&e))?;
            let mut converted = Ok(());
            let picture = pool.make(self.size, |picture: &mut I420| {
                converted = match self.format {
                    FrameFormat::MJPEG => self.converter.mjpeg(&data, picture),
                    FrameFormat::YUYV => convert::yuyv(&data, picture),
                    _ => convert::nv12(&data, picture),
                };
            });
            match converted {
                Ok(()) => return Ok(picture),
                Err(e) => damage = e,
            }
        }
        Err(format!("its pictures cannot be read: {damage}"))
    }
}

/// Tries formats and sizes in the order of preference: first at the full rate, then at any.
fn open_in_some_format(index: u32, fps: u32) -> Result<Camera, String> {
    let mut last = None;
    for least in [fps, 1] {
        for format in FORMATS {
            for request in requests(format, fps) {
                let request = RequestedFormat::with_formats(request, std::slice::from_ref(&format));
                match Camera::new(CameraIndex::Index(index), request) {
                    Ok(camera) if camera.frame_rate() >= least && camera.frame_format() == format => {
                        return Ok(camera);
                    }
                    Ok(_) => {}
                    Err(e @ nokhwa::NokhwaError::OpenDeviceError(..)) => return Err(explain(index, &e)),
                    Err(e) => last = Some(e),
                }
            }
        }
    }
    Err(match last {
        Some(e) => explain(index, &e),
        None => format!("camera {index} has no format that can be read (MJPEG, YUYV or NV12)"),
    })
}

fn requests(format: FrameFormat, fps: u32) -> impl Iterator<Item = RequestedFormatType> {
    let wanted = move |(width, height), fps| CameraFormat::new(Resolution::new(width, height), format, fps);
    let closest = SIZES
        .into_iter()
        .map(move |size| RequestedFormatType::Closest(wanted(size, fps)));
    // Cameras that name ranges rather than sizes have none of these in their list, but take one.
    let exact = [fps, 30, 25].map(|fps| RequestedFormatType::Exact(wanted((640, 480), fps)));
    closest.chain(exact).chain([RequestedFormatType::None])
}

/// What ended the pictures of an open camera.
fn broken(error: &nokhwa::NokhwaError) -> String {
    let text = error.to_string();
    if text.contains("os error 19") {
        "the camera is gone".to_owned() // ENODEV: unplugged.
    } else {
        format!("the camera gives no more pictures ({text})")
    }
}

fn explain(index: u32, error: &nokhwa::NokhwaError) -> String {
    let error = error.to_string();
    let remedy = if error.contains("os error 2)") {
        " (there is no such camera; `facetty devices` lists them)"
    } else if error.contains("os error 13)") {
        " (no permission: add yourself to the group `video` and log in again)"
    } else if error.contains("os error 16)") {
        " (another program is using it)"
    } else {
        ""
    };
    format!("cannot open camera {index}: {error}{remedy}")
}
