//! A peer and something that is not one of ours: str0m by itself in a browser's place, and descriptions as
//! browsers write them.

use std::time::Duration;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, MediaTime};
use str0m::net::{Protocol, Receive};

use super::*;
use crate::call::paths::IcePolicy;
use crate::call::tests_epoch;
use crate::media::frame::I420;
use crate::media::video::{Encoder, EncoderConfig};
use crate::units::Size;

const OURS: &str = "10.0.0.1:1000";
const THEIRS: &str = "10.0.0.2:2000";

fn peer(now: Instant) -> Peer {
    let config = CallConfig {
        name: SafeText::name("ann"),
        codecs: vec![VideoCodec::Vp9, VideoCodec::Vp8],
        max_bitrate: None,
        fps: 30,
        mic_on: true,
        camera_on: true,
        ice_servers: Vec::new(),
        ice_policy: IcePolicy::All,
    };
    let ours = OURS.parse().expect("an address");
    let paths = Paths::new(vec![ours], Vec::new(), IcePolicy::All);
    Peer::new(&config, &paths, now)
}

/// The two of them, and what came of it.
struct Pair {
    peer: Peer,
    browser: Rtc,
    pending: Option<SdpPendingOffer>,
    /// Offers of the peer that the browser has not answered.
    offers: Vec<String>,
    now: Instant,
    news: Vec<News>,
    frames: Vec<VideoFrame>,
    answered: bool,
    encoder: Encoder,
}

impl Pair {
    fn new() -> Self {
        let now = tests_epoch();
        let mut browser = Rtc::builder().build(now);
        let theirs = THEIRS.parse().expect("an address");
        browser.add_local_candidate(IceCandidate::host(theirs, "udp").expect("an address"));
        let config = EncoderConfig {
            codec: VideoCodec::Vp8,
            size: Size::new(64, 48),
            bitrate: Bitrate::kbps(100),
            fps: 10,
        };
        Self {
            peer: peer(now),
            browser,
            pending: None,
            offers: Vec::new(),
            now,
            news: Vec::new(),
            frames: Vec::new(),
            answered: false,
            encoder: Encoder::new(config).expect("a usual configuration"),
        }
    }

    /// The browser offers these changes.
    fn offer(&mut self, change: impl FnOnce(&mut str0m::change::SdpApi<'_>)) -> String {
        let mut api = self.browser.sdp_api();
        change(&mut api);
        let (offer, pending) = api.apply().expect("a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    fn call(change: impl FnOnce(&mut str0m::change::SdpApi<'_>)) -> Self {
        let mut pair = Self::new();
        let offer = pair.offer(change);
        pair.peer.accept_offer(&offer, pair.now).expect("it is answered");
        pair.run(Duration::from_secs(2));
        assert!(pair.peer.is_connected());
        pair
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(5);
            if self.peer.poll_timeout() <= self.now {
                self.peer.handle_timeout(self.now);
            }
            let _ = self.browser.handle_input(Input::Timeout(self.now));
            self.exchange();
        }
    }

    fn exchange(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                PeerOutput::Transmit(transmit) => {
                    let input = receive(&transmit.contents, transmit.source, THEIRS);
                    let Some(receive) = input else { continue };
                    let _ = self.browser.handle_input(Input::Receive(self.now, receive));
                    self.drain();
                }
                PeerOutput::Signal(Body::Description(description)) => match description.kind.as_str() {
                    "answer" => {
                        let answer = SdpAnswer::from_sdp_string(&description.sdp).expect("an answer");
                        let pending = self.pending.take().expect("an offer was out");
                        let accepted = self.browser.sdp_api().accept_answer(pending, answer);
                        accepted.expect("it fits");
                        self.answered = true;
                    }
                    _ => self.offers.push(description.sdp),
                },
                PeerOutput::News(news) => self.news.push(news),
                PeerOutput::Video(frame) => self.frames.push(frame),
                _ => {}
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Ok(Output::Transmit(transmit)) = self.browser.poll_output_or_event() {
            let bytes = transmit.contents.to_vec();
            if let Some(receive) = receive(&bytes, transmit.source, OURS) {
                self.peer
                    .handle_packet(Input::Receive(self.now, receive), &bytes, self.now);
            }
        }
    }

    /// The browser answers what the peer offered.
    fn answer(&mut self) {
        for sdp in std::mem::take(&mut self.offers) {
            let offer = SdpOffer::from_sdp_string(&sdp).expect("an offer");
            let answer = self.browser.sdp_api().accept_offer(offer).expect("it fits");
            let answer = answer.to_sdp_string();
            self.peer.accept_answer(&answer, self.now).expect("it fits");
        }
    }

    /// The browser sends a second of VP8 by this line.
    fn send(&mut self, mid: Mid) {
        for number in 0..10_u64 {
            let time = Duration::from_millis(100 * number);
            let picture = I420::new(Size::new(64, 48));
            let encoded = self.encoder.encode(&picture, time, number == 0);
            let Ok(Some(encoded)) = encoded else { continue };
            let writer = self.browser.writer(mid).expect("the line sends");
            let params = writer.payload_params();
            let pt = params
                .filter(|p| p.spec().codec == str0m::format::Codec::Vp8)
                .map(|p| p.pt())
                .next()
                .expect("VP8 was agreed on");
            let time = MediaTime::from_90khz(9_000 * number);
            writer
                .write(pt, self.now, time, encoded.data)
                .expect("it is sent");
            self.drain();
            self.run(Duration::from_millis(100));
        }
    }

    fn screens(&self) -> Vec<bool> {
        let screen = |news: &News| match news {
            News::Screen(on) => Some(*on),
            _ => None,
        };
        self.news.iter().filter_map(screen).collect()
    }

    fn count(&self, kind: VideoKind) -> usize {
        self.frames.iter().filter(|frame| frame.kind == kind).count()
    }
}

trait Drained {
    fn poll_output_or_event(&mut self) -> Result<Output, ()>;
}

impl Drained for Rtc {
    /// The next packet; an error where there is none.
    fn poll_output_or_event(&mut self) -> Result<Output, ()> {
        loop {
            match self.poll_output() {
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(_)) | Err(_) => return Err(()),
                Ok(transmit) => return Ok(transmit),
            }
        }
    }
}

fn receive<'a>(bytes: &'a [u8], source: SocketAddr, to: &str) -> Option<Receive<'a>> {
    let to = to.parse().expect("an address");
    Receive::new(Protocol::Udp, source, to, bytes).ok()
}

fn everything(api: &mut str0m::change::SdpApi<'_>) {
    api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    api.add_media(MediaKind::Video, Direction::SendRecv, None, None, None);
    api.add_channel(control::LABEL.to_owned());
}

#[test]
fn a_screen_is_added_sent_removed_and_shared_again() {
    let mut pair = Pair::call(everything);
    let camera = pair.peer.video.expect("a line of video");
    pair.send(camera);
    assert!(pair.count(VideoKind::Camera) > 5);
    for share in 1..=2 {
        let before = pair.count(VideoKind::Screen);
        let mut mid = None;
        let offer = pair.offer(|api| {
            mid = Some(api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
        });
        let mid = mid.expect("it was added");
        pair.peer.accept_offer(&offer, pair.now).expect("it is answered");
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.screens().len(), share * 2 - 1);
        assert_eq!(pair.screens().last(), Some(&true));
        pair.send(mid);
        assert!(pair.count(VideoKind::Screen) > before + 5);
        assert!(
            pair.frames
                .iter()
                .all(|f| f.kind == VideoKind::Camera || f.hold.is_zero())
        );
        // The decoder lost its way: the sender of this picture hears of it.
        pair.peer.want_keyframe(VideoKind::Screen, pair.now);
        let offer = match share {
            1 => pair.offer(|api| api.set_direction(mid, Direction::Inactive)),
            _ => pair.offer(|api| api.stop_media(mid)),
        };
        pair.peer.accept_offer(&offer, pair.now).expect("it is answered");
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.screens().last(), Some(&false), "share {share}");
        pair.send(camera);
    }
    assert!(pair.offers.is_empty(), "nothing is missing");
}

#[test]
fn what_a_line_carries_is_as_they_say() {
    let mut pair = Pair::call(everything);
    let first = pair.peer.video.expect("a line of video");
    pair.peer.name_line(&first.to_string(), VideoKind::Screen);
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.screens(), [true]);
    pair.send(first);
    assert_eq!(pair.count(VideoKind::Camera), 0);
    assert!(pair.count(VideoKind::Screen) > 5);
    pair.peer.set_said_screen(Some(false));
    pair.peer.set_said_screen(Some(true));
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.screens(), [true, false, true]);
    for nonsense in ["", "a line of a name that is far too long", "?"] {
        pair.peer.name_line(nonsense, VideoKind::Screen);
    }
    for number in 0..100 {
        pair.peer.name_line(&number.to_string(), VideoKind::Camera);
    }
    assert!(pair.peer.named.len() < 20);
}

#[test]
fn an_offer_that_is_withdrawn_in_glare_is_made_again() {
    let mut pair = Pair::call(everything);
    pair.peer.restart_ice(pair.now);
    let offer = pair.offer(|api| {
        api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
    });
    // The peer gives way: the browser never answers its first offer.
    pair.exchange();
    assert_eq!(pair.offers.len(), 1);
    pair.offers.clear();
    pair.peer.accept_offer(&offer, pair.now).expect("it is answered");
    pair.exchange();
    assert!(pair.answered);
    assert_eq!(pair.screens(), [true]);
    assert_eq!(pair.offers.len(), 1, "the restart is offered again");
    let ufrag = |sdp: &str| {
        sdp.lines()
            .find(|line| line.starts_with("a=ice-ufrag"))
            .map(str::to_owned)
    };
    let restarted = ufrag(&pair.offers[0]);
    pair.answer();
    pair.run(Duration::from_secs(3));
    assert!(pair.offers.is_empty() && !pair.peer.is_offering());
    assert!(restarted.is_some());
    let camera = pair.peer.video.expect("a line of video");
    let before = pair.frames.len();
    pair.send(camera);
    assert!(pair.frames.len() > before + 5, "the call goes on");
}

#[test]
fn an_offer_that_gave_way_to_one_that_does_not_fit_is_made_again() {
    let mut pair = Pair::call(everything);
    pair.peer.restart_ice(pair.now);
    pair.exchange();
    let restarted = pair.offers.pop().expect("it is offered");
    // Their lines are others than those that were agreed upon.
    let refused = pair.peer.accept_offer(&offer("VP8/90000"), pair.now);
    assert!(
        matches!(refused, Err(NegotiationError::Refused(_))),
        "{refused:?}"
    );
    pair.exchange();
    assert_eq!(pair.offers.len(), 1, "the restart is offered again");
    assert_ne!(pair.offers[0], restarted);
    pair.answer();
    pair.run(Duration::from_secs(3));
    assert!(!pair.peer.is_offering());
}

#[test]
fn a_restart_is_not_made_twice_where_theirs_is_one() {
    let mut pair = Pair::call(everything);
    pair.peer.restart_ice(pair.now);
    pair.exchange();
    pair.offers.clear();
    let offer = pair.offer(|api| drop(api.ice_restart(true)));
    pair.peer.accept_offer(&offer, pair.now).expect("it is answered");
    pair.run(Duration::from_secs(2));
    assert!(pair.offers.is_empty(), "{:?}", pair.offers);
    let camera = pair.peer.video.expect("a line of video");
    let before = pair.frames.len();
    pair.send(camera);
    assert!(pair.frames.len() > before + 5, "the call goes on");
}

#[test]
fn what_their_offer_leaves_out_is_asked_for_once() {
    let mut pair = Pair::call(|api| {
        api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    });
    assert_eq!(pair.peer.agreed().video, None);
    assert_eq!(pair.offers.len(), 1, "picture and channel are missing");
    pair.answer();
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.peer.agreed().video, Some(VideoCodec::Vp9));
    assert!(pair.peer.is_talking());
    assert!(pair.offers.is_empty());
}

#[test]
fn an_offer_that_nobody_answers_stands_in_the_way_for_a_while() {
    let now = tests_epoch();
    let mut peer = peer(now);
    assert!(!peer.is_waiting(now));
    peer.call(now);
    assert!(peer.is_waiting(now + Duration::from_secs(9)));
    assert!(!peer.is_waiting(now + Duration::from_secs(11)));
    assert!(peer.is_offering());
}

/// As Safari and Chromium write them, shortened to what counts.
fn offer(video: &str) -> String {
    let ice = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\n\
               a=fingerprint:sha-256 9A:1C:0F:0E:11:2B:3C:4D:5E:6F:70:81:92:A3:B4:C5:D6:E7:F8:09:1A:2B:3C:4D:5E:6F:70:81:92:A3:B4:C5\r\n\
               a=setup:actpass\r\n";
    format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n{ice}\
         a=candidate:1 1 udp 2113937151 8b0cdcb4-9bd1-4e4f-9a76-8a3a8a3a8a3a.local 51000 typ host generation 0\r\n\
         a=mid:0\r\na=sendrecv\r\na=msid:- a0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:126 telephone-event/8000\r\na=ssrc:1001 cname:x\r\n\
         m=video {video}\r\n{ice}a=mid:1\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{ice}a=mid:2\r\n\
         a=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
}

fn answered(video: &str) -> (Peer, String) {
    let now = tests_epoch();
    let mut peer = peer(now);
    peer.accept_offer(&offer(video), now).expect("it is answered");
    let answer = std::iter::from_fn(|| peer.poll_output()).find_map(|output| match output {
        PeerOutput::Signal(Body::Description(description)) => Some(description.sdp),
        _ => None,
    });
    (peer, answer.expect("an answer"))
}

const VP8_AND_H264: &str = "9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=rtpmap:96 VP8/90000\r\n\
                            a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
                            a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f";
const H264: &str = "9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=rtpmap:102 H264/90000\r\n\
                    a=fmtp:102 packetization-mode=1;profile-level-id=42e01f";
const RECEIVES: &str = "9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n\
                        a=rtcp-fb:96 nack pli";

#[test]
fn a_browser_of_vp8_stereo_voice_without_redundancy_and_congestion_control_is_answered() {
    let (peer, answer) = answered(VP8_AND_H264);
    assert_eq!(peer.agreed().video, Some(VideoCodec::Vp8));
    assert!(peer.agreed().audio);
    assert!(
        answer.contains("VP8/90000") && answer.contains("opus/48000/2"),
        "{answer}"
    );
    for foreign in ["H264", "PCMU", "telephone-event", "transport-cc", " red/"] {
        assert!(!answer.contains(foreign), "{foreign}: {answer}");
    }
    assert!(!peer.is_offering(), "nothing is missing");
}

#[test]
fn without_a_common_codec_the_voice_is_agreed_on() {
    let (peer, answer) = answered(H264);
    assert_eq!(peer.agreed().video, None);
    assert!(peer.agreed().audio, "{answer}");
    assert!(!answer.contains("H264"), "{answer}");
}

#[test]
fn who_has_no_camera_is_sent_pictures_and_may_have_one_later() {
    let (mut peer, answer) = answered(RECEIVES);
    assert_eq!(peer.agreed().video, Some(VideoCodec::Vp8));
    let video = answer.split("m=video").nth(1).expect("a line of video");
    assert!(video.contains("a=sendonly"), "{answer}");
    assert_eq!(peer.intakes.camera.mid, Some(Mid::from("1")));
    let now = tests_epoch();
    let again = offer(VP8_AND_H264);
    peer.accept_offer(&again, now).expect("it is answered");
    let answers = std::iter::from_fn(|| peer.poll_output()).filter_map(|output| match output {
        PeerOutput::Signal(Body::Description(description)) => Some(description.sdp),
        _ => None,
    });
    let answer = answers.last().expect("an answer");
    let video = answer.split("m=video").nth(1).expect("a line of video");
    assert!(video.contains("a=sendrecv"), "{answer}");
}

#[test]
fn a_stopped_line_is_recycled() {
    let (mut peer, _) = answered(VP8_AND_H264);
    let now = tests_epoch();
    let stopped = offer(&VP8_AND_H264.replacen('9', "0", 1)).replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    peer.accept_offer(&stopped, now).expect("it is answered");
    assert_eq!(peer.agreed().video, None);
    let recycled = offer(VP8_AND_H264)
        .replace("BUNDLE 0 1 2", "BUNDLE 0 3 2")
        .replace("a=mid:1\r\n", "a=mid:3\r\n");
    peer.accept_offer(&recycled, now).expect("it is answered");
    assert_eq!(peer.agreed().video, Some(VideoCodec::Vp8));
    assert_eq!(peer.video, Some(Mid::from("3")));
}

#[test]
fn candidates_as_browsers_write_them_are_taken_or_passed_over() {
    let (mut peer, _) = answered(VP8_AND_H264);
    let now = tests_epoch();
    let candidate = |text: &str, ufrag: Option<&str>| crate::signal::message::Candidate {
        candidate: text.to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: Some(0),
        username_fragment: ufrag.map(str::to_owned),
    };
    let host =
        "candidate:842163049 1 udp 1677729535 10.0.0.9 41885 typ host generation 0 ufrag abcd network-id 1";
    for (text, ufrag, taken) in [
        ("", None, 0),
        (
            "candidate:1 1 udp 2113937151 8b0cdcb4-9bd1-4e4f.local 51000 typ host",
            Some("abcd"),
            0,
        ),
        (
            "candidate:1 1 udp 2113937151 fe80::1%eth0 51000 typ host",
            None,
            0,
        ),
        (host, Some("of before"), 0),
        (host, Some("abcd"), 1),
        (host, None, 1),
    ] {
        peer.add_remote_candidate(&candidate(text, ufrag), now);
        assert_eq!(peer.remote_candidates.len(), taken, "{text} {ufrag:?}");
    }
}
