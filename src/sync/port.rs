//! What the algorithms ask of the machine. A model checker brings a file of its own in the place of this one:
//! `lock` and what stands beside it use no other atomics, and sleep and wake through their callers alone.
#![forbid(unsafe_code)]

pub(super) use super::steps::step;
pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{compiler_fence, fence, AtomicU32, AtomicU64, Ordering};

/// Looks before sleep, with 1, 2, 4, … pauses in between: 127, some microseconds.
pub(super) const LOOKS: u32 = 7;

/// How often a try begins anew, because somebody else was quicker.
pub(super) const TRIES: u32 = 100;
