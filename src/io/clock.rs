//! The one clock of the program.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The present. Everything further in takes it as an argument.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for what must hold against other machines' clocks.
#[allow(clippy::disallowed_methods)]
pub fn unix() -> u64 {
    // A clock before 1970 is as good as none.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
