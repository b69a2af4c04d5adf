//! Who gets which encoded picture: one encoder for each distinct size, shared by all who asked for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::media::video::VideoCodec;
use crate::signal::message::PeerId;
use crate::units::{Bitrate, Size};

/// At most so many encoders run: a third size costs CPU, a fourth would cost more than it shows.
pub const MAX_TARGETS: usize = 3;

/// Key frames of one target are this far apart at least; requests in between share the next one.
pub const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);

/// Who was passed over on a weak line gets key frames so far apart at least, since all others get them too.
const REJOIN_INTERVAL: Duration = Duration::from_secs(1);

/// Names an encoder as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

/// What one encoder is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which encoder.
    pub id: TargetId,
    /// The codec; it never changes.
    pub codec: VideoCodec,
    /// The picture's size.
    pub size: Size,
    /// Bits per second.
    pub bitrate: Bitrate,
    /// Pictures per second, at most.
    pub fps: u32,
    /// Grows by one for each key frame that is wanted.
    pub keyframes: u32,
    /// Nothing is to be made for now: what was made has not left yet to anybody.
    pub paused: bool,
}

/// What one person wants and can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The codec agreed with that person.
    pub codec: VideoCodec,
    /// The size that they can show, already at the source's aspect.
    pub size: Size,
    /// Pictures per second.
    pub fps: u32,
    /// Bits per second that the line to them carries.
    pub bitrate: Bitrate,
    /// What was made for them has not left yet.
    pub held: bool,
}

/// The encoders and who is served by which.
#[derive(Default)]
pub struct Targets {
    list: Vec<Target>,
    served: BTreeMap<PeerId, TargetId>,
    next: u32,
    /// When each may make the next key frame.
    next_keyframe: BTreeMap<TargetId, Instant>,
    wanted_keyframe: Vec<TargetId>,
    /// Who was moved to an encoder whose pictures mean nothing to them until its next key frame.
    awaiting: Vec<PeerId>,
    /// To whom what was made has not left yet.
    held: Vec<PeerId>,
    /// Who of those missed a picture, and needs a key frame once they are held no more.
    missed: Vec<PeerId>,
}

impl Targets {
    /// The encoders as they are to run now.
    pub fn list(&self) -> &[Target] {
        &self.list
    }

    /// Who gets the pictures of encoder `id`.
    pub fn served_by(&self, id: TargetId) -> impl Iterator<Item = &PeerId> {
        let served = self.served.iter().filter(move |(_, target)| **target == id);
        let peers = served.map(|(peer, _)| peer);
        peers.filter(|peer| !self.awaiting.contains(peer))
    }

    /// Encoder `id` made a picture. From a key frame on all its people can follow; who is held while others
    /// are not is passed over until the next one.
    pub fn picture_made(&mut self, id: TargetId, keyframe: bool) {
        let served = &self.served;
        let is_of = |peer: &PeerId| served.get(peer) == Some(&id);
        if keyframe {
            self.awaiting.retain(|peer| !is_of(peer));
            self.missed.retain(|peer| !is_of(peer));
        }
        if self.list.iter().any(|t| t.id == id && t.paused) {
            return;
        }
        for peer in self.held.iter().filter(|peer| is_of(peer)) {
            for list in [&mut self.awaiting, &mut self.missed] {
                if !list.contains(peer) {
                    list.push(peer.clone());
                }
            }
        }
    }

    /// Which encoder serves `peer`.
    pub fn target_of(&self, peer: &PeerId) -> Option<&Target> {
        let id = self.served.get(peer)?;
        self.list.iter().find(|t| t.id == *id)
    }

    /// Shares the encoders out anew. Returns true where the list changed.
    pub fn assign(&mut self, wants: &BTreeMap<PeerId, Want>, now: Instant) -> bool {
        let groups = grouped(wants);
        let before = std::mem::take(&mut self.list);
        let served_before = std::mem::take(&mut self.served);
        for (codec, size, members) in groups {
            let old = self.reusable(&before, &served_before, codec, size, &members);
            let id = old.map_or_else(|| self.fresh_id(), |t| t.id);
            let strictest = |of: fn(&Want) -> u64| members.iter().map(|p| of(&wants[*p])).min().unwrap_or(0);
            self.list.push(Target {
                id,
                codec,
                size,
                bitrate: Bitrate(strictest(|w| w.bitrate.0)),
                fps: strictest(|w| u64::from(w.fps)) as u32,
                keyframes: old.map_or(0, |t| t.keyframes),
                paused: members.iter().all(|p| wants[*p].held),
            });
            let newcomer = members.iter().any(|p| served_before.get(*p) != Some(&id));
            for peer in members {
                if served_before.get(peer) != Some(&id) && !self.awaiting.contains(peer) {
                    self.awaiting.push(peer.clone());
                }
                self.served.insert(peer.clone(), id);
            }
            if newcomer && old.is_some() {
                self.request_keyframe(id, Duration::ZERO, now);
            }
        }
        let served = &self.served;
        self.awaiting.retain(|peer| served.contains_key(peer));
        self.missed.retain(|peer| served.contains_key(peer));
        let held = wants.iter().filter(|(_, want)| want.held);
        self.held = held.map(|(peer, _)| peer.clone()).collect();
        self.bring_back(now);
        self.list.sort_by_key(|t| t.id);
        self.next_keyframe
            .retain(|id, _| self.list.iter().any(|t| t.id == *id));
        self.wanted_keyframe
            .retain(|id| self.list.iter().any(|t| t.id == *id));
        self.list != before
    }

    /// Asks encoder `id` for a key frame, now or as soon as [`KEYFRAME_INTERVAL`] allows; the next one is
    /// also so far `apart` from this one. Returns true where the list changed at once.
    pub fn request_keyframe(&mut self, id: TargetId, apart: Duration, now: Instant) -> bool {
        let early = self.next_keyframe.get(&id).is_some_and(|next| now < *next);
        if early {
            if !self.wanted_keyframe.contains(&id) {
                self.wanted_keyframe.push(id);
            }
            return false;
        }
        self.wanted_keyframe.retain(|wanted| *wanted != id);
        self.next_keyframe.insert(id, now + KEYFRAME_INTERVAL.max(apart));
        let Some(target) = self.list.iter_mut().find(|t| t.id == id) else {
            return false;
        };
        target.keyframes = target.keyframes.wrapping_add(1);
        true
    }

    /// When [`Targets::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |id: &TargetId| self.next_keyframe.get(id).copied();
        self.wanted_keyframe.iter().filter_map(due).min()
    }

    /// Makes the key frames that had to wait. Returns true where the list changed.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let waiting = std::mem::take(&mut self.wanted_keyframe);
        let made = waiting
            .into_iter()
            .filter(|id| self.request_keyframe(*id, Duration::ZERO, now));
        made.count() > 0
    }

    /// Asks for the key frames of those who missed something and are held no more.
    fn bring_back(&mut self, now: Instant) {
        let held = &self.held;
        let (missed, back) = std::mem::take(&mut self.missed)
            .into_iter()
            .partition(|peer| held.contains(peer));
        self.missed = missed;
        let back: Vec<PeerId> = back;
        for peer in back {
            if let Some(id) = self.served.get(&peer).copied() {
                self.request_keyframe(id, REJOIN_INTERVAL, now);
            }
        }
    }

    fn fresh_id(&mut self) -> TargetId {
        self.next += 1;
        TargetId(self.next)
    }

    /// The encoder that goes on for this group: one of the same size, or one whose people are all in
    /// the group (it changes its size in place, without a key frame where the codec can).
    fn reusable(
        &self,
        before: &[Target],
        served: &BTreeMap<PeerId, TargetId>,
        codec: VideoCodec,
        size: Size,
        members: &[&PeerId],
    ) -> Option<Target> {
        let free = |t: &&Target| t.codec == codec && !self.list.iter().any(|taken| taken.id == t.id);
        let same = before.iter().filter(free).find(|t| t.size == size);
        let own = |t: &&Target| {
            let mut users = served
                .iter()
                .filter(|(_, id)| **id == t.id)
                .map(|(peer, _)| peer)
                .peekable();
            users.peek().is_some() && users.all(|user| members.contains(&user))
        };
        same.or_else(|| before.iter().filter(free).find(own)).copied()
    }
}

type Group<'a> = (VideoCodec, Size, Vec<&'a PeerId>);

/// People who want the same picture, at most [`MAX_TARGETS`] groups: the two nearest are joined at the
/// smaller size (nobody gets more than was asked for).
fn grouped(wants: &BTreeMap<PeerId, Want>) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (peer, want) in wants {
        match groups
            .iter_mut()
            .find(|(codec, size, _)| *codec == want.codec && *size == want.size)
        {
            Some((_, _, members)) => members.push(peer),
            None => groups.push((want.codec, want.size, vec![peer])),
        }
    }
    groups.sort_by_key(|(codec, size, _)| (*codec as u8, size.area()));
    while groups.len() > MAX_TARGETS {
        let joinable = |i: &usize| groups[*i].0 == groups[*i + 1].0;
        let gap = |i: &usize| groups[*i + 1].1.area() - groups[*i].1.area();
        let Some(i) = (0..groups.len() - 1).filter(joinable).min_by_key(gap) else {
            break;
        };
        let (_, _, members) = groups.remove(i + 1);
        groups[i].2.extend(members);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> PeerId {
        PeerId::try_from(name.to_owned()).expect("a valid identity")
    }

    fn want(width: u32, bitrate: u64) -> Want {
        let size = Size::new(width, width / 2);
        Want {
            codec: VideoCodec::Vp9,
            size,
            fps: 30,
            bitrate: Bitrate::kbps(bitrate),
            held: false,
        }
    }

    #[test]
    fn equal_sizes_share_an_encoder_at_the_weakest_line() {
        let mut targets = Targets::default();
        let wants = BTreeMap::from([(peer("a"), want(80, 50)), (peer("b"), want(80, 30))]);
        assert!(targets.assign(&wants, crate::call::tests_epoch()));
        assert_eq!(targets.list().len(), 1);
        assert_eq!(targets.list()[0].bitrate, Bitrate::kbps(30));
        let id = targets.list()[0].id;
        assert_eq!(targets.served_by(id).count(), 0, "nobody knows its pictures yet");
        targets.picture_made(id, true);
        assert_eq!(targets.served_by(id).count(), 2);
        assert!(!targets.assign(&wants, crate::call::tests_epoch()));
    }

    #[test]
    fn who_is_held_is_passed_over_and_comes_back_with_a_key_frame() {
        let now = crate::call::tests_epoch();
        let held = |a, b| {
            let want = |held| Want { held, ..want(80, 50) };
            BTreeMap::from([(peer("a"), want(a)), (peer("b"), want(b))])
        };
        let mut targets = Targets::default();
        targets.assign(&held(false, false), now);
        let id = targets.list()[0].id;
        let served = |targets: &Targets| targets.served_by(id).cloned().collect::<Vec<_>>();
        targets.picture_made(id, true);
        targets.assign(&held(true, false), now);
        assert!(!targets.list()[0].paused, "the other goes on");
        targets.picture_made(id, false);
        assert_eq!(served(&targets), [peer("b")]);
        targets.picture_made(id, true);
        assert_eq!(served(&targets), [peer("b")], "a key frame is held back as well");
        let keyframes = targets.list()[0].keyframes;
        assert!(
            targets.assign(&held(false, false), now),
            "a key frame is asked for"
        );
        assert_eq!(targets.list()[0].keyframes, keyframes + 1);
        targets.picture_made(id, false);
        assert_eq!(served(&targets), [peer("b")], "until it comes");
        targets.picture_made(id, true);
        assert_eq!(served(&targets), [peer("a"), peer("b")]);
        targets.assign(&held(true, true), now);
        assert!(targets.list()[0].paused, "nobody could take one");
        targets.picture_made(id, false);
        assert_eq!(served(&targets).len(), 2, "what was under way is not missed");
    }

    #[test]
    fn a_lone_viewer_who_resizes_keeps_the_encoder_without_a_key_frame() {
        let now = crate::call::tests_epoch();
        let mut targets = Targets::default();
        targets.assign(&BTreeMap::from([(peer("a"), want(160, 50))]), now);
        let before = targets.list()[0];
        targets.assign(&BTreeMap::from([(peer("a"), want(100, 50))]), now);
        let after = targets.list()[0];
        assert_eq!((before.id, before.keyframes), (after.id, after.keyframes));
        assert_eq!(after.size.width, 100);
    }

    #[test]
    fn a_newcomer_to_a_shared_encoder_gets_a_key_frame() {
        let now = crate::call::tests_epoch();
        let mut targets = Targets::default();
        targets.assign(&BTreeMap::from([(peer("a"), want(80, 50))]), now);
        let keyframes = targets.list()[0].keyframes;
        targets.assign(
            &BTreeMap::from([(peer("a"), want(80, 50)), (peer("b"), want(80, 50))]),
            now,
        );
        assert_eq!(targets.list()[0].keyframes, keyframes + 1);
        let id = targets.list()[0].id;
        targets.picture_made(id, true);
        targets.assign(
            &BTreeMap::from([(peer("a"), want(80, 50)), (peer("c"), want(80, 50))]),
            now,
        );
        let served: Vec<_> = targets.served_by(id).cloned().collect();
        assert_eq!(served, [peer("a")], "until the key frame there is nothing for c");
    }

    #[test]
    fn key_frames_asked_for_together_are_one() {
        let now = crate::call::tests_epoch();
        let mut targets = Targets::default();
        targets.assign(&BTreeMap::from([(peer("a"), want(80, 50))]), now);
        let id = targets.list()[0].id;
        assert!(targets.request_keyframe(id, Duration::ZERO, now));
        assert!(!targets.request_keyframe(id, Duration::ZERO, now + Duration::from_millis(10)));
        assert!(!targets.request_keyframe(id, Duration::ZERO, now + Duration::from_millis(20)));
        let due = targets.poll_timeout().expect("one waits");
        assert_eq!(due, now + KEYFRAME_INTERVAL);
        assert!(targets.handle_timeout(due));
        assert_eq!(targets.list()[0].keyframes, 2);
        assert_eq!(targets.poll_timeout(), None);
    }

    #[test]
    fn a_fourth_size_joins_its_nearest_smaller_neighbour() {
        let mut targets = Targets::default();
        let wants: BTreeMap<_, _> = [40, 80, 84, 200]
            .iter()
            .map(|w| (peer(&format!("p{w}")), want(*w, 50)))
            .collect();
        targets.assign(&wants, crate::call::tests_epoch());
        let widths: Vec<_> = targets.list().iter().map(|t| t.size.width).collect();
        assert_eq!(widths, [40, 80, 200]);
        assert_eq!(targets.target_of(&peer("p84")).map(|t| t.size.width), Some(80));
    }
}
