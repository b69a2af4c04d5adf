//! Weak lines, with looser bounds than the bench `rate` has for them.

use std::time::Duration;

use facetty::call::Event;
use facetty::units::Size;
use str0m_netem::{Bitrate, DataSize, NetemConfig, Probability, RandomLoss};

use super::world::{Kind, Side, World};
use super::{SECOND, clean};

/// A line of so many kilobits a second, 40 ms each way, whose queue holds 400 ms.
fn narrow(kbit: u64) -> NetemConfig {
    let bytes = kbit * 440 / 8;
    NetemConfig::new()
        .latency(Duration::from_millis(40))
        .link(Bitrate::kbps(kbit), DataSize::bytes(bytes as i64))
}

/// Pictures a second that were shown since then.
fn fps(side: &Side, since: Duration, until: Duration) -> f64 {
    let shown = side.seen.iter().filter(|(at, _)| *at >= since && *at < until);
    shown.count() as f64 / (until - since).as_secs_f64()
}

/// Kilobits a second that left in that time.
fn kbit(side: &Side, since: Duration, until: Duration) -> f64 {
    let sent = side
        .trace
        .sent
        .iter()
        .filter(|(at, ..)| *at >= since && *at < until);
    sent.map(|(.., bytes)| *bytes).sum::<usize>() as f64 * 0.008 / (until - since).as_secs_f64()
}

/// The share of voice packets that came, of those that left.
fn voice(to: &Side, from: &Side, since: Duration) -> f64 {
    let is_voice = |kind: &Kind| *kind == Kind::Voice;
    let sent = from
        .trace
        .sent
        .iter()
        .filter(|(at, kind, _)| *at >= since && is_voice(kind));
    let came = to
        .trace
        .came
        .iter()
        .filter(|(at, kind, _)| *at >= since && is_voice(kind));
    came.count() as f64 / sent.count() as f64
}

#[test]
fn a_line_that_is_cut_is_not_overfilled_and_comes_back() {
    let mut world = World::new(narrow(800), 50);
    world.viewport = Size::new(320, 180);
    world.meet();
    world.run(20 * SECOND);
    let before = world.elapsed();
    world.set_line(narrow(100), 50);
    world.run(30 * SECOND);
    let during = world.elapsed();
    let sent = kbit(&world.a, before + 8 * SECOND, during);
    assert!(sent < 115.0, "{sent} kbit/s into a line of 100");
    let shown = fps(&world.b, before + 15 * SECOND, during);
    assert!(shown > 2.0, "{shown} pictures a second");
    let voice = voice(&world.b, &world.a, before + 8 * SECOND);
    assert!(voice > 0.95, "{voice} of the voice came");
    world.set_line(narrow(800), 51);
    world.run(20 * SECOND);
    let now = world.elapsed();
    let usual = kbit(&world.a, before - 8 * SECOND, before);
    let back = kbit(&world.a, now - 5 * SECOND, now);
    assert!(back > 0.8 * usual, "{back} of {usual} kbit/s");
}

#[test]
fn fifty_kilobits_carry_a_voice_and_some_picture() {
    let mut world = World::new(narrow(50), 52);
    world.meet();
    world.run(45 * SECOND);
    let (from, to) = (15 * SECOND, world.elapsed());
    for (one, other) in [(&world.a, &world.b), (&world.b, &world.a)] {
        let shown = fps(one, from, to);
        assert!(shown > 1.0, "{shown} pictures a second");
        let voice = voice(one, other, from);
        assert!(voice > 0.9, "{voice} of the voice came");
    }
}

#[test]
fn a_third_lost_leaves_a_picture_without_a_storm_of_requests() {
    let mut world = World::new(clean(), 53);
    world.meet();
    world.run(2 * SECOND);
    world.set_line(clean().loss(RandomLoss::new(Probability::new(0.3))), 53);
    world.run(30 * SECOND);
    let shown = fps(&world.b, 5 * SECOND, world.elapsed());
    assert!(shown > 2.0, "{shown} pictures a second");
    let asked = f64::from(world.b.call_keyframes_asked()) / 30.0;
    assert!(asked < 1.0, "{asked} key frames a second");
}

#[test]
fn where_much_is_lost_pictures_come_twice() {
    let mut world = World::new(clean(), 54);
    world.meet();
    world.run(5 * SECOND);
    let usual = world
        .a
        .trace
        .sent
        .iter()
        .filter(|(_, kind, _)| *kind == Kind::Picture)
        .count();
    world.set_line(clean().loss(RandomLoss::new(Probability::new(0.1))), 54);
    world.run(10 * SECOND);
    let lossy = world
        .a
        .trace
        .sent
        .iter()
        .filter(|(_, kind, _)| *kind == Kind::Picture)
        .count()
        - usual;
    assert!(lossy > 5 * usual / 2, "{usual} packets in 5 s, {lossy} in 10");
    world.set_line(clean(), 54);
    world.run(25 * SECOND);
    let until = world.elapsed();
    let sent = world
        .a
        .trace
        .sent
        .iter()
        .filter(|(at, ..)| *at > until - 5 * SECOND);
    let again = sent.filter(|(_, kind, _)| *kind == Kind::Picture).count();
    assert!(
        again < usual * 5 / 4,
        "{again} packets in 5 s where nothing is lost"
    );
}

#[test]
fn what_comes_twice_or_late_harms_nothing() {
    let line = clean().duplicate(Probability::new(0.2)).reorder_gap(9);
    let mut world = World::new(line, 55);
    world.meet();
    world.run(15 * SECOND);
    let shown = fps(&world.b, 3 * SECOND, world.elapsed());
    assert!(shown > 28.0, "{shown} pictures a second");
    assert!(
        world.b.seen.iter().all(|(_, number)| number.is_some()),
        "every picture is whole"
    );
    let lost = |event: &Event| matches!(event, Event::Path { .. });
    assert!(!world.a.has_event(lost) && !world.b.has_event(lost));
}
