//! The negotiation of a peer: offer, answer, candidates, and what both sides agreed on.

use std::time::Instant;

use str0m::Candidate as IceCandidate;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};

use super::config::to_str0m;
use super::{Peer, PeerOutput};
use crate::call::control;
use crate::media::video::VideoCodec;
use crate::signal::message::{Body, Candidate, Description};

/// Candidates kept until the description is there.
const MAX_EARLY: usize = 64;

/// The most candidates of the other side that are tried. Twenty are many.
const MAX_CANDIDATES: usize = 64;

/// What the two sides agreed to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The codec sent to them.
    pub video: Option<VideoCodec>,
    /// Opus is sent.
    pub audio: bool,
}

/// Something about a description that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NegotiationError {
    /// Not an SDP that str0m reads.
    #[error("the description cannot be read: {0}")]
    Unreadable(String),
    /// An answer to nothing.
    #[error("an answer came that nobody waits for")]
    Unexpected,
    /// An offer or an answer that does not fit.
    #[error("the description does not fit: {0}")]
    Refused(String),
}

impl Peer {
    /// Makes the offer of a caller: voice, picture, data channel. The candidates known now are in it.
    pub(in crate::call) fn call(&mut self, now: Instant) {
        let stream = || Some("camera".to_owned());
        let mut changes = self.rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendRecv, stream(), None, None);
        let video = changes.add_media(MediaKind::Video, Direction::SendRecv, stream(), None, None);
        changes.add_channel(control::LABEL.to_owned());
        let (offer, pending) = changes.apply().expect("new media needs an offer");
        (self.audio, self.video, self.pending) = (Some(audio), Some(video), Some(pending));
        self.offer(&offer);
        self.drain(now);
    }

    /// Offers to begin with ICE anew; DTLS and all that is above it stay.
    pub(in crate::call) fn restart_ice(&mut self, now: Instant) {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let Some((offer, pending)) = changes.apply() else {
            return;
        };
        self.pending = Some(pending);
        self.offer(&offer);
        self.drain(now);
    }

    fn offer(&mut self, offer: &SdpOffer) {
        let sdp = offer.to_sdp_string();
        self.offered = ufrag_of(&sdp).map(str::to_owned);
        self.describe("offer", sdp, None);
    }

    fn describe(&mut self, kind: &str, sdp: String, answers: Option<&str>) {
        let (kind, answers) = (kind.to_owned(), answers.map(str::to_owned));
        let description = Body::Description(Description { kind, sdp, answers });
        self.out.push_back(PeerOutput::Signal(description));
        self.tell_end();
    }

    /// An offer is out and not answered.
    pub(in crate::call) fn is_offering(&self) -> bool {
        self.pending.is_some()
    }

    /// The offer that is out is not to be answered any more.
    pub(in crate::call) fn withdraw_offer(&mut self) {
        self.pending = None;
    }

    /// An offer is out, and an answer that names this one is to it.
    pub(in crate::call) fn is_answered_by(&self, answers: Option<&str>) -> bool {
        self.is_offering() && (answers.is_none() || answers == self.offered.as_deref())
    }

    /// Both descriptions are there.
    pub(in crate::call) fn is_described(&self) -> bool {
        self.described
    }

    /// The offer is of another session than the one that this peer talks with.
    pub(in crate::call) fn is_other_session(&self, sdp: &str) -> bool {
        self.remote_session.is_some() && self.remote_session.as_deref() != session_of(sdp)
    }

    /// Takes an offer and answers it. An own offer that is out is withdrawn.
    pub(in crate::call) fn accept_offer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let offer =
            SdpOffer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        if self.pending.take().is_some() && !self.described {
            (self.audio, self.video) = (None, None);
        }
        let result = self.rtc.sdp_api().accept_offer(offer);
        self.drain(now);
        let answer = result.map_err(|e| NegotiationError::Refused(e.to_string()))?;
        // str0m announces the media of an offer only when SRTP is up.
        self.audio = self.audio.or_else(|| mid_of(sdp, "audio"));
        self.video = self.video.or_else(|| mid_of(sdp, "video"));
        self.described(sdp, now);
        self.describe("answer", answer.to_sdp_string(), ufrag_of(sdp));
        Ok(())
    }

    /// Takes the answer to the offer that is out.
    pub(in crate::call) fn accept_answer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let answer =
            SdpAnswer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        let pending = self.pending.take().ok_or(NegotiationError::Unexpected)?;
        let result = self.rtc.sdp_api().accept_answer(pending, answer);
        self.drain(now);
        result.map_err(|e| NegotiationError::Refused(e.to_string()))?;
        self.described(sdp, now);
        Ok(())
    }

    /// Takes a candidate; one that comes before the description is kept. One that cannot be read (a
    /// browser's `.local` name, a scoped address) is passed over: the other side reaches us all the same.
    pub(in crate::call) fn add_remote_candidate(&mut self, candidate: &Candidate, now: Instant) {
        let Ok(candidate) = IceCandidate::from_sdp_string(&candidate.candidate) else {
            return;
        };
        if !self.described {
            if self.early.len() < MAX_EARLY {
                self.early.push(candidate);
            }
            return;
        }
        self.take_candidate(candidate, now);
    }

    fn take_candidate(&mut self, candidate: IceCandidate, now: Instant) {
        let is_known = self
            .remote_candidates
            .iter()
            .any(|c| c.addr() == candidate.addr());
        if !is_known && self.remote_candidates.len() >= MAX_CANDIDATES {
            return;
        }
        if !is_known {
            self.remote_candidates.push(candidate.clone());
            self.out.push_back(PeerOutput::Far(candidate.addr().ip()));
        }
        self.rtc.add_remote_candidate(candidate);
        self.drain(now);
        self.hurry(now);
    }

    /// After both descriptions: kept candidates are tried, and what can be sent is looked up.
    fn described(&mut self, sdp: &str, now: Instant) {
        self.described = true;
        self.remote_session = session_of(sdp).map(str::to_owned);
        self.remote_candidates.clear();
        let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
        let candidates = lines.filter_map(|line| IceCandidate::from_sdp_string(line).ok());
        self.remote_candidates.extend(candidates.take(MAX_CANDIDATES));
        let far = self
            .remote_candidates
            .iter()
            .map(|c| PeerOutput::Far(c.addr().ip()));
        self.out.extend(far);
        for candidate in std::mem::take(&mut self.early) {
            self.take_candidate(candidate, now);
        }
        self.agree();
        self.drain(now);
        self.hurry(now);
    }

    pub(super) fn agree(&mut self) {
        // str0m would send redundancy from the first packet on.
        self.send_redundancy(self.protection.is_redundant());
        self.audio_pt = self.audio.and_then(|mid| {
            let writer = self.rtc.writer(mid)?;
            writer
                .payload_params()
                .find(|p| p.spec().codec == Codec::Opus)
                .map(|p| p.pt())
        });
        let video = self.video.and_then(|mid| {
            let codecs = self.codecs.clone();
            let writer = self.rtc.writer(mid)?;
            let offered: Vec<_> = writer
                .payload_params()
                .map(|p| (p.spec().codec, p.pt()))
                .collect();
            codecs.into_iter().find_map(|codec| {
                offered
                    .iter()
                    .find(|(c, _)| *c == to_str0m(codec))
                    .map(|(_, pt)| (codec, *pt))
            })
        });
        self.video_pt = video.map(|(_, pt)| pt);
        self.hold_video();
        self.agreed = Agreed {
            video: video.map(|(codec, _)| codec),
            audio: self.audio_pt.is_some(),
        };
    }
}

/// The session's identifier: the second field of SDP's `o=` line (RFC 8866, 5.2).
fn session_of(sdp: &str) -> Option<&str> {
    let origin = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    origin.split_ascii_whitespace().nth(1)
}

/// The name of ICE's session that a description begins or goes on with (RFC 8839, 5.4).
fn ufrag_of(sdp: &str) -> Option<&str> {
    sdp.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .map(str::trim)
}

/// The identifier of the first media line of a kind (RFC 5888, 4).
fn mid_of(sdp: &str, kind: &str) -> Option<Mid> {
    let is_media = |line: &&str| line.starts_with("m=");
    let mut lines = sdp.lines().skip_while(|line| {
        let media = line.strip_prefix("m=").and_then(|rest| rest.strip_prefix(kind));
        !media.is_some_and(|rest| rest.starts_with(' '))
    });
    lines.next()?;
    let mid = lines
        .take_while(|line| !is_media(line))
        .find_map(|line| line.strip_prefix("a=mid:"))?;
    (mid.trim_end().len() <= 16).then(|| Mid::from(mid.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_line_is_found_by_its_kind() {
        let sdp = "v=0\r\na=mid:x\r\nm=audio 9 RTP\r\na=mid:0\r\nm=video 9 RTP\r\nc=IN\r\na=mid:v1\r\nm=videotape 9\r\n";
        assert_eq!(mid_of(sdp, "audio"), Some(Mid::from("0")));
        assert_eq!(mid_of(sdp, "video"), Some(Mid::from("v1")));
        assert_eq!(mid_of(sdp, "application"), None);
        assert_eq!(mid_of("m=video 9\r\nm=audio 9\r\na=mid:0\r\n", "video"), None);
    }
}
