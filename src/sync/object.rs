//! What all objects of a party begin with, and how zeros become one.
//!
//! | magic | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | zeros, perhaps with `table` and what the kind fills in | – | the next initialiser goes on |
//! | of the kind | an object, for ever | initialisers, last; all would have stored the same | – |

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering};

use super::lock::Words;
use super::steps::step;
use crate::error::{Error, Result};
use crate::sys::Errno;

#[repr(C)]
pub(super) struct Head {
    /// Robust, where the kind has a lock: see `lock`.
    pub word: AtomicU32,
    pub state: AtomicU32,
    pub magic: AtomicU64,
    /// Where the party's table is, from here. Two tables for one object would each take the other's owners for
    /// dead ones.
    pub table: AtomicI64,
}

/// What a magic stands for.
pub(super) struct Kind {
    /// As messages name it.
    pub name: &'static str,
    pub magic: u64,
    /// In bytes.
    pub size: usize,
    /// Bytes from here on to the end are zeros in what is not an object yet.
    pub blank_from: usize,
}

impl Kind {
    pub(super) const fn magic(kind: u8) -> u64 {
        u64::from_le_bytes([b's', b'h', b'm', b'k', b'i', b't', kind, 1])
    }
}

impl Head {
    pub(super) fn words(&self) -> Words<'_> {
        Words { word: &self.word, state: &self.state }
    }

    pub(super) fn is(&self, kind: &Kind, table: i64) -> bool {
        self.magic.load(Ordering::Acquire) == kind.magic && self.table.load(Ordering::Relaxed) == table
    }

    /// Makes it one, or finds that it is: whether it was made. `fill` stores what the kind has behind the head,
    /// by compare-and-swap from 0: others may do the same at the same time.
    ///
    /// # Safety
    /// `kind.size` bytes at `at`, 8-aligned, are mapped for writing.
    pub(super) unsafe fn make(
        at: *const Head,
        kind: &Kind,
        table: i64,
        fill: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        // SAFETY: the caller's promise; all fields are atomic.
        let head = unsafe { &*at };
        let refused =
            |why: String| Err(Error::new(Errno::EINVAL, format!("this is no {}: {why}", kind.name)));
        let found = |magic: u64| {
            if magic != kind.magic {
                return refused(format!("its magic is {magic:#018x}, neither 0 nor {:#018x}", kind.magic));
            }
            match head.table.load(Ordering::Relaxed) {
                has if has == table => Ok(false),
                has => refused(format!("its party's table is {has} bytes from it, this one {table}")),
            }
        };
        match head.magic.load(Ordering::Acquire) {
            0 => {}
            magic => return found(magic),
        }
        if !is_blank(at, kind, table) {
            // Another may have made it meanwhile, and used it.
            return match head.magic.load(Ordering::Acquire) {
                0 => refused(format!("its {} bytes are neither zeros nor one", kind.size)),
                magic => found(magic),
            };
        }
        let _ = head.table.compare_exchange(0, table, Ordering::AcqRel, Ordering::Acquire);
        step("make.table");
        fill()?;
        step("make.filled");
        match head.magic.compare_exchange(0, kind.magic, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(true),
            Err(magic) => found(magic),
        }
    }
}

fn is_blank(at: *const Head, kind: &Kind, table: i64) -> bool {
    // SAFETY: make()'s promise.
    let (head, byte) =
        unsafe { (&*at, |offset: usize| (*at.cast::<AtomicU8>().add(offset)).load(Ordering::Relaxed)) };
    let has = head.table.load(Ordering::Relaxed);
    head.word.load(Ordering::Relaxed) == 0
        && head.state.load(Ordering::Relaxed) == 0
        && (has == 0 || has == table)
        && (kind.blank_from..kind.size).all(|offset| byte(offset) == 0)
}
