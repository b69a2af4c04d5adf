//! The figures of one story: of what Ann sent and Bob saw and heard.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use facetty::call::Event;

use crate::stories::Story;
use crate::world::{Kind, World};

/// libwebrtc's: a gap that exceeds the usual one by this is a freeze.
const FREEZE: f64 = 0.15;

pub struct Report {
    name: &'static str,
    seed: u64,
    /// Of each second from the start: kilobits that came, and the estimate.
    came: Vec<f64>,
    estimate: Vec<Option<f64>>,
    pub kbit: f64,
    pub picture_kbit: f64,
    pub fps: f64,
    pub shown_share: f64,
    pub freezes: usize,
    pub longest: f64,
    /// Share of the time.
    pub frozen: f64,
    /// Asked for a second.
    pub plis: f64,
    pub keyframes: usize,
    pub concealed: f64,
    /// From the mouth to what is mixed for the ear, in milliseconds.
    pub voice: f64,
    /// What packets waited at the bottleneck, 95th percentile and most, in milliseconds.
    pub queue: f64,
    pub queue_most: f64,
    pub psnr: f64,
    pub ssim: f64,
    /// From the camera to the screen, median and 95th percentile, in milliseconds.
    pub age: (f64, f64),
}

impl Report {
    pub const HEAD: &str = "story                               seed  kbit/s  est. pict.   fps shown  frz longest frozen  \
         PLI/s  key conceal voice ms  queue p95/max   PSNR  SSIM  glass p50/p95";

    pub fn of(story: &Story, seed: u64, world: &World) -> Self {
        let (from, to) = (story.skip as f64, world.elapsed().as_secs_f64());
        let span = to - from;
        let (ann, bob) = (&world.a.trace, &world.b.trace);
        let within = |at: &Duration| at.as_secs_f64() >= from;
        let seconds = to.ceil() as usize;
        let mut came = vec![0.0; seconds];
        let mut picture = 0.0;
        for (at, kind, bytes) in &ann.sent {
            let second = (at.as_secs_f64() as usize).min(seconds - 1);
            came[second] += *bytes as f64 * 0.008;
            if within(at) && *kind == Kind::Picture {
                picture += *bytes as f64 * 0.008;
            }
        }
        let mut estimate = vec![None; seconds];
        for (at, event) in &world.a.events {
            if let Event::Figures { figures, .. } = event {
                estimate[(at.as_secs_f64() as usize).min(seconds - 1)] =
                    figures.estimate.map(|e| e.as_kbps());
            }
        }
        let shown: Vec<f64> = bob
            .shown
            .iter()
            .filter(|(at, ..)| within(at))
            .map(|(at, ..)| at.as_secs_f64())
            .collect();
        let (freezes, longest, frozen) = freezes(&shown, from, to);
        let filmed = ann.filmed.iter().filter(|at| within(at)).count();
        let mut waits: Vec<f64> = Vec::new();
        let mut ages: Vec<f64> = Vec::new();
        let mut starts = 0.0;
        for (line, seconds) in &story.stages {
            let stage = starts..starts + *seconds as f64;
            starts = stage.end;
            let best = line.delay.as_secs_f64();
            for (at, _, under_way) in &bob.came {
                if within(at) && stage.contains(&at.as_secs_f64()) {
                    waits.push((under_way.as_secs_f64() - best).max(0.0) * 1e3);
                }
            }
        }
        let voices: Vec<f64> = bob
            .came
            .iter()
            .filter(|(at, kind, _)| within(at) && *kind == Kind::Voice)
            .map(|(_, _, under_way)| under_way.as_secs_f64() * 1e3)
            .collect();
        ages.extend(
            bob.shown
                .iter()
                .filter(|(at, ..)| within(at))
                .map(|(_, age, _)| age * 1e3),
        );
        let heard = bob.heard.iter().filter(|(at, ..)| within(at));
        let (mut played, mut concealed, mut held) = (0, 0, Vec::new());
        for (_, counts, delay) in heard {
            played += counts.played;
            concealed += counts.concealed;
            held.push(delay.as_secs_f64() * 1e3);
        }
        let qualities = || {
            bob.shown
                .iter()
                .filter(|(at, ..)| within(at))
                .filter_map(|(.., q)| *q)
        };
        Self {
            name: story.name,
            seed,
            kbit: mean(came[story.skip as usize..].iter().copied()),
            came,
            estimate,
            picture_kbit: picture / span,
            fps: shown.len() as f64 / span,
            shown_share: shown.len() as f64 / filmed.max(1) as f64,
            freezes,
            longest,
            frozen,
            plis: f64::from(world.b.call_keyframes_asked()) / to,
            keyframes: world.b.keyframes_in,
            concealed: concealed as f64 / (played + concealed).max(1) as f64,
            voice: mean(voices.iter().copied()) + mean(held.into_iter()),
            queue: percentile(&mut waits, 95),
            queue_most: percentile(&mut waits, 100),
            psnr: mean(qualities().map(|(psnr, _)| psnr)),
            ssim: mean(qualities().map(|(_, ssim)| ssim)),
            age: (percentile(&mut ages, 50), percentile(&mut ages, 95)),
        }
    }

    /// What each second was like.
    pub fn print_series(&self, world: &World) {
        println!("  second   kbit/s  estimate  fps  pict. again pad. voice ctl.  wait ms  size");
        let (ann, bob) = (&world.a.trace, &world.b.trace);
        for (second, (came, estimate)) in self.came.iter().zip(&self.estimate).enumerate() {
            let at = |at: &Duration| at.as_secs() as usize == second;
            let of = |wanted: Kind| {
                let bytes = ann.sent.iter().filter(|(t, kind, _)| at(t) && *kind == wanted);
                bytes.map(|(.., bytes)| *bytes).sum::<usize>() as f64 * 0.008
            };
            let fps = bob.shown.iter().filter(|(t, ..)| at(t)).count();
            let waits = bob.came.iter().filter(|(t, ..)| at(t));
            let wait = waits.map(|(.., wait)| wait.as_millis()).max().unwrap_or(0);
            let size = bob.sizes.iter().rev().find(|(t, _)| at(t)).map(|(_, size)| *size);
            println!(
                "  {second:>6} {came:>8.0} {:>9.0} {fps:>4} {:>6.0} {:>5.0} {:>4.0} {:>5.0} {:>4.0} {wait:>8}  {}",
                estimate.unwrap_or(0.0),
                of(Kind::Picture),
                of(Kind::Again),
                of(Kind::Padding),
                of(Kind::Voice),
                of(Kind::Control),
                size.map_or(String::new(), |size| format!("{}x{}", size.width, size.height)),
            );
        }
    }

    /// From `after` seconds into the stage on, the rate's mean over the rest of it is in `range`.
    pub fn rate_within(
        &self,
        stage: Range<usize>,
        after: usize,
        range: RangeInclusive<f64>,
    ) -> (String, bool) {
        let rest = stage.start + after..stage.end;
        let estimate = mean(self.estimate[rest.clone()].iter().flatten().copied());
        let sent = mean(self.came[rest.clone()].iter().copied());
        let what = format!(
            "second {} to {}: estimate {estimate:.0}, sent {sent:.0} kbit/s; wanted {:.0} to {:.0}",
            rest.start,
            rest.end,
            range.start(),
            range.end()
        );
        (what, range.contains(&estimate))
    }

    /// After second `from` the rate is back at `share` of its mean in `before`, within so many seconds.
    pub fn back_within(&self, before: Range<usize>, from: usize, share: f64, limit: usize) -> (String, bool) {
        let usual = mean(self.came[before].iter().copied());
        let back = (from..self.came.len()).find(|second| self.came[*second] >= usual * share);
        let took = back.map(|second| second + 1 - from);
        let what = format!(
            "back at {:.0} of {usual:.0} kbit/s in {} s; wanted {limit}",
            usual * share,
            took.map_or("…".to_owned(), |took| took.to_string())
        );
        (what, took.is_some_and(|took| took <= limit))
    }

    pub fn at_least(&self, what: &str, value: f64, bound: f64) -> (String, bool) {
        (
            format!("{what} {value:.3}; wanted {bound} at least"),
            value >= bound,
        )
    }

    pub fn at_most(&self, what: &str, value: f64, bound: f64) -> (String, bool) {
        (
            format!("{what} {value:.3}; wanted {bound} at most"),
            value <= bound,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self
            .estimate
            .iter()
            .rev()
            .flatten()
            .next()
            .copied()
            .unwrap_or(0.0);
        write!(
            f,
            "{:<35} {:>4} {:>7.0} {last:>5.0} {:>5.0} {:>5.1} {:>4.0}% {:>4} {:>6.2}s {:>5.1}% {:>6.2} {:>4} {:>6.2}% {:>8.0} {:>7.0}/{:<6.0} \
             {:>5.1} {:>5.3} {:>6.0}/{:.0}",
            self.name,
            self.seed,
            self.kbit,
            self.picture_kbit,
            self.fps,
            100.0 * self.shown_share,
            self.freezes,
            self.longest,
            100.0 * self.frozen,
            self.plis,
            self.keyframes,
            100.0 * self.concealed,
            self.voice,
            self.queue,
            self.queue_most,
            self.psnr,
            self.ssim,
            self.age.0,
            self.age.1,
        )
    }
}

/// How many, the longest in seconds, and their share of the time.
fn freezes(shown: &[f64], from: f64, to: f64) -> (usize, f64, f64) {
    let (mut count, mut longest, mut all) = (0, 0.0_f64, 0.0);
    let mut usual: Option<f64> = None;
    let ends = shown.iter().copied().chain([to]);
    let mut last = shown.first().copied().unwrap_or(from);
    for at in ends {
        let gap = at - last;
        let expected = *usual.get_or_insert(gap.max(0.033));
        if gap > expected + FREEZE {
            count += 1;
            longest = longest.max(gap);
            all += gap;
        }
        usual = Some((expected * 7.0 + gap.min(1.0)) / 8.0);
        last = at;
    }
    (count, longest, all / (to - from))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count => values[(count - 1) * percent / 100],
    }
}
