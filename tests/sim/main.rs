//! Stories of two people over a simulated line. A failing one prints its seed, and runs the same
//! again.

#![allow(clippy::unwrap_used)]

mod lines;
mod world;

use std::time::Duration;

use facetty::call::{Event, PathState};
use facetty::media::video::VideoCodec;
use facetty::signal::message::{Body, Candidate, LeaveReason, PeerId, ServerMessage};
use facetty::text::SafeText;
use facetty::units::Size;
use str0m_netem::{GilbertElliot, NetemConfig, Probability, RandomLoss};
use world::World;

const SECOND: Duration = Duration::from_secs(1);

fn clean() -> NetemConfig {
    NetemConfig::new().latency(Duration::from_millis(20))
}

/// About a tenth of the packets is lost, three or four in a row.
fn bursty() -> NetemConfig {
    let loss = GilbertElliot::new()
        .good_duration(30.0)
        .bad_duration(3.5)
        .loss_in_bad(Probability::new(0.95));
    NetemConfig::new()
        .latency(Duration::from_millis(80))
        .jitter(Duration::from_millis(20))
        .loss(loss)
}

fn connected(event: &Event) -> bool {
    matches!(event, Event::Connected { .. })
}

#[test]
fn they_connect_see_and_hear_each_other() {
    let mut world = World::new(clean(), 1);
    world.meet();
    world.run(5 * SECOND);
    for side in [&world.a, &world.b] {
        let at = side.when(connected).expect("connected");
        assert!(at < SECOND, "{at:?}");
        let first = side.seen.first().expect("a picture").0;
        assert!(first < at + Duration::from_millis(300), "{first:?} after {at:?}");
        assert!(side.seen.len() > 100, "{} pictures", side.seen.len());
        assert!(
            side.seen.iter().all(|(_, number)| number.is_some()),
            "every picture is readable"
        );
        assert!(side.heard > 200, "{} voice packets", side.heard);
    }
    let kbps = world.a.bytes_out as f64 * 8.0 / 5.0 / 1000.0;
    assert!(kbps < 250.0, "a terminal's picture costs {kbps} kbit/s");
}

/// Signals take 20 ms and packets 20 ms each way: offer, answer, a check, the choice, and DTLS's three
/// flights. Packets that overtake each other must not cost a repetition (1 s).
#[test]
fn nobody_waits_for_what_was_lost_on_neither_line() {
    for seed in 50..60 {
        let mut world = World::new(clean().jitter(Duration::from_millis(8)), seed);
        world.meet();
        let both = |world: &World| world.a.has_event(connected) && world.b.has_event(connected);
        assert!(
            world.run_until(Duration::from_millis(350), both),
            "seed {seed}: {:?}",
            world.a.events
        );
    }
}

#[test]
fn the_newcomer_calls_and_both_name_the_path() {
    let mut world = World::new(clean(), 2);
    world.meet();
    world.run(2 * SECOND);
    for side in [&world.a, &world.b] {
        let found = side.events.iter().find_map(|(_, event)| match event {
            Event::Connected { way, agreed, .. } => Some((*way, *agreed)),
            _ => None,
        });
        let (way, agreed) = found.expect("connected");
        assert_eq!((way.local, way.remote, way.transport), ("host", "host", "udp"));
        assert_eq!(agreed.video, Some(VideoCodec::Vp9));
        assert!(agreed.audio);
    }
}

#[test]
fn glare_is_resolved() {
    for seed in 0..5 {
        let mut world = World::new(clean(), seed);
        world.meet_with_glare();
        world.run(4 * SECOND);
        for side in [&world.a, &world.b] {
            assert!(side.has_event(connected), "seed {seed}: {:?}", side.events);
            assert!(side.seen.len() > 60, "seed {seed}: {} pictures", side.seen.len());
            assert!(side.heard > 100, "seed {seed}");
        }
    }
}

/// A browser that may not tell its address tells a name that mDNS knows (`.local`).
#[test]
fn candidates_that_cannot_be_read_do_no_harm() {
    let mut world = World::new(clean(), 18);
    world.meet();
    let (ann, bob, now) = (world.a.id.clone(), world.b.id.clone(), world.now);
    for candidate in [
        "candidate:1 1 udp 2113937151 0d3a6c1e-5c0f-4b5e-9f0e-1f2d3c4b5a69.local 50000 typ host",
        "candidate:1 1 udp 2113937151 fe80::1%eth0 50000 typ host",
        "candidate:1 1 udp 2113937151 10.0.0.7 99999 typ host",
        "candidate:",
        "",
    ] {
        let body = || {
            Body::Candidate(Some(Candidate {
                candidate: candidate.to_owned(),
                ..Candidate::default()
            }))
        };
        let signal = |from: &PeerId| ServerMessage::Signal {
            from: from.clone(),
            body: body(),
        };
        world.a.call.handle_server(signal(&bob), now);
        world.b.call.handle_server(signal(&ann), now);
    }
    let both = |world: &World| world.a.has_event(connected) && world.b.has_event(connected);
    assert!(world.run_until(SECOND, both), "{:?}", world.a.events);
}

#[test]
fn candidates_that_overtake_the_description_are_kept() {
    let mut world = World::new(clean(), 3);
    world.description_delay = Duration::from_millis(700);
    world.meet();
    let late = "10.0.0.2:2001".parse().unwrap();
    let now = world.now;
    world.b.call.add_local_address(late, now);
    world.run(5 * SECOND);
    for side in [&world.a, &world.b] {
        assert!(side.has_event(connected), "{:?}", side.events);
        assert!(side.seen.len() > 60, "{} pictures", side.seen.len());
    }
}

#[test]
fn a_tenth_lost_in_bursts_leaves_a_picture() {
    for seed in 10..13 {
        let mut world = World::new(clean(), seed);
        world.meet();
        world.run(2 * SECOND);
        world.set_line(bursty(), seed);
        let before = world.a.seen.len();
        world.run(20 * SECOND);
        let shown = world.a.seen.len() - before;
        assert!(shown > 480, "seed {seed}: {shown} of 600 pictures");
        let times: Vec<_> = world.a.seen[before..].iter().map(|(at, _)| *at).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(
            gap < Duration::from_millis(1500),
            "seed {seed}: nothing for {gap:?}"
        );
        assert!(
            world.a.seen[before..].iter().all(|(_, n)| n.is_some()),
            "seed {seed}: a broken picture was shown"
        );
    }
}

#[test]
fn who_vanishes_is_missed_and_then_gone() {
    let mut world = World::new(clean(), 4);
    world.meet();
    world.run(3 * SECOND);
    world.b.is_gone = true;
    let gone = world.elapsed();
    assert!(world.run_until(4 * SECOND, |world| world.a.has_event(unstable)));
    let noticed = world.a.when(unstable).unwrap() - gone;
    assert!(noticed < Duration::from_millis(2300), "{noticed:?}");
    world.tell_a_that_b_left(LeaveReason::Lost);
    let left = |event: &Event| matches!(event, Event::PeerLeft { .. });
    assert!(!world.a.has_event(left), "a lost socket alone ends no call");
    assert!(world.run_until(10 * SECOND, |world| world.a.has_event(left)));
    assert!(world.a.call.is_empty());
}

#[test]
fn who_loses_only_the_meeting_point_stays() {
    let mut world = World::new(clean(), 5);
    world.meet();
    world.run(3 * SECOND);
    world.tell_a_that_b_left(LeaveReason::Lost);
    let before = world.a.seen.len();
    world.run(20 * SECOND);
    assert!(world.a.seen.len() - before > 500);
    assert!(!world.a.has_event(|event| matches!(event, Event::PeerLeft { .. })));
}

fn left(event: &Event) -> bool {
    matches!(event, Event::PeerLeft { .. })
}

#[test]
fn a_path_that_was_silent_for_too_long_is_found_anew() {
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    for (seed, outage, patience) in [(13, 35, 5), (14, 70, 30)] {
        let mut world = World::new(clean(), seed);
        world.meet();
        world.run(3 * SECOND);
        world.set_line(dead, seed);
        world.run(outage * SECOND);
        world.set_line(clean(), seed);
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 && world.b.seen.len() > before.1;
        assert!(
            world.run_until(patience * SECOND, back),
            "no picture {patience} s after {outage} s of silence: {:?}",
            world.a.events
        );
        for side in [&world.a, &world.b] {
            assert!(
                !side.has_event(left),
                "who is in the room stays: {:?}",
                side.events
            );
        }
    }
}

#[test]
fn a_line_that_comes_back_in_time_is_no_new_call() {
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    let mut world = World::new(clean(), 16);
    world.meet();
    world.run(3 * SECOND);
    for (outage, is_noticed) in [(500, false), (6000, true)] {
        world.set_line(dead, 16);
        world.run(outage * Duration::from_millis(1));
        world.set_line(clean(), 16);
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 + 30 && world.b.seen.len() > before.1 + 30;
        assert!(
            world.run_until(5 * SECOND, back),
            "after {outage} ms: {:?}",
            world.a.events
        );
        for side in [&world.a, &world.b] {
            let restarted = side.has_event(|event| matches!(event, Event::Path { .. }));
            assert_eq!(restarted, is_noticed, "after {outage} ms");
            assert_eq!(
                side.events.iter().filter(|(_, event)| connected(event)).count(),
                1
            );
        }
    }
}

/// What was read of the other one, and when.
fn read(side: &world::Side) -> Vec<(Duration, String)> {
    let chat = |(at, event): &(Duration, Event)| match event {
        Event::Chat { text, .. } => Some((*at, text.as_str().to_owned())),
        _ => None,
    };
    side.events.iter().filter_map(chat).collect()
}

#[test]
fn what_is_written_arrives_once_and_in_order_whatever_the_line() {
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    let mut world = World::new(bursty(), 30);
    world.meet();
    // Pictures would only take their time.
    world.a.call.set_camera(false, world.now);
    world.b.call.set_camera(false, world.now);
    let mut sent = Vec::new();
    let mut write = |world: &mut World, text: String| {
        world.b.call.chat(&SafeText::chat(&text), world.now);
        sent.push(text);
    };
    write(&mut world, "before there is a way".into());
    // A lost packet of SCTP's first is sent again after three seconds (RFC 9260, 16).
    let is_read = |world: &World| read(&world.a).len() == 1;
    assert!(world.run_until(15 * SECOND, is_read), "{:?}", world.a.events);
    for number in 0..20 {
        write(&mut world, format!("{number}"));
        world.run(SECOND / 4);
    }
    world.set_line(dead, 31);
    world.run(3 * SECOND);
    write(&mut world, "while nothing comes".into());
    world.run(2 * SECOND);
    world.set_line(clean(), 31);
    world.run(6 * SECOND);
    // So long that another path is found, over which all is new.
    world.set_line(dead, 32);
    world.run(5 * SECOND);
    write(&mut world, "while there is no path".into());
    world.run(40 * SECOND);
    world.set_line(clean(), 32);
    world.run(30 * SECOND);
    let texts: Vec<_> = read(&world.a).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, sent);
    world.a.call.chat(&SafeText::chat("yes"), world.now);
    world.run(SECOND);
    assert_eq!(read(&world.b).len(), 1);
}

#[test]
fn who_slept_is_met_again() {
    for sleep in [3, 13, 40, 60] {
        let mut world = World::new(clean(), sleep);
        world.meet();
        world.run(3 * SECOND);
        world.b.is_gone = true;
        world.tell_a_that_b_left(LeaveReason::Lost);
        world.run(sleep as u32 * SECOND);
        assert_eq!(world.a.has_event(left), sleep >= 9);
        world.wake_b();
        world.run(100 * Duration::from_millis(1));
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 + 30 && world.b.seen.len() > before.1 + 30;
        assert!(
            world.run_until(6 * SECOND, back),
            "after {sleep} s: {:?} {:?}",
            world.a.events,
            world.b.events
        );
    }
}

fn unstable(event: &Event) -> bool {
    matches!(
        event,
        Event::Path {
            state: PathState::Unstable { .. },
            ..
        }
    )
}

/// With 100 ms of round trip: a new address is offered at once, over the socket that stands or over the one
/// that is made anew.
/// With 100 ms of round trip: what the other side sends is lost until it is told where to.
#[test]
fn a_router_that_gives_another_port_is_noticed_and_followed() {
    let slow = NetemConfig::new().latency(Duration::from_millis(50));
    for seed in 80..84 {
        let mut world = World::new(slow, seed);
        world.meet();
        world.run(5 * SECOND);
        let moved = world.elapsed();
        world.rebind_a("10.0.0.1:55555");
        assert!(world.run_until(3 * SECOND, |world| world.a.has_event(unstable)));
        let noticed = world.a.when(unstable).unwrap() - moved;
        assert!(noticed <= Duration::from_millis(2100), "{noticed:?}");
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 + 5 && world.b.seen.len() > before.1 + 5;
        assert!(
            world.run_until(3 * SECOND, back),
            "seed {seed}: {:?}",
            world.a.events
        );
        assert!(world.elapsed() - moved < 5 * SECOND);
        assert_eq!(
            world
                .a
                .events
                .iter()
                .filter(|(_, event)| connected(event))
                .count(),
            1
        );
    }
}

/// Reports alone are a second apart, and ICE's checks three.
#[test]
fn who_are_both_silent_are_not_taken_to_be_gone() {
    let mut world = World::new(clean(), 74);
    world.meet();
    let now = world.now;
    for side in [&mut world.a, &mut world.b] {
        side.call.set_source(None, now);
        side.call.set_mic(false, now);
    }
    world.run(60 * SECOND);
    for side in [&world.a, &world.b] {
        assert!(side.has_event(connected));
        assert!(!side.has_event(unstable), "{:?}", side.events);
    }
}

#[test]
fn a_call_that_recovered_by_itself_stays_when_the_socket_is_made_anew() {
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    for (seed, rejoin) in [(74, World::rejoin_a as fn(&mut World)), (75, World::rejoin_b)] {
        let mut world = World::new(clean(), seed);
        world.meet();
        world.run(5 * SECOND);
        world.set_line(dead, seed);
        // One of them seeks another path at once; the offer goes to a socket that the other one no longer has.
        let both = |world: &World| world.a.has_event(unstable) && world.b.has_event(unstable);
        world.description_delay = 5 * SECOND;
        assert!(world.run_until(4 * SECOND, both));
        world.run(Duration::from_millis(100));
        world.forget_signals();
        world.description_delay = Duration::ZERO;
        world.set_line(clean(), seed);
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 && world.b.seen.len() > before.1;
        assert!(
            world.run_until(3 * SECOND, back),
            "seed {seed}: {:?}",
            world.b.events
        );
        world.forget_signals();
        rejoin(&mut world);
        world.run(10 * SECOND);
        for side in [&world.a, &world.b] {
            let calls = side.events.iter().filter(|(_, event)| connected(event));
            assert_eq!(calls.count(), 1, "seed {seed}: {:?}", side.events);
        }
    }
}

#[test]
fn a_call_goes_on_over_another_address() {
    let slow = NetemConfig::new().latency(Duration::from_millis(50));
    for (seed, is_rejoined) in [(70, false), (71, true), (72, false), (73, true)] {
        let mut world = World::new(slow, seed);
        world.meet();
        world.run(5 * SECOND);
        let moved = world.elapsed();
        world.move_a("10.0.0.9:1009");
        if is_rejoined {
            world.forget_signals();
            world.run(Duration::from_millis(400));
            world.rejoin_a();
        }
        let before = (world.a.seen.len(), world.b.seen.len());
        let back = |world: &World| world.a.seen.len() > before.0 + 20 && world.b.seen.len() > before.1 + 20;
        assert!(
            world.run_until(3 * SECOND, back),
            "seed {seed}: {:?} {:?}",
            world.a.events,
            world.b.events
        );
        assert_eq!(world.a.when(unstable), Some(moved), "said at once");
        for side in [&world.a, &world.b] {
            let calls = side.events.iter().filter(|(_, event)| connected(event));
            assert_eq!(calls.count(), 1, "seed {seed}: it is the same call");
        }
        world.run(10 * SECOND);
        let last = |event: &Event| match event {
            Event::Path { state, .. } => Some(*state),
            _ => None,
        };
        let state = world
            .a
            .events
            .iter()
            .filter_map(|(_, event)| last(event))
            .next_back();
        assert!(matches!(state, Some(PathState::Restored(_))), "{state:?}");
    }
}

#[test]
fn an_offer_to_a_socket_that_was_gone_does_not_stand_in_the_way() {
    let mut world = World::new(clean(), 15);
    world.meet();
    // Nothing that was said until now arrives: the socket of the second one was dead.
    world.b.is_gone = true;
    world.forget_signals();
    world.wake_b();
    assert!(world.run_until(3 * SECOND, |world| {
        world.a.has_event(connected) && world.b.has_event(connected)
    }));
}

#[test]
fn nobody_is_blamed_for_a_meeting_point_that_is_gone() {
    let failed = |world: &World| {
        let mut whys = world.a.events.iter().filter_map(|(_, event)| match event {
            Event::Path {
                state: PathState::Failed,
                why,
                ..
            } => Some(why.clone()),
            _ => None,
        });
        whys.next_back()
    };
    for (is_there, wanted) in [(true, "did not answer"), (false, "the meeting point is lost")] {
        let mut world = World::new(clean(), 17);
        world.meet();
        world.b.is_gone = true;
        world.forget_signals();
        world.a.call.set_meeting_point(is_there);
        assert!(world.run_until(16 * SECOND, |world| failed(world).is_some()));
        let why = failed(&world).expect("it was told");
        assert!(why.contains(wanted), "{why}");
    }
}

#[test]
fn a_refused_key_is_said_at_once_and_is_no_firewall() {
    let mut world = World::new(clean(), 16);
    world.forges_fingerprints = true;
    world.meet();
    world.run(3 * SECOND);
    let refused = |event: &Event| match event {
        Event::Path {
            state: PathState::Failed,
            why,
            ..
        } => why.contains("encrypted connection"),
        _ => false,
    };
    assert!(
        world.a.has_event(refused) || world.b.has_event(refused),
        "{:?} {:?}",
        world.a.events,
        world.b.events
    );
    assert!(!world.a.has_event(connected) && !world.b.has_event(connected));
}

/// SDP has no mark for which offer an answer is to.
#[test]
fn an_answer_to_a_withdrawn_offer_is_not_taken_for_the_next() {
    let mut world = World::new(clean(), 17);
    world.meet();
    // She answers his first offer, but he has begun anew by then, as after a lost socket.
    world.run(Duration::from_millis(30));
    world.wake_b();
    let both = |world: &World| world.a.has_event(connected) && world.b.has_event(connected);
    assert!(
        world.run_until(SECOND, both),
        "{:?} {:?}",
        world.a.events,
        world.b.events
    );
    let is_error = |event: &Event| matches!(event, Event::Error { .. });
    assert!(!world.a.has_event(is_error) && !world.b.has_event(is_error));
}

#[test]
fn good_bye_is_heard_at_once() {
    let mut world = World::new(clean(), 6);
    world.meet();
    world.run(3 * SECOND);
    let now = world.now;
    world.b.call.leave(now);
    world.run(Duration::from_millis(200));
    assert!(
        world
            .a
            .has_event(|event| matches!(event, Event::PeerLeft { reason, .. } if reason == "left"))
    );
}

#[test]
fn a_viewport_is_followed_and_never_exceeded() {
    let mut world = World::new(clean(), 7);
    world.meet();
    world.run(2 * SECOND);
    let ann = world.a.id.clone();
    let bob = world.b.id.clone();
    assert_eq!(world.a.call.size_out(&bob), Some(Size::new(160, 90)));
    let keyframes = world.b.keyframes_in;
    let now = world.now;
    world.b.call.set_viewport(&ann, Size::new(100, 200), now);
    world.run(SECOND);
    assert_eq!(world.a.call.size_out(&bob), Some(Size::new(100, 56)));
    assert_eq!(world.b.keyframes_in, keyframes, "VP9 shrinks without a key frame");
    let (now, before) = (world.now, world.b.seen.len());
    world.b.call.set_viewport(&ann, Size::new(0, 0), now);
    world.run(SECOND);
    assert!(
        world.b.seen.len() - before < 5,
        "nothing is sent that cannot be shown"
    );
    assert_eq!(world.a.call.size_out(&bob), None);
}

/// The rate of each running encoder.
fn encoded_fps(side: &world::Side) -> Vec<u32> {
    side.encoding().map(|target| target.fps).collect()
}

#[test]
fn a_wish_for_fewer_pictures_slows_the_other_side_alone() {
    let mut world = World::new(clean(), 11);
    world.meet();
    world.run(2 * SECOND);
    let (bob, now) = (world.b.id.clone(), world.now);
    world.a.call.set_wanted_fps(5);
    world.a.call.set_viewport(&bob, Size::new(100, 56), now);
    world.run(SECOND);
    assert_eq!(encoded_fps(&world.b), [5]);
    assert_eq!(encoded_fps(&world.a), [30]);
}

#[test]
fn who_has_no_camera_pays_for_the_voice_alone_until_there_is_one() {
    let mut world = World::new(clean(), 12);
    world.meet();
    let now = world.now;
    world.a.call.set_source(None, now);
    world.run(3 * SECOND);
    let before = world.a.bytes_out;
    world.run(4 * SECOND);
    let kbps = (world.a.bytes_out - before) as f64 * 8.0 / 4.0 / 1000.0;
    assert!(world.b.heard > 300, "{} voice packets", world.b.heard);
    assert!(world.b.seen.is_empty());
    assert!(kbps < 60.0, "{kbps} kbit/s for a voice");
    let now = world.now;
    world.a.call.set_source(Some(world::CAMERA), now);
    world.run(SECOND);
    assert!(world.b.seen.len() > 20, "{} pictures", world.b.seen.len());
}

#[test]
fn no_common_codec_is_said() {
    let mut world = World::with_codecs(clean(), 8, &[VideoCodec::Vp9], &[VideoCodec::Vp8]);
    world.meet();
    world.run(3 * SECOND);
    for side in [&world.a, &world.b] {
        assert!(
            side.has_event(|event| matches!(event, Event::Error { code, .. } if code == "no-common-codec")),
            "{:?}",
            side.events
        );
        assert!(side.has_event(connected), "the voice goes on");
        assert!(side.heard > 50);
    }
}

#[test]
fn vp8_is_taken_where_vp9_is_not() {
    let mut world = World::with_codecs(
        clean(),
        9,
        &[VideoCodec::Vp9, VideoCodec::Vp8],
        &[VideoCodec::Vp8],
    );
    world.meet();
    world.run(3 * SECOND);
    assert!(world.a.seen.len() > 40 && world.b.seen.len() > 40);
}

#[test]
fn a_seed_tells_the_same_story_again() {
    let story = |seed| {
        let mut world = World::new(bursty(), seed);
        world.meet();
        world.run(6 * SECOND);
        let kinds: Vec<_> = world
            .a
            .events
            .iter()
            .map(|(at, e)| (at.as_millis() / 50, kind(e)))
            .collect();
        (kinds, world.a.has_event(connected))
    };
    let (first, is_connected) = story(77);
    assert!(is_connected);
    assert_eq!(story(77).0, first);
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Joined { .. } => "joined",
        Event::PeerJoined { .. } => "peer-joined",
        Event::Connected { .. } => "connected",
        Event::Mute { .. } => "mute",
        _ => "other",
    }
}

#[test]
fn the_voice_is_sent_again_where_much_is_lost() {
    let mut world = World::new(clean(), 40);
    world.meet();
    world.run(3 * SECOND);
    let lossy = clean().loss(RandomLoss::new(Probability::new(0.1)));
    world.set_line(lossy, 40);
    // Reports of the loss, what follows from them, and the estimate's return from what the loss did to it:
    // a poor line gets no copies.
    world.run(15 * SECOND);
    let before = world.a.heard;
    world.run(20 * SECOND);
    let heard = world.a.heard - before;
    assert!(heard >= 985, "{heard} of 1000 voice packets at 10 % loss");
    assert!(heard <= 1000, "{heard} of 1000: none twice");
}

#[test]
fn pictures_wait_for_a_voice_that_is_held_back() {
    let mut world = World::new(clean(), 41);
    world.meet();
    // Until sender reports have come of both.
    world.run(8 * SECOND);
    let bob = world.b.id.clone();
    assert_eq!(world.a.hold, Duration::ZERO, "no voice is played");
    let floor = world
        .a
        .call
        .set_voice_delay(&bob, Some(Duration::from_millis(300)));
    world.run(SECOND);
    // Some 300 ms and the device's, less what a picture takes longer and what nobody notices.
    let held = world.a.hold.as_millis();
    assert!((200..=340).contains(&held), "{held} ms");
    assert!(floor < Duration::from_millis(80), "{floor:?}");
    world
        .a
        .call
        .set_voice_delay(&bob, Some(Duration::from_millis(20)));
    world.run(SECOND);
    assert!(world.a.hold < Duration::from_millis(80), "{:?}", world.a.hold);
}
