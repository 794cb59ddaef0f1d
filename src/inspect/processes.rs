//! Who holds what: one pass over /proc, each process by a descriptor of its directory, so that none is taken for
//! another one that came after it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::gaps;
use super::maps::{without_deleted, Line};
use super::object::{By, FileId, Holder, Object, ObjectKind, Select};
use super::process::{boot_time, introduce};
use super::survey::{self, Survey};
use super::text::{lines, number, unescape};
use crate::error::{Code, Error, Result};
use crate::region::Rights;
use crate::sys::file::{self, OFlag};
use crate::sys::listing::{self, Stat};
use crate::sys::{procmap, Errno};

/// With its NUL.
const PATH_MAX: usize = 4096;

#[derive(Clone, Copy)]
pub(super) enum Only {
    /// All kinds that were selected.
    Wanted,
    /// One object.
    File(FileId),
}

pub(super) struct Walk<'a> {
    survey: &'a mut Survey,
    select: Select,
    only: Only,
    hidden: Vec<u64>,
    dev_shm: Option<u64>,
    by_file: HashMap<FileId, usize>,
    by_segment: HashMap<i32, usize>,
    own_ipc: Option<OsString>,
    boot_time: Option<i64>,
    /// Whether this kernel answers PROCMAP_QUERY, for all we know.
    may_ask: bool,
    denied: u64,
    /// What else kept processes from being looked at, and how many.
    failed: Vec<(Errno, u64)>,
    buffer: Vec<u8>,
    text: Vec<u8>,
}

/// The process that is looked at.
struct Current<'p> {
    pid: i32,
    /// Its directory fd. The others are reached from it: `..` is the same process's, and nothing once that has
    /// ended.
    fds: BorrowedFd<'p>,
    /// Its index, once it is known to hold something.
    known: Option<usize>,
    same_ipc: Option<bool>,
}

impl<'a> Walk<'a> {
    pub fn new(survey: &'a mut Survey, select: Select, only: Only) -> Walk<'a> {
        let (by_file, dev_shm) = (survey.by_file(), survey::own_device_of_dev_shm());
        let hidden = survey::hidden_devices();
        if let Err(errno) = hidden {
            gaps::tell_unknown_devices(survey, errno);
        }
        let segments = survey.objects.iter().enumerate().filter(|(_, it)| it.kind == ObjectKind::Segment);
        let by_segment = segments.filter_map(|(at, object)| Some((object.id?, at))).collect();
        let own_ipc = survey::place(c"/proc/self/ns").and_then(|ns| listing::link(ns.as_fd(), c"ipc")).ok();
        Walk {
            survey,
            select,
            only,
            hidden: hidden.unwrap_or_default(),
            dev_shm,
            by_file,
            by_segment,
            own_ipc,
            boot_time: None,
            may_ask: true,
            denied: 0,
            failed: Vec::new(),
            buffer: Vec::new(),
            text: Vec::new(),
        }
    }

    pub fn all(mut self) {
        let mut pids = Vec::new();
        let listed = file::open(c"/proc", OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0).and_then(|proc| {
            let mut push =
                |name: &CStr| pids.extend(number(name.to_bytes()).and_then(|pid| i32::try_from(pid).ok()));
            listing::list(proc.as_fd(), &mut self.buffer, &mut push)?;
            Ok(proc)
        });
        match listed {
            Ok(proc) => {
                for pid in pids {
                    match listing::open_directory(proc.as_fd(), &fds(pid)) {
                        Ok(fds) => self.process(pid, fds),
                        Err(errno) => self.unseen(errno),
                    }
                }
            }
            Err(errno) => self.survey.unreadable("/proc", errno),
        }
        gaps::tell_hidden(self.survey);
        gaps::tell_denied(self.survey, self.denied);
        self.failed.iter().for_each(|&(errno, count)| gaps::tell_failed(self.survey, errno, count));
        gaps::tell_unfollowed(self.survey);
        if self.select.contains(Select::MAPPINGS) {
            gaps::tell_elsewhere(self.survey);
        }
    }

    pub fn one(mut self, pid: i32) -> Result<()> {
        let refused = |errno: Errno| {
            Error::new(errno, format!("cannot look into process {pid}: {}", Code::from(errno)))
        };
        let place = survey::place(c"/proc").map_err(refused)?;
        let fds = listing::open_directory(place.as_fd(), &fds(pid)).map_err(|errno| match errno {
            Errno::ENOENT => refused(Errno::ESRCH),
            errno => refused(errno),
        })?;
        self.process(pid, fds);
        if self.denied > 0 {
            return Err(refused(Errno::EACCES));
        }
        if let Some(&(errno, _)) = self.failed.first() {
            return Err(refused(errno));
        }
        gaps::tell_unfollowed(self.survey);
        Ok(())
    }

    fn process(&mut self, pid: i32, fds: OwnedFd) {
        let mut current = Current { pid, fds: fds.as_fd(), known: None, same_ipc: None };
        if let Err(errno) = self.look_at(&mut current) {
            self.unseen(errno);
        }
    }

    fn look_at(&mut self, current: &mut Current<'_>) -> crate::sys::Result<()> {
        let ways = self.select.ways();
        let plain = match ways.contains(Select::DESCRIPTORS) {
            true => self.descriptors(current)?,
            false => Vec::new(),
        };
        if ways.contains(Select::MAPPINGS) {
            self.mappings(current)?;
        }
        // Those that lead to files which turned out to be mapped.
        for (name, stat) in plain {
            if self.by_file.contains_key(&FileId { device: stat.device, inode: stat.inode }) {
                self.descriptor(current, &name, &stat);
            }
        }
        Ok(())
    }

    fn unseen(&mut self, errno: Errno) {
        match errno {
            // It has ended, and holds nothing any more.
            Errno::ENOENT | Errno::ESRCH => {}
            Errno::EACCES | Errno::EPERM => self.denied += 1,
            errno => match self.failed.iter_mut().find(|(known, _)| *known == errno) {
                Some((_, count)) => *count += 1,
                None => self.failed.push((errno, 1)),
            },
        }
    }

    /// Answers the descriptors of other files, where files are wanted.
    fn descriptors(&mut self, current: &mut Current<'_>) -> crate::sys::Result<Vec<(CString, Stat)>> {
        let mut plain = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        let fds = current.fds;
        let listed = listing::list(fds, &mut buffer, |name| {
            let Some(stat) = listing::stat(fds, name).ok().filter(Stat::is_regular) else { return };
            if self.is_wanted(stat.device, stat.inode) {
                self.descriptor(current, name, &stat);
            } else if self.wants_files() {
                plain.push((name.to_owned(), stat));
            }
        });
        self.buffer = buffer;
        listed.map(|()| plain)
    }

    fn wants_files(&self) -> bool {
        self.select.contains(Select::FILES) && matches!(self.only, Only::Wanted)
    }

    fn is_wanted(&self, device: u64, inode: u64) -> bool {
        match self.only {
            Only::File(file) => file == FileId { device, inode },
            Only::Wanted => {
                self.hidden.contains(&device)
                    || match self.dev_shm {
                        Some(dev_shm) => dev_shm == device,
                        // Only what the directory lists.
                        None => self.by_file.contains_key(&FileId { device, inode }),
                    }
            }
        }
    }

    fn descriptor(&mut self, current: &mut Current<'_>, name: &CStr, stat: &Stat) {
        let (fds, file) = (current.fds, FileId { device: stat.device, inode: stat.inode });
        let Some(number) = number(name.to_bytes()) else { return };
        let at = match self.by_file.get(&file) {
            Some(&at) => Some(at),
            None => listing::link(fds, name).ok().and_then(|link| self.object(file, link.as_bytes())),
        };
        let Some(at) = at else { return };
        let object = &mut self.survey.objects[at];
        if object.mode.is_none() {
            survey::describe(object, stat);
        }
        if object.kind == ObjectKind::Memfd && object.seals.is_none() {
            object.seals = open_memfd(fds, name, stat).and_then(|fd| survey::seals(fd.as_fd()));
        }
        // The link's own mode says what the descriptor was opened for.
        let mode = listing::stat_name(fds, name).map_or(0, |link| link.mode);
        let mut rights = Rights::empty();
        rights.set(Rights::READ, mode & libc::S_IRUSR != 0);
        rights.set(Rights::WRITE, mode & libc::S_IWUSR != 0);
        let by = By::Descriptor(i32::try_from(number).unwrap_or(-1));
        self.hold(current, at, rights, by);
    }

    fn mappings(&mut self, current: &mut Current<'_>) -> crate::sys::Result<()> {
        let maps = listing::open(current.fds, c"../maps", OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
        if self.may_ask {
            match self.mappings_asked(current, maps.as_fd()) {
                // Before Linux 6.11, or filtered.
                Err(Errno::ENOTTY | Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => self.may_ask = false,
                asked => return asked,
            }
        }
        let mut text = std::mem::take(&mut self.text);
        let read = listing::read_open(maps.as_fd(), &mut text);
        if read.is_ok() {
            for line in lines(&text).filter_map(Line::parse) {
                self.mapping(current, &line);
            }
        }
        self.text = text;
        read
    }

    /// The same without any text, but for the paths of what is wanted.
    fn mappings_asked(&mut self, current: &mut Current<'_>, maps: BorrowedFd<'_>) -> crate::sys::Result<()> {
        let (mut path, mut from) = ([0; PATH_MAX], 0);
        while let Some(found) = procmap::next(maps, from)? {
            from = found.end;
            if !self.is_wanted_mapping(found.device, found.inode, found.shared) {
                continue;
            }
            let mut rights = Rights::empty();
            rights.set(Rights::READ, found.readable);
            rights.set(Rights::WRITE, found.writable);
            let path = match self.needs_path(found.device, found.inode) {
                false => &[],
                // Nobody can have it whole.
                true => procmap::path(maps, found.start, &mut path).or_else(|errno| match errno {
                    Errno::ENAMETOOLONG => Ok(&[][..]),
                    errno => Err(errno),
                })?,
            };
            let line = Line {
                start: found.start,
                end: found.end,
                rights,
                shared: found.shared,
                offset: found.offset,
                device: found.device,
                inode: found.inode,
                path,
                escaped: false,
            };
            self.mapping(current, &line);
        }
        Ok(())
    }

    /// The path of a file in the list tells nothing new. On the kernel's own file system, segments have inodes
    /// that are other objects' too: only the path tells them apart.
    fn needs_path(&self, device: u64, inode: u64) -> bool {
        self.hidden.contains(&device) || !self.by_file.contains_key(&FileId { device, inode })
    }

    fn is_wanted_mapping(&self, device: u64, inode: u64, shared: bool) -> bool {
        self.is_wanted(device, inode) || self.wants_files() && shared && inode != 0
    }

    fn mapping(&mut self, current: &mut Current<'_>, line: &Line<'_>) {
        let file = FileId { device: line.device, inode: line.inode };
        if !self.is_wanted_mapping(file.device, file.inode, line.shared) {
            return;
        }
        let at = match segment(line).filter(|_| self.hidden.contains(&line.device)) {
            Some(key) => self.segment(current, line, key),
            None => self.object(file, line.path),
        };
        let Some(at) = at else { return };
        if self.survey.objects[at].mode.is_none() && self.survey.objects[at].id.is_none() {
            self.follow(current, at, line);
        }
        let by = By::Mapping {
            start: line.start,
            length_bytes: line.end - line.start,
            offset: line.offset,
            shared: line.shared,
        };
        self.hold(current, at, line.rights, by);
    }

    /// The segment of a mapping, whose inode is the id: of our own IPC namespace, others have the same ids.
    fn segment(&mut self, current: &mut Current<'_>, line: &Line<'_>, key: i32) -> Option<usize> {
        let id = i32::try_from(line.inode).ok()?;
        let at = *self.by_segment.get(&id)?;
        let own = &self.own_ipc;
        let same = *current
            .same_ipc
            .get_or_insert_with(|| own.is_some() && listing::link(current.fds, c"../ns/ipc").ok() == *own);
        // A process can enter another namespace and keep what it has attached. A removed segment has no key.
        let object = &self.survey.objects[at];
        (same && (object.unlinked || object.key == Some(key))).then_some(at)
    }

    /// The place of a file's object in the list; a new one where it is of a kind that is wanted.
    fn object(&mut self, file: FileId, path: &[u8]) -> Option<usize> {
        if let Some(&at) = self.by_file.get(&file) {
            return Some(at);
        }
        let path = without_deleted(path);
        let (kind, name) = if self.hidden.contains(&file.device) {
            match path.strip_prefix(b"/memfd:") {
                Some(name) => (ObjectKind::Memfd, Some(name)),
                None if segment_name(path).is_some() => return None,
                None => (ObjectKind::Anonymous, None),
            }
        } else if self.dev_shm == Some(file.device) {
            // Removed, or moved to a directory below: a name there says nothing.
            let name = path.strip_prefix(b"/dev/shm/").unwrap_or(path);
            let kind = if name.starts_with(b"sem.") { ObjectKind::NamedSemaphore } else { ObjectKind::Posix };
            (kind, Some(name))
        } else {
            (ObjectKind::File, Some(path))
        };
        if !self.select.contains(kind.select()) {
            return None;
        }
        // Made without a name (O_TMPFILE): the kernel keeps calling it so, whatever name it has got since.
        let nameless = format!("/#{}", file.inode);
        let name = name.filter(|_| kind == ObjectKind::Memfd || !path.ends_with(nameless.as_bytes()));
        let mut object = Object::new(kind);
        object.file = Some(file);
        object.name = name.map(|name| match kind {
            ObjectKind::Posix | ObjectKind::NamedSemaphore => survey::posix_name(name),
            _ => OsStr::from_bytes(name).to_owned(),
        });
        let at = self.survey.objects.len();
        self.survey.objects.push(object);
        self.by_file.insert(file, at);
        Some(at)
    }

    /// What only a mapping leads to: /proc/PID/map_files has its name as it is, and, for those who may follow
    /// it, the file.
    fn follow(&mut self, current: &Current<'_>, at: usize, line: &Line<'_>) {
        let name =
            CString::new(format!("../map_files/{:x}-{:x}", line.start, line.end)).expect("no NUL in it");
        let object = &mut self.survey.objects[at];
        if line.escaped && line.path.contains(&b'\\') && object.name.is_some() {
            let raw = listing::link(current.fds, &name).map(OsString::into_vec);
            let raw = raw.unwrap_or_else(|_| unescape(line.path));
            let bare = without_deleted(&raw);
            object.name = Some(match object.kind {
                ObjectKind::Memfd => {
                    OsString::from_vec(bare.strip_prefix(b"/memfd:").unwrap_or(bare).to_vec())
                }
                ObjectKind::File => OsString::from_vec(bare.to_vec()),
                _ => survey::posix_name(bare.strip_prefix(b"/dev/shm/").unwrap_or(bare)),
            });
        }
        match listing::stat(current.fds, &name) {
            Ok(stat) if object.file == Some(FileId { device: stat.device, inode: stat.inode }) => {
                survey::describe(object, &stat);
                if object.kind == ObjectKind::Memfd {
                    object.seals =
                        open_memfd(current.fds, &name, &stat).and_then(|fd| survey::seals(fd.as_fd()));
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, current: &mut Current<'_>, at: usize, rights: Rights, by: By) {
        if !self.select.intersects(Select::HOLDERS) {
            return;
        }
        let process = match current.known {
            Some(process) => process,
            None => {
                let boot_time = *self.boot_time.get_or_insert_with(|| boot_time().unwrap_or(0));
                let process = introduce(current.pid, current.fds, boot_time);
                self.survey.processes.push(process);
                *current.known.insert(self.survey.processes.len() - 1)
            }
        };
        self.survey.objects[at].holders.push(Holder { process, rights, by });
    }
}

/// The name of a process's directory of descriptors, in /proc.
fn fds(pid: i32) -> CString {
    CString::new(format!("{pid}/fd")).expect("digits")
}

/// The key in the name of a segment's mapping, `/SYSV0000abcd (deleted)`.
fn segment(line: &Line<'_>) -> Option<i32> {
    segment_name(without_deleted(line.path))
}

fn segment_name(path: &[u8]) -> Option<i32> {
    let key = path.strip_prefix(b"/SYSV").filter(|key| key.len() == 8)?;
    super::text::hex(key).map(|key| key as u32 as i32)
}

/// Opens another process's memfd, once it is known to be one: opening anything else could have effects.
fn open_memfd(place: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Option<OwnedFd> {
    let bare = listing::open(place, name, OFlag::O_PATH).ok()?;
    let found = listing::stat_open(bare.as_fd()).ok()?;
    if (found.device, found.inode) != (stat.device, stat.inode) {
        return None;
    }
    file::reopen(bare.as_fd(), OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::region::{Flags, Options, Region};
    use crate::sys::memfd;

    /// What this process has of one name, or of one id, with and without PROCMAP_QUERY.
    fn both_ways(is: impl Fn(&Object) -> bool) -> [(Vec<Object>, Vec<Holder>); 2] {
        [true, false].map(|may_ask| {
            let mut survey = Survey::of(Select::SEGMENTS | Select::POSIX);
            let mut walk = Walk::new(&mut survey, Select::all(), Only::Wanted);
            walk.may_ask = may_ask;
            walk.one(std::process::id() as i32).unwrap();
            let found: Vec<Object> = survey.objects.into_iter().filter(|object| is(object)).collect();
            let holders = found.iter().flat_map(|object| object.holders.clone());
            let holders = holders.map(|holder| Holder { process: 0, ..holder }).collect();
            (found, holders)
        })
    }

    #[test]
    fn mappings_that_are_asked_for_are_those_of_the_text() {
        let name = CString::new(format!("two\nlines\\040 {}", std::process::id())).unwrap();
        let fd = memfd::create(&name, false, None).unwrap();
        file::resize(fd.as_fd(), 1 << 16).unwrap();
        let map = |flags, offset| {
            Region::from_fd(&fd, 4096, &Options { offset, ..Options::with_flags(flags) }).unwrap()
        };
        let _mapped = [map(Flags::READ_ONLY, 4096), map(Flags::empty(), 0), map(Flags::PRIVATE, 8192)];
        let is = |object: &Object| object.name.as_ref().is_some_and(|it| it.as_bytes() == name.to_bytes());
        let [(asked, by_asking), (text, by_text)] = both_ways(is);
        assert_eq!((asked.len(), text.len()), (1, 1));
        let is_mapping = |holder: &&Holder| matches!(holder.by, By::Mapping { .. });
        assert_eq!(by_asking.iter().filter(is_mapping).count(), 3, "{by_asking:?}");
        assert_eq!(by_asking, by_text);

        let options = Options::with_flags(Flags::AUTO_REMOVE);
        let segment = Region::sysv_create(0, 4096, &options).unwrap();
        let id = segment.sysv_id().unwrap();
        let [(_, by_asking), (_, by_text)] = both_ways(|object| object.id == Some(id));
        assert_eq!((by_asking.len(), by_asking), (1, by_text));
    }

    #[test]
    fn this_kernel_answers_as_its_version_says() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut parts = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap(), parts.next().unwrap());
        let maps = file::open(c"/proc/self/maps", OFlag::O_RDONLY, 0).unwrap();
        match procmap::next(maps.as_fd(), 0) {
            Ok(found) => assert!(found.is_some_and(|found| found.start < found.end && found.inode != 0)),
            Err(errno) => assert!(version < (6, 11), "{version:?}: {errno}"),
        }
    }

    #[test]
    fn keys_in_names_of_mappings() {
        assert_eq!(segment_name(b"/SYSVffffffff"), Some(-1));
        assert_eq!(segment_name(b"/SYSV0000abcd"), Some(0xabcd));
        for bad in [&b"/SYSV"[..], b"/SYSV0000abcg", b"/SYSV00000abcd", b"/memfd:/SYSV0000abcd"] {
            assert_eq!(segment_name(bad), None);
        }
    }
}
