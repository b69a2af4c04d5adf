//! YUV4MPEG2 (`.y4m`): raw pictures with a one-line header, as ffmpeg and mjpegtools write them.
//!
//! ```text
//! YUV4MPEG2 W640 H360 F30:1 Ip A1:1 C420jpeg\n   then for each picture   FRAME\n Y… U… V…
//! ```

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

use super::frame::{I420, Range};
use super::range;
use super::scale::Scaler;
use crate::units::Size;

/// The sides a picture may have, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 16..=8192;

/// The longest header line that is read, in bytes (ffmpeg writes about 80).
const MAX_LINE: u64 = 1024;

/// Why a stream is not (or no longer) readable.
#[derive(Debug, thiserror::Error)]
pub enum Y4mError {
    /// The input failed.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("it is not YUV4MPEG2 (make one with: ffmpeg -i CLIP -pix_fmt yuv420p CLIP.y4m)")]
    NotY4m,
    /// A header line never ends.
    #[error("a header line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// A parameter that is no number, zero, or out of range.
    #[error("the header's {0} is not usable")]
    Parameter(String),
    /// A side is missing or out of range.
    #[error("the picture's {0} is missing or not in {low} to {high}", low = SIDES.start(), high = SIDES.end())]
    Side(&'static str),
    /// A sample layout that is not read.
    #[error(
        "the sample layout C{0} is not supported (convert with: ffmpeg -i CLIP -pix_fmt yuv420p CLIP.y4m)"
    )]
    Layout(String),
    /// A picture does not begin where it should.
    #[error("picture {0} does not begin with FRAME")]
    NoFrame(u64),
    /// The input ended within a picture.
    #[error("the input ends in the middle of picture {0}")]
    Truncated(u64),
}

/// How colour is sampled beside luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Half across and down.
    C420,
    /// Half across.
    C422,
    /// Everywhere.
    C444,
    /// No colour.
    Mono,
}

/// What the stream's first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The pictures' size; each side in [`SIDES`].
    pub size: Size,
    /// Pictures a second as a fraction, neither zero; `None` where it is not said (`F0:0`).
    pub rate: Option<(u32, u32)>,
    /// How colour is sampled.
    pub layout: Layout,
    /// The samples' range.
    pub range: Range,
}

impl Header {
    /// Parses the line without its line feed.
    pub fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let line = std::str::from_utf8(line).map_err(|_| Y4mError::NotY4m)?;
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err(Y4mError::NotY4m);
        }
        let (mut width, mut height, mut rate) = (None, None, None);
        let (mut layout, mut range) = (Layout::C420, Range::Limited);
        for word in words {
            let Some(kind) = word.chars().next() else { continue };
            let value = &word[kind.len_utf8()..];
            match kind {
                'W' => width = value.parse().ok().filter(|side| SIDES.contains(side)),
                'H' => height = value.parse().ok().filter(|side| SIDES.contains(side)),
                'F' => rate = parse_rate(value)?,
                'C' => layout = parse_layout(value)?,
                'X' if value == "COLORRANGE=FULL" => range = Range::Full,
                // Aspect, interlacing and comments change nothing here.
                _ => {}
            }
        }
        let width = width.ok_or(Y4mError::Side("width"))?;
        let height = height.ok_or(Y4mError::Side("height"))?;
        Ok(Self {
            size: Size::new(width, height),
            rate,
            layout,
            range,
        })
    }

    /// Bytes of one picture.
    fn frame_len(&self) -> usize {
        let luma = self.size.area() as usize;
        let (half_width, half_height) = half(self.size);
        luma + match self.layout {
            Layout::C420 => 2 * half_width * half_height,
            Layout::C422 => 2 * half_width * self.size.height as usize,
            Layout::C444 => 2 * luma,
            Layout::Mono => 0,
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frames, seconds) = self.rate.unwrap_or((0, 0));
        let layout = match self.layout {
            Layout::C420 => "420jpeg",
            Layout::C422 => "422",
            Layout::C444 => "444",
            Layout::Mono => "mono",
        };
        let Size { width, height } = self.size;
        write!(
            f,
            "YUV4MPEG2 W{width} H{height} F{frames}:{seconds} Ip A1:1 C{layout}"
        )?;
        match self.range {
            Range::Full => f.write_str(" XCOLORRANGE=FULL"),
            Range::Limited => Ok(()),
        }
    }
}

/// Reads pictures one by one.
pub struct Reader<R> {
    input: BufReader<R>,
    header: Header,
    frames: u64,
    line: Vec<u8>,
    /// One picture's colour planes as they are in the stream, where they are not 4:2:0.
    colour: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(input: R) -> Result<Self, Y4mError> {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        if !read_line(&mut input, &mut line)? {
            return Err(Y4mError::NotY4m);
        }
        let header = Header::parse(&line)?;
        Ok(Self {
            input,
            header,
            frames: 0,
            line,
            colour: Vec::new(),
        })
    }

    /// What the first line said.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next picture into `to` (resized to the stream's size) as 4:2:0 in limited range.
    /// False at the end of the input.
    pub fn read(&mut self, to: &mut I420) -> Result<bool, Y4mError> {
        let frame = self.frames + 1;
        match read_line(&mut self.input, &mut self.line) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(Y4mError::NotY4m) => return Err(Y4mError::NoFrame(frame)),
            Err(e) => return Err(e),
        }
        if self.line != b"FRAME" && !self.line.starts_with(b"FRAME ") {
            return Err(Y4mError::NoFrame(frame));
        }
        let truncated = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof => Y4mError::Truncated(frame),
            _ => Y4mError::Read(e),
        };
        let Header {
            size, layout, range, ..
        } = self.header;
        if to.size() != size {
            to.resize(size);
        }
        to.range = range;
        let luma = size.area() as usize;
        if layout == Layout::C420 {
            self.input.read_exact(to.bytes_mut()).map_err(truncated)?;
        } else {
            self.input
                .read_exact(&mut to.bytes_mut()[..luma])
                .map_err(truncated)?;
            self.colour.resize(self.header.frame_len() - luma, 0);
            self.input.read_exact(&mut self.colour).map_err(truncated)?;
            subsample(to, &self.colour, layout);
        }
        range::limit(to);
        self.frames = frame;
        Ok(true)
    }
}

impl<R: Read + io::Seek> Reader<R> {
    /// Begins again with the first picture.
    pub fn rewind(self) -> Result<Self, Y4mError> {
        let mut input = self.input.into_inner();
        input.rewind()?;
        Self::new(input)
    }
}

/// Writes pictures as a stream; the first one's size is the stream's, others are scaled to it.
pub struct Writer<W> {
    output: W,
    /// Pictures a second as a fraction.
    rate: (u32, u32),
    header: Option<Header>,
    scaled: I420,
    scaler: Scaler,
}

impl<W: Write> Writer<W> {
    /// A stream of `rate` (a fraction, neither part zero) pictures a second.
    pub fn new(output: W, rate: (u32, u32)) -> Self {
        Self {
            output,
            rate,
            header: None,
            scaled: I420::default(),
            scaler: Scaler::default(),
        }
    }

    /// Writes one picture, and the header before the first one. The output is flushed.
    pub fn write(&mut self, picture: &I420) -> io::Result<()> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let header = Header {
                    size: picture.size(),
                    rate: Some(self.rate),
                    layout: Layout::C420,
                    range: picture.range,
                };
                writeln!(self.output, "{header}")?;
                *self.header.insert(header)
            }
        };
        self.output.write_all(b"FRAME\n")?;
        if picture.size() == header.size {
            self.output.write_all(picture.bytes())?;
        } else {
            self.scaled.resize(header.size);
            self.scaler.scale(picture, &mut self.scaled);
            self.output.write_all(self.scaled.bytes())?;
        }
        self.output.flush()
    }
}

fn parse_rate(value: &str) -> Result<Option<(u32, u32)>, Y4mError> {
    let wrong = || Y4mError::Parameter(format!("rate F{value}"));
    let (frames, seconds) = value.split_once(':').ok_or_else(wrong)?;
    match (
        frames.parse().map_err(|_| wrong())?,
        seconds.parse().map_err(|_| wrong())?,
    ) {
        (0, 0) => Ok(None),
        (0, _) | (_, 0) => Err(wrong()),
        rate => Ok(Some(rate)),
    }
}

fn parse_layout(value: &str) -> Result<Layout, Y4mError> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Layout::C420),
        "422" => Ok(Layout::C422),
        "444" => Ok(Layout::C444),
        "mono" => Ok(Layout::Mono),
        _ => Err(Y4mError::Layout(value.to_owned())),
    }
}

/// Reads up to a line feed, which is left out; false at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, Y4mError> {
    line.clear();
    let length = input.take(MAX_LINE + 1).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    match length as u64 {
        0 => Ok(false),
        n if n > MAX_LINE => Err(Y4mError::LongLine),
        _ => Err(Y4mError::NotY4m),
    }
}

fn half(size: Size) -> (usize, usize) {
    (size.width.div_ceil(2) as usize, size.height.div_ceil(2) as usize)
}

/// Averages colour planes of another layout into `to`'s.
fn subsample(to: &mut I420, colour: &[u8], layout: Layout) {
    let size = to.size();
    let (width, height) = match layout {
        Layout::C444 => (size.width as usize, size.height as usize),
        Layout::C422 => (size.width.div_ceil(2) as usize, size.height as usize),
        Layout::C420 => half(size),
        Layout::Mono => (0, 0),
    };
    let (half_width, _) = half(size);
    let [_, u, v] = to.planes_mut();
    if layout == Layout::Mono {
        u.fill(128);
        v.fill(128);
        return;
    }
    let (from_u, from_v) = colour.split_at(width * height);
    for (to, from) in [(u, from_u), (v, from_v)] {
        for (y, row) in to.chunks_exact_mut(half_width).enumerate() {
            let upper = &from[2 * y * width..][..width];
            let lower = &from[(2 * y + 1).min(height - 1) * width..][..width];
            for (x, sample) in row.iter_mut().enumerate() {
                let (left, right) = match layout {
                    Layout::C444 => (2 * x, (2 * x + 1).min(width - 1)),
                    _ => (x, x),
                };
                let sum = [upper[left], upper[right], lower[left], lower[right]]
                    .map(u16::from)
                    .iter()
                    .sum::<u16>();
                *sample = ((sum + 2) / 4) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests;
