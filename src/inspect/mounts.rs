//! The file system behind a region.
#![forbid(unsafe_code)]

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use super::maps::Mount;
use super::survey;
use super::text::lines;
use crate::error::{During, Result};
use crate::region::Region;
use crate::sys::filesystem::Room;
use crate::sys::listing::{self, Stat};
use crate::sys::mmap;

/// Where an object lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystem {
    /// "tmpfs", "ext4", …; "unknown" where neither the mounts nor its number tell.
    pub kind: String,
    /// None for the kernel's own, which nobody mounted: memfds, segments and anonymous memory lie there.
    pub mount_point: Option<OsString>,
    /// None: no limit of its own.
    pub size_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    /// How many more files fit; None: no limit of its own.
    pub files_free: Option<u64>,
    /// Whether what lies there lies in memory only.
    pub in_memory: bool,
    /// The mount's options, such as "rw,noexec"; empty where it is not mounted.
    pub options: OsString,
}

impl Region {
    /// The file system that the region's object lies on, with its free space.
    pub fn file_system(&self) -> Result<FileSystem> {
        match self.file() {
            Some(fd) => {
                of_file(fd).during(|| format!("cannot look at the file system of {}", self.describe()))
            }
            None => Ok(FileSystem {
                kind: if self.page_size() == mmap::page_size() { "tmpfs" } else { "hugetlbfs" }.to_string(),
                mount_point: None,
                size_bytes: None,
                free_bytes: None,
                files_free: None,
                in_memory: true,
                options: OsString::new(),
            }),
        }
    }
}

pub(super) fn of_file(fd: BorrowedFd<'_>) -> crate::sys::Result<FileSystem> {
    Ok(describe(&listing::stat_open(fd)?, Room::of(fd)?))
}

/// Of what a path leads to.
pub(super) fn at(path: &CStr) -> crate::sys::Result<FileSystem> {
    let place = crate::sys::file::open(path, crate::sys::file::OFlag::O_PATH, 0)?;
    of_file(place.as_fd())
}

fn describe(stat: &Stat, room: Room) -> FileSystem {
    let mount = mount_of(stat);
    let limited = |limit: u64, value: u64| (limit > 0).then_some(value);
    let kind = match (room.kind_name(), &mount) {
        (_, Some(mount)) => String::from_utf8_lossy(&mount.kind).into_owned(),
        (Some(name), None) => name.to_string(),
        (None, None) => "unknown".to_string(),
    };
    let (mount_point, options) = mount.map_or_else(Default::default, |mount| {
        (Some(OsString::from_vec(mount.point)), OsString::from_vec(mount.options))
    });
    FileSystem {
        kind,
        mount_point,
        size_bytes: limited(room.size, room.size),
        free_bytes: limited(room.size, room.free),
        files_free: limited(room.files, room.files_free),
        in_memory: room.in_memory(),
        options,
    }
}

/// The mount that a file was reached through.
pub(super) fn mount_of(stat: &Stat) -> Option<Mount> {
    mounts().into_iter().rev().find(|mount| match stat.mount {
        Some(id) => mount.id == id,
        None => mount.device == stat.device,
    })
}

/// What is mounted where this process sees it; nothing where /proc does not tell.
pub(super) fn mounts() -> Vec<Mount> {
    let mut text = Vec::new();
    let read =
        survey::place(c"/proc/self").and_then(|own| listing::read(own.as_fd(), c"mountinfo", &mut text));
    match read {
        Ok(()) => lines(&text).filter_map(Mount::parse).collect(),
        Err(_) => Vec::new(),
    }
}
