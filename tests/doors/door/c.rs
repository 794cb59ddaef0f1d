//! The C ABI, with raw pointers, and with what the header promises of every call: outputs are written only
//! on success, shm_error only on failure, and its code is the result.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::{size_of, zeroed, MaybeUninit};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

use super::*;
use crate::support::c;

pub struct C;

pub struct CRegion {
    region: *mut shm_region,
    created: bool,
}

// SAFETY: the header's promise: every call from any thread, but for closing.
unsafe impl Sync for CRegion {}

impl Drop for CRegion {
    fn drop(&mut self) {
        assert_eq!(unsafe { shm_region_close(self.region) }, 0);
    }
}

const UNTOUCHED: u8 = 0xa5;

/// Calls with a shm_error.
pub(super) fn explained(call: impl FnOnce(*mut shm_error) -> c_int) -> Answer<c_int> {
    let mut error = MaybeUninit::<shm_error>::uninit();
    unsafe { error.as_mut_ptr().cast::<u8>().write_bytes(UNTOUCHED, size_of::<shm_error>()) };
    let code = call(error.as_mut_ptr());
    let error = unsafe { error.assume_init() };
    if code >= 0 {
        assert_eq!(error.code, i32::from_ne_bytes([UNTOUCHED; 4]), "shm_error was filled on success");
        return Ok(code);
    }
    assert_eq!(error.code, code, "the code in shm_error is not the result");
    let bytes = error.message.map(|byte| byte as u8);
    let message = CStr::from_bytes_until_nul(&bytes).expect("a message that ends").to_str().expect("UTF-8");
    assert!(!message.is_empty(), "no message for {code}");
    Err(Failure { code, message: message.to_string() })
}

/// Calls with a place for the result, which must stay as it is on failure.
pub(super) fn gives<T: Copy + PartialEq + std::fmt::Debug>(
    before: T,
    call: impl FnOnce(*mut T, *mut shm_error) -> c_int,
) -> Answer<(c_int, T)> {
    let mut out = before;
    let answer = explained(|error| call(&mut out, error));
    if answer.is_err() {
        assert_eq!(out, before, "the output was written on failure");
    }
    answer.map(|code| (code, out))
}

fn gives_fd(call: impl FnOnce(*mut c_int, *mut shm_error) -> c_int) -> Answer<OwnedFd> {
    let (code, fd) = gives(-77, call)?;
    assert_eq!(code, 0);
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn opens(call: impl FnOnce(*mut *mut shm_region, *mut shm_error) -> c_int) -> Answer<CRegion> {
    let nobody = std::ptr::dangling_mut();
    let (code, region) = gives(nobody, call)?;
    assert_eq!(code, 0);
    assert!(region != nobody && !region.is_null());
    Ok(CRegion { region, created: false })
}

/// A call that tells with OR_OPEN whether it created.
fn creates(
    options: &Options,
    call: impl FnOnce(*mut *mut shm_region, *mut shm_error) -> c_int,
) -> Answer<CRegion> {
    let mut told = 0;
    let mut region = opens(|out, error| {
        told = call(out, error);
        told.min(0)
    })?;
    assert!(told == 0 || (told == 1 && options.flags.contains(Flags::OR_OPEN)), "{told}");
    region.created = told == 1;
    Ok(region)
}

fn raw(options: &Options) -> shm_region_options {
    shm_region_options {
        size: size_of::<shm_region_options>() as u32,
        flags: options.flags.bits(),
        mode: options.mode,
        seals: match options.seals {
            None => 0,
            Some(seals) if seals.is_empty() => SHMKIT_SEAL_NONE,
            Some(seals) => seals.bits(),
        },
        offset: options.offset,
        size_min: options.size_min,
        size_max: options.size_max,
    }
}

/// A code alone, with the words for it.
fn coded(code: c_int) -> Answer<c_int> {
    if code >= 0 {
        return Ok(code);
    }
    let text = unsafe { CStr::from_ptr(shm_strerror(code)) };
    Err(Failure { code, message: text.to_str().unwrap().to_string() })
}

pub(super) fn done(answer: Answer<c_int>) -> Answer<()> {
    answer.map(|code| assert_eq!(code, 0))
}

impl Door for C {
    type Region = CRegion;

    fn create(name: &str, size: usize, options: &Options) -> Answer<CRegion> {
        let (name, options) = (c(name), raw(options));
        opens(|out, error| unsafe { shm_region_create(name.as_ptr(), size, &options, out, error) })
    }
    fn from_fd(fd: RawFd, size: usize, options: &Options) -> Answer<CRegion> {
        let options = raw(options);
        opens(|out, error| unsafe { shm_region_from_fd(fd, size, &options, out, error) })
    }
    fn anon_create(size: usize, options: &Options) -> Answer<CRegion> {
        let options = raw(options);
        opens(|out, error| unsafe { shm_anon_create(size, &options, out, error) })
    }
    fn file_create(path: &str, size: usize, options: &Options) -> Answer<CRegion> {
        let (path, asked) = (c(path), raw(options));
        creates(options, |out, error| unsafe { shm_file_create(path.as_ptr(), size, &asked, out, error) })
    }
    fn file_open(path: &str, size: usize, options: &Options) -> Answer<CRegion> {
        let (path, options) = (c(path), raw(options));
        opens(|out, error| unsafe { shm_file_open(path.as_ptr(), size, &options, out, error) })
    }
    fn posix_create(name: &str, size: usize, options: &Options) -> Answer<CRegion> {
        let (name, asked) = (c(name), raw(options));
        creates(options, |out, error| unsafe { shm_posix_create(name.as_ptr(), size, &asked, out, error) })
    }
    fn posix_open(name: &str, options: &Options) -> Answer<CRegion> {
        let (name, options) = (c(name), raw(options));
        opens(|out, error| unsafe { shm_posix_open(name.as_ptr(), &options, out, error) })
    }
    fn posix_unlink(name: &str) -> Answer<()> {
        let name = c(name);
        done(explained(|error| unsafe { shm_posix_unlink(name.as_ptr(), error) }))
    }

    fn sysv_key(path: &str, project: i32) -> Answer<i32> {
        let path = c(path);
        gives(0x77, |out, error| unsafe { shm_sysv_key(path.as_ptr(), project, out, error) })
            .map(|(_, key)| key)
    }
    fn sysv_create(key: i32, size: usize, options: &Options) -> Answer<CRegion> {
        let asked = raw(options);
        creates(options, |out, error| unsafe { shm_sysv_create(key, size, &asked, out, error) })
    }
    fn sysv_attach(key: i32, options: &Options) -> Answer<CRegion> {
        let options = raw(options);
        opens(|out, error| unsafe { shm_sysv_attach(key, &options, out, error) })
    }
    fn sysv_attach_id(id: i32, options: &Options) -> Answer<CRegion> {
        let options = raw(options);
        opens(|out, error| unsafe { shm_sysv_attach_id(id, &options, out, error) })
    }
    fn sysv_create_at(path: &str, project: i32, size: usize, options: &Options) -> Answer<CRegion> {
        let (path, asked) = (c(path), raw(options));
        creates(options, |out, error| unsafe {
            shm_sysv_create_at(path.as_ptr(), project, size, &asked, out, error)
        })
    }
    fn sysv_attach_at(path: &str, project: i32, options: &Options) -> Answer<CRegion> {
        let (path, options) = (c(path), raw(options));
        opens(|out, error| unsafe { shm_sysv_attach_at(path.as_ptr(), project, &options, out, error) })
    }
    fn sysv_remove(id: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_remove(id, error) }))
    }
    fn sysv_stat(id: i32) -> Answer<Info> {
        let mut info: shm_sysv_info = unsafe { zeroed() };
        let size = size_of::<shm_sysv_info>();
        done(explained(|error| unsafe { shm_sysv_stat(id, &mut info, size, error) }))?;
        assert_eq!(info.reserved, 0);
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
            removed: info.removed == 1,
            locked: info.locked == 1,
        })
    }
    fn sysv_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_set_owner(id, uid, gid, mode, error) }))
    }
    fn sysv_lock(id: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_lock(id, error) }))
    }
    fn sysv_unlock(id: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_unlock(id, error) }))
    }

    fn listen(path: &str) -> Answer<OwnedFd> {
        let path = c(path);
        gives_fd(|out, error| unsafe { shm_listen(path.as_ptr(), out, error) })
    }
    fn accept(listener: RawFd, wait: Wait) -> Answer<OwnedFd> {
        gives_fd(|out, error| unsafe {
            match wait {
                None => shm_accept(listener, out, error),
                Some(ns) => shm_accept_until(listener, ns, out, error),
            }
        })
    }
    fn connect(path: &str, wait: Wait) -> Answer<OwnedFd> {
        let path = c(path);
        gives_fd(|out, error| unsafe {
            match wait {
                None => shm_connect(path.as_ptr(), out, error),
                Some(ns) => shm_connect_until(path.as_ptr(), ns, out, error),
            }
        })
    }
    fn peer(socket: RawFd) -> Answer<Peer> {
        let mut peer: shm_peer = unsafe { zeroed() };
        done(explained(|error| unsafe { shm_peer_get(socket, &mut peer, size_of::<shm_peer>(), error) }))?;
        let pidfd = (peer.pidfd != -1).then(|| unsafe { OwnedFd::from_raw_fd(peer.pidfd) });
        Ok(Peer { pid: peer.pid, uid: peer.uid, gid: peer.gid, pidfd })
    }
    fn send_fd(socket: RawFd, fd: RawFd, wait: Wait) -> Answer<()> {
        done(explained(|error| unsafe {
            match wait {
                None => shm_send_fd(socket, fd, error),
                Some(ns) => shm_send_fd_until(socket, fd, ns, error),
            }
        }))
    }
    fn recv_fd(socket: RawFd, wait: Wait) -> Answer<OwnedFd> {
        gives_fd(|out, error| unsafe {
            match wait {
                None => shm_recv_fd(socket, out, error),
                Some(ns) => shm_recv_fd_until(socket, ns, out, error),
            }
        })
    }
    fn send_fds(socket: RawFd, fds: &[RawFd], payload: &[u8], wait: Wait) -> Answer<()> {
        let (first, count) = (fds.as_ptr(), fds.len());
        let (bytes, size) = (payload.as_ptr().cast::<c_void>(), payload.len());
        done(explained(|error| unsafe {
            match wait {
                None => shm_send_fds(socket, first, count, bytes, size, error),
                Some(ns) => shm_send_fds_until(socket, first, count, bytes, size, ns, error),
            }
        }))
    }
    fn recv_fds(socket: RawFd, count: usize, payload: &mut [u8], wait: Wait) -> Answer<Vec<OwnedFd>> {
        let mut fds = vec![-77; count];
        let (first, bytes, size) = (fds.as_mut_ptr(), payload.as_mut_ptr().cast::<c_void>(), payload.len());
        let answer = done(explained(|error| unsafe {
            match wait {
                None => shm_recv_fds(socket, first, count, bytes, size, error),
                Some(ns) => shm_recv_fds_until(socket, first, count, bytes, size, ns, error),
            }
        }));
        if answer.is_err() {
            assert!(fds.iter().all(|&fd| fd == -77), "the output was written on failure");
        }
        answer.map(|()| fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect())
    }
    fn send_region(socket: RawFd, region: &CRegion, wait: Wait) -> Answer<()> {
        done(explained(|error| unsafe {
            match wait {
                None => shm_send_region(socket, region.region, error),
                Some(ns) => shm_send_region_until(socket, region.region, ns, error),
            }
        }))
    }
    fn recv_region(socket: RawFd, options: &Options, wait: Wait) -> Answer<CRegion> {
        let options = raw(options);
        opens(|out, error| unsafe {
            match wait {
                None => shm_recv_region(socket, &options, out, error),
                Some(ns) => shm_recv_region_until(socket, &options, ns, out, error),
            }
        })
    }

    fn guard_check() -> Answer<()> {
        done(explained(|error| unsafe { shm_guard_check(error) }))
    }
}

impl CRegion {
    /// The sentence for a failed copy is `shm_region_check`'s to say.
    fn copied(&self, code: c_int, offset: usize, length: usize) -> Answer<()> {
        match (coded(code), self.check(offset, length)) {
            (Err(bare), Err(said)) if said.code == bare.code => Err(said),
            (answer, _) => done(answer),
        }
    }
}

impl Handle for CRegion {
    fn data(&self) -> *mut u8 {
        unsafe { shm_region_data(self.region) }.cast()
    }
    fn size(&self) -> usize {
        unsafe { shm_region_size(self.region) }
    }
    fn size_max(&self) -> usize {
        unsafe { shm_region_size_max(self.region) }
    }
    fn page_size(&self) -> usize {
        unsafe { shm_region_page_size(self.region) }
    }
    fn kind(&self) -> i32 {
        unsafe { shm_region_kind(self.region) }
    }
    fn name(&self) -> Option<String> {
        let name: *const c_char = unsafe { shm_region_name(self.region) };
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().unwrap().to_string())
    }
    fn unlink(&self) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_unlink(self.region, error) }))
    }
    fn fd(&self) -> Answer<RawFd> {
        coded(unsafe { shm_region_fd(self.region) })
    }
    fn sysv_id(&self) -> Answer<i32> {
        coded(unsafe { shm_sysv_id(self.region) })
    }
    fn created(&self) -> bool {
        self.created
    }
    fn can_shrink(&self) -> bool {
        match unsafe { shm_region_can_shrink(self.region) } {
            0 => false,
            1 => true,
            other => panic!("{other}"),
        }
    }
    fn read(&self, offset: usize, buffer: &mut [u8]) -> Answer<()> {
        let code = unsafe { shm_region_read(self.region, offset, buffer.as_mut_ptr().cast(), buffer.len()) };
        self.copied(code, offset, buffer.len())
    }
    fn write(&self, offset: usize, bytes: &[u8]) -> Answer<()> {
        let code = unsafe { shm_region_write(self.region, offset, bytes.as_ptr().cast(), bytes.len()) };
        self.copied(code, offset, bytes.len())
    }
    fn at(&self, offset: usize, length: usize, alignment: usize) -> Answer<*mut u8> {
        let mut at = null_mut();
        done(coded(unsafe { shm_region_at(self.region, offset, length, alignment, &mut at) }))
            .map(|()| at.cast())
    }
    fn check(&self, offset: usize, length: usize) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_check(self.region, offset, length, error) }))
    }
    fn flush(&self, offset: usize, length: usize) -> Answer<()> {
        done(coded(unsafe { shm_region_flush(self.region, offset, length) }))
    }
    fn flush_async(&self, offset: usize, length: usize) -> Answer<()> {
        done(coded(unsafe { shm_region_flush_async(self.region, offset, length) }))
    }
    fn prefault(&self, offset: usize, length: usize) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_prefault(self.region, offset, length, error) }))
    }
    fn advise(&self, offset: usize, length: usize, advice: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_advise(self.region, offset, length, advice, error) }))
    }
    fn lock(&self, offset: usize, length: usize) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_lock(self.region, offset, length, error) }))
    }
    fn unlock(&self, offset: usize, length: usize) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_unlock(self.region, offset, length, error) }))
    }
    fn protect(&self, offset: usize, length: usize, rights: u32) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_protect(self.region, offset, length, rights, error) }))
    }
    fn place(&self, offset: usize, length: usize, policy: i32, nodes: &[i32]) -> Answer<()> {
        let (first, count) = (nodes.as_ptr(), nodes.len());
        done(explained(|error| unsafe {
            shm_region_place(self.region, offset, length, policy, first, count, error)
        }))
    }
    fn nodes(&self, offset: usize, length: usize) -> Answer<Vec<i32>> {
        const BEFORE: i32 = -77;
        let page = unsafe { shm_region_page_size(self.region) };
        // As many as the range has pages, where it is one.
        let count = match offset.checked_add(length) {
            Some(end) if length > 0 && end <= self.size() => (end - 1) / page - offset / page + 1,
            _ => 0,
        };
        let mut nodes = vec![BEFORE; count + 1];
        let answer = done(explained(|error| unsafe {
            shm_region_nodes(self.region, offset, length, nodes.as_mut_ptr(), count, error)
        }));
        let written = if answer.is_ok() { count } else { 0 };
        assert!(nodes[written..].iter().all(|&it| it == BEFORE), "more was written than should be");
        nodes.truncate(count);
        answer.map(|()| nodes)
    }
    fn seals(&self) -> Answer<u32> {
        coded(unsafe { shm_region_seals(self.region) }).map(|seals| seals as u32)
    }
    fn seal(&self, seals: u32) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_seal(self.region, seals, error) }))
    }
    fn grow(&self, size: usize) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_grow(self.region, size, error) }))
    }
    fn follow(&self) -> Answer<bool> {
        let code = explained(|error| unsafe { shm_region_follow(self.region, error) })?;
        assert!(code == 0 || code == 1, "{code}");
        Ok(code == 1)
    }
    fn publish_read_only(&self) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_publish_read_only(self.region, error) }))
    }
    fn freeze(&self) -> Answer<()> {
        done(explained(|error| unsafe { shm_region_freeze(self.region, error) }))
    }
    fn guard_enable(&self) -> Answer<()> {
        done(explained(|error| unsafe { shm_guard_enable(self.region, error) }))
    }
    fn guard_begin(&self) -> Answer<()> {
        done(coded(unsafe { shm_guard_begin(self.region) }))
    }
    fn guard_end(&self) -> Answer<()> {
        done(coded(unsafe { shm_guard_end(self.region) }))
    }
    fn close(self) -> Answer<()> {
        let region = std::mem::ManuallyDrop::new(self).region;
        done(coded(unsafe { shm_region_close(region) }))
    }
}
