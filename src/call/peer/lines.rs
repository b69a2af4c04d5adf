//! What a description says of its media lines (RFC 8866, 5.14), as far as is needed to know which is which.

use str0m::media::{MediaKind, Mid};

/// Media lines that are taken notice of; a call has three or four.
const MAX_LINES: usize = 32;

/// A media line that is not stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MediaLine {
    pub(super) kind: MediaKind,
    pub(super) mid: Mid,
    /// Its place among those of its kind, stopped ones counted: a later line does not become the first.
    pub(super) place: usize,
    /// The other side sends by it.
    pub(super) sends: bool,
    /// The other side takes what is sent by it.
    pub(super) receives: bool,
}

/// The media lines of a description by the other side, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MediaLines {
    lines: Vec<MediaLine>,
    /// There is one of this kind, if only a stopped one: audio, video, the data channel's.
    pub(super) has: [bool; 3],
}

impl MediaLines {
    pub(super) fn of(sdp: &str) -> Self {
        let bundle = sdp.lines().find_map(|line| line.strip_prefix("a=group:BUNDLE"));
        let bundle: Option<Vec<_>> = bundle.map(|mids| mids.split_ascii_whitespace().collect());
        let mut parts = sdp.split("\nm=");
        // What stands before the first line holds for all (RFC 8866, 5).
        let common = direction(parts.next().unwrap_or_default());
        let mut found = Self::default();
        let mut places = [0; 2];
        for part in parts.take(MAX_LINES) {
            let mut words = part.split_ascii_whitespace();
            let kind = match words.next() {
                Some("audio") => Some(MediaKind::Audio),
                Some("video") => Some(MediaKind::Video),
                Some("application") => None,
                _ => continue,
            };
            let at = kind.map_or(2, |kind| usize::from(kind == MediaKind::Video));
            found.has[at] = true;
            let place = places.get_mut(at).map_or(0, |next: &mut usize| {
                *next += 1;
                *next - 1
            });
            let mid = part.lines().find_map(|line| line.strip_prefix("a=mid:"));
            let (Some(kind), Some(mid)) = (kind, mid.map(str::trim_end)) else {
                continue;
            };
            // Within a bundle port 0 says nothing (RFC 9143, 7).
            let is_bundled = bundle.as_ref().is_some_and(|mids| mids.contains(&mid));
            let is_stopped = words.next() == Some("0") && !is_bundled;
            if is_stopped || mid.is_empty() || mid.len() > 16 {
                continue;
            }
            let (sends, receives) = direction(part).or(common).unwrap_or((true, true));
            found.lines.push(MediaLine {
                kind,
                mid: Mid::from(mid),
                place,
                sends,
                receives,
            });
        }
        found
    }

    /// Those of a kind.
    pub(super) fn of_kind(&self, kind: MediaKind) -> impl Iterator<Item = &MediaLine> {
        self.lines.iter().filter(move |line| line.kind == kind)
    }
}

/// Sends and receives; `None` where nothing is said (RFC 8866, 6.7).
fn direction(part: &str) -> Option<(bool, bool)> {
    part.lines().find_map(|line| match line.trim_end() {
        "a=sendrecv" => Some((true, true)),
        "a=sendonly" => Some((true, false)),
        "a=recvonly" => Some((false, true)),
        "a=inactive" => Some((false, false)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line((kind, place): (MediaKind, usize), mid: &str, sends: bool, receives: bool) -> MediaLine {
        MediaLine {
            kind,
            mid: Mid::from(mid),
            place,
            sends,
            receives,
        }
    }

    #[test]
    fn lines_are_told_apart_by_kind_direction_and_whether_they_are_stopped() {
        let sdp = "v=0\r\na=group:BUNDLE 0 v1 3\r\na=mid:x\r\nm=audio 9 RTP\r\na=mid:0\r\na=recvonly\r\n\
                   m=video 9 RTP\r\nc=IN\r\na=mid:v1\r\na=sendrecv\r\nm=videotape 9\r\na=mid:4\r\n\
                   m=application 9 UDP\r\na=mid:d\r\nm=video 0 RTP\r\na=mid:2\r\na=sendonly\r\n\
                   m=video 0 RTP\r\na=mid:3\r\na=sendonly\r\na=bundle-only\r\n";
        let lines = MediaLines::of(sdp);
        assert_eq!(
            lines.lines,
            [
                line((MediaKind::Audio, 0), "0", false, true),
                line((MediaKind::Video, 0), "v1", true, true),
                line((MediaKind::Video, 2), "3", true, false),
            ]
        );
        assert_eq!(lines.has, [true; 3]);
    }

    #[test]
    fn what_is_no_description_has_no_lines() {
        for text in [
            "",
            "m=",
            "\nm=",
            "v=0\nm=audio",
            "v=0\nm=video 9\na=mid:\n",
            "\nm=audio 9\na=mid:12345678901234567",
        ] {
            assert_eq!(MediaLines::of(text).lines, [], "{text}");
        }
        let common = MediaLines::of("v=0\na=inactive\nm=audio 9 RTP\na=mid:0\n");
        assert_eq!(common.lines, [line((MediaKind::Audio, 0), "0", false, false)]);
        assert_eq!(common.has, [true, false, false]);
    }
}
