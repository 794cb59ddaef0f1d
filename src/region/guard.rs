//! The fault guard: sections in which a page whose backing is gone reads as zeros, and the end tells.
//!
//! `sections` counts them and decides when pages are put back; `slots` is where the SIGBUS handler finds the
//! regions, and what it does to their pages; the handler itself, and how it passes on what is not ours, is
//! `sys::sigbus`'s. All of it is a region's, nothing a thread's: a goroutine may end what another has begun.

mod gone;
mod sections;
mod slots;

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags};

use super::mapping::{protection, sharing};
use super::{Backing, Flags, KeptBy, Options, Region};
use crate::error::{Code, During, Error, Result, SHMKIT_E_SHRUNK, SHMKIT_E_UNGUARDED};
use crate::sys::{self, child, mmap, sigbus, Errno};
use sections::{Sections, Whose};
use slots::{Area, Slot, Source, PROBE};

/// A region's part in it.
#[derive(Default)]
pub(crate) struct Guard {
    /// Where the guard is enabled.
    slot: AtomicPtr<Slot>,
    /// Where it need not be.
    sections: Sections,
}

impl Guard {
    fn slot(&self) -> Option<&'static Slot> {
        // SAFETY (protocol): slots are never freed.
        unsafe { self.slot.load(Ordering::Acquire).as_ref() }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.slot().is_some()
    }

    pub(super) fn has_open_sections(&self) -> bool {
        self.sections.are_open()
            || self.slot().is_some_and(|slot| {
                slot.settle();
                slot.sections.are_open()
            })
    }

    /// Ends the guard, before the region ends; EBUSY while a section is open.
    pub(super) fn retire(&self) -> Result<(), Code> {
        if self.has_open_sections() {
            return Err(Errno::EBUSY.into());
        }
        if let Some(slot) = self.slot() {
            slot.release()?;
            self.slot.store(null_mut(), Ordering::Release);
        }
        Ok(())
    }

    /// Whether one of these pages is zeros in the place of what is gone.
    pub(super) fn is_gone(&self, offset: usize, length: usize) -> bool {
        self.slot().is_some_and(|slot| slot.is_gone(offset, length))
    }

    /// Copies bytes of the region in a section of its own, where the guard is enabled.
    pub(super) fn copy(&self, offset: usize, length: usize, copy: impl FnOnce()) -> Option<Result<(), Code>> {
        let slot = self.slot()?;
        Some(slot.begin_copy().and_then(|generation| {
            copy();
            let gone = slot.is_gone(offset, length);
            slot.end_copy(generation)?;
            if gone {
                return Err(Code::from_raw(SHMKIT_E_SHRUNK));
            }
            Ok(())
        }))
    }
}

impl Region {
    /// Switches the fault guard on, until the region is closed: inside [`Region::guard_begin`] and
    /// [`Region::guard_end`] a page that is gone reads as zeros instead of raising SIGBUS. The first call
    /// installs a SIGBUS handler for the process. Nothing is to be done for memory that cannot shrink.
    pub fn guard_enable(&self) -> Result<()> {
        if !self.can_shrink() {
            return Ok(());
        }
        let tried = || format!("cannot guard {}", self.describe());
        if self.is_protected() {
            let message = format!(
                "{}: shm_region_protect was called, and pages that are put back would not keep it",
                tried()
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        sigbus::install(slots::claim).during(tried)?;
        check()?;
        if self.guard.is_enabled() {
            return Ok(());
        }
        let slot = slots::occupy(self.area()).during(tried)?;
        if !self.keep_pages_as(KeptBy::GUARD) {
            slot.release().during(tried)?;
            return self.guard_enable();
        }
        let first = self.guard.slot.compare_exchange(
            null_mut(),
            std::ptr::from_ref(slot).cast_mut(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if first.is_err() {
            // Another thread was faster.
            slot.release().during(tried)?;
        }
        Ok(())
    }

    /// Begins a guarded section. Each needs one end, in any thread and any order.
    pub fn guard_begin(&self) -> Result<(), Code> {
        match self.guard.slot() {
            Some(slot) => slot.sections.begin(Whose::User),
            None if self.can_shrink() => Err(Code::from_raw(SHMKIT_E_UNGUARDED)),
            None => self.guard.sections.begin(Whose::User),
        }
    }

    /// Ends a guarded section: SHMKIT_E_SHRUNK where some page was gone while it was open.
    pub fn guard_end(&self) -> Result<(), Code> {
        let own = || self.guard.sections.end(Whose::User, |_| true);
        let gone = match self.guard.slot() {
            // It may have begun before the guard was enabled, when nothing could shrink.
            Some(slot) => {
                slot.settle();
                slot.end(Whose::User).or_else(|_| own())?
            }
            None => own()?,
        };
        if gone {
            return Err(Code::from_raw(SHMKIT_E_SHRUNK));
        }
        Ok(())
    }

    fn area(&self) -> Area {
        let length = self.mapping.length();
        // As freeze() has mapped it.
        let frozen = match self.frozen.load(Ordering::Relaxed) {
            true => Flags::FROZEN,
            false => Flags::empty(),
        };
        let options = Options { flags: self.options.flags | frozen, ..self.options };
        let flags = options.flags;
        let source = match (&self.backing, self.file()) {
            (Backing::SysV(id), _) => Source::Segment(*id),
            (_, Some(fd)) => Source::File { fd: fd.as_raw_fd(), offset: self.options.offset },
            (_, None) => unreachable!("anonymous memory cannot shrink"),
        };
        Area {
            start: self.as_ptr(),
            length,
            page_size: self.page_size(),
            period: if flags.contains(Flags::MIRROR) { length / 2 } else { length },
            protection: protection(self.rights()),
            sharing: sharing(&options),
            source,
            flags,
            process: flags.contains(Flags::NO_FORK).then(sys::own_process),
        }
    }
}

/// How long the probe may take: the handlers on its way are the program's.
const PATIENCE: Duration = Duration::from_secs(1);

const REACHED: c_int = 91;
const NO_PROBE: c_int = 92;

/// Looks whether a fault still reaches our handler: SHMKIT_E_UNGUARDED where it does not.
pub fn check() -> Result<()> {
    const TRIED: &str = "cannot check the fault guard";
    let unguarded = |why: String| Err(Error::own(SHMKIT_E_UNGUARDED, why));
    if !sigbus::is_installed() {
        return unguarded(
            "no SIGBUS handler was installed: shm_guard_enable was never called for memory that can shrink"
                .to_string(),
        );
    }
    if sigbus::is_blocked() {
        return unguarded(
            "SIGBUS is blocked in this thread, where the kernel ends the process instead".to_string(),
        );
    }
    if sigbus::is_current().during(|| TRIED.to_string())? {
        return Ok(());
    }
    let page_size = mmap::page_size();
    // SAFETY: `touch_gone_page` does no more than it may.
    let end = unsafe { child::try_out(libc::SIGBUS, PATIENCE, || touch_gone_page(page_size)) };
    let how = match end.during(|| format!("{TRIED}: no child process"))? {
        child::End::Exit(REACHED) => return Ok(()),
        child::End::Exit(NO_PROBE) => {
            return Err(Error::new(Errno::EAGAIN, format!("{TRIED}: a child process cannot make a memfd")))
        }
        child::End::Exit(code) => format!("ended with exit code {code}"),
        child::End::Signal(signal) => format!("died of signal {signal}"),
        child::End::Late => format!("did not come back within {} s", PATIENCE.as_secs()),
    };
    unguarded(format!(
        "a SIGBUS handler was installed after the fault guard's, and does not call it: a child process that \
         touched a page that is gone {how}"
    ))
}

/// In a child: touches a page beyond the end of a file, guarded.
fn touch_gone_page(page_size: usize) -> c_int {
    // SAFETY (kernel): the numbers and addresses of a mapping of our own.
    unsafe {
        let fd = libc::memfd_create(c"shmkit-guard".as_ptr(), libc::MFD_CLOEXEC);
        let start = libc::mmap(null_mut(), page_size, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        if start == libc::MAP_FAILED {
            return NO_PROBE;
        }
        PROBE.fill(Area {
            start: start.cast(),
            length: page_size,
            page_size,
            period: page_size,
            protection: ProtFlags::PROT_READ,
            sharing: MapFlags::MAP_SHARED,
            source: Source::File { fd, offset: 0 },
            flags: Flags::empty(),
            process: None,
        });
        if PROBE.sections.begin(Whose::User).is_err() {
            return NO_PROBE;
        }
        let byte = start.cast::<u8>().read_volatile();
        if byte == 0 && PROBE.is_gone(0, page_size) {
            REACHED
        } else {
            0
        }
    }
}
