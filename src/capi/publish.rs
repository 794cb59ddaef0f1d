use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;

/// ---- Reading alone ----------------------------------------------------------------------
///
/// Publishes a memfd region: from now on nobody can write to it but this process, through the
/// mapping that it has. shm_send_region then hands it over for reading.
///
/// The kernel keeps it so (F_SEAL_FUTURE_WRITE, Linux 5.1): not by writing to the descriptor, not
/// by mapping it writable, not after opening it again through /proc or changing its mode, neither
/// another user nor the same. SHRINK, EXEC and SEAL are sealed too, and GROW unless the region is
/// growable: then whoever has its descriptor can make it larger, by zeros. What remains: who may
/// trace this process (ptrace(2), /proc/PID/mem) can write through it.
///
/// The kernel does not look for writable mappings that exist, so this call refuses where there can
/// be one: for a region that came from elsewhere, that was sent writable or tried to, whose
/// descriptor was asked for (shm_region_fd), or when the process has called fork() since the region
/// was made. A child made by a bare clone(2), and a descriptor taken from /proc by another process
/// of the same user, are not seen.
/// Calling it again is no error.
/// Returns 0, or: -EINVAL NULL, or a kernel before Linux 5.1; -EBUSY others may have it writable,
/// the message says why; -EPERM somebody has sealed it against seals; -EOPNOTSUPP not a memfd made
/// by shm_region_create, or a private region: for files and POSIX objects the kernel gives no such
/// promise.
#[no_mangle]
pub unsafe extern "C" fn shm_region_publish_read_only(
    region: *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(region)?.publish_read_only())
}

/// Freezes a memfd region for good: nobody can write to it any more, this process included
/// (F_SEAL_WRITE). Pointers into it stay valid, for reading.
///
/// No thread may write to the region while this runs: that raises SIGSEGV. shm_region_protect,
/// _advise, _lock and shm_region_place are undone for the region.
/// Returns 0, or: -EINVAL NULL; -EBUSY a shared mapping exists elsewhere that was made from a
/// descriptor for writing, be it read-only, or the kernel itself has pages in use: the region stays
/// writable; -EPERM sealed against seals; -EOPNOTSUPP no memfd; -ENOMEM too many mappings.
#[no_mangle]
pub unsafe extern "C" fn shm_region_freeze(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(region)?.freeze())
}
