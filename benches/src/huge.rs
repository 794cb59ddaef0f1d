//! region.prefault_huge: memory on pages of 2 MiB, from a tmpfs that has them or by collapsing a memfd,
//! against the same on pages of 4 KiB.

use std::ffi::CString;
use std::fs::{write, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{mount, MsFlags};
use nix::sched::{unshare, CloneFlags};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, getegid, geteuid, ForkResult};

use crate::c::{self, Region};
use crate::harness::{Bench, Run};
use crate::memory::{huge_pages_mapped, need_memory, warm};
use crate::{handover, raw, Cannot, One};

const TOUCHED: &str = "4 KiB pages, touched one by one";

pub const JOBS: [One; 3] = [
    One { id: "region.prefault_huge", reference: TOUCHED, limit: Some(0.125), compare: from_nothing },
    One { id: "region.prefault_huge.reserved", reference: TOUCHED, limit: None, compare: reserved },
    One { id: "region.prefault_huge.collapse", reference: TOUCHED, limit: None, compare: collapse },
];

const LARGE: usize = 1 << 30;
const SMALL: usize = 256 << 20;

/// Nothing is reserved: that all memory is still to be found is on the clock, on both sides.
fn from_nothing(bench: &Bench) -> Result<Vec<Run>> {
    on_tmpfs(bench, if bench.quick { SMALL } else { LARGE }, c::SHMKIT_REGION_NO_RESERVE)
}

fn reserved(bench: &Bench) -> Result<Vec<Run>> {
    on_tmpfs(bench, SMALL, 0)
}

fn on_tmpfs(bench: &Bench, size: usize, flags: u32) -> Result<Vec<Run>> {
    need_memory(size as u64)?;
    let (huge, small) = (Tmpfs::new(bench, "huge=always", size)?, Tmpfs::new(bench, "huge=never", size)?);
    bench.compare_long(
        filled(size, size, || huge.file(size, flags), Region::prefault),
        filled(size, 0, || small.file(size, flags), touch),
    )
}

/// Both memfds are reserved, as is the default: only what is there can be collapsed.
fn collapse(bench: &Bench) -> Result<Vec<Run>> {
    need_memory(SMALL as u64)?;
    let make = || Region::memfd(SMALL, 0, 0);
    let collapse =
        |region: &Region| region.collapse(0, SMALL).map_err(|error| Cannot(format!("{error:#}")).into());
    bench.compare_long(filled(SMALL, SMALL, make, collapse), filled(SMALL, 0, make, touch))
}

fn touch(region: &Region) -> Result<()> {
    // SAFETY: our own memory, of this size.
    unsafe { raw::touch(region.data(), region.size()) };
    Ok(())
}

/// Times `fill` alone, in memory that the machine has at hand, and looks afterwards whether so many bytes are
/// on huge pages.
fn filled(
    size: usize,
    on_huge_pages: usize,
    make: impl Fn() -> Result<Region>,
    fill: impl Fn(&Region) -> Result<()>,
) -> impl FnMut(u64) -> Result<Duration> {
    move |iterations| {
        let mut took = Duration::ZERO;
        for _ in 0..iterations {
            warm(size)?;
            let region = make()?;
            let start = Instant::now();
            fill(&region)?;
            took += start.elapsed();
            let mapped = huge_pages_mapped()?;
            if mapped != on_huge_pages as u64 {
                let [size, mapped, wanted] =
                    [size as u64, mapped, on_huge_pages as u64].map(|bytes| bytes >> 20);
                let message = format!("of {size} MiB {mapped} are on 2 MiB pages, and {wanted} should be");
                return Err(Cannot(message).into());
            }
        }
        Ok(took)
    }
}

/// A tmpfs that nobody else sees, and that goes with its descriptor: the process that mounted it, in a mount
/// namespace of its own, is gone already.
struct Tmpfs {
    directory: OwnedFd,
}

impl Tmpfs {
    fn new(bench: &Bench, huge: &str, size: usize) -> Result<Tmpfs> {
        let (here, there) = handover::sockets()?;
        // SAFETY: this program has one thread.
        let process = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let options = format!("{huge},size={size}");
                let errno = match mount_and_send(&bench.directory, &options, &there) {
                    Ok(()) => 0,
                    Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
                };
                // SAFETY: ends the child without what the parent has to do at its end.
                unsafe { libc::_exit(errno) }
            }
        };
        match waitpid(process, None)? {
            WaitStatus::Exited(_, 0) => {
                let [directory] = raw::receive(here.as_raw_fd(), &mut [0])?;
                // SAFETY: a fresh descriptor, nobody else's.
                Ok(Tmpfs { directory: unsafe { OwnedFd::from_raw_fd(directory) } })
            }
            WaitStatus::Exited(_, errno) => {
                let error = io::Error::from_raw_os_error(errno);
                Err(Cannot(format!("no tmpfs of its own with {huge}: {error}")).into())
            }
            status => Err(anyhow::anyhow!("the process that mounts a tmpfs: {status:?}")),
        }
    }

    fn file(&self, size: usize, flags: u32) -> Result<Region> {
        let path = CString::new(format!("/proc/self/fd/{}/bench", self.directory.as_raw_fd()))?;
        let region = Region::file(&path, size, flags)?;
        raw::unlink(&path).context("unlinking a file on a tmpfs")?;
        Ok(region)
    }
}

fn mount_and_send(directory: &Path, options: &str, socket: &OwnedFd) -> io::Result<()> {
    const NONE: Option<&str> = None;
    own_mounts()?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("shmkit-bench"), directory, Some("tmpfs"), flags, Some(options))?;
    let directory = File::open(directory)?;
    raw::Message::new([directory.as_raw_fd()]).send(socket.as_raw_fd(), &[0])
}

fn own_mounts() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWNS) {
        // Without rights, in a user namespace that knows this user alone.
        Err(Errno::EPERM) => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
            write("/proc/self/gid_map", format!("{gid} {gid} 1"))
        }
        unshared => Ok(unshared?),
    }
}
