//! STUN messages and channel data in a stream (RFC 8656, 12.5): each begins with its length, and is
//! padded to four bytes.

/// What a STUN message's header takes (RFC 8489, 5).
const HEADER: usize = 20;

/// The cookie in the header of each.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What is no STUN and no TURN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came over the connection is no TURN")]
pub struct NotTurn;

/// Cuts a stream into its messages.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message or channel data, without padding.
    ///
    /// # Errors
    /// Where the stream holds something else: nothing that follows can be understood.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, NotTurn> {
        let rest = &self.buffer[self.taken..];
        let Some(length) = length(rest)? else {
            return Ok(None);
        };
        let padded = length.next_multiple_of(4);
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += padded;
        Ok(Some(&self.buffer[start..start + length]))
    }
}

/// Pads a message for a stream.
pub fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// The length of what begins here, with its header; `None`: too little is there to say.
fn length(bytes: &[u8]) -> Result<Option<usize>, NotTurn> {
    let &[first, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match first >> 6 {
        0b00 => match bytes.get(4..8) {
            Some(cookie) if cookie != COOKIE => Err(NotTurn),
            _ if !length.is_multiple_of(4) => Err(NotTurn),
            None => Ok(None),
            Some(_) => Ok(Some(HEADER + length)),
        },
        0b01 => Ok(Some(4 + length)),
        _ => Err(NotTurn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u16) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend(length.to_be_bytes());
        message.extend(COOKIE);
        message.resize(HEADER + usize::from(length), 7);
        message
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let channel = [&[0x40, 0, 0, 5][..], b"hello"].concat();
        let frames = [message(8), channel, message(0)];
        let stream: Vec<u8> = frames.iter().cloned().flat_map(pad).collect();
        for chunk in 1..=stream.len() {
            let (mut cutter, mut out) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(chunk) {
                cutter.push(bytes);
                while let Some(frame) = cutter.next_frame().expect("it is TURN") {
                    out.push(frame.to_vec());
                }
            }
            assert_eq!(out, frames, "in pieces of {chunk}");
            cutter.push(&[]);
            assert!(cutter.buffer.is_empty(), "nothing is kept");
        }
    }

    #[test]
    fn what_is_no_turn_ends_it_at_once() {
        for bytes in [
            &[0x15, 3, 3, 0, 2, 2, 40, 0][..],
            &[0x16, 3, 1, 2, 0, 1, 0, 1],
            &[0, 1, 0, 3, 0x21, 0x12, 0xa4, 0x42],
            &[0, 1, 0, 4, 1, 2, 3, 4],
            &[0x80, 0, 0, 0],
        ] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert_eq!(frames.next_frame(), Err(NotTurn), "{bytes:?}");
        }
    }
}
