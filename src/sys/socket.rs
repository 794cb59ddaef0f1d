//! Unix sockets and the descriptors that travel through them: unix(7), cmsg(3).

use std::ffi::c_int;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
pub(crate) use nix::sys::socket::UnixAddr as Address;
use nix::sys::socket::{
    self as unix, sockopt, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike as _,
};
use nix::sys::time::TimeVal;

use super::{clock, uninterrupted, Errno, Result};

/// The kernel's SCM_MAX_FD: so many descriptors travel in one message.
pub(crate) const FDS_MAX: usize = 253;
/// The longest path of a socket, without the NUL.
pub(crate) const PATH_MAX: usize = 107;

/// Room for FDS_MAX descriptors, and for what SO_PASSCRED and SO_PASSPIDFD put in front of them:
/// where they are on, they would cost descriptors otherwise.
const CONTROL_BYTES: usize = space(FDS_MAX * size_of::<c_int>()) + EXTRA_BYTES;
const EXTRA_BYTES: usize = space(size_of::<libc::ucred>()) + space(size_of::<c_int>());
const SCM_PIDFD: c_int = 4;

/// CMSG_SPACE and CMSG_LEN of cmsg(3).
const fn space(bytes: usize) -> usize {
    // SAFETY: arithmetic.
    unsafe { libc::CMSG_SPACE(bytes as u32) as usize }
}

const fn length(bytes: usize) -> usize {
    // SAFETY: arithmetic.
    unsafe { libc::CMSG_LEN(bytes as u32) as usize }
}

/// A buffer for control messages, aligned as cmsghdr wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// What one recvmsg(2) brought. Every descriptor in it is owned, wanted or not.
pub(crate) struct Received {
    pub bytes: usize,
    pub fds: Vec<OwnedFd>,
    /// MSG_TRUNC: the message had more bytes than room.
    pub bytes_cut: bool,
    /// MSG_CTRUNC: descriptors were lost, for want of room or of numbers.
    pub fds_cut: bool,
}

/// Sends bytes, and descriptors with the first of them. Never SIGPIPE.
pub(crate) fn send(socket: RawFd, bytes: &[u8], fds: &[RawFd], wait: bool) -> Result<usize> {
    debug_assert!(fds.len() <= FDS_MAX);
    let mut control = std::mem::MaybeUninit::<Control>::uninit();
    let mut data = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr; its pointers live until sendmsg returns, and the header written
    // through CMSG_FIRSTHDR lies inside `control`, which has room for FDS_MAX descriptors.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut data;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = length(size_of_val(fds)) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = length(size_of_val(fds)) as _;
            std::ptr::copy_nonoverlapping(
                fds.as_ptr().cast::<u8>(),
                libc::CMSG_DATA(header),
                size_of_val(fds),
            );
        }
        let flags = libc::MSG_NOSIGNAL | if wait { 0 } else { libc::MSG_DONTWAIT };
        // TCP would swallow descriptors and say success. This flag makes it refuse (EISCONN, or EOPNOTSUPP),
        // and means nothing to Unix sockets; to ask for the socket's domain would cost a tenth of the call.
        let flags = if fds.is_empty() { flags } else { flags | libc::MSG_FASTOPEN };
        uninterrupted(|| Errno::result(libc::sendmsg(socket, &message, flags))).map(|sent| sent as usize)
    }
}

/// Receives bytes, and up to `room` descriptors, close-on-exec.
pub(crate) fn receive(socket: RawFd, bytes: &mut [u8], room: usize, wait: bool) -> Result<Received> {
    debug_assert!(room <= FDS_MAX);
    let mut control = std::mem::MaybeUninit::<Control>::uninit();
    let mut data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr; its pointers live until recvmsg returns; (kernel) what
    // CMSG_NXTHDR walks is what the kernel wrote, and an SCM_RIGHTS message holds whole descriptors, fresh
    // and nobody else's.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut data;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = (length(room * size_of::<c_int>()) + EXTRA_BYTES) as _;
        let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
        let got = uninterrupted(|| Errno::result(libc::recvmsg(socket, &mut message, flags)))?;
        let mut fds = Vec::new();
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            let kind = ((*header).cmsg_level, (*header).cmsg_type);
            let count = ((*header).cmsg_len as usize - length(0)) / size_of::<c_int>();
            let numbers = libc::CMSG_DATA(header).cast::<c_int>();
            if kind == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                fds.extend((0..count).map(|i| OwnedFd::from_raw_fd(numbers.add(i).read_unaligned())));
            } else if kind == (libc::SOL_SOCKET, SCM_PIDFD) && numbers.read_unaligned() >= 0 {
                // Came because of SO_PASSPIDFD, was not asked for here.
                drop(OwnedFd::from_raw_fd(numbers.read_unaligned()));
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        Ok(Received {
            bytes: got as usize,
            fds,
            bytes_cut: message.msg_flags & libc::MSG_TRUNC != 0,
            fds_cut: message.msg_flags & libc::MSG_CTRUNC != 0,
        })
    }
}

/// Whether messages keep their bounds (SOCK_SEQPACKET, SOCK_DGRAM).
pub(crate) fn keeps_bounds(socket: BorrowedFd<'_>) -> Result<bool> {
    Ok(unix::getsockopt(&socket, sockopt::SockType)? != SockType::Stream)
}

/// SO_ACCEPTCONN; ENOTSOCK where it is no socket.
pub(crate) fn is_listening(socket: BorrowedFd<'_>) -> Result<bool> {
    unix::getsockopt(&socket, sockopt::AcceptConn)
}

#[derive(Clone, Copy)]
pub(crate) enum Ready {
    ToReceive,
    ToSend,
}

/// Waits until the socket is ready or has failed; looks at least once. ETIMEDOUT after the deadline.
pub(crate) fn wait(socket: BorrowedFd<'_>, ready: Ready, deadline_ns: Option<i64>) -> Result<()> {
    let events = match ready {
        Ready::ToReceive => PollFlags::POLLIN,
        Ready::ToSend => PollFlags::POLLOUT,
    };
    loop {
        let left = deadline_ns.map(|deadline| deadline.saturating_sub(clock::monotonic_ns()).max(0) as u64);
        // Whole milliseconds, rounded up; a long wait goes in rounds.
        let timeout = match left {
            None => PollTimeout::NONE,
            Some(left) => PollTimeout::from((left.div_ceil(1_000_000)).min(60_000) as u16),
        };
        match poll(&mut [PollFd::new(socket, events)], timeout) {
            Ok(0) if left == Some(0) => return Err(Errno::ETIMEDOUT),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// A Unix address: '@name' is abstract. ENAMETOOLONG beyond PATH_MAX bytes.
pub(crate) fn address(path: &[u8]) -> Result<Address> {
    match path.strip_prefix(b"@") {
        Some(name) => Address::new_abstract(name),
        None => Address::new(path),
    }
}

pub(crate) fn create() -> Result<OwnedFd> {
    unix::socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Whether a socket is bound to an address. A datagram socket asks: one of another type answers
/// EPROTOTYPE without noticing, also before it listens; a dead one's file is ECONNREFUSED.
pub(crate) fn is_alive(address: &Address) -> Result<bool> {
    let probe = unix::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    match unix::connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => Ok(false),
        Ok(()) | Err(Errno::EPROTOTYPE) => Ok(true),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn bind(socket: BorrowedFd<'_>, address: &Address) -> Result<()> {
    unix::bind(socket.as_raw_fd(), address)
}

pub(crate) fn listen(socket: BorrowedFd<'_>) -> Result<()> {
    unix::listen(&socket, Backlog::MAXCONN)
}

pub(crate) fn accept(listener: RawFd) -> Result<OwnedFd> {
    let socket = uninterrupted(|| unix::accept4(listener, SockFlag::SOCK_CLOEXEC))?;
    // SAFETY (kernel): a fresh descriptor, nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Connects; while the listener's queue is full it waits, no longer than `patience`, then EAGAIN.
/// None is for ever.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &Address, patience: Option<Duration>) -> Result<()> {
    if let Some(patience) = patience {
        // A time of 0 would mean for ever.
        let micros = patience.as_micros().clamp(1, i64::MAX as u128) as i64;
        let time = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
        unix::setsockopt(&socket, sockopt::SendTimeout, &time)?;
    }
    unix::connect(socket.as_raw_fd(), address)?;
    if patience.is_some() {
        unix::setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
    }
    Ok(())
}

/// SO_PEERCRED: pid, uid, gid. EOPNOTSUPP where sockets have none.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Result<(i32, u32, u32)> {
    // SO_DOMAIN, which nix lacks, is the family of the socket's own address.
    let family = unix::getsockname::<unix::SockaddrStorage>(socket.as_raw_fd())?.family();
    if family != Some(AddressFamily::Unix) {
        return Err(Errno::EOPNOTSUPP);
    }
    let peer = unix::getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok((peer.pid(), peer.uid(), peer.gid()))
}

/// SO_PEERPIDFD, Linux 6.5; None where the kernel has none, or the peer is gone.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    match unix::getsockopt(&socket, sockopt::PeerPidfd) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(errno @ (Errno::EMFILE | Errno::ENFILE)) => Err(errno),
        Err(_) => Ok(None),
    }
}

/// A caller's plain number as a descriptor, after the kernel said that it is open.
///
/// # Safety
/// The number must stay open while the result is used. A caller that closes it meanwhile gets EBADF,
/// or another file of its own: no memory is at stake.
pub(crate) fn borrow<'a>(fd: RawFd) -> Result<BorrowedFd<'a>> {
    super::file::open_flags(fd)?;
    // SAFETY (caller): see above.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
