//! One of the two: a call with its camera, encoders, decoder, mouth and ear.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use facetty::call::feed::Feed;
use facetty::call::paths::IcePolicy;
use facetty::call::targets::{Target, TargetId};
use facetty::call::{Call, CallConfig, Event, VideoFrame};
use facetty::media::frame::{I420, Picture, Pool};
use facetty::media::scale::Scaler;
use facetty::media::stamp;
use facetty::media::test_picture::TestPicture;
use facetty::media::video::{Decoder, VideoCodec};
use facetty::signal::message::{Member, PeerId, ServerMessage};
use facetty::text::SafeText;
use facetty::units::{Bitrate, Size};
use str0m_netem::{Netem, NetemConfig};

use super::voice::{Ear, Mouth};
use super::{Packet, Trace};

/// The size of the simulated cameras.
pub const CAMERA: Size = Size::new(320, 180);

const FRAME: Duration = Duration::from_nanos(33_333_333);

/// Pictures that were sent and may still come: the last ten seconds'.
const KEPT: usize = 300;

/// Gives the picture of this number, so long after the start.
pub type Camera = Box<dyn FnMut(u32, Duration) -> I420>;

/// One person.
pub struct Side {
    pub id: PeerId,
    pub call: Call,
    /// What came out of the call, and when (since the start).
    pub events: Vec<(Duration, Event)>,
    /// The numbers stamped into the pictures that were decoded, and when.
    pub seen: Vec<(Duration, Option<u32>)>,
    /// Voice packets that came.
    pub heard: usize,
    pub keyframes_in: usize,
    /// How long the last picture was to be held to come with its voice.
    pub hold: Duration,
    pub bytes_out: u64,
    pub trace: Trace,
    /// Nothing runs here; what comes waits, as a kernel would keep it.
    pub is_gone: bool,
    pub(super) buffered: VecDeque<Packet>,
    pub(super) address: SocketAddr,
    /// What its router makes of the address, as seen from outside.
    pub(super) mapped: SocketAddr,
    pub(super) line_in: Netem<Packet>,
    pub(super) signals_in: VecDeque<(Instant, ServerMessage)>,
    camera: Camera,
    feeds: BTreeMap<TargetId, Feed>,
    decoder: Option<(VideoCodec, Decoder)>,
    pool: Pool,
    scaler: Scaler,
    number: u32,
    next_frame: Instant,
    pub(super) mouth: Mouth,
    pub(super) ear: Option<Ear>,
    /// What was filmed, at the size that is measured, by its RTP time.
    filmed: VecDeque<(u64, I420)>,
    measured: Option<Size>,
}

impl Side {
    pub(super) fn new(
        id: &str,
        address: &str,
        line: NetemConfig,
        codecs: &[VideoCodec],
        max_bitrate: Option<Bitrate>,
        now: Instant,
    ) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let call = Call::new(
            CallConfig {
                name: SafeText::new(id, 32),
                codecs: codecs.to_vec(),
                max_bitrate,
                fps: 30,
                mic_on: true,
                camera_on: true,
                ice_servers: Vec::new(),
                ice_policy: IcePolicy::All,
            },
            vec![address],
        );
        let mut test_picture = TestPicture::default();
        Self {
            id: PeerId::try_from(id.to_owned()).expect("an identity"),
            call,
            events: Vec::new(),
            seen: Vec::new(),
            heard: 0,
            keyframes_in: 0,
            hold: Duration::ZERO,
            bytes_out: 0,
            trace: Trace::default(),
            is_gone: false,
            buffered: VecDeque::new(),
            address,
            mapped: address,
            line_in: Netem::new(line),
            signals_in: VecDeque::new(),
            camera: Box::new(move |number, at| {
                let mut picture = I420::new(CAMERA);
                test_picture.draw(&mut picture, at);
                stamp::stamp(&mut picture, number);
                picture
            }),
            feeds: BTreeMap::new(),
            decoder: None,
            pool: Pool::default(),
            scaler: Scaler::default(),
            number: 0,
            next_frame: now,
            mouth: Mouth::new(now),
            ear: None,
            filmed: VecDeque::new(),
            measured: None,
        }
    }

    pub fn has_event(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    pub fn when(&self, wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events
            .iter()
            .find(|(_, event)| wanted(event))
            .map(|(at, _)| *at)
    }

    /// What each running encoder makes.
    pub fn encoding(&self) -> impl Iterator<Item = &Target> {
        self.feeds.values().map(Feed::target)
    }

    /// Films with this camera, and keeps what it gave at `measured` to compare what the other side shows.
    #[allow(dead_code)]
    pub fn film_with(&mut self, camera: Camera, measured: Size) {
        (self.camera, self.measured) = (camera, Some(measured));
    }

    /// Says this, 48 kHz, over and over; and what comes is heard.
    #[allow(dead_code)]
    pub fn talk(&mut self, said: Arc<[f32]>, now: Instant) {
        self.mouth.say(said);
        self.ear = Some(Ear::new(now));
    }

    pub(super) fn member(&self) -> Member {
        Member {
            id: self.id.clone(),
            name: SafeText::new(self.id.as_str(), 32),
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        if self.is_gone {
            return None;
        }
        let mut next = self.call.poll_timeout().unwrap_or(self.next_frame);
        next = next
            .min(self.next_frame)
            .min(self.mouth.next)
            .min(self.line_in.poll_timeout());
        if let Some(ear) = &self.ear {
            next = next.min(ear.next);
        }
        Some(self.signals_in.iter().map(|(at, _)| *at).fold(next, Instant::min))
    }

    /// What the camera, the mouth and the ear have to do by now.
    pub(super) fn work(&mut self, start: Instant, now: Instant) {
        if now >= self.next_frame {
            self.next_frame = now + FRAME;
            self.film(start, now);
        }
        if now >= self.mouth.next
            && let Some((data, time)) = self.mouth.speak(now)
        {
            self.call.send_voice(&data, time, now);
        }
        let Some(ear) = &mut self.ear else { return };
        if now >= ear.next
            && let Some((peer, delay)) = ear.listen(now, now - start, &mut self.trace)
        {
            let floor = self.call.set_voice_delay(&peer, Some(delay));
            ear.set_floor(floor);
        }
    }

    pub(super) fn retarget(&mut self, targets: &[Target], now: Instant) {
        self.feeds.retain(|id, _| targets.iter().any(|t| t.id == *id));
        for target in targets {
            match self.feeds.get_mut(&target.id) {
                Some(feed) => feed.retarget(*target).expect("a size"),
                None => {
                    let feed = Feed::new(*target, now).expect("an encoder");
                    self.feeds.insert(target.id, feed);
                }
            }
        }
    }

    fn film(&mut self, start: Instant, now: Instant) {
        self.number += 1;
        let at = now - start;
        let picture = (self.camera)(self.number, at);
        self.trace.filmed.push(at);
        if let Some(size) = self.measured {
            let mut scaled = I420::new(size);
            self.scaler.scale(&picture, &mut scaled);
            self.filmed.push_back((rtp(at), scaled));
            if self.filmed.len() > KEPT {
                self.filmed.pop_front();
            }
        }
        let mut frames = Vec::new();
        for feed in self.feeds.values_mut().filter(|feed| feed.wants(true, now)) {
            frames.extend(feed.encode(&picture, at, now).expect("it encodes"));
        }
        for frame in frames {
            self.trace.encoded.push((at, frame.data.len(), frame.keyframe));
            self.call.send_video(&frame, now);
        }
    }

    /// Decodes what came of the other one, who keeps what was filmed.
    pub(super) fn decode(&mut self, frame: &VideoFrame, other: &Side, at: Duration, now: Instant) {
        self.keyframes_in += usize::from(frame.keyframe);
        self.hold = frame.hold;
        if self
            .decoder
            .as_ref()
            .is_none_or(|(codec, _)| *codec != frame.codec)
        {
            self.decoder = Some((frame.codec, Decoder::new(frame.codec).expect("a decoder")));
        }
        let (_, decoder) = self.decoder.as_mut().expect("set just above");
        match decoder.decode(&frame.data, &mut self.pool) {
            Ok(Some(picture)) => self.show(&picture, frame, other, at),
            _ => {
                self.decoder = None;
                self.trace.broken += 1;
                let peers: Vec<_> = self.peers();
                for peer in peers {
                    self.call.want_keyframe(&peer, now);
                }
            }
        }
    }

    fn show(&mut self, picture: &Picture, frame: &VideoFrame, other: &Side, at: Duration) {
        let shown = at + frame.hold;
        let sent = other.filmed.iter().find(|(time, _)| *time == frame.time);
        let quality = sent.map(|(_, sent)| {
            let mut scaled = I420::new(sent.size());
            self.scaler.scale(picture, &mut scaled);
            super::quality::of(&scaled, sent)
        });
        let age = at.as_secs_f64() - frame.time as f64 / 90_000.0;
        self.trace.shown.push((shown, age, quality));
        self.trace.sizes.push((shown, picture.size()));
        self.seen.push((at, stamp::read(picture)));
    }

    /// Key frames that this side asked for.
    #[allow(dead_code)]
    pub fn call_keyframes_asked(&self) -> u32 {
        let figures = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Figures { figures, .. } => Some(figures.keyframes_asked),
            _ => None,
        });
        figures.unwrap_or(0)
    }

    pub fn peers(&self) -> Vec<PeerId> {
        let met = |event: &Event| match event {
            Event::PeerJoined { peer, .. } => Some(peer.clone()),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| met(event)).collect()
    }
}

/// The RTP time of a picture taken `at`.
fn rtp(at: Duration) -> u64 {
    (at.as_nanos() * 9 / 100_000) as u64
}
