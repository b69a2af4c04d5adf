//! In the place of devices where they are not built in.

use std::thread::Thread;

use super::Devices;
use super::ports::{Direction, Report, Reports};

/// Nothing to own.
pub(super) struct Owner;

impl Owner {
    /// Nothing to let go.
    pub(super) fn retire(self) {}
}

/// Says that there are no devices.
pub(super) fn own(
    direction: Direction,
    number: u32,
    _: Option<String>,
    reports: Reports,
    _: Thread,
) -> Option<Owner> {
    let why = format!(
        "no {direction}: built without sound support; build with `--features sound`, or give a WAV file"
    );
    // The channel has room for each direction's first report.
    let _ = reports.try_send((direction, number, Report::Missing(why)));
    Some(Owner)
}

/// None.
pub fn list() -> Devices {
    Devices::default()
}
