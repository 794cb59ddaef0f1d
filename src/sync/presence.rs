//! That a process is still there, for those who cannot see it in /proc: a lock on a byte of the region's file
//! (F_OFD_SETLK), another byte for each claim of a slot.
//!
//! The open file that holds it is the process's own, and all that keeps it is a mapping of one page: there is no
//! descriptor, and children made by fork do not get the mapping. The kernel takes a process's mappings down when
//! the last thread has let its memory go, and so when none can write any more. Then the open file ends, and with
//! it the lock.
//!
//! There is none where the region has no file (System V, anonymous memory); where its file system might ask
//! others for a lock, who need not answer; and without /proc, through which the file is opened once more.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags};

use super::table::{Slot, Table, PRESENCE};
use crate::sys::file::{self, Hold, OFlag};
use crate::sys::filesystem::Room;
use crate::sys::fork::Moment;
use crate::sys::mmap;

/// Where the bytes begin: far behind what any file has, out of the way of whoever locks parts of it.
const BEHIND: u64 = 1 << 62;

/// Other threads may call fork all the time; one call takes some of these.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_micros(50);

impl Table {
    /// This process is there, as this claim of a slot; None where that is not possible. Where the page is that
    /// keeps it, until [`Table::end_presence`].
    pub(super) fn begin_presence(&self, index: u32, claim: u32) -> Option<NonNull<u8>> {
        let (file, byte) = self.presence_byte(index, claim)?;
        let length = NonZeroUsize::new(self.region().page_size())?;
        for _ in 0..TRIES {
            let before = Moment::now();
            let own = file::reopen(file, OFlag::O_RDWR).ok()?;
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
            let page = mmap::map(None, length, ProtFlags::PROT_NONE, flags, Some((own.as_fd(), 0))).ok()?;
            // SAFETY: our own new page, which nobody looks at.
            let kept = unsafe { mmap::advise(page, length.get(), libc::MADV_DONTFORK) };
            let held = kept.and_then(|()| file::hold(own.as_fd(), byte, Hold::Exclusive));
            if held.is_ok() && !before.forked_since() {
                drop(own);
                if !before.forked_since() {
                    return Some(page);
                }
                // A child has the lock for as long as it lives, and to try again would meet that.
                self.end_presence(page);
                return None;
            }
            // A child that was made meanwhile has the descriptor, and the lock with it.
            let _ = file::let_go(own.as_fd(), byte);
            self.end_presence(page);
            held.ok()?;
            std::thread::sleep(PAUSE);
        }
        None
    }

    pub(super) fn end_presence(&self, page: NonNull<u8>) {
        // SAFETY: begin_presence()'s own, of the same length, which nobody looks at.
        let _ = unsafe { mmap::unmap(page, self.region().page_size()) };
    }

    /// Whether the process of this claim is there; None where it does not show that, or it cannot be seen.
    pub(super) fn is_present(&self, index: u32, claim: u32) -> Option<bool> {
        if self.slot(index).flags.load(Ordering::Acquire) & PRESENCE == 0 {
            return None;
        }
        let (file, byte) = self.presence_byte(index, claim)?;
        file::held(file, byte, Hold::Shared).ok().map(|held| held.is_some())
    }

    fn presence_byte(&self, index: u32, claim: u32) -> Option<(BorrowedFd<'_>, libc::off_t)> {
        let (file, place) = self.region().in_file(std::ptr::from_ref(self.slot(index)).cast())?;
        // Also before one looks: files of some kinds show the memory of another file, and not its locks.
        if !Room::of(file).is_ok_and(|room| room.has_own_locks()) {
            return None;
        }
        // The last claim's lock may be there still.
        let byte = BEHIND + place + u64::from(claim) % size_of::<Slot>() as u64;
        Some((file, byte as libc::off_t))
    }
}
