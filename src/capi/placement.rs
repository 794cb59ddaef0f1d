use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;
use crate::region::Policy;

/// shm_region_place: as the process's own policy says, mostly the node of the CPU that touches.
pub const SHMKIT_PLACE_DEFAULT: c_int = 0;
/// On the first of these nodes, and elsewhere when it is full (MPOL_PREFERRED).
pub const SHMKIT_PLACE_PREFERRED: c_int = 1;
/// On these nodes alone (MPOL_BIND).
pub const SHMKIT_PLACE_BIND: c_int = 2;
/// Page by page on all of these nodes in turn (MPOL_INTERLEAVE).
pub const SHMKIT_PLACE_INTERLEAVE: c_int = 3;

/// ---- On which memory --------------------------------------------------------------------
///
/// Says on which NUMA nodes a range's pages shall lie (mbind(2)). For memfds, POSIX objects, System
/// V and shared anonymous memory that holds for all processes that use the region; for private
/// anonymous memory, for this process and its children; for files on a disk it says nothing of
/// pages to come. What was said last counts.
///
/// Pages that exist already move, if this process has touched them and no other has them mapped.
/// Memory that was reserved at creation exists, touched by nobody yet: the call touches it, so that
/// it moves too (before Linux 5.14: only after shm_region_prefault). With _NO_RESERVE nothing has
/// to.
///
/// `offset`: on a page boundary; `length`: rounded up to pages. `policy`: SHMKIT_PLACE_….
/// `nodes`, `node_count`: node numbers, at least one; NULL and 0 for _DEFAULT.
/// /sys/devices/system/node/online has those of this machine.
/// Returns 0, or: -EINVAL an argument, a node that is not there, or that has no memory for this
/// process (cpuset(7)); -ERANGE beyond the region; -EPERM a container's seccomp profile forbids
/// mbind; -ENOSYS a kernel without NUMA; -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_region_place(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    policy: c_int,
    nodes: *const c_int,
    node_count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let nodes = args::numbers(nodes, node_count, "the array of nodes")?;
        args::known(&region)?.place(offset, length, Policy::from_raw(policy)?, nodes)
    })
}

/// Tells where a range's pages lie (move_pages(2)): for each page, of shm_region_page_size, the
/// number of its NUMA node, or -ENOENT where this process has no page: it has not touched it,
/// though the page may be reserved or another process's; it has only read zeros of private memory;
/// or the page is swapped out. shm_region_prefault makes it known.
///
/// `nodes`, `node_count`: room for as many numbers as pages of the range, from the one that holds
/// `offset` to the one that holds the last byte; another count is -EINVAL.
/// Returns 0, or: -EINVAL an argument; -ERANGE beyond the region; -EPERM a container's seccomp
/// profile; -ENOSYS a kernel without NUMA; -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_region_nodes(
    region: *const shm_region,
    offset: usize,
    length: usize,
    nodes: *mut c_int,
    node_count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let region = args::known(&region)?;
        let expected = region.page_count(offset, length)?;
        args::give_numbers(nodes, node_count, expected, || region.nodes(offset, length))
    })
}
