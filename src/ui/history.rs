//! The figures of the last minute, to be seen at a glance.

use std::collections::VecDeque;
use std::sync::Arc;

use super::state::Stats;

/// Seconds that are kept.
pub const SECONDS: usize = 60;

/// Eighths of a cell, from the lower edge.
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// One person's last minute, the newest second last. A copy costs nothing: the state is copied far more often
/// than a second passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(Arc<VecDeque<Stats>>);

impl History {
    /// A second passed.
    pub fn push(&mut self, stats: Stats) {
        let seconds = Arc::make_mut(&mut self.0);
        if seconds.len() == SECONDS {
            seconds.pop_front();
        }
        seconds.push_back(stats);
    }

    /// One figure as bars, one column a second, `columns` at most, from zero to the greatest of them or to
    /// `least` if that is more.
    pub fn bars(&self, columns: usize, least: f32, figure: impl Fn(&Stats) -> f32) -> String {
        let skipped = self.0.len().saturating_sub(columns);
        let values: Vec<f32> = self.0.iter().skip(skipped).map(figure).collect();
        let most = values.iter().copied().fold(least, f32::max);
        let bar = |value: &f32| {
            let height = (value / most * (BARS.len() - 1) as f32).round();
            // NaN becomes 0 in the cast.
            BARS[(height.max(0.0) as usize).min(BARS.len() - 1)]
        };
        values.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_seconds_are_shown_from_zero_to_the_greatest() {
        let mut history = History::default();
        assert_eq!(history.bars(10, 1.0, |stats| stats.recv_kbps), "");
        for second in 0..100_u8 {
            let recv_kbps = if second < 97 {
                0.0
            } else {
                f32::from(second - 96) * 10.0
            };
            history.push(Stats {
                recv_kbps,
                ..Stats::default()
            });
        }
        assert_eq!(history.bars(4, 1.0, |stats| stats.recv_kbps), "▁▃▆█");
        assert_eq!(history.bars(4, 300.0, |stats| stats.recv_kbps), "▁▁▁▂");
        assert_eq!(
            history.bars(99, 1.0, |stats| stats.recv_kbps).chars().count(),
            SECONDS
        );
        assert_eq!(history.bars(2, 0.0, |_| f32::NAN), "▁▁");
    }
}
