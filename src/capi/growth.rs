use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;

/// ---- Growing in place -------------------------------------------------------------------
///
/// Makes a region with SHMKIT_REGION_GROWABLE larger, for all its users, without moving it:
/// pointers into it stay valid.
///
/// The new bytes are reserved as at creation (unless SHMKIT_REGION_NO_RESERVE), and zeros, unless
/// the object had them already. This process can use them at once; others after shm_region_follow,
/// and nothing tells them but the program. Nothing ever gets smaller: of two that grow it at once
/// the larger size stays, and is then both's shm_region_size. A failure leaves the sizes of the
/// region and its object as they were; only a disk that ran full can have kept some of the new
/// blocks. A region that this process has published read-only can go on growing. Between
/// shm_region_size and shm_region_size_max access through the pointer can raise SIGBUS.
/// `size`: in bytes, up to shm_region_size_max. One that the region has already changes nothing.
/// Returns 0, or: -EINVAL NULL; -EOPNOTSUPP the region is not growable, or its file system cannot
/// reserve; -EFBIG over shm_region_size_max, or over RLIMIT_FSIZE; -ENOSPC, -EDQUOT, -ENOMEM no
/// memory or disk; -EACCES the region is read-only; -EPERM somebody has sealed it against growing;
/// SHMKIT_E_SHRUNK somebody has truncated it meanwhile.
#[no_mangle]
pub unsafe extern "C" fn shm_region_grow(
    region: *mut shm_region,
    size: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.grow(size))
}

/// Takes over what others have grown: afterwards shm_region_size is the object's size (less the
/// region's offset in it), as far as shm_region_size_max. Pointers stay valid. The peer that grows
/// is not trusted: size_max is this process's own cap.
///
/// Returns 1 when the region became larger, 0 when not, or: -EINVAL NULL; -EOPNOTSUPP the region is
/// not growable; SHMKIT_E_SHRUNK the object is smaller than the region, whose size stays as it is.
#[no_mangle]
pub unsafe extern "C" fn shm_region_follow(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report_as(error, || args::known(&region)?.follow(), c_int::from)
}
