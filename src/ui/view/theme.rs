//! The few colours: one accent, red for muted and lost, yellow for weak, and a dark ground where
//! text lies over pictures. The palette's own colours where the terminal's ground is behind them,
//! so that light grounds work; nothing is told by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// What is active.
pub const ACCENT: Style = Style::new().fg(Color::Cyan);
/// Muted, the one thing that may shout.
pub const MUTED: Style = Style::new()
    .fg(Color::White)
    .bg(Color::Red)
    .add_modifier(Modifier::BOLD);
/// Lost.
pub const ERROR: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
/// Weak.
pub const WARNING: Style = Style::new().fg(Color::Yellow);
/// Less important than what stands beside it.
pub const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
/// Important.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Text straight on a dimmed picture.
pub const LIGHT: Style = Style::new().fg(Color::Rgb(232, 234, 237));
/// What is active, straight on a dimmed picture.
pub const LIGHT_ACCENT: Style = Style::new().fg(Color::Rgb(120, 217, 236));

/// The ground of text over pictures.
pub const GROUND: Color = Color::Rgb(18, 20, 24);
/// Text over pictures.
pub const OVER: Style = Style::new().fg(Color::Rgb(232, 234, 237)).bg(GROUND);
/// Less important text over pictures.
pub const OVER_QUIET: Style = Style::new().fg(Color::Rgb(154, 160, 166)).bg(GROUND);
/// What is active, over pictures.
pub const OVER_ACCENT: Style = Style::new().fg(Color::Rgb(120, 217, 236)).bg(GROUND);
/// Muted, over pictures.
pub const OVER_MUTED: Style = Style::new().fg(Color::Rgb(255, 120, 110)).bg(GROUND);

/// Weak, over pictures.
pub const OVER_WARNING: Style = Style::new().fg(Color::Rgb(240, 200, 90)).bg(GROUND);

/// The squares of a code for phones. Light ones are this in reverse, so that on a dark terminal they stay light
/// without colours.
pub const QR: Style = Style::new().fg(Color::Rgb(255, 255, 255)).bg(GROUND);

/// The grounds of people without a picture: told apart at a glance, dark enough for light letters.
pub const PEOPLE: [Color; 8] = [
    Color::Rgb(38, 70, 83),
    Color::Rgb(92, 55, 76),
    Color::Rgb(52, 78, 65),
    Color::Rgb(88, 66, 42),
    Color::Rgb(56, 62, 102),
    Color::Rgb(96, 56, 50),
    Color::Rgb(40, 84, 92),
    Color::Rgb(74, 58, 96),
];
