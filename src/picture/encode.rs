//! The escape stream: cells to the fewest bytes.

mod tail;

use super::cells::{Attrs, Cell, Glyph, Paint};
use super::look::Look;
use super::shapes::Form;
use tail::{DECIMAL, ROOM, Tail};

/// The most bytes that one cell of a picture takes, and the end of the frame.
pub(super) const LARGEST: usize = 64;

/// Begins a frame that the terminal shows at once (DEC private mode 2026), and sets the pen plain.
const BEGIN: &[u8] = b"\x1b[?2026h\x1b[m";
const END: &[u8] = b"\x1b[?2026l";
/// Clears the screen; the cursor stays.
const CLEAR: &[u8] = b"\x1b[2J";

/// Bytes of one frame, appended to a buffer; knows where the cursor is and how the pen is set.
pub(super) struct Stream<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// What was not yet appended.
    tail: Tail,
    cursor: Option<(u16, u16)>,
    /// The row that the cursor is in, also where its column is not known.
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
            tail: Tail::default(),
            cursor: None,
            row: None,
            fg: Paint::DEFAULT,
            bg: Paint::DEFAULT,
            attrs: Attrs::NONE,
        }
    }

    /// Ends the frame; it leaves no byte where nothing was written.
    pub(super) fn end(mut self) {
        self.flush();
        if self.out.len() == self.start + BEGIN.len() {
            self.out.truncate(self.start);
        } else {
            self.out.extend_from_slice(END);
        }
    }

    /// Bytes of the frame until now.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start + self.tail.len
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(self.tail.bytes());
        self.tail.len = 0;
    }

    /// Clears the screen.
    pub(super) fn clear(&mut self) {
        self.tail.push(CLEAR);
    }

    /// Writes a cell of the interface; not the right half of a wide one. `cols` is the screen's width.
    pub(super) fn text(&mut self, (x, y): (u16, u16), cols: u16, cell: &Cell, clusters: &[Box<str>]) {
        self.go(x, y);
        self.pen(cell.fg, cell.bg, cell.attrs);
        match cell.glyph.cluster() {
            Some(index) => {
                self.flush();
                self.out.extend_from_slice(clusters[index].as_bytes());
            }
            None => self.push(cell.glyph),
        }
        // Terminals disagree on the width of some graphemes, so none but a plain one moves the cursor
        // for certain.
        let sure = cell.width == 1 && cell.glyph.cluster().is_none();
        self.wrote(x, y, cols, sure);
    }

    /// Writes a cell of a picture, with the colours the other way round where that takes fewer bytes;
    /// says what was written.
    pub(super) fn look(&mut self, place: (u16, u16), cols: u16, look: &Look) -> Cell {
        let &Look {
            glyph,
            inverse,
            fg,
            bg,
        } = look;
        match inverse {
            Some(full) if glyph == ' ' => {
                if self.fg == bg && self.bg != bg {
                    self.glyph(place, cols, full, bg, self.bg)
                } else {
                    self.glyph(place, cols, ' ', self.fg, bg)
                }
            }
            Some(inverse) => {
                let as_is = u8::from(self.fg != fg) + u8::from(self.bg != bg);
                let turned = u8::from(self.fg != bg) + u8::from(self.bg != fg);
                if as_is <= turned {
                    self.glyph(place, cols, glyph, fg, bg)
                } else {
                    self.glyph(place, cols, inverse, bg, fg)
                }
            }
            None => self.glyph(place, cols, glyph, fg, bg),
        }
    }

    /// Writes a plain character in two colours; says what was written.
    pub(super) fn glyph(&mut self, (x, y): (u16, u16), cols: u16, c: char, fg: Paint, bg: Paint) -> Cell {
        self.go(x, y);
        self.pen(fg, bg, Attrs::NONE);
        self.push(c.into());
        self.wrote(x, y, cols, true);
        Cell::plain(c, fg, bg)
    }

    /// Writes a plain character in two of 16 million colours; those that are kept must be the pen's. The
    /// bytes of both are laid down, and what is kept is not counted: which of them change cannot be
    /// foretold, and a wrong guess takes longer.
    #[inline(always)]
    pub(super) fn form(
        &mut self,
        place: (u16, u16),
        cols: u16,
        form: &Form,
        [fg, bg]: [Paint; 2],
        keeps: [bool; 2],
    ) {
        if self.attrs != Attrs::NONE {
            self.glyph(place, cols, form.glyph, fg, bg);
            return;
        }
        let (x, y) = place;
        if !self.is_at(place) || self.tail.len > ROOM {
            self.go(x, y);
        }
        let at = self.tail.len;
        let window: &mut [u8; WINDOW] = (&mut self.tail.buffer[at..at + WINDOW])
            .try_into()
            .expect("a slice of WINDOW");
        lay(window, 0, *b"\x1b[");
        let set = colour(window, 2, b'3', fg);
        let len = if keeps[0] { 2 } else { set };
        let set = colour(window, len, b'4', bg);
        let len = if keeps[1] { len } else { set };
        // In place of the last `;`, or of the `[` of nothing.
        lay(window, len - 1, *b"m");
        let len = if keeps[0] & keeps[1] { 0 } else { len };
        lay(window, len, form.utf8);
        self.tail.len += len + form.len;
        (self.fg, self.bg) = (fg, bg);
        self.wrote(x, y, cols, true);
    }

    /// The pen's colours, of the text and behind it.
    pub(super) fn colours(&self) -> [Paint; 2] {
        [self.fg, self.bg]
    }

    /// Whether the next cell is written without moving the cursor.
    pub(super) fn is_at(&self, place: (u16, u16)) -> bool {
        self.cursor == Some(place)
    }

    fn push(&mut self, glyph: Glyph) {
        let mut utf8 = [0; 4];
        self.tail.push(glyph.char().encode_utf8(&mut utf8).as_bytes());
    }

    fn wrote(&mut self, x: u16, y: u16, cols: u16, sure: bool) {
        self.row = Some(y);
        // In the last column the cursor waits for the next character before it wraps.
        self.cursor = (sure && x + 1 < cols).then_some((x + 1, y));
    }

    /// Moves the cursor by the shortest sequence: CUF, CR LF CUF, CHA or CUP (ECMA-48, 8.3). Every
    /// cell begins here, so here is made room for it.
    fn go(&mut self, x: u16, y: u16) {
        if self.tail.len > ROOM {
            self.flush();
        }
        match (self.cursor, self.row) {
            (Some(cursor), _) if cursor == (x, y) => {}
            (Some((from, row)), _) if row == y && from < x => self.tail.csi(x - from, b'C'),
            (_, Some(row)) if row == y => self.tail.csi(x + 1, b'G'),
            (_, Some(row)) if row < y && is_shorter_down(x, y, y - row) => {
                self.tail.push(b"\r");
                for _ in row..y {
                    self.tail.push(b"\n");
                }
                if x > 0 {
                    self.tail.csi(x, b'C');
                }
            }
            _ => self.tail.position(x, y),
        }
        self.cursor = Some((x, y));
        self.row = Some(y);
    }

    /// Sets the pen, sending only what changes.
    fn pen(&mut self, fg: Paint, bg: Paint, attrs: Attrs) {
        if (fg, bg, attrs) == (self.fg, self.bg, self.attrs) {
            return;
        }
        let sgr = &mut self.tail;
        sgr.push(b"\x1b[");
        if (fg, bg, attrs) != (Paint::DEFAULT, Paint::DEFAULT, Attrs::NONE) {
            if attrs != self.attrs {
                sgr.attributes(self.attrs, attrs);
            }
            if fg != self.fg {
                sgr.paint(fg, b"3");
            }
            if bg != self.bg {
                sgr.paint(bg, b"4");
            }
            sgr.len -= 1;
        }
        sgr.push(b"m");
        (self.fg, self.bg, self.attrs) = (fg, bg, attrs);
    }
}

/// The most bytes that [`Stream::form`] lays down: two colours and a glyph.
const WINDOW: usize = 2 + 2 * (5 + 12) + 4;

/// Lays down some bytes.
#[inline(always)]
fn lay<const N: usize>(window: &mut [u8; WINDOW], at: usize, bytes: [u8; N]) {
    // Not a copy of a slice, which may become a call.
    if let Some(to) = window[at..].first_chunk_mut::<N>() {
        *to = bytes;
    }
}

/// Lays down parameters that set a colour, each with a `;` behind it; where they end.
#[inline(always)]
fn colour(window: &mut [u8; WINDOW], at: usize, plane: u8, paint: Paint) -> usize {
    lay(window, at, [plane, b'8', b';', b'2', b';']);
    let mut at = at + 5;
    for channel in paint.channels() {
        let (digits, len) = DECIMAL[usize::from(channel)];
        lay(window, at, digits);
        at += usize::from(len);
    }
    at
}

/// Whether CR, `down` times LF and CUF are fewer bytes than CUP.
fn is_shorter_down(x: u16, y: u16, down: u16) -> bool {
    let digits = |n: u16| n.checked_ilog10().map_or(0, |log| log + 1);
    let forward = match x {
        0 => 0,
        1 => 3,
        _ => 3 + digits(x),
    };
    let column = if x > 0 { 1 + digits(x + 1) } else { 0 };
    // Of row 1 the number is left out, but no row is above it.
    u32::from(down) + 1 + forward <= 3 + digits(y + 1) + column
}
