//! What the algorithms ask of the machine. A model checker brings a file of its own in the place of this one:
//! `lock` and what stands beside it use no other atomics, and sleep and wake through their callers alone.
#![forbid(unsafe_code)]

pub(super) use super::steps::step;
pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{compiler_fence, fence, AtomicU32, AtomicU64, Ordering};

/// Looks before sleep, and the pauses after each: some microseconds in all. Each look takes the line from the owner,
/// who is the quicker without. Looks soon after another owner has come make it slow when it wants to be quick, and
/// give it to one side more often than to the other.
pub(super) const LOOKS: u32 = 8;
pub(super) const PAUSES: u32 = 16;

/// How often a try begins anew, because somebody else was quicker.
pub(super) const TRIES: u32 = 100;
