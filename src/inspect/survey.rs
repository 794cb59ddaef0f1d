//! What objects there are: one pass over what the kernel lists, and one over the processes where they are
//! needed. Nothing fails as a whole: what cannot be seen is a gap.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use super::mounts::mount_of;
use super::object::{Cause, FileId, Gap, Holder, Object, ObjectKind, Owner, Process, Select};
use super::processes::{Only, Walk};
use super::sysvipc;
use crate::error::{Code, Error, Result};
use crate::region::{Region, Seals};
use crate::sys::listing::{self, Stat};
use crate::sys::{file, memfd, Errno};

const DEV_SHM: &CStr = c"/dev/shm";
/// How sem_open(3) names its objects.
pub(super) const SEMAPHORE: &[u8] = b"sem.";

/// Shared objects, and who holds them: a picture that is taken while everything goes on.
#[derive(Debug, Default)]
pub struct Survey {
    pub objects: Vec<Object>,
    /// Those who hold something.
    pub processes: Vec<Process>,
    /// Why there may be more.
    pub gaps: Vec<Gap>,
}

impl Survey {
    /// Looks at the machine, as far as this process may see it.
    pub fn of(select: Select) -> Survey {
        let mut survey = Survey::default();
        survey.list(select);
        if select.intersects(Select::FROM_PROCESSES) {
            let select = select.difference(Select::FILES);
            Walk::new(&mut survey, select, Only::Wanted).all();
        }
        survey
    }

    /// What one process holds. ESRCH: there is none; EACCES: it may not be looked into.
    pub fn of_process(pid: i32, select: Select) -> Result<Survey> {
        let mut survey = Survey::default();
        survey.list(select.intersection(Select::SYSV | Select::POSIX));
        let select = select | select.ways();
        Walk::new(&mut survey, select, Only::Wanted).one(pid)?;
        survey.objects.retain(|object| !object.holders.is_empty());
        Ok(survey)
    }

    /// A region's object alone, and who holds it: by [`Select::HOLDERS`], or by one of its two ways.
    pub fn of_region(region: &Region, ways: Select) -> Result<Survey> {
        let ways = only_ways(ways)?;
        let mut survey = Survey::default();
        if let Ok(id) = region.sysv_id() {
            survey.list(Select::SEGMENTS);
            survey.objects.retain(|object| object.id == Some(id));
            Walk::new(&mut survey, ways | Select::SEGMENTS, Only::Wanted).all();
            return Ok(survey);
        }
        let mut survey = survey.of_inode(super::usage::file_behind(region)?, ways);
        for object in &mut survey.objects {
            object.name = object.name.take().or_else(|| region.name().map(OsStr::to_owned));
        }
        Ok(survey)
    }

    /// The object behind a descriptor alone, and who holds it: by [`Select::HOLDERS`], or by one of its two ways.
    pub fn of_file(fd: BorrowedFd<'_>, ways: Select) -> Result<Survey> {
        let ways = only_ways(ways)?;
        let stat = listing::stat_open(fd).map_err(|errno| {
            Error::new(errno, format!("cannot look at the descriptor: {}", Code::from(errno)))
        })?;
        Ok(Survey::default().of_inode(FileId { device: stat.device, inode: stat.inode }, ways))
    }

    fn of_inode(mut self, file: FileId, ways: Select) -> Survey {
        if place(DEV_SHM)
            .and_then(|place| listing::stat_open(place.as_fd()))
            .is_ok_and(|it| it.device == file.device)
        {
            // The directory knows its name.
            self.list(Select::POSIX);
            self.objects.retain(|object| object.file == Some(file));
        }
        Walk::new(&mut self, (Select::all() - Select::HOLDERS) | ways, Only::File(file)).all();
        self
    }

    /// Whether everything that was asked for could be seen.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Who a holder is.
    pub fn process(&self, holder: &Holder) -> &Process {
        &self.processes[holder.process]
    }

    fn list(&mut self, select: Select) {
        for (kind, name) in sysvipc::FILES {
            if select.contains(kind.select()) {
                self.list_sysv(kind, name);
            }
        }
        if select.contains(Select::POSIX) {
            self.list_posix();
        }
    }

    fn list_sysv(&mut self, kind: ObjectKind, name: &CStr) {
        let mut text = Vec::new();
        let read = place(c"/proc/sysvipc").and_then(|place| listing::read(place.as_fd(), name, &mut text));
        let path = format!("/proc/sysvipc/{}", name.to_string_lossy());
        match read {
            Ok(()) => {
                let bad = sysvipc::parse(kind, &text, &mut self.objects);
                if bad > 0 {
                    let message = format!("{bad} lines of {path} are not as the kernel writes them");
                    self.gap(Cause::Malformed, bad, message);
                }
            }
            Err(errno) => self.unreadable(&path, errno),
        }
    }

    fn list_posix(&mut self) {
        let listed = listed(DEV_SHM).and_then(|directory| {
            listing::list(directory.as_fd(), &mut Vec::new(), |name| {
                // Gone by now: it was no object when we looked.
                let Ok(stat) = listing::stat_name(directory.as_fd(), name) else { return };
                if stat.is_regular() {
                    self.objects.push(posix(name.to_bytes(), &stat));
                }
            })
        });
        match listed {
            Ok(()) => {}
            // Nobody can make one.
            Err(Errno::ENOENT) => {}
            Err(errno) => self.unreadable("/dev/shm", errno),
        }
    }

    pub(super) fn unreadable(&mut self, path: &str, errno: Errno) {
        let message = format!("cannot read {path}: {}", Code::from(errno));
        self.gap(Cause::Unreadable, 1, message);
    }

    pub(super) fn gap(&mut self, cause: Cause, count: u64, message: String) {
        self.gaps.push(Gap { cause, count, message });
    }

    /// Where the objects that are files stand in the list.
    pub(super) fn by_file(&self) -> HashMap<FileId, usize> {
        let files = self.objects.iter().enumerate();
        files.filter_map(|(at, object)| Some((object.file?, at))).collect()
    }
}

/// Both ways in which a process holds something, or one.
fn only_ways(select: Select) -> Result<Select> {
    match select - Select::HOLDERS {
        none if none.is_empty() => Ok(select.ways()),
        other => {
            let bits = other.bits();
            let message =
                format!("bits {bits:#x} select objects, and here they are DESCRIPTORS and MAPPINGS alone");
            Err(Error::new(Errno::EINVAL, message))
        }
    }
}

/// The device of /dev/shm, if nothing else lies on it: it is where a memory file system is mounted, whole, and
/// no directory of a larger one, or of a disk.
pub(super) fn own_device_of_dev_shm() -> Option<u64> {
    let stat = |path: &CStr| place(path).and_then(|place| listing::stat_open(place.as_fd())).ok();
    let own = stat(DEV_SHM)?;
    let mount = mount_of(&own).filter(|mount| [&b"tmpfs"[..], b"ramfs"].contains(&&mount.kind[..]))?;
    let top = stat(&CString::new(mount.point).ok()?)?;
    (mount.root == b"/" && (top.device, top.inode) == (own.device, own.inode)).then_some(own.device)
}

pub(super) fn place(path: &CStr) -> crate::sys::Result<OwnedFd> {
    file::open(path, file::OFlag::O_PATH | file::OFlag::O_DIRECTORY, 0)
}

fn listed(path: &CStr) -> crate::sys::Result<OwnedFd> {
    file::open(path, file::OFlag::O_RDONLY | file::OFlag::O_DIRECTORY, 0)
}

fn posix(name: &[u8], stat: &Stat) -> Object {
    let kind = match name.strip_prefix(SEMAPHORE) {
        Some(_) => ObjectKind::NamedSemaphore,
        None => ObjectKind::Posix,
    };
    let mut object = of_stat(kind, stat);
    object.name = Some(posix_name(name));
    object
}

/// The name of the object in /dev/shm, of sem_open(3) where it made it.
pub(super) fn posix_name(name: &[u8]) -> OsString {
    let name = name.strip_prefix(SEMAPHORE).unwrap_or(name);
    let mut slashed = Vec::with_capacity(1 + name.len());
    slashed.push(b'/');
    slashed.extend_from_slice(name);
    OsString::from_vec(slashed)
}

pub(super) fn of_stat(kind: ObjectKind, stat: &Stat) -> Object {
    let mut object = Object::new(kind);
    object.file = Some(FileId { device: stat.device, inode: stat.inode });
    describe(&mut object, stat);
    object
}

/// What a file's inode tells.
pub(super) fn describe(object: &mut Object, stat: &Stat) {
    let seconds = |ns: i64| ns.div_euclid(1_000_000_000);
    object.size_bytes = Some(stat.size);
    object.used_bytes = Some(stat.used);
    object.owner = Some(Owner { uid: stat.uid, gid: stat.gid });
    object.mode = Some(stat.mode & 0o7777);
    object.raw_mode = stat.mode;
    object.unlinked = stat.links == 0;
    object.used_at = Some(seconds(stat.accessed_ns));
    object.modified_at = Some(seconds(stat.modified_ns));
    object.changed_at = Some(seconds(stat.changed_ns));
    object.created_at = stat.born_ns.map(seconds);
    (object.changed_ns, object.born_ns) = (stat.changed_ns, stat.born_ns);
}

/// The devices of the kernel's own file systems: memfds, segments and anonymous memory lie there, and nothing
/// else that has such a name. Known by making one.
pub(super) fn hidden_devices() -> crate::sys::Result<Vec<u64>> {
    let device = |huge| {
        let fd = memfd::create(c"shmkit-inspect", false, huge)?;
        Ok(listing::stat_open(fd.as_fd())?.device)
    };
    let mut devices = vec![device(None)?];
    // Where the machine has such pages.
    devices.extend([2 << 20, 1 << 30].into_iter().filter_map(|huge| device(Some(huge)).ok()));
    Ok(devices)
}

/// What is sealed of the memfd behind a descriptor.
pub(super) fn seals(fd: BorrowedFd<'_>) -> Option<Seals> {
    memfd::seals(fd).ok().map(Seals::from_bits_retain)
}
