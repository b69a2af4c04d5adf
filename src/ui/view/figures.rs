//! The figures of the person in front: the last second's, and the last minute's as bars.
//!
//! ```text
//!  ann
//!  path        41 ms, direct                ▁▁▂▁▁▁▃▁
//!  received    58 kbit/s  30 fps  80x46     ▅▅▆▅▅▅▇▅
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{sheet, shorten, status, theme};
use crate::call::Limit;
use crate::ui::state::{State, Stats};
use crate::units::Size;

/// Columns of a figure: the widest that is likely, so that the sheet does not breathe.
const FIGURE: usize = 27;
/// Columns of a sheet beside its bars: names, figures, and air.
const BESIDE: usize = 10 + FIGURE + 2 + 6;
/// Bars at most, and at least where there are any.
const MOST_BARS: usize = 40;
const FEWEST_BARS: usize = 8;

/// Draws the sheet of figures.
pub fn render(buffer: &mut Buffer, state: &State, stage: Rect) {
    let Some(person) = state.in_front() else {
        let line = Line::styled("no figures while you are alone", theme::OVER);
        return sheet::render(buffer, stage, &[line]);
    };
    let stats = &person.stats;
    let round_trip = match stats.rtt_ms {
        Some(ms) => format!("{ms:.0} ms, {}", status::path_in_words(person)),
        None => status::path_in_words(person).to_owned(),
    };
    let flow = |kbps: f32, fps: f32, size: Size| {
        if size.area() == 0 {
            return format!("{kbps:.0} kbit/s  no picture");
        }
        format!("{kbps:.0} kbit/s  {fps:.0} fps  {}x{}", size.width, size.height)
    };
    let percent = |share: f32| share * 100.0;
    let columns = match usize::from(stage.width).saturating_sub(BESIDE) {
        ..FEWEST_BARS => 0,
        columns => columns.min(MOST_BARS),
    };
    // Zero is the lower edge; what fills the rest is the greatest of the minute, or this.
    let bars = |least: f32, figure: fn(&Stats) -> f32| person.history.bars(columns, least, figure);
    let line = match stats.estimate_kbps {
        Some(kbps) => format!("out carries {kbps:.0} kbit/s"),
        None => "not yet measured".to_owned(),
    };
    let lost = format!(
        "in {:.1} %, out {:.1} %",
        percent(stats.loss_in),
        percent(stats.loss_out)
    );
    let made_up = percent(stats.concealed);
    let voice = format!("{:.0} ms ahead, {made_up:.1} % made up", stats.jitter_ms);
    let picture = match stats.freezes {
        0 => "never stood still".to_owned(),
        1 => "stood still once".to_owned(),
        n => format!("stood still {n} times"),
    };
    let mut rows = vec![
        ("path", round_trip, bars(100.0, |s| s.rtt_ms.unwrap_or(0.0))),
        (
            "received",
            flow(stats.recv_kbps, stats.fps_in, stats.size_in),
            bars(1.0, |s| s.recv_kbps),
        ),
        (
            "sent",
            flow(stats.send_kbps, stats.fps_out, stats.size_out),
            bars(1.0, |s| s.send_kbps),
        ),
        ("line", line, bars(1.0, |s| s.estimate_kbps.unwrap_or(0.0))),
        ("lost", lost, bars(0.1, |s| s.loss_in.max(s.loss_out))),
        ("voice", voice, bars(100.0, |s| s.jitter_ms)),
        ("picture", picture, bars(30.0, |s| s.fps_in)),
    ];
    let limit = match (stats.terminal_fps, stats.limit) {
        (Some(fps), _) => format!("terminal, {fps} fps asked for"),
        (None, Limit::Far) => "what they can show".to_owned(),
        (None, Limit::Line) => "line".to_owned(),
        (None, Limit::User) => "--max-bitrate".to_owned(),
        (None, Limit::Cpu) => "this machine's CPU".to_owned(),
    };
    rows.push(("limit", limit, String::new()));
    let mut lines = vec![
        Line::styled(shorten(person.name.as_str(), 30), theme::OVER_ACCENT),
        Line::default(),
    ];
    lines.extend(rows.into_iter().map(|(what, figure, bars)| {
        let air = if columns > 0 { "  " } else { "" };
        Line::from(vec![
            Span::styled(format!("{what:<10}"), theme::OVER_QUIET),
            Span::styled(format!("{figure:<FIGURE$}{air}"), theme::OVER),
            Span::styled(format!("{bars:>columns$}"), theme::OVER_QUIET),
        ])
    }));
    sheet::render(buffer, stage, &lines);
}
