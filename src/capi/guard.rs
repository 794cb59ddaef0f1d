use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;
use crate::region;

/// ---- The fault guard --------------------------------------------------------------------
///
/// Switches the fault guard on for a region, until it is closed. For memory that cannot shrink
/// there is nothing to do, and nothing is installed. It serves C code, in a Go program too; faults
/// of Go code are its runtime's.
///
/// The first such call installs a SIGBUS handler for the process, for good (sigaction(2),
/// SA_SIGINFO and SA_ONSTACK). From then on, inside sections of this region (shm_guard_begin), a
/// page whose backing is gone reads as zeros instead of raising SIGBUS, and what is written to it
/// is lost; the section's end tells. shm_region_read and _write are such a section themselves, at
/// memcpy's speed. Every other SIGBUS goes to the handler that was there before, or ends the
/// process as it would have.
///
/// A program with a handler of its own installs it before this call, and need not do more: it may
/// even leave by siglongjmp. One that is installed later keeps the old action, has SA_SIGINFO and
/// SA_ONSTACK, and passes on what is not its own: old.sa_sigaction(signal, info, context), and
/// return. This call and shm_guard_check look whether ours is reached; see there for how. A system
/// call that is given a pointer to a page that is gone, and that nobody has touched, answers
/// -EFAULT or does a part of its work, guard or not. SIGBUS must not be blocked: the kernel then
/// ends the process. shm_region_protect and shm_region_freeze are -EINVAL for a guarded region.
/// Children made by fork() are guarded as their parent is; after exec() nothing is left of it. They
/// inherit the open sections of threads that they have not got, and cannot close such a region;
/// shm_region_read and _write of other threads do not count. What shm_region_advise, _lock and
/// _place have said of a page is lost when it is put back. A shared object that has the static
/// library in it must not be unloaded any more; libshmkit.so itself stays when it is closed.
/// Returns 0, or: -EINVAL NULL, or shm_region_protect was called; SHMKIT_E_UNGUARDED a handler that
/// was installed later does not call ours; -EAGAIN, -ENOMEM as for shm_guard_check.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_enable(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(&region)?.guard_enable())
}

/// Begins a guarded section: until shm_guard_end, access through the region's pointer does not
/// raise SIGBUS. Sections nest, overlap, and may be open in many threads; each begin needs one end,
/// in any thread and any order.
///
/// A page that is gone is replaced by zeros for the whole process, other threads included, until
/// the last section of the region ends; then the file shows through again. While sections overlap
/// without a gap, the zeros stay; and in a writable region whose object was sealed with
/// SHMKIT_SEAL_FUTURE_WRITE meanwhile they stay for good, and each end tells. Costs a few
/// nanoseconds.
/// Returns 0, or: -EINVAL NULL; SHMKIT_E_UNGUARDED the guard is not enabled for this region (for
/// one that cannot shrink it need not be); -EOVERFLOW 16383 sections are open.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_begin(region: *mut shm_region) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.guard_begin()))
}

/// Ends a guarded section, whatever it answers but -EINVAL.
///
/// Returns 0, or: SHMKIT_E_SHRUNK a page of the region that was touched was gone while the section
/// was open, in whichever thread or section: what was read can be zeros, what was written can be
/// lost; -EINVAL NULL, or no section is open.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_end(region: *mut shm_region) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.guard_end()))
}

/// Looks whether a fault still reaches our handler. Where another handler has been installed since,
/// a child touches a page that is gone, for at most a second: the handlers run there, in memory of
/// its own but for what is shared, and without the program's descriptors. It is made by a bare
/// clone(2): no atfork handlers, no SIGCHLD, nothing for wait(2).
///
/// Returns 0, or: SHMKIT_E_UNGUARDED ours is not reached, was never installed (no region that can
/// shrink was enabled), or SIGBUS is blocked in this thread; -EAGAIN, -ENOMEM no child could be
/// made.
#[no_mangle]
pub unsafe extern "C" fn shm_guard_check(error: *mut shm_error) -> c_int {
    args::report(error, region::guard_check)
}
