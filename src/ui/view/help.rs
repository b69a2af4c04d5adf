//! The keys.
//!
//! ```text
//!  m      mute the microphone
//!  v      switch the camera off
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{sheet, theme};
use crate::ui::state::State;

/// Draws the sheet of keys; it says what each would do now.
pub fn render(buffer: &mut Buffer, state: &State, stage: Rect) {
    let me = &state.me;
    let keys = [
        (
            "m",
            if me.mic_on {
                "mute the microphone"
            } else {
                "unmute the microphone"
            },
        ),
        (
            "v",
            if me.camera_on {
                "switch the camera off"
            } else {
                "switch the camera on"
            },
        ),
        ("Space", "talk while muted, and stop"),
        ("+ -", "volume of the person in front"),
        ("] [", "volume of all"),
        ("d", "microphone and speaker"),
        (
            "x",
            if state.mirror {
                "own picture as others see it"
            } else {
                "own picture as in a mirror"
            },
        ),
        ("c", "chat"),
        ("Tab", "next person or screen in front"),
        ("s", "figures"),
        ("?", "this help"),
        ("q", "leave"),
    ];
    let lines = keys.map(|(key, does)| {
        Line::from(vec![
            Span::styled(format!("{key:<8}"), theme::OVER_ACCENT),
            Span::styled(does, theme::OVER),
        ])
    });
    sheet::render(buffer, stage, &lines);
}
