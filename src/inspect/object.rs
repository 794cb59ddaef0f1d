//! What is found: objects, those who hold them, and what could not be seen.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::error::{shown, Error, Result};
use crate::region::{Rights, Seals};
use crate::sys::Errno;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A System V shared memory segment.
    Segment,
    /// A System V semaphore set.
    Semaphores,
    /// A System V message queue.
    Queue,
    /// A POSIX object of /dev/shm.
    Posix,
    /// A POSIX object that sem_open(3) made.
    NamedSemaphore,
    Memfd,
    /// Shared anonymous memory, which processes have by fork.
    Anonymous,
    /// A file that is mapped shared.
    File,
}

bitflags::bitflags! {
    /// What to look for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Select: u32 {
        const SEGMENTS = 1;
        const SEMAPHORES = 2;
        const QUEUES = 4;
        /// Named semaphores too.
        const POSIX = 8;
        /// By the descriptors and mappings of all processes.
        const MEMFDS = 16;
        const ANONYMOUS = 32;
        /// Files that are mapped shared, of one process: every program has some.
        const FILES = 64;
        /// Who has the objects open. Mappings alone are not looked at with this: nothing that those processes do
        /// has to wait, and what is only mapped is not found.
        const DESCRIPTORS = 128;
        /// Who has the objects mapped.
        const MAPPINGS = 256;
        /// Who has the objects, by descriptors and mappings.
        const HOLDERS = Select::DESCRIPTORS.bits() | Select::MAPPINGS.bits();
    }
}

impl Select {
    /// What a machine has, and who holds it.
    pub const MACHINE: Select = Select::all().difference(Select::FILES);
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<Select> {
        Select::from_bits(bits).ok_or_else(|| {
            let unknown = bits & !Select::all().bits();
            Error::new(Errno::EINVAL, format!("unknown bits {unknown:#x} of what to look for"))
        })
    }

    /// What of a process is looked at: without a wish both, for the objects that they lead to.
    pub(super) fn ways(self) -> Select {
        match self & Select::HOLDERS {
            none if none.is_empty() => Select::HOLDERS,
            ways => ways,
        }
    }

    pub(super) const SYSV: Select = Select::SEGMENTS.union(Select::SEMAPHORES).union(Select::QUEUES);
    /// What only the processes tell.
    pub(super) const FROM_PROCESSES: Select =
        Select::MEMFDS.union(Select::ANONYMOUS).union(Select::FILES).union(Select::HOLDERS);
}

impl ObjectKind {
    pub fn select(self) -> Select {
        match self {
            ObjectKind::Segment => Select::SEGMENTS,
            ObjectKind::Semaphores => Select::SEMAPHORES,
            ObjectKind::Queue => Select::QUEUES,
            ObjectKind::Posix | ObjectKind::NamedSemaphore => Select::POSIX,
            ObjectKind::Memfd => Select::MEMFDS,
            ObjectKind::Anonymous => Select::ANONYMOUS,
            ObjectKind::File => Select::FILES,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What tells a file from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// A shared object. None is what this kind does not have, or what could not be seen; then a [`Gap`] of
/// the survey says why. Times are seconds since 1970.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Object {
    pub kind: ObjectKind,
    /// Any bytes: a POSIX name with its slash, the name that a memfd was made with, a file's path. A file
    /// that was made before it had a name, as this library does, has none here.
    pub name: Option<OsString>,
    /// System V.
    pub id: Option<i32>,
    /// System V; 0 has none.
    pub key: Option<i32>,
    pub file: Option<FileId>,
    /// A segment's or a file's size, a queue's bytes.
    pub size_bytes: Option<u64>,
    /// The memory, or disk, that it takes. A segment's does not count what is swapped, a file's does.
    pub used_bytes: Option<u64>,
    /// A segment's.
    pub swapped_bytes: Option<u64>,
    /// A set's semaphores, a queue's messages.
    pub count: Option<u64>,
    /// A segment's mappings, counted by the kernel: also those that cannot be seen.
    pub attach_count: Option<u64>,
    pub owner: Option<Owner>,
    /// System V: who made it.
    pub creator: Option<Owner>,
    /// Permission bits, of a file also those for set-user-ID, set-group-ID and sticky: at most 07777.
    pub mode: Option<u32>,
    /// No name or key leads to it, so that it goes with its last user: a removed segment, an unlinked file, and
    /// memfds and anonymous memory always.
    pub unlinked: bool,
    /// The segment's; 0 is a process of another PID namespace.
    pub creator_pid: Option<i32>,
    /// Who attached, detached or sent last.
    pub last_pid: Option<i32>,
    /// Who received last.
    pub last_receiver_pid: Option<i32>,
    /// Last attached, semop, sent to; a file's last reading.
    pub used_at: Option<i64>,
    /// Last detached, received from.
    pub left_at: Option<i64>,
    /// The last writing of a file.
    pub modified_at: Option<i64>,
    /// The last change of owner or rights, or of a file in any way.
    pub changed_at: Option<i64>,
    pub created_at: Option<i64>,
    /// A memfd's.
    pub seals: Option<Seals>,
    pub holders: Vec<Holder>,
    /// With the bits that are no permissions.
    pub(super) raw_mode: u32,
    /// `changed_at`, exactly.
    pub(super) changed_ns: i64,
    pub(super) born_ns: Option<i64>,
}

impl Object {
    pub(super) fn new(kind: ObjectKind) -> Object {
        Object {
            kind,
            name: None,
            id: None,
            key: None,
            file: None,
            size_bytes: None,
            used_bytes: None,
            swapped_bytes: None,
            count: None,
            attach_count: None,
            owner: None,
            creator: None,
            mode: None,
            unlinked: false,
            creator_pid: None,
            last_pid: None,
            last_receiver_pid: None,
            used_at: None,
            left_at: None,
            modified_at: None,
            changed_at: None,
            created_at: None,
            seals: None,
            holders: Vec::new(),
            raw_mode: 0,
            changed_ns: 0,
            born_ns: None,
        }
    }
}

/// As messages name it: "the POSIX object '/frames'", "the System V segment 5 (key 0x1234)".
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ObjectKind::Segment => "the System V segment",
            ObjectKind::Semaphores => "the System V semaphore set",
            ObjectKind::Queue => "the System V queue",
            ObjectKind::Posix => "the POSIX object",
            ObjectKind::NamedSemaphore => "the named semaphore",
            ObjectKind::Memfd => "the memfd",
            ObjectKind::Anonymous => "anonymous memory",
            ObjectKind::File => "the file",
        };
        match (self.id, self.key, &self.name, self.file) {
            (Some(id), Some(key), ..) => write!(f, "{what} {id} (key {key:#x})"),
            (_, _, Some(name), _) => write!(f, "{what} {}", shown(name.as_bytes())),
            (_, _, _, Some(file)) => write!(f, "{what} of inode {}", file.inode),
            _ => f.write_str(what),
        }
    }
}

/// One way in which a process has an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its place in [`Survey::processes`](super::Survey::processes).
    pub process: usize,
    /// What the descriptor was opened for, or the mapping allows.
    pub rights: Rights,
    pub by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Descriptor(i32),
    Mapping {
        start: u64,
        length_bytes: u64,
        /// Where in the object it begins.
        offset: u64,
        /// Or private: it sees what others write, until it writes itself.
        shared: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// The name of its command, at most 15 bytes.
    pub command: OsString,
    /// Its effective user.
    pub uid: Option<u32>,
    /// Seconds since 1970.
    pub started_at: Option<i64>,
    /// Clock ticks since the machine's start: with the pid, what tells a process from every other one.
    pub start_ticks: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Processes of other users, that may not be looked into.
    Permission,
    /// /proc is mounted with hidepid.
    Hidden,
    /// Processes outside of this PID namespace are not in /proc.
    PidNamespace,
    /// A file or directory could not be read.
    Unreadable,
    /// Something was not in the form that the kernel is known to write.
    Malformed,
    /// Attachments that the kernel counts, and that no process was seen to have.
    Elsewhere,
    /// What is only mapped, and may not be followed: size, owner and seals are unknown.
    Unfollowed,
}

/// Why a survey may not be all there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub cause: Cause,
    /// How many of what the message names; 0 where nobody can count them.
    pub count: u64,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
