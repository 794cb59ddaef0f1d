//! What inspection found, as C sees it: structs made once, with their strings beside them.

use std::ffi::{c_char, c_int, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use super::inspect::{
    SHMKIT_GAP_ELSEWHERE, SHMKIT_GAP_HIDDEN, SHMKIT_GAP_MALFORMED, SHMKIT_GAP_PERMISSION,
    SHMKIT_GAP_PID_NAMESPACE, SHMKIT_GAP_UNFOLLOWED, SHMKIT_GAP_UNREADABLE, SHMKIT_KIND_NAMED_SEMAPHORE,
    SHMKIT_KIND_QUEUE, SHMKIT_KIND_SEMAPHORES, SHMKIT_REASON_ABANDONED, SHMKIT_REASON_CREATOR_GONE,
    SHMKIT_REASON_NOT_ATTACHED, SHMKIT_REASON_NOT_OPEN, SHMKIT_REASON_NO_HOLDER_SEEN, SHMKIT_UNIT_BYTES,
    SHMKIT_UNIT_COUNT, SHMKIT_UNIT_PAGES, SHMKIT_UNIT_SETTING,
};
use super::region::{
    SHMKIT_KIND_ANONYMOUS, SHMKIT_KIND_FILE, SHMKIT_KIND_MEMFD, SHMKIT_KIND_POSIX, SHMKIT_KIND_SYSV,
};
use crate::inspect::{
    Applies, By, Cause, FileSystem, Gap, Holder, Leftover, Leftovers, Limit, Limits, Object, ObjectKind,
    Reason, Residency, Survey, Trap, Unit, Value,
};

/// What a call of inspection has found, at one moment. Its strings live as long as it does.
pub struct shm_list {
    pub(super) limits: Vec<shm_limit>,
    pub(super) objects: Vec<shm_object>,
    /// Of each object.
    pub(super) holders: Vec<Vec<shm_holder>>,
    pub(super) gaps: Vec<shm_gap>,
    pub(super) leftovers: Vec<shm_leftover>,
    /// The same; those that were not decided have no reasons.
    pub(super) removable: Vec<Leftover>,
    pub(super) traps: Vec<shm_trap>,
    pub(super) runs: Vec<shm_run>,
    pub(super) file_systems: Vec<shm_file_system>,
    strings: Vec<CString>,
}

/// A limit that shared memory meets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_limit {
    /// The kernel's name: "kernel.shmmax", "RLIMIT_NOFILE", "hugepages-2048kB".
    pub name: *const c_char,
    /// Where it is set.
    pub source: *const c_char,
    /// The value where it is a word ("never"), or NULL.
    pub word: *const c_char,
    /// Why value is not known, or NULL.
    pub unknown: *const c_char,
    /// Why used is not known, or NULL.
    pub used_unknown: *const c_char,
    /// The value where it is a number; UINT64_MAX is no limit.
    pub value: u64,
    /// How much of it is in use, where has_used is 1; else 0.
    pub used: u64,
    /// SHMKIT_UNIT_…
    pub unit: u32,
    /// 1 when value is known, else 0.
    pub has_value: u32,
    /// 1: used is known, be it 0. 0 with used_unknown: something uses it up, and how much is not
    /// known. 0 without: nothing uses it up, so there is nothing to know.
    pub has_used: u32,
    /// 0.
    pub reserved: u32,
}

/// A shared object. A number that this kind does not have, or that could not be seen, has all bits
/// set: UINT64_MAX, UINT32_MAX, -1. Times are seconds since 1970.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_object {
    /// Any bytes: a POSIX name, a memfd's name, a file's path; or NULL.
    pub name: *const c_char,
    /// A file's.
    pub device: u64,
    pub inode: u64,
    /// A segment's or a file's size, a queue's bytes.
    pub size_bytes: u64,
    /// The memory, or disk, that it takes. A segment's does not count what is swapped, a file's does.
    pub used_bytes: u64,
    pub swapped_bytes: u64,
    /// A set's semaphores, a queue's messages.
    pub count: u64,
    /// A segment's mappings, counted by the kernel.
    pub attach_count: u64,
    /// Last attached, semop, sent to; a file's last reading.
    pub used_at: i64,
    /// Last detached, received from.
    pub left_at: i64,
    /// The last writing of a file.
    pub modified_at: i64,
    /// The last change of owner or rights, or of a file in any way.
    pub changed_at: i64,
    pub created_at: i64,
    /// SHMKIT_KIND_…
    pub kind: i32,
    /// System V.
    pub id: i32,
    /// System V. 0 (IPC_PRIVATE) is none: of private objects, of removed segments, and of kinds that
    /// have no keys. Every other number is a key, -1 too.
    pub key: i32,
    pub creator_pid: i32,
    /// Who attached, detached or sent last.
    pub last_pid: i32,
    /// Who received last.
    pub last_receiver_pid: i32,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    /// Permission bits, of a file with those for set-user-ID, set-group-ID and sticky: at most 07777.
    pub mode: u32,
    /// A memfd's: SHMKIT_SEAL_…
    pub seals: u32,
    /// 1 when no name or key leads to it, so that it goes with its last user: a removed segment, an
    /// unlinked file, and memfds and anonymous memory always. Else 0.
    pub unlinked: u32,
    /// 0.
    pub reserved: u32,
}

/// One way in which a process has an object: a descriptor, or a mapping.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_holder {
    /// The name of the process's command, at most 15 bytes: any but NUL.
    pub command: *const c_char,
    /// The mapping's first address, and its length; 0 for a descriptor.
    pub start: u64,
    pub length_bytes: u64,
    /// Where in the object the mapping begins.
    pub offset: u64,
    /// When the process started, in seconds since 1970, or -1.
    pub started_at: i64,
    /// The same in clock ticks since the machine's start: with the pid, it tells a process from
    /// every other one. 0 where it is not known.
    pub start_ticks: u64,
    pub pid: i32,
    /// The process's effective user; UINT32_MAX where it is not known.
    pub uid: u32,
    /// The descriptor's number; -1 for a mapping.
    pub descriptor: i32,
    /// What the descriptor was opened for, or the mapping allows: SHMKIT_RIGHTS_READ, _WRITE, both
    /// (_READ_WRITE), or _NONE.
    pub rights: u32,
    /// 1 for a shared mapping, 0 for a private one, or a descriptor.
    pub shared: u32,
    /// 0.
    pub reserved: u32,
}

/// Why there may be more than a list has.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_gap {
    /// One sentence.
    pub message: *const c_char,
    /// How many of what the message names; 0 where nobody can count them.
    pub count: u64,
    /// SHMKIT_GAP_…; more may be added.
    pub cause: u32,
    /// 0.
    pub reserved: u32,
}

/// What is known of an object of shm_leftovers_list beside the object itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_leftover {
    /// Why it is taken for a leftover, in words, or why that cannot be told.
    pub reason: *const c_char,
    /// The reasons one by one, SHMKIT_REASON_… together; 0 when it cannot be told.
    pub reasons: u32,
    /// 1 when nobody holds it; 0 when that cannot be told.
    pub decided: u32,
}

/// Something that surprises, and whether it does here.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_trap {
    /// Stable, for programs: "systemd-remove-ipc".
    pub name: *const c_char,
    /// What is found here, and what follows from it.
    pub sentence: *const c_char,
    pub remedy: *const c_char,
    /// 1 it applies, 0 it does not, -1 that cannot be told, and the sentence says why.
    pub applies: i32,
    /// 0.
    pub reserved: u32,
}

/// A range of pages that are all in memory, or all not.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_run {
    pub offset: u64,
    pub length_bytes: u64,
    /// 1 in memory, 0 not.
    pub resident: u32,
    /// 0.
    pub reserved: u32,
}

/// The file system that an object lies on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_file_system {
    /// "tmpfs", "ext4", …
    pub kind: *const c_char,
    /// NULL for the kernel's own, which nobody mounted.
    pub mount_point: *const c_char,
    /// "rw,noexec", …; empty where it is not mounted.
    pub options: *const c_char,
    /// UINT64_MAX: no limit of its own, for these three.
    pub size_bytes: u64,
    pub free_bytes: u64,
    /// How many more files fit.
    pub files_free: u64,
    /// 1 when what lies there lies in memory only, else 0.
    pub in_memory: u32,
    /// 0.
    pub reserved: u32,
}

impl shm_list {
    fn new() -> shm_list {
        shm_list {
            limits: Vec::new(),
            objects: Vec::new(),
            holders: Vec::new(),
            gaps: Vec::new(),
            leftovers: Vec::new(),
            removable: Vec::new(),
            traps: Vec::new(),
            runs: Vec::new(),
            file_systems: Vec::new(),
            strings: Vec::new(),
        }
    }

    /// A string that lives as long as the list. The kernel's names have no NUL in them.
    fn keep(&mut self, text: impl AsRef<OsStr>) -> *const c_char {
        let bytes = text.as_ref().as_bytes();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let string = CString::new(&bytes[..end]).expect("cut at the first NUL");
        self.strings.push(string);
        self.strings.last().map_or(null(), |string| string.as_ptr())
    }

    fn keep_if(&mut self, text: Option<impl AsRef<OsStr>>) -> *const c_char {
        text.map_or(null(), |text| self.keep(text))
    }

    fn limit(&mut self, limit: &Limit) {
        let word = match &limit.value {
            Ok(Value::Word(word)) => Some(word),
            _ => None,
        };
        let used = limit.used.as_ref().and_then(|used| used.as_ref().ok());
        let used_unknown = limit.used.as_ref().and_then(|used| used.as_ref().err());
        let limit = shm_limit {
            name: self.keep(&limit.name),
            source: self.keep(&limit.source),
            word: self.keep_if(word),
            unknown: self.keep_if(limit.value.as_ref().err().map(ToString::to_string)),
            used_unknown: self.keep_if(used_unknown.map(ToString::to_string)),
            value: limit.number().unwrap_or(0),
            used: used.copied().unwrap_or(0),
            unit: match limit.unit {
                Unit::Bytes => SHMKIT_UNIT_BYTES,
                Unit::Pages => SHMKIT_UNIT_PAGES,
                Unit::Count => SHMKIT_UNIT_COUNT,
                Unit::Setting => SHMKIT_UNIT_SETTING,
            },
            has_value: limit.value.is_ok().into(),
            has_used: used.is_some().into(),
            reserved: 0,
        };
        self.limits.push(limit);
    }

    fn object(&mut self, object: &Object) {
        const NONE: u64 = u64::MAX;
        let number = |value: Option<u64>| value.unwrap_or(NONE);
        let object = shm_object {
            name: self.keep_if(object.name.as_ref()),
            device: object.file.map_or(NONE, |file| file.device),
            inode: object.file.map_or(NONE, |file| file.inode),
            size_bytes: number(object.size_bytes),
            used_bytes: number(object.used_bytes),
            swapped_bytes: number(object.swapped_bytes),
            count: number(object.count),
            attach_count: number(object.attach_count),
            used_at: object.used_at.unwrap_or(-1),
            left_at: object.left_at.unwrap_or(-1),
            modified_at: object.modified_at.unwrap_or(-1),
            changed_at: object.changed_at.unwrap_or(-1),
            created_at: object.created_at.unwrap_or(-1),
            kind: kind(object.kind),
            id: object.id.unwrap_or(-1),
            key: object.key.unwrap_or(0),
            creator_pid: object.creator_pid.unwrap_or(-1),
            last_pid: object.last_pid.unwrap_or(-1),
            last_receiver_pid: object.last_receiver_pid.unwrap_or(-1),
            owner_uid: object.owner.map_or(u32::MAX, |owner| owner.uid),
            owner_gid: object.owner.map_or(u32::MAX, |owner| owner.gid),
            creator_uid: object.creator.map_or(u32::MAX, |owner| owner.uid),
            creator_gid: object.creator.map_or(u32::MAX, |owner| owner.gid),
            mode: object.mode.unwrap_or(u32::MAX),
            seals: object.seals.map_or(u32::MAX, |seals| seals.bits()),
            unlinked: object.unlinked.into(),
            reserved: 0,
        };
        self.objects.push(object);
    }

    fn holder(&mut self, survey: &Survey, commands: &[*const c_char], holder: &Holder) -> shm_holder {
        let process = survey.process(holder);
        let (descriptor, start, length_bytes, offset, shared) = match holder.by {
            By::Descriptor(number) => (number, 0, 0, 0, false),
            By::Mapping { start, length_bytes, offset, shared } => (-1, start, length_bytes, offset, shared),
        };
        shm_holder {
            command: commands[holder.process],
            start,
            length_bytes,
            offset,
            started_at: process.started_at.unwrap_or(-1),
            start_ticks: process.start_ticks.unwrap_or(0),
            pid: process.pid,
            uid: process.uid.unwrap_or(u32::MAX),
            descriptor,
            rights: holder.rights.bits(),
            shared: shared.into(),
            reserved: 0,
        }
    }

    fn gap(&mut self, gap: &Gap) {
        let message = self.keep(&gap.message);
        let cause = match gap.cause {
            Cause::Permission => SHMKIT_GAP_PERMISSION,
            Cause::Hidden => SHMKIT_GAP_HIDDEN,
            Cause::PidNamespace => SHMKIT_GAP_PID_NAMESPACE,
            Cause::Unreadable => SHMKIT_GAP_UNREADABLE,
            Cause::Malformed => SHMKIT_GAP_MALFORMED,
            Cause::Elsewhere => SHMKIT_GAP_ELSEWHERE,
            Cause::Unfollowed => SHMKIT_GAP_UNFOLLOWED,
        };
        self.gaps.push(shm_gap { message, count: gap.count, cause, reserved: 0 });
    }

    fn leftover(&mut self, object: &Object, reasons: &[Reason], reason: &str) {
        self.object(object);
        let reason = self.keep(reason);
        let bits = reasons.iter().fold(0, |bits, &reason| {
            bits | match reason {
                Reason::NotAttached => SHMKIT_REASON_NOT_ATTACHED,
                Reason::NotOpen => SHMKIT_REASON_NOT_OPEN,
                Reason::NoHolderSeen => SHMKIT_REASON_NO_HOLDER_SEEN,
                Reason::CreatorGone => SHMKIT_REASON_CREATOR_GONE,
                Reason::Abandoned => SHMKIT_REASON_ABANDONED,
            }
        });
        self.leftovers.push(shm_leftover { reason, reasons: bits, decided: (!reasons.is_empty()).into() });
    }
}

fn kind(kind: ObjectKind) -> c_int {
    match kind {
        ObjectKind::Segment => SHMKIT_KIND_SYSV,
        ObjectKind::Semaphores => SHMKIT_KIND_SEMAPHORES,
        ObjectKind::Queue => SHMKIT_KIND_QUEUE,
        ObjectKind::Posix => SHMKIT_KIND_POSIX,
        ObjectKind::NamedSemaphore => SHMKIT_KIND_NAMED_SEMAPHORE,
        ObjectKind::Memfd => SHMKIT_KIND_MEMFD,
        ObjectKind::Anonymous => SHMKIT_KIND_ANONYMOUS,
        ObjectKind::File => SHMKIT_KIND_FILE,
    }
}

impl From<Limits> for shm_list {
    fn from(limits: Limits) -> shm_list {
        let mut list = shm_list::new();
        limits.iter().for_each(|limit| list.limit(limit));
        list
    }
}

impl From<Survey> for shm_list {
    fn from(survey: Survey) -> shm_list {
        let mut list = shm_list::new();
        let commands: Vec<_> = survey.processes.iter().map(|process| list.keep(&process.command)).collect();
        for object in &survey.objects {
            list.object(object);
            let holders =
                object.holders.iter().map(|holder| list.holder(&survey, &commands, holder)).collect();
            list.holders.push(holders);
        }
        survey.gaps.iter().for_each(|gap| list.gap(gap));
        list
    }
}

impl From<Leftovers> for shm_list {
    fn from(all: Leftovers) -> shm_list {
        let mut list = shm_list::new();
        for left in &all.found {
            let reasons: Vec<_> = left.reasons.iter().map(ToString::to_string).collect();
            list.leftover(&left.object, &left.reasons, &reasons.join("; "));
        }
        all.undecided.iter().for_each(|(object, why)| list.leftover(object, &[], why));
        all.gaps.iter().for_each(|gap| list.gap(gap));
        let undecided = all.undecided.into_iter().map(|(object, _)| Leftover { object, reasons: Vec::new() });
        list.removable = all.found.into_iter().chain(undecided).collect();
        list
    }
}

impl From<Vec<Trap>> for shm_list {
    fn from(traps: Vec<Trap>) -> shm_list {
        let mut list = shm_list::new();
        for trap in traps {
            let trap = shm_trap {
                name: list.keep(trap.name),
                sentence: list.keep(&trap.sentence),
                remedy: list.keep(trap.remedy),
                applies: match trap.applies {
                    Applies::Yes => 1,
                    Applies::No => 0,
                    Applies::Unknown => -1,
                },
                reserved: 0,
            };
            list.traps.push(trap);
        }
        list
    }
}

impl From<Residency> for shm_list {
    fn from(residency: Residency) -> shm_list {
        let mut list = shm_list::new();
        list.runs.extend(residency.runs.iter().map(|run| shm_run {
            offset: run.offset_bytes,
            length_bytes: run.length_bytes,
            resident: run.resident.into(),
            reserved: 0,
        }));
        list
    }
}

impl From<FileSystem> for shm_list {
    fn from(system: FileSystem) -> shm_list {
        let mut list = shm_list::new();
        let system = shm_file_system {
            kind: list.keep(&system.kind),
            mount_point: list.keep_if(system.mount_point.as_ref()),
            options: list.keep(&system.options),
            size_bytes: system.size_bytes.unwrap_or(u64::MAX),
            free_bytes: system.free_bytes.unwrap_or(u64::MAX),
            files_free: system.files_free.unwrap_or(u64::MAX),
            in_memory: system.in_memory.into(),
            reserved: 0,
        };
        list.file_systems.push(system);
        list
    }
}
