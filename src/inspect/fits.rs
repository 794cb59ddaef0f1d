//! Whether a region would fit, before it is made.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::limits::{has_capability, Limit, Limits, Unit, CAP_IPC_LOCK, UNLIMITED};
use super::mounts::{self, FileSystem};
use crate::error::{shown, Code, Error, SHMKIT_E_SHRUNK};
use crate::region::mapping::{addresses, length, Shape};
use crate::region::{self, creation, file, options, posix, segment, Flags, Kind, Options};
use crate::sys::{self, mmap, Errno};

/// What stands in a region's way.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// None where the question itself is wrong.
    pub limit: Option<Box<Limit>>,
    /// How much of it the region needs.
    pub needed: u64,
    /// The code that making the region would end with, and the sentence with the numbers.
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

impl From<Error> for Obstacle {
    fn from(error: Error) -> Obstacle {
        Obstacle { limit: None, needed: 0, error }
    }
}

impl From<Obstacle> for Error {
    fn from(obstacle: Obstacle) -> Error {
        obstacle.error
    }
}

/// Whether a region of this kind and size would fit now: the answer that making a new one with these options
/// would get, and nothing is made. Options that making refuses are refused with the same sentence; OR_OPEN and
/// REPLACE are taken as if there were none yet. A limit that cannot be read stands in nobody's way.
///
/// It is stricter than the kernel in one thing: ENOMEM is also memory that the kernel would promise, and kill
/// for when it is touched, because a control group or the machine has less.
///
/// For files, see [`fits_file`].
pub fn fits(kind: Kind, size: u64, options: &Options) -> Result<(), Obstacle> {
    if matches!(kind, Kind::File | Kind::Descriptor) {
        Wish::check(kind, size, options, &|| what(kind).to_string())?;
        let call = creation::call(kind);
        let message = format!("{call}: what it would lie on is not known: ask for a path with fits_file");
        return Err(Error::new(Errno::EINVAL, message).into());
    }
    let named = || what(kind).to_string();
    let size = Wish::check(kind, size, options, &named)?;
    let limits = Limits::read();
    let wish = |huge| Wish { limits: &limits, kind, size, huge, options, system: None, named: &named }.fits();
    options.flags.on_pages(creation::call(kind), wish, |_| false)
}

/// The same for a file that would be made at `path`.
pub fn fits_file(path: impl AsRef<OsStr>, size: u64, options: &Options) -> Result<(), Obstacle> {
    let path = region::c_name(path.as_ref(), "path")?;
    let named = || file::describe(&path);
    let size = Wish::check(Kind::File, size, options, &named)?;
    let directory = file::parent(&path)?;
    creation::may_create_in(&directory, named)?;
    if !options.flags.intersects(Flags::OR_OPEN | Flags::REPLACE) && sys::file::stat_name(&path).is_ok() {
        let message = format!("cannot create {}: {}", named(), Code::from(Errno::EEXIST));
        return Err(Error::new(Errno::EEXIST, message).into());
    }
    let system = mounts::at(&directory).map_err(|errno| {
        let (directory, why) = (shown(directory.to_bytes()), Code::from(errno));
        Error::new(errno, format!("cannot create {}: {directory} cannot be looked at: {why}", named()))
    })?;
    let limits = Limits::read();
    let system = Some(&system);
    Wish { limits: &limits, kind: Kind::File, size, huge: None, options, system, named: &named }.fits()
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::SysV => "a System V segment",
        Kind::Posix => "a POSIX object",
        Kind::Memfd => "a memfd",
        Kind::Anonymous => "anonymous memory",
        Kind::File => "a file",
        Kind::Descriptor => "the file of a descriptor",
    }
}

struct Wish<'a> {
    limits: &'a Limits,
    kind: Kind,
    size: usize,
    /// The size of the pages from a pool that are to stand behind it.
    huge: Option<usize>,
    options: &'a Options,
    /// Where a file would lie.
    system: Option<&'a FileSystem>,
    named: &'a dyn Fn() -> String,
}

impl Wish<'_> {
    /// What making it checks before it asks the kernel.
    fn check(
        kind: Kind,
        size: u64,
        options: &Options,
        named: &dyn Fn() -> String,
    ) -> Result<usize, Obstacle> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        creation::check(kind, size, options, named)?;
        if kind == Kind::SysV {
            if size == 0 {
                return Err(region::sysv::not_created(Errno::EINVAL, "any key", size).into());
            }
            options::large_enough(size as u64, options, named)?;
        }
        Ok(size)
    }

    fn fits(&self) -> Result<(), Obstacle> {
        let page = self.huge.unwrap_or_else(mmap::page_size);
        let is_a_files = |size: usize| i64::try_from(size).is_ok();
        if self.kind == Kind::SysV && self.huge.is_none() && !is_a_files(self.size) {
            self.room("kernel.shmmax", self.size as u64, Errno::EINVAL)?;
            return self.refuse(Errno::EINVAL, None, self.size as u64, "no segment is that long".to_string());
        }
        let memory = self.size.checked_next_multiple_of(page);
        let Some(memory) = memory.filter(|&memory| self.huge.is_none() || is_a_files(memory)) else {
            let why = "no address range is that long".to_string();
            return self.refuse(Errno::ENOMEM, None, self.size as u64, why);
        };
        let memory = memory as u64;
        let has_descriptor = !matches!(self.kind, Kind::SysV | Kind::Anonymous);
        if has_descriptor {
            self.room("RLIMIT_NOFILE", 1, Errno::EMFILE)?;
            let size = if self.huge.is_some() { memory } else { self.size as u64 };
            self.room("RLIMIT_FSIZE", size, Errno::EFBIG)?;
        }
        match self.kind {
            Kind::SysV => self.in_system_v(memory)?,
            Kind::Posix => self.in_dev_shm(memory)?,
            _ => {}
        }
        match self.huge {
            Some(page) => self.in_pool(page as u64, memory)?,
            None => self.on_ordinary_pages(memory)?,
        }
        self.in_addresses(page)?;
        self.locked(memory)
    }

    /// Whether the pages are there when it is made, and not only once they are touched.
    fn reserves(&self) -> bool {
        !self.options.flags.contains(Flags::NO_RESERVE) || self.touches()
    }

    fn touches(&self) -> bool {
        self.options.flags.intersects(Flags::POPULATE | Flags::LOCKED)
    }

    /// How a lack of pages shows.
    fn lack(&self, errno: Errno) -> Code {
        match self.options.flags {
            flags if !flags.contains(Flags::NO_RESERVE) => errno.into(),
            flags if flags.contains(Flags::POPULATE) => Code::from_raw(SHMKIT_E_SHRUNK),
            _ => Errno::ENOMEM.into(),
        }
    }

    fn in_system_v(&self, memory: u64) -> Result<(), Obstacle> {
        let size = if self.huge.is_some() { memory } else { self.size as u64 };
        self.room("kernel.shmmax", size, Errno::EINVAL)?;
        self.room("kernel.shmmni", 1, Errno::ENOSPC)?;
        self.room("kernel.shmall", memory.div_ceil(mmap::page_size() as u64), Errno::ENOSPC)
    }

    fn in_dev_shm(&self, memory: u64) -> Result<(), Obstacle> {
        creation::may_create_in(posix::DIRECTORY, self.named)?;
        let system = mounts::at(posix::DIRECTORY).ok();
        if system.is_some_and(|it| !it.in_memory) && !self.options.flags.contains(Flags::RISK_DISK) {
            return Err(posix::on_disk(self.named).into());
        }
        if self.reserves() {
            self.room("dev_shm.size", memory, self.lack(Errno::ENOSPC))?;
        }
        self.room("dev_shm.inodes_free", 1, Errno::ENOSPC)
    }

    fn in_pool(&self, page: u64, memory: u64) -> Result<(), Obstacle> {
        let (name, needed) = (format!("hugepages-{}kB", page >> 10), memory / page);
        let tried = || format!("{} does not fit", self.shown());
        let Some(pool) = self.limits.get(&name) else {
            return Err(region::reserve::no_such_pages(&tried()).into());
        };
        if self.kind == Kind::SysV && !self.may_have_huge() {
            let limit = self.limits.get("vm.hugetlb_shm_group");
            return self.refuse(Errno::EPERM, limit, needed, segment::NO_RIGHT_TO_HUGE.to_string());
        }
        let more = self.limits.get(&format!("{name}.overcommit")).and_then(Limit::free).unwrap_or(0);
        match pool.free().map(|free| free.saturating_add(more)) {
            Some(free) if needed > free && self.reserves() => {
                let (source, all) = (&pool.source, pool.number().unwrap_or(0));
                let why = format!(
                    "{source} is {all}, {free} huge pages of {page} bytes are free, and {needed} are needed"
                );
                self.refuse(self.lack(Errno::ENOMEM), Some(pool), needed, why)
            }
            _ => Ok(()),
        }
    }

    fn may_have_huge(&self) -> bool {
        has_capability(CAP_IPC_LOCK)
            || self.limits.number("vm.hugetlb_shm_group").is_some_and(|group| sys::in_group(group as u32))
    }

    fn on_ordinary_pages(&self, memory: u64) -> Result<(), Obstacle> {
        if let Some(system) = self.system {
            self.on_file_system(system, memory)?;
        }
        let on_disk = self.system.is_some_and(|system| !system.in_memory);
        if on_disk || !self.reserves() {
            return Ok(());
        }
        self.promised(memory)?;
        self.room("memory.max", memory, Errno::ENOMEM)?;
        let free = |name| self.limits.get(name).and_then(Limit::free);
        match (free("MemTotal"), free("SwapTotal")) {
            (Some(free), swap) if memory > free.saturating_add(swap.unwrap_or(0)) => {
                let (limit, available) =
                    (self.limits.get("MemTotal"), free.saturating_add(swap.unwrap_or(0)));
                let total = self.limits.number("MemTotal").unwrap_or(0);
                let why = format!("MemTotal is {total} bytes (the machine), and {available} are available");
                self.refuse(Errno::ENOMEM, limit, memory, why)
            }
            _ => Ok(()),
        }
    }

    /// Memory that is only accounted: vm.overcommit_memory decides.
    fn promised(&self, memory: u64) -> Result<(), Obstacle> {
        let private = self.options.flags & (Flags::PRIVATE | Flags::READ_ONLY) == Flags::PRIVATE;
        let accounted = matches!(self.kind, Kind::SysV | Kind::Anonymous) || private;
        let policy = self.limits.get("vm.overcommit_memory");
        match policy.and_then(Limit::number) {
            Some(2) => self.room("CommitLimit", memory, Errno::ENOMEM),
            Some(0) if accounted => {
                let total = |name| self.limits.number(name).unwrap_or(0);
                let all = total("MemTotal").saturating_add(total("SwapTotal"));
                match memory > all && all > 0 {
                    true => {
                        let source = policy.map_or("", |policy| &policy.source);
                        let why = format!(
                            "vm.overcommit_memory is 0, which promises no more than all memory and swap, {all} \
                             bytes ({source})"
                        );
                        self.refuse(Errno::ENOMEM, policy, memory, why)
                    }
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn on_file_system(&self, system: &FileSystem, memory: u64) -> Result<(), Obstacle> {
        if system.kind == "hugetlbfs" {
            let why = "huge pages would stand behind it, which files are not made on".to_string();
            return self.refuse(Errno::EOPNOTSUPP, None, memory, why);
        }
        let (place, kind) = (system.mount_point.as_deref().unwrap_or_default(), &system.kind);
        let place = shown(place.as_bytes());
        match (system.free_bytes, system.files_free) {
            (Some(free), _) if memory > free && self.reserves() => {
                let why =
                    format!("{free} bytes are free on the {kind} at {place}, and {} are needed", self.size);
                self.refuse(self.lack(Errno::ENOSPC), None, memory, why)
            }
            (_, Some(0)) => {
                self.refuse(Errno::ENOSPC, None, 1, format!("no more files fit on the {kind} at {place}"))
            }
            _ => Ok(()),
        }
    }

    /// Tried, because the ranges that are free are of many lengths.
    fn in_addresses(&self, page: usize) -> Result<(), Obstacle> {
        let shape = Shape { size: self.size, page_size: page };
        let length = length(shape, self.options);
        let Err(errno) = addresses(length, self.options) else { return Ok(()) };
        let needed = length.map_or(u64::MAX, |length| length as u64);
        if errno == Errno::ENOMEM {
            self.room("RLIMIT_AS", needed, errno)?;
            if self.options.flags.contains(Flags::PRIVATE) {
                self.room("RLIMIT_DATA", needed, errno)?;
            }
            self.room("address_space", needed, errno)?;
            self.room("vm.max_map_count", 1, errno)?;
        }
        let why = format!("{needed} bytes of addresses in a row cannot be had: {}", Code::from(errno));
        self.refuse(errno, self.limits.get("address_space").filter(|it| it.value.is_ok()), needed, why)
    }

    fn locked(&self, memory: u64) -> Result<(), Obstacle> {
        if !self.options.flags.contains(Flags::LOCKED) || has_capability(CAP_IPC_LOCK) {
            return Ok(());
        }
        let none = self.limits.number("RLIMIT_MEMLOCK") == Some(0);
        self.room("RLIMIT_MEMLOCK", memory, if none { Errno::EPERM } else { Errno::ENOMEM })
    }

    /// Whether so much of a limit is left.
    fn room(&self, name: &str, needed: u64, code: impl Into<Code>) -> Result<(), Obstacle> {
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
            _ if needed == self.size as u64 => String::new(),
            _ => format!(", and {needed} are needed"),
        };
        let why = format!("{name} is {value}{unit}{used} ({})", limit.source);
        self.refuse(code, Some(limit), needed, why)
    }

    fn shown(&self) -> String {
        let pages = self.huge.map_or(String::new(), |page| format!(" on huge pages of {page} bytes"));
        format!("{} of {} bytes{pages}", (self.named)(), self.size)
    }

    fn refuse<T>(
        &self,
        code: impl Into<Code>,
        limit: Option<&Limit>,
        needed: u64,
        why: String,
    ) -> Result<T, Obstacle> {
        let error = Error::new(code, format!("{} does not fit: {why}", self.shown()));
        Err(Obstacle { limit: limit.cloned().map(Box::new), needed, error })
    }
}
