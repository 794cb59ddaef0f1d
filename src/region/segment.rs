//! Regions over System V segments: shmget(2), shmat(2).
#![forbid(unsafe_code)]

use std::ffi::{c_int, OsStr};
use std::time::Duration;

use super::mapping::Mapping;
use super::options::large_enough;
use super::reserve::{in_pool, no_such_pages, whole_huge_pages};
use super::sysv::{self, shown_key, Identity, Place};
use super::{creation, Backing, Flags, Kind, Options, Parts, Region};
use crate::error::{During, Error, Result, SHMKIT_E_COLLISION};
use crate::sys::{self, clock, limits, segment, Errno};

/// Two processes that create, find and remove the same key can keep each other from it for so long.
pub(crate) const ROUNDS: usize = 100;

impl Region {
    /// Creates a segment and attaches it. Key 0 (IPC_PRIVATE) always makes a new one.
    pub fn sysv_create(key: i32, size: usize, options: &Options) -> Result<Region> {
        creation::check(Kind::SysV, size, options, || format!("a System V segment of {}", shown_key(key)))?;
        no_failed_key(key)?;
        let make = |huge| create_on(huge, key, size, options);
        for _ in 0..ROUNDS {
            match options.flags.on_pages(creation::call(Kind::SysV), make, exists) {
                Err(error) if exists(&error) && options.flags.contains(Flags::OR_OPEN) => {}
                created => return created,
            }
            // Removed meanwhile: once more.
            match segment::get(key, size, 0) {
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(sysv::not_found(errno, shown_key(key), key, size as u64)),
                Ok(id) => match attach(id, None, options) {
                    Err(_) if gone(id) => continue,
                    attached => return attached,
                },
            }
        }
        Err(Error::new(
            Errno::EEXIST,
            format!("the System V key {key:#x} is created and removed all the time"),
        ))
    }

    /// Attaches all of the segment that has this key.
    pub fn sysv_attach(key: i32, options: &Options) -> Result<Region> {
        allow("shm_sysv_attach", options, Flags::empty())?;
        no_failed_key(key)?;
        if key == segment::IPC_PRIVATE {
            let message = "the System V key 0 (IPC_PRIVATE) names no segment: attach by id".to_string();
            return Err(Error::new(Errno::EINVAL, message));
        }
        let size_min = usize::try_from(options.size_min).unwrap_or(usize::MAX);
        let id = segment::get(key, size_min, 0)
            .map_err(|errno| sysv::not_found(errno, shown_key(key), key, options.size_min))?;
        attach(id, None, options)
    }

    /// Attaches all of the segment that has this id.
    pub fn sysv_attach_id(id: c_int, options: &Options) -> Result<Region> {
        allow("shm_sysv_attach_id", options, Flags::empty())?;
        attach(id, None, options)
    }

    /// Creates a segment under the key of a path, with the identity of the path behind its bytes.
    pub fn sysv_create_at(
        path: impl AsRef<OsStr>,
        project: c_int,
        size: usize,
        options: &Options,
    ) -> Result<Region> {
        allow("shm_sysv_create_at", options, Flags::OR_OPEN | Flags::NO_RESERVE)?;
        let place = Place::of(path.as_ref(), project)?;
        let or_open = options.flags.contains(Flags::OR_OPEN);
        let full =
            Identity::segment_size(size).ok_or_else(|| sysv::not_created(Errno::EINVAL, &place, size))?;
        let patience = clock::monotonic_ns() + Duration::from_secs(1).as_nanos() as i64;
        for _ in 0..ROUNDS {
            match get_new(place.key(), full, Identity::unfinished_mode(options.mode_or_default()), options) {
                Ok(id) => match finish_new(id, full, size, &place, options)? {
                    Some(region) => return Ok(region),
                    None => continue,
                },
                Err(Errno::EEXIST) if or_open => {}
                Err(errno) => return Err(sysv::not_created(errno, &place, size)),
            }
            let id = match segment::get(place.key(), 0, 0) {
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(sysv::not_found(errno, &place, place.key(), 0)),
                Ok(id) => id,
            };
            match wait_until_finished(id, patience) {
                Unfinished::No => {}
                Unfinished::Kept => return Err(unfinished(&place)),
                // Its creator died half way. Mode, use and creator tell that nobody's data is in it.
                Unfinished::Abandoned => match segment::remove(id) {
                    Ok(()) | Err(Errno::EINVAL | Errno::EIDRM) => continue,
                    Err(errno) => {
                        return Err(errno).during(|| format!("cannot remove the unfinished segment {id}"))
                    }
                },
            }
            match attach_placed(id, &place, options) {
                Err(_) if gone(id) => continue,
                Ok(region) if region.size() < size => {
                    let message = format!(
                        "the System V segment of {place} has {} bytes, and {size} were asked for",
                        region.size()
                    );
                    return Err(Error::new(Errno::EINVAL, message));
                }
                attached => return attached,
            }
        }
        Err(Error::new(
            Errno::EEXIST,
            format!("the System V segment of {place} is created and removed all the time"),
        ))
    }

    /// Attaches the segment that was created for this path and project.
    pub fn sysv_attach_at(path: impl AsRef<OsStr>, project: c_int, options: &Options) -> Result<Region> {
        allow("shm_sysv_attach_at", options, Flags::empty())?;
        let place = Place::of(path.as_ref(), project)?;
        let mut gone_all_the_time = sysv::not_found(Errno::ENOENT, &place, place.key(), 0);
        for _ in 0..ROUNDS {
            let id = segment::get(place.key(), 0, 0)
                .map_err(|errno| sysv::not_found(errno, &place, place.key(), 0))?;
            if segment::stat(id).is_ok_and(|stat| sysv::is_unfinished(&stat)) {
                return Err(unfinished(&place));
            }
            match attach_placed(id, &place, options) {
                Err(error) if gone(id) => gone_all_the_time = error,
                attached => return attached,
            }
        }
        Err(gone_all_the_time)
    }
}

fn allow(call: &str, options: &Options, more: Flags) -> Result<()> {
    options.allow(call, Flags::ANY | Flags::AUTO_REMOVE | more)?;
    options.without_seals(call)?;
    options.without_offset(call)
}

/// -1 is a valid key, and what ftok(3) answers when it fails: nobody means it.
pub(crate) fn no_failed_key(key: i32) -> Result<()> {
    if key == -1 {
        let message = "the System V key -1 is what ftok() returns when it fails: use shm_sysv_key";
        return Err(Error::new(Errno::EINVAL, message));
    }
    Ok(())
}

fn create_on(huge: Option<usize>, key: i32, size: usize, options: &Options) -> Result<Region> {
    let Some(page_size) = huge else {
        let id = get_new(key, size, options.mode_or_default(), options)
            .map_err(|errno| sysv::not_created(errno, shown_key(key), size))?;
        return attach_new(id, size, options);
    };
    let what = || format!("the System V segment of {} on huge pages of {page_size} bytes", shown_key(key));
    // Size 0 would be rounded to itself, and is the kernel's to refuse.
    let size = whole_huge_pages(size, page_size, what)?;
    let mode = options.mode_or_default() | segment::huge(page_size) as u32;
    let id = get_new(key, size, mode, options).map_err(|errno| match errno {
        Errno::EINVAL if size > 0 && limits::huge_pool(page_size).is_none() => {
            no_such_pages(&format!("cannot create {}", what()))
        }
        Errno::EPERM => Error::new(errno, format!("cannot create {}: {NO_RIGHT_TO_HUGE}", what())),
        Errno::ENOMEM => {
            in_pool(Error::new(errno, format!("cannot create {}: no memory", what())), page_size)
        }
        errno => sysv::not_created(errno, shown_key(key), size),
    })?;
    attach_new(id, size, options)
}

pub(crate) const NO_RIGHT_TO_HUGE: &str =
    "huge pages need CAP_IPC_LOCK, or the group of vm.hugetlb_shm_group";

fn exists(error: &Error) -> bool {
    error.errno() == Some(Errno::EEXIST as i32)
}

pub(super) fn get_new(key: i32, size: usize, mode: u32, options: &Options) -> crate::sys::Result<c_int> {
    let reserve = if options.flags.contains(Flags::NO_RESERVE) { segment::SHM_NORESERVE } else { 0 };
    segment::get(key, size, segment::IPC_CREAT | segment::IPC_EXCL | reserve | mode as c_int)
}

/// Attaches a new segment; one that cannot be attached is removed again.
fn attach_new(id: c_int, size: usize, options: &Options) -> Result<Region> {
    attach(id, Some(size), options).inspect_err(|_| {
        let _ = segment::remove(id);
    })
}

/// `new_size`: of a segment that the caller has just created.
fn attach(id: c_int, new_size: Option<usize>, options: &Options) -> Result<Region> {
    let (mapping, size) = Mapping::of_segment(id, new_size, options)
        .during(|| format!("cannot attach the System V segment {id}"))?;
    large_enough(size as u64, options, || format!("the System V segment {id}"))?;
    let parts = Parts {
        backing: Backing::SysV(id),
        size,
        page_size: mapping.page_size(),
        name: None,
        lease: None,
        created: new_size.is_some(),
        can_shrink: false,
    };
    let region = Region::finish(mapping, parts, *options)?;
    // Last: what fails leaves the segment as it was.
    if options.flags.contains(Flags::AUTO_REMOVE) {
        sysv::remove(id)?;
    }
    Ok(region)
}

/// Writes the identity into a new segment and opens it to others. None when it was removed meanwhile.
pub(super) fn finish_new(
    id: c_int,
    full: usize,
    size: usize,
    place: &Place,
    options: &Options,
) -> Result<Option<Region>> {
    // Attached for writing first, whatever the caller wants of it, and removed only once it is finished.
    let writable = Options { flags: Flags::empty(), ..*options };
    let finish = || {
        let region = attach(id, Some(full), &writable)?;
        Identity::store(&region, size, place)?;
        let stat = segment::stat(id).during(|| format!("cannot look at the System V segment {id}"))?;
        // The execute bits mean nothing here, and are the mark of the unfinished.
        segment::set(id, stat.shm_perm.uid, stat.shm_perm.gid, options.mode_or_default() & 0o666).during(
            || format!("cannot give the System V segment {id} mode {:#o}", options.mode_or_default()),
        )?;
        let mut region = attach(id, Some(full), options)?;
        *region.0.size.get_mut() = size;
        let stat = segment::stat(id).during(|| format!("cannot look at the System V segment {id}"))?;
        let removed = u32::from(stat.shm_perm.mode) & segment::SHM_DEST != 0;
        Ok((region, removed && !options.flags.contains(Flags::AUTO_REMOVE)))
    };
    match finish() {
        Ok((_, true)) => Ok(None),
        Ok((region, false)) => Ok(Some(region)),
        Err(_) if gone(id) => Ok(None),
        Err(error) => {
            let _ = segment::remove(id);
            Err(error)
        }
    }
}

pub(super) fn attach_placed(id: c_int, place: &Place, options: &Options) -> Result<Region> {
    // Whoever it belongs to: looked at before the options (AUTO_REMOVE) are done to it.
    let looking = Options { flags: Flags::READ_ONLY, size_min: 0, ..*options };
    let size = Identity::load(&attach(id, None, &looking)?, place).ok_or_else(|| {
        let message = format!("the System V segment under the key of {place} was not made for it");
        Error::own(SHMKIT_E_COLLISION, message)
    })?;
    large_enough(size as u64, options, || format!("the System V segment of {place}"))?;
    let mut region = attach(id, None, options)?;
    *region.0.size.get_mut() = size;
    Ok(region)
}

/// Whether the segment was removed between two calls of ours.
pub(super) fn gone(id: c_int) -> bool {
    matches!(segment::stat(id), Err(Errno::EINVAL | Errno::EIDRM))
}

pub(super) enum Unfinished {
    No,
    /// Somebody has it attached, its creator perhaps, who may be stopped; or it is another user's.
    Kept,
    Abandoned,
}

/// Waits for a creator that is half way: microseconds, unless it died or was stopped.
pub(super) fn wait_until_finished(id: c_int, patience: i64) -> Unfinished {
    loop {
        let over = clock::monotonic_ns() > patience;
        // One look decides, taken after the time was up.
        match segment::stat(id) {
            Ok(stat) if sysv::is_unfinished(&stat) => {
                if over && stat.shm_nattch == 0 && stat.shm_perm.cuid == sys::own_user() {
                    return Unfinished::Abandoned;
                } else if over {
                    return Unfinished::Kept;
                }
            }
            _ => return Unfinished::No,
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(super) fn unfinished(place: &Place) -> Error {
    let message = format!("the System V segment of {place} is not finished: its creator is at it, or died");
    Error::new(Errno::EAGAIN, message)
}
