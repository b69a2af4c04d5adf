//! In the place of devices where they are not built in.

use std::thread::Thread;

use super::ports::{Direction, Report, Reports};
use super::{Devices, Probed};

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
    let why = missing(direction);
    // The channel has room for each direction's first report.
    let _ = reports.try_send((direction, number, Report::Missing(why)));
    Some(Owner)
}

/// None.
pub fn list() -> Devices {
    Devices::default()
}

/// Says that there is none.
pub(super) fn probe(direction: Direction, _: Option<&str>) -> Result<Probed, String> {
    Err(missing(direction))
}

fn missing(direction: Direction) -> String {
    format!("no {direction}: built without sound support; build with `--features sound`, or give a WAV file")
}
