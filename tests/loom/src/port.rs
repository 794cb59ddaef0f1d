//! What `src/sync/port.rs` is in the library.

pub(super) use super::kernel::step;
pub(super) use loom::sync::atomic::{AtomicU32, Ordering};

/// All numbers of looks before sleep would be tried; one is as good.
pub(super) const LOOKS: u32 = 1;
pub(super) const PAUSES: u32 = 1;
pub(super) const TRIES: u32 = 1;

/// To yield here would keep the others from being overtaken.
pub(super) fn spin_loop() {}
