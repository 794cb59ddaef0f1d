//! Locks under processes that are killed.

#[path = "../support/mod.rs"]
mod support;

mod campaign;
mod history;
mod hostile;
mod mutex;
mod party;
#[cfg(feature = "steps")]
mod steps;

use shmkit::sync::{Party, PartyFlags, PartyOptions};
use shmkit::{Options, Region};

/// Where the tests have the party's table, and the first object behind it.
const TABLE: usize = 0;
const FIRST: usize = 16 << 10;

fn region() -> Region {
    Region::create("locks", 1 << 20, &Options::default()).unwrap()
}

fn join(region: &Region) -> Party<'_> {
    Party::join(region, TABLE, &PartyOptions::default()).unwrap()
}

/// As [`join`], where a lock is not one thread's.
fn join_any_thread(region: &Region) -> Party<'_> {
    let options = PartyOptions { flags: PartyFlags::ANY_THREAD, ..PartyOptions::default() };
    Party::join(region, TABLE, &options).unwrap()
}
