//! What the algorithms ask of the machine. A model checker brings a file of its own in the place of this one:
//! `lock` uses no other atomics, and sleeps and wakes through its `Caller` alone.
#![forbid(unsafe_code)]

pub(super) use super::steps::step;
pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicU32, Ordering};

/// Looks before sleep. More is slower: the owner is kept from its cache line.
pub(super) const SPINS: u32 = 100;
