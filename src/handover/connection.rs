//! Unix sockets to hand over on: listen, accept, connect, and who is at the other end.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::Deadline;
use crate::error::{shown, During, Error, Result};
use crate::sys::{clock, file, socket, Errno};

/// Who is at the other end of a socket.
#[derive(Debug)]
pub struct Peer {
    /// In the caller's PID namespace; 0 when it is not in it.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    /// Where the kernel has it (Linux 6.5).
    pub pidfd: Option<OwnedFd>,
}

/// Opens a SOCK_SEQPACKET socket that waits for connections. '@name' is abstract; a socket file whose
/// socket is gone is replaced.
pub fn listen(path: impl AsRef<OsStr>) -> Result<OwnedFd> {
    let path = path.as_ref();
    let tried = || format!("cannot listen on {}", shown(path.as_bytes()));
    let address = address(path, tried)?;
    let listener = socket::create().during(tried)?;
    match socket::bind(listener.as_fd(), &address) {
        Err(Errno::EADDRINUSE) => replace_stale(path, &address, listener.as_fd(), tried)?,
        bound => bound.during(tried)?,
    }
    socket::listen(listener.as_fd()).during(tried)?;
    Ok(listener)
}

/// Waits for a connection and takes it.
pub fn accept(listener: &impl AsRawFd, deadline: Deadline) -> Result<OwnedFd> {
    let number = listener.as_raw_fd();
    let tried = || format!("cannot accept a connection on descriptor {number}");
    if deadline == Deadline::NEVER {
        return socket::accept(number).during(tried);
    }
    let listener = socket::borrow(number).during(tried)?;
    if !socket::is_listening(listener).during(tried)? {
        return Err(Error::new(Errno::EINVAL, format!("{}: it does not listen", tried())));
    }
    loop {
        // A blocking listener must not be asked before somebody is there.
        socket::wait(listener, socket::Ready::ToReceive, deadline.ns()).during(tried)?;
        match socket::accept(number) {
            // Another thread was faster.
            Err(Errno::EAGAIN) => continue,
            accepted => return accepted.during(tried),
        }
    }
}

/// Connects to a SOCK_SEQPACKET listener, and waits while its queue is full.
pub fn connect(path: impl AsRef<OsStr>, deadline: Deadline) -> Result<OwnedFd> {
    let path = path.as_ref();
    let tried = || format!("cannot connect to {}", shown(path.as_bytes()));
    let address = address(path, tried)?;
    let socket = socket::create().during(tried)?;
    loop {
        match socket::connect(socket.as_fd(), &address, deadline.left()) {
            Ok(()) => return Ok(socket),
            Err(Errno::EINTR) if deadline.left() != Some(Duration::ZERO) => continue,
            Err(Errno::EAGAIN | Errno::EINTR) => return Err(Errno::ETIMEDOUT).during(tried),
            Err(errno) => return Err(errno).during(tried),
        }
    }
}

/// The process that connected, or that listened, when it did so.
pub fn peer(socket: &impl AsRawFd) -> Result<Peer> {
    let number = socket.as_raw_fd();
    let tried = || format!("cannot tell who is at the other end of descriptor {number}");
    let socket = socket::borrow(number).during(tried)?;
    let (pid, uid, gid) = socket::peer(socket).during(tried)?;
    if uid == u32::MAX {
        // The kernel's answer for a Unix socket without a peer.
        return Err(Errno::ENOTCONN).during(tried);
    }
    Ok(Peer { pid, uid, gid, pidfd: socket::peer_pidfd(socket).during(tried)? })
}

fn address(path: &OsStr, tried: impl Fn() -> String) -> Result<socket::Address> {
    let bytes = path.as_bytes();
    if bytes.is_empty() || bytes == b"@" || bytes.contains(&0) {
        return Err(Error::new(
            Errno::EINVAL,
            format!("{}: a socket's path is not empty and has no NUL", tried()),
        ));
    }
    if bytes.len() > socket::PATH_MAX {
        let (has, most) = (bytes.len(), socket::PATH_MAX);
        let message = format!("{}: the path has {has} bytes, and {most} are allowed", tried());
        return Err(Error::new(Errno::ENAMETOOLONG, message));
    }
    socket::address(bytes).during(tried)
}

/// Binds in the place of a socket file whose socket is gone.
fn replace_stale(
    path: &OsStr,
    address: &socket::Address,
    listener: BorrowedFd<'_>,
    tried: impl Fn() -> String,
) -> Result<()> {
    let in_use = |why: &str| Err(Error::new(Errno::EADDRINUSE, format!("{}: {why}", tried())));
    if path.as_bytes().starts_with(b"@") {
        return in_use("the abstract name is taken");
    }
    let path = CString::new(path.as_bytes()).expect("an address has no NUL");
    // Two who find the same stale file: the second must not remove the first one's new socket.
    let _turn = take_turn(&path);
    match file::stat_name(&path) {
        Ok(stat) if !file::is_socket(&stat) => return in_use("what stands there is no socket"),
        Ok(_) if socket::is_alive(address).during(&tried)? => return in_use("a live socket is bound there"),
        Ok(_) => match file::unlink(&path) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => {
                return Err(errno).during(|| format!("{}: cannot remove the stale socket", tried()))
            }
        },
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno).during(&tried),
    }
    socket::bind(listener, address).during(tried)
}

/// A lock on the socket's directory, among those who replace by this library; held until it is closed.
/// Whoever holds it for other reasons, or for long, is not waited for.
fn take_turn(path: &CStr) -> Option<OwnedFd> {
    let parent = Path::new(OsStr::from_bytes(path.to_bytes())).parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = CString::new(parent.as_os_str().as_bytes()).ok()?;
    let directory = file::open(&parent, file::OFlag::O_RDONLY | file::OFlag::O_DIRECTORY, 0).ok()?;
    let patience = clock::monotonic_ns() + Duration::from_millis(200).as_nanos() as i64;
    while file::try_lock(directory.as_fd()) == Err(Errno::EWOULDBLOCK) && clock::monotonic_ns() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(directory)
}
