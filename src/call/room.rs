//! Who is in the room: what the meeting point says, and the descriptions and candidates it carries.

use std::time::Instant;

use super::paths::Server;
use super::peer::{NegotiationError, Peer};
use super::people::{Presence, Someone};
use super::{Call, Event, Output, PathState};
use crate::signal::message::{Body, Description, ErrorCode, LeaveReason, Member, PeerId, ServerMessage};

/// The most others that are taken notice of, whatever the meeting point says; it lets no more in.
const MAX_PEOPLE: usize = 64;

impl Call {
    pub(super) fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Welcome {
                id,
                peers,
                ice_servers,
            } => {
                self.paths.set_servers(&Server::of(&ice_servers), now);
                self.handle_welcome(id, peers, now);
            }
            ServerMessage::PeerJoined(member) => self.handle_joined(member, now),
            ServerMessage::PeerLeft { id, reason } => self.handle_left(&id, reason, now),
            ServerMessage::Signal { from, body } => self.handle_signal(&from, body, now),
            // They left while something was on its way to them.
            ServerMessage::Error {
                code: ErrorCode::NoSuchPeer,
                message,
            } => {
                tracing::debug!(%message, "told somebody who left");
            }
            ServerMessage::Error { code, message } => {
                let (code, message) = (code.word().to_owned(), message.as_str().to_owned());
                self.out.push_back(Output::Event(Event::Error { code, message }));
            }
            ServerMessage::Unknown => {}
        }
    }

    fn handle_welcome(&mut self, id: PeerId, peers: Vec<Member>, now: Instant) {
        self.id = Some(id.clone());
        self.out.push_back(Output::Event(Event::Joined { id }));
        for someone in self.people.values_mut() {
            someone.presence = Presence::Lost;
        }
        for member in peers {
            self.meet(&member, now);
            let Some(someone) = self.people.get_mut(&member.id) else {
                continue;
            };
            if someone.is_heard(now) {
                // Packets that waited while this machine slept say nothing about the present.
                someone.rejoined = Some(now);
                if someone.needs_path() {
                    // What was said to the socket of before was lost with it.
                    self.seek(&member.id, now);
                }
            } else if someone.is_kept(now) {
                // The call stands there as well; should it not, they answer with another, and it begins anew.
                self.seek(&member.id, now);
            } else {
                self.call_anew(&member.id, now);
            }
        }
        let is_ghost = |s: &Someone| s.presence == Presence::Lost && !s.peer.is_connected();
        let ghosts: Vec<_> = self.people.iter().filter(|(_, s)| is_ghost(s)).collect();
        let ghosts: Vec<_> = ghosts.into_iter().map(|(id, _)| id.clone()).collect();
        for id in ghosts {
            self.part(&id, "lost", now);
        }
    }

    /// They will call: the newcomer does. An offer that they did not answer went to a socket they no
    /// longer have, and is withdrawn. If it was to find another path for a call that stands, it is made again
    /// unless they say something first.
    fn handle_joined(&mut self, member: Member, now: Instant) {
        self.meet(&member, now);
        let Some(someone) = self.people.get_mut(&member.id) else {
            return;
        };
        if !someone.peer.is_offering() {
            return;
        }
        if someone.peer.is_connected() && someone.peer.is_alive() {
            // The call stands; another path is asked for again only while nothing comes.
            someone.peer.withdraw_offer();
            if someone.needs_path() {
                someone.seek_later(now);
            }
        } else {
            self.renew(&member.id, now);
        }
    }

    fn handle_left(&mut self, id: &PeerId, reason: LeaveReason, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if reason == LeaveReason::Left {
            self.part(id, "left", now);
        } else if !(someone.peer.is_connected() && someone.peer.is_alive()) {
            self.part(id, "lost", now);
        } else {
            someone.presence = Presence::Lost;
        }
    }

    fn handle_signal(&mut self, from: &PeerId, body: Body, now: Instant) {
        if !self.people.contains_key(from) {
            return;
        }
        match body {
            Body::Candidate(Some(candidate)) if !candidate.candidate.is_empty() => {
                self.with(from, now, |someone| {
                    someone.peer.add_remote_candidate(&candidate, now)
                });
            }
            Body::Candidate(_) => {}
            Body::Description(description) => {
                let result = match description.kind.as_str() {
                    "offer" => self.handle_offer(from, &description.sdp, now),
                    "answer" => self.handle_answer(from, &description, now),
                    _ => Ok(()),
                };
                match result {
                    // Its offer was withdrawn meanwhile.
                    Ok(()) | Err(NegotiationError::Unexpected) => {}
                    Err(error) => {
                        let name = self.people.get(from).map(|someone| someone.name.clone());
                        let name = name.unwrap_or_default();
                        let why =
                            format!("the call to {name} was not agreed upon: {error}; it is tried again");
                        self.fail(from, "negotiation", why);
                    }
                }
            }
        }
    }

    fn handle_offer(&mut self, from: &PeerId, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let polite = self.id.as_ref().is_some_and(|own| own < from);
        let Some(someone) = self.people.get_mut(from) else {
            return Ok(());
        };
        if someone.peer.is_waiting(now) && !polite {
            return Ok(()); // Glare: ours stands, theirs is withdrawn by them.
        }
        if someone.peer.is_other_session(sdp) {
            self.renew(from, now);
        }
        let mut result = Ok(());
        self.with(from, now, |someone| result = someone.peer.accept_offer(sdp, now));
        result
    }

    fn handle_answer(
        &mut self,
        from: &PeerId,
        answer: &Description,
        now: Instant,
    ) -> Result<(), NegotiationError> {
        let answers = answer.answers.as_deref();
        let Some(someone) = self.people.get(from).filter(|s| s.peer.is_answered_by(answers)) else {
            return Err(NegotiationError::Unexpected);
        };
        let mut result = Ok(());
        if someone.peer.is_other_session(&answer.sdp) {
            // To go on was offered, but they have begun anew.
            self.call_anew(from, now);
        } else {
            self.with(from, now, |s| result = s.peer.accept_answer(&answer.sdp, now));
        }
        result
    }

    /// Adds a person, or notes that a known one is back.
    fn meet(&mut self, member: &Member, now: Instant) {
        if let Some(someone) = self.people.get_mut(&member.id) {
            someone.presence = Presence::Here;
            someone.name = member.name.clone();
            return;
        }
        if self.people.len() >= MAX_PEOPLE {
            tracing::warn!(id = %member.id, "more people than a room holds");
            return;
        }
        let peer = Peer::new(&self.config, &self.paths, now);
        self.people
            .insert(member.id.clone(), Someone::new(member.name.clone(), peer, now));
        self.out.push_back(Output::Event(Event::PeerJoined {
            peer: member.id.clone(),
            name: member.name.clone(),
        }));
        self.with(&member.id, now, |_| {});
    }

    /// Begins anew with somebody who is still there: the old path is lost, or none was found. The one
    /// with the larger identity calls, the other is called.
    pub(super) fn restart(&mut self, id: &PeerId, now: Instant) {
        let calls = self.makes_calls_to(id);
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        someone.tries = someone.tries.saturating_add(1);
        let why = "the path is lost; another is sought".to_owned();
        self.path(id, PathState::Restarting, why);
        if calls {
            self.call_anew(id, now);
        } else {
            self.renew(id, now);
        }
    }

    /// Calls somebody over a fresh peer.
    pub(super) fn call_anew(&mut self, id: &PeerId, now: Instant) {
        self.renew(id, now);
        self.with(id, now, |someone| someone.peer.call(now));
    }

    /// Where it is nobody's turn by having come later, the larger identity calls: its offer also is the
    /// one that stands in glare.
    pub(super) fn makes_calls_to(&self, id: &PeerId) -> bool {
        self.id.as_ref().is_some_and(|own| own > id)
    }

    /// Gives a person a fresh peer, if the present one has begun to talk.
    fn renew(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if someone.peer.is_described() || someone.peer.is_offering() {
            let had_screen = someone.peer.has_screen();
            let peer = Peer::new(&self.config, &self.paths, now);
            someone.renew(peer, now);
            if had_screen {
                self.handle_screen(id, false);
            }
            self.assign(now);
        }
    }

    pub(super) fn part(&mut self, id: &PeerId, reason: &str, now: Instant) {
        if self.people.remove(id).is_some() {
            self.viewports.retain(|video, _| video.peer != *id);
            self.reports.forget(id);
            let (peer, reason) = (id.clone(), reason.to_owned());
            self.out
                .push_back(Output::Event(Event::PeerLeft { peer, reason }));
            self.assign(now);
        }
    }
}
