//! The negotiation of a peer: offer, answer, candidates, and what both sides agreed on.

use std::time::{Duration, Instant};

use str0m::Candidate as IceCandidate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};

use super::config::to_str0m;
use super::lines::MediaLines;
use super::media::VideoStream;
use super::{Peer, PeerOutput};
use crate::call::control;
use crate::media::video::VideoCodec;
use crate::signal::message::{Body, Candidate, Description};

/// Candidates kept until the description is there.
const MAX_EARLY: usize = 64;

/// The most candidates of the other side that are tried. Twenty are many.
const MAX_CANDIDATES: usize = 64;

/// An offer without an answer for so long stands in nobody's way any more.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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

/// A change that needs the other side's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Voice, picture and data channel.
    Call,
    /// ICE begins anew; DTLS and all that is above it stay.
    RestartIce,
    /// What their first description left out.
    Add(Missing),
}

/// Something that a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Audio,
    Video,
    Channel,
}

const ALL: [Missing; 3] = [Missing::Audio, Missing::Video, Missing::Channel];

/// What was asked for already of what was missing: who declines is not asked again.
pub(super) type Asked = [bool; 3];

/// An offer that is out, and what it is for: str0m forgets that where it is withdrawn.
pub(super) struct Pending {
    offer: SdpPendingOffer,
    changes: Vec<Change>,
    since: Instant,
}

impl Peer {
    /// Makes the offer of a caller: voice, picture, data channel. The candidates known now are in it.
    pub(in crate::call) fn call(&mut self, now: Instant) {
        self.wanted.push(Change::Call);
        self.offer(now);
    }

    /// Offers to begin with ICE anew. An offer that is out is withdrawn, and made again with it.
    pub(in crate::call) fn restart_ice(&mut self, now: Instant) {
        let withdrawn = self.withdraw();
        self.wanted.extend(withdrawn);
        self.wanted.retain(|change| *change != Change::RestartIce);
        self.wanted.push(Change::RestartIce);
        self.offer(now);
    }

    /// Offers what is wanted, unless an offer is out: then it waits for the answer.
    fn offer(&mut self, now: Instant) {
        if self.pending.is_some() || self.wanted.is_empty() {
            return;
        }
        let stream = || Some("camera".to_owned());
        let wanted = std::mem::take(&mut self.wanted);
        let mut changes = self.rtc.sdp_api();
        let mut add = |kind| match kind {
            Missing::Audio => {
                let audio = changes.add_media(MediaKind::Audio, Direction::SendRecv, stream(), None, None);
                self.audio = Some(audio);
            }
            Missing::Video => {
                let video = changes.add_media(MediaKind::Video, Direction::SendRecv, stream(), None, None);
                self.video = Some(video);
            }
            Missing::Channel => drop(changes.add_channel(control::LABEL.to_owned())),
        };
        let mut restarts = false;
        for change in &wanted {
            match *change {
                Change::Call => ALL.into_iter().for_each(&mut add),
                Change::RestartIce => restarts = true,
                Change::Add(missing) => add(missing),
            }
        }
        if restarts {
            changes.ice_restart(true);
        }
        // A further channel needs no consent.
        if let Some((offer, pending)) = changes.apply() {
            self.pending = Some(Pending {
                offer: pending,
                changes: wanted,
                since: now,
            });
            self.tell_offer(&offer);
        }
        self.drain(now);
    }

    /// Asks for what a description of theirs left out: a call that was begun by something that shows
    /// nothing, or says nothing, can be more.
    fn complete(&mut self) {
        for (at, missing) in ALL.into_iter().enumerate() {
            if !self.lines.has[at] && !std::mem::replace(&mut self.asked[at], true) {
                self.wanted.push(Change::Add(missing));
            }
        }
    }

    fn tell_offer(&mut self, offer: &SdpOffer) {
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

    /// The offer that is out is not to be answered any more. The media that it was for are offered with the
    /// next one.
    pub(in crate::call) fn withdraw_offer(&mut self) {
        for change in self.withdraw() {
            if let Change::Add(missing) = change {
                self.asked[missing as usize] = false;
            }
        }
    }

    /// No offer is out any more; gives what it was for.
    fn withdraw(&mut self) -> Vec<Change> {
        self.pending
            .take()
            .map_or_else(Vec::new, |pending| pending.changes)
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

    /// An offer is out, and its answer may be on the way.
    pub(in crate::call) fn is_waiting(&self, now: Instant) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|pending| now < pending.since + ANSWER_WITHIN)
    }

    /// Takes an offer and answers it. An own offer that is out is withdrawn; what it was for is offered
    /// again, where theirs did not bring it.
    pub(in crate::call) fn accept_offer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let offer =
            SdpOffer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        let withdrawn = self.withdraw();
        let result = self.rtc.sdp_api().accept_offer(offer);
        self.drain(now);
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                // Theirs brought nothing: the own one is made again.
                self.wanted.extend(withdrawn);
                self.offer(now);
                return Err(NegotiationError::Refused(error.to_string()));
            }
        };
        let restarts = self.restarts(sdp);
        self.described(sdp, now);
        self.describe("answer", answer.to_sdp_string(), ufrag_of(sdp));
        for change in withdrawn {
            match change {
                Change::Call => {}
                Change::RestartIce if restarts => {}
                Change::RestartIce => self.wanted.push(change),
                Change::Add(missing) => self.asked[missing as usize] = false,
            }
        }
        self.complete();
        self.offer(now);
        Ok(())
    }

    /// Takes the answer to the offer that is out.
    pub(in crate::call) fn accept_answer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let answer =
            SdpAnswer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        let pending = self.pending.take().ok_or(NegotiationError::Unexpected)?;
        let result = self.rtc.sdp_api().accept_answer(pending.offer, answer);
        self.drain(now);
        result.map_err(|e| NegotiationError::Refused(e.to_string()))?;
        self.described(sdp, now);
        self.offer(now);
        Ok(())
    }

    /// Takes a candidate; one that comes before the description is kept. One that cannot be read (a
    /// browser's `.local` name, a scoped address) is passed over: the other side reaches us all the same.
    pub(in crate::call) fn add_remote_candidate(&mut self, candidate: &Candidate, now: Instant) {
        let session = &candidate.username_fragment;
        let Ok(candidate) = IceCandidate::from_sdp_string(&candidate.candidate) else {
            return;
        };
        if !self.described {
            if self.early.len() < MAX_EARLY {
                self.early.push(candidate);
            }
            return;
        }
        // One of before a restart leads nowhere.
        let ufrag = (session.as_ref()).filter(|ufrag| !ufrag.is_empty());
        if ufrag.is_none_or(|ufrag| self.remote_ufrag.as_ref() == Some(ufrag)) {
            self.take_candidate(candidate, now);
        }
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
        if self.restarts(sdp) {
            self.remote_candidates.clear();
        }
        self.described = true;
        self.remote_session = session_of(sdp).map(str::to_owned);
        self.remote_ufrag = ufrag_of(sdp).map(str::to_owned);
        self.learn_lines(sdp);
        let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
        let candidates = lines.filter_map(|line| IceCandidate::from_sdp_string(line).ok());
        for candidate in candidates.take(MAX_CANDIDATES) {
            if !self.remote_candidates.contains(&candidate) {
                self.remote_candidates.push(candidate);
            }
        }
        self.remote_candidates.truncate(MAX_CANDIDATES);
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

    /// The description begins with ICE anew.
    fn restarts(&self, sdp: &str) -> bool {
        self.remote_ufrag.as_deref() != ufrag_of(sdp)
    }

    /// Which of their lines is what.
    fn learn_lines(&mut self, sdp: &str) {
        self.lines = MediaLines::of(sdp);
        let first = |kind| self.lines.of_kind(kind).next().map(|line| line.mid);
        self.audio = first(MediaKind::Audio);
        let video = first(MediaKind::Video);
        if std::mem::replace(&mut self.video, video) != video {
            self.video_stream = VideoStream::Unknown;
            self.outgoing.forget();
        }
        self.sort_pictures();
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
        let flow = self.video.map(|mid| {
            let direction = self.rtc.media(mid).map(|media| media.direction());
            (mid, self.video_pt, direction)
        });
        self.outgoing.flow_by(flow);
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

/// The name of ICE's session (RFC 8839, 5.4).
fn ufrag_of(sdp: &str) -> Option<&str> {
    sdp.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .map(str::trim_end)
}
