//! Regions that are for reading alone, by the kernel's seals: published, when this process goes on
//! writing, or frozen.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::{Mapping, Shape};
use super::{Backing, Flags, Options, Region, Seals};
use crate::error::{During, Error, Result};
use crate::sys::fork::Moment;
use crate::sys::{file, memfd, mmap, Errno};

/// Who else may have the object mapped writable, which the kernel does not tell.
pub(super) struct Exposure {
    state: AtomicU32,
    since: Moment,
}

/// The descriptor was asked for.
const GIVEN_OUT: u32 = 1;
/// The region was sent with the right to write.
const SENT: u32 = 2;
/// Nobody else can map it writable any more: what happens from now on exposes nothing.
const CLOSED: u32 = 4;

impl Exposure {
    /// To be taken before the object is made.
    pub(super) fn of_new() -> Exposure {
        Exposure { state: AtomicU32::new(0), since: Moment::now() }
    }

    /// A new object's seals, before anybody else had it.
    pub(super) fn began_sealed(&self, seals: Seals) {
        if seals.intersects(Seals::READ_ONLY) {
            self.state.store(CLOSED, Ordering::SeqCst);
        }
    }

    pub(super) fn note_given_out(&self) {
        self.add(GIVEN_OUT);
    }

    fn add(&self, how: u32) {
        // Most calls find it noted, or of no account.
        if self.state.load(Ordering::SeqCst) & (how | CLOSED) == 0 {
            self.state.fetch_or(how, Ordering::SeqCst);
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self.state.load(Ordering::SeqCst) {
            state if state & CLOSED != 0 => None,
            state if state & SENT != 0 => {
                Some("it was sent before, or tried to be, with a descriptor that can write")
            }
            state if state & GIVEN_OUT != 0 => Some("its descriptor was given out"),
            _ if self.since.forked_since() => Some("the process has forked since it was made"),
            _ => None,
        }
    }
}

impl Region {
    /// Lets nobody write any more but this process, through the mapping that it has.
    pub fn publish_read_only(&self) -> Result<()> {
        let refused = |errno, why: &str| {
            Err(Error::new(errno, format!("cannot publish {} read-only: {why}", self.describe())))
        };
        let Backing::Memfd(fd) = &self.backing else {
            return refused(
                Errno::EOPNOTSUPP,
                "the kernel keeps only memfds so; others could open this again for writing",
            );
        };
        if self.options.flags.contains(Flags::PRIVATE) {
            return refused(
                Errno::EOPNOTSUPP,
                "it is private, and nobody else can see what is written to it",
            );
        }
        if !self.created {
            return refused(Errno::EBUSY, "it came from elsewhere, where it can be mapped writable");
        }
        if let Some(why) = self.exposure.reason() {
            return refused(Errno::EBUSY, why);
        }
        let mut seals = Seals::FUTURE_WRITE | Seals::SHRINK | Seals::SEAL;
        if !self.options.flags.contains(Flags::GROWABLE) {
            seals |= Seals::GROW;
        }
        let mode = file::stat(fd.as_fd()).during(|| self.describe())?.st_mode;
        if mode & 0o111 == 0 {
            // On an executable file the kernel would seal against this process's writing too.
            seals |= Seals::EXEC;
        }
        let has = memfd::seals(fd.as_fd()).map(Seals::from_bits_retain).unwrap_or_default();
        self.seal(seals - has).map_err(|error| match error.errno() {
            Some(errno) if errno == Errno::EINVAL as i32 => {
                let message = format!("cannot publish {} read-only: Linux 5.1 is needed", self.describe());
                Error::new(Errno::EOPNOTSUPP, message)
            }
            _ => error,
        })?;
        if self.page_size() != mmap::page_size() && self.can_be_mapped_writable(fd) {
            return refused(
                Errno::EOPNOTSUPP,
                "before Linux 5.13 huge pages can be mapped writable all the same",
            );
        }
        // Given out between the look and the seals: mapped writable then, for all we know.
        if let Some(why) = self.exposure.reason() {
            return refused(Errno::EBUSY, why);
        }
        self.exposure.state.fetch_or(CLOSED, Ordering::SeqCst);
        Ok(())
    }

    fn can_be_mapped_writable(&self, fd: &OwnedFd) -> bool {
        let shape = Shape { size: self.size(), page_size: self.page_size() };
        let options = Options::with_flags(Flags::NO_RESERVE);
        Mapping::of_file(fd.as_fd(), shape, &options).is_ok()
    }

    /// Lets nobody write any more, this process included: what [`Region::array`] and [`Region::atomic`] gave
    /// raises SIGSEGV when it is stored to, as after [`Region::protect`].
    pub fn freeze(&self) -> Result<()> {
        let tried = || format!("cannot freeze {}", self.describe());
        let Backing::Memfd(fd) = &self.backing else {
            let message = format!("{}: only memfds can be sealed", tried());
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        };
        if self.options.flags.contains(Flags::PRIVATE) {
            let message = format!("{}: it is private, and nobody else sees what is written to it", tried());
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        }
        if self.users() > 0 {
            let message = format!("{}: a party is joined, and writes to it", tried());
            return Err(Error::new(Errno::EBUSY, message));
        }
        if self.guard.is_enabled() {
            let message = format!("{}: the fault guard is enabled, and would put it back writable", tried());
            return Err(Error::new(Errno::EINVAL, message));
        }
        let seals = Seals::WRITE | Seals::SHRINK | Seals::GROW;
        let has = memfd::seals(fd.as_fd()).map(Seals::from_bits_retain).during(tried)?;
        if has.intersects(Seals::SEAL | Seals::FUTURE_WRITE) && !has.contains(Seals::WRITE) {
            // The second would let us freeze, but not go back when others are in the way.
            let message = format!("{}: it is sealed against seals, or published already", tried());
            return Err(Error::new(Errno::EPERM, message));
        }
        // Our own mapping is a writable one too, to the kernel. A private mapping of what nobody can
        // change is the same, and takes its place in one step.

        let frozen = Options { flags: self.options.flags | Flags::FROZEN, ..self.options };
        let remap = |options| self.mapping.remap(fd.as_fd(), self.size(), options).during(tried);
        let sealed = remap(&frozen).and_then(|()| self.seal(seals - has));
        match sealed {
            Ok(()) => self.frozen.store(true, Ordering::Relaxed),
            // A peer that has the descriptor may have sealed the way back. What is left is reading.
            Err(_) if remap(&self.options).is_err() => {
                self.frozen.store(true, Ordering::Relaxed);
                remap(&frozen)?;
            }
            Err(_) => {}
        }
        self.advise_as_asked()?;
        sealed.map_err(|error| match error.errno() {
            Some(errno) if errno == Errno::EBUSY as i32 => {
                let message = format!("{}: it is mapped elsewhere, with a descriptor for writing", tried());
                Error::new(Errno::EBUSY, message)
            }
            _ => error,
        })
    }

    /// Notes that the descriptor goes to another process, which can write unless that is sealed, whatever is
    /// said with it.
    pub(crate) fn note_sent(&self, seals: Seals) {
        if !seals.intersects(Seals::READ_ONLY) {
            self.exposure.add(SENT);
        }
    }

    /// Whether that is noted already.
    pub(crate) fn was_sent(&self) -> bool {
        self.exposure.state.load(Ordering::SeqCst) & SENT != 0
    }
}
