//! All that a process can do to write to a region that it has received for reading, each way refused.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

use libc::{c_void, EACCES, EBADF, EINVAL, EIO, EOPNOTSUPP, EPERM};

use crate::door::*;
use crate::support::*;

pub const SIZE: usize = 3 * 4096;
pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

pub fn pattern(size: usize) -> Vec<u8> {
    let mut bytes = (1..=251).collect::<Vec<u8>>().repeat(size.div_ceil(251));
    bytes.truncate(size);
    bytes
}

/// A system call that has to fail, with one of these.
#[track_caller]
pub fn denied(what: &str, result: impl Into<i64>, errnos: &[i32]) {
    assert_eq!(result.into(), -1, "{what} was allowed");
    assert!(errnos.contains(&errno()), "{what}: {}", std::io::Error::last_os_error());
}

pub fn map(fd: RawFd, rights: i32, flags: i32) -> *mut c_void {
    unsafe { libc::mmap(null_mut(), 4096, rights, flags, fd, 0) }
}

fn reopen(fd: RawFd, flags: i32) -> RawFd {
    let path = c(&format!("/proc/self/fd/{fd}"));
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }
}

/// All that can be done with a descriptor.
pub fn attack_descriptor(fd: RawFd, grows: bool) {
    let bytes = [0xffu8; 64];
    let from = bytes.as_ptr().cast::<c_void>();
    let vector = libc::iovec { iov_base: from.cast_mut(), iov_len: 64 };
    let own = raw_memfd(&bytes);
    let pipe = Line::new();
    pipe.tell(-1);
    // What has no rights to write is EBADF, and what only appends EINVAL, before anybody looks at the seals.
    let no = &[EPERM, EBADF, EINVAL];
    unsafe {
        denied("write", libc::write(fd, from, 64) as i64, no);
        denied("pwrite", libc::pwrite(fd, from, 64, 4096) as i64, no);
        denied("pwritev", libc::pwritev(fd, &vector, 1, 0) as i64, no);
        denied("sendfile", libc::sendfile(fd, own.as_raw_fd(), &mut 0, 64) as i64, no);
        let copied = libc::copy_file_range(own.as_raw_fd(), &mut 0, fd, &mut 0, 64, 0);
        denied("copy_file_range", copied as i64, no);
        denied("splice", libc::splice(pipe.reader(), null_mut(), fd, &mut 0, 8, 0) as i64, no);
        for size in [0, 1, SIZE as i64 - 1] {
            denied("ftruncate", libc::ftruncate(fd, size), &[EPERM, EINVAL]);
        }
        if !grows {
            denied("ftruncate, larger", libc::ftruncate(fd, 1 << 20), &[EPERM, EINVAL]);
            denied("fallocate", libc::fallocate(fd, 0, 0, 1 << 20), no);
        }
        for mode in [
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            libc::FALLOC_FL_ZERO_RANGE,
            libc::FALLOC_FL_COLLAPSE_RANGE,
            libc::FALLOC_FL_INSERT_RANGE,
        ] {
            denied("fallocate", libc::fallocate(fd, mode, 0, 4096), &[EPERM, EBADF, EOPNOTSUPP]);
        }
        for seals in [SHMKIT_SEAL_WRITE, SHMKIT_SEAL_GROW, SHMKIT_SEAL_SEAL, SHMKIT_SEAL_FUTURE_WRITE] {
            denied("F_ADD_SEALS", libc::fcntl(fd, libc::F_ADD_SEALS, seals), &[EPERM]);
        }
    }
    for (rights, flags) in [
        (RW, libc::MAP_SHARED),
        (libc::PROT_WRITE, libc::MAP_SHARED),
        (RW | libc::PROT_EXEC, libc::MAP_SHARED),
        (RW, libc::MAP_SHARED_VALIDATE),
    ] {
        assert_eq!(map(fd, rights, flags), libc::MAP_FAILED, "a writable mapping");
        assert!([EPERM, EACCES].contains(&errno()));
    }
    // For reading it maps, and that is all that it ever becomes.
    let read = map(fd, libc::PROT_READ, libc::MAP_SHARED);
    assert_ne!(read, libc::MAP_FAILED);
    attack_mapping(read, 4096);
    good(unsafe { libc::munmap(read, 4096) });
    let private = map(fd, RW, libc::MAP_PRIVATE);
    assert_ne!(private, libc::MAP_FAILED);
    unsafe {
        private.cast::<u8>().write_volatile(0xff);
        good(libc::munmap(private, 4096));
    }
}

/// A shared mapping for reading.
pub fn attack_mapping(at: *mut c_void, length: usize) {
    let bytes = [0xffu8; 16];
    unsafe {
        for rights in [RW, libc::PROT_WRITE, RW | libc::PROT_EXEC] {
            denied("mprotect", libc::mprotect(at, length, rights), &[EACCES]);
        }
        denied("MADV_REMOVE", libc::madvise(at, length, libc::MADV_REMOVE), &[EACCES]);
        denied("MADV_POPULATE_WRITE", libc::madvise(at, length, libc::MADV_POPULATE_WRITE), &[EINVAL]);
        let clone = libc::mremap(at, 0, length, libc::MREMAP_MAYMOVE);
        assert_ne!(clone, libc::MAP_FAILED);
        denied("mprotect of a clone", libc::mprotect(clone, length, RW), &[EACCES]);
        good(libc::munmap(clone, length));
        // What a debugger would do to its own.
        let mem = open("/proc/self/mem", libc::O_RDWR);
        let wrote = libc::pwrite(mem.as_raw_fd(), bytes.as_ptr().cast(), 16, at as i64);
        denied("/proc/self/mem", wrote as i64, &[EIO, libc::EFAULT]);
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: 16 };
        let remote = libc::iovec { iov_base: at, iov_len: 16 };
        let wrote = libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0);
        denied("process_vm_writev", wrote as i64, &[libc::EFAULT]);
    }
    assert_eq!(end_of(|| unsafe { at.cast::<u8>().write_volatile(1) }), End::Signal(libc::SIGSEGV));
}

/// All that a process that has received a region can do to write to it.
pub fn attack<H: Handle>(region: &H, grows: bool) {
    let size = region.size();
    fails(region.write(0, b"x"), EACCES, &[]);
    fails(region.write(size - 1, b"x"), EACCES, &[]);
    fails(region.protect(0, size, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
    let fd = region.fd().unwrap();
    attack_mapping(region.data().cast(), size);
    attack_descriptor(fd, grows);
    let stranger = unsafe { libc::geteuid() } != 0;
    if stranger {
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY] {
            denied("opening it again", reopen(fd, flags), &[EACCES]);
        }
        denied("fchmod", unsafe { libc::fchmod(fd, 0o666) }, &[EPERM]);
        return;
    }
    // The same user opens it again, and may widen its mode, which is no boundary; the seals are.
    denied("fchmod to an executable", unsafe { libc::fchmod(fd, 0o777) }, &[EPERM]);
    good(unsafe { libc::fchmod(fd, 0o666) });
    for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_APPEND] {
        let again = unsafe { OwnedFd::from_raw_fd(good(reopen(fd, flags))) };
        if flags & libc::O_ACCMODE == libc::O_RDWR {
            attack_descriptor(again.as_raw_fd(), grows);
        }
        denied("write", unsafe { libc::write(again.as_raw_fd(), c"x".as_ptr().cast(), 1) } as i64, &[EPERM]);
    }
    denied("O_TRUNC", reopen(fd, libc::O_RDWR | libc::O_TRUNC), &[EPERM]);
    let row = format!("{:x}-", region.data() as usize);
    let row = mappings().into_iter().find(|line| line.starts_with(&row)).unwrap();
    let path = format!("/proc/self/map_files/{}", row.split_whitespace().next().unwrap());
    let again = unsafe { libc::open(c(&path).as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if again != -1 {
        let again = unsafe { OwnedFd::from_raw_fd(again) };
        attack_descriptor(again.as_raw_fd(), grows);
    }
}

fn raw_memfd(bytes: &[u8]) -> OwnedFd {
    unsafe {
        let fd = OwnedFd::from_raw_fd(good(libc::memfd_create(c"raw".as_ptr(), libc::MFD_CLOEXEC)));
        assert_eq!(libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()), bytes.len() as isize);
        fd
    }
}
