//! A terminal that shows its cells as pixels: what an escape stream is worth as a picture.
//!
//! Blocks, eighths, quadrants, sextants and octants have their exact geometry in cells of 8x16
//! pixels, with grey where an edge lies within one; other characters the mean ink of common fonts.

/// Pixels of a cell.
pub const CELL: (usize, usize) = (8, 16);

type Rgb = [u8; 3];

#[derive(Clone, Copy)]
struct Cell {
    c: char,
    fg: Rgb,
    bg: Rgb,
}

/// The terminal.
pub struct Terminal {
    cols: usize,
    rows: usize,
    cells: Vec<Cell>,
    x: usize,
    y: usize,
    /// The last column was written: the next character goes to the next row.
    wraps: bool,
    fg: Rgb,
    bg: Rgb,
    reversed: bool,
    last: char,
    rest: Vec<u8>,
}

const WHITE: Rgb = [229; 3];
const BLACK: Rgb = [0; 3];

impl Terminal {
    pub fn new(cols: usize, rows: usize) -> Self {
        let blank = Cell {
            c: ' ',
            fg: WHITE,
            bg: BLACK,
        };
        Self {
            cols,
            rows,
            cells: vec![blank; cols * rows],
            x: 0,
            y: 0,
            wraps: false,
            fg: WHITE,
            bg: BLACK,
            reversed: false,
            last: ' ',
            rest: Vec::new(),
        }
    }

    /// Takes more of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut i = 0;
        while i < all.len() {
            match self.token(&all[i..]) {
                Some(len) => i += len,
                None => break,
            }
        }
        self.rest = all[i..].to_vec();
    }

    /// Takes one character or sequence; its length, or `None` where more is needed.
    fn token(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes[0] {
            0x1b => self.escape(bytes),
            b'\r' => {
                (self.x, self.wraps) = (0, false);
                Some(1)
            }
            // As a tty in its usual mode passes it on.
            b'\n' => {
                (self.x, self.y, self.wraps) = (0, self.y + 1, false);
                Some(1)
            }
            0..0x20 => Some(1),
            first => {
                let len = match first {
                    0..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                let text = std::str::from_utf8(bytes.get(..len)?).unwrap_or("?");
                self.put(text.chars().next().unwrap_or('?'));
                Some(len)
            }
        }
    }

    fn escape(&mut self, bytes: &[u8]) -> Option<usize> {
        match *bytes.get(1)? {
            b'[' => {
                let end = 2 + bytes[2..].iter().position(|b| (0x40..0x7f).contains(b))?;
                let parameters = std::str::from_utf8(&bytes[2..end]).unwrap_or("");
                if !parameters.starts_with(['?', '>', '=']) {
                    let all: Vec<Option<usize>> =
                        parameters.split([';', ':']).map(|p| p.parse().ok()).collect();
                    self.control(bytes[end], &all);
                }
                Some(end + 1)
            }
            b']' | b'P' | b'_' => {
                let end = bytes.windows(2).position(|w| w[0] == 7 || w == b"\x1b\\")?;
                Some(if bytes[end] == 7 { end + 1 } else { end + 2 })
            }
            b'(' | b')' => bytes.get(2).map(|_| 3),
            _ => Some(2),
        }
    }

    fn control(&mut self, last: u8, parameters: &[Option<usize>]) {
        let at = |i: usize| parameters.get(i).copied().flatten().unwrap_or(1).max(1);
        let n = at(0);
        match last {
            b'm' => self.pen(parameters),
            b'H' | b'f' => (self.y, self.x) = (n - 1, at(1) - 1),
            b'A' => self.y = self.y.saturating_sub(n),
            b'B' => self.y += n,
            b'C' => self.x = (self.x + n).min(self.cols - 1),
            b'D' => self.x = self.x.saturating_sub(n),
            b'G' => self.x = n - 1,
            b'd' => self.y = n - 1,
            b'b' => (0..n).for_each(|_| self.put(self.last)),
            b'J' => {
                let blank = Cell {
                    c: ' ',
                    fg: self.fg,
                    bg: self.bg,
                };
                self.cells.fill(blank);
            }
            _ => {}
        }
        if last != b'm' && last != b'b' {
            self.wraps = false;
        }
    }

    fn put(&mut self, c: char) {
        if self.wraps {
            (self.x, self.y, self.wraps) = (0, self.y + 1, false);
        }
        let (fg, bg) = if self.reversed {
            (self.bg, self.fg)
        } else {
            (self.fg, self.bg)
        };
        if self.y < self.rows && self.x < self.cols {
            self.cells[self.y * self.cols + self.x] = Cell { c, fg, bg };
        }
        self.last = c;
        self.x += 1;
        if self.x >= self.cols {
            (self.x, self.wraps) = (self.cols - 1, true);
        }
    }

    fn pen(&mut self, parameters: &[Option<usize>]) {
        let mut i = 0;
        while i < parameters.len() {
            let p = parameters[i].unwrap_or(0);
            match p {
                0 => (self.fg, self.bg, self.reversed) = (WHITE, BLACK, false),
                7 => self.reversed = true,
                27 => self.reversed = false,
                38 | 48 => {
                    let of = |k: usize| parameters.get(i + k).copied().flatten().unwrap_or(0) as u8;
                    let (color, taken) = match of(1) {
                        2 => ([of(2), of(3), of(4)], 4),
                        _ => (indexed(of(2)), 2),
                    };
                    i += taken;
                    if p == 38 {
                        self.fg = color;
                    } else {
                        self.bg = color;
                    }
                }
                30..=37 => self.fg = indexed(p as u8 - 30),
                40..=47 => self.bg = indexed(p as u8 - 40),
                90..=97 => self.fg = indexed(p as u8 - 82),
                100..=107 => self.bg = indexed(p as u8 - 92),
                39 => self.fg = WHITE,
                49 => self.bg = BLACK,
                _ => {}
            }
            i += 1;
        }
    }

    /// What is seen, as red, green, blue, rows of `cols * 8` pixels.
    pub fn raster(&self) -> Vec<f32> {
        let (width, height) = CELL;
        let mut pixels = vec![0.0; self.cells.len() * width * height * 3];
        for (i, cell) in self.cells.iter().enumerate() {
            let (left, top) = (i % self.cols * width, i / self.cols * height);
            let ink = ink(cell.c);
            for y in 0..height {
                for x in 0..width {
                    let part = ink(x, y);
                    let at = ((top + y) * self.cols * width + left + x) * 3;
                    for channel in 0..3 {
                        let (fg, bg) = (f32::from(cell.fg[channel]), f32::from(cell.bg[channel]));
                        pixels[at + channel] = bg + (fg - bg) * part;
                    }
                }
            }
        }
        pixels
    }
}

fn indexed(index: u8) -> Rgb {
    const NAMED: [Rgb; 16] = [
        [0, 0, 0],
        [205, 0, 0],
        [0, 205, 0],
        [205, 205, 0],
        [0, 0, 238],
        [205, 0, 205],
        [0, 205, 205],
        [229, 229, 229],
        [127, 127, 127],
        [255, 0, 0],
        [0, 255, 0],
        [255, 255, 0],
        [92, 92, 255],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
    ];
    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    match index {
        0..16 => NAMED[usize::from(index)],
        16..232 => {
            let n = index - 16;
            [level(n / 36), level(n / 6 % 6), level(n % 6)]
        }
        _ => [8 + 10 * (index - 232); 3],
    }
}

/// How much of a pixel is ink.
fn ink(c: char) -> Box<dyn Fn(usize, usize) -> f32> {
    let code = u32::from(c);
    let blocks = |rows: usize, mask: usize| -> Box<dyn Fn(usize, usize) -> f32> {
        Box::new(move |x, y| {
            // Thirds of pixels are exact where the cell has three rows.
            let parts = (0..3).filter(|third| {
                let row = (y * 3 + third) * rows / (CELL.1 * 3);
                mask >> (row * 2 + x / 4) & 1 == 1
            });
            parts.count() as f32 / 3.0
        })
    };
    const QUADRANTS: &str = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█";
    if let Some(mask) = QUADRANTS.chars().position(|q| q == c) {
        return blocks(2, mask);
    }
    match code {
        0x2581..=0x2587 => {
            let edge = 16 - 2 * (code as usize - 0x2580);
            Box::new(move |_, y| f32::from(u8::from(y >= edge)))
        }
        0x2589..=0x258f => {
            let edge = 0x2590 - code as usize;
            Box::new(move |x, _| f32::from(u8::from(x < edge)))
        }
        0x2594 => Box::new(|_, y| f32::from(u8::from(y < 2))),
        0x2595 => Box::new(|x, _| f32::from(u8::from(x == 7))),
        0x2591..=0x2593 => Box::new(move |_, _| (code - 0x2590) as f32 / 4.0),
        0x1fb00..=0x1fb3b => {
            let mut mask = code as usize - 0x1fb00 + 1;
            mask += usize::from(mask >= 21);
            mask += usize::from(mask >= 42);
            blocks(3, mask)
        }
        _ => match octant(code) {
            Some(mask) => blocks(4, mask),
            // Letters, digits, marks: their mean.
            None => Box::new(|_, _| 0.15),
        },
    }
}

/// The mask of an octant that is no older block.
fn octant(code: u32) -> Option<usize> {
    const ELSEWHERE: [usize; 26] = [
        0, 1, 2, 3, 5, 10, 15, 20, 40, 63, 64, 80, 85, 90, 95, 128, 160, 165, 170, 175, 192, 240, 245, 250,
        252, 255,
    ];
    match code {
        0x1cea8 => Some(1),
        0x1ceab => Some(2),
        0x1fb82 => Some(3),
        0x1fbe6 => Some(20),
        0x1fbe7 => Some(40),
        0x1fb85 => Some(63),
        0x1cea3 => Some(64),
        0x1cea0 => Some(128),
        0x1cd00..=0x1cde5 => (0..256)
            .filter(|mask| !ELSEWHERE.contains(mask))
            .nth(code as usize - 0x1cd00),
        _ => None,
    }
}

/// Peak signal-to-noise ratio in dB, of 8-bit channels.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares).log10()
}
