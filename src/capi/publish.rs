use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;

/// ---- Reading alone ----------------------------------------------------------------------
///
/// Publishes a memfd region, for good: from now on nobody can write to it but this process, through
/// the mapping that it has. shm_send_region then hands it over for reading.
///
/// The kernel keeps it so (F_SEAL_FUTURE_WRITE, Linux 5.1): no writing to the descriptor, no
/// mapping it writable, not after opening it again through /proc or changing its mode, neither by
/// another user nor by the same. SHRINK, SEAL, and EXEC unless the mode has execute bits, are
/// sealed too, so shm_region_freeze is -EPERM afterwards; and GROW unless the region is growable:
/// then whoever has its descriptor can make it larger, by zeros. What remains: a child that this
/// process forks inherits its mapping (SHMKIT_REGION_NO_FORK prevents that), and who may trace it
/// (ptrace(2), /proc/PID/mem) can write through it.
///
/// The kernel does not look for writable mappings that exist already, so this call refuses where
/// there can be one: for a region that came from elsewhere, that was sent with the right to write,
/// or tried to, whose descriptor was asked for (shm_region_fd), or when the process has called
/// fork() since the region was made, be it with SHMKIT_REGION_NO_FORK, because a child has the
/// descriptor. posix_spawn(3) and system(3) do not count. A child made by a bare clone(2) or
/// _Fork(3), and a descriptor that another process of the same user took from /proc, are not seen.
/// No other thread may ask for the descriptor or send the region meanwhile: the call is -EBUSY
/// then, but the seals are there. Calling it again is no error.
/// Returns 0, or: -EINVAL NULL; -EBUSY others may have it writable, the message says why; -EPERM
/// somebody has sealed it against seals; -EOPNOTSUPP a kernel before Linux 5.1 (5.13 for huge
/// pages), no memfd (for files and POSIX objects the kernel gives no such promise), or a private
/// region.
#[no_mangle]
pub unsafe extern "C" fn shm_region_publish_read_only(
    region: *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.publish_read_only())
}

/// Freezes a memfd region for good: nobody can write to it any more, this process included, nor
/// change its size (F_SEAL_WRITE, SHRINK and GROW). The region is read-only from then on: pointers
/// into it stay valid, for reading.
///
/// Any process may call it that has a descriptor for writing. A process that has received the
/// region and still has it mapped is in the way, for reading too. No thread may write to the region
/// while this runs: that can raise SIGSEGV. SHMKIT_REGION_NO_FORK and _NO_DUMP are kept;
/// shm_region_protect, _advise, _lock and _place, and SHMKIT_REGION_LOCKED, are undone.
/// Returns 0, or: -EINVAL NULL, or shm_guard_enable was called; -EBUSY a shared mapping exists
/// elsewhere that was made from a descriptor for writing, or the kernel itself has pages in use:
/// the region stays writable; -EPERM sealed against seals, published or sealed with FUTURE_WRITE,
/// or a read-only descriptor; -EOPNOTSUPP no memfd, or a private region; -ENOMEM too many mappings.
#[no_mangle]
pub unsafe extern "C" fn shm_region_freeze(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(&region)?.freeze())
}
