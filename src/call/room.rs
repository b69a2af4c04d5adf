//! Who is in the room: what the meeting point says, and the descriptions and candidates it carries.

use std::time::Instant;

use super::peer::{NegotiationError, Peer};
use super::people::{Presence, Someone};
use super::{Call, Event, Output};
use crate::signal::message::{Body, LeaveReason, Member, PeerId, ServerMessage};

impl Call {
    pub(super) fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Welcome { id, peers, .. } => self.handle_welcome(id, peers, now),
            ServerMessage::PeerJoined(member) => self.handle_joined(member, now),
            ServerMessage::PeerLeft { id, reason } => self.handle_left(&id, reason, now),
            ServerMessage::Signal { from, body } => self.handle_signal(&from, body, now),
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
            let known = self.meet(&member, now);
            let connected = self.people.get(&member.id).is_some_and(|s| s.peer.is_connected());
            if !(known && connected) {
                self.renew(&member.id, now);
                self.with(&member.id, now, |someone| someone.peer.call(now));
            }
        }
    }

    /// They will call: the newcomer does.
    fn handle_joined(&mut self, member: Member, now: Instant) {
        self.meet(&member, now);
    }

    fn handle_left(&mut self, id: &PeerId, reason: LeaveReason, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if reason == LeaveReason::Left {
            self.part(id, "left", now);
        } else if !someone.peer.is_connected() {
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
                    "answer" => {
                        let mut result = Ok(());
                        self.with(from, now, |s| {
                            result = s.peer.accept_answer(&description.sdp, now)
                        });
                        result
                    }
                    _ => Ok(()),
                };
                if let Err(error) = result {
                    self.fail(from, "negotiation", error.to_string());
                }
            }
        }
    }

    fn handle_offer(&mut self, from: &PeerId, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let polite = self.id.as_ref().is_some_and(|own| own < from);
        let Some(someone) = self.people.get_mut(from) else {
            return Ok(());
        };
        if someone.peer.is_offering() && !polite {
            return Ok(()); // Glare: ours stands, theirs is withdrawn by them.
        }
        if someone.peer.is_other_session(sdp) {
            self.renew(from, now);
        }
        let mut result = Ok(());
        self.with(from, now, |someone| result = someone.peer.accept_offer(sdp, now));
        result
    }

    /// Adds a person, or notes that a known one is back. Returns true where they were known.
    fn meet(&mut self, member: &Member, now: Instant) -> bool {
        if let Some(someone) = self.people.get_mut(&member.id) {
            someone.presence = Presence::Here;
            someone.name = member.name.clone();
            return true;
        }
        let peer = Peer::new(&self.config.codecs, &self.addresses, now);
        self.people
            .insert(member.id.clone(), Someone::new(member.name.clone(), peer, now));
        self.out.push_back(Output::Event(Event::PeerJoined {
            peer: member.id.clone(),
            name: member.name.clone(),
        }));
        self.with(&member.id, now, |_| {});
        false
    }

    /// Gives a person a fresh peer, if the present one has begun to talk.
    fn renew(&mut self, id: &PeerId, now: Instant) {
        let Some(someone) = self.people.get_mut(id) else {
            return;
        };
        if someone.peer.is_described() || someone.peer.is_offering() {
            let name = someone.name.clone();
            let peer = Peer::new(&self.config.codecs, &self.addresses, now);
            *someone = Someone::new(name, peer, now);
            self.assign(now);
        }
    }

    pub(super) fn part(&mut self, id: &PeerId, reason: &str, now: Instant) {
        if self.people.remove(id).is_some() {
            self.viewports.remove(id);
            let (peer, reason) = (id.clone(), reason.to_owned());
            self.out
                .push_back(Output::Event(Event::PeerLeft { peer, reason }));
            self.assign(now);
        }
    }
}
