//! Everything that touches the world: clock, threads, sockets, devices, the terminal.

pub mod clock;
#[cfg(unix)]
pub mod signals;
pub mod slot;
#[cfg(unix)]
pub mod terminal;
