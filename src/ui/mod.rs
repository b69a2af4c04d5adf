//! The interface: a state, its update, and its drawing.
//!
//! [`Ui`] owns the [`State`] and changes it by [`Action`]s; [`view::render`] draws a state;
//! [`layout::layout`] says where the pictures are. None of them waits, reads a clock or writes to a
//! terminal.

pub mod action;
pub mod chat;
mod front;
pub mod history;
pub mod layout;
pub mod qr;
pub mod sound;
pub mod state;
mod update;
pub mod view;

pub use action::{Action, Command};
pub use state::State;
pub use update::Ui;
