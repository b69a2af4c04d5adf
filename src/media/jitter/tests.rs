use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::media::audio::FRAME;

/// A moment to count from.
#[allow(clippy::disallowed_methods)]
fn zero() -> Instant {
    Instant::now()
}

/// A small deterministic source of numbers below one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a network does to a packet: nothing at all, or so many milliseconds of delay.
type Network<'a> = &'a mut dyn FnMut(u64) -> Option<f64>;

/// What came out of a simulated call.
#[derive(Debug, Default)]
struct Heard {
    /// The numbers of the packets in the order of playing.
    played: Vec<u64>,
    recovered: usize,
    concealed: usize,
    paused: usize,
    counts: Counts,
    /// The delay in milliseconds after each second.
    delays: Vec<f64>,
}

/// A sender of 50 packets a second for so many seconds through the network, and a player of 100
/// blocks a second that stretches as it is wished to.
fn call(seconds: u64, network: Network) -> Heard {
    let start = zero();
    let packets = (0..seconds * 50).filter_map(|seq| {
        let delay = network(seq)?;
        Some((seq, seq as f64 * 20.0 + delay))
    });
    let mut arrivals: Vec<(u64, f64)> = packets.collect();
    arrivals.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut buffer = JitterBuffer::new();
    let mut heard = Heard::default();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut held = 0;
    for block in 0..seconds * 100 {
        let now_ms = block as f64 * 10.0;
        while let Some((seq, at)) = arrivals.next_if(|(_, at)| *at <= now_ms) {
            buffer.insert(packet(seq, seq * 960, start, at), FRAME);
        }
        let now = start + Duration::from_secs_f64(now_ms / 1e3);
        while held < BLOCK {
            held += match buffer.next(now, held) {
                Next::Play(packet) => {
                    heard.played.push(packet.seq);
                    let change = match buffer.wish() {
                        Wish::Keep => 0,
                        Wish::Shrink(_) => -300,
                        Wish::Grow => 300,
                    };
                    buffer.stretched(change);
                    (FRAME as i64 + change) as usize
                }
                Next::Recover(_, samples) => {
                    heard.recovered += 1;
                    samples
                }
                Next::Conceal(samples) => {
                    heard.concealed += samples;
                    samples
                }
                Next::Pause(samples) => {
                    heard.paused += samples;
                    samples
                }
            };
        }
        held -= BLOCK;
        if block % 100 == 99 {
            heard.delays.push(buffer.delay().as_secs_f64() * 1e3);
        }
    }
    heard.counts = buffer.take_counts();
    heard
}

fn packet(seq: u64, time: u64, start: Instant, at_ms: f64) -> VoicePacket {
    VoicePacket {
        seq,
        time,
        data: Arc::new([0]),
        arrived: start + Duration::from_secs_f64(at_ms / 1e3),
    }
}

#[test]
fn a_clean_line_costs_little_delay_and_nothing_else() {
    let heard = call(20, &mut |_| Some(40.0));
    assert_eq!(heard.concealed + heard.recovered, 0, "{heard:?}");
    assert_eq!(heard.counts.lost + heard.counts.late, 0);
    assert!(heard.played.len() >= 20 * 50 - 5);
    assert!(
        heard.delays.iter().all(|delay| *delay <= 30.5),
        "{:?}",
        heard.delays
    );
}

#[test]
fn the_delay_follows_the_jitter_and_returns() {
    let mut dice = Dice(7);
    let heard = call(40, &mut |seq| {
        let rough = (500..1000).contains(&seq);
        Some(40.0 + if rough { 80.0 * dice.roll() } else { 0.0 })
    });
    let delay = |second: usize| heard.delays[second];
    assert!(delay(8) <= 30.5, "{:?}", heard.delays);
    assert!((70.0..120.0).contains(&delay(18)), "{:?}", heard.delays);
    assert!(delay(38) <= 41.0, "{:?}", heard.delays);
    let share = heard.counts.concealed as f64 / heard.counts.played as f64;
    assert!(share < 0.02, "{share} concealed");
}

#[test]
fn single_losses_are_recovered_from_the_next_packet() {
    let heard = call(30, &mut |seq| (seq % 20 != 19).then_some(40.0));
    // That the last one is lost is never known.
    assert_eq!(heard.counts.lost, 30 * 50 / 20 - 1);
    // The first comes before it is known that the line loses packets.
    assert!(heard.recovered >= 73, "{heard:?}");
    assert!(
        heard.delays.iter().skip(5).all(|delay| *delay <= 51.0),
        "{:?}",
        heard.delays
    );
}

#[test]
fn losses_under_jitter_are_mostly_recovered() {
    let mut dice = Dice(99);
    let heard = call(60, &mut |_| {
        let delay = 40.0 + 30.0 * dice.roll();
        (dice.roll() > 0.05).then_some(delay)
    });
    let share = heard.counts.concealed as f64 / heard.counts.played as f64;
    assert!(share < 0.015, "{share} concealed, {} recovered", heard.recovered);
}

#[test]
fn a_burst_is_concealed_and_then_all_is_well() {
    let heard = call(20, &mut |seq| (!(300..308).contains(&seq)).then_some(40.0));
    assert_eq!(heard.counts.lost, 8);
    let lost = heard.counts.concealed + heard.recovered as u64 * FRAME as u64;
    assert!(
        (lost as i64 - 8 * FRAME as i64).abs() <= BLOCK as i64,
        "{heard:?}"
    );
    assert!(heard.delays[18] <= 51.0, "{:?}", heard.delays);
}

#[test]
fn order_is_restored_and_doubles_are_dropped() {
    let start = zero();
    let mut buffer = JitterBuffer::new();
    for (place, seq) in [5, 4, 6, 6, 8, 7, 4, 9].into_iter().enumerate() {
        buffer.insert(packet(seq, seq * 960, start, place as f64), FRAME);
    }
    let mut played = Vec::new();
    for block in 0..30 {
        let now = start + Duration::from_millis(10 * block);
        if let Next::Play(packet) = buffer.next(now, 0) {
            played.push(packet.seq);
            // One that was played comes once more.
            buffer.insert(packet, FRAME);
        }
    }
    assert_eq!(played, [4, 5, 6, 7, 8, 9]);
    assert_eq!((buffer.take_counts().late, buffer.take_counts().lost), (0, 0));
}

#[test]
fn reordering_on_the_way_loses_nothing() {
    let mut dice = Dice(3);
    let heard = call(30, &mut |_| Some(if dice.roll() < 0.05 { 65.0 } else { 40.0 }));
    let mut sorted = heard.played.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, heard.played);
    assert!(heard.counts.concealed < 48_000 / 5, "{:?}", heard.counts);
}

#[test]
fn a_pause_is_no_loss_and_voice_returns_in_time() {
    // 10 s of voice, 10 s in which only each twentieth frame is sent, and voice again; numbers are
    // given to packets that are sent, and times to all.
    let start = zero();
    let mut buffer = JitterBuffer::new();
    let (mut seq, mut played, mut pauses, mut concealed) = (0, 0, 0, 0);
    let mut held = 0;
    for block in 0..3000_u64 {
        let frame = block / 2;
        let quiet = (500..1000).contains(&frame);
        if block % 2 == 0 && (!quiet || frame % 20 == 0) {
            buffer.insert(packet(seq, frame * 960, start, block as f64 * 10.0), FRAME);
            seq += 1;
        }
        let now = start + Duration::from_millis(block * 10);
        while held < BLOCK {
            held += match buffer.next(now, held) {
                Next::Play(_) => {
                    played += 1;
                    FRAME
                }
                Next::Pause(samples) => {
                    pauses += samples;
                    samples
                }
                Next::Recover(_, samples) | Next::Conceal(samples) => {
                    concealed += samples;
                    samples
                }
            };
        }
        held -= BLOCK;
    }
    let counts = buffer.take_counts();
    assert_eq!((counts.lost, counts.late, counts.concealed), (0, 0, 0));
    assert!(played >= seq - 3, "{played} of {seq}");
    assert!(
        buffer.delay() <= Duration::from_millis(31),
        "{:?}",
        buffer.delay()
    );
    // The last sound is continued while it is not known whether packets are late.
    assert!(pauses + concealed > 400_000);
}

#[test]
fn a_sender_that_begins_again_is_heard_again() {
    let start = zero();
    let mut buffer = JitterBuffer::new();
    let mut heard_again = 0;
    for block in 0..2000_u64 {
        let frame = block / 2;
        let (seq, time) = if frame < 500 {
            (60_000 + frame, 1 << 31 | (frame * 960))
        } else {
            (frame - 500, frame * 960)
        };
        if block % 2 == 0 {
            buffer.insert(packet(seq, time, start, block as f64 * 10.0), FRAME);
        }
        let now = start + Duration::from_millis(block * 10);
        if block % 2 == 0
            && let Next::Play(packet) = buffer.next(now, 0)
        {
            heard_again += u64::from(packet.seq < 500);
        }
    }
    assert!(heard_again >= 495, "{heard_again} of 500");
}

#[test]
fn one_wild_packet_changes_nothing() {
    let mut buffer = JitterBuffer::new();
    let start = zero();
    let mut played = 0;
    for frame in 0..200_u64 {
        let at = frame as f64 * 20.0;
        buffer.insert(packet(frame, frame * 960, start, at), FRAME);
        if frame % 10 == 5 {
            buffer.insert(packet(frame + (1 << 40), frame * 960, start, at), FRAME);
            buffer.insert(packet(frame + 1, u64::MAX / 3, start, at), FRAME);
        }
        let now = start + Duration::from_millis(frame * 20);
        played += u64::from(matches!(buffer.next(now, 0), Next::Play(_)));
    }
    assert!(played >= 195, "{played} of 200");
}

#[test]
fn two_clocks_that_drift_apart_stay_together() {
    // The sender is 300 ppm faster.
    let heard = call(120, &mut |seq| Some(40.0 - seq as f64 * 20.0 * 300e-6));
    assert!(
        heard.delays.iter().all(|delay| *delay <= 45.0),
        "{:?}",
        heard.delays
    );
    assert!(heard.counts.concealed < 4_800, "{:?}", heard.counts);
    let slower = call(120, &mut |seq| Some(40.0 + seq as f64 * 20.0 * 300e-6));
    assert!(
        slower.delays.iter().all(|delay| *delay <= 45.0),
        "{:?}",
        slower.delays
    );
    assert!(slower.counts.concealed < 4_800, "{:?}", slower.counts);
}

#[test]
fn a_spike_of_delay_is_made_good() {
    // The line stands still for 600 ms and then delivers everything at once.
    let heard = call(30, &mut |seq| {
        let held_up = 40.0 + (530 - seq as i64).clamp(0, 30) as f64 * 20.0;
        Some(if (500..530).contains(&seq) { held_up } else { 40.0 })
    });
    assert!(heard.delays[29] <= 60.0, "{:?}", heard.delays);
    assert!(heard.counts.lost == 0, "{:?}", heard.counts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_network_ends_in_order_and_in_bounds(
        seed in 1..u64::MAX, jitter in 0.0..300.0, loss in 0.0..0.5,
    ) {
        let mut dice = Dice(seed);
        let heard = call(12, &mut |_| {
            let delay = 20.0 + jitter * dice.roll();
            (dice.roll() >= loss).then_some(delay)
        });
        prop_assert!(heard.played.is_sorted_by(|a, b| a < b));
        prop_assert!(heard.delays.iter().all(|delay| *delay < 1500.0), "{:?}", heard.delays);
        prop_assert!(!heard.played.is_empty());
    }

    #[test]
    fn no_stream_can_harm(
        packets in prop::collection::vec(
            (
                prop_oneof![any::<u64>(), 0..50_u64, Just(u64::MAX), Just(LAST_SEQ)],
                prop_oneof![any::<u64>(), 0..50_000_u64],
                0..3_000_u64,
                1..=5760_usize,
            ),
            0..200,
        ),
    ) {
        let start = zero();
        let mut buffer = JitterBuffer::new();
        for (i, (seq, time, at, duration)) in packets.into_iter().enumerate() {
            let came = packet(seq, time, start, at as f64);
            buffer.insert(came.clone(), duration);
            buffer.insert(VoicePacket { seq: seq.saturating_add(1), ..came }, duration);
            let now = start + Duration::from_millis(i as u64 * 10);
            for _ in 0..3 {
                let samples = match buffer.next(now, 0) {
                    Next::Play(_) => duration,
                    Next::Recover(_, n) | Next::Conceal(n) | Next::Pause(n) => n,
                };
                prop_assert!((1..=5760).contains(&samples));
            }
            buffer.wish();
        }
    }
}
