//! Which locks this thread has for reading: so that it may read again while a writer waits for it, and is told
//! where it would wait for itself.
#![forbid(unsafe_code)]

use std::cell::Cell;

/// A lock, as this process knows it: its node's address, and its keeper's number, which is another one in a child
/// made by fork.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock(pub usize, pub u32);

#[derive(Clone, Copy)]
struct Read {
    lock: Lock,
    times: u32,
}

/// A thread that reads more locks at once has the others unknown.
const KNOWN: usize = 4;
const NONE: Read = Read { lock: Lock(0, 0), times: 0 };

thread_local! {
    static READS: [Cell<Read>; KNOWN] = const { [const { Cell::new(NONE) }; KNOWN] };
}

/// Changes what is known of a lock, which may have `times` 0; None where nothing is, and there is no room.
#[inline(always)]
fn change<R>(lock: Lock, change: impl FnOnce(&mut u32) -> R) -> Option<R> {
    READS.with(|reads| {
        let known = reads.iter().find(|read| read.get().lock == lock);
        let cell = known.or_else(|| reads.iter().find(|read| read.get().times == 0))?;
        let mut times = if known.is_some() { cell.get().times } else { 0 };
        let result = change(&mut times);
        cell.set(Read { lock, times });
        Some(result)
    })
}

#[inline(always)]
pub(super) fn add(lock: Lock) {
    change(lock, |times| *times += 1);
}

/// Whether this thread had it.
#[inline(always)]
pub(super) fn remove(lock: Lock) -> bool {
    let had = change(lock, |times| {
        let had = *times > 0;
        *times -= u32::from(had);
        had
    });
    had.unwrap_or(false)
}

pub(super) fn has(lock: Lock) -> bool {
    change(lock, |times| *times > 0).unwrap_or(false)
}
