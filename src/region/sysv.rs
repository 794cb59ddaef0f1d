//! System V segments by id: keys, removal, what the kernel knows, and the identity that tells whose a
//! segment is.

use std::ffi::{c_int, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::over_memlock;
use super::{c_name, Region};
use crate::error::{shown, Code, During, Error, Result};
use crate::sys::{self, file, mmap, segment, Errno};

/// What the kernel knows of a segment. Times are seconds since 1970, 0 for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub size_bytes: u64,
    pub attach_count: u64,
    pub attached_at: i64,
    pub detached_at: i64,
    pub changed_at: i64,
    pub key: i32,
    pub id: c_int,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    pub creator_pid: i32,
    pub last_pid: i32,
    /// Permission bits.
    pub mode: u32,
    /// Marked removed: it goes with its last user.
    pub removed: bool,
    /// Kept in memory by [`lock`].
    pub locked: bool,
}

/// The key of a path and a project, as ftok(3) makes it.
pub fn key(path: impl AsRef<OsStr>, project: c_int) -> Result<i32> {
    Ok(Place::of(path.as_ref(), project)?.key())
}

/// Marks a segment removed: its key is free at once, its memory goes with its last user.
pub fn remove(id: c_int) -> Result<()> {
    segment::remove(id).during(|| format!("cannot remove the System V segment {id}"))
}

/// Reads what the kernel knows of a segment.
pub fn stat(id: c_int) -> Result<Info> {
    let stat = segment::stat(id).during(|| format!("cannot look at the System V segment {id}"))?;
    let mode = u32::from(stat.shm_perm.mode);
    Ok(Info {
        size_bytes: stat.shm_segsz as u64,
        attach_count: stat.shm_nattch,
        attached_at: stat.shm_atime,
        detached_at: stat.shm_dtime,
        changed_at: stat.shm_ctime,
        key: sys::ipc_key(&stat.shm_perm),
        id,
        owner_uid: stat.shm_perm.uid,
        owner_gid: stat.shm_perm.gid,
        creator_uid: stat.shm_perm.cuid,
        creator_gid: stat.shm_perm.cgid,
        creator_pid: stat.shm_cpid,
        last_pid: stat.shm_lpid,
        mode: mode & 0o777,
        removed: mode & segment::SHM_DEST != 0,
        locked: mode & segment::SHM_LOCKED != 0,
    })
}

/// Changes a segment's owner and permission bits. None leaves a user or group as it is now.
pub fn set_owner(id: c_int, uid: Option<u32>, gid: Option<u32>, mode: u32) -> Result<()> {
    if mode & !0o777 != 0 {
        return Err(Error::new(
            Errno::EINVAL,
            format!("mode {mode:#o} has more than permission bits (0777)"),
        ));
    }
    let (uid, gid) = match (uid, gid) {
        (Some(uid), Some(gid)) => (uid, gid),
        _ => {
            let now =
                segment::stat_whoever(id).during(|| format!("cannot look at the System V segment {id}"))?;
            (uid.unwrap_or(now.shm_perm.uid), gid.unwrap_or(now.shm_perm.gid))
        }
    };
    segment::set(id, uid, gid, mode)
        .during(|| format!("cannot give the System V segment {id} owner {uid}:{gid} and mode {mode:#o}"))
}

/// Keeps a segment's pages in memory, once they are touched.
pub fn lock(id: c_int) -> Result<()> {
    segment::lock(id)
        .map_err(|errno| over_memlock(errno, format!("cannot lock the System V segment {id} in memory")))
}

/// Ends [`lock`].
pub fn unlock(id: c_int) -> Result<()> {
    segment::unlock(id).during(|| format!("cannot unlock the System V segment {id}"))
}

/// Why a segment could not be created, with the limit that is reached.
pub(crate) fn not_created(errno: Errno, under: impl fmt::Display, size: usize) -> Error {
    let tried = format!("cannot create a System V segment of {size} bytes under {under}");
    let why = match errno {
        Errno::EINVAL if size == 0 => "a segment has at least 1 byte".to_string(),
        Errno::EINVAL => match segment::limits() {
            Ok(limits) => format!("shmmax is {} bytes (/proc/sys/kernel/shmmax)", limits.shmmax),
            Err(_) => Code::from(errno).to_string(),
        },
        Errno::ENOSPC => full(size),
        errno => Code::from(errno).to_string(),
    };
    Error::new(errno, format!("{tried}: {why}"))
}

/// "No space left on device" has misled many: it is a number of segments, or of pages.
fn full(size: usize) -> String {
    let (Ok(limits), Ok(used)) = (segment::limits(), segment::used()) else {
        return Code::from(Errno::ENOSPC).to_string();
    };
    let pages = (size as u64).div_ceil(mmap::page_size() as u64);
    if used.segments as u64 >= limits.shmmni {
        format!("{} segments exist, and shmmni is {} (/proc/sys/kernel/shmmni)", used.segments, limits.shmmni)
    } else {
        let (in_use, all) = (used.pages, limits.shmall);
        format!("{in_use} pages are in use, {pages} more are needed, and shmall is {all} pages (/proc/sys/kernel/shmall)")
    }
}

/// Why a segment could not be found.
pub(super) fn not_found(errno: Errno, under: impl fmt::Display, key: i32, size: u64) -> Error {
    let why = match errno {
        Errno::ENOENT => "there is none".to_string(),
        Errno::EINVAL => {
            let has = segment::get(key, 0, 0).and_then(segment::stat).map(|stat| stat.shm_segsz);
            match has {
                Ok(has) => format!("the segment has {has} bytes, and at least {size} were asked for"),
                Err(_) => format!("the segment has less than the {size} bytes that were asked for"),
            }
        }
        errno => Code::from(errno).to_string(),
    };
    Error::new(errno, format!("cannot find the System V segment of {under}: {why}"))
}

/// A key, as messages name it.
pub(crate) fn shown_key(key: i32) -> String {
    format!("key {key:#x}")
}

/// Whose a segment is: a path's and a project's, by what the kernel knows them by; or a name's.
pub(super) struct Place {
    shown: String,
    key: i32,
    magic: u64,
    words: [u64; 3],
    /// With what the region begins.
    label: Vec<u8>,
}

impl Place {
    pub(super) fn of(path: &OsStr, project: c_int) -> Result<Place> {
        let Ok(project) = u8::try_from(project) else {
            let message =
                format!("project {project} of a System V key is not in 0..=255: only 8 bits enter the key");
            return Err(Error::new(Errno::EINVAL, message));
        };
        let shown = shown(path.as_bytes());
        let stat = file::stat_path(&c_name(path, "path")?)
            .during(|| format!("cannot make a System V key of {shown}"))?;
        let place = Place {
            shown: format!("{shown} (project {project}"),
            key: path_key(stat.st_dev, stat.st_ino, project),
            magic: Identity::OF_PATH,
            words: [stat.st_dev, stat.st_ino, project.into()],
            label: Vec::new(),
        };
        if matches!(place.key(), segment::IPC_PRIVATE | -1) {
            let message = format!("{place} would have a key with another meaning: choose another project");
            return Err(Error::new(Errno::EINVAL, message));
        }
        Ok(place)
    }

    /// The place of a name at its first key, or at another one, where others have the first. The label is the
    /// name and zeros.
    pub(super) fn of_name(name: &[u8], label_size: usize, nth: u32) -> Place {
        let mut label = name.to_vec();
        label.resize(label_size, 0);
        let hash = fnv1a(name);
        Place {
            shown: format!("the name {} (", shown(name)),
            key: name_key(hash, nth),
            magic: Identity::OF_NAME,
            words: [hash, name.len() as u64, 0],
            label,
        }
    }

    pub(super) fn key(&self) -> i32 {
        self.key
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = if self.shown.ends_with('(') { "" } else { ", " };
        write!(f, "{}{comma}key {:#x})", self.shown, self.key)
    }
}

/// ftok(3): 8 bits of the project, 8 of the device, 16 of the inode.
fn path_key(device: u64, inode: u64, project: u8) -> i32 {
    (u32::from(project) << 24 | (device as u32 & 0xff) << 16 | inode as u32 & 0xffff) as i32
}

/// docs/layout.md
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// docs/layout.md
fn name_key(hash: u64, nth: u32) -> i32 {
    let mixed = hash.wrapping_add(nth.into()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match (mixed >> 32) as i32 {
        segment::IPC_PRIVATE | -1 => 1,
        key => key,
    }
}

/// The execute bits of an object whose creator is not done. The kernel ignores them, finished objects of
/// ours have none, and nobody else would set just these.
pub(crate) const UNFINISHED: u32 = 0o101;

/// What stands in the last 64 bytes of a segment that was created by path or by name; docs/layout.md.
///
/// | `ready` | meaning | written by | after a crash |
/// |---|---|---|---|
/// | 0 | being made | the kernel's zeros | the mode still has UNFINISHED: the next creator replaces it |
/// | READY | complete, never changes again | the creator, last, with release | stays |
#[repr(C)]
pub(super) struct Identity {
    magic: AtomicU64,
    version: AtomicU64,
    /// What the region shows of the segment, in bytes.
    size: AtomicU64,
    /// Device, inode and project; or the name's hash, its length, and 0.
    words: [AtomicU64; 3],
    reserved: AtomicU64,
    ready: AtomicU64,
}

const _: () = assert!(size_of::<Identity>() == 64 && std::mem::offset_of!(Identity, ready) == 56);

impl Identity {
    const OF_PATH: u64 = u64::from_le_bytes(*b"shmkitID");
    const OF_NAME: u64 = u64::from_le_bytes(*b"shmkitNM");
    const VERSION: u64 = 1;
    const READY: u64 = u64::from_le_bytes(*b"complete");

    /// The mode of such a segment: already open to those it will be open to, and to its creator.
    pub(super) fn unfinished_mode(mode: u32) -> u32 {
        mode & 0o666 | 0o600 | UNFINISHED
    }

    /// A segment's size that leaves room for the identity behind `size` bytes.
    pub(super) fn segment_size(size: usize) -> Option<usize> {
        let size = Some(size).filter(|&size| size > 0)?;
        size.checked_next_multiple_of(size_of::<Identity>())?.checked_add(size_of::<Identity>())
    }

    /// The identity at the end of a segment that is attached whole, if there is room for one.
    fn behind(region: &Region) -> Option<&Identity> {
        let at = region.size().checked_sub(size_of::<Identity>())?;
        if at % size_of::<Identity>() != 0 {
            return None;
        }
        // SAFETY (kernel): a segment cannot shrink, so these 64 bytes stay mapped while the region lives;
        // (protocol) they are atomics for everybody.
        Some(unsafe { &*region.as_ptr().wrapping_add(at).cast::<Identity>() })
    }

    pub(super) fn store(region: &Region, size: usize, place: &Place) -> Result<()> {
        region.write(0, &place.label)?;
        let identity = Identity::behind(region).expect("a segment of segment_size() has room");
        identity.magic.store(place.magic, Ordering::Relaxed);
        identity.version.store(Identity::VERSION, Ordering::Relaxed);
        identity.size.store(size as u64, Ordering::Relaxed);
        for (word, value) in identity.words.iter().zip(place.words) {
            word.store(value, Ordering::Relaxed);
        }
        identity.ready.store(Identity::READY, Ordering::Release);
        Ok(())
    }

    /// The size stored for this place; None where the segment is not its.
    pub(super) fn load(region: &Region, place: &Place) -> Option<usize> {
        let identity = Identity::behind(region)?;
        let ours = identity.ready.load(Ordering::Acquire) == Identity::READY
            && identity.magic.load(Ordering::Relaxed) == place.magic
            && identity.version.load(Ordering::Relaxed) == Identity::VERSION
            && identity.words.iter().map(|word| word.load(Ordering::Relaxed)).eq(place.words);
        let mut label = vec![0; place.label.len()];
        if !ours || region.read(0, &mut label).is_err() || label != place.label {
            return None;
        }
        let size = usize::try_from(identity.size.load(Ordering::Relaxed)).ok()?;
        (Identity::segment_size(size) == Some(region.size())).then_some(size)
    }
}

/// Whether a segment's creator is not done with it, or died before it was.
pub(super) fn is_unfinished(stat: &libc::shmid_ds) -> bool {
    is_unfinished_mode(stat.shm_perm.mode.into())
}

/// The same, by its mode alone.
pub(crate) fn is_unfinished_mode(mode: u32) -> bool {
    mode & 0o111 == UNFINISHED && mode & segment::SHM_DEST == 0
}
