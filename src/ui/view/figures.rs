//! The figures of the person in front, over the last second.
//!
//! ```text
//!  ann
//!  round trip  41 ms, direct
//!  received    58 kbit/s  30 fps  80x46
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{sheet, shorten, status, theme};
use crate::ui::state::State;
use crate::units::Size;

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
    let rows = [
        ("path", round_trip),
        ("received", flow(stats.recv_kbps, stats.fps_in, stats.size_in)),
        ("sent", flow(stats.send_kbps, stats.fps_out, stats.size_out)),
        (
            "line",
            match stats.estimate_kbps {
                Some(kbps) => format!("out carries {kbps:.0} kbit/s"),
                None => "not yet measured".to_owned(),
            },
        ),
        (
            "lost",
            format!(
                "in {:.1} %, out {:.1} %",
                percent(stats.loss_in),
                percent(stats.loss_out)
            ),
        ),
        (
            "voice",
            format!(
                "{:.0} ms ahead, {:.1} % made up",
                stats.jitter_ms,
                percent(stats.concealed)
            ),
        ),
        (
            "picture",
            match stats.freezes {
                0 => "never stood still".to_owned(),
                1 => "stood still once".to_owned(),
                n => format!("stood still {n} times"),
            },
        ),
    ];
    let mut lines = vec![
        Line::styled(shorten(person.name.as_str(), 30), theme::OVER_ACCENT),
        Line::default(),
    ];
    lines.extend(rows.into_iter().map(|(what, figure)| {
        Line::from(vec![
            Span::styled(format!("{what:<10}"), theme::OVER_QUIET),
            // As wide as the widest figure is likely to be, so that the sheet does not breathe.
            Span::styled(format!("{figure:<27}"), theme::OVER),
        ])
    }));
    sheet::render(buffer, stage, &lines);
}
