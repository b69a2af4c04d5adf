//! The interface: a state, its update, and its drawing.

pub mod action;
pub mod state;
