//! What the tests and benches of the real program share: its processes, its events, and files with
//! known content.
//!
//! Nothing here sleeps and no port is fixed: one waits for the thing itself, with a deadline that is
//! only reached when it will never come.

#![allow(dead_code)] // Each test file uses its own part.

pub mod browser;
pub mod files;
#[cfg(target_os = "linux")]
pub mod network;
pub mod program;
pub mod socket;
pub mod ssh;
pub mod terminal;
pub mod turn;
