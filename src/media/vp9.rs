//! VP9's framing, as far as it says how large a packet's pictures are *before* a decoder spends memory
//! on them: the superframe index (annex B of the VP9 bitstream specification) and the uncompressed
//! header of each frame (its section 6.2). Profile 0 alone: 8 bits, 4:2:0.

use crate::units::Size;

/// Bytes of the index that [`whole`] makes.
pub const INDEX_LEN: usize = 6;

/// The frames of `packet`: those that its index names, in order, else the packet as one frame. An index
/// that reaches beyond the packet ends the walk there.
pub fn frames(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let index = index(packet);
    let count = index.map_or(1, |(count, ..)| count);
    let mut rest = packet;
    (0..count).map_while(move |i| {
        let length = match index {
            None => packet.len(),
            Some((_, width, sizes)) => little_endian(&sizes[i * width..][..width]),
        };
        let (frame, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(frame)
    })
}

/// Whether `packet` says itself where its frames end.
pub fn has_index(packet: &[u8]) -> bool {
    index(packet).is_some()
}

/// An index that says: the `length` bytes before it are one frame. With it, a decoder does not look
/// for a second frame after the first one's end.
pub fn whole(length: u32) -> [u8; INDEX_LEN] {
    let [a, b, c, d] = length.to_le_bytes();
    const ONE_FRAME_OF_FOUR_BYTES: u8 = 0b1101_1000;
    [ONE_FRAME_OF_FOUR_BYTES, a, b, c, d, ONE_FRAME_OF_FOUR_BYTES]
}

/// Frames, bytes that each size takes, and the sizes.
fn index(packet: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (&marker, before) = packet.split_last()?;
    if marker & 0b1110_0000 != 0b1100_0000 {
        return None;
    }
    let (count, width) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let start = before.len().checked_sub(count * width + 1)?;
    (before[start] == marker).then(|| (count, width, &before[start + 1..]))
}

fn little_endian(bytes: &[u8]) -> usize {
    let number = bytes.iter().rev().fold(0u32, |n, &b| n << 8 | u32::from(b));
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a frame's header says of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The frame has this size.
    Size(Size),
    /// It has the size of one that was decoded before.
    Inherited,
    /// No frame of profile 0, or cut short.
    Unusable,
}

/// Reads the header of `frame`.
pub fn announced(frame: &[u8]) -> Announced {
    read_header(&mut Bits { data: frame, at: 0 }).unwrap_or(Announced::Unusable)
}

fn read_header(bits: &mut Bits<'_>) -> Option<Announced> {
    const MARKER: u32 = 2;
    if bits.take(2)? != MARKER || bits.take(2)? != 0 {
        return Some(Announced::Unusable);
    }
    if bits.flag()? {
        return Some(Announced::Inherited); // an earlier frame is shown
    }
    let is_inter = bits.flag()?;
    let (is_shown, is_resilient) = (bits.flag()?, bits.flag()?);
    if !is_inter {
        return sync(bits)
            .and_then(|()| key_colours(bits))
            .and_then(|()| size(bits));
    }
    let is_intra = !is_shown && bits.flag()?;
    if !is_resilient {
        bits.take(2)?; // which contexts are reset
    }
    if is_intra {
        sync(bits)?;
        bits.take(8)?; // which references are replaced
        return size(bits);
    }
    bits.take(8)?;
    bits.take(3 * (3 + 1))?; // three references: index and sign
    for _ in 0..3 {
        if bits.flag()? {
            return Some(Announced::Inherited);
        }
    }
    size(bits)
}

fn sync(bits: &mut Bits<'_>) -> Option<()> {
    (bits.take(24)? == 0x0049_8342).then_some(())
}

fn key_colours(bits: &mut Bits<'_>) -> Option<()> {
    const SRGB: u32 = 7; // never 4:2:0
    let space = bits.take(3)?;
    bits.take(1)?; // range
    (space != SRGB).then_some(())
}

fn size(bits: &mut Bits<'_>) -> Option<Announced> {
    let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
    Some(Announced::Size(Size::new(width, height)))
}

/// Reads bits, the highest of a byte first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits written with their numbers.
    fn bits(fields: &[(u32, u32)]) -> Vec<u8> {
        let all: Vec<u8> = fields
            .iter()
            .flat_map(|&(value, count)| (0..count).rev().map(move |i| (value >> i & 1) as u8))
            .collect();
        all.chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |n, (i, bit)| n | bit << (7 - i)))
            .collect()
    }

    const SYNC: (u32, u32) = (0x0049_8342, 24);
    const SIDES: [(u32, u32); 2] = [(639, 16), (479, 16)];
    const VGA: Announced = Announced::Size(Size::new(640, 480));

    fn of(parts: &[&[(u32, u32)]]) -> Announced {
        announced(&bits(&parts.concat()))
    }

    #[test]
    fn each_kind_of_header_is_read() {
        let start = (0b1000, 4);
        // Not an old one; key; shown; not resilient.
        assert_eq!(of(&[&[start, (0b0010, 4), SYNC, (0b0100, 4)], &SIDES]), VGA);
        // Intra, hidden; contexts; references.
        let intra = [start, (0b0100, 4), (1, 1), (0, 2), SYNC, (0xff, 8)];
        assert_eq!(of(&[&intra, &SIDES]), VGA);
        // Inter, shown, resilient: replaced, three references, none with its size.
        let inter = [start, (0b0111, 4), (1, 8), (0, 12)];
        assert_eq!(of(&[&inter, &[(0, 3)], &SIDES]), VGA);
        assert_eq!(of(&[&inter, &[(0b001, 3)]]), Announced::Inherited);
        assert_eq!(of(&[&[start, (0b1011, 4)]]), Announced::Inherited);
    }

    #[test]
    fn what_is_no_frame_of_profile_0_is_unusable() {
        let key = |start: u32, sync: u32, colours: u32| {
            of(&[&[(start, 4), (0b0010, 4), (sync, 24), (colours, 4)], &SIDES])
        };
        assert_eq!(key(0b1000, SYNC.0, 0b0100), VGA);
        for (start, sync, colours) in [
            (0b0100, SYNC.0, 0b0100),
            (0b1001, SYNC.0, 0b0100),
            (0b1000, 1, 0b0100),
            (0b1000, SYNC.0, 0b1110),
        ] {
            assert_eq!(key(start, sync, colours), Announced::Unusable);
        }
        let whole = bits(&[&[(0b1000, 4), (0b0010, 4), SYNC, (0b0100, 4)], &SIDES[..]].concat());
        for length in 0..whole.len() {
            assert_eq!(announced(&whole[..length]), Announced::Unusable, "{length} bytes");
        }
    }

    #[test]
    fn an_index_names_the_frames() {
        let two = [1, 2, 3, 4, 5, 0xc1, 2, 3, 0xc1];
        assert!(frames(&two).eq([&[1, 2][..], &[3, 4, 5]]));
        // Sizes beyond the packet end the walk.
        let beyond = [1, 2, 3, 0xc1, 2, 99, 0xc1];
        assert!(frames(&beyond).eq([&[1, 2][..]]));
        // No index: the whole packet.
        for one in [&[1, 2, 3][..], &[0xc1], &[0, 9, 9, 9, 0xc1]] {
            assert!(!has_index(one) && frames(one).eq([one]));
        }
        let wrapped = [&[1, 2, 3][..], &whole(3)].concat();
        assert!(has_index(&wrapped) && frames(&wrapped).eq([&[1, 2, 3][..]]));
    }
}
