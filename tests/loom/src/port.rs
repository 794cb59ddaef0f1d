//! What `src/sync/port.rs` is in the library.

pub(super) use super::kernel::step;
pub(super) use loom::sync::atomic::{fence, Ordering};

use loom::sync::atomic;
use Ordering::SeqCst;

/// All numbers of looks before sleep would be tried; one is as good.
pub(super) const LOOKS: u32 = 1;
pub(super) const PAUSES: u32 = 1;
/// More than the others change a word.
pub(super) const TRIES: u32 = 9;

/// To yield here would keep the others from being overtaken.
pub(super) fn spin_loop() {}

/// A thread's own order is the program's.
pub(super) fn compiler_fence(_: Ordering) {}

/// The checker takes sequentially consistent accesses for acquire and release alone, but knows such fences.
fn ordered<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let fence = || {
        if order == SeqCst {
            fence(SeqCst);
        }
    };
    fence();
    let result = access();
    fence();
    result
}

pub(super) struct AtomicU32(atomic::AtomicU32);

impl AtomicU32 {
    pub(super) fn new(value: u32) -> AtomicU32 {
        AtomicU32(atomic::AtomicU32::new(value))
    }

    pub(super) fn load(&self, order: Ordering) -> u32 {
        ordered(order, || self.0.load(order))
    }

    pub(super) fn store(&self, value: u32, order: Ordering) {
        ordered(order, || self.0.store(value, order));
    }

    pub(super) fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        ordered(order, || self.0.fetch_add(more, order))
    }

    pub(super) fn fetch_sub(&self, less: u32, order: Ordering) -> u32 {
        ordered(order, || self.0.fetch_sub(less, order))
    }

    pub(super) fn compare_exchange(
        &self,
        seen: u32,
        next: u32,
        done: Ordering,
        failed: Ordering,
    ) -> Result<u32, u32> {
        ordered(done, || self.0.compare_exchange(seen, next, done, failed))
    }
}

pub(super) struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub(super) fn new(value: u64) -> AtomicU64 {
        AtomicU64(atomic::AtomicU64::new(value))
    }

    pub(super) fn load(&self, order: Ordering) -> u64 {
        ordered(order, || self.0.load(order))
    }

    pub(super) fn compare_exchange(
        &self,
        seen: u64,
        next: u64,
        done: Ordering,
        failed: Ordering,
    ) -> Result<u64, u64> {
        ordered(done, || self.0.compare_exchange(seen, next, done, failed))
    }

    pub(super) fn fetch_update(
        &self,
        done: Ordering,
        failed: Ordering,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        ordered(done, || self.0.fetch_update(done, failed, change))
    }
}
