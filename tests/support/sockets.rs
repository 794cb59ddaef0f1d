//! Unix sockets as any program uses them, to play the other side.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{errno, good, stat};

/// The types of socket that hand-over works on.
pub const KINDS: [i32; 2] = [libc::SOCK_SEQPACKET, libc::SOCK_STREAM];

pub fn socketpair(kind: i32) -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    good(unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) });
    let [one, other] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (one, other)
}

/// sendmsg(2) with what the caller likes; the errno where it fails.
pub fn raw_send(socket: &impl AsRawFd, bytes: &[u8], fds: &[RawFd]) -> Result<usize, i32> {
    let size = size_of_val(fds) as u32;
    // u64 for the alignment of cmsghdr.
    let mut control = [0u64; 256];
    unsafe {
        let mut data = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut data;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            let first = fds.as_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(first, libc::CMSG_DATA(header), size as usize);
        }
        match libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) {
            -1 => Err(errno()),
            sent => Ok(sent as usize),
        }
    }
}

pub fn set_nonblocking(socket: &impl AsRawFd) {
    unsafe {
        let flags = good(libc::fcntl(socket.as_raw_fd(), libc::F_GETFL));
        good(libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK));
    }
}

pub fn set_option(socket: &impl AsRawFd, option: i32, value: i32) {
    let (at, size) = ((&raw const value).cast(), size_of::<i32>() as u32);
    good(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, at, size) });
}

/// The device and inode behind a descriptor: what makes two of them the same file.
pub fn identity(fd: &impl AsRawFd) -> (u64, u64) {
    let stat = stat(fd);
    (stat.st_dev, stat.st_ino)
}

pub fn is_close_on_exec(fd: &impl AsRawFd) -> bool {
    good(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }) & libc::FD_CLOEXEC != 0
}
