//! Whether a region would fit, before it is made.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::limits::{may_lock_all, Limit, Limits, Unit, UNLIMITED};
use super::mounts;
use crate::error::{shown, Code, Error};
use crate::region::{Flags, Kind, Options};
use crate::sys::{mmap, Errno};

/// What stands in a region's way.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// None where the question itself is wrong.
    pub limit: Option<Box<Limit>>,
    /// How much of it the region needs.
    pub needed: u64,
    /// The code that making the region would end with, mostly, and the sentence with the numbers. What a
    /// control group limits is not refused: the kernel kills for it, and the code is ENOMEM.
    pub error: Error,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Obstacle {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Obstacle> for Error {
    fn from(obstacle: Obstacle) -> Error {
        obstacle.error
    }
}

/// Whether a region of this kind and size would fit now: flags of `options` that count are HUGE_2M, HUGE_1G,
/// LOCKED, NO_RESERVE and GROWABLE with its size_max. A limit that cannot be read stands in nobody's way.
/// For files, see [`fits_file`].
pub fn fits(kind: Kind, size: u64, options: &Options) -> Result<(), Obstacle> {
    let limits = Limits::read();
    let on_pages = |huge| Wish::new(&limits, kind, size, huge, options);
    let sizes = match options.flags & Flags::HUGE {
        none if none.is_empty() => &[None][..],
        _ if !matches!(kind, Kind::Memfd | Kind::SysV) => {
            return on_pages(None)?.wrong("only memfds and System V segments take pages from a pool");
        }
        Flags::HUGE_2M => &[Some(2 << 20), None],
        Flags::HUGE_1G => &[Some(1 << 30), Some(2 << 20), None],
        _ => return on_pages(None)?.wrong("HUGE_2M or HUGE_1G, not both"),
    };
    if matches!(kind, Kind::File | Kind::Descriptor) {
        return on_pages(None)?.wrong("what it would lie on is not known: ask for a path with fits_file");
    }
    let tried = if options.flags.contains(Flags::HUGE_FALLBACK) { sizes } else { &sizes[..1] };
    // The last answer counts, as it does when a region is made.
    tried[1..].iter().fold(on_pages(tried[0])?.fits(), |fits, &huge| fits.or_else(|_| on_pages(huge)?.fits()))
}

/// The same for a file that would be made at `path`.
pub fn fits_file(path: impl AsRef<OsStr>, size: u64, options: &Options) -> Result<(), Obstacle> {
    let limits = Limits::read();
    let region = Wish::new(&limits, Kind::File, size, None, options)?;
    region.fits()?;
    let path = Path::new(path.as_ref());
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let directory = directory.as_os_str().as_bytes();
    let system = std::ffi::CString::new(directory)
        .map_err(|_| Errno::EINVAL)
        .and_then(|directory| mounts::at(&directory))
        .or_else(|errno| {
            let why =
                format!("its directory {} cannot be looked at: {}", shown(directory), Code::from(errno));
            region.refuse(errno, None, 0, why)
        })?;
    match system.free_bytes {
        Some(free) if size > free && !options.flags.contains(Flags::NO_RESERVE) => {
            let place = system.mount_point.unwrap_or_default();
            let why = format!(
                "{free} bytes are free on the {} at {}, and {size} are needed",
                system.kind,
                shown(place.as_bytes())
            );
            region.refuse(Errno::ENOSPC, None, size, why)
        }
        _ => Ok(()),
    }
}

struct Wish<'a> {
    limits: &'a Limits,
    kind: Kind,
    size: u64,
    /// In whole pages.
    memory: u64,
    huge: Option<u64>,
    options: &'a Options,
}

impl<'a> Wish<'a> {
    fn new(
        limits: &'a Limits,
        kind: Kind,
        size: u64,
        huge: Option<u64>,
        options: &'a Options,
    ) -> Result<Wish<'a>, Obstacle> {
        let page = huge.unwrap_or(mmap::page_size() as u64);
        let memory = size.checked_next_multiple_of(page).filter(|&memory| i64::try_from(memory).is_ok());
        let wish = Wish { limits, kind, size, memory: memory.unwrap_or(0), huge, options };
        match (size, memory) {
            (0, _) => wish.wrong("a region has at least 1 byte"),
            (_, None) => wish.refuse(Errno::ENOMEM, None, size, "no address range is that long".to_string()),
            _ => Ok(wish),
        }
    }

    fn fits(&self) -> Result<(), Obstacle> {
        let flags = self.options.flags;
        self.own_limits()?;
        if let Some(page) = self.huge {
            return self.in_pool(page);
        }
        match self.kind {
            Kind::SysV => self.in_system_v()?,
            Kind::Posix => self.in_dev_shm()?,
            _ => {}
        }
        if self.kind != Kind::File && !flags.contains(Flags::NO_RESERVE) {
            self.in_memory()?;
        }
        if flags.contains(Flags::LOCKED) && !may_lock_all() {
            self.room("RLIMIT_MEMLOCK", self.memory, Errno::ENOMEM)?;
        }
        Ok(())
    }

    /// Of this process.
    fn own_limits(&self) -> Result<(), Obstacle> {
        let has_descriptor = !matches!(self.kind, Kind::SysV | Kind::Anonymous);
        if has_descriptor {
            self.room("RLIMIT_FSIZE", self.size, Errno::EFBIG)?;
            self.room("RLIMIT_NOFILE", 1, Errno::EMFILE)?;
        }
        let growable = self.options.flags.contains(Flags::GROWABLE);
        let addresses = if growable { self.memory.max(self.options.size_max) } else { self.memory };
        self.room("RLIMIT_AS", addresses, Errno::ENOMEM)?;
        self.room("vm.max_map_count", 1, Errno::ENOMEM)
    }

    fn in_system_v(&self) -> Result<(), Obstacle> {
        self.room("kernel.shmmax", self.size, Errno::EINVAL)?;
        self.room("kernel.shmmni", 1, Errno::ENOSPC)?;
        self.room("kernel.shmall", self.memory / mmap::page_size() as u64, Errno::ENOSPC)
    }

    fn in_dev_shm(&self) -> Result<(), Obstacle> {
        if !self.options.flags.contains(Flags::NO_RESERVE) {
            self.room("dev_shm.size", self.memory, Errno::ENOSPC)?;
        }
        self.room("dev_shm.inodes_free", 1, Errno::ENOSPC)
    }

    fn in_pool(&self, page: u64) -> Result<(), Obstacle> {
        let name = format!("hugepages-{}kB", page >> 10);
        let needed = self.memory / page;
        let Some(pool) = self.limits.get(&name) else {
            return self.refuse(
                Errno::EOPNOTSUPP,
                None,
                needed,
                format!("this machine has no huge pages of {page} bytes"),
            );
        };
        let more = self.limits.get(&format!("{name}.overcommit")).and_then(Limit::free).unwrap_or(0);
        match pool.free() {
            Some(free) if needed > free.saturating_add(more) => {
                let why = format!(
                    "{} has {} huge pages of {page} bytes free, and {needed} are needed",
                    pool.source,
                    free.saturating_add(more)
                );
                self.refuse(Errno::ENOMEM, Some(pool), needed, why)
            }
            _ => Ok(()),
        }
    }

    fn in_memory(&self) -> Result<(), Obstacle> {
        if self.limits.number("vm.overcommit_memory") == Some(2) {
            self.room("CommitLimit", self.memory, Errno::ENOMEM)?;
        }
        self.room("memory.max", self.memory, Errno::ENOMEM)?;
        let free = |name| self.limits.get(name).and_then(Limit::free);
        match (free("MemTotal"), free("SwapTotal")) {
            (Some(memory), swap) if self.memory > memory.saturating_add(swap.unwrap_or(0)) => {
                let available = memory.saturating_add(swap.unwrap_or(0));
                let why =
                    format!("the machine has {available} bytes of memory and swap available (/proc/meminfo)");
                self.refuse(Errno::ENOMEM, self.limits.get("MemTotal"), self.memory, why)
            }
            _ => Ok(()),
        }
    }

    /// Whether so much of a limit is left.
    fn room(&self, name: &str, needed: u64, errno: Errno) -> Result<(), Obstacle> {
        let Some(limit) = self.limits.get(name) else { return Ok(()) };
        let (Some(value), Some(free)) = (limit.number(), limit.free()) else { return Ok(()) };
        if value == UNLIMITED || needed <= free {
            return Ok(());
        }
        let unit = match limit.unit {
            Unit::Bytes => " bytes",
            Unit::Pages => " pages",
            _ => "",
        };
        let used = match limit.used {
            Some(Ok(used)) => format!(", of which {used} are used, and {needed} more are needed"),
            _ => String::new(),
        };
        let why = format!("{name} is {value}{unit}{used} ({})", limit.source);
        self.refuse(errno, Some(limit), needed, why)
    }

    fn wrong<T>(&self, why: &str) -> Result<T, Obstacle> {
        self.refuse(Errno::EINVAL, None, 0, why.to_string())
    }

    fn refuse<T>(
        &self,
        errno: Errno,
        limit: Option<&Limit>,
        needed: u64,
        why: String,
    ) -> Result<T, Obstacle> {
        let what = match self.kind {
            Kind::SysV => "a System V segment",
            Kind::Posix => "a POSIX object",
            Kind::Memfd => "a memfd",
            Kind::Anonymous => "anonymous memory",
            Kind::File => "a file",
            Kind::Descriptor => "the file of a descriptor",
        };
        let pages = self.huge.map_or(String::new(), |page| format!(" on huge pages of {page} bytes"));
        let message = format!("{what} of {} bytes{pages} does not fit: {why}", self.size);
        Err(Obstacle { limit: limit.cloned().map(Box::new), needed, error: Error::new(errno, message) })
    }
}
