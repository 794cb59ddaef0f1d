//! Sets of semaphores: semget(2), semop(2), semctl(2).
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::time::Duration;

use super::{create_or_find, failed, findable, only, permissions, wait, Creation};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::region::segment::ROUNDS;
use crate::region::sysv::{shown_key, UNFINISHED};
use crate::sys::semaphore::{self, Ask};
use crate::sys::{self, Errno};

/// A set of semaphores, by its id. It stays until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Semaphores(c_int);

/// What is done to one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of the semaphore in its set.
    pub index: u16,
    /// Added to its value, which never goes below 0: less than 0 waits until there is enough, 0 waits until
    /// the value is 0.
    pub change: i16,
    /// The kernel takes the change back when this process ends, however it ends.
    pub undo: bool,
}

/// What the kernel knows of a set. Times are seconds since 1970, 0 for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub operated_at: i64,
    /// Creation, or the last change of owner, mode or values.
    pub changed_at: i64,
    pub key: i32,
    pub id: c_int,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// How many semaphores the set has.
    pub count: u64,
}

/// One semaphore. The four are asked for one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub value: i32,
    /// Who changed or tested it last, or set it; 0 for nobody.
    pub last_pid: i32,
    /// How many wait for it to grow.
    pub waiting: u32,
    /// How many wait for it to be 0.
    pub waiting_for_zero: u32,
}

/// SHMKIT_SEM_UNDO: the kernel's number.
pub(crate) const UNDO: u32 = semaphore::SEM_UNDO as u32;

impl Operation {
    pub const fn new(index: u16, change: i16) -> Operation {
        Operation { index, change, undo: false }
    }

    /// The same, taken back when this process ends.
    pub const fn with_undo(self) -> Operation {
        Operation { undo: true, ..self }
    }

    /// As C has it.
    pub(crate) fn from_raw(index: u16, change: i16, flags: u32) -> Result<Operation> {
        only("a semaphore operation", flags, UNDO)?;
        Ok(Operation { index, change, undo: flags & UNDO != 0 })
    }
}

impl Semaphores {
    /// Creates a set with these values. Nobody who opens it by this library sees it without them. True when
    /// it was created, false when it was found.
    pub fn create(key: i32, values: &[u16], how: Creation) -> Result<(Semaphores, bool)> {
        let mode = how.mode()?;
        in_range(values)?;
        let count = c_int::try_from(values.len()).unwrap_or(c_int::MAX);
        create_or_find(
            "System V semaphores",
            key,
            how.or_open,
            || create_new(key, count, values, mode),
            || find(key, count, true),
        )
    }

    /// Opens the set that has this key, and at least so many semaphores.
    pub fn open(key: i32, count_min: usize) -> Result<Semaphores> {
        findable("semaphores", key)?;
        let count = c_int::try_from(count_min).unwrap_or(c_int::MAX);
        for _ in 0..ROUNDS {
            if let Some(found) = find(key, count, false)? {
                return Ok(found);
            }
        }
        Err(not_found(Errno::ENOENT, key, count))
    }

    /// The set that has this id; whether there is one, its use will tell.
    pub const fn from_id(id: c_int) -> Semaphores {
        Semaphores(id)
    }

    pub const fn id(self) -> c_int {
        self.0
    }

    /// Removes the set at once. Whoever waits for it is told (EIDRM).
    pub fn remove(self) -> Result<()> {
        semaphore::remove(self.0).map_err(|errno| self.failed(errno, "cannot remove"))
    }

    /// Does all operations in one step, or none; waits for it as long as need be.
    pub fn operate(self, operations: &[Operation], deadline: Deadline) -> Result<()> {
        let raw = raw(operations, 0);
        wait(deadline, Errno::EAGAIN, || semaphore::operate(self.0, &raw, deadline.left()))
            .map_err(|errno| self.not_operated(errno, operations))
    }

    /// Does all operations in one step, or none, without waiting: EAGAIN.
    pub fn try_operate(self, operations: &[Operation]) -> Result<()> {
        let raw = raw(operations, libc::IPC_NOWAIT);
        sys::uninterrupted(|| semaphore::operate(self.0, &raw, None))
            .map_err(|errno| self.not_operated(errno, operations))
    }

    pub fn value(self, index: u32) -> Result<i32> {
        self.ask(index, Ask::Value)
    }

    /// All values, of the same moment.
    pub fn values(self) -> Result<Vec<u16>> {
        semaphore::values(self.0).map_err(|errno| self.failed(errno, "cannot read the values of"))
    }

    /// Changes to it that were to be taken back are no more.
    pub fn set_value(self, index: u32, value: i32) -> Result<()> {
        let number = c_int::try_from(index).unwrap_or(c_int::MAX);
        semaphore::set_value(self.0, number, value).map_err(|errno| {
            let tried = format!("cannot set semaphore {index} of {} to {value}", self.named());
            let why = match errno {
                Errno::ERANGE => Some(out_of_range()),
                Errno::EINVAL => self.no_such(index.into()),
                _ => None,
            };
            failed(errno, tried, why)
        })
    }

    /// Sets all values in one step; there are as many as semaphores. Changes that were to be taken back are
    /// no more.
    pub fn set_values(self, values: &[u16]) -> Result<()> {
        in_range(values)?;
        semaphore::set_values(self.0, values).map_err(|errno| {
            let stat = (errno == Errno::EINVAL).then(|| semaphore::stat(self.0).ok()).flatten();
            let why = stat.map(|stat| format!("there are {} of them", stat.sem_nsems));
            failed(errno, format!("cannot set {} values of {}", values.len(), self.named()), why)
        })
    }

    pub fn state(self, index: u32) -> Result<State> {
        Ok(State {
            value: self.ask(index, Ask::Value)?,
            last_pid: self.ask(index, Ask::LastPid)?,
            waiting: self.ask(index, Ask::Waiting)? as u32,
            waiting_for_zero: self.ask(index, Ask::WaitingForZero)? as u32,
        })
    }

    pub fn stat(self) -> Result<Info> {
        let stat = semaphore::stat(self.0).map_err(|errno| self.failed(errno, "cannot look at"))?;
        Ok(Info {
            operated_at: stat.sem_otime,
            changed_at: stat.sem_ctime,
            key: sys::ipc_key(&stat.sem_perm),
            id: self.0,
            owner_uid: stat.sem_perm.uid,
            owner_gid: stat.sem_perm.gid,
            creator_uid: stat.sem_perm.cuid,
            creator_gid: stat.sem_perm.cgid,
            mode: u32::from(stat.sem_perm.mode) & 0o777,
            count: stat.sem_nsems,
        })
    }

    /// Changes owner and permission bits. None leaves a user or group as it is now.
    pub fn set_owner(self, uid: Option<u32>, gid: Option<u32>, mode: u32) -> Result<()> {
        let mode = permissions(mode)?;
        let (uid, gid) = match (uid, gid) {
            (Some(uid), Some(gid)) => (uid, gid),
            _ => {
                let now = semaphore::stat_whoever(self.0);
                let now = now.map_err(|errno| self.failed(errno, "cannot look at"))?;
                (uid.unwrap_or(now.sem_perm.uid), gid.unwrap_or(now.sem_perm.gid))
            }
        };
        semaphore::set(self.0, uid, gid, mode).map_err(|errno| {
            failed(errno, format!("cannot give {} owner {uid}:{gid} and mode {mode:#o}", self.named()), None)
        })
    }

    fn named(self) -> String {
        format!("the System V semaphores {}", self.0)
    }

    fn failed(self, errno: Errno, verb: &str) -> Error {
        failed(errno, format!("{verb} {}", self.named()), None)
    }

    fn ask(self, index: u32, what: Ask) -> Result<c_int> {
        let number = c_int::try_from(index).unwrap_or(c_int::MAX);
        semaphore::ask(self.0, number, what).map_err(|errno| {
            let why = (errno == Errno::EINVAL).then(|| self.no_such(index.into())).flatten();
            failed(errno, format!("cannot look at semaphore {index} of {}", self.named()), why)
        })
    }

    /// That there is no such semaphore, where that is so.
    fn no_such(self, index: u64) -> Option<String> {
        let count = semaphore::stat(self.0).ok()?.sem_nsems;
        (index >= count).then(|| format!("the set has {count} semaphores, and they count from 0"))
    }

    fn not_operated(self, errno: Errno, operations: &[Operation]) -> Error {
        let why = match errno {
            Errno::EAGAIN => Some("it would have to wait".to_string()),
            Errno::EINVAL if operations.is_empty() => Some("there is nothing to do".to_string()),
            Errno::E2BIG => semaphore::limits().ok().map(|limits| {
                format!("semopm is {} (the third number in /proc/sys/kernel/sem)", limits.semopm)
            }),
            Errno::EFBIG => operations.iter().map(|operation| operation.index).max().and_then(|index| {
                Some(format!("there is no semaphore {index}: {}", self.no_such(index.into())?))
            }),
            Errno::ERANGE => Some(out_of_range()),
            _ => None,
        };
        failed(errno, format!("cannot do {} operations on {}", operations.len(), self.named()), why)
    }
}

fn raw(operations: &[Operation], flags: c_int) -> Vec<libc::sembuf> {
    let raw = |operation: &Operation| libc::sembuf {
        sem_num: operation.index,
        sem_op: operation.change,
        sem_flg: (flags | if operation.undo { semaphore::SEM_UNDO } else { 0 }) as i16,
    };
    operations.iter().map(raw).collect()
}

fn out_of_range() -> String {
    format!("a semaphore's value is 0 to {0}, and so are changes to take back", semaphore::VALUE_MAX)
}

fn in_range(values: &[u16]) -> Result<()> {
    match values.iter().position(|&value| value > semaphore::VALUE_MAX) {
        None => Ok(()),
        Some(index) => {
            let message = format!("cannot set semaphore {index} to {}: {}", values[index], out_of_range());
            Err(Error::new(Errno::ERANGE, message))
        }
    }
}

/// None when somebody removed it at once.
fn create_new(key: i32, count: c_int, values: &[u16], mode: u32) -> Result<Option<Semaphores>> {
    // A new set is all zeros. Other values come in a second step, and until then a mark in the mode keeps
    // openers waiting. It leaves everybody who will have a right to the set the one to see the mark.
    let finished = values.iter().all(|&value| value == 0);
    let marked = mode | (mode & 0o222) << 1 | 0o600 | UNFINISHED;
    let flags = semaphore::IPC_CREAT | semaphore::IPC_EXCL | if finished { mode } else { marked } as c_int;
    let id = semaphore::get(key, count, flags).map_err(|errno| not_created(errno, key, count))?;
    if finished {
        return Ok(Some(Semaphores(id)));
    }
    let finish = || {
        semaphore::set_values(id, values)?;
        let owner = semaphore::stat(id)?.sem_perm;
        semaphore::set(id, owner.uid, owner.gid, mode)
    };
    match finish() {
        Ok(()) => Ok(Some(Semaphores(id))),
        Err(Errno::EINVAL | Errno::EIDRM) => Ok(None),
        Err(errno) => {
            let _ = semaphore::remove(id);
            Err(not_created(errno, key, count))
        }
    }
}

/// None when it was removed while it was looked at. `replace`: an unfinished one that its creator has left
/// is removed.
fn find(key: i32, count: c_int, replace: bool) -> Result<Option<Semaphores>> {
    let id = match semaphore::get(key, count, 0) {
        Ok(id) => id,
        Err(Errno::ENOENT) if replace => return Ok(None),
        Err(errno) => return Err(not_found(errno, key, count)),
    };
    // Its creator needs microseconds for the rest, unless it died or was stopped.
    let patience = Deadline::after(Duration::from_secs(1));
    loop {
        let over = patience.left() == Some(Duration::ZERO);
        match semaphore::stat(id) {
            Ok(stat) if !is_unfinished(&stat) => return Ok(Some(Semaphores(id))),
            Ok(stat) if over && replace && stat.sem_perm.cuid == sys::own_user() => {
                // By whomever: it is gone.
                let _ = semaphore::remove(id);
                return Ok(None);
            }
            Ok(_) if over => {
                let message = format!(
                    "the System V semaphores of {} are not finished: their creator is at it, or died",
                    shown_key(key)
                );
                return Err(Error::new(Errno::EAGAIN, message));
            }
            Ok(_) => std::thread::sleep(Duration::from_micros(200)),
            // Who may do anything with it may look at the unfinished.
            Err(Errno::EACCES) => return Ok(Some(Semaphores(id))),
            Err(_) => return Ok(None),
        }
    }
}

/// A set that somebody has operated on is in use, whatever mode a stranger has given it.
fn is_unfinished(stat: &semaphore::Stat) -> bool {
    u32::from(stat.sem_perm.mode) & 0o111 == UNFINISHED && stat.sem_otime == 0
}

fn not_created(errno: Errno, key: i32, count: c_int) -> Error {
    let tried = format!("cannot create {count} System V semaphores under {}", shown_key(key));
    let why = match errno {
        Errno::EINVAL if count == 0 => Some("a set has at least 1 semaphore".to_string()),
        Errno::EINVAL => semaphore::limits()
            .ok()
            .map(|limits| format!("semmsl is {} (the first number in /proc/sys/kernel/sem)", limits.semmsl)),
        Errno::ENOSPC => full(count),
        _ => None,
    };
    failed(errno, tried, why)
}

/// "No space left on device" has misled many: it is a number of sets, or of semaphores.
fn full(count: c_int) -> Option<String> {
    let (limits, (sets, all)) = (semaphore::limits().ok()?, semaphore::used().ok()?);
    Some(if sets >= limits.semmni {
        format!(
            "{sets} sets exist, and semmni is {} (the fourth number in /proc/sys/kernel/sem)",
            limits.semmni
        )
    } else {
        format!(
            "{all} semaphores exist, {count} more are needed, and semmns is {} (the second number in /proc/sys/kernel/sem)",
            limits.semmns
        )
    })
}

fn not_found(errno: Errno, key: i32, count: c_int) -> Error {
    let why = match errno {
        Errno::ENOENT => Some("there are none".to_string()),
        Errno::EINVAL => semaphore::get(key, 0, 0).and_then(semaphore::stat).ok().map(|stat| {
            format!("the set has {} semaphores, and at least {count} were asked for", stat.sem_nsems)
        }),
        _ => None,
    };
    failed(errno, format!("cannot find the System V semaphores of {}", shown_key(key)), why)
}
