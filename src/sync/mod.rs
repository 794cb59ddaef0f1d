//! Locks that live in a region: owned by a process, released by the kernel.
//!
//! A [`Party`] is a process's place among those who use the locks of a region; objects are bytes of the region
//! that are used through it.
//!
//! ```
//! use shmkit::sync::{Locked, Party, PartyOptions};
//! use shmkit::{Options, Region};
//!
//! let region = Region::create("board", 1 << 16, &Options::default())?;
//! let party = Party::join(&region, 0, &PartyOptions::default())?;
//! let mutex = party.mutex(32 << 10)?;
//! if mutex.lock()? == Locked::OwnerDied {
//!     // Repair what the lock guards.
//!     mutex.consistent()?;
//! }
//! mutex.unlock()?;
//! party.leave()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each party of a process has a thread of the library, its keeper, which sleeps for ever: the kernel releases
//! what bears the keeper's number when the process dies. A thread that ends while it holds a lock releases
//! nothing; executing another program is a death; a child made by fork owns nothing, and joins by itself when it
//! first uses the party. A child made by vfork must not use it.
//!
//! Parts: `lock`, and `phase`, `member`, `round`, `signals`, `units` (the algorithms, for `port`); `nodes` and `keeper`
//! (what the kernel reads), `table` (who is here), `settle` (until a dead process has ended), `presence` (for those
//! who do not see it), `pending` (no wake-up dies with a thread), `wait`, `object` (zeros become one), `party`; and
//! the objects. `watcher` waits by descriptors, `named` finds objects by a name; `steps` is for tests.

mod event;
mod barrier;
mod cond;
mod keeper;
mod lock;
mod member;
mod mutex;
mod named;
mod nodes;
mod object;
mod once;
mod party;
mod pending;
mod phase;
mod port;
mod presence;
mod private;
mod reads;
mod round;
mod rwlock;
mod semaphore;
mod settle;
mod signals;
#[cfg(feature = "steps")]
#[doc(hidden)]
pub mod steps;
#[cfg(not(feature = "steps"))]
mod steps;
mod table;
mod units;
mod wait;
mod watcher;

pub use barrier::{Barrier, Passed};
pub use cond::Condvar;
pub use event::{Event, EventFlags};
pub use mutex::{Locked, Mutex};
pub use named::{Named, NamedFlags, NamedOptions};
pub use once::{Begun, Once};
pub use party::{Party, PartyFlags, PartyOptions};
pub use rwlock::RwLock;
pub use semaphore::{Semaphore, SemaphoreFlags};
pub use wait::{pretend_without_waitv, Wake};
pub use watcher::Watch;

/// How many bytes a party's table has, whatever joins it: 0 means the default, 64 slots and 32 cells. None for
/// more than 4096 of either.
pub fn party_size(slots: u32, cells: u32) -> Option<usize> {
    table::Shape::new(slots, cells).map(table::Shape::size)
}
