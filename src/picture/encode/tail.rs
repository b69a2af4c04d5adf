//! Bytes of a frame on their way: control sequences and their parameters.

use super::super::cells::{Attrs, Paint, PaintKind};

/// The tail is appended when it is longer than this.
pub(super) const ROOM: usize = 4096 - 256;

/// Bytes on their way: a buffer of fixed size costs no check of its capacity for each few of them.
pub(super) struct Tail {
    pub(super) buffer: [u8; 4096],
    pub(super) len: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            buffer: [0; 4096],
            len: 0,
        }
    }
}

impl Tail {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// A decimal number and a `;`.
    #[inline]
    fn parameter(&mut self, n: u8) {
        let (digits, len) = DECIMAL[usize::from(n)];
        self.buffer[self.len..self.len + 4].copy_from_slice(&digits);
        self.len += usize::from(len);
    }

    /// A decimal number.
    fn number(&mut self, n: u16) {
        if let Ok(small) = u8::try_from(n) {
            self.parameter(small);
            self.len -= 1;
        } else {
            self.number(n / 10);
            self.push(&[b'0' + (n % 10) as u8]);
        }
    }

    /// CUP to a column and row counted from 0; 1 is what leaving a parameter out means.
    pub(super) fn position(&mut self, x: u16, y: u16) {
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
    pub(super) fn csi(&mut self, n: u16, last: u8) {
        self.push(b"\x1b[");
        if n > 1 {
            self.number(n);
        }
        self.push(&[last]);
    }

    /// Parameters, each with a `;` behind it, that set a colour; `plane` is 3 for the text's, 4 for
    /// the ground's.
    #[inline]
    pub(super) fn paint(&mut self, paint: Paint, plane: &[u8; 1]) {
        let [plane] = *plane;
        match paint.kind() {
            PaintKind::Rgb(rgb) => {
                self.push(&[plane, b'8', b';', b'2', b';']);
                self.parameter(rgb.r);
                self.parameter(rgb.g);
                self.parameter(rgb.b);
            }
            PaintKind::Palette(index) => {
                self.push(&[plane, b'8', b';', b'5', b';']);
                self.parameter(index);
            }
            PaintKind::Default => self.push(&[plane, b'9', b';']),
            PaintKind::Named(index @ 0..=7) => self.push(&[plane, b'0' + index, b';']),
            // 90 to 97 and 100 to 107
            PaintKind::Named(index) => self.parameter((plane - b'0') * 10 + 60 + index - 8),
        }
    }

    pub(super) fn attributes(&mut self, from: Attrs, to: Attrs) {
        const SET: [(Attrs, u8, u8); 6] = [
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
}

/// For each byte its decimal digits and a `;`, and how many bytes that is.
pub(super) static DECIMAL: [([u8; 4], u8); 256] = decimal();

const fn decimal() -> [([u8; 4], u8); 256] {
    let mut table = [([b';'; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let digits = [n / 100, n / 10 % 10, n % 10];
        let mut i = if n >= 100 {
            0
        } else if n >= 10 {
            1
        } else {
            2
        };
        let mut len = 0;
        while i < 3 {
            table[n].0[len] = b'0' + digits[i] as u8;
            i += 1;
            len += 1;
        }
        table[n].1 = len as u8 + 1;
        n += 1;
    }
    table
}
