//! The C ABI: convert, call, convert; no logic. The documentation here is what a C programmer reads
//! in `shmkit.h`, so it speaks C. Only `args` dereferences the caller's pointers; the other files
//! pass the C caller's promise on, which is all that their `unsafe` means.
#![allow(non_camel_case_types, clippy::missing_safety_doc, unsafe_op_in_unsafe_fn)]

mod args;
mod region;
mod growth;
mod publish;
mod placement;
mod guard;
mod sysv;
mod semaphore;
mod queue;
mod handover;
mod sync;
mod rwlock;
mod cond;
mod units;
mod barrier;
mod once;
mod event;
mod watch;
mod named;
mod inspect;
mod list;

pub use args::shm_error;
pub use barrier::*;
pub use cond::*;
pub use event::*;
pub use growth::*;
pub use guard::*;
pub use handover::*;
pub use inspect::*;
pub use list::*;
pub use named::*;
pub use once::*;
pub use placement::*;
pub use publish::*;
pub use queue::*;
pub use region::*;
pub use rwlock::*;
pub use semaphore::*;
pub use sync::*;
pub use sysv::*;
pub use units::*;
pub use watch::*;

use std::ffi::{c_char, c_int};

use crate::error::Code;

/// The version that this header describes; `shm_version()` tells which library is running.
pub const SHMKIT_VERSION_MAJOR: u32 = 0;
pub const SHMKIT_VERSION_MINOR: u32 = 1;
pub const SHMKIT_VERSION_PATCH: u32 = 0;

/// ---- Versions and errors ----------------------------------------------------------------
///
/// The running library's version: major << 16 | minor << 8 | patch.
#[no_mangle]
pub extern "C" fn shm_version() -> u32 {
    SHMKIT_VERSION_MAJOR << 16 | SHMKIT_VERSION_MINOR << 8 | SHMKIT_VERSION_PATCH
}

/// One phrase for a result code ("No such file or directory"), also for the SHMKIT_E_ codes.
///
/// `code`: what a call of this library returned: 0 or positive is "Success".
/// Returns a string that lives as long as the program; never NULL.
#[no_mangle]
pub extern "C" fn shm_strerror(code: c_int) -> *const c_char {
    Code::from_raw(code).text().as_ptr()
}

/// The name of a result code ("ENOENT", "SHMKIT_E_SHRUNK"); "UNKNOWN" for a number that has none.
///
/// Returns a string that lives as long as the program; never NULL.
#[no_mangle]
pub extern "C" fn shm_error_name(code: c_int) -> *const c_char {
    Code::from_raw(code).name().as_ptr()
}
