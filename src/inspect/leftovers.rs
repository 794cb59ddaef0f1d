//! Objects that nobody holds, and their removal.
//!
//! Who holds a segment the kernel counts. For a POSIX object it grants a lease when nobody else has it open
//! or mapped: that takes in processes of other users, containers and namespaces, and descriptors that are
//! under way in a socket, none of which a look at /proc could. Only where no lease may be asked for, /proc
//! decides, and only if all of it could be seen.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::object::{Object, ObjectKind, Select};
use super::survey::{Survey, SEMAPHORE};
use crate::error::{Code, During, Error, Result};
use crate::region::{self, LockedName};
use crate::sys::file::{self, OFlag};
use crate::sys::listing::{self, Stat};
use crate::sys::{self, segment, sole, Errno};

/// Why something is taken for a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The kernel counts no attachment.
    NotAttached,
    /// The kernel says that it is open and mapped nowhere.
    NotOpen,
    /// All processes could be seen, and none has it.
    NoHolderSeen,
    /// Besides, the process that made it has ended.
    CreatorGone,
    /// Besides, this library made it to go with its users, or was killed before it had finished it.
    Abandoned,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NotAttached => "the kernel counts no attachment",
            Reason::NotOpen => "the kernel knows nobody who has it open or mapped",
            Reason::NoHolderSeen => "no process has it open or mapped",
            Reason::CreatorGone => "the process that made it has ended",
            Reason::Abandoned => "its users were killed before they could remove it or finish it",
        })
    }
}

/// An object that nobody held when it was looked at. That alone does not make it garbage: a segment or a name
/// may be meant to wait for its next user.
#[derive(Clone, Debug)]
pub struct Leftover {
    pub object: Object,
    pub reasons: Vec<Reason>,
}

/// What [`leftovers`] found.
#[derive(Debug, Default)]
pub struct Leftovers {
    pub found: Vec<Leftover>,
    /// Objects of which it cannot be told whether somebody has them, and why.
    pub undecided: Vec<(Object, String)>,
    pub gaps: Vec<super::Gap>,
}

/// Segments and POSIX objects that nobody holds. The kernel does not tell who uses semaphore sets and queues.
pub fn leftovers() -> Leftovers {
    let survey = Survey::of(Select::SEGMENTS | Select::POSIX);
    let mut all = Leftovers { gaps: survey.gaps, ..Leftovers::default() };
    // Only if it is needed.
    let mut processes: Option<Survey> = None;
    for object in survey.objects {
        let verdict = match object.kind {
            ObjectKind::Segment => Ok((object.attach_count == Some(0)).then_some(Reason::NotAttached)),
            _ => match is_open_anywhere(&object) {
                Ok(open) => Ok((!open).then_some(Reason::NotOpen)),
                Err(errno) => {
                    let seen = processes.get_or_insert_with(|| Survey::of(Select::POSIX | Select::HOLDERS));
                    by_processes(&object, seen, errno)
                }
            },
        };
        match verdict {
            Ok(Some(reason)) => {
                let mut reasons = vec![reason];
                reasons.extend(more_reasons(&object));
                all.found.push(Leftover { object, reasons });
            }
            Ok(None) => {}
            Err(why) => all.undecided.push((object, why)),
        }
    }
    all
}

/// What /proc says, where the kernel would not: a holder that is seen is one, but to see none is no proof
/// unless everybody was seen.
fn by_processes(object: &Object, seen: &Survey, errno: Errno) -> Result<Option<Reason>, String> {
    // Gone meanwhile.
    let Some(now) = seen.objects.iter().find(|now| now.file == object.file) else { return Ok(None) };
    match (now.holders.is_empty(), seen.gaps.first()) {
        (false, _) => Ok(None),
        (true, None) => Ok(Some(Reason::NoHolderSeen)),
        (true, Some(gap)) => {
            let asked = format!("the kernel does not tell this user who has it: {}", Code::from(errno));
            Err(format!("{asked}; no holder was seen, but {gap}"))
        }
    }
}

fn more_reasons(object: &Object) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let creator = object.creator_pid.filter(|&pid| pid > 0);
    if creator.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        && Path::new("/proc/self").exists()
    {
        reasons.push(Reason::CreatorGone);
    }
    let abandoned = match object.kind {
        ObjectKind::Segment => region::sysv::is_unfinished_mode(object.raw_mode),
        _ => {
            let hidden = object.name.as_ref().is_some_and(|name| name.as_bytes().starts_with(b"/.shmkit-"));
            region::is_marked_mode(object.raw_mode) || hidden
        }
    };
    if abandoned {
        reasons.push(Reason::Abandoned);
    }
    reasons
}

fn path(object: &Object) -> Option<CString> {
    let name = object.name.as_ref()?.as_bytes().strip_prefix(b"/")?;
    let prefix = if object.kind == ObjectKind::NamedSemaphore { SEMAPHORE } else { b"" };
    CString::new([b"/dev/shm/", prefix, name].concat()).ok()
}

fn open(object: &Object) -> sys::Result<OwnedFd> {
    let path = path(object).ok_or(Errno::EINVAL)?;
    file::open(&path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0)
}

/// Whether anybody else has the object open or mapped. The kernel tells its owner, and root.
fn is_open_anywhere(object: &Object) -> sys::Result<bool> {
    let fd = match open(object) {
        // Gone, so nobody's.
        Err(Errno::ENOENT) => return Ok(true),
        // Whoever leases it now looks whether it is used, or uses it.
        Err(Errno::EAGAIN) => return Ok(true),
        opened => opened?,
    };
    match is_same(object, &listing::stat_open(fd.as_fd())?) {
        true => Ok(!sole::is_sole(fd.as_fd())?),
        false => Ok(true),
    }
}

/// Whether it is the object that was listed, and nobody has written to it or changed it since.
fn is_same(object: &Object, now: &Stat) -> bool {
    is_of(object, now) && object.changed_ns == now.changed_ns
}

/// Whether it is the object that was listed, whatever was done to it.
fn is_of(object: &Object, now: &Stat) -> bool {
    let file = object.file.map(|file| (file.device, file.inode));
    file == Some((now.device, now.inode)) && object.born_ns == now.born_ns
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Look,
    Remove,
    RemoveInUse,
}

impl Leftover {
    /// Whether [`Leftover::remove`] would do it now: it looks at everything, and removes nothing.
    pub fn check(&self) -> Result<()> {
        self.act(Act::Look)
    }

    /// Removes the object if it still is the one that was listed, and nobody has it: EBUSY it is in use;
    /// EPERM another user's; ESTALE it was changed, or another one stands there; ENOENT it is gone.
    ///
    /// Between the last look and the removal is a moment. Who attaches or opens the object in it keeps its
    /// memory, and finds that it has no name any more.
    pub fn remove(&self) -> Result<()> {
        self.act(Act::Remove)
    }

    /// As [`Leftover::remove`], but also what somebody has: they keep its memory, and nobody else finds it. It
    /// may have been written to since it was listed.
    pub fn remove_in_use(&self) -> Result<()> {
        self.act(Act::RemoveInUse)
    }

    fn act(&self, act: Act) -> Result<()> {
        let object = &self.object;
        match object.kind {
            ObjectKind::Segment => self.act_on_segment(act),
            ObjectKind::Posix | ObjectKind::NamedSemaphore => self.act_on_file(act),
            _ => Err(Error::new(
                Errno::EINVAL,
                format!("cannot remove {object}: it has no name that keeps it"),
            )),
        }
    }

    fn refuse<T>(&self, errno: Errno, why: impl fmt::Display) -> Result<T> {
        Err(Error::new(errno, format!("cannot remove {}: {why}", self.object)))
    }

    fn own(&self, owner: u32) -> Result<()> {
        match sys::own_user() {
            own if own == owner => Ok(()),
            own => self.refuse(Errno::EPERM, format!("it belongs to user {owner}, and this is user {own}")),
        }
    }

    fn act_on_segment(&self, act: Act) -> Result<()> {
        let object = &self.object;
        let (Some(id), Some(creator)) = (object.id, object.creator) else {
            return self.refuse(Errno::EINVAL, "it was not listed");
        };
        let now = match segment::stat(id) {
            Err(Errno::EINVAL | Errno::EIDRM) => return self.refuse(Errno::ENOENT, "it is gone"),
            now => now.during(|| format!("cannot look at {object}"))?,
        };
        let key = sys::ipc_key(&now.shm_perm);
        let same = (Some(key), now.shm_perm.cuid, Some(now.shm_cpid), Some(now.shm_ctime))
            == (object.key, creator.uid, object.creator_pid, object.changed_at);
        if !same || Some(now.shm_segsz as u64) != object.size_bytes {
            return self.refuse(Errno::ESTALE, "it was changed since it was listed, or is another one");
        }
        if now.shm_nattch > 0 && act != Act::RemoveInUse {
            return self.refuse(Errno::EBUSY, format!("its attach count is {}", now.shm_nattch));
        }
        self.own(now.shm_perm.uid)?;
        if act != Act::Look {
            segment::remove(id).during(|| format!("cannot remove {object}"))?;
        }
        Ok(())
    }

    fn act_on_file(&self, act: Act) -> Result<()> {
        let object = &self.object;
        let tried = || format!("cannot remove {object}");
        let Some(path) = path(object) else { return self.refuse(Errno::EINVAL, "it has no name") };
        // Whoever removes a name by this library holds this lock: what stands there stays there meanwhile.
        let place = LockedName::lock(&path).during(|| format!("{}: its directory is locked", tried()))?;
        let now = match listing::stat_name(place.directory.as_fd(), &place.name) {
            Err(Errno::ENOENT) => return self.refuse(Errno::ENOENT, "it is gone"),
            now => now.during(tried)?,
        };
        let same = match act {
            Act::RemoveInUse => is_of(object, &now),
            _ => is_same(object, &now),
        };
        if !same {
            return self
                .refuse(Errno::ESTALE, "it was changed since it was listed, or another object stands there");
        }
        self.own(now.uid)?;
        if act != Act::RemoveInUse {
            self.unused()?;
        }
        if act != Act::Look {
            file::unlink_in(place.directory.as_fd(), &place.name).during(tried)?;
        }
        Ok(())
    }

    fn unused(&self) -> Result<()> {
        match is_open_anywhere(&self.object) {
            Ok(false) => Ok(()),
            Ok(true) => self.refuse(Errno::EBUSY, "somebody has it open or mapped"),
            // Its mode keeps it from its owner too, or the file system knows no leases.
            Err(errno) => self.unseen(errno),
        }
    }

    fn unseen(&self, errno: Errno) -> Result<()> {
        let seen = Survey::of(Select::POSIX | Select::HOLDERS);
        match by_processes(&self.object, &seen, errno) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.refuse(Errno::EBUSY, "a process has it open or mapped"),
            Err(why) => self.refuse(Errno::EBUSY, why),
        }
    }
}
