//! Names that go with their users.
//!
//! Linux does nothing for a name when a process dies, but it gives back locks. So whoever has to keep such
//! a name alive holds a lock on the object (F_OFD_SETLK, on the one byte that no file has), and the object
//! is marked in its mode, before it has a name:
//!
//! | mark | lock | what it is | who removes the name |
//! |---|---|---|---|
//! | no | | a plain object | nobody |
//! | yes | shared, each user's | UNLINK_LAST | the last user, when it closes |
//! | yes | exclusive, the creator's | UNLINK_CREATOR | the creator, when it closes |
//! | yes | none | a leftover: whoever had it was killed | the next who opens or creates |
//!
//! Whoever joins, leaves or removes does so under a lock on the directory, so that none of them sees
//! another halfway. The lock is not on the region's own descriptor: that one is handed to other processes,
//! who are no users of the name and must not be able to undo the lock.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{Flags, Options};
use crate::error::{shown, During, Error, Result};
use crate::sys::file::{self, FileStat, Hold, OFlag};
use crate::sys::{self, clock, Errno};

/// The mark: sticky and executable, for the owner alone. Nobody sets these two by accident on a memory
/// object; they give nobody else a right, and no write takes them away. (The set-group-ID bit would go when
/// a user of another group writes or truncates.)
const MARK: u32 = libc::S_ISVTX | libc::S_IXUSR;
/// The bits that have to be as the mark has them.
const MARK_BITS: u32 = libc::S_IFMT | libc::S_ISUID | libc::S_ISGID | libc::S_ISVTX | EXECUTE;
const EXECUTE: u32 = 0o111;

/// How long a lock on a directory is waited for: it is held for some system calls, unless somebody means
/// harm.
const PATIENCE: Duration = Duration::from_secs(1);

/// Two processes that make and remove the same name can keep a third from it for so long.
const ROUNDS: usize = 100;

fn is_marked(stat: &FileStat) -> bool {
    is_marked_mode(stat.st_mode)
}

/// Whether a file's mode says that its name goes with its users.
pub(crate) fn is_marked_mode(mode: u32) -> bool {
    mode & MARK_BITS == libc::S_IFREG | MARK
}

pub(super) fn same_file(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// What a region owes its name.
#[derive(Debug)]
pub(super) struct Lease {
    /// The object, opened once more, with the lock.
    lock: OwnedFd,
    hold: Hold,
    path: CString,
    /// The process that has it, while it counts: a child made by fork owes nothing.
    process: Option<u32>,
}

impl Lease {
    /// From now on: the object has its name.
    pub(super) fn begin(&mut self) {
        self.process = Some(std::process::id());
    }

    /// Lets go, and removes the name where that is due. EAGAIN, EPERM: the name stays.
    pub(super) fn end(&mut self) -> sys::Result<()> {
        if self.process.take() != Some(std::process::id()) {
            return Ok(());
        }
        let place = LockedName::lock(&self.path);
        let ended = match &place {
            Ok(place) => self.remove_if_due(place),
            Err(errno) => Err(*errno),
        };
        // Not left to the descriptor's end: a child may have inherited it. Before the directory's lock goes,
        // or two who leave at once would each take the other for a user.
        ended.and(file::let_go(self.lock.as_fd(), file::LAST))
    }

    fn remove_if_due(&self, place: &LockedName) -> sys::Result<()> {
        let own = file::stat(self.lock.as_fd())?;
        let due = match self.hold {
            Hold::Exclusive => true,
            // Without the mark later openers are not known.
            Hold::Shared => {
                is_marked(&own) && file::held(self.lock.as_fd(), file::LAST, Hold::Exclusive)?.is_none()
            }
        };
        if due && place.names(&own)? {
            place.remove_own(&own)?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end();
    }
}

/// Refuses options that contradict each other.
pub(super) fn check(options: &Options) -> Result<()> {
    let (asked, mode) = (options.flags & (Flags::UNLINK_LAST | Flags::UNLINK_CREATOR), options.mode);
    if asked == Flags::UNLINK_LAST | Flags::UNLINK_CREATOR {
        let message = "a name goes with its last user (UNLINK_LAST) or with its creator (UNLINK_CREATOR), \
                       not with both";
        return Err(Error::new(Errno::EINVAL, message));
    }
    if !asked.is_empty() && mode & EXECUTE != 0 {
        let message = format!(
            "mode {mode:#o} has execute bits: with UNLINK_LAST and UNLINK_CREATOR they have another meaning"
        );
        return Err(Error::new(Errno::EINVAL, message));
    }
    Ok(())
}

/// Marks and locks an object that has no name yet, where the options ask for it.
pub(super) fn prepare(
    fd: BorrowedFd<'_>,
    path: &CStr,
    options: &Options,
    what: impl Fn() -> String,
) -> Result<Option<Box<Lease>>> {
    let hold = if options.flags.contains(Flags::UNLINK_LAST) {
        Hold::Shared
    } else if options.flags.contains(Flags::UNLINK_CREATOR) {
        Hold::Exclusive
    } else {
        return Ok(None);
    };
    let tried = || format!("cannot keep the name of {} to its users", what());
    let mode = file::stat(fd).during(tried)?.st_mode & 0o777;
    // To be opened once more, whatever the umask has left of the mode.
    file::change_mode(fd, 0o600).during(tried)?;
    let lock = file::reopen(fd, OFlag::O_RDWR).during(|| format!("{} (through /proc)", tried()))?;
    file::hold(lock.as_fd(), file::LAST, hold).during(tried)?;
    file::change_mode(fd, mode | MARK).during(tried)?;
    if !is_marked(&file::stat(fd).during(tried)?) {
        let message = format!("{}: its file system does not keep all mode bits", tried());
        return Err(Error::new(Errno::EOPNOTSUPP, message));
    }
    Ok(Some(Box::new(Lease { lock, hold, path: path.to_owned(), process: None })))
}

/// Opens what stands under a path, as one more user where it goes with its users. A leftover is as good as
/// nothing.
pub(super) fn open(
    path: &CStr,
    flags: OFlag,
    what: impl Fn() -> String,
) -> Result<(OwnedFd, FileStat, Option<Box<Lease>>)> {
    if let Ok(fd) = file::open(path, flags, 0) {
        let own = file::stat(fd.as_fd()).during(|| format!("cannot open {}", what()))?;
        if !is_marked(&own) {
            return Ok((fd, own, None));
        }
    }
    open_anyhow(path, flags, &what)
}

/// The same where something is in the way, or the name goes with its users: rare, and out of the way of the
/// rest.
#[cold]
#[inline(never)]
fn open_anyhow(
    path: &CStr,
    flags: OFlag,
    what: &dyn Fn() -> String,
) -> Result<(OwnedFd, FileStat, Option<Box<Lease>>)> {
    let tried = || format!("cannot open {}", what());
    for _ in 0..ROUNDS {
        let fd = match file::open(path, flags, 0) {
            // Its mode does not keep what is left of it.
            Err(Errno::EACCES) if clear(path, what)? => continue,
            // Somebody asks the kernel who has it open: over in microseconds.
            Err(Errno::EAGAIN) => {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            opened => opened.during(tried)?,
        };
        let own = file::stat(fd.as_fd()).during(tried)?;
        if !is_marked(&own) {
            return Ok((fd, own, None));
        }
        let place = lock(path, tried)?;
        match place.user(fd.as_fd(), &own, what)? {
            None => {}
            Some(Hold::Exclusive) => return Ok((fd, own, None)),
            Some(Hold::Shared) => {
                let lock = file::reopen(fd.as_fd(), OFlag::O_RDONLY)
                    .during(|| format!("{} again (through /proc)", tried()))?;
                file::hold(lock.as_fd(), file::LAST, Hold::Shared).during(tried)?;
                let mut lease = Lease { lock, hold: Hold::Shared, path: path.to_owned(), process: None };
                lease.begin();
                return Ok((fd, own, Some(Box::new(lease))));
            }
        }
    }
    Err(Error::new(Errno::EAGAIN, format!("{}: it is made and removed, or leased, all the time", tried())))
}

/// Removes what stands under a path if it is a leftover. Answers whether the path is worth another try.
pub(super) fn clear(path: &CStr, what: impl Fn() -> String) -> Result<bool> {
    let tried = || format!("cannot create {}", what());
    if !file::stat_name(path).is_ok_and(|stat| is_marked(&stat)) {
        return Ok(false);
    }
    let opened = match file::open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0) {
        Err(Errno::EACCES) => open_own(path),
        opened => opened,
    };
    let fd = match opened {
        Ok(fd) => fd,
        Err(errno) => return Ok([Errno::ENOENT, Errno::EAGAIN].contains(&errno)),
    };
    let own = file::stat(fd.as_fd()).during(tried)?;
    if !is_marked(&own) {
        return Ok(false);
    }
    Ok(lock(path, tried)?.user(fd.as_fd(), &own, &what)?.is_none())
}

/// Opens a marked object of our own whose mode denies it.
fn open_own(path: &CStr) -> sys::Result<OwnedFd> {
    let bare = file::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
    let stat = file::stat(bare.as_fd())?;
    if !is_marked(&stat) || stat.st_uid != sys::own_user() {
        return Err(Errno::EACCES);
    }
    let mode = stat.st_mode & 0o7777;
    file::change_mode_of_bare(bare.as_fd(), mode | 0o400)?;
    let opened = file::reopen(bare.as_fd(), OFlag::O_RDONLY);
    file::change_mode_of_bare(bare.as_fd(), mode)?;
    opened
}

/// A name in its directory, locked: among those who ask for the lock it means one object all the time.
pub(crate) struct LockedName {
    pub directory: OwnedFd,
    pub name: CString,
}

impl LockedName {
    /// Waits for the lock, and no longer than a second: EAGAIN.
    pub(crate) fn lock(path: &CStr) -> sys::Result<LockedName> {
        let (directory, name) = split(path);
        let place = LockedName { directory: file::open_directory(&directory)?, name };
        let deadline = clock::monotonic_ns() + PATIENCE.as_nanos() as i64;
        let mut pause = Duration::from_micros(20);
        loop {
            match file::try_lock(place.directory.as_fd()) {
                Err(Errno::EAGAIN) if clock::monotonic_ns() < deadline => {
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_millis(1));
                }
                locked => return locked.map(|()| place),
            }
        }
    }

    pub(super) fn stat(&self) -> sys::Result<FileStat> {
        file::stat_in(self.directory.as_fd(), &self.name)
    }

    /// Whether the name itself is this file's.
    fn names(&self, file: &FileStat) -> sys::Result<bool> {
        match self.stat() {
            Ok(stat) => Ok(same_file(&stat, file)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Who keeps the name of a marked object alive. None: nobody, or it has another name by now; what was
    /// left of it is removed.
    fn user(&self, fd: BorrowedFd<'_>, own: &FileStat, what: impl Fn() -> String) -> Result<Option<Hold>> {
        let tried = || format!("cannot look at the users of {}", what());
        if !self.names(own).during(tried)? {
            return Ok(None);
        }
        if let Some(hold) = file::held(fd, file::LAST, Hold::Exclusive).during(tried)? {
            return Ok(Some(hold));
        }
        let owner = own.st_uid;
        let tried =
            || format!("{} has lost its users, and cannot be removed: it belongs to user {owner}", what());
        self.remove_own(own).during(tried).map(|()| None)
    }

    /// Removes the name of a file that it was found to mean. Only our own: while we look, its owner could
    /// remove another's and let us remove what comes after it.
    fn remove_own(&self, file: &FileStat) -> sys::Result<()> {
        if file.st_uid != sys::own_user() {
            return Err(Errno::EPERM);
        }
        match file::unlink_in(self.directory.as_fd(), &self.name) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for LockedName {
    fn drop(&mut self) {
        // Not left to the descriptor's end: a child may have inherited it.
        let _ = file::unlock(self.directory.as_fd());
    }
}

/// [`LockedName::lock`], with the sentence.
pub(super) fn lock(path: &CStr, tried: impl Fn() -> String) -> Result<LockedName> {
    LockedName::lock(path).map_err(|errno| {
        let directory = shown(split(path).0.to_bytes());
        let why = match errno {
            Errno::EAGAIN => format!("another process has held the lock on {directory} for a second"),
            errno => format!("cannot lock {directory}: {}", crate::error::Code::from(errno)),
        };
        Error::new(errno, format!("{}: {why}", tried()))
    })
}

/// A path's directory, and the name in it.
fn split(path: &CStr) -> (CString, CString) {
    let path = path.to_bytes();
    let (directory, name) = match path.iter().rposition(|&byte| byte == b'/') {
        None => (&b"."[..], path),
        Some(0) => (&path[..1], &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
    };
    let c_string = |bytes: &[u8]| CString::new(bytes).expect("a part of a C string");
    (c_string(directory), c_string(name))
}
