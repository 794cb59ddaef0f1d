use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;
use crate::region::guard;

/// ---- The fault guard --------------------------------------------------------------------
///
/// Switches the fault guard on for a region, until it is closed. For memory that cannot shrink
/// there is nothing to do, and nothing is installed. In a Go program use the Go package instead.
///
/// The first such call installs a SIGBUS handler for the process, for good (sigaction(2), SA_SIGINFO
/// and SA_ONSTACK). From then on, inside sections of this region (shm_guard_begin), a page whose
/// backing is gone reads as zeros instead of raising SIGBUS, and what is written to it is lost; the
/// section's end tells. shm_region_read and _write are such a section themselves, at memcpy's
/// speed. Every other SIGBUS goes to the handler that was there before, or ends the process as it
/// would have.
///
/// A handler that the program installs later has to call ours for faults that are not its own, as
/// ours calls the one before it. This call and shm_guard_check look whether ours is reached.
/// SIGBUS must not be blocked: the kernel then ends the process. shm_region_protect is -EINVAL for a
/// guarded region.
/// Returns 0, or: -EINVAL NULL, or shm_region_protect was called; SHMKIT_E_UNGUARDED a handler that
/// was installed later does not call ours; -EAGAIN, -ENOMEM as for shm_guard_check.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_enable(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(region)?.guard_enable())
}

/// Begins a guarded section: until shm_guard_end, access through the region's pointer does not raise
/// SIGBUS. Sections nest, overlap, and may be open in many threads; each begin needs one end, in any
/// thread and any order.
///
/// A page that is gone is replaced by zeros for the whole process, other threads included, until the
/// last section of the region ends; then the file shows through again. Costs a few nanoseconds.
/// Returns 0, or: -EINVAL NULL, or the guard is not enabled for this region (for one that cannot
/// shrink it need not be); -EOVERFLOW half a billion sections are open.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_begin(region: *mut shm_region) -> c_int {
    args::answer(args::region(region).and_then(|region| region.guard_begin()))
}

/// Ends a guarded section.
///
/// Returns 0, or: SHMKIT_E_SHRUNK some page of the region was gone while the section was open: what
/// was read can be zeros, what was written can be lost (shm_region_check says what is there); -EINVAL
/// NULL, or no section is open.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_end(region: *mut shm_region) -> c_int {
    args::answer(args::region(region).and_then(|region| region.guard_end()))
}

/// Looks whether a fault still reaches our handler. Where another handler has been installed since,
/// a child process touches a page that is gone, for at most a second: handlers run there too, in
/// memory of its own.
///
/// Returns 0, or: SHMKIT_E_UNGUARDED ours was never installed, or is not reached; -EAGAIN, -ENOMEM
/// no child could be made.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_check(error: *mut shm_error) -> c_int {
    args::report(error, guard::check)
}
