use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::sync::{shm_mutex, shm_party};
use crate::sync::Named;

/// shm_mutex_open and the like: only what is there, -ENOENT if nothing is.
pub const SHMKIT_NAMED_FIND: u32 = 1;
/// shm_mutex_open and the like: also what another user has made, who can write to it whatever he likes.
pub const SHMKIT_NAMED_ANY_OWNER: u32 = 2;
/// shm_mutex_open and the like: the same as SHMKIT_PARTY_ANY_THREAD.
pub const SHMKIT_NAMED_ANY_THREAD: u32 = 4;

/// How to open a name. NULL means all defaults, and zero fields mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_named_options {
    /// sizeof(shm_named_options), always: 0 is -EINVAL.
    pub size: u32,
    /// SHMKIT_NAMED_FIND | SHMKIT_NAMED_ANY_OWNER | SHMKIT_NAMED_ANY_THREAD
    pub flags: u32,
    /// Permission bits of a new one, whatever the umask; 0 is 0600. Whoever is to use it needs both
    /// reading and writing.
    pub mode: u32,
    /// As in shm_party_options.
    pub slots: u32,
    /// As in shm_party_options.
    pub cells: u32,
}

/// ---- Locks by name ----------------------------------------------------------------------
///
/// Opens a mutex by its name, or makes it: for programs that want a lock, and not a region.
///
/// The lock lies in a System V segment of its own, which cannot shrink, and which any process of this
/// IPC namespace finds by a key made of the name. Who races to make it, or dies while he does, keeps
/// nobody from it. It stays until shm_named_unlink, or the machine's restart.
///
/// `name`: 1 to 255 bytes, compared one by one. All kinds of objects share the names.
/// `options`: NULL, or flags, mode, slots, cells.
/// `party`: the membership that comes with it, for the calls on the lock. shm_party_leave ends it,
/// and detaches the segment.
/// `mutex`: where the lock is, until then.
/// Returns 0, or: -EINVAL an argument, or the name is that of another kind of object; -ENAMETOOLONG;
/// -ENOENT with SHMKIT_NAMED_FIND; -EPERM it is another user's, not this one's or root's; -EACCES its
/// mode forbids it; -EAGAIN somebody has begun to make it, and is not done after a second;
/// SHMKIT_E_COLLISION others have all keys of this name; -ENOSPC, -ENOMEM; and as shm_party_join.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_open(
    name: *const c_char,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    mutex: *mut *mut shm_mutex,
    error: *mut shm_error,
) -> c_int {
    args::open_named(name, options, party, mutex, error, |named| named.mutex().map(drop))
}

/// Takes a name away, of whatever kind. Who has it open keeps what he has; the next who opens it makes
/// another one, and both have the lock then, each his own. So unlink only when nobody uses it.
///
/// Returns 0, or: -ENOENT; -EINVAL; -ENAMETOOLONG; -EPERM it is another user's; -EACCES.
#[no_mangle]
pub unsafe extern "C" fn shm_named_unlink(name: *const c_char, error: *mut shm_error) -> c_int {
    args::report(error, || Named::unlink(args::text(name, "the name")?))
}
