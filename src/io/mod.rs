//! Everything that touches the world: clock, threads, sockets, devices, the terminal.

pub mod clock;
pub mod slot;
