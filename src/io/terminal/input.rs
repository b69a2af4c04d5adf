//! What a terminal sends, told apart: keys, and answers to what it was asked.
//!
//! Keys and answers come in one stream and look alike (`CSI 0 n` is an answer, `CSI A` a key), in
//! pieces of any length. Here the stream is cut into sequences (ECMA-48, 5.4 and 8.3.27; DCS, APC
//! and OSC up to their terminator); answers are read, and everything else is left to termina's
//! parser of keys.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use termina::event as keys;

use crate::units::Size;

/// Escape alone is the key once nothing followed for so long: what a terminal sends as one is seldom
/// torn apart by more, and nobody feels less.
const KEY: Duration = Duration::from_millis(50);

/// What has begun as an answer to a question of ours is waited for so long.
const ANSWER: Duration = Duration::from_secs(1);

/// The longest sequence that is kept; an answer has some forty bytes.
const LONGEST: usize = 4096;

/// Around what is pasted (bracketed paste, DEC private mode 2004).
const PASTE: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// So much of a paste is kept: more than a line of chat holds.
const LONGEST_PASTE: usize = 64 * 1024;

/// A terminal's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `CSI 5 n` (DSR): all that was written before has arrived.
    Status,
    /// To `CSI c` (DA1), which every terminal answers: all that was written before has arrived.
    Attributes {
        /// It shows sixel graphics (attribute 4).
        sixel: bool,
    },
    /// To `CSI > q` (XTVERSION): the terminal's name and version.
    Version(String),
    /// To `CSI 16 t`: a cell's size in pixels.
    Cell(Size),
    /// To `CSI 14 t`: the text area's size in pixels.
    Area(Size),
    /// To a query of kitty's graphics protocol: whether it is understood.
    Graphics(bool),
    /// To `DCS $ q m` (DECRQSS of SGR) while the ground is of the colour 1, 2, 3.
    Colours {
        /// It is kept as it is.
        truecolor: bool,
    },
    /// To `CSI ? 2026 $ p` (DECRQM): whether synchronized updates are known.
    Synchronized(bool),
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key.
    Key(KeyEvent),
    /// Text that was pasted.
    Paste(String),
    /// An answer.
    Reply(Reply),
}

/// Cuts the stream; bytes go in as they are read.
#[derive(Default)]
pub struct Parser {
    /// The beginning of what is not complete yet; at first an escape.
    rest: Vec<u8>,
    /// What was pasted so far, while something is.
    paste: Option<Vec<u8>>,
    keys: termina::Parser,
}

impl Parser {
    /// Takes bytes, and gives each event that is complete to `out`.
    pub fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(Event)) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while at < rest.len() {
            if let Some(paste) = &mut self.paste {
                let Some(length) = pasted(&rest[at..]) else {
                    // Its end may have begun.
                    let length = rest[at..].len().saturating_sub(PASTE_END.len() - 1);
                    keep(paste, &rest[at..at + length]);
                    at += length;
                    break;
                };
                keep(paste, &rest[at..at + length]);
                out(Event::Paste(String::from_utf8_lossy(paste).into_owned()));
                self.paste = None;
                at += length + PASTE_END.len();
                continue;
            }
            let length = match cut(&rest[at..]) {
                Cut::Keys(length) => {
                    self.key(&rest[at..at + length], &mut out);
                    length
                }
                Cut::Sequence(length) => {
                    let sequence = &rest[at..at + length];
                    match reply(sequence) {
                        Some(reply) => out(Event::Reply(reply)),
                        None if sequence == PASTE => self.paste = Some(Vec::new()),
                        // What it does not know it keeps.
                        None if is_key(sequence) && !self.key(sequence, &mut out) => {
                            self.keys = termina::Parser::default();
                        }
                        None => {}
                    }
                    length
                }
                Cut::Nothing(length) => length,
                Cut::Incomplete => break,
            };
            at += length;
        }
        self.rest.extend_from_slice(&rest[at..]);
    }

    /// How long to wait for more before [`Parser::expire`]; `None` where nothing is incomplete.
    pub fn patience(&self) -> Option<Duration> {
        match self.rest.as_slice() {
            _ if self.paste.is_some() => None,
            [] => None,
            [0x1b, b'[', b'?' | b'>', ..] | [0x1b, b'P', b'>' | b'0' | b'1', ..] | [0x1b, b'_', b'G', ..] => {
                Some(ANSWER)
            }
            _ => Some(KEY),
        }
    }

    /// Nothing followed: what began like a sequence was Escape, or a key with Alt, or is torn.
    pub fn expire(&mut self, mut out: impl FnMut(Event)) {
        if self.paste.is_some() {
            return;
        }
        match std::mem::take(&mut self.rest).as_slice() {
            [0x1b] => out(Event::Key(KeyCode::Esc.into())),
            [0x1b, c @ 0x20..0x7f] => {
                let key = KeyEvent::new(KeyCode::Char(char::from(*c)), KeyModifiers::ALT);
                out(Event::Key(key));
            }
            _ => {}
        }
    }

    /// Takes keys; says whether any was complete.
    fn key(&mut self, bytes: &[u8], out: &mut impl FnMut(Event)) -> bool {
        self.keys.parse(bytes, false);
        let mut is_complete = false;
        while let Some(event) = self.keys.pop() {
            is_complete = true;
            if let keys::Event::Key(key) = event
                && let Some(key) = translated(key)
            {
                out(Event::Key(key));
            }
        }
        is_complete
    }
}

/// Where the end of what is pasted begins.
fn pasted(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(PASTE_END.len())
        .position(|window| window == PASTE_END)
}

fn keep(paste: &mut Vec<u8>, bytes: &[u8]) {
    let room = LONGEST_PASTE - paste.len();
    paste.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// What the beginning of the stream is, and how many bytes of it.
enum Cut {
    /// Plain keys.
    Keys(usize),
    /// A whole sequence.
    Sequence(usize),
    /// What nobody understands.
    Nothing(usize),
    /// It goes on.
    Incomplete,
}

fn cut(bytes: &[u8]) -> Cut {
    if bytes[0] != 0x1b {
        let escape = bytes.iter().position(|&b| b == 0x1b);
        return Cut::Keys(escape.unwrap_or(bytes.len()));
    }
    match bytes.get(1) {
        None => Cut::Incomplete,
        // Escape itself, before the next sequence.
        Some(0x1b) => Cut::Keys(1),
        Some(b'[') => control(bytes),
        Some(b'O') => match bytes.get(2) {
            None => Cut::Incomplete,
            Some(0x20..0x7f) => Cut::Sequence(3),
            Some(_) => Cut::Nothing(2),
        },
        Some(b'P' | b'_' | b']' | b'^' | b'X') => string(bytes),
        Some(&first) => match 1 + utf8_length(first) {
            length if length <= bytes.len() => Cut::Sequence(length),
            _ => Cut::Incomplete,
        },
    }
}

/// `CSI`, parameters and intermediates, a final byte.
fn control(bytes: &[u8]) -> Cut {
    // Linux's console: CSI [ A is F1.
    let from = if bytes.get(2) == Some(&b'[') { 3 } else { 2 };
    match bytes[from..].iter().position(|b| !(0x20..0x40).contains(b)) {
        None if bytes.len() > LONGEST => Cut::Nothing(bytes.len()),
        None => Cut::Incomplete,
        Some(end) if (0x40..0x7f).contains(&bytes[from + end]) => Cut::Sequence(from + end + 1),
        Some(end) => Cut::Nothing(from + end),
    }
}

/// DCS, APC, OSC, PM or SOS up to ST, or (as xterm does after OSC) BEL.
fn string(bytes: &[u8]) -> Cut {
    for (at, &byte) in bytes.iter().enumerate().skip(2) {
        match (byte, bytes.get(at + 1)) {
            (0x07, _) if bytes[1] == b']' => return Cut::Sequence(at + 1),
            (0x1b, Some(b'\\')) => return Cut::Sequence(at + 2),
            (0x1b, Some(_)) => return Cut::Nothing(at),
            _ => {}
        }
    }
    match bytes.len() {
        0..=LONGEST => Cut::Incomplete,
        length => Cut::Nothing(length),
    }
}

const fn utf8_length(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    }
}

/// Whether a sequence may be a key: termina would take what is left of a string for keys.
fn is_key(sequence: &[u8]) -> bool {
    !matches!(sequence[1], b'P' | b'_' | b']' | b'^' | b'X')
}

fn reply(sequence: &[u8]) -> Option<Reply> {
    let text = std::str::from_utf8(sequence.get(1..)?).ok()?;
    if let Some(version) = text.strip_prefix("P>|").and_then(|t| t.strip_suffix("\x1b\\")) {
        return Some(Reply::Version(version.to_owned()));
    }
    if let Some(graphics) = text.strip_prefix("P1$r").and_then(|t| t.strip_suffix("m\x1b\\")) {
        // Between model and colour may stand the number of a colour space, mostly an empty one.
        let mut parts = graphics.split([':', ';']).filter(|part| !part.is_empty());
        let is_ground = parts.any(|part| part == "48") && parts.next() == Some("2");
        let colour: Vec<_> = parts.collect();
        let truecolor = is_ground && colour.windows(3).any(|window| window == ["1", "2", "3"]);
        return Some(Reply::Colours { truecolor });
    }
    if let Some(answer) = text.strip_prefix("_G").and_then(|t| t.strip_suffix("\x1b\\")) {
        return Some(Reply::Graphics(answer.ends_with(";OK")));
    }
    let control = text.strip_prefix('[')?;
    if control == "0n" || control == "3n" {
        return Some(Reply::Status);
    }
    if let Some(attributes) = control.strip_prefix('?').and_then(|t| t.strip_suffix('c')) {
        // The first number is the terminal's class, the others are what it can do.
        let sixel = attributes.split(';').skip(1).any(|attribute| attribute == "4");
        return Some(Reply::Attributes { sixel });
    }
    if let Some(state) = control.strip_prefix("?2026;").and_then(|t| t.strip_suffix("$y")) {
        // Set, reset, or set for good.
        return Some(Reply::Synchronized(matches!(state, "1" | "2" | "3")));
    }
    let mut numbers = control.strip_suffix('t')?.split(';').map(str::parse::<u32>);
    let (Some(Ok(what)), Some(Ok(height)), Some(Ok(width)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    match what {
        4 => Some(Reply::Area(Size::new(width, height))),
        6 => Some(Reply::Cell(Size::new(width, height))),
        _ => None,
    }
}

/// The key as the interface knows keys; `None` for those that it never heard of.
fn translated(key: keys::KeyEvent) -> Option<KeyEvent> {
    let code = match key.code {
        keys::KeyCode::Char(c) => KeyCode::Char(c),
        keys::KeyCode::Enter => KeyCode::Enter,
        keys::KeyCode::Backspace => KeyCode::Backspace,
        keys::KeyCode::Tab => KeyCode::Tab,
        keys::KeyCode::BackTab => KeyCode::BackTab,
        keys::KeyCode::Escape => KeyCode::Esc,
        keys::KeyCode::Left => KeyCode::Left,
        keys::KeyCode::Right => KeyCode::Right,
        keys::KeyCode::Up => KeyCode::Up,
        keys::KeyCode::Down => KeyCode::Down,
        keys::KeyCode::Home => KeyCode::Home,
        keys::KeyCode::End => KeyCode::End,
        keys::KeyCode::PageUp => KeyCode::PageUp,
        keys::KeyCode::PageDown => KeyCode::PageDown,
        keys::KeyCode::Insert => KeyCode::Insert,
        keys::KeyCode::Delete => KeyCode::Delete,
        keys::KeyCode::Function(number) => KeyCode::F(number),
        _ => return None,
    };
    let mut modifiers = KeyModifiers::NONE;
    for (from, to) in [
        (keys::Modifiers::SHIFT, KeyModifiers::SHIFT),
        (keys::Modifiers::ALT, KeyModifiers::ALT),
        (keys::Modifiers::CONTROL, KeyModifiers::CONTROL),
        (keys::Modifiers::SUPER, KeyModifiers::SUPER),
        (keys::Modifiers::HYPER, KeyModifiers::HYPER),
        (keys::Modifiers::META, KeyModifiers::META),
    ] {
        modifiers.set(to, key.modifiers.contains(from));
    }
    let kind = match key.kind {
        keys::KeyEventKind::Press => KeyEventKind::Press,
        keys::KeyEventKind::Repeat => KeyEventKind::Repeat,
        keys::KeyEventKind::Release => KeyEventKind::Release,
    };
    Some(KeyEvent::new_with_kind(code, modifiers, kind))
}

#[cfg(test)]
mod tests;
