use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::list::{
    shm_file_system, shm_gap, shm_holder, shm_leftover, shm_limit, shm_list, shm_object, shm_run, shm_trap,
};
use super::region::{shm_region, shm_region_options};
use crate::error::{Error, Result};
use crate::inspect::{self, Basis, Limits, Select, Survey, Usage};
use crate::region::Kind;
use crate::sys::Errno;

/// shm_object: a System V semaphore set.
pub const SHMKIT_KIND_SEMAPHORES: c_int = 7;
/// shm_object: a System V message queue.
pub const SHMKIT_KIND_QUEUE: c_int = 8;
/// shm_object: a POSIX object that sem_open(3) made.
pub const SHMKIT_KIND_NAMED_SEMAPHORE: c_int = 9;

/// shm_objects_list: System V segments.
pub const SHMKIT_SELECT_SEGMENTS: u32 = 1;
/// shm_objects_list: System V semaphore sets.
pub const SHMKIT_SELECT_SEMAPHORES: u32 = 2;
/// shm_objects_list: System V message queues.
pub const SHMKIT_SELECT_QUEUES: u32 = 4;
/// shm_objects_list: POSIX objects, and named semaphores.
pub const SHMKIT_SELECT_POSIX: u32 = 8;
/// shm_objects_list: memfds, by the descriptors and mappings of all processes.
pub const SHMKIT_SELECT_MEMFDS: u32 = 16;
/// shm_objects_list: shared anonymous memory.
pub const SHMKIT_SELECT_ANONYMOUS: u32 = 32;
/// shm_objects_list_of: files that are mapped shared.
pub const SHMKIT_SELECT_FILES: u32 = 64;
/// shm_objects_list: also who has the objects open. Alone, mappings are not looked at: that is
/// quicker, waits for no other process, and does not find what is only mapped.
pub const SHMKIT_SELECT_DESCRIPTORS: u32 = 128;
/// shm_objects_list: also who has the objects mapped.
pub const SHMKIT_SELECT_MAPPINGS: u32 = 256;
/// shm_objects_list: also who has the objects, by descriptors and mappings.
pub const SHMKIT_SELECT_HOLDERS: u32 = 384;

/// shm_limit: bytes.
pub const SHMKIT_UNIT_BYTES: u32 = 1;
/// shm_limit: pages; huge ones for the pools of huge pages.
pub const SHMKIT_UNIT_PAGES: u32 = 2;
/// shm_limit: so many things.
pub const SHMKIT_UNIT_COUNT: u32 = 3;
/// shm_limit: a number or a word with a meaning of its own.
pub const SHMKIT_UNIT_SETTING: u32 = 4;

/// shm_gap: processes of other users, that may not be looked into.
pub const SHMKIT_GAP_PERMISSION: u32 = 1;
/// shm_gap: /proc is mounted with hidepid.
pub const SHMKIT_GAP_HIDDEN: u32 = 2;
/// shm_gap: processes outside of this PID namespace are not in /proc.
pub const SHMKIT_GAP_PID_NAMESPACE: u32 = 3;
/// shm_gap: a file or directory could not be read.
pub const SHMKIT_GAP_UNREADABLE: u32 = 4;
/// shm_gap: something was not in the form that the kernel is known to write.
pub const SHMKIT_GAP_MALFORMED: u32 = 5;
/// shm_gap: attachments that the kernel counts, and that no process was seen to have.
pub const SHMKIT_GAP_ELSEWHERE: u32 = 6;
/// shm_gap: what is only mapped, and may not be followed: size, owner and seals are not known.
pub const SHMKIT_GAP_UNFOLLOWED: u32 = 7;

/// shm_leftover: the kernel counts no attachment.
pub const SHMKIT_REASON_NOT_ATTACHED: u32 = 1;
/// shm_leftover: the kernel says that it is open and mapped nowhere.
pub const SHMKIT_REASON_NOT_OPEN: u32 = 2;
/// shm_leftover: all processes could be seen, and none has it.
pub const SHMKIT_REASON_NO_HOLDER_SEEN: u32 = 4;
/// shm_leftover, beside one of those: the process that made it has ended.
pub const SHMKIT_REASON_CREATOR_GONE: u32 = 8;
/// shm_leftover, beside one of those: this library made it to go with its users, or was killed
/// before it had finished it.
pub const SHMKIT_REASON_ABANDONED: u32 = 16;

/// What mappings take in a process, in bytes: the sums of their figures in /proc/PID/smaps. A region
/// is one mapping, until parts of it are protected or locked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_usage {
    /// Of addresses.
    pub size_bytes: u64,
    /// Rss: in memory, and in this process's page tables.
    pub resident_bytes: u64,
    /// Pss: what several mappings have is shared out among them.
    pub proportional_bytes: u64,
    pub shared_clean_bytes: u64,
    pub shared_dirty_bytes: u64,
    pub private_clean_bytes: u64,
    pub private_dirty_bytes: u64,
    /// On huge pages, transparent ones or a pool's. A pool's are not part of resident_bytes.
    pub huge_bytes: u64,
    pub locked_bytes: u64,
    pub swapped_bytes: u64,
    /// Of how many mappings these are the sums: parts that were protected or locked are their own.
    pub mappings: u32,
    /// In bytes.
    pub page_size: u32,
    /// VmFlags of the first mapping, as proc(5) lists them, parted by spaces: "rd wr sh mr mw me ms".
    pub vm_flags: [c_char; 128],
}

/// ---- What the kernel knows --------------------------------------------------------------
///
/// The calls that list something take a picture and store a handle at `list`; the calls that get
/// something read from it, by number from 0, and answer 1, or 0 behind the last. The list is the
/// caller's to free, with shm_list_free; its strings live until then. A list never changes, so any
/// thread may read it. What may not be seen never fails the rest: shm_gap_get tells why there may
/// be more.
///
/// All limits that shared memory meets, each with its use and the place where it is set.
///
/// Returns 0, or: -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_limits_list(list: *mut *mut shm_list, error: *mut shm_error) -> c_int {
    args::listed(list, error, || Ok(Limits::read().into()))
}

/// The limit of a number in a list of shm_limits_list.
///
/// `limit`, `limit_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_limit_get(
    list: *const shm_list,
    index: usize,
    limit: *mut shm_limit,
    limit_size: usize,
) -> c_int {
    args::item(list, limit, limit_size, |list| list.limits.get(index))
}

/// The limit of a name, such as "kernel.shmmax".
///
/// Returns 1, or: 0 there is none of this name; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_limit_find(
    list: *const shm_list,
    name: *const c_char,
    limit: *mut shm_limit,
    limit_size: usize,
) -> c_int {
    let Ok(name) = args::text(name, "the name") else {
        return -(Errno::EINVAL as c_int);
    };
    args::item(list, limit, limit_size, |list| {
        list.limits.iter().find(|limit| args::text(limit.name, "its name").is_ok_and(|it| it == name))
    })
}

/// Tells whether a region would fit before it is made: nothing is made, and no memory is reserved.
///
/// `kind`: SHMKIT_KIND_MEMFD, _ANONYMOUS, _FILE, _POSIX or _SYSV. `path`: of a file, else NULL.
/// `size`: in bytes. `options`: those of the call that would make it. What it refuses is refused
/// here with the same code and sentence; OR_OPEN and REPLACE are taken as if there were none yet.
/// Returns 0, or the code that making it would end with, and `error` says which limit stands in the
/// way, its value, and where it is set: -EINVAL also an argument; -ENOSPC; -ENOMEM also addresses,
/// and memory that the kernel would promise and then kill for, because a control group or the
/// machine has less; -EFBIG; -EMFILE; -EPERM; -EBUSY; -EOPNOTSUPP no huge pages of this size here;
/// SHMKIT_E_ON_DISK; SHMKIT_E_SHRUNK; for a file, what its directory answers, and -EEXIST. A limit
/// that cannot be read stands in nobody's way, nor does the largest file that a file system knows.
#[no_mangle]
pub unsafe extern "C" fn shm_fits(
    kind: c_int,
    path: *const c_char,
    size: u64,
    options: *const shm_region_options,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let options = args::options(options)?;
        let kind = [Kind::Memfd, Kind::Anonymous, Kind::File, Kind::Posix, Kind::SysV]
            .into_iter()
            .find(|&known| known as c_int == kind)
            .ok_or_else(|| Error::new(Errno::EINVAL, format!("kind {kind} is none that can be made")))?;
        Ok(match kind {
            Kind::File => inspect::fits_file(args::text(path, "the path of the file")?, size, &options),
            kind => inspect::fits(kind, size, &options),
        }?)
    })
}

/// Shared objects of the machine, as far as this process may see them. System V objects are those
/// of its own IPC namespace.
///
/// `select`: SHMKIT_SELECT_… together. _FILES is for shm_objects_list_of. What only processes tell
/// (_MEMFDS, _ANONYMOUS, _HOLDERS) takes one look at every process.
/// Returns 0, or: -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_objects_list(
    select: u32,
    list: *mut *mut shm_list,
    error: *mut shm_error,
) -> c_int {
    args::listed(list, error, || Ok(Survey::of(Select::from_raw(select)?).into()))
}

/// What one process has, with the ways in which it has it.
///
/// Returns 0, or: -EINVAL an argument; -ESRCH no such process; -EACCES it may not be looked into.
#[no_mangle]
pub unsafe extern "C" fn shm_objects_list_of(
    pid: i32,
    select: u32,
    list: *mut *mut shm_list,
    error: *mut shm_error,
) -> c_int {
    args::listed(list, error, || Ok(Survey::of_process(pid, Select::from_raw(select)?)?.into()))
}

/// A region's object alone, and all who have it.
///
/// `select`: 0 or SHMKIT_SELECT_HOLDERS; or _DESCRIPTORS or _MAPPINGS, for those who have it in that
/// way alone.
/// Returns 0, or: -EINVAL an argument; what the kernel answers.
#[no_mangle]
pub unsafe extern "C" fn shm_region_holders(
    region: *const shm_region,
    select: u32,
    list: *mut *mut shm_list,
    error: *mut shm_error,
) -> c_int {
    args::listed(list, error, || {
        Ok(Survey::of_region(args::known(&region)?, Select::from_raw(select)?)?.into())
    })
}

/// The object of a number in a list of objects or leftovers.
///
/// `object`, `object_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_object_get(
    list: *const shm_list,
    index: usize,
    object: *mut shm_object,
    object_size: usize,
) -> c_int {
    args::item(list, object, object_size, |list| list.objects.get(index))
}

/// One of those who have an object, where the list was asked for them.
///
/// `object`: the object's number. `index`: the holder's, from 0 for each object.
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_holder_get(
    list: *const shm_list,
    object: usize,
    index: usize,
    holder: *mut shm_holder,
    holder_size: usize,
) -> c_int {
    args::item(list, holder, holder_size, |list| list.holders.get(object)?.get(index))
}

/// Why there may be more objects, holders or leftovers than the list has.
///
/// Returns 1, or: 0 there are no more, so without any the list is complete; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_gap_get(
    list: *const shm_list,
    index: usize,
    gap: *mut shm_gap,
    gap_size: usize,
) -> c_int {
    args::item(list, gap, gap_size, |list| list.gaps.get(index))
}

/// Segments and POSIX objects that nobody has: the kernel counts who is attached, and tells an
/// object's owner whether it is open or mapped anywhere, also in containers and under way in a
/// socket. That alone does not make them garbage: a name may be meant to wait for its next user.
///
/// Behind them come those of which it cannot be told. shm_object_get has the objects,
/// shm_leftover_get the reasons.
/// Returns 0, or: -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_leftovers_list(list: *mut *mut shm_list, error: *mut shm_error) -> c_int {
    args::listed(list, error, || Ok(inspect::leftovers().into()))
}

/// The reason for an object in a list of shm_leftovers_list.
///
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_leftover_get(
    list: *const shm_list,
    index: usize,
    leftover: *mut shm_leftover,
    leftover_size: usize,
) -> c_int {
    args::item(list, leftover, leftover_size, |list| list.leftovers.get(index))
}

/// Tells whether shm_leftover_remove would remove an object now.
///
/// Returns as shm_leftover_remove, and removes nothing.
#[no_mangle]
pub unsafe extern "C" fn shm_leftover_check(
    list: *const shm_list,
    index: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || unused(list, index)?.check())
}

/// As shm_leftover_remove, but also what somebody has: they keep its memory, and nobody else finds
/// it. It may have been written to since it was listed.
///
/// Returns as shm_leftover_remove, but not -EBUSY for what is in use.
#[no_mangle]
pub unsafe extern "C" fn shm_leftover_remove_in_use(
    list: *const shm_list,
    index: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || leftover(list, index)?.remove_in_use())
}

/// Removes an object of shm_leftovers_list, if it still is the one that was listed and nobody has
/// it.
///
/// Returns 0, or: -EINVAL an argument; -EBUSY it is in use, or that cannot be told; -EPERM another
/// user's; -ESTALE it was changed since, or another object stands there; -ENOENT it is gone; -EAGAIN
/// another process has held the lock on /dev/shm for a second.
#[no_mangle]
pub unsafe extern "C" fn shm_leftover_remove(
    list: *const shm_list,
    index: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || unused(list, index)?.remove())
}

unsafe fn leftover<'a>(list: *const shm_list, index: usize) -> Result<&'a inspect::Leftover> {
    let leftover = args::list(list)?.removable.get(index);
    leftover.ok_or_else(|| Error::new(Errno::EINVAL, format!("the list has no leftover of number {index}")))
}

/// One that was decided.
unsafe fn unused<'a>(list: *const shm_list, index: usize) -> Result<&'a inspect::Leftover> {
    let leftover = leftover(list, index)?;
    if leftover.reasons.is_empty() {
        let message = format!("cannot remove {}: whether somebody has it cannot be told", leftover.object);
        return Err(Error::new(Errno::EBUSY, message));
    }
    Ok(leftover)
}

/// What is set up on this machine so that shared memory surprises: all that is known, whether it
/// applies or not, each with the remedy.
///
/// Returns 0, or: -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_traps_list(list: *mut *mut shm_list, error: *mut shm_error) -> c_int {
    args::listed(list, error, || Ok(inspect::traps().into()))
}

/// The trap of a number in a list of shm_traps_list.
///
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_trap_get(
    list: *const shm_list,
    index: usize,
    trap: *mut shm_trap,
    trap_size: usize,
) -> c_int {
    args::item(list, trap, trap_size, |list| list.traps.get(index))
}

/// Tells which pages of a range are in memory, page by page: whole pages, as far as the range
/// touches them. Looking touches none.
///
/// `offset`, `length`: in bytes. `list`: shm_run_get has the runs of pages, without gaps.
/// Returns 0, or: 1 only what this process has touched itself is told, because it may not write to
/// the file, or the pages are from a pool; -EINVAL an argument; -ERANGE beyond the region; what the
/// kernel answers.
#[no_mangle]
pub unsafe extern "C" fn shm_region_residency(
    region: *const shm_region,
    offset: usize,
    length: usize,
    list: *mut *mut shm_list,
    error: *mut shm_error,
) -> c_int {
    let mut partly = 0;
    let listed = args::listed(list, error, || {
        let residency = args::known(&region)?.residency(offset, length)?;
        partly = c_int::from(residency.basis != Basis::Object);
        Ok(residency.into())
    });
    if listed == 0 {
        partly
    } else {
        listed
    }
}

/// The run of a number in a list of shm_region_residency.
///
/// Returns 1, or: 0 there are no more; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_run_get(
    list: *const shm_list,
    index: usize,
    run: *mut shm_run,
    run_size: usize,
) -> c_int {
    args::item(list, run, run_size, |list| list.runs.get(index))
}

/// Reads what a region takes in this process: the sums over its mappings in /proc/self/smaps.
///
/// `usage`, `usage_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 0, or: -EINVAL an argument; -ENOENT and others: /proc cannot be read.
#[no_mangle]
pub unsafe extern "C" fn shm_region_usage(
    region: *const shm_region,
    usage: *mut shm_usage,
    usage_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(usage, usage_size, error, || Ok(usage_from(&args::known(&region)?.usage()?)))
}

/// Reads what a process has mapped between two addresses: the figures of /proc/PID/smaps. A holder's
/// mapping (shm_holder) has such addresses.
///
/// `pid`: also this process, for one mapping of a region alone. `start`, `length_bytes`: mappings
/// that they touch count whole. `usage`, `usage_size`: as for shm_region_usage.
/// Returns 0, or: -EINVAL an argument; -ENOENT nothing is mapped there, or there is no such process;
/// -EACCES it may not be looked into; -ESRCH it has just ended.
#[no_mangle]
pub unsafe extern "C" fn shm_process_usage(
    pid: i32,
    start: u64,
    length_bytes: u64,
    usage: *mut shm_usage,
    usage_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(usage, usage_size, error, || Ok(usage_from(&Usage::of_process(pid, start, length_bytes)?)))
}

/// The file system that a region's object lies on, with its free space.
///
/// `list`: shm_file_system_get has it.
/// Returns 0, or: -EINVAL an argument; what the kernel answers.
#[no_mangle]
pub unsafe extern "C" fn shm_region_file_system(
    region: *const shm_region,
    list: *mut *mut shm_list,
    error: *mut shm_error,
) -> c_int {
    args::listed(list, error, || Ok(args::known(&region)?.file_system()?.into()))
}

/// The file system in a list of shm_region_file_system; there is one.
///
/// Returns 1, or: 0 in another list; -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_file_system_get(
    list: *const shm_list,
    file_system: *mut shm_file_system,
    file_system_size: usize,
) -> c_int {
    args::item(list, file_system, file_system_size, |list| list.file_systems.first())
}

/// Frees a list, and with it the strings that were read from it. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn shm_list_free(list: *mut shm_list) {
    args::free(list);
}

fn usage_from(usage: &Usage) -> shm_usage {
    let (total, first) = (usage.total, usage.mappings.first());
    let mut vm_flags = [0; 128];
    let flags = first.map_or("", |mapping| mapping.flags.as_str());
    for (to, from) in vm_flags[..127].iter_mut().zip(flags.bytes()) {
        *to = from as c_char;
    }
    shm_usage {
        size_bytes: total.size,
        resident_bytes: total.resident,
        proportional_bytes: total.proportional,
        shared_clean_bytes: total.shared_clean,
        shared_dirty_bytes: total.shared_dirty,
        private_clean_bytes: total.private_clean,
        private_dirty_bytes: total.private_dirty,
        huge_bytes: total.huge,
        locked_bytes: total.locked,
        swapped_bytes: total.swapped,
        mappings: usage.mappings.len() as u32,
        page_size: first.map_or(0, |mapping| mapping.page_size as u32),
        vm_flags,
    }
}
