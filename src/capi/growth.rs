use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;

/// ---- Growing in place -------------------------------------------------------------------
///
/// Makes a region larger, for all its users, without moving it: pointers into it stay valid. Made
/// for regions with SHMKIT_REGION_GROWABLE; any other is -EOPNOTSUPP.
///
/// The new bytes are zeros, reserved as at creation (unless SHMKIT_REGION_NO_RESERVE). Other
/// processes see them after shm_region_follow. Nothing ever gets smaller: of two that grow it at
/// once, the larger size stays, and a region that is that large already is left alone. After a
/// failure the region and its object have the size that they had; only on a disk a file that ran
/// out of space halfway can have kept some of it.
/// `size`: in bytes, up to shm_region_size_max. Not below the region's size, which is -EINVAL.
/// Returns 0, or: -EINVAL an argument; -EOPNOTSUPP the region is not growable, or its file system
/// cannot reserve; -EFBIG over shm_region_size_max, or over RLIMIT_FSIZE; -ENOSPC, -EDQUOT, -ENOMEM
/// no memory or disk; -EACCES the region is read-only; -EPERM somebody has sealed it against
/// growing.
#[no_mangle]
pub unsafe extern "C" fn shm_region_grow(
    region: *mut shm_region,
    size: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(region)?.grow(size))
}

/// Takes over what others have grown: afterwards shm_region_size is the object's size, as far as
/// shm_region_size_max. Pointers stay valid. The peer that grows it is not trusted: size_max is the
/// receiver's own cap.
///
/// Returns 0, or: -EINVAL NULL; -EOPNOTSUPP the region is not growable; SHMKIT_E_SHRUNK the object
/// is smaller than the region, whose size stays as it is.
#[no_mangle]
pub unsafe extern "C" fn shm_region_follow(region: *mut shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(region)?.follow())
}
