//! The system calls that the library makes, made by hand with nothing around them: what a careful C
//! program would write. Each function says which calls of the library it stands against.

use std::cell::Cell;
use std::ffi::{c_int, CStr};
use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::ptr::null_mut;

use libc::{c_void, off_t};

pub fn ok(result: c_int) -> Result<c_int> {
    if result == -1 {
        return Err(Error::last_os_error());
    }
    Ok(result)
}

fn map(fd: c_int, size: usize, flags: c_int) -> Result<*mut c_void> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    mapped(unsafe { libc::mmap(null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) })
}

fn mapped(address: *mut c_void) -> Result<*mut c_void> {
    if address == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    Ok(address)
}

fn unmap(address: *mut c_void, size: usize) -> Result<()> {
    // SAFETY: the address is a mapping of this size that nobody uses any more.
    ok(unsafe { libc::munmap(address, size) }).map(drop)
}

pub fn close(fd: c_int) -> Result<()> {
    // SAFETY: closing a number is safe, and the callers own it.
    ok(unsafe { libc::close(fd) }).map(drop)
}

fn stat(fd: c_int) -> Result<libc::stat> {
    // SAFETY: all zeros are a stat, which the kernel fills.
    unsafe {
        let mut stat: libc::stat = zeroed();
        ok(libc::fstat(fd, &mut stat))?;
        Ok(stat)
    }
}

fn file_size_limit() -> Result<u64> {
    // SAFETY: all zeros are an rlimit, which the kernel fills.
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        ok(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit))?;
        Ok(limit.rlim_cur)
    }
}

fn reserve(fd: c_int, size: usize) -> Result<()> {
    if file_size_limit()? < size as u64 {
        return Err(Error::from_raw_os_error(libc::EFBIG));
    }
    // SAFETY: plain numbers.
    ok(unsafe { libc::fallocate(fd, 0, 0, size as off_t) }).map(drop)
}

/// shm_region_create, shm_region_close
pub fn memfd_cycle(name: &CStr, size: usize) -> Result<()> {
    let fd = sealed_memfd(name, size)?;
    map_and_close(fd, size)
}

/// shm_region_create with SHMKIT_REGION_MIRROR, shm_region_close
pub fn mirror_cycle(name: &CStr, size: usize) -> Result<()> {
    let fd = sealed_memfd(name, size)?;
    let address = map(fd, 2 * size, libc::MAP_SHARED)?;
    map_over(address.wrapping_byte_add(size), fd, 0, size)?;
    unmap(address, 2 * size)?;
    close(fd)
}

fn sealed_memfd(name: &CStr, size: usize) -> Result<c_int> {
    let fd = memfd(name)?;
    reserve(fd, size)?;
    seal(fd, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | F_SEAL_EXEC)?;
    Ok(fd)
}

fn memfd(name: &CStr) -> Result<c_int> {
    // SAFETY: the name is a string, the rest are numbers.
    let fd = ok(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL) })?;
    // SAFETY: plain numbers.
    ok(unsafe { libc::fchmod(fd, 0o600) })?;
    Ok(fd)
}

fn seal(fd: c_int, seals: c_int) -> Result<()> {
    // SAFETY: plain numbers.
    ok(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }).map(drop)
}

const F_SEAL_EXEC: c_int = 0x20;

/// How the mapping of a file gets longer with it.
#[derive(Clone, Copy)]
pub enum Follow {
    /// What is new is mapped over addresses that were set aside.
    MapFixed,
    /// The mapping is stretched. Nothing keeps the addresses behind it free: that they are is luck, and
    /// given here.
    Remap,
    /// It was that long from the start.
    Ahead,
}

/// shm_region_create with SHMKIT_REGION_GROWABLE, then shm_region_grow
pub struct Growing {
    fd: c_int,
    start: Cell<*mut c_void>,
    size: Cell<usize>,
    /// Of the mapping.
    length: Cell<usize>,
    follow: Follow,
}

impl Growing {
    pub fn new(size: usize, size_max: usize, follow: Follow) -> Result<Growing> {
        let fd = memfd(c"bench")?;
        resize(fd, size)?;
        seal(fd, libc::F_SEAL_SHRINK | F_SEAL_EXEC)?;
        let start = match follow {
            Follow::Ahead => map(fd, size_max, libc::MAP_SHARED)?,
            Follow::MapFixed | Follow::Remap => {
                let start = set_aside(size_max)?;
                map_over(start, fd, 0, size)?;
                start
            }
        };
        let mut length = size_max;
        if let Follow::Remap = follow {
            unmap(start.wrapping_byte_add(size), size_max - size)?;
            length = size;
        }
        Ok(Growing { fd, start: start.into(), size: size.into(), length: length.into(), follow })
    }

    pub fn grow(&self, size: usize) -> Result<()> {
        resize(self.fd, size)?;
        let (start, has) = (self.start.get(), self.size.replace(size));
        match self.follow {
            Follow::MapFixed => map_over(start.wrapping_byte_add(has), self.fd, has, size - has),
            Follow::Remap => {
                // SAFETY: our own mapping, to which nobody has a reference.
                let start = unsafe { libc::mremap(start, has, size, libc::MREMAP_MAYMOVE) };
                if start == libc::MAP_FAILED {
                    return Err(Error::last_os_error());
                }
                self.start.set(start);
                self.length.set(size);
                Ok(())
            }
            Follow::Ahead => Ok(()),
        }
    }

    pub fn start(&self) -> *mut u8 {
        self.start.get().cast()
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        let _ = unmap(self.start.get(), self.length.get());
        let _ = close(self.fd);
    }
}

fn resize(fd: c_int, size: usize) -> Result<()> {
    // SAFETY: plain numbers.
    ok(unsafe { libc::ftruncate(fd, size as off_t) }).map(drop)
}

/// Addresses that nobody else gets, and no memory.
fn set_aside(size: usize) -> Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    mapped(unsafe { libc::mmap(null_mut(), size, libc::PROT_NONE, flags, -1, 0) })
}

/// Puts a part of the file where the caller has addresses of its own.
fn map_over(start: *mut c_void, fd: c_int, offset: usize, size: usize) -> Result<()> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
    // SAFETY: the callers own the range, and nobody relies on what was there.
    mapped(unsafe { libc::mmap(start, size, protection, flags, fd, offset as off_t) }).map(drop)
}

/// shm_anon_create, shm_region_close
pub fn anonymous_cycle(size: usize) -> Result<()> {
    let address = map(-1, size, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    unmap(address, size)
}

/// shm_file_create, shm_region_close
pub fn file_create_cycle(directory: &CStr, path: &CStr, size: usize) -> Result<()> {
    let fd = nameless(directory)?;
    name_and_close(fd, path, size)
}

/// shm_posix_create, shm_region_close
pub fn posix_create_cycle(path: &CStr, size: usize) -> Result<()> {
    let fd = nameless(c"/dev/shm")?;
    in_memory(fd)?;
    name_and_close(fd, path, size)
}

fn nameless(directory: &CStr) -> Result<c_int> {
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC;
    // SAFETY: the path is a string, the rest are numbers.
    ok(unsafe { libc::open(directory.as_ptr(), flags, 0o600) })
}

fn name_and_close(fd: c_int, path: &CStr, size: usize) -> Result<()> {
    reserve(fd, size)?;
    let address = map(fd, size, libc::MAP_SHARED)?;
    // SAFETY: both paths are strings.
    ok(unsafe { libc::linkat(fd, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), libc::AT_EMPTY_PATH) })?;
    unmap(address, size)?;
    close(fd)
}

/// Without a tmpfs on /dev/shm, what is made there lies on a disk.
fn in_memory(fd: c_int) -> Result<()> {
    // SAFETY: all zeros are a statfs, which the kernel fills.
    let kind = unsafe {
        let mut stat: libc::statfs = zeroed();
        ok(libc::fstatfs(fd, &mut stat))?;
        stat.f_type
    };
    if kind != libc::TMPFS_MAGIC {
        return Err(Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(())
}

pub fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: the path is a string.
    ok(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// shm_file_open, shm_region_close
pub fn file_open_cycle(path: &CStr) -> Result<()> {
    let fd = open(path, libc::O_NONBLOCK | libc::O_NOCTTY)?;
    map_and_close(fd, regular_size(fd)?)
}

/// shm_posix_open, shm_region_close
pub fn posix_open_cycle(name: &CStr) -> Result<()> {
    // By the name, as shm_posix_open has it: shm_open(3) makes the path, and adds O_NOFOLLOW and O_CLOEXEC.
    // SAFETY: the name is a string, the rest are numbers.
    let fd = ok(unsafe { libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK, 0) })?;
    let size = regular_size(fd)?;
    in_memory(fd)?;
    map_and_close(fd, size)
}

fn open(path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: the path is a string, the rest are numbers.
    ok(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | flags) })
}

fn regular_size(fd: c_int) -> Result<usize> {
    let stat = stat(fd)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(stat.st_size as usize)
}

fn map_and_close(fd: c_int, size: usize) -> Result<()> {
    let address = map(fd, size, libc::MAP_SHARED)?;
    unmap(address, size)?;
    close(fd)
}

/// shm_sysv_create, shm_sysv_remove, shm_region_close
pub fn sysv_create_cycle(key: i32, size: usize) -> Result<()> {
    // SAFETY: plain numbers.
    let id = ok(unsafe { libc::shmget(key, size, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) })?;
    let address = attach(id)?;
    // SAFETY: plain numbers; the address is the attachment, which nobody uses any more.
    unsafe {
        ok(libc::shmctl(id, libc::IPC_RMID, null_mut()))?;
        ok(libc::shmdt(address)).map(drop)
    }
}

/// shm_sysv_attach, shm_region_close
pub fn sysv_attach_cycle(key: i32) -> Result<()> {
    // SAFETY: plain numbers; all zeros are a shmid_ds, which the kernel fills; the address is the
    // attachment, which nobody uses any more.
    unsafe {
        let id = ok(libc::shmget(key, 0, 0))?;
        let mut info: libc::shmid_ds = zeroed();
        ok(libc::shmctl(id, libc::IPC_STAT, &mut info))?;
        let address = attach(id)?;
        ok(libc::shmdt(address)).map(drop)
    }
}

fn attach(id: c_int) -> Result<*const c_void> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    if address as isize == -1 {
        return Err(Error::last_os_error());
    }
    Ok(address)
}

/// shm_region_prefault
pub fn populate_write(address: *mut u8, size: usize) -> Result<()> {
    // SAFETY: touches pages of a mapping, and changes no byte.
    ok(unsafe { libc::madvise(address.cast(), size, libc::MADV_POPULATE_WRITE) }).map(drop)
}

/// Writes a byte to each page of 4 KiB.
///
/// # Safety
/// So many bytes can be written there, and nobody else uses them.
pub unsafe fn touch(start: *mut u8, size: usize) {
    for offset in (0..size).step_by(4096) {
        // SAFETY: the caller's promise.
        unsafe { start.add(offset).write_volatile(1) };
    }
}

/// Memory from the kernel and back, on huge pages where it has them.
pub fn anonymous_touch(size: usize) -> Result<()> {
    let address = map(-1, size, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)?;
    // SAFETY: our own mapping; an advice that changes no byte, and may be refused.
    unsafe { libc::madvise(address, size, libc::MADV_HUGEPAGE) };
    // SAFETY: as above.
    unsafe { touch(address.cast(), size) };
    unmap(address, size)
}

/// One message of `COUNT` descriptors and its exact control buffer, made once.
pub struct Message<const COUNT: usize> {
    control: Control<COUNT>,
}

#[repr(C)]
struct Control<const COUNT: usize> {
    header: libc::cmsghdr,
    fds: [c_int; COUNT],
}

impl<const COUNT: usize> Control<COUNT> {
    /// CMSG_LEN: without the padding that follows an odd number of descriptors.
    const LENGTH: usize = size_of::<libc::cmsghdr>() + size_of::<[c_int; COUNT]>();
}

impl<const COUNT: usize> Message<COUNT> {
    pub fn new(fds: [c_int; COUNT]) -> Message<COUNT> {
        let header = libc::cmsghdr {
            cmsg_len: Control::<COUNT>::LENGTH,
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        };
        Message { control: Control { header, fds } }
    }

    /// shm_send_fd, shm_send_fds
    pub fn send(&mut self, socket: c_int, payload: &[u8]) -> Result<()> {
        let mut vector = libc::iovec { iov_base: payload.as_ptr() as *mut c_void, iov_len: payload.len() };
        // SAFETY: all pointers are valid for the call.
        let sent = unsafe {
            let mut message: libc::msghdr = zeroed();
            message.msg_iov = &mut vector;
            message.msg_iovlen = 1;
            message.msg_control = (&raw mut self.control).cast();
            message.msg_controllen = size_of::<Control<COUNT>>();
            libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL)
        };
        whole(sent, payload.len())
    }
}

/// shm_recv_fd, shm_recv_fds
pub fn receive<const COUNT: usize>(socket: c_int, payload: &mut [u8]) -> Result<[c_int; COUNT]> {
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    let mut control = std::mem::MaybeUninit::<Control<COUNT>>::uninit();
    // SAFETY: all pointers are valid for the call, and the control buffer is read only as far as the
    // kernel says that it has filled it.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control<COUNT>>();
        whole(libc::recvmsg(socket, &mut message, libc::MSG_CMSG_CLOEXEC), payload.len())?;
        let broken = libc::MSG_CTRUNC | libc::MSG_TRUNC;
        if message.msg_flags & broken != 0 || message.msg_controllen < Control::<COUNT>::LENGTH {
            return Err(Error::from_raw_os_error(libc::EPROTO));
        }
        let control = control.assume_init();
        let header = &control.header;
        if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS)
            || header.cmsg_len != Control::<COUNT>::LENGTH
        {
            return Err(Error::from_raw_os_error(libc::EPROTO));
        }
        Ok(control.fds)
    }
}

fn whole(moved: isize, wanted: usize) -> Result<()> {
    match moved {
        -1 => Err(Error::last_os_error()),
        moved if moved as usize == wanted => Ok(()),
        _ => Err(Error::from_raw_os_error(libc::EPROTO)),
    }
}

/// shm_recv_region, shm_region_close, after the message: the checks, the mapping, its end.
pub fn checked_map_cycle(fd: c_int, size: usize) -> Result<()> {
    // SAFETY: plain numbers.
    let (flags, seals) =
        unsafe { (ok(libc::fcntl(fd, libc::F_GETFL))?, ok(libc::fcntl(fd, libc::F_GET_SEALS))?) };
    if flags & libc::O_ACCMODE != libc::O_RDWR || seals & libc::F_SEAL_SHRINK == 0 || regular_size(fd)? < size
    {
        return Err(Error::from_raw_os_error(libc::EPROTO));
    }
    map_and_close(fd, size)
}

pub fn send_bytes(socket: c_int, bytes: &[u8]) -> Result<()> {
    // SAFETY: the buffer is valid for its length.
    whole(unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) }, bytes.len())
}

pub fn receive_bytes(socket: c_int, bytes: &mut [u8]) -> Result<()> {
    // SAFETY: the buffer is valid for its length.
    whole(unsafe { libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), 0) }, bytes.len())
}

/// # Safety
/// So many bytes can be read there.
pub unsafe fn write_all(fd: c_int, bytes: *const u8, length: usize) -> Result<()> {
    let mut done = 0;
    while done < length {
        // SAFETY: the caller's promise.
        match unsafe { libc::write(fd, bytes.add(done).cast(), length - done) } {
            -1 => return Err(Error::last_os_error()),
            written => done += written as usize,
        }
    }
    Ok(())
}

/// # Safety
/// So many bytes can be written there.
pub unsafe fn read_exact(fd: c_int, bytes: *mut u8, length: usize) -> Result<()> {
    let mut done = 0;
    while done < length {
        // SAFETY: the caller's promise.
        match unsafe { libc::read(fd, bytes.add(done).cast(), length - done) } {
            -1 => return Err(Error::last_os_error()),
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read as usize,
        }
    }
    Ok(())
}

/// Survey::of(POSIX): what a directory has, and fstatat(2) of each.
pub fn list_and_stat(path: &CStr) -> Result<()> {
    // SAFETY: the stream is ours from opendir to closedir, and an entry lives until the next one is read.
    unsafe {
        let directory = libc::opendir(path.as_ptr());
        if directory.is_null() {
            return Err(Error::last_os_error());
        }
        let fd = libc::dirfd(directory);
        while let Some(entry) = libc::readdir(directory).as_ref() {
            let mut stat: libc::stat = zeroed();
            ok(libc::fstatat(fd, entry.d_name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW))?;
        }
        ok(libc::closedir(directory)).map(drop)
    }
}
