use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::region::{shm_region, shm_region_options};
use crate::region::{sysv, Region};

/// What the kernel knows of a System V segment (IPC_STAT). Times are seconds since 1970, 0 for
/// never; pids are those of the caller's PID namespace, 0 for a process that is not in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_sysv_info {
    /// The size asked for at creation, in bytes.
    pub size_bytes: u64,
    /// How many mappings there are, of all processes.
    pub attach_count: u64,
    /// Last attach, last detach, last change.
    pub attached_at: i64,
    pub detached_at: i64,
    pub changed_at: i64,
    /// The key; 0 for a private segment, and for one that is marked removed.
    pub key: i32,
    pub id: i32,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    pub creator_pid: i32,
    /// The process that attached or detached last.
    pub last_pid: i32,
    /// Permission bits, at most 0777.
    pub mode: u32,
    /// 1 when the segment is marked removed and goes with its last user, else 0.
    pub removed: u32,
    /// 1 when shm_sysv_lock holds it in memory, else 0.
    pub locked: u32,
    /// 0.
    pub reserved: u32,
}

/// ---- System V segments ------------------------------------------------------------------
///
/// The System V key of a path and a project, as ftok(3) makes it, but with errors: ftok answers -1,
/// which is a valid key.
///
/// Only 8 bits of the project, 8 of the device and 16 of the inode enter the key: two paths can
/// have the same one. shm_sysv_create_at notices.
/// `path`: an existing file or directory. `project`: 0 to 255.
/// Returns 0, or: -EINVAL an argument; -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG the path.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_key(
    path: *const c_char,
    project: c_int,
    key: *mut i32,
    error: *mut shm_error,
) -> c_int {
    args::give(key, error, || sysv::key(args::text(path, "path")?, project))
}

/// Creates a System V segment and attaches it. It outlives every process until it is removed, or
/// the machine restarts.
///
/// `key`: 0 (IPC_PRIVATE) always makes a new segment without a key. -1 is -EINVAL: it is what ftok
/// returns when it fails.
/// `size`: in bytes. An existing segment is -EEXIST, unless _OR_OPEN; then the region has the
/// existing segment's size, and one smaller than `size` is -EINVAL.
/// `options`: flags READ_ONLY OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP AUTO_REMOVE
/// HUGE_2M HUGE_1G HUGE_FALLBACK; mode, which the umask does not narrow. Huge pages round the size
/// up, and need CAP_IPC_LOCK, or membership of the group in vm.hugetlb_shm_group.
/// Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
/// argument, or a size over shmmax; -EOPNOTSUPP no huge pages of this size here; -EPERM no right to
/// huge pages; -ENOSPC shmmni or shmall is reached (the message names the limit, its value and its
/// file); -EACCES; -ENOMEM also an empty pool of huge pages. The region is the caller's to close,
/// which detaches; the segment goes with shm_sysv_remove.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_create(
    key: i32,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::create(region, error, || {
        let options = args::options(options)?;
        Ok((Region::sysv_create(key, size, &options)?, options))
    })
}

/// Attaches all of the System V segment that has this key.
///
/// `key`: 0 and -1 are -EINVAL.
/// `options`: flags READ_ONLY POPULATE LOCKED NO_FORK NO_DUMP AUTO_REMOVE; size_min, of which more
/// than the segment has is the kernel's -EINVAL. A segment on huge pages is attached too.
/// Returns 0, or: -ENOENT; -EACCES; -EINVAL; -ENOMEM; -EPERM _AUTO_REMOVE of another user's
/// segment. The region is the caller's to close, which detaches.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_attach(
    key: i32,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || Region::sysv_attach(key, &args::options(options)?))
}

/// Attaches all of the System V segment that has this id (shm_sysv_id, ipcs(1)), also one that is
/// marked removed.
///
/// `options`: as for shm_sysv_attach.
/// Returns 0, or: -EINVAL no such id, or size_min; -EIDRM; -EACCES; -ENOMEM. The region is the
/// caller's to close, which detaches.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_attach_id(
    id: c_int,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || Region::sysv_attach_id(id, &args::options(options)?))
}

/// shm_sysv_create with the key of a path, and an identity of that path stored behind the region's
/// bytes, so that a segment made for another path under the same key (an ftok collision) is
/// noticed.
///
/// `path`, `project`: as for shm_sysv_key. `size`: in bytes; the segment is up to 128 bytes larger.
/// `options`: as for shm_sysv_create, but no huge pages. mode loses its execute bits. With _OR_OPEN
/// a segment whose creator died half way is replaced, after a second.
/// Returns as shm_sysv_key and shm_sysv_create, and: SHMKIT_E_COLLISION (_OR_OPEN: the existing
/// segment belongs to another path; without it that is -EEXIST); -EAGAIN _OR_OPEN found a segment
/// that is not finished, and is used or another user's. Who creates it first decides what is in it:
/// the identity tells paths apart, not users; shm_sysv_stat tells the creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_create_at(
    path: *const c_char,
    project: c_int,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::create(region, error, || {
        let options = args::options(options)?;
        Ok((Region::sysv_create_at(args::text(path, "path")?, project, size, &options)?, options))
    })
}

/// Attaches the segment that shm_sysv_create_at made for this path and project.
///
/// `options`: as for shm_sysv_attach.
/// Returns as shm_sysv_key and shm_sysv_attach, and: SHMKIT_E_COLLISION the segment under this key
/// was made for another path, or by other means; -EAGAIN its creator has not finished, or died half
/// way (shm_sysv_create_at with _OR_OPEN replaces it).
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_attach_at(
    path: *const c_char,
    project: c_int,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || {
        Region::sysv_attach_at(args::text(path, "path")?, project, &args::options(options)?)
    })
}

/// The System V id behind a region, for shm_sysv_stat, shm_sysv_remove, ipcs(1).
///
/// Returns the id, 0 or positive, or: -EINVAL NULL; -EOPNOTSUPP not a System V region.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_id(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).and_then(Region::sysv_id))
}

/// Marks a segment removed (IPC_RMID): its key is free at once, its memory goes with its last user.
/// Removing it again while it is in use is no error.
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_remove(id: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || sysv::remove(id))
}

/// Reads what the kernel knows of a segment (IPC_STAT).
///
/// `info`, `info_size`: the caller's struct and its sizeof. A shorter one is filled as far as it
/// goes, what a longer one has behind it becomes 0.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_stat(
    id: c_int,
    info: *mut shm_sysv_info,
    info_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(info, info_size, error, || Ok(info_from(sysv::stat(id)?)))
}

/// Changes a segment's owner and permission bits (IPC_SET).
///
/// `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is, as for chown(2). `mode`: at
/// most 0777.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_set_owner(
    id: c_int,
    uid: u32,
    gid: u32,
    mode: u32,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || sysv::set_owner(id, args::owner(uid), args::owner(gid), mode))
}

/// Keeps a segment's pages in memory for all its users, once they are touched (SHM_LOCK).
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator, or RLIMIT_MEMLOCK
/// is 0; -ENOMEM over RLIMIT_MEMLOCK, whose value is in the message.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_lock(id: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || sysv::lock(id))
}

/// Ends shm_sysv_lock (SHM_UNLOCK).
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_unlock(id: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || sysv::unlock(id))
}

fn info_from(info: sysv::Info) -> shm_sysv_info {
    shm_sysv_info {
        size_bytes: info.size_bytes,
        attach_count: info.attach_count,
        attached_at: info.attached_at,
        detached_at: info.detached_at,
        changed_at: info.changed_at,
        key: info.key,
        id: info.id,
        owner_uid: info.owner_uid,
        owner_gid: info.owner_gid,
        creator_uid: info.creator_uid,
        creator_gid: info.creator_gid,
        creator_pid: info.creator_pid,
        last_pid: info.last_pid,
        mode: info.mode,
        removed: info.removed.into(),
        locked: info.locked.into(),
        reserved: 0,
    }
}
