//! The library's verbs, and the two doors that lead to them.

mod c;
pub mod ipc;
mod rust;

pub use c::C;
pub use rust::Rust;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

pub use shmkit::capi::*;
pub use shmkit::error::{
    SHMKIT_E_COLLISION, SHMKIT_E_NOT_REGION, SHMKIT_E_ON_DISK, SHMKIT_E_SHRUNK, SHMKIT_E_UNENFORCEABLE,
    SHMKIT_E_UNGUARDED, SHMKIT_E_UNSEALED, SHMKIT_E_VERSION,
};
pub use shmkit::{Flags, Options, Rights, Seals};

/// What a call answers: with the code that both doors share, and the sentence.
pub type Answer<T> = Result<T, Failure>;

#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

/// Until when a call may wait: for ever, by the short name, or a time for its twin `…_until`.
pub type Wait = Option<i64>;

/// What the kernel knows of a segment, as both doors tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub size_bytes: u64,
    pub attach_count: u64,
    pub attached_at: i64,
    pub detached_at: i64,
    pub changed_at: i64,
    pub key: i32,
    pub id: i32,
    pub owner: (u32, u32),
    pub creator: (u32, u32),
    pub creator_pid: i32,
    pub last_pid: i32,
    pub mode: u32,
    pub removed: bool,
    pub locked: bool,
}

pub struct Peer {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    pub pidfd: Option<OwnedFd>,
}

/// A way into the library.
pub trait Door {
    type Region: Handle + Sync;

    fn create(name: &str, size: usize, options: &Options) -> Answer<Self::Region>;
    fn from_fd(fd: RawFd, size: usize, options: &Options) -> Answer<Self::Region>;
    fn anon_create(size: usize, options: &Options) -> Answer<Self::Region>;
    fn file_create(path: &str, size: usize, options: &Options) -> Answer<Self::Region>;
    fn file_open(path: &str, size: usize, options: &Options) -> Answer<Self::Region>;
    fn posix_create(name: &str, size: usize, options: &Options) -> Answer<Self::Region>;
    fn posix_open(name: &str, options: &Options) -> Answer<Self::Region>;
    fn posix_unlink(name: &str) -> Answer<()>;

    fn sysv_key(path: &str, project: i32) -> Answer<i32>;
    fn sysv_create(key: i32, size: usize, options: &Options) -> Answer<Self::Region>;
    fn sysv_attach(key: i32, options: &Options) -> Answer<Self::Region>;
    fn sysv_attach_id(id: i32, options: &Options) -> Answer<Self::Region>;
    fn sysv_create_at(path: &str, project: i32, size: usize, options: &Options) -> Answer<Self::Region>;
    fn sysv_attach_at(path: &str, project: i32, options: &Options) -> Answer<Self::Region>;
    fn sysv_remove(id: i32) -> Answer<()>;
    fn sysv_stat(id: i32) -> Answer<Info>;
    fn sysv_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()>;
    fn sysv_lock(id: i32) -> Answer<()>;
    fn sysv_unlock(id: i32) -> Answer<()>;

    fn listen(path: &str) -> Answer<OwnedFd>;
    fn accept(listener: RawFd, wait: Wait) -> Answer<OwnedFd>;
    fn connect(path: &str, wait: Wait) -> Answer<OwnedFd>;
    fn peer(socket: RawFd) -> Answer<Peer>;
    fn send_fd(socket: RawFd, fd: RawFd, wait: Wait) -> Answer<()>;
    fn recv_fd(socket: RawFd, wait: Wait) -> Answer<OwnedFd>;
    fn send_fds(socket: RawFd, fds: &[RawFd], payload: &[u8], wait: Wait) -> Answer<()>;
    fn recv_fds(socket: RawFd, count: usize, payload: &mut [u8], wait: Wait) -> Answer<Vec<OwnedFd>>;
    fn send_region(socket: RawFd, region: &Self::Region, wait: Wait) -> Answer<()>;
    fn recv_region(socket: RawFd, options: &Options, wait: Wait) -> Answer<Self::Region>;

    fn guard_check() -> Answer<()>;
}

/// A region; dropping it closes it.
pub trait Handle {
    fn data(&self) -> *mut u8;
    fn size(&self) -> usize;
    fn size_max(&self) -> usize;
    fn page_size(&self) -> usize;
    fn kind(&self) -> i32;
    fn name(&self) -> Option<String>;
    fn unlink(&self) -> Answer<()>;
    fn fd(&self) -> Answer<RawFd>;
    fn sysv_id(&self) -> Answer<i32>;
    /// With OR_OPEN: whether the call created.
    fn created(&self) -> bool;
    fn can_shrink(&self) -> bool;
    fn read(&self, offset: usize, buffer: &mut [u8]) -> Answer<()>;
    fn write(&self, offset: usize, bytes: &[u8]) -> Answer<()>;
    fn at(&self, offset: usize, length: usize, alignment: usize) -> Answer<*mut u8>;
    fn check(&self, offset: usize, length: usize) -> Answer<()>;
    fn flush(&self, offset: usize, length: usize) -> Answer<()>;
    fn flush_async(&self, offset: usize, length: usize) -> Answer<()>;
    fn prefault(&self, offset: usize, length: usize) -> Answer<()>;
    fn advise(&self, offset: usize, length: usize, advice: i32) -> Answer<()>;
    fn lock(&self, offset: usize, length: usize) -> Answer<()>;
    fn unlock(&self, offset: usize, length: usize) -> Answer<()>;
    fn protect(&self, offset: usize, length: usize, rights: u32) -> Answer<()>;
    fn place(&self, offset: usize, length: usize, policy: i32, nodes: &[i32]) -> Answer<()>;
    fn nodes(&self, offset: usize, length: usize) -> Answer<Vec<i32>>;
    fn seals(&self) -> Answer<u32>;
    fn seal(&self, seals: u32) -> Answer<()>;
    fn grow(&self, size: usize) -> Answer<()>;
    fn follow(&self) -> Answer<bool>;
    fn publish_read_only(&self) -> Answer<()>;
    fn freeze(&self) -> Answer<()>;
    fn guard_enable(&self) -> Answer<()>;
    fn guard_begin(&self) -> Answer<()>;
    fn guard_end(&self) -> Answer<()>;
    fn close(self) -> Answer<()>;

    /// So many bytes at an offset.
    fn bytes(&self, offset: usize, length: usize) -> Answer<Vec<u8>> {
        let mut buffer = vec![0xee; length];
        self.read(offset, &mut buffer).map(|()| buffer)
    }
}

pub fn with(flags: Flags) -> Options {
    Options::with_flags(flags)
}

/// A region that can grow so far.
pub fn growing(size_max: usize) -> Options {
    Options { size_max: size_max as u64, ..with(Flags::GROWABLE) }
}

pub fn plain() -> Options {
    Options::default()
}

/// A descriptor's number as messages tell it.
pub fn number(fd: &impl AsRawFd) -> String {
    format!("descriptor {}", fd.as_raw_fd())
}

/// Holds a failure against the code it should have, and what its sentence should name.
#[track_caller]
pub fn refused<T>(answer: Answer<T>, code: i32, names: &[&str]) {
    let Err(failure) = answer else { panic!("success, and not {}", code_name(code)) };
    assert_eq!(
        failure.code,
        code,
        "{}, and not {}: {}",
        code_name(failure.code),
        code_name(code),
        failure.message
    );
    for name in names {
        assert!(failure.message.contains(name), "'{name}' is missing in: {}", failure.message);
    }
}

/// [`refused`] with an errno.
#[track_caller]
pub fn fails<T>(answer: Answer<T>, errno: i32, names: &[&str]) {
    refused(answer, -errno, names);
}

fn code_name(code: i32) -> String {
    format!("{:?}", shmkit::Code::from_raw(code))
}
