//! What leaves for this person: how long pictures wait in str0m's pacer, what of the line is RTP, and the
//! copies of pictures where much gets lost.
//!
//! A copy is the same encrypted packet a little later. Whoever has the first one drops it as a replay (RFC
//! 3711, 3.3.2); whoever misses it need not wait a round trip until it is sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::media::{Direction, Mid, Pt};
use str0m::net::{DatagramSend, Transmit};
use str0m::stats::PeerStats;

use super::{Peer, PeerOutput};
use crate::call::news::News;
use crate::call::rate::line::{self, Sample, TICK};
use crate::units::Bitrate;

/// How much later a picture's copies leave: beyond most bursts of loss, and before the gap would be called
/// a freeze.
const COPIES: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(120)];

/// A picture that waits for longer in the pacer holds those after it back, before they are encoded.
const BOUND: Duration = Duration::from_millis(100);

/// str0m drops pictures without a word where their line changes: what waits for longer will not leave.
const LOST: Duration = Duration::from_secs(2);

/// Of what is sent again so much is allowed on a line whose queue is long: next to nothing.
const RESENT_WHEN_CLOGGED: f32 = 0.02;

/// Who desires no more is not probed for more: a probe takes five packets at least.
const UNPROBED: Bitrate = Bitrate::kbps(2);

/// Below this no padding is sent while the cap holds.
const BARE: Bitrate = Bitrate::kbps(100);

/// str0m tells the loss of the last second, and reports take a round trip.
const REPORTED: usize = 7;

/// What str0m's estimate is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    /// So much would be used; where it grows, the line is probed for it.
    Desire(Bitrate),
    /// It begins anew at this rate.
    Begin(Bitrate),
}

/// An RTP packet's header (RFC 3550, 5.1), which is not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    payload_type: u8,
    /// The frame ends with it.
    marker: bool,
    /// Nothing but padding, which str0m sends by itself.
    padding: bool,
}

impl Header {
    /// `None` for what is no RTP: STUN, DTLS, RTCP (RFC 5761, 4).
    fn of(packet: &[u8]) -> Option<Self> {
        let [first, second, ..] = packet else {
            return None;
        };
        let is_rtp = first >> 6 == 2 && !(192..=223).contains(second);
        is_rtp.then_some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            padding: first & 0x20 != 0,
        })
    }
}

/// By what pictures leave: where it changes, what str0m still has of them is dropped, or not known again.
pub(super) type Flow = (Mid, Option<Pt>, Option<Direction>);

/// What is under way from the encoder to the socket.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Bytes since the last look; packets of RTP, and those of padding that were dropped.
    bytes: u64,
    packets: u32,
    dropped: u32,
    /// The packets of the last looks.
    seconds: VecDeque<(u32, u32)>,
    /// No padding leaves.
    bare: bool,
    /// When each picture was written that has not left yet.
    waiting: VecDeque<Instant>,
    /// By what pictures leave.
    flow: Option<Flow>,
    copies: usize,
    /// Copies, and when they are due.
    later: VecDeque<(Instant, Transmit)>,
    behind: bool,
    ticks: u32,
    /// The desired rate was lowered, to be raised again: str0m then probes for it.
    dipped: bool,
    desired: Bitrate,
    clogged: bool,
    /// They follow where pictures come by another stream.
    renews: bool,
}

impl Outgoing {
    /// A picture was handed to str0m.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.waiting.push_back(now);
    }

    /// They follow where pictures come by another stream.
    pub(super) fn renews(&self) -> bool {
        self.renews
    }

    /// Pictures leave by this from now on.
    pub(super) fn flow_by(&mut self, flow: Option<Flow>) {
        if std::mem::replace(&mut self.flow, flow) != flow {
            self.forget();
        }
    }

    /// The oldest picture waits for too long.
    fn is_behind(&mut self, now: Instant) -> bool {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        while self.waiting.front().is_some_and(|at| age(at) > LOST) {
            self.waiting.pop_front();
        }
        self.waiting.front().is_some_and(|at| age(at) > BOUND)
    }

    /// Another stream begins, or none: nothing of the last one waits any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.later.clear();
    }

    /// A packet is to leave. Returns false for padding on a line that is too weak for it: at its least it is
    /// 50 kbit/s, and neither str0m's estimate nor a longer queue ends it in time.
    pub(super) fn left(&mut self, packet: &Transmit, video: Option<Pt>, now: Instant) -> bool {
        let header = Header::of(&packet.contents);
        if header.is_some_and(|header| header.padding) && self.bare {
            self.dropped += 1;
            return false;
        }
        self.bytes += packet.contents.len() as u64;
        self.packets += u32::from(header.is_some());
        let Some(header) = header.filter(|header| !header.padding) else {
            return true;
        };
        if video.is_none_or(|pt| *pt != header.payload_type) {
            return true;
        }
        if header.marker {
            self.waiting.pop_front();
        }
        for after in &COPIES[..self.copies] {
            let copy = Transmit {
                proto: packet.proto,
                source: packet.source,
                destination: packet.destination,
                contents: DatagramSend::from(packet.contents.to_vec()),
            };
            let at = now + *after;
            let place = self.later.partition_point(|(due, _)| *due <= at);
            self.later.insert(place, (at, copy));
        }
        true
    }

    /// The share that got lost of what left, of what is `seen` lost of that and of what was dropped here.
    fn lost(&mut self, seen: f32) -> f32 {
        self.seconds.push_back((self.packets, self.dropped));
        (self.packets, self.dropped) = (0, 0);
        if self.seconds.len() > REPORTED {
            self.seconds.pop_front();
        }
        let (left, dropped) = self
            .seconds
            .iter()
            .fold((0, 0), |sum, tick| (sum.0 + tick.0, sum.1 + tick.1));
        let lost = seen * (left + dropped) as f32 - dropped as f32;
        match dropped {
            0 => seen,
            _ => (lost / left.max(1) as f32).clamp(0.0, 1.0),
        }
    }

    /// When the next copy is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.later.front().map(|(at, _)| *at)
    }

    fn due(&mut self, now: Instant) -> Option<Transmit> {
        let (at, _) = self.later.front()?;
        let packet = (*at <= now).then(|| self.later.pop_front())?;
        packet.map(|(_, packet)| packet)
    }
}

impl Peer {
    /// How many more times each picture is sent, two at most.
    pub(in crate::call) fn set_copies(&mut self, copies: u32) {
        self.outgoing.copies = COPIES.len().min(copies as usize);
    }

    /// What is thought of the line.
    pub(in crate::call) fn line(&self) -> &line::Line {
        &self.line
    }

    /// No picture is to be encoded for them: the last ones have not left, or the line's queue is long.
    pub(in crate::call) fn is_held(&self) -> bool {
        self.outgoing.behind || self.line.is_clogged()
    }

    /// Says what the sender would like to use, so that the line is probed for it.
    pub(in crate::call) fn set_desired(&mut self, bitrate: Bitrate, now: Instant) {
        if self.outgoing.desired != bitrate {
            self.outgoing.desired = bitrate;
            if !self.line.is_capped() {
                self.desire(bitrate, now);
            }
        }
    }

    fn desire(&mut self, bitrate: Bitrate, now: Instant) {
        let desired = str0m::bwe::Bitrate::from(bitrate.0);
        self.rtc.bwe().set_bitrate(str0m::bwe::Bitrate::ZERO, desired);
        self.drain(now);
    }

    /// Sends the copies that are due, but for those of a path that was left since.
    pub(super) fn send_later(&mut self, now: Instant) {
        while let Some(packet) = self.outgoing.due(now) {
            if self.path != Some((packet.source, packet.destination)) {
                continue;
            }
            self.outgoing.bytes += packet.contents.len() as u64;
            self.emit(packet);
        }
    }

    /// Tells where pictures begin or cease to wait too long.
    pub(super) fn watch(&mut self, now: Instant) {
        let behind = self.outgoing.is_behind(now);
        if std::mem::replace(&mut self.outgoing.behind, behind) != behind {
            self.out.push_back(PeerOutput::News(News::Line));
        }
    }

    /// Looks at the line, each [`TICK`]. Returns true once a second.
    pub(super) fn look(&mut self, stats: &PeerStats, now: Instant) -> bool {
        let loss = stats.egress_loss_fraction.map(|seen| self.outgoing.lost(seen));
        self.meter.set_loss_out(loss);
        let sample = Sample {
            sent: std::mem::take(&mut self.outgoing.bytes),
            loss,
            round_trip: stats.rtt,
            check: stats
                .selected_candidate_pair
                .as_ref()
                .and_then(|pair| pair.current_round_trip_time),
        };
        self.line.look(sample, now);
        self.meter.set_estimate(self.line.capacity());
        self.bound_resends();
        // Inside a drain nothing is changed: it is with the next timeout.
        let desired = self.outgoing.desired;
        let capacity = self.line.capacity();
        self.outgoing.bare = self.line.is_capped() && capacity < BARE;
        if self.outgoing.bare && self.line.estimate() < capacity {
            // The dropped padding counts as lost, and pictures would wait for their turn.
            self.wish = Some(Wish::Begin(capacity));
        } else if self.line.is_capped() {
            if !std::mem::replace(&mut self.outgoing.dipped, true) {
                self.wish = Some(Wish::Desire(UNPROBED));
            }
        } else if std::mem::take(&mut self.outgoing.dipped) {
            self.wish = Some(Wish::Desire(desired));
        } else if let Some(bitrate) = self.line.begins_anew(now) {
            self.wish = Some(Wish::Begin(bitrate));
        } else if self.line.tries(desired, now) {
            self.outgoing.dipped = true;
            self.wish = Some(Wish::Desire(Bitrate(capacity.0.min(desired.0) / 2)));
        }
        self.out.push_back(PeerOutput::News(News::Line));
        self.outgoing.ticks += 1;
        self.outgoing.ticks.is_multiple_of(1000 / TICK.as_millis() as u32)
    }

    /// Carries out what a look wished for.
    pub(super) fn grant_wish(&mut self, now: Instant) {
        match self.wish.take() {
            Some(Wish::Desire(bitrate)) => self.desire(bitrate, now),
            Some(Wish::Begin(bitrate)) => {
                self.outgoing.dipped = true;
                self.desire(UNPROBED, now);
                self.rtc.bwe().reset(bitrate.0.into());
                self.drain(now);
            }
            None => {}
        }
    }

    /// They take pictures by another stream, or do not.
    pub(in crate::call) fn set_renews(&mut self, renews: bool) {
        self.outgoing.renews = renews;
    }

    /// While the line's queue is long, nothing is sent again: it would make the queue longer, and come too
    /// late.
    fn bound_resends(&mut self) {
        let clogged = self.line.is_clogged();
        if std::mem::replace(&mut self.outgoing.clogged, clogged) == clogged {
            return;
        }
        if clogged {
            self.outgoing.later.clear();
        }
        self.set_resends(clogged.then_some(RESENT_WHEN_CLOGGED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of_picture() -> Transmit {
        Transmit {
            proto: str0m::net::Protocol::Udp,
            source: "192.0.2.1:1".parse().expect("an address"),
            destination: "192.0.2.2:2".parse().expect("an address"),
            contents: DatagramSend::from(vec![0x80, 0x80 | 98, 0, 0]),
        }
    }

    #[test]
    fn a_picture_that_never_leaves_does_not_hold_all_others_back() {
        let now = crate::call::tests_epoch();
        let mut outgoing = Outgoing::default();
        outgoing.wrote(now);
        outgoing.wrote(now);
        outgoing.left(&end_of_picture(), Some(Pt::new_with_value(98)), now);
        assert!(outgoing.is_behind(now + Duration::from_millis(200)));
        assert!(!outgoing.is_behind(now + Duration::from_secs(3)));
    }

    #[test]
    fn what_waits_is_forgotten_where_pictures_leave_by_another_way() {
        let now = crate::call::tests_epoch();
        let late = now + Duration::from_millis(200);
        let flow = |pt, direction| Some((Mid::from("0"), Some(Pt::new_with_value(pt)), Some(direction)));
        let mut outgoing = Outgoing::default();
        outgoing.flow_by(flow(98, Direction::SendRecv));
        for other in [flow(98, Direction::Inactive), flow(96, Direction::Inactive), None] {
            outgoing.wrote(now);
            assert!(outgoing.is_behind(late));
            outgoing.flow_by(other);
            assert!(!outgoing.is_behind(late));
        }
    }

    #[test]
    fn rtp_is_told_from_all_else() {
        let header = |first, second| Header::of(&[first, second, 0, 0]);
        assert_eq!(header(0x00, 0x01), None, "STUN");
        assert_eq!(header(0x16, 0xfe), None, "DTLS");
        assert_eq!(header(0x80, 200), None, "a sender report");
        assert_eq!(header(0x8f, 205), None, "feedback");
        let picture = Header {
            payload_type: 98,
            marker: true,
            padding: false,
        };
        assert_eq!(header(0x90, 0x80 | 98), Some(picture));
        assert!(header(0xb0, 99).is_some_and(|header| header.padding && !header.marker));
        assert_eq!(Header::of(&[0x80]), None);
    }
}
