//! System V semaphores and message queues; segments are regions ([`Region::sysv_create`]). Keys mean the
//! same for all three: 0 makes an object that nobody finds, -1 is a failed ftok(3), creation is exclusive.
//!
//! ```
//! use shmkit::sysv::{Creation, Operation, Semaphores};
//! use shmkit::Deadline;
//!
//! let (set, _created) = Semaphores::create(0, &[1], Creation::default())?;
//! // A lock that is free again when its holder is killed.
//! set.operate(&[Operation::new(0, -1).with_undo()], Deadline::NEVER)?;
//! assert_eq!(set.value(0)?, 0);
//! set.operate(&[Operation::new(0, 1).with_undo()], Deadline::NEVER)?;
//! set.remove()?;
//! # Ok::<(), shmkit::Error>(())
//! ```
//!
//! [`Region::sysv_create`]: crate::Region::sysv_create
#![forbid(unsafe_code)]

pub mod queue;
pub mod semaphores;

pub use queue::{Queue, Which};
pub use semaphores::{Operation, Semaphores};

use std::fmt::Display;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::{Code, Error, Result};
use crate::region::segment::{no_failed_key, ROUNDS};
use crate::region::sysv::shown_key;
use crate::sys::{self, segment, Errno};

/// How to create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// Open the object where it exists.
    pub or_open: bool,
    /// Permission bits, which the umask does not narrow; 0 means 0600. Bits to execute mean nothing, and
    /// are dropped.
    pub mode: u32,
}

/// SHMKIT_SEM_OR_OPEN and SHMKIT_QUEUE_OR_OPEN: the kernel's IPC_CREAT.
pub(crate) const OR_OPEN: u32 = 512;

impl Creation {
    /// As C has it.
    pub(crate) fn from_raw(call: &str, flags: u32, mode: u32) -> Result<Creation> {
        only(call, flags, OR_OPEN)?;
        Ok(Creation { or_open: flags & OR_OPEN != 0, mode })
    }

    fn mode(self) -> Result<u32> {
        let mode = permissions(self.mode)?;
        Ok(if self.mode == 0 { 0o600 } else { mode })
    }
}

/// Flags that a call does not know are refused; the kernel would ignore some.
pub(crate) fn only(call: &str, flags: u32, known: u32) -> Result<()> {
    if flags & !known != 0 {
        return Err(invalid(format!("{call} has no use for the flags {:#x}", flags & !known)));
    }
    Ok(())
}

/// Without the bits to execute, which mean nothing to the kernel, and mark what is not finished.
fn permissions(mode: u32) -> Result<u32> {
    if mode & !0o777 != 0 {
        return Err(invalid(format!("mode {mode:#o} has more than permission bits (0777)")));
    }
    Ok(mode & 0o666)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Errno::EINVAL, message)
}

/// What was tried, and why it failed: the errno's own phrase, unless there is more to say.
fn failed(errno: Errno, tried: impl Display, why: Option<String>) -> Error {
    let why = why.unwrap_or_else(|| match errno {
        Errno::EIDRM => "it was removed".to_string(),
        Errno::ETIMEDOUT => "the deadline passed".to_string(),
        errno => Code::from(errno).to_string(),
    });
    Error::new(errno, format!("{tried}: {why}"))
}

/// Creates an object under a key, or finds it, where that is asked for; true when it created. Both answer
/// None where somebody removed the object in the midst of it.
fn create_or_find<T>(
    what: &str,
    key: i32,
    or_open: bool,
    create: impl Fn() -> Result<Option<T>>,
    find: impl Fn() -> Result<Option<T>>,
) -> Result<(T, bool)> {
    no_failed_key(key)?;
    for _ in 0..ROUNDS {
        match create() {
            Ok(Some(created)) => return Ok((created, true)),
            Ok(None) => continue,
            Err(error) if or_open && error.errno() == Some(Errno::EEXIST as i32) => {}
            Err(error) => return Err(error),
        }
        if let Some(found) = find()? {
            return Ok((found, false));
        }
    }
    let message = format!("the {what} of {} is created and removed all the time", shown_key(key));
    Err(Error::new(Errno::EEXIST, message))
}

/// A key under which something can be found.
fn findable(what: &str, key: i32) -> Result<()> {
    no_failed_key(key)?;
    if key == segment::IPC_PRIVATE {
        return Err(invalid(format!("the System V key 0 (IPC_PRIVATE) names no {what}: use its id")));
    }
    Ok(())
}

/// Calls until the call no longer answers `busy`, or the deadline is over, with pauses that grow to some
/// milliseconds; and again after every signal. What was there and then is not was removed, whatever the
/// kernel says to a call that comes too late.
fn wait<T>(deadline: Deadline, busy: Errno, mut call: impl FnMut() -> sys::Result<T>) -> sys::Result<T> {
    const LONGEST: Duration = Duration::from_millis(4);
    let mut pause = Duration::from_micros(50);
    let mut called = false;
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            Err(Errno::EINVAL) if called => return Err(Errno::EIDRM),
            Err(errno) if errno == busy => {
                let left = deadline.left().unwrap_or(pause);
                if left.is_zero() {
                    return Err(Errno::ETIMEDOUT);
                }
                std::thread::sleep(pause.min(left));
                pause = LONGEST.min(2 * pause);
            }
            answer => return answer,
        }
        called = true;
    }
}
