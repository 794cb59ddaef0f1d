//! File systems and their room: statfs(2).
#![forbid(unsafe_code)]

use std::os::fd::BorrowedFd;

use nix::sys::statfs::{
    fstatfs, FsType, Statfs, BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, HUGETLBFS_MAGIC, NFS_SUPER_MAGIC,
    OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
};

use super::{uninterrupted, Result};

// nix lacks them, with musl or at all (linux/magic.h).
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// In bytes; no blocks at all means that the file system has no limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub kind: FsType,
    pub size: u64,
    /// For whoever has no privileges.
    pub free: u64,
    pub files: u64,
    pub files_free: u64,
}

impl Room {
    pub fn of(file: BorrowedFd<'_>) -> Result<Room> {
        uninterrupted(|| fstatfs(file)).map(Room::from)
    }

    /// Whether files in it lie in memory only.
    pub fn in_memory(&self) -> bool {
        [TMPFS_MAGIC, RAMFS_MAGIC, HUGETLBFS_MAGIC].contains(&self.kind)
    }

    /// Whether locks on its files are this kernel's alone: of others another machine or process may be asked.
    pub fn has_own_locks(&self) -> bool {
        self.in_memory() || [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC].contains(&self.kind)
    }

    /// The name that the kernel mounts it by, of those that we know by number.
    pub fn kind_name(&self) -> Option<&'static str> {
        Some(match self.kind {
            TMPFS_MAGIC => "tmpfs",
            HUGETLBFS_MAGIC => "hugetlbfs",
            RAMFS_MAGIC => "ramfs",
            EXT4_SUPER_MAGIC => "ext4",
            XFS_SUPER_MAGIC => "xfs",
            BTRFS_SUPER_MAGIC => "btrfs",
            OVERLAYFS_SUPER_MAGIC => "overlay",
            NFS_SUPER_MAGIC => "nfs",
            _ => return None,
        })
    }
}

impl From<Statfs> for Room {
    fn from(found: Statfs) -> Room {
        let bytes = |blocks: u64| blocks.saturating_mul(found.block_size() as u64);
        Room {
            kind: found.filesystem_type(),
            size: bytes(found.blocks()),
            free: bytes(found.blocks_available()),
            files: found.files(),
            files_free: found.files_free(),
        }
    }
}
