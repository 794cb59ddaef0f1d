//! Regions: one type over every mechanism that the kernel has. One file a kind, and what they share:
//! `options`, `creation` (what making one refuses), `reserve`, `mapping`, `name`, `naming` (complete before it has a name), `lease` (names that go
//! with their users), `unlink`; and what a region can do: `access` (checked copies), `guard` (SIGBUS), `typed`,
//! `growth`, `publish` (for reading alone), `memory` (what the kernel does with pages), `placement` (on
//! which).

mod access;
mod anonymous;
pub(crate) mod creation;
pub(crate) mod descriptor;
pub(crate) mod file;
mod growth;
mod guard;
mod lease;
pub(crate) mod mapping;
mod memfd;
mod memory;
mod name;
pub(crate) mod named;
mod naming;
pub(crate) mod options;
mod placement;
pub(crate) mod posix;
mod publish;
pub(crate) mod reserve;
pub(crate) mod segment;
pub mod sysv;
mod typed;
mod unlink;

pub use guard::check as guard_check;
pub(crate) use lease::{is_marked_mode, LockedName};
pub use options::{Advice, Flags, Kind, Options, Rights, Seals};
pub use placement::Policy;
pub use posix::unlink as posix_unlink;
pub use typed::{Array, Word};

use std::ffi::{c_int, CStr, CString, OsStr};
use std::fmt;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU8, AtomicUsize, Ordering};

use crate::error::{shown, Code, During, Error, Result};
use crate::sys::{self, Errno};
use lease::Lease;
use mapping::{Mapping, Shape};
use name::Name;
use publish::Exposure;

/// A range of memory that processes share. Dropping it unmaps; names, files and System V segments
/// stay until they are removed, unless they were made to go with their users.
///
/// Every method may be called from any thread. What other processes do to the bytes is never behind
/// a Rust reference: [`Region::read`] and [`Region::write`] copy, [`Region::array`] and
/// [`Region::atomic`] give typed cells, [`Region::as_ptr`] a raw pointer.
// No more than a pointer: what is behind it is made in its place, and the pointer is the handle that C has.
#[repr(transparent)]
pub struct Region(Box<State>);

/// Public because [`Region`] shows it to its own methods, and nothing to others.
#[doc(hidden)]
pub struct State {
    mapping: Mapping,
    backing: Backing,
    lease: Option<Box<Lease>>,
    /// In bytes, as it was asked for; the mapping is whole pages. Only growing changes it.
    size: AtomicUsize,
    options: Options,
    /// What it was made or opened with; of a POSIX object the path.
    name: Name,
    created: bool,
    /// Whether the raw pointer can die of SIGBUS.
    can_shrink: AtomicBool,
    kept_by: AtomicU8,
    /// Whether freeze() took the right to write.
    frozen: AtomicBool,
    exposure: Exposure,
    guard: guard::Guard,
    /// How many use the addresses behind the handle's back, so that it may not be closed.
    users: AtomicU32,
}

/// Who keeps the pages as they are, so that nobody else may: the first, for good.
pub(crate) struct KeptBy;

impl KeptBy {
    const NOBODY: u8 = 0;
    /// protect() was called, so that the raw pointer can die of SIGSEGV.
    const PROTECT: u8 = 1;
    /// The fault guard puts pages back, as they were at first.
    const GUARD: u8 = 2;
}

/// What the kernel keeps behind a mapping, and what ends with the region.
#[derive(Debug)]
pub(crate) enum Backing {
    Memfd(OwnedFd),
    Descriptor(OwnedFd),
    Anonymous,
    File(OwnedFd),
    Posix(OwnedFd),
    /// A segment's id.
    SysV(c_int),
}

impl Backing {
    fn kind(&self) -> Kind {
        match self {
            Backing::Memfd(_) => Kind::Memfd,
            Backing::Descriptor(_) => Kind::Descriptor,
            Backing::Anonymous => Kind::Anonymous,
            Backing::File(_) => Kind::File,
            Backing::Posix(_) => Kind::Posix,
            Backing::SysV(_) => Kind::SysV,
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Backing::Memfd(fd) | Backing::Descriptor(fd) | Backing::File(fd) | Backing::Posix(fd) => {
                Some(fd.as_fd())
            }
            Backing::Anonymous | Backing::SysV(_) => None,
        }
    }

    /// As messages name it.
    fn describe(&self, name: Option<&CStr>) -> String {
        let described = |what: &str, name: Option<&CStr>| match name {
            Some(name) => format!("{what} {}", shown(name.to_bytes())),
            None => what.to_string(),
        };
        match self {
            Backing::Memfd(_) => described("the memfd", name),
            Backing::Descriptor(fd) => format!("the file of the region's descriptor {}", fd.as_raw_fd()),
            Backing::Anonymous => "anonymous memory".to_string(),
            Backing::File(_) => described("the file", name),
            Backing::Posix(_) => described("the POSIX object", name.map(posix::name)),
            Backing::SysV(id) => format!("the System V segment {id}"),
        }
    }
}

/// What a region is to be made of, once the kind has found or made it.
pub(crate) struct Parts<'a> {
    pub backing: Backing,
    pub size: usize,
    /// Of the object's pages.
    pub page_size: usize,
    pub name: Option<&'a CStr>,
    lease: Option<Box<Lease>>,
    pub created: bool,
    pub can_shrink: bool,
}

impl Region {
    /// Maps a file's bytes, or anonymous memory, and does to them what the options say.
    pub(crate) fn map(parts: Parts<'_>, options: &Options) -> Result<Region> {
        Region::map_as(parts, options, None)
    }

    /// The same, for what the caller knows by another name.
    pub(crate) fn map_as(
        parts: Parts<'_>,
        options: &Options,
        what: Option<&dyn Fn() -> String>,
    ) -> Result<Region> {
        let mut options = options;
        let private;
        let shape = Shape { size: parts.size, page_size: parts.page_size };
        options.shaped(parts.size, || parts.backing.describe(parts.name))?;
        let mapped = match parts.backing.fd() {
            Some(fd) => match Mapping::of_file(fd, shape, options) {
                // Before Linux 6.7 a frozen memfd (F_SEAL_WRITE) opened read-write cannot be mapped shared, not
                // even for reading. Nothing changes any more, so a private mapping is the same.
                Err(Errno::EPERM) if options.flags.contains(Flags::READ_ONLY) => {
                    private = Options { flags: options.flags | Flags::PRIVATE, ..*options };
                    options = &private;
                    Mapping::of_file(fd, shape, options)
                }
                mapped => mapped,
            },
            None => Mapping::anonymous(parts.size, options),
        };
        let mapping = mapped.during(|| {
            let what = what.map_or_else(|| parts.backing.describe(parts.name), |what| what());
            let ahead = match options.flags.contains(Flags::GROWABLE) {
                true => format!(", and addresses for {} in all,", options.size_max),
                false => String::new(),
            };
            format!("cannot map {} bytes{ahead} at offset {} of {what}", parts.size, options.offset)
        })?;
        Region::finish(mapping, parts, *options)
    }

    #[inline(always)]
    fn finish(mapping: Mapping, parts: Parts<'_>, options: Options) -> Result<Region> {
        let Parts { backing, size, page_size: _, name, lease, created, can_shrink } = parts;
        let can_shrink = can_shrink || mapping.can_lack_pages();
        let mut region = Region(Box::new(State {
            mapping,
            backing,
            lease,
            size: AtomicUsize::new(size),
            options,
            name: Name::none(),
            created,
            can_shrink: AtomicBool::new(can_shrink),
            kept_by: AtomicU8::new(KeptBy::NOBODY),
            frozen: AtomicBool::new(false),
            exposure: Exposure::of_new(),
            guard: guard::Guard::default(),
            users: AtomicU32::new(0),
        }));
        if let Some(name) = name {
            region.0.name.set(c"", name);
        }
        let flags = options.flags;
        if flags.is_empty() {
            return Ok(region);
        }
        region.advise_as_asked()?;
        if flags.contains(Flags::POPULATE) {
            region.prefault(0, size)?;
        }
        if flags.contains(Flags::LOCKED) {
            region.lock(0, size)?;
        }
        Ok(region)
    }

    /// What the flags ask of the mapping, and a new mapping in its place forgets.
    fn advise_as_asked(&self) -> Result<()> {
        for (flag, advice, from) in [
            (Flags::NO_FORK, libc::MADV_DONTFORK, "children"),
            (Flags::WIPE_ON_FORK, libc::MADV_WIPEONFORK, "children, by zeros"),
            (Flags::NO_DUMP, libc::MADV_DONTDUMP, "core dumps"),
        ] {
            if self.options.flags.contains(flag) {
                let tried = || format!("cannot keep {} from {from}", self.describe());
                self.mapping.advise(0, self.mapping.length(), advice).during(tried)?;
            }
        }
        Ok(())
    }

    /// The first byte's address in this process. Valid while the region lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.start()
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// How large the region can become in place: its size, unless it is growable.
    pub fn size_max(&self) -> usize {
        if self.options.flags.contains(Flags::GROWABLE) {
            self.options.size_max as usize
        } else {
            self.size()
        }
    }

    /// The size of the pages behind the region: larger than the ordinary where they are from a pool.
    pub fn page_size(&self) -> usize {
        self.0.page_size()
    }

    pub fn kind(&self) -> Kind {
        self.backing.kind()
    }

    /// The name or path that the region was made or opened with.
    pub fn name(&self) -> Option<&OsStr> {
        self.name_c().map(|name| OsStr::from_bytes(name.to_bytes()))
    }

    pub(crate) fn name_c(&self) -> Option<&CStr> {
        let name = self.name.get()?;
        Some(if self.kind() == Kind::Posix { posix::name(name) } else { name })
    }

    /// Whether this call of a `…_create` made the object, rather than found it.
    pub fn created(&self) -> bool {
        self.created
    }

    /// What the region was opened for; [`Region::protect`] gives no more.
    pub fn rights(&self) -> Rights {
        if self.frozen.load(Ordering::Relaxed) {
            return Rights::READ;
        }
        self.options.rights()
    }

    /// The region's descriptor number; EOPNOTSUPP for a kind without one. It stays the region's.
    pub fn fd(&self) -> Result<c_int, Code> {
        self.descriptor().map(|fd| fd.as_raw_fd()).ok_or(Errno::EOPNOTSUPP.into())
    }

    /// The region's descriptor, for a kind that has one. Whoever has it could map it writable, so
    /// [`Region::publish_read_only`] refuses afterwards.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.exposure.note_given_out();
        self.backing.fd()
    }

    /// The same, for our own calls.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.backing.fd()
    }

    /// The System V id; EOPNOTSUPP for other kinds.
    pub fn sysv_id(&self) -> Result<c_int, Code> {
        match self.backing {
            Backing::SysV(id) => Ok(id),
            _ => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// Whether the memory behind the region can be taken away, so that the raw pointer can die of
    /// SIGBUS.
    pub fn can_shrink(&self) -> bool {
        self.can_shrink.load(Ordering::Relaxed)
    }

    /// Unmaps, removes the name where that is due, and tells what the kernel had to say. Dropping the
    /// region does the same in silence.
    ///
    /// EBUSY while a guarded section is open or a party is joined: then, as when it is dropped, the memory stays
    /// mapped for good.
    pub fn close(mut self) -> Result<()> {
        let described = self.describe();
        let and_name = if self.lease.is_some() { " and remove its name" } else { "" };
        self.close_code().map_err(|code| match code.errno() {
            Some(libc::EBUSY) => {
                let what = if self.users() > 0 { "a party is joined" } else { "a guarded section is open" };
                Error::new(code, format!("cannot close {described}: {what}"))
            }
            _ => Error::new(code, format!("cannot close {described}{and_name}: {code}")),
        })
    }

    /// What is dropped afterwards has nothing left to do.
    pub(crate) fn close_code(&mut self) -> Result<(), Code> {
        if self.users() > 0 {
            return Err(Errno::EBUSY.into());
        }
        self.guard.retire()?;
        let unmapped = self.0.mapping.release();
        let closed = match std::mem::replace(&mut self.0.backing, Backing::Anonymous) {
            Backing::Memfd(fd) | Backing::Descriptor(fd) | Backing::File(fd) | Backing::Posix(fd) => {
                sys::file::close(fd)
            }
            Backing::Anonymous | Backing::SysV(_) => Ok(()),
        };
        // After the descriptor: at the limit of descriptors it needs its place.
        let left = self.0.lease.as_mut().map_or(Ok(()), |lease| lease.end());
        unmapped.and(closed).and(left).map_err(Code::from)
    }

    /// EBUSY where close() would refuse.
    pub(crate) fn may_close(&self) -> Result<(), Code> {
        match self.users() > 0 || self.guard.has_open_sections() {
            true => Err(Errno::EBUSY.into()),
            false => Ok(()),
        }
    }

    /// The addresses stay, until [`State::dismiss`].
    pub(crate) fn engage(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn describe(&self) -> String {
        self.backing.describe(self.name.get())
    }

    /// Whether it was nobody, or the same.
    fn keep_pages_as(&self, who: u8) -> bool {
        let first = self.kept_by.compare_exchange(KeptBy::NOBODY, who, Ordering::AcqRel, Ordering::Acquire);
        first.is_ok() || first == Err(who)
    }

    fn is_protected(&self) -> bool {
        self.kept_by.load(Ordering::Relaxed) == KeptBy::PROTECT
    }

    /// How far offsets reach: a mirror shows the bytes twice.
    fn reach(&self) -> usize {
        if self.options.flags.contains(Flags::MIRROR) {
            2 * self.size()
        } else {
            self.size()
        }
    }

    /// `offset <= size && length <= size - offset`, with no sum that could wrap.
    fn within(&self, offset: usize, length: usize) -> Result<(), Code> {
        match self.reach().checked_sub(offset) {
            Some(behind) if length <= behind => Ok(()),
            _ => Err(Errno::ERANGE.into()),
        }
    }

    /// The same, with the sentence.
    pub(crate) fn within_or_say(&self, offset: usize, length: usize) -> Result<()> {
        self.within(offset, length).map_err(|code| {
            let (what, size) = (self.describe(), self.size());
            let twice = if self.reach() > size { ", twice" } else { "" };
            Error::new(
                code,
                format!("{length} bytes at offset {offset} are beyond {what}: it has {size} bytes{twice}"),
            )
        })
    }
}

impl State {
    pub(crate) fn dismiss(&self) {
        self.users.fetch_sub(1, Ordering::AcqRel);
    }

    fn users(&self) -> u32 {
        self.users.load(Ordering::Acquire)
    }

    pub(crate) fn page_size(&self) -> usize {
        self.mapping.page_size()
    }

    /// The file behind the region, and where in it an address of the region is.
    pub(crate) fn in_file(&self, at: *const u8) -> Option<(BorrowedFd<'_>, u64)> {
        let offset = (at as usize).wrapping_sub(self.mapping.start() as usize);
        self.backing.fd().map(|file| (file, self.options.offset + offset as u64))
    }

    /// In bytes, as [`Region::size`].
    pub(crate) fn size_now(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }
}

#[doc(hidden)]
impl Deref for Region {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.users() > 0 || self.guard.retire().is_err() {
            // Whoever is in the section, or joined, uses the addresses; the section's end the descriptor.
            self.mapping.keep();
            std::mem::forget(std::mem::replace(&mut self.backing, Backing::Anonymous));
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("kind", &self.kind())
            .field("name", &self.name.get())
            .field("size", &self.size())
            .field("at", &self.as_ptr())
            .finish_non_exhaustive()
    }
}

/// A name from outside, as the kernel takes it.
pub(crate) fn c_name(name: &OsStr, what: &str) -> Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| {
        Error::new(Errno::EINVAL, format!("the {what} {} has a NUL byte in it", shown(name.as_bytes())))
    })
}
