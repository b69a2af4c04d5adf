//! The pace over simulated lines, in simulated time.

#![allow(clippy::disallowed_methods)]

use super::*;

const MS: Duration = Duration::from_millis(1);

/// What is on its way.
#[derive(Clone, Copy)]
enum Item {
    Frame,
    Probe,
}

/// A line with a long buffer, a terminal at its end, and somebody who always has a new picture.
struct Line {
    now: Instant,
    pace: Pace,
    /// Bytes a second.
    rate: f64,
    /// There and back.
    round_trip: Duration,
    /// The terminal takes nothing until then.
    stalled: Instant,
    /// Answers nothing.
    deaf: bool,
    /// So many answers to frames are lost.
    loses: usize,
    /// What was sent, and what of it has not passed yet.
    queue: VecDeque<(Item, f64)>,
    answers: VecDeque<(Item, Instant)>,
    next_picture: Instant,
    /// The largest picture, in bytes.
    most: usize,
    sent: Vec<(Instant, usize)>,
    probes: usize,
    deepest: f64,
}

impl Line {
    fn new(rate: f64, round_trip: Duration, limit: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            now,
            pace: Pace::new(limit, now),
            rate,
            round_trip,
            stalled: now,
            deaf: false,
            loses: 0,
            queue: VecDeque::new(),
            answers: VecDeque::new(),
            next_picture: now,
            most: 15_360,
            sent: Vec::new(),
            probes: 0,
            deepest: 0.0,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += MS;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        if now >= self.stalled {
            let mut passes = self.rate / 1000.0;
            while let Some((item, left)) = self.queue.front_mut() {
                if *left > passes {
                    *left -= passes;
                    break;
                }
                passes -= *left;
                self.answers.push_back((*item, now + self.round_trip));
                self.queue.pop_front();
            }
        }
        while self.answers.front().is_some_and(|(_, at)| *at <= now) {
            match self.answers.pop_front() {
                _ if self.deaf => {}
                Some((Item::Frame, _)) if self.loses > 0 => self.loses -= 1,
                Some((Item::Frame, _)) => self.pace.answered(now),
                Some((Item::Probe, _)) => self.pace.probe_answered(now),
                None => {}
            }
        }
        self.pace.handle_timeout(now);
        let asks = self.pace.asks(now);
        if asks {
            self.queue.push_back((Item::Probe, 3.0));
            self.probes += 1;
        }
        if now >= self.next_picture
            && let Turn::Go(bytes) = self.pace.turn(self.most, now)
        {
            // What is written at once arrives at once: ssh makes one packet of it.
            match self.queue.back_mut() {
                Some((_, left)) if asks => {
                    *left += bytes as f64;
                    self.queue.push_back((Item::Frame, 0.0));
                }
                _ => self.queue.push_back((Item::Frame, bytes as f64)),
            }
            self.pace.wrote(bytes, now, now);
            self.sent.push((now, bytes));
            self.next_picture = now + 33 * MS;
        }
        let waits: f64 = self.queue.iter().map(|(_, left)| left).sum();
        self.deepest = self.deepest.max(waits / self.rate);
    }

    /// Frames and bytes a second, since `from`.
    fn since(&self, from: Instant) -> (f64, f64) {
        let seconds = (self.now - from).as_secs_f64();
        let sent: Vec<_> = self.sent.iter().filter(|(at, _)| *at >= from).collect();
        let bytes: usize = sent.iter().map(|(_, bytes)| bytes).sum();
        (sent.len() as f64 / seconds, bytes as f64 / seconds)
    }
}

#[test]
fn a_fast_line_takes_every_picture_whole() {
    for round_trip in [Duration::ZERO, 20 * MS, 60 * MS] {
        let mut line = Line::new(20e6, round_trip, None);
        line.run(2000 * MS);
        let from = line.now;
        line.run(5000 * MS);
        let (fps, bytes) = line.since(from);
        assert!(fps > 28.0, "{round_trip:?}: {fps}");
        assert!(bytes > 28.0 * 15_360.0, "{round_trip:?}: {bytes}");
    }
}

#[test]
fn a_slow_line_is_filled_and_hardly_anything_waits_in_it() {
    for (rate, round_trip) in [
        (25_000.0, Duration::ZERO),
        (25_000.0, 80 * MS),
        (125_000.0, Duration::ZERO),
        (125_000.0, 40 * MS),
        (11_520.0, 5 * MS),
    ] {
        let mut line = Line::new(rate, round_trip, None);
        line.run(3000 * MS);
        (line.deepest, line.probes) = (0.0, 0);
        let from = line.now;
        line.run(30_000 * MS);
        let (fps, bytes) = line.since(from);
        let name = format!(
            "{rate} B/s, {round_trip:?}: {fps} fps, {bytes} B/s, {} s",
            line.deepest
        );
        assert!(fps > 8.0, "{name}");
        assert!(bytes > rate * 0.75, "{name}");
        assert!(line.deepest < 0.13, "{name}");
        assert!(line.probes <= 20, "{name}: {}", line.probes);
    }
}

#[test]
fn a_line_that_changes_is_followed() {
    let mut line = Line::new(125_000.0, 10 * MS, None);
    line.run(3000 * MS);
    line.rate = 25_000.0;
    line.run(2000 * MS);
    line.deepest = 0.0;
    line.run(2000 * MS);
    assert!(line.deepest < 0.13, "{}", line.deepest);
    line.rate = 125_000.0;
    line.run(1000 * MS);
    let from = line.now;
    line.run(3000 * MS);
    let (_, bytes) = line.since(from);
    assert!(bytes > 90_000.0, "{bytes}");
}

#[test]
fn a_reader_that_pauses_gets_the_newest_picture_at_once() {
    let mut line = Line::new(5e6, 2 * MS, None);
    line.run(3000 * MS);
    line.stalled = line.now + 5000 * MS;
    let from = line.now;
    line.run(5000 * MS);
    let (frames, bytes) = (line.sent.iter().filter(|(at, _)| *at >= from), 3 * 15_360);
    assert!(frames.map(|(_, bytes)| bytes).sum::<usize>() <= bytes);
    line.run(100 * MS);
    let whole = line
        .sent
        .iter()
        .rev()
        .take(2)
        .all(|(at, bytes)| *at >= line.stalled && *bytes == 15_360);
    assert!(whole, "{:?}", &line.sent[line.sent.len() - 4..]);
}

#[test]
fn lost_answers_do_not_stop_it() {
    for loses in 1..4 {
        let mut line = Line::new(1e6, 5 * MS, None);
        line.run(2000 * MS);
        line.loses = loses;
        line.run(4000 * MS);
        let from = line.now;
        line.run(3000 * MS);
        let (fps, _) = line.since(from);
        assert!(fps > 28.0, "{loses}: {fps}");
    }
}

#[test]
fn a_terminal_that_answers_nothing_is_written_to_by_the_clock() {
    let mut line = Line::new(1e6, 2 * MS, None);
    line.deaf = true;
    line.run(2000 * MS);
    let from = line.now;
    line.run(5000 * MS);
    let (fps, bytes) = line.since(from);
    assert!(
        fps > 10.0 && bytes > SILENT * 0.8 && bytes < SILENT * 1.3,
        "{fps} {bytes}"
    );
    assert!(!line.pace.is_answered());
    line.deaf = false;
    line.run(10_000 * MS);
    assert!(line.pace.is_answered());
    let from = line.now;
    line.run(2000 * MS);
    assert!(line.since(from).0 > 28.0);
}

#[test]
fn a_limit_is_kept() {
    for limit in [5_000, 50_000, 200_000] {
        let mut line = Line::new(20e6, 2 * MS, Some(limit));
        line.run(2000 * MS);
        let from = line.now;
        line.run(10_000 * MS);
        let (_, bytes) = line.since(from);
        let limit = limit as f64;
        assert!(bytes > limit * 0.75 && bytes < limit * 1.1, "{limit}: {bytes}");
    }
}

#[test]
fn what_is_under_way_when_the_terminal_is_given_away_is_forgotten() {
    let mut line = Line::new(1e6, 5 * MS, None);
    line.run(1000 * MS);
    line.queue.clear();
    line.answers.clear();
    line.pace.reset(line.now);
    let from = line.now;
    line.run(1000 * MS);
    assert!(line.since(from).0 > 25.0);
}
