//! The escape stream: cells to the fewest bytes.

use super::cells::{Attrs, Cell, Glyph, Paint, PaintKind};

/// Begins a frame that the terminal shows at once (DEC private mode 2026), and sets the pen plain.
const BEGIN: &[u8] = b"\x1b[?2026h\x1b[m";
const END: &[u8] = b"\x1b[?2026l";
/// Clears the screen; the cursor stays.
const CLEAR: &[u8] = b"\x1b[2J";

/// Bytes of one frame, appended to a buffer; knows where the cursor is and how the pen is set.
pub(super) struct Stream<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    cursor: Option<(u16, u16)>,
    /// The cursor's row is known, its column is not.
    row: Option<u16>,
    fg: Paint,
    bg: Paint,
    attrs: Attrs,
}

impl<'a> Stream<'a> {
    /// Begins a frame.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(BEGIN);
        Self {
            out,
            start,
            cursor: None,
            row: None,
            fg: Paint::DEFAULT,
            bg: Paint::DEFAULT,
            attrs: Attrs::NONE,
        }
    }

    /// Ends the frame; it leaves no byte where nothing was written.
    pub(super) fn end(self) {
        if self.out.len() == self.start + BEGIN.len() {
            self.out.truncate(self.start);
        } else {
            self.out.extend_from_slice(END);
        }
    }

    /// Bytes of the frame until now.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Clears the screen.
    pub(super) fn clear(&mut self) {
        self.out.extend_from_slice(CLEAR);
    }

    /// Writes a cell of the interface; not the right half of a wide one. `cols` is the screen's width.
    pub(super) fn text(&mut self, (x, y): (u16, u16), cols: u16, cell: &Cell, clusters: &[Box<str>]) {
        self.go(x, y);
        self.pen(cell.fg, cell.bg, cell.attrs);
        match cell.glyph.cluster() {
            Some(index) => self.out.extend_from_slice(clusters[index].as_bytes()),
            None => self.push(cell.glyph),
        }
        // Terminals disagree on the width of some graphemes, so none but a plain one moves the cursor
        // for certain.
        let sure = cell.width == 1 && cell.glyph.cluster().is_none();
        self.wrote(x, y, cols, sure);
    }

    /// Writes a cell of two colours, one above the other, by whichever half block takes fewer bytes.
    pub(super) fn halves(&mut self, (x, y): (u16, u16), cols: u16, top: Paint, bottom: Paint) {
        const UPPER: &[u8] = "▀".as_bytes();
        const LOWER: &[u8] = "▄".as_bytes();
        const FULL: &[u8] = "█".as_bytes();
        self.go(x, y);
        let (fg, bg, glyph) = if top == bottom {
            if self.fg == top && self.bg != top {
                (top, self.bg, FULL)
            } else {
                (self.fg, top, b" ".as_slice())
            }
        } else {
            let upper = u8::from(self.fg != top) + u8::from(self.bg != bottom);
            let lower = u8::from(self.fg != bottom) + u8::from(self.bg != top);
            if upper <= lower {
                (top, bottom, UPPER)
            } else {
                (bottom, top, LOWER)
            }
        };
        self.pen(fg, bg, Attrs::NONE);
        self.out.extend_from_slice(glyph);
        self.wrote(x, y, cols, true);
    }

    /// Writes a character in the terminal's own colours.
    pub(super) fn plain(&mut self, (x, y): (u16, u16), cols: u16, c: char) {
        self.go(x, y);
        self.pen(Paint::DEFAULT, Paint::DEFAULT, Attrs::NONE);
        self.push(Glyph::from(c));
        self.wrote(x, y, cols, true);
    }

    fn push(&mut self, glyph: Glyph) {
        let mut utf8 = [0; 4];
        self.out
            .extend_from_slice(glyph.char().encode_utf8(&mut utf8).as_bytes());
    }

    fn wrote(&mut self, x: u16, y: u16, cols: u16, sure: bool) {
        self.row = Some(y);
        // In the last column the cursor waits for the next character before it wraps.
        self.cursor = (sure && x + 1 < cols).then_some((x + 1, y));
    }

    /// Moves the cursor by the shortest sequence: CUF, CR LF CUF, CHA or CUP (ECMA-48, 8.3).
    fn go(&mut self, x: u16, y: u16) {
        if self.cursor == Some((x, y)) {
            return;
        }
        if let Some((from, row)) = self.cursor
            && row == y
            && from < x
        {
            let mut forward = Short::default();
            forward.csi(x - from, b'C');
            self.out.extend_from_slice(forward.bytes());
            self.cursor = Some((x, y));
            return;
        }
        let mut best = Short::default();
        best.position(x, y);
        let mut consider = |candidate: Short| {
            if candidate.len < best.len {
                best = candidate;
            }
        };
        match self.row {
            Some(row) if row == y => {
                let mut column = Short::default();
                column.csi(x + 1, b'G');
                consider(column);
            }
            Some(row) if y > row && y - row <= 3 => {
                let mut down = Short::default();
                down.push(b"\r");
                for _ in row..y {
                    down.push(b"\n");
                }
                if x > 0 {
                    down.csi(x, b'C');
                }
                consider(down);
            }
            _ => {}
        }
        self.out.extend_from_slice(best.bytes());
        self.cursor = Some((x, y));
        self.row = Some(y);
    }

    /// Sets the pen, sending only what changes.
    fn pen(&mut self, fg: Paint, bg: Paint, attrs: Attrs) {
        if (fg, bg, attrs) == (self.fg, self.bg, self.attrs) {
            return;
        }
        let mut sgr = Short::default();
        sgr.push(b"\x1b[");
        if (fg, bg, attrs) != (Paint::DEFAULT, Paint::DEFAULT, Attrs::NONE) {
            if attrs != self.attrs {
                sgr.attributes(self.attrs, attrs);
            }
            if fg != self.fg {
                sgr.paint(fg, 30);
            }
            if bg != self.bg {
                sgr.paint(bg, 40);
            }
            sgr.len -= 1;
        }
        sgr.push(b"m");
        self.out.extend_from_slice(sgr.bytes());
        (self.fg, self.bg, self.attrs) = (fg, bg, attrs);
    }
}

/// A sequence of at most 80 bytes under construction.
struct Short {
    buffer: [u8; 80],
    len: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self {
            buffer: [0; 80],
            len: 0,
        }
    }
}

impl Short {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// A decimal number.
    fn number(&mut self, n: u16) {
        if let Ok(small) = u8::try_from(n) {
            let [digits @ .., len] = DECIMAL[usize::from(small)];
            self.buffer[self.len..self.len + 3].copy_from_slice(&digits);
            self.len += usize::from(len);
        } else {
            let mut reversed = [0; 5];
            let (mut n, mut len) = (n, 0);
            while n > 0 {
                reversed[len] = b'0' + (n % 10) as u8;
                n /= 10;
                len += 1;
            }
            for digit in reversed[..len].iter().rev() {
                self.push(&[*digit]);
            }
        }
    }

    /// CUP to a column and row counted from 0; 1 is what leaving a parameter out means.
    fn position(&mut self, x: u16, y: u16) {
        self.push(b"\x1b[");
        if y > 0 {
            self.number(y + 1);
        }
        if x > 0 {
            self.push(b";");
            self.number(x + 1);
        }
        self.push(b"H");
    }

    /// A control sequence with one parameter, of which 1 may be left out.
    fn csi(&mut self, n: u16, last: u8) {
        self.push(b"\x1b[");
        if n > 1 {
            self.number(n);
        }
        self.push(&[last]);
    }

    /// Parameters, each with a `;` behind it, that set a colour; `base` is 30 or 40.
    fn paint(&mut self, paint: Paint, base: u16) {
        match paint.kind() {
            PaintKind::Default => self.parameter(base + 9),
            PaintKind::Named(index @ 0..=7) => self.parameter(base + u16::from(index)),
            PaintKind::Named(index) => self.parameter(base + 60 + u16::from(index) - 8),
            PaintKind::Palette(index) => {
                self.parameter(base + 8);
                self.push(b"5;");
                self.parameter(u16::from(index));
            }
            PaintKind::Rgb(rgb) => {
                self.parameter(base + 8);
                self.push(b"2;");
                self.parameter(u16::from(rgb.r));
                self.parameter(u16::from(rgb.g));
                self.parameter(u16::from(rgb.b));
            }
        }
    }

    fn attributes(&mut self, from: Attrs, to: Attrs) {
        const SET: [(Attrs, u16, u16); 6] = [
            (Attrs::BOLD, 1, 22),
            (Attrs::DIM, 2, 22),
            (Attrs::ITALIC, 3, 23),
            (Attrs::UNDERLINE, 4, 24),
            (Attrs::REVERSE, 7, 27),
            (Attrs::STRIKE, 9, 29),
        ];
        let has = |attrs: Attrs, one: Attrs| attrs.0 & one.0 != 0;
        // 22 ends both bold and dim, so the one that stays is set anew.
        let weight = (Attrs::BOLD | Attrs::DIM).0;
        let ends_weight = from.0 & !to.0 & weight != 0;
        if ends_weight {
            self.parameter(22);
        }
        for (one, on, off) in SET {
            let kept = has(from, one) && !(ends_weight && one.0 & weight != 0);
            if has(to, one) && !kept {
                self.parameter(on);
            } else if has(from, one) && !has(to, one) && off != 22 {
                self.parameter(off);
            }
        }
    }

    fn parameter(&mut self, n: u16) {
        self.number(n);
        self.push(b";");
    }
}

/// For each byte its decimal digits, and in the last place their number.
static DECIMAL: [[u8; 4]; 256] = decimal();

const fn decimal() -> [[u8; 4]; 256] {
    let mut table = [[0; 4]; 256];
    let mut n = 0;
    while n < 256 {
        let digits = [n / 100, n / 10 % 10, n % 10];
        let skip = if n >= 100 {
            0
        } else if n >= 10 {
            1
        } else {
            2
        };
        let mut i = skip;
        while i < 3 {
            table[n][i - skip] = b'0' + digits[i] as u8;
            i += 1;
        }
        table[n][3] = 3 - skip as u8;
        n += 1;
    }
    table
}
