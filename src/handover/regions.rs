//! A region's journey: what the sender may send, and what the receiver checks before it maps.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::frame::{self, Frame};
use super::message;
use super::Deadline;
use crate::error::{During, Error, Result, SHMKIT_E_NOT_REGION, SHMKIT_E_UNENFORCEABLE, SHMKIT_E_UNSEALED};
use crate::region::options::Object;
use crate::region::{descriptor, options, Flags, Kind, Options, Region, Rights, Seals};
use crate::sys::file::{self, OFlag};
use crate::sys::{mmap, Errno};

/// Hands a region to the process at the other end. The receiver gets the rights that the region has.
pub fn send_region(socket: &impl AsRawFd, region: &Region, deadline: Deadline) -> Result<()> {
    let refused =
        |errno, why: &str| Err(Error::new(errno, format!("cannot send {}: {why}", region.describe())));
    let flags = region.options().flags;
    let Some(fd) = region.file() else {
        return refused(Errno::EOPNOTSUPP, "this kind has no descriptor");
    };
    if flags.contains(Flags::PRIVATE) && region.rights().writable() {
        return refused(Errno::EOPNOTSUPP, "it is private, and nobody else can see what is written to it");
    }
    let seals = || descriptor::seals(fd).unwrap_or_default();
    let rights = |seals: Seals| match region.rights().writable() && !seals.intersects(Seals::READ_ONLY) {
        true => Rights::READ_WRITE,
        false => Rights::READ,
    };
    let noted = region.was_sent();
    let before = seals();
    // Who may not write may still truncate, unless that is sealed too.
    let enforced = before.intersects(Seals::READ_ONLY) && before.contains(Seals::SHRINK);
    if rights(before) == Rights::READ && !enforced && !flags.contains(Flags::RISK_REOPEN) {
        let message = format!(
            "cannot send {} read-only: its receiver could open it again for writing, or truncate it \
             (RISK_REOPEN allows it)",
            region.describe()
        );
        return Err(Error::own(SHMKIT_E_UNENFORCEABLE, message));
    }
    // Noted before the last look: publishing looks for it after it has sealed.
    let seals = if noted {
        before
    } else {
        region.note_sent(before);
        seals()
    };
    let growable = !seals.contains(Seals::GROW);
    let reserve = if growable && flags.contains(Flags::GROWABLE) { region.size_max() } else { 0 };
    let frame = Frame {
        kind: region.kind() as u32,
        size: region.size() as u64,
        offset: region.options().offset,
        rights: rights(seals),
        growable,
        reserve: reserve as u64,
    };
    message::send(socket.as_raw_fd(), &[fd.as_raw_fd()], &frame.encode(), deadline)
}

/// Receives a region, checks it against what the kernel says of it, and maps it.
pub fn recv_region(socket: &impl AsRawFd, options: &Options, deadline: Deadline) -> Result<Region> {
    const CALL: &str = "shm_recv_region";
    options.allow(CALL, (Flags::WITH_DESCRIPTOR - Flags::GROWABLE) | Flags::HUGE | Flags::RISK_SHRINK)?;
    options.without_seals(CALL)?;
    options.without_offset(CALL)?;
    let mut bytes = [0; frame::SIZE];
    let fds = message::receive(socket.as_raw_fd(), 1, &mut bytes, deadline)?;
    let fd = fds.into_iter().next().expect("receive() counted them");
    accept(fd, &Frame::decode(&bytes)?, options)
}

fn accept(fd: OwnedFd, frame: &Frame, options: &Options) -> Result<Region> {
    let refused = |why: String| Error::own(SHMKIT_E_NOT_REGION, format!("refused a region: {why}"));
    let what = || "the received region".to_string();
    let looked = || format!("cannot look at {}", what());

    let access = file::open_flags(fd.as_raw_fd()).during(looked)?;
    if access.contains(OFlag::O_PATH) {
        return Err(refused("its descriptor was opened with O_PATH".to_string()));
    }
    let enough = match access & OFlag::O_ACCMODE {
        OFlag::O_RDWR => true,
        OFlag::O_RDONLY => !frame.rights.writable(),
        _ => false,
    };
    if !enough {
        return Err(refused(
            "its descriptor was not opened with the rights that its frame claims".to_string(),
        ));
    }
    // Before the size: what is sealed now stays as it is then. And before anything that a file system of
    // another process's making could take its time to answer: those have no seals.
    let seals = descriptor::seals(fd.as_fd());
    let irregular = |mode| match file::irregular(mode) {
        Some(instead) => Err(refused(format!("its descriptor is {instead}"))),
        None => Ok(()),
    };
    if let Err(unsealed) = sealed_enough(seals, frame, options) {
        irregular(file::mode_without_asking(fd.as_fd()).during(looked)?)?;
        return Err(unsealed);
    }
    let to_write = frame.rights.writable() && !options.flags.intersects(Flags::READ_ONLY | Flags::PRIVATE);
    if to_write && seals.unwrap_or_default().intersects(Seals::READ_ONLY) {
        return Err(refused("its frame claims writing, and it is sealed against that".to_string()));
    }
    let stat = file::stat(fd.as_fd()).during(looked)?;
    irregular(stat.st_mode)?;
    let page_size = descriptor::page_size(fd.as_fd(), &stat, options, what)?;
    let object_size = stat.st_size as u64;
    if frame.offset % page_size as u64 != 0 {
        return Err(refused(format!(
            "its frame claims offset {}, which is no multiple of the page size",
            frame.offset
        )));
    }
    let holds = frame.offset.checked_add(frame.size).is_some_and(|end| end <= object_size);
    if frame.size == 0 || !holds {
        let (size, offset) = (frame.size, frame.offset);
        return Err(refused(format!(
            "its frame claims {size} bytes at offset {offset}, its descriptor has {object_size}"
        )));
    }
    if options.size_max != 0 && frame.size > options.size_max {
        let message =
            format!("refused a region of {} bytes: at most {} were allowed", frame.size, options.size_max);
        return Err(Error::new(Errno::EFBIG, message));
    }

    let mut options = Options { offset: frame.offset, ..*options };
    if frame.reserve != 0 {
        if options.size_max == 0 {
            let message = format!(
                "refused a region that grows up to {} bytes: size_max has to say how far it may here",
                frame.reserve
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        if page_size != mmap::page_size() {
            return Err(refused(
                "its frame claims that it grows, and huge pages stand behind it".to_string(),
            ));
        }
        if !options.flags.intersects(Flags::PRIVATE | Flags::MIRROR | Flags::LOCKED) {
            options.flags |= Flags::GROWABLE;
            options.size_max = options.size_max.min(frame.reserve);
        }
    }
    if !frame.rights.writable() {
        options.flags |= Flags::READ_ONLY;
    }
    let object = Object { size: object_size, page_size };
    let size = options::window(object, frame.size, &options, what)?;
    Region::over_descriptor(fd, seals, (size, page_size), &options, what)
}

/// Whether the seals keep everybody from shrinking the object, unless the caller takes that risk.
fn sealed_enough(seals: Option<Seals>, frame: &Frame, options: &Options) -> Result<()> {
    let seals = seals.unwrap_or_default();
    if options.flags.contains(Flags::RISK_SHRINK) {
        return Ok(());
    }
    if !seals.contains(Seals::SHRINK) {
        let why = if frame.kind == Kind::Memfd as u32 {
            ""
        } else {
            " (it is no memfd, which alone can be sealed)"
        };
        let message = format!("refused a region that others can shrink{why}: RISK_SHRINK allows it");
        return Err(Error::own(SHMKIT_E_UNSEALED, message));
    }
    if !seals.contains(Seals::GROW) && !frame.growable {
        let message = "refused a region: others can grow it, and its frame says that nobody can";
        return Err(Error::own(SHMKIT_E_NOT_REGION, message));
    }
    Ok(())
}
