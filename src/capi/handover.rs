use std::ffi::{c_char, c_int, c_void};

use super::args::{self, shm_error};
use super::region::{shm_region, shm_region_options};
use crate::handover::{self, Deadline, Peer};

/// How many descriptors one message can carry at most (the kernel's SCM_MAX_FD).
pub const SHMKIT_FDS_MAX: usize = 253;

/// Who is at the other end of a Unix socket, as the kernel tells it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_peer {
    /// Process id in the caller's PID namespace; 0 when it is not in it.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    /// A pidfd of the peer, close-on-exec and the caller's to close; -1 where the kernel has none
    /// (before Linux 6.5).
    pub pidfd: i32,
}

/// ---- Hand-over between processes --------------------------------------------------------
///
/// Opens a Unix socket that waits for connections, of type SOCK_SEQPACKET, close-on-exec.
///
/// `path`: at most 107 bytes; '@name' is a name in the abstract namespace, which any user of the
/// machine may connect to and which goes with the socket. A socket file whose socket is gone is
/// replaced; anything else that stands there is -EADDRINUSE. The umask narrows who may connect.
/// `socket`: the caller's, for close(2). The file stays until it is unlinked.
/// Returns 0, or: -EINVAL NULL or empty; -ENAMETOOLONG; -EADDRINUSE; -EACCES, -ENOENT, -ENOTDIR,
/// -EROFS the path; -EMFILE, -ENFILE.
#[no_mangle]
pub unsafe extern "C" fn shm_listen(path: *const c_char, socket: *mut c_int, error: *mut shm_error) -> c_int {
    args::give_fd(socket, error, || handover::listen(args::text(path, "path")?))
}

/// Waits for a connection and takes it.
///
/// `listener`: from shm_listen, or any listening Unix socket. `socket`: close-on-exec, the
/// caller's.
/// Returns 0, or: -EAGAIN nobody waits, on a non-blocking listener; -EBADF, -ENOTSOCK, -EINVAL not
/// a listening socket; -EMFILE, -ENFILE.
#[no_mangle]
pub unsafe extern "C" fn shm_accept(listener: c_int, socket: *mut c_int, error: *mut shm_error) -> c_int {
    args::give_fd(socket, error, || handover::accept(&listener, Deadline::NEVER))
}

/// shm_accept until a deadline. `deadline_ns`: absolute, on CLOCK_MONOTONIC, in nanoseconds
/// (shmkit_deadline_in_ms of shmkit_helpers.h); one in the past tries once. As all the _until calls
/// do, it waits on non-blocking sockets too, and never answers -EAGAIN. Threads that share a
/// listener set O_NONBLOCK on it, or one of them can wait longer when another takes its connection.
///
/// Returns as shm_accept, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_accept_until(
    listener: c_int,
    deadline_ns: i64,
    socket: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::give_fd(socket, error, || handover::accept(&listener, Deadline::at_ns(deadline_ns)?))
}

/// Connects to a listening SOCK_SEQPACKET socket, and waits while its queue is full.
///
/// `path`: as for shm_listen. `socket`: close-on-exec, the caller's.
/// Returns 0, or: -EINVAL NULL or empty; -ENAMETOOLONG; -ENOENT nothing is there; -ECONNREFUSED
/// nobody listens; -EACCES; -EPROTOTYPE the listener is of another type; -EMFILE, -ENFILE.
#[no_mangle]
pub unsafe extern "C" fn shm_connect(
    path: *const c_char,
    socket: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::give_fd(socket, error, || handover::connect(args::text(path, "path")?, Deadline::NEVER))
}

/// shm_connect until a deadline, as for shm_accept_until.
///
/// Returns as shm_connect, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_connect_until(
    path: *const c_char,
    deadline_ns: i64,
    socket: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::give_fd(socket, error, || {
        handover::connect(args::text(path, "path")?, Deadline::at_ns(deadline_ns)?)
    })
}

/// Who is at the other end: the process that connected, or that listened, when it did so. On a
/// socketpair(2) that is its creator.
///
/// `peer`, `peer_size`: the caller's struct and its sizeof, as for shm_sysv_stat. The pidfd in it
/// is the caller's to close.
/// Returns 0, or: -EBADF, -ENOTSOCK, -EINVAL an argument; -ENOTCONN; -EMFILE, -ENFILE no descriptor
/// is left for the pidfd; -EOPNOTSUPP not a Unix socket.
#[no_mangle]
pub unsafe extern "C" fn shm_peer_get(
    socket: c_int,
    peer: *mut shm_peer,
    peer_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(peer, peer_size, error, || Ok(peer_from(handover::peer(&socket)?, peer_size)))
}

/// Sends one descriptor and one byte, so that any program that receives descriptors understands it.
///
/// What travels is the open file itself: the peer gets a number of its own for it, and the same
/// file offset. The caller may close `fd` right afterwards.
/// `socket`: a connected Unix socket, SOCK_SEQPACKET or SOCK_STREAM. TCP sockets are refused; a UDP
/// socket loses the descriptor, and the kernel does not tell.
/// Returns 0, or: -EBADF, the message tells which number; -EPIPE, -ECONNRESET the peer is gone
/// (never SIGPIPE); -EAGAIN a non-blocking socket's buffer is full; -ETOOMANYREFS more descriptors
/// are in flight than RLIMIT_NOFILE: try again when some have arrived; -ENOTCONN, -ENOTSOCK,
/// -EOPNOTSUPP not such a socket.
#[no_mangle]
pub unsafe extern "C" fn shm_send_fd(socket: c_int, fd: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || handover::send_fd(&socket, &fd, Deadline::NEVER))
}

/// shm_send_fd until a deadline, as for shm_accept_until.
///
/// Returns as shm_send_fd, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_send_fd_until(
    socket: c_int,
    fd: c_int,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || handover::send_fd(&socket, &fd, Deadline::at_ns(deadline_ns)?))
}

/// Receives one descriptor and one byte, from shm_send_fd or any program that sends descriptors.
///
/// Nothing is checked of what the descriptor is: shm_recv_region does that.
/// `fd`: close-on-exec, the caller's.
/// Returns 0, or: -EPROTO no descriptor or more than one came (all are closed); -ECONNRESET the
/// peer closed the connection, be it in good order; -EMFILE no descriptor is left here: the message
/// was consumed, the connection is in order; -EAGAIN nothing has come, on a non-blocking socket;
/// -EBADF, -ENOTCONN, -EINVAL, -ENOTSOCK not such a socket.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_fd(socket: c_int, fd: *mut c_int, error: *mut shm_error) -> c_int {
    args::give_fd(fd, error, || handover::recv_fd(&socket, Deadline::NEVER))
}

/// shm_recv_fd until a deadline, as for shm_accept_until.
///
/// Returns as shm_recv_fd, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_fd_until(
    socket: c_int,
    deadline_ns: i64,
    fd: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::give_fd(fd, error, || handover::recv_fd(&socket, Deadline::at_ns(deadline_ns)?))
}

/// Sends descriptors and a payload as one message. The receiver has to expect as many of both.
///
/// `fds`, `fd_count`: 1 to SHMKIT_FDS_MAX. `payload`, `payload_size`: at least 1 byte, because a
/// message without bytes loses its descriptors; on SOCK_SEQPACKET no more than SO_SNDBUF allows.
/// Returns as shm_send_fd, and: -EINVAL an argument; -EMSGSIZE the payload is too long for one
/// message; -EPROTO a non-blocking SOCK_STREAM socket took only a part: close it. A bad number
/// among good ones is -EBADF, and nothing is sent.
#[no_mangle]
pub unsafe extern "C" fn shm_send_fds(
    socket: c_int,
    fds: *const c_int,
    fd_count: usize,
    payload: *const c_void,
    payload_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let (fds, payload) = (args::fds(fds, fd_count)?, args::bytes(payload, payload_size)?);
        handover::send_fds(&socket, fds, payload, Deadline::NEVER)
    })
}

/// shm_send_fds until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
/// payload on SOCK_STREAM the connection is of no more use: close it.
///
/// Returns as shm_send_fds, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_send_fds_until(
    socket: c_int,
    fds: *const c_int,
    fd_count: usize,
    payload: *const c_void,
    payload_size: usize,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let (fds, payload) = (args::fds(fds, fd_count)?, args::bytes(payload, payload_size)?);
        handover::send_fds(&socket, fds, payload, Deadline::at_ns(deadline_ns)?)
    })
}

/// Receives exactly `fd_count` descriptors and `payload_size` bytes, all or nothing.
///
/// `fds`: room for `fd_count` numbers, 1 to SHMKIT_FDS_MAX; close-on-exec, the caller's.
/// `payload`: room for `payload_size` bytes, at least 1; undefined after a failure.
/// Returns as shm_recv_fd, where -EPROTO says that another number of descriptors or bytes came;
/// and: -EINVAL an argument.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_fds(
    socket: c_int,
    fds: *mut c_int,
    fd_count: usize,
    payload: *mut c_void,
    payload_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::give_fds(fds, fd_count, error, || {
        handover::recv_fds(&socket, fd_count, args::bytes_mut(payload, payload_size)?, Deadline::NEVER)
    })
}

/// shm_recv_fds until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
/// message on SOCK_STREAM the connection is of no more use: close it.
///
/// Returns as shm_recv_fds, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_fds_until(
    socket: c_int,
    fds: *mut c_int,
    fd_count: usize,
    payload: *mut c_void,
    payload_size: usize,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::give_fds(fds, fd_count, error, || {
        let deadline = Deadline::at_ns(deadline_ns)?;
        handover::recv_fds(&socket, fd_count, args::bytes_mut(payload, payload_size)?, deadline)
    })
}

/// Hands a region to the process at the other end: its descriptor, and a frame of 64 bytes that
/// says what it is. The region stays the caller's, who may close it, and the socket, right
/// afterwards.
///
/// The receiver gets the rights that the region has. To write while others only read, call
/// shm_region_publish_read_only first: whoever receives the region then gets it for reading, kept
/// so by the kernel. A region that is read-only but not sealed so, and against shrinking, is
/// refused, unless it has SHMKIT_REGION_RISK_REOPEN.
/// Returns as shm_send_fd, and: -EINVAL NULL; -EOPNOTSUPP a kind without a descriptor, or a private
/// writable region, whose bytes nobody else can see; SHMKIT_E_UNENFORCEABLE.
#[no_mangle]
pub unsafe extern "C" fn shm_send_region(
    socket: c_int,
    region: *const shm_region,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || handover::send_region(&socket, args::known(&region)?, Deadline::NEVER))
}

/// shm_send_region until a deadline, as for shm_accept_until.
///
/// Returns as shm_send_region, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_send_region_until(
    socket: c_int,
    region: *const shm_region,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        handover::send_region(&socket, args::known(&region)?, Deadline::at_ns(deadline_ns)?)
    })
}

/// Receives a region from shm_send_region, checks it, and maps it. The sender is not trusted.
///
/// Before anything is mapped: exactly one descriptor came; it was opened with the rights that the
/// frame claims; it is a regular file; nobody can shrink it; it holds the range that the frame
/// claims; the range fits size_min and size_max. Nothing is ever mapped executable. What is refused
/// is closed, its message is consumed, and the connection can go on.
///
/// Receivers refuse files, POSIX objects and memfds without SHMKIT_SEAL_SHRINK, unless
/// _RISK_SHRINK.
/// `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_FORK NO_DUMP MIRROR HUGE_2M HUGE_1G
/// RISK_SHRINK RISK_REOPEN; size_min; size_max. NULL takes the sender's rights, READ_ONLY narrows
/// them. A region that its sender made with _GROWABLE needs size_max, and can grow here up to the
/// smaller of that and the sender's; with _PRIVATE, _MIRROR or _LOCKED it keeps the size that it
/// has now.
/// Returns as shm_recv_fd, and: SHMKIT_E_NOT_REGION the message is no frame, or the descriptor is
/// not what it claims; SHMKIT_E_VERSION; SHMKIT_E_UNSEALED it can be shrunk, and not _RISK_SHRINK;
/// -EINVAL an argument, smaller than size_min, growable and no size_max; -EFBIG larger than
/// size_max; -EOPNOTSUPP huge pages stand behind it, and neither _HUGE_2M nor _HUGE_1G accepts
/// them; -ENOMEM no addresses or memory are left for it; -EPROTO also a non-blocking SOCK_STREAM
/// socket that has only a part of the frame: close it. The region is the caller's to close.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_region(
    socket: c_int,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || handover::recv_region(&socket, &args::options(options)?, Deadline::NEVER))
}

/// shm_recv_region until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
/// frame on SOCK_STREAM the connection is of no more use: close it.
///
/// Returns as shm_recv_region, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_recv_region_until(
    socket: c_int,
    options: *const shm_region_options,
    deadline_ns: i64,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || {
        handover::recv_region(&socket, &args::options(options)?, Deadline::at_ns(deadline_ns)?)
    })
}

/// A struct without room for the pidfd gets none, so that none is lost.
fn peer_from(peer: Peer, peer_size: usize) -> shm_peer {
    let pidfd = peer.pidfd.filter(|_| peer_size >= std::mem::size_of::<shm_peer>());
    shm_peer {
        pid: peer.pid,
        uid: peer.uid,
        gid: peer.gid,
        pidfd: pidfd.map_or(-1, std::os::fd::IntoRawFd::into_raw_fd),
    }
}
