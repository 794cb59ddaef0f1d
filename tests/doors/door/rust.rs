//! The Rust API.

use std::os::fd::{OwnedFd, RawFd};

use shmkit::handover::{self, Deadline};
use shmkit::region::{self, sysv, Policy};
use shmkit::{Advice, Code, Error, Region};

use super::*;

pub struct Rust;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { code: error.code().raw(), message: error.to_string() }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure { code: code.raw(), message: code.to_string() }
    }
}

pub(super) fn deadline(wait: Wait) -> Answer<Deadline> {
    Ok(match wait {
        None => Deadline::NEVER,
        Some(ns) => Deadline::at_ns(ns)?,
    })
}

impl Door for Rust {
    type Region = Region;

    fn create(name: &str, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::create(name, size, options)?)
    }
    fn from_fd(fd: RawFd, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::from_fd(&fd, size, options)?)
    }
    fn anon_create(size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::anon_create(size, options)?)
    }
    fn file_create(path: &str, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::file_create(path, size, options)?)
    }
    fn file_open(path: &str, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::file_open(path, size, options)?)
    }
    fn posix_create(name: &str, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::posix_create(name, size, options)?)
    }
    fn posix_open(name: &str, options: &Options) -> Answer<Region> {
        Ok(Region::posix_open(name, options)?)
    }
    fn posix_unlink(name: &str) -> Answer<()> {
        Ok(region::posix_unlink(name)?)
    }

    fn sysv_key(path: &str, project: i32) -> Answer<i32> {
        Ok(sysv::key(path, project)?)
    }
    fn sysv_create(key: i32, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::sysv_create(key, size, options)?)
    }
    fn sysv_attach(key: i32, options: &Options) -> Answer<Region> {
        Ok(Region::sysv_attach(key, options)?)
    }
    fn sysv_attach_id(id: i32, options: &Options) -> Answer<Region> {
        Ok(Region::sysv_attach_id(id, options)?)
    }
    fn sysv_create_at(path: &str, project: i32, size: usize, options: &Options) -> Answer<Region> {
        Ok(Region::sysv_create_at(path, project, size, options)?)
    }
    fn sysv_attach_at(path: &str, project: i32, options: &Options) -> Answer<Region> {
        Ok(Region::sysv_attach_at(path, project, options)?)
    }
    fn sysv_remove(id: i32) -> Answer<()> {
        Ok(sysv::remove(id)?)
    }
    fn sysv_stat(id: i32) -> Answer<Info> {
        let info = sysv::stat(id)?;
        Ok(Info {
            size_bytes: info.size_bytes,
            attach_count: info.attach_count,
            attached_at: info.attached_at,
            detached_at: info.detached_at,
            changed_at: info.changed_at,
            key: info.key,
            id: info.id,
            owner: (info.owner_uid, info.owner_gid),
            creator: (info.creator_uid, info.creator_gid),
            creator_pid: info.creator_pid,
            last_pid: info.last_pid,
            mode: info.mode,
            removed: info.removed,
            locked: info.locked,
        })
    }
    fn sysv_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()> {
        Ok(sysv::set_owner(id, Some(uid), Some(gid), mode)?)
    }
    fn sysv_lock(id: i32) -> Answer<()> {
        Ok(sysv::lock(id)?)
    }
    fn sysv_unlock(id: i32) -> Answer<()> {
        Ok(sysv::unlock(id)?)
    }

    fn listen(path: &str) -> Answer<OwnedFd> {
        Ok(handover::listen(path)?)
    }
    fn accept(listener: RawFd, wait: Wait) -> Answer<OwnedFd> {
        Ok(handover::accept(&listener, deadline(wait)?)?)
    }
    fn connect(path: &str, wait: Wait) -> Answer<OwnedFd> {
        Ok(handover::connect(path, deadline(wait)?)?)
    }
    fn peer(socket: RawFd) -> Answer<Peer> {
        let handover::Peer { pid, uid, gid, pidfd } = handover::peer(&socket)?;
        Ok(Peer { pid, uid, gid, pidfd })
    }
    fn send_fd(socket: RawFd, fd: RawFd, wait: Wait) -> Answer<()> {
        Ok(handover::send_fd(&socket, &fd, deadline(wait)?)?)
    }
    fn recv_fd(socket: RawFd, wait: Wait) -> Answer<OwnedFd> {
        Ok(handover::recv_fd(&socket, deadline(wait)?)?)
    }
    fn send_fds(socket: RawFd, fds: &[RawFd], payload: &[u8], wait: Wait) -> Answer<()> {
        Ok(handover::send_fds(&socket, fds, payload, deadline(wait)?)?)
    }
    fn recv_fds(socket: RawFd, count: usize, payload: &mut [u8], wait: Wait) -> Answer<Vec<OwnedFd>> {
        Ok(handover::recv_fds(&socket, count, payload, deadline(wait)?)?)
    }
    fn send_region(socket: RawFd, region: &Region, wait: Wait) -> Answer<()> {
        Ok(handover::send_region(&socket, region, deadline(wait)?)?)
    }
    fn recv_region(socket: RawFd, options: &Options, wait: Wait) -> Answer<Region> {
        Ok(handover::recv_region(&socket, options, deadline(wait)?)?)
    }

    fn guard_check() -> Answer<()> {
        Ok(region::guard_check()?)
    }
}

impl Handle for Region {
    fn data(&self) -> *mut u8 {
        self.as_ptr()
    }
    fn size(&self) -> usize {
        self.size()
    }
    fn size_max(&self) -> usize {
        self.size_max()
    }
    fn page_size(&self) -> usize {
        self.page_size()
    }
    fn kind(&self) -> i32 {
        self.kind() as i32
    }
    fn name(&self) -> Option<String> {
        self.name().map(|name| name.to_str().unwrap().to_string())
    }
    fn unlink(&self) -> Answer<()> {
        Ok(self.unlink()?)
    }
    fn fd(&self) -> Answer<RawFd> {
        Ok(self.fd()?)
    }
    fn sysv_id(&self) -> Answer<i32> {
        Ok(self.sysv_id()?)
    }
    fn created(&self) -> bool {
        self.created()
    }
    fn can_shrink(&self) -> bool {
        self.can_shrink()
    }
    fn read(&self, offset: usize, buffer: &mut [u8]) -> Answer<()> {
        Ok(self.read(offset, buffer)?)
    }
    fn write(&self, offset: usize, bytes: &[u8]) -> Answer<()> {
        Ok(self.write(offset, bytes)?)
    }
    fn at(&self, offset: usize, length: usize, alignment: usize) -> Answer<*mut u8> {
        Ok(self.locate(offset, length, alignment)?)
    }
    fn check(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.check(offset, length)?)
    }
    fn flush(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.flush(offset, length)?)
    }
    fn flush_async(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.flush_async(offset, length)?)
    }
    fn prefault(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.prefault(offset, length)?)
    }
    fn advise(&self, offset: usize, length: usize, advice: i32) -> Answer<()> {
        Ok(self.advise(offset, length, Advice::from_raw(advice)?)?)
    }
    fn lock(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.lock(offset, length)?)
    }
    fn unlock(&self, offset: usize, length: usize) -> Answer<()> {
        Ok(self.unlock(offset, length)?)
    }
    fn protect(&self, offset: usize, length: usize, rights: u32) -> Answer<()> {
        Ok(self.protect(offset, length, Rights::from_raw(rights)?)?)
    }
    fn place(&self, offset: usize, length: usize, policy: i32, nodes: &[i32]) -> Answer<()> {
        Ok(self.place(offset, length, Policy::from_raw(policy)?, nodes)?)
    }
    fn nodes(&self, offset: usize, length: usize) -> Answer<Vec<i32>> {
        Ok(self.nodes(offset, length)?)
    }
    fn seals(&self) -> Answer<u32> {
        Ok(self.seals()?.bits())
    }
    fn seal(&self, seals: u32) -> Answer<()> {
        Ok(self.seal(Seals::from_raw(seals)?)?)
    }
    fn grow(&self, size: usize) -> Answer<()> {
        Ok(self.grow(size)?)
    }
    fn follow(&self) -> Answer<bool> {
        Ok(self.follow()?)
    }
    fn publish_read_only(&self) -> Answer<()> {
        Ok(self.publish_read_only()?)
    }
    fn freeze(&self) -> Answer<()> {
        Ok(self.freeze()?)
    }
    fn guard_enable(&self) -> Answer<()> {
        Ok(self.guard_enable()?)
    }
    fn guard_begin(&self) -> Answer<()> {
        Ok(self.guard_begin()?)
    }
    fn guard_end(&self) -> Answer<()> {
        Ok(self.guard_end()?)
    }
    fn close(self) -> Answer<()> {
        Ok(self.close()?)
    }
}
