//! The caller's pointers: the one file that dereferences them. Every `unsafe` block here rests on the
//! C caller's promise in the header: a pointer is NULL or points to what its type says.
#![deny(unsafe_op_in_unsafe_fn)]

use std::borrow::Cow;
use std::ffi::{c_char, c_int, c_void, CStr, OsStr};
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::barrier::shm_barrier;
use super::cond::shm_cond;
use super::event::shm_event;
use super::list::shm_list;
use super::named::shm_named_options;
use super::once::shm_once;
use super::region::{shm_region, shm_region_options, SHMKIT_SEAL_NONE};
use super::rwlock::shm_rwlock;
use super::semaphore::shm_sysv_sem_op;
use super::sync::{shm_mutex, shm_party, shm_party_options};
use super::units::shm_semaphore;
use super::watch::shm_watch;
use crate::error::{Code, Error, Result};
use crate::region::{Flags, Options, Region, Seals};
use crate::sync::{
    Barrier, Condvar, Event, Mutex, Named, NamedFlags, NamedOptions, Once, Party, PartyFlags, PartyOptions,
    RwLock, Semaphore, Watch,
};
use crate::sys::Errno;
use crate::sysv::queue::Received;
use crate::sysv::Operation;

/// What went wrong: the caller's own memory, filled on failure by calls that take it. Nothing in it
/// is to be freed.
#[repr(C)]
pub struct shm_error {
    /// The code that the call returned.
    pub code: i32,
    /// One sentence that says what was tried, on what, and why it failed; ends with a NUL.
    pub message: [c_char; 252],
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Errno::EINVAL, message)
}

fn not_null<T>(pointer: *const T, what: &str) -> Result<*const T> {
    if pointer.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    Ok(pointer)
}

/// Fills the caller's `shm_error`, the message cut at a character's end.
unsafe fn fill(out: *mut shm_error, error: &Error) {
    let mut message = error.to_string();
    let mut end = message.len().min(251);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    let mut filled = shm_error { code: error.code().raw(), message: [0; 252] };
    for (to, from) in filled.message.iter_mut().zip(message.bytes()) {
        *to = from as c_char;
    }
    unsafe { out.write(filled) };
}

/// Runs a call, turns its failure into a code, and tells the caller why.
pub(super) unsafe fn report_as<T>(
    error: *mut shm_error,
    call: impl FnOnce() -> Result<T>,
    done: impl FnOnce(T) -> c_int,
) -> c_int {
    match call() {
        Ok(value) => done(value),
        Err(failure) => {
            if !error.is_null() {
                unsafe { fill(error, &failure) };
            }
            failure.code().raw()
        }
    }
}

pub(super) unsafe fn report(error: *mut shm_error, call: impl FnOnce() -> Result<()>) -> c_int {
    unsafe { report_as(error, call, |()| 0) }
}

/// Stores a call's result at `out`, after `out` was checked and only on success.
pub(super) unsafe fn give<T>(out: *mut T, error: *mut shm_error, call: impl FnOnce() -> Result<T>) -> c_int {
    let checked = || not_null(out, "the pointer for the result").and_then(|_| call());
    unsafe {
        report_as(error, checked, |value| {
            out.write(value);
            0
        })
    }
}

pub(super) unsafe fn give_fd(
    out: *mut c_int,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<OwnedFd>,
) -> c_int {
    let checked = || not_null(out, "the pointer for the result").and_then(|_| call());
    unsafe {
        report_as(error, checked, |fd| {
            out.write(fd.into_raw_fd());
            0
        })
    }
}

pub(super) unsafe fn give_fds(
    out: *mut c_int,
    count: usize,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<Vec<OwnedFd>>,
) -> c_int {
    let checked = || not_null(out, "the array for the descriptors").and_then(|_| call());
    unsafe {
        report_as(error, checked, |fds| {
            debug_assert_eq!(fds.len(), count);
            for (index, fd) in fds.into_iter().enumerate() {
                out.add(index).write(fd.into_raw_fd());
            }
            0
        })
    }
}

/// A call that opens a region: 0 on success.
pub(super) unsafe fn open(
    out: *mut *mut shm_region,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<Region>,
) -> c_int {
    // A region is the handle.
    unsafe { give(out.cast::<Region>(), error, call) }
}

/// A call that creates a region, and with _OR_OPEN tells whether it did.
pub(super) unsafe fn create(
    out: *mut *mut shm_region,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<(Region, Options)>,
) -> c_int {
    let mut told = 0;
    let opened = || {
        let (region, options) = call()?;
        told = c_int::from(options.flags.contains(Flags::OR_OPEN) && region.created());
        Ok(region)
    };
    match unsafe { open(out, error, opened) } {
        0 => told,
        failed => failed,
    }
}

/// A call that creates something with an id, and tells whether it is to say that it did.
pub(super) unsafe fn create_id(
    out: *mut c_int,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<(c_int, bool)>,
) -> c_int {
    let checked = || not_null(out, "the pointer for the result").and_then(|_| call());
    unsafe {
        report_as(error, checked, |(id, created)| {
            out.write(id);
            created.into()
        })
    }
}

/// A call that receives a message into the caller's buffer: its length.
pub(super) unsafe fn receive(
    buffer: *mut c_void,
    size: usize,
    kind: *mut i64,
    error: *mut shm_error,
    call: impl FnOnce(&mut [u8]) -> Result<Received>,
) -> c_int {
    let received = || call(if size == 0 { &mut [] } else { unsafe { bytes_mut(buffer, size)? } });
    unsafe {
        report_as(error, received, |received| {
            if !kind.is_null() {
                kind.write(received.kind);
            }
            received.length as c_int
        })
    }
}

/// An extensible struct for information: filled as far as the caller's goes, zeros behind ours.
pub(super) unsafe fn inform<T: Copy>(
    out: *mut T,
    size: usize,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<T>,
) -> c_int {
    let checked = || {
        not_null(out, "the struct for the result")?;
        if size == 0 || size > LONGEST_STRUCT {
            return Err(invalid(format!("a struct of {size} bytes: pass its sizeof")));
        }
        call()
    };
    unsafe {
        report_as(error, checked, |value| {
            let ours = size_of::<T>().min(size);
            std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast::<u8>(), ours);
            out.cast::<u8>().add(ours).write_bytes(0, size - ours);
            0
        })
    }
}

/// No struct of this interface will grow beyond a page; a larger size is a wild number.
const LONGEST_STRUCT: usize = 4096;

/// A user or group that is to be set; (uid_t)-1 keeps what there is, as for chown(2).
pub(super) fn owner(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// The caller's options, shorter or longer than ours (the openat2(2) rule). None for NULL.
unsafe fn extensible<T: Copy>(pointer: *const T, what: &str) -> Result<Option<T>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // The first field of all of them.
    let (size, ours) = (unsafe { pointer.cast::<u32>().read() } as usize, size_of::<T>());
    if size < size_of::<u32>() {
        return Err(invalid(format!("options of size {size}: set .size = sizeof({what})")));
    }
    if size > LONGEST_STRUCT {
        return Err(Error::new(Errno::E2BIG, format!("options of size {size}: at most {LONGEST_STRUCT}")));
    }
    let mut known = MaybeUninit::<T>::zeroed();
    let known = unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), known.as_mut_ptr().cast::<u8>(), size.min(ours));
        known.assume_init()
    };
    let tail = if size > ours {
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(ours), size - ours) }
    } else {
        &[]
    };
    if let Some(at) = tail.iter().position(|&byte| byte != 0) {
        let message = format!(
            "options of size {size}: this library knows {ours} bytes, and byte {} is not 0",
            ours + at
        );
        return Err(Error::new(Errno::E2BIG, message));
    }
    Ok(Some(known))
}

pub(super) unsafe fn options(pointer: *const shm_region_options) -> Result<Options> {
    let Some(known) = (unsafe { extensible(pointer, "shm_region_options") })? else {
        return Ok(Options::default());
    };
    Ok(Options {
        flags: Flags::from_raw(known.flags)?,
        mode: known.mode,
        seals: match known.seals {
            0 => None,
            SHMKIT_SEAL_NONE => Some(Seals::empty()),
            seals => Some(Seals::from_raw(seals)?),
        },
        offset: known.offset,
        size_min: known.size_min,
        size_max: known.size_max,
    })
}

pub(super) unsafe fn string<'a>(pointer: *const c_char, what: &str) -> Result<&'a CStr> {
    not_null(pointer, what)?;
    Ok(unsafe { CStr::from_ptr(pointer) })
}

pub(super) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a OsStr> {
    Ok(OsStr::from_bytes(unsafe { string(pointer, what) }?.to_bytes()))
}

pub(super) unsafe fn fds<'a>(pointer: *const c_int, count: usize) -> Result<&'a [c_int]> {
    not_null(pointer, "the array of descriptors")?;
    if count > super::SHMKIT_FDS_MAX {
        return Err(crate::handover::too_many(count));
    }
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

pub(super) unsafe fn bytes<'a>(pointer: *const c_void, size: usize) -> Result<&'a [u8]> {
    not_null(pointer, "the payload")?;
    in_memory(size)?;
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), size) })
}

pub(super) unsafe fn bytes_mut<'a>(pointer: *mut c_void, size: usize) -> Result<&'a mut [u8]> {
    not_null(pointer, "the payload")?;
    in_memory(size)?;
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), size) })
}

/// A message to send; NULL is fine for an empty one.
pub(super) unsafe fn message<'a>(pointer: *const c_void, size: usize) -> Result<&'a [u8]> {
    if size == 0 {
        return Ok(&[]);
    }
    unsafe { bytes(pointer, size) }
}

fn in_memory(size: usize) -> Result<()> {
    if size > isize::MAX as usize {
        return Err(invalid(format!("a payload of {size} bytes is larger than memory")));
    }
    Ok(())
}

/// An array of numbers; NULL is fine for none.
pub(super) unsafe fn numbers<'a>(pointer: *const c_int, count: usize, what: &str) -> Result<&'a [c_int]> {
    if count == 0 {
        return Ok(&[]);
    }
    not_null(pointer, what)?;
    in_memory(count.saturating_mul(size_of::<c_int>()))?;
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// Fills the caller's array, which has to have room for exactly as many as there are to come.
pub(super) unsafe fn give_numbers(
    out: *mut c_int,
    room: usize,
    expected: usize,
    numbers: impl FnOnce() -> Result<Vec<c_int>>,
) -> Result<()> {
    if room != expected {
        return Err(invalid(format!("room for {room} numbers, and there are {expected} pages")));
    }
    if room == 0 {
        return Ok(());
    }
    not_null(out, "the array for the result")?;
    let numbers = numbers()?;
    unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), out, room.min(numbers.len())) };
    Ok(())
}

pub(super) unsafe fn values<'a>(pointer: *const u16, count: usize) -> Result<&'a [u16]> {
    not_null(pointer, "the array of values")?;
    in_memory(count.saturating_mul(size_of::<u16>()))?;
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// The values of new semaphores; NULL is zeros.
pub(super) unsafe fn initial_values<'a>(pointer: *const u16, count: usize) -> Result<Cow<'a, [u16]>> {
    if count > SEMAPHORES_MAX {
        return Err(invalid(format!("{count} semaphores: an index has 16 bits, whatever semmsl is")));
    }
    if pointer.is_null() {
        return Ok(vec![0; count].into());
    }
    unsafe { values(pointer, count) }.map(Cow::from)
}

/// As many as an index of 16 bits can name.
const SEMAPHORES_MAX: usize = 1 << 16;

/// Fills the caller's array of values, which has to have room for exactly as many as there are.
pub(super) unsafe fn give_values(
    out: *mut u16,
    room: usize,
    read: impl FnOnce() -> Result<Vec<u16>>,
) -> Result<()> {
    not_null(out, "the array for the result")?;
    let values = read()?;
    if room != values.len() {
        return Err(invalid(format!("room for {room} values, and there are {} semaphores", values.len())));
    }
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), out, room) };
    Ok(())
}

/// Operations on semaphores. So many that no process could want them are a wild number.
pub(super) unsafe fn operations(pointer: *const shm_sysv_sem_op, count: usize) -> Result<Vec<Operation>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    not_null(pointer, "the array of operations")?;
    if count > SEMAPHORES_MAX {
        return Err(Error::new(
            Errno::E2BIG,
            format!("{count} semaphore operations: at most {SEMAPHORES_MAX}"),
        ));
    }
    let operations = unsafe { std::slice::from_raw_parts(pointer, count) };
    operations.iter().map(|op| Operation::from_raw(op.index, op.change, op.flags.into())).collect()
}

/// The caller's handle, which is a [`Region`], or NULL.
///
/// # Safety
/// For pointers to `shm_region` alone: they are read as `Option<Region>`.
pub(super) unsafe trait Handle {}
unsafe impl Handle for *const shm_region {}
unsafe impl Handle for *mut shm_region {}

/// The region behind a handle, where NULL is no error.
pub(super) unsafe fn peek(handle: &impl Handle) -> Option<&Region> {
    unsafe { &*std::ptr::from_ref(handle).cast::<Option<Region>>() }.as_ref()
}

/// The region behind a handle, for calls that return a code alone.
pub(super) unsafe fn region(handle: &impl Handle) -> Result<&Region, Code> {
    unsafe { peek(handle) }.ok_or(Code::from(Errno::EINVAL))
}

/// The region behind a handle, for calls that explain.
pub(super) unsafe fn known(handle: &impl Handle) -> Result<&Region> {
    unsafe { peek(handle) }.ok_or_else(|| invalid("the region is NULL"))
}

pub(super) unsafe fn party_options(pointer: *const shm_party_options) -> Result<PartyOptions> {
    let Some(known) = (unsafe { extensible(pointer, "shm_party_options") })? else {
        return Ok(PartyOptions::default());
    };
    Ok(PartyOptions { flags: PartyFlags::from_raw(known.flags)?, slots: known.slots, cells: known.cells })
}

/// The party behind a handle, which is a [`Party`], or NULL.
#[inline(always)]
unsafe fn party<'a>(handle: &'a *mut shm_party) -> Option<&'a Party<'a>> {
    unsafe { &*std::ptr::from_ref(handle).cast::<Option<Party<'a>>>() }.as_ref()
}

/// The same, for calls that explain.
pub(super) unsafe fn known_party<'a>(handle: &'a *mut shm_party) -> Result<&'a Party<'a>> {
    unsafe { party(handle) }.ok_or_else(|| invalid("the party is NULL"))
}

/// The party itself: the handle has ended.
pub(super) unsafe fn take_party<'a>(handle: *mut shm_party) -> Option<Party<'a>> {
    unsafe { std::ptr::from_ref(&handle).cast::<Option<Party<'a>>>().read() }
}

#[inline(always)]
pub(super) unsafe fn lock_at_once(handle: &*mut shm_party, at: *const shm_mutex) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.lock_at_once(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn unlock_at_once(handle: &*mut shm_party, at: *const shm_mutex) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.unlock_at_once(at.cast()))
}

/// A lock in the region of a party, for calls that return a code alone.
pub(super) unsafe fn mutex<'a>(handle: &'a *mut shm_party, at: *const shm_mutex) -> Result<Mutex<'a>, Code> {
    // NULL is in no region.
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.mutex_known(at.cast())
}

/// The party, for calls that return a code alone.
pub(super) unsafe fn code_party<'a>(handle: &'a *mut shm_party) -> Result<&'a Party<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))
}

/// An event in the region of a party.
#[inline(always)]
pub(super) unsafe fn event<'a>(handle: &'a *mut shm_party, at: *const shm_event) -> Result<Event<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.event_known(at.cast())
}

/// The caller's handle, which is a `Box<Watch>`, or NULL.
///
/// # Safety
/// For pointers to `shm_watch` alone: they are read as `Option<Box<Watch>>`.
pub(super) unsafe trait WatchHandle {}
unsafe impl WatchHandle for *const shm_watch {}
unsafe impl WatchHandle for *mut shm_watch {}

pub(super) unsafe fn watch(handle: &impl WatchHandle) -> Result<&Watch, Code> {
    let watch = unsafe { &*std::ptr::from_ref(handle).cast::<Option<Box<Watch>>>() };
    watch.as_deref().ok_or(Code::from(Errno::EINVAL))
}

/// The watch itself: the handle has ended.
pub(super) unsafe fn take_watch(handle: *mut shm_watch) -> Option<Box<Watch>> {
    unsafe { std::ptr::from_ref(&handle).cast::<Option<Box<Watch>>>().read() }
}

unsafe fn named_options(pointer: *const shm_named_options) -> Result<NamedOptions> {
    let Some(known) = (unsafe { extensible(pointer, "shm_named_options") })? else {
        return Ok(NamedOptions::default());
    };
    let shm_named_options { flags, mode, slots, cells, .. } = known;
    Ok(NamedOptions { flags: NamedFlags::from_raw(flags)?, mode, slots, cells })
}

/// Opens a name, makes its object, and gives both handles, or none.
pub(super) unsafe fn open_named<T>(
    name: *const c_char,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    object: *mut *mut T,
    error: *mut shm_error,
    make: impl FnOnce(&Named) -> Result<()>,
) -> c_int {
    let opened = || {
        not_null(party, "the pointer for the party")?;
        not_null(object, "the pointer for the object")?;
        let named = Named::open(unsafe { text(name, "the name") }?, &unsafe { named_options(options) }?)?;
        make(&named)?;
        Ok(named.into_parts())
    };
    unsafe {
        report_as(error, opened, |(joined, at)| {
            party.cast::<Party<'static>>().write(joined);
            object.write(at.cast());
            0
        })
    }
}

#[inline(always)]
pub(super) unsafe fn read_at_once(handle: &*mut shm_party, at: *const shm_rwlock) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.read_at_once(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn write_at_once(handle: &*mut shm_party, at: *const shm_rwlock) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.write_at_once(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn rwunlock_at_once(handle: &*mut shm_party, at: *const shm_rwlock) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.rwunlock_at_once(at.cast()))
}

/// As [`mutex`].
pub(super) unsafe fn rwlock<'a>(
    handle: &'a *mut shm_party,
    at: *const shm_rwlock,
) -> Result<RwLock<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.rwlock_known(at.cast())
}

pub(super) unsafe fn barrier<'a>(
    handle: &'a *mut shm_party,
    at: *const shm_barrier,
) -> Result<Barrier<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.barrier_known(at.cast())
}

/// Whether a condition is there, and nobody waits for it.
#[inline(always)]
pub(super) unsafe fn is_idle(handle: &*mut shm_party, at: *const shm_cond) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.is_idle(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn take_at_once(handle: &*mut shm_party, at: *const shm_semaphore) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.take_at_once(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn give_at_once(handle: &*mut shm_party, at: *const shm_semaphore) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.give_at_once(at.cast()))
}

#[inline(always)]
pub(super) unsafe fn is_done(handle: &*mut shm_party, at: *const shm_once) -> bool {
    unsafe { party(handle) }.is_some_and(|party| party.is_done(at.cast()))
}

pub(super) unsafe fn condvar<'a>(
    handle: &'a *mut shm_party,
    at: *const shm_cond,
) -> Result<Condvar<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.condvar_known(at.cast())
}

pub(super) unsafe fn semaphore<'a>(
    handle: &'a *mut shm_party,
    at: *const shm_semaphore,
) -> Result<Semaphore<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.semaphore_known(at.cast())
}

pub(super) unsafe fn once<'a>(handle: &'a *mut shm_party, at: *const shm_once) -> Result<Once<'a>, Code> {
    unsafe { party(handle) }.ok_or(Code::from(Errno::EINVAL))?.once_known(at.cast())
}

/// A number.
pub(super) unsafe fn tell_one(out: *mut u32, call: impl FnOnce() -> Result<u32, Code>) -> c_int {
    if out.is_null() {
        return Code::from(Errno::EINVAL).raw();
    }
    answer(call().map(|number| unsafe { out.write(number) }))
}

/// As many numbers as there is room for, and how many there are.
pub(super) unsafe fn numbers_told(
    out: *mut i32,
    room: usize,
    call: impl FnOnce() -> Result<Vec<i32>, Code>,
) -> c_int {
    answer(call().map(|numbers| {
        if !out.is_null() {
            unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), out, room.min(numbers.len())) };
        }
        numbers.len() as c_int
    }))
}

/// A number where there is one: 1, or 0.
pub(super) unsafe fn tell(out: *mut i32, call: impl FnOnce() -> Result<Option<i32>, Code>) -> c_int {
    if out.is_null() {
        return Code::from(Errno::EINVAL).raw();
    }
    answer(call().map(|number| match number {
        Some(number) => {
            unsafe { out.write(number) };
            1
        }
        None => 0,
    }))
}

/// A call that makes a list.
pub(super) unsafe fn listed(
    out: *mut *mut shm_list,
    error: *mut shm_error,
    call: impl FnOnce() -> Result<shm_list>,
) -> c_int {
    unsafe { give(out, error, || Ok(Box::into_raw(Box::new(call()?)))) }
}

pub(super) unsafe fn list<'a>(pointer: *const shm_list) -> Result<&'a shm_list> {
    unsafe { pointer.as_ref() }.ok_or_else(|| invalid("the list is NULL"))
}

/// One thing of a list, in an extensible struct: 1, or 0 where there is none.
pub(super) unsafe fn item<'a, T: Copy + 'a>(
    pointer: *const shm_list,
    out: *mut T,
    size: usize,
    find: impl FnOnce(&'a shm_list) -> Option<&'a T>,
) -> c_int {
    // Where there is none the struct stays as it is.
    match unsafe { list(pointer) }.map(|list| find(list).copied()) {
        Ok(None) if !out.is_null() && (1..=LONGEST_STRUCT).contains(&size) => 0,
        Ok(None) => Code::from(Errno::EINVAL).raw(),
        Ok(Some(item)) => match unsafe { inform(out, size, std::ptr::null_mut(), || Ok(item)) } {
            0 => 1,
            failed => failed,
        },
        Err(error) => error.code().raw(),
    }
}

pub(super) unsafe fn free(pointer: *mut shm_list) {
    if !pointer.is_null() {
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// The region itself: the handle has ended.
pub(super) unsafe fn take(handle: *mut shm_region) -> Option<Region> {
    unsafe { std::ptr::from_ref(&handle).cast::<Option<Region>>().read() }
}

/// A result that is a number or nothing, or a code.
pub(super) fn answer<T: Into<Answer>>(result: Result<T, Code>) -> c_int {
    result.map_or_else(Code::raw, |value| value.into().0)
}

pub(super) struct Answer(c_int);

impl From<()> for Answer {
    fn from((): ()) -> Answer {
        Answer(0)
    }
}

impl From<c_int> for Answer {
    fn from(value: c_int) -> Answer {
        Answer(value)
    }
}

pub(super) unsafe fn locate(out: *mut *mut c_void, call: impl FnOnce() -> Result<*mut u8, Code>) -> c_int {
    if out.is_null() {
        return Code::from(Errno::EINVAL).raw();
    }
    answer(call().map(|pointer| unsafe { out.write(pointer.cast()) }))
}
