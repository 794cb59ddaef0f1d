//! The mappings of a process, asked one by one: PROCMAP_QUERY of ioctl(2) on /proc/PID/maps (Linux 6.11). The
//! kernel passes over all that has no file, and writes no text.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, Result};

/// `struct procmap_query` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device_major: u32,
    device_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

const _: () = assert!(size_of::<Query>() == 104);

/// `_IOWR('f', 17, struct procmap_query)`
const PROCMAP_QUERY: libc::Ioctl = libc::_IOWR::<Query>('f' as u32, 17);
/// The mapping at the address, or the next one behind it, of those with a file.
const COVERING_OR_NEXT: u64 = 0x10;
const WITH_FILE: u64 = 0x20;

/// A mapping of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub start: u64,
    pub end: u64,
    pub readable: bool,
    pub writable: bool,
    pub shared: bool,
    pub offset: u64,
    pub device: u64,
    pub inode: u64,
}

/// The first mapping of a file that ends behind `address`. `maps` is an open /proc/PID/maps. ENOTTY: this
/// kernel knows no such question.
pub(crate) fn next(maps: BorrowedFd<'_>, address: u64) -> Result<Option<Found>> {
    Ok(ask(maps, address, &mut [])?.map(|(found, _)| found))
}

/// The path behind the mapping at `address`, as it is, with " (deleted)" where it is.
pub(crate) fn path<'a>(maps: BorrowedFd<'_>, address: u64, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let length = ask(maps, address, buffer)?.map_or(0, |(_, length)| length);
    // The kernel counts the NUL.
    Ok(&buffer[..length.saturating_sub(1)])
}

fn ask(maps: BorrowedFd<'_>, address: u64, name: &mut [u8]) -> Result<Option<(Found, usize)>> {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        flags: COVERING_OR_NEXT | WITH_FILE,
        address,
        name_size: u32::try_from(name.len()).unwrap_or(u32::MAX),
        name: if name.is_empty() { 0 } else { name.as_mut_ptr() as u64 },
        ..Query::default()
    };
    // SAFETY (kernel): it fills the struct, and no more of the name than there is room for.
    match Errno::result(unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) }) {
        Ok(_) => {}
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    let has = |flag: u64| query.vma_flags & flag != 0;
    let found = Found {
        start: query.start,
        end: query.end,
        readable: has(1),
        writable: has(2),
        shared: has(8),
        offset: query.offset,
        device: libc::makedev(query.device_major, query.device_minor),
        inode: query.inode,
    };
    Ok(Some((found, (query.name_size as usize).min(name.len()))))
}
