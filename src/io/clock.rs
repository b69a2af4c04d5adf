//! The one clock of the program.

use std::time::Instant;

/// The present. Everything further in takes it as an argument.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}
