//! Alone: what the others must type, each on a line of its own so that it can be copied, and the link
//! again for a phone, where there is room for it.
//!
//! ```text
//!                 You are alone in standup.
//!
//!   facetty --room standup --server ws://192.168.1.23:7880
//!   http://192.168.1.23:7880/standup
//!
//!   █▀▀▀▀▀█ ▄▀█▄  █▀▀▀▀▀█
//!   █ ███ █ ▄█ ▄▀ █ ███ █   or point a phone here
//! ```
//!
//! A room with a code begins with that: `Your code is 7-crossover-clockwork.` Whoever came by a code
//! should find somebody: `Nobody is at 7-crossover-clockwork yet.`

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::{qr, shorten, theme};
use crate::signal::code::Code;
use crate::ui::state::{Signaling, State};

/// What the code is for; beside it.
const POINT: &str = "or point a phone here";

/// Draws what is to be known while nobody else is there.
pub fn render(buffer: &mut Buffer, state: &State, stage: Rect) {
    let shows_own = state.me.has_camera && state.me.camera_on;
    if shows_own {
        super::dim(buffer, stage);
    }
    let width = usize::from(stage.width);
    let (headline, headline_style) = match state.signaling {
        Signaling::Connecting => (format!("Joining {}…", state.room), theme::STRONG),
        Signaling::Joined => (alone(state), theme::STRONG),
        Signaling::Lost => (
            "The meeting point is lost; trying again…".to_owned(),
            theme::WARNING,
        ),
    };
    let copied_style = if shows_own {
        theme::LIGHT_ACCENT
    } else {
        theme::ACCENT
    };
    let headline = shorten(&headline, width);
    let mut copied = Vec::new();
    if state.signaling != Signaling::Connecting {
        copied.extend(fold_command(&state.invite.command, width));
        copied.extend(fold_anywhere(&state.invite.link, width));
    }
    let lines = 1 + if copied.is_empty() { 0 } else { 1 + copied.len() };
    let lines = u16::try_from(lines).unwrap_or(u16::MAX);
    let room = Size::new(stage.width, stage.height.saturating_sub(lines.saturating_add(1)));
    let code = state.qr.as_ref().filter(|_| !copied.is_empty());
    let code = code.and_then(|code| Some((code, qr::size(code, room)?)));
    let height = lines.saturating_add(code.map_or(0, |(_, size)| 1 + size.height));
    let mut y = stage.y + stage.height.saturating_sub(height) / 2;
    let mut put = |x: u16, text: &str, style: Style, y: u16| {
        if y >= stage.bottom() {
            return;
        }
        // Over the dimmed picture text is light, whatever the terminal's own colour, and has its
        // row to itself: who selects the line copies no blocks of the picture.
        let style = if shows_own {
            let row = Rect::new(stage.x, y, stage.width, 1);
            super::clear(buffer, row);
            buffer.set_style(row, theme::LIGHT);
            theme::LIGHT.patch(style)
        } else {
            style
        };
        buffer.set_stringn(stage.x + x, y, text, width - usize::from(x), style);
    };
    put(middle(width, headline.width()), &headline, headline_style, y);
    y += 2;
    let widest = copied.iter().map(|line| line.width()).max().unwrap_or(0);
    for line in &copied {
        put(middle(width, widest), line, copied_style, y);
        y += 1;
    }
    if let Some((code, size)) = code {
        let x = stage.x + middle(width, widest.max(size.width.into()));
        let area = Rect::new(x, y + 1, size.width, size.height);
        qr::render(buffer, code, area);
        let beside = area.right() + 3;
        if usize::from(beside - stage.x) + POINT.width() <= width {
            let style = if shows_own { theme::LIGHT } else { theme::QUIET };
            buffer.set_string(beside, area.y + area.height / 2, POINT, style);
        }
    }
}

fn alone(state: &State) -> String {
    match Code::of_room(&state.room) {
        Some(code) if state.by_code => format!("Nobody is at {code} yet."),
        Some(code) => format!("Your code is {code}."),
        None => format!("You are alone in {}.", state.room),
    }
}

/// A command line on as few lines as it takes: broken only between words, and there with the
/// backslash by which a shell joins them again.
fn fold_command(command: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in command.split(' ').filter(|word| !word.is_empty()) {
        // Two columns stay free for the backslash.
        if !line.is_empty() && line.width() + 1 + word.width() + 2 > width && command.width() > width {
            lines.push(format!("{line} \\"));
            line = String::new();
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
        .into_iter()
        .flat_map(|line| fold_anywhere(&line, width))
        .collect()
}

/// Something without a space, broken where the width ends if it must be.
fn fold_anywhere(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for c in text.chars() {
        let last = lines.len() - 1;
        if lines[last].chars().count() >= width.max(1) {
            lines.push(c.to_string());
        } else {
            lines[last].push(c);
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn middle(width: usize, used: usize) -> u16 {
    u16::try_from(width.saturating_sub(used) / 2).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::state::testing;
    use crate::units::Cells;

    #[test]
    fn a_code_is_what_is_read_first_and_fits_the_smallest_screen() {
        let mut state = testing::state(0, Cells::new(80, 24));
        assert_eq!(alone(&state), "You are alone in standup.");
        state.room = "99-crossover-clockwork".to_owned();
        state.by_code = true;
        assert_eq!(alone(&state), "Nobody is at 99-crossover-clockwork yet.");
        state.by_code = false;
        let code = alone(&state);
        assert_eq!(code, "Your code is 99-crossover-clockwork.");
        assert!(code.width() <= 40);
    }

    #[test]
    fn a_command_is_folded_so_that_a_shell_still_takes_it() {
        let command = "facetty --room standup --server ws://192.168.1.23:7880";
        assert_eq!(fold_command(command, 80), [command]);
        let folded = fold_command(command, 40);
        assert_eq!(
            folded,
            ["facetty --room standup --server \\", "ws://192.168.1.23:7880"]
        );
        assert_eq!(folded.join("\n").replace("\\\n", ""), command);
    }

    #[test]
    fn what_has_no_space_fills_its_lines() {
        assert_eq!(fold_anywhere("abcdefgh", 3), ["abc", "def", "gh"]);
        assert!(fold_anywhere("", 3).is_empty());
        assert!(fold_command("", 3).is_empty());
    }
}
