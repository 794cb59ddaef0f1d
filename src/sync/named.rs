//! Locks that have a name, for whoever wants a lock and not a region: a System V segment, which cannot shrink and
//! which any process finds, with a party's table and one object in it.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;

use super::event::{Event, EventFlags};
use super::mutex::Mutex;
use super::once::Once;
use super::party::{Party, PartyFlags, PartyOptions};
use super::rwlock::RwLock;
use super::semaphore::{Semaphore, SemaphoreFlags};
use super::table::Shape;
use crate::error::{Error, Result};
use crate::region::named::{self, NameOptions, LABEL_SIZE};
use crate::sys::Errno;

/// The object, of whatever kind, has a line of its own behind the name; the table is behind that.
const OBJECT: usize = LABEL_SIZE;
const TABLE: usize = OBJECT + 64;

bitflags::bitflags! {
    /// How to open a name: SHMKIT_NAMED_… of the header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NamedFlags: u32 {
        /// ENOENT where there is none; nothing is made.
        const FIND = 1;
        /// Take what another user has made, who can do to it whatever a peer can.
        const ANY_OWNER = 2;
        /// As [`PartyFlags::ANY_THREAD`].
        const ANY_THREAD = 4;
    }
}

impl NamedFlags {
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<NamedFlags> {
        NamedFlags::from_bits(bits).ok_or_else(|| {
            let unknown = bits & !NamedFlags::all().bits();
            Error::new(Errno::EINVAL, format!("unknown flags of a name: {unknown:#x}"))
        })
    }
}

/// How to open a name; the default is what most callers want.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedOptions {
    pub flags: NamedFlags,
    /// Permission bits of a new one, whatever the umask; 0 means 0600.
    pub mode: u32,
    /// As [`PartyOptions::slots`].
    pub slots: u32,
    /// As [`PartyOptions::cells`].
    pub cells: u32,
}

/// What has a name: a party of its own, and one object, which is of the kind that is asked for first.
///
/// Dropping it leaves the party and detaches the segment, which stays, with its name, until [`Named::unlink`].
#[derive(Debug)]
pub struct Named(Party<'static>);

impl Named {
    /// Opens what has this name, or makes it: 1 to 255 bytes, compared one by one. The segment has to be this
    /// user's or root's: EPERM.
    pub fn open(name: impl AsRef<OsStr>, options: &NamedOptions) -> Result<Named> {
        let (name, flags) = (name.as_ref().as_bytes(), options.flags);
        let Some(shape) = Shape::new(options.slots, options.cells) else {
            let (slots, cells) = (options.slots, options.cells);
            let message = format!("{slots} slots and {cells} cells: at most 4096 of each");
            return Err(Error::new(Errno::EINVAL, message));
        };
        let how = NameOptions {
            find: flags.contains(NamedFlags::FIND),
            any_owner: flags.contains(NamedFlags::ANY_OWNER),
            mode: options.mode,
        };
        let region = named::open(name, TABLE + shape.size(), &how)?;
        let mut party = PartyOptions { slots: options.slots, cells: options.cells, ..Default::default() };
        party.flags.set(PartyFlags::ANY_THREAD, flags.contains(NamedFlags::ANY_THREAD));
        Party::join_with(region, TABLE, &party).map(Named)
    }

    /// Takes a name away. Who has it open keeps what it has; the next who opens it makes another one, and then both
    /// have the lock, each its own: unlink only when nobody uses it. ENOENT.
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        named::unlink(name.as_ref().as_bytes())
    }

    /// EINVAL where the name is that of an object of another kind; so for all of these.
    pub fn mutex(&self) -> Result<Mutex<'_>> {
        self.0.mutex(OBJECT)
    }

    pub fn event(&self, flags: EventFlags) -> Result<Event<'_>> {
        self.0.event(OBJECT, flags)
    }

    pub fn rwlock(&self) -> Result<RwLock<'_>> {
        self.0.rwlock(OBJECT)
    }

    pub fn semaphore(&self, units: u32, flags: SemaphoreFlags) -> Result<Semaphore<'_>> {
        self.0.semaphore(OBJECT, units, flags)
    }

    pub fn once(&self) -> Result<Once<'_>> {
        self.0.once(OBJECT)
    }

    /// Leaves the party, and detaches the segment. EBUSY where a lock is held: then both stay for good.
    pub fn leave(self) -> Result<()> {
        self.0.leave()
    }

    /// The party, and where its object is.
    pub(crate) fn into_parts(self) -> (Party<'static>, *mut u8) {
        let object = self.0.state().at::<u8>(OBJECT).cast_mut();
        (self.0, object)
    }
}

impl Deref for Named {
    type Target = Party<'static>;
    fn deref(&self) -> &Party<'static> {
        &self.0
    }
}
