//! System V segments by a name of the library's own: memory that cannot shrink, and that any process finds.
//!
//! A name's key is a hash of it, so others may have it: then the name goes on to its next key, and so on. It is
//! looked for at all of them before it is made at the first that is free; and again once a segment is there,
//! unfinished still. So of two who make the same name at different keys (what was in between went away) at
//! least one sees the other: whoever has the later key withdraws, whoever has the earlier one waits until the
//! other has withdrawn or is finished, and then withdraws itself.
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::time::Duration;

use super::segment::{attach_placed, finish_new, get_new, gone, wait_until_finished, Unfinished, ROUNDS};
use super::sysv::{self, Identity, Place};
use super::{Options, Region};
use crate::error::{shown, Code, During, Error, Result, SHMKIT_E_COLLISION};
use crate::sys::{self, clock, segment, Errno};

/// The name stands in the region's first bytes.
pub(crate) const LABEL_SIZE: usize = 256;
const NAME_MAX: usize = LABEL_SIZE - 1;

/// How many keys a name has.
const KEYS: u32 = 8;

/// Another process is given so long to finish a segment.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a name is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameOptions {
    /// ENOENT where there is none.
    pub find: bool,
    /// Also what another user has made.
    pub any_owner: bool,
    /// Permission bits of a new one; 0 means 0600.
    pub mode: u32,
}

/// What a key has.
enum Seen {
    Nothing,
    /// Another's, or another name's.
    Foreign,
    Unfinished(c_int),
    Ours(Region),
}

fn checked(name: &[u8]) -> Result<&[u8]> {
    let (errno, why) = match name {
        [] => (Errno::EINVAL, "it is empty".to_string()),
        _ if name.len() > NAME_MAX => {
            (Errno::ENAMETOOLONG, format!("it has {} bytes, and {NAME_MAX} are allowed", name.len()))
        }
        _ if name.contains(&0) => (Errno::EINVAL, "a NUL is in it".to_string()),
        _ => return Ok(name),
    };
    Err(Error::new(errno, format!("{} is no name of a lock: {why}", shown(name))))
}

fn places(name: &[u8]) -> Vec<Place> {
    (0..KEYS).map(|nth| Place::of_name(name, LABEL_SIZE, nth)).collect()
}

/// Whether a segment is this user's, or root's: nobody else can have put what is in it.
fn check_owner(id: c_int, place: &Place, any_owner: bool) -> Result<()> {
    let stat = segment::stat(id).during(|| format!("cannot look at the segment of {place}"))?;
    let trusted = |uid| uid == sys::own_user() || uid == 0;
    let stranger = [stat.shm_perm.uid, stat.shm_perm.cuid].into_iter().find(|&uid| !trusted(uid));
    match stranger.filter(|_| !any_owner) {
        None => Ok(()),
        Some(uid) => {
            let message = format!("the segment {id} of {place} is user {uid}'s (NAMED_ANY_OWNER accepts it)");
            Err(Error::new(Errno::EPERM, message))
        }
    }
}

/// Looks at one key.
fn look(place: &Place, any_owner: bool, options: &Options) -> Result<Seen> {
    for _ in 0..ROUNDS {
        let id = match segment::get(place.key(), 0, 0) {
            Err(Errno::ENOENT) => return Ok(Seen::Nothing),
            Err(errno) => return Err(sysv::not_found(errno, place, place.key(), 0)),
            Ok(id) => id,
        };
        if segment::stat(id).is_ok_and(|stat| sysv::is_unfinished(&stat)) {
            return Ok(Seen::Unfinished(id));
        }
        // What is in it decides whether it is ours; whose it is, whether we believe that.
        match attach_placed(id, place, options) {
            Err(_) if gone(id) => continue,
            Err(error) if error.code().raw() == SHMKIT_E_COLLISION => return Ok(Seen::Foreign),
            Err(error) => {
                check_owner(id, place, any_owner)?;
                return Err(error);
            }
            Ok(region) => {
                check_owner(id, place, any_owner)?;
                return Ok(Seen::Ours(region));
            }
        }
    }
    Err(restless(place))
}

fn restless(place: &Place) -> Error {
    Error::new(Errno::EAGAIN, format!("the segment of {place} is created and removed all the time"))
}

/// Waits until it is finished, or is gone: then to be looked at again.
fn await_finished(id: c_int, place: &Place) -> Result<()> {
    let patience = clock::monotonic_ns() + PATIENCE.as_nanos() as i64;
    match wait_until_finished(id, patience) {
        Unfinished::No => Ok(()),
        Unfinished::Kept => {
            let message =
                format!("the segment {id} of {place} is not finished: its creator is at it, or died");
            Err(Error::new(Errno::EAGAIN, message))
        }
        // Its creator died half way. Should it be only slow, it will see that it was removed.
        Unfinished::Abandoned => match segment::remove(id) {
            Ok(()) | Err(Errno::EINVAL | Errno::EIDRM) => Ok(()),
            Err(errno) => Err(errno).during(|| format!("cannot remove the unfinished segment {id}")),
        },
    }
}

/// The region that has this name, which is made of zeros and `size` bytes behind the label where there is none.
pub(crate) fn open(name: &[u8], size: usize, how: &NameOptions) -> Result<Region> {
    let places = places(checked(name)?);
    let options = Options { mode: how.mode, ..Options::default() };
    options.allow("a name", super::Flags::empty())?;
    let full =
        Identity::segment_size(size).ok_or_else(|| Error::new(Errno::ENOMEM, format!("{size} bytes")))?;
    'again: for _ in 0..ROUNDS {
        let mut free = None;
        for (nth, place) in places.iter().enumerate() {
            match look(place, how.any_owner, &options)? {
                Seen::Ours(region) => return Ok(region),
                Seen::Nothing => free = free.or(Some(nth)),
                Seen::Foreign => {}
                Seen::Unfinished(id) => {
                    await_finished(id, place)?;
                    continue 'again;
                }
            }
        }
        if how.find {
            let message = format!("there is no {}", places[0]);
            return Err(Error::new(Errno::ENOENT, message));
        }
        let Some(nth) = free else {
            let message = format!("others have all {KEYS} keys of the name {}", shown(name));
            return Err(Error::own(SHMKIT_E_COLLISION, message));
        };
        let place = &places[nth];
        let id = match get_new(
            place.key(),
            full,
            Identity::unfinished_mode(options.mode_or_default()),
            &options,
        ) {
            Err(Errno::EEXIST) => continue,
            created => created.map_err(|errno| sysv::not_created(errno, place, size))?,
        };
        match is_alone(&places, nth, how.any_owner, &options) {
            Ok(true) => match finish_new(id, full, size, place, &options)? {
                Some(region) => return Ok(region),
                None => continue,
            },
            not_alone => {
                let _ = segment::remove(id);
                not_alone?;
            }
        }
    }
    Err(restless(&places[0]))
}

/// Whether nobody else makes, or has made, the name at another key than this one.
fn is_alone(places: &[Place], own: usize, any_owner: bool, options: &Options) -> Result<bool> {
    for (nth, place) in places.iter().enumerate().filter(|&(nth, _)| nth != own) {
        loop {
            match look(place, any_owner, options)? {
                Seen::Ours(_) => return Ok(false),
                Seen::Unfinished(_) if nth < own => return Ok(false),
                Seen::Unfinished(id) => await_finished(id, place)?,
                Seen::Nothing | Seen::Foreign => break,
            }
        }
    }
    Ok(true)
}

/// Takes a name away: whoever has it open keeps what it has, and the next who opens it makes another one.
pub(crate) fn unlink(name: &[u8]) -> Result<()> {
    let places = places(checked(name)?);
    let tried = || format!("cannot remove the name {}", shown(name));
    let mut removed = false;
    for place in &places {
        if let Seen::Ours(region) = look(place, false, &Options::with_flags(super::Flags::READ_ONLY))? {
            let id = region.sysv_id().expect("it is a segment");
            match segment::remove(id) {
                Ok(()) => removed = true,
                Err(Errno::EINVAL | Errno::EIDRM) => {}
                Err(errno) => return Err(errno).during(tried),
            }
        }
    }
    match removed {
        true => Ok(()),
        false => {
            let message = format!("{}: {}", tried(), Code::from(Errno::ENOENT));
            Err(Error::new(Errno::ENOENT, message))
        }
    }
}
