//! One message: descriptors and bytes, all or nothing, on sockets that keep the bounds of messages and
//! on streams, which do not.
#![forbid(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::Deadline;
use crate::error::{Code, During, Error, Result};
use crate::sys::socket::{self, Ready, FDS_MAX};
use crate::sys::{file, Errno};

/// Sends one descriptor and one byte, which any program that receives descriptors understands.
pub fn send_fd(socket: &impl AsRawFd, fd: &impl AsRawFd, deadline: Deadline) -> Result<()> {
    send(socket.as_raw_fd(), &[fd.as_raw_fd()], &[0], deadline)
}

/// Receives one descriptor and one byte. What the descriptor is, nobody has checked.
pub fn recv_fd(socket: &impl AsRawFd, deadline: Deadline) -> Result<OwnedFd> {
    let fds = receive(socket.as_raw_fd(), 1, &mut [0], deadline)?;
    Ok(fds.into_iter().next().expect("receive() counted them"))
}

/// Sends 1 to 253 descriptors and at least 1 byte of payload. The receiver has to expect as many of
/// both.
pub fn send_fds(socket: &impl AsRawFd, fds: &[RawFd], payload: &[u8], deadline: Deadline) -> Result<()> {
    check_shape(fds.len(), payload.len())?;
    send(socket.as_raw_fd(), fds, payload, deadline)
}

/// Receives exactly `count` descriptors and as many bytes as `payload` has. After a failure the
/// payload's content is undefined.
pub fn recv_fds(
    socket: &impl AsRawFd,
    count: usize,
    payload: &mut [u8],
    deadline: Deadline,
) -> Result<Vec<OwnedFd>> {
    check_shape(count, payload.len())?;
    receive(socket.as_raw_fd(), count, payload, deadline)
}

pub(crate) fn too_many(count: usize) -> Error {
    Error::new(Errno::EINVAL, format!("{count} descriptors: a message carries 1 to {FDS_MAX}"))
}

fn check_shape(count: usize, bytes: usize) -> Result<()> {
    if !(1..=FDS_MAX).contains(&count) {
        return Err(too_many(count));
    }
    if bytes == 0 {
        let message = "a payload of 0 bytes: a message without bytes loses its descriptors";
        return Err(Error::new(Errno::EINVAL, message));
    }
    Ok(())
}

/// Waits for the socket where the call has a deadline; elsewhere the system call itself waits.
fn until_ready(socket: RawFd, ready: Ready, deadline: Deadline) -> crate::sys::Result<()> {
    socket::wait(socket::borrow(socket)?, ready, deadline.ns())
}

pub(super) fn send(socket: RawFd, fds: &[RawFd], bytes: &[u8], deadline: Deadline) -> Result<()> {
    let tried = || match fds {
        [fd] => format!("cannot send descriptor {fd} on descriptor {socket}"),
        fds => format!("cannot send {} descriptors on descriptor {socket}", fds.len()),
    };
    let mut sent = 0;
    while sent < bytes.len() {
        let with = if sent == 0 { fds } else { &[] };
        match socket::send(socket, &bytes[sent..], with, deadline == Deadline::NEVER) {
            Ok(count) => sent += count,
            Err(Errno::EAGAIN) if deadline != Deadline::NEVER => {
                until_ready(socket, Ready::ToSend, deadline).during(tried)?;
            }
            Err(Errno::EAGAIN) if sent > 0 => return Err(half_way(socket, sent, bytes.len(), "took")),
            Err(Errno::EBADF) => return Err(bad_number(socket, fds, tried())),
            Err(Errno::ETOOMANYREFS) => {
                let why = "more descriptors are in flight than RLIMIT_NOFILE allows; try again when some have arrived";
                return Err(Error::new(Errno::ETOOMANYREFS, format!("{}: {why}", tried())));
            }
            Err(Errno::EISCONN | Errno::EOPNOTSUPP) => {
                return Err(Error::new(Errno::EOPNOTSUPP, format!("{}: that is no Unix socket", tried())));
            }
            Err(Errno::EMSGSIZE) => {
                let message = format!("{}: {} bytes are too many for one message", tried(), bytes.len());
                return Err(Error::new(Errno::EMSGSIZE, message));
            }
            Err(errno) => return Err(errno).during(tried),
        }
    }
    Ok(())
}

/// Which of the numbers the kernel meant.
fn bad_number(socket: RawFd, fds: &[RawFd], tried: String) -> Error {
    let bad = std::iter::once(&socket).chain(fds).find(|&&fd| file::open_flags(fd).is_err());
    let why = match bad {
        Some(&fd) if fd == socket => format!("the socket, descriptor {fd}, is not open"),
        Some(fd) => format!("descriptor {fd} is not open"),
        None => Code::from(Errno::EBADF).to_string(),
    };
    Error::new(Errno::EBADF, format!("{tried}: {why}"))
}

/// A stream that is not to be waited for, with a part of a message in it: no use any more.
fn half_way(socket: RawFd, done: usize, of: usize, did: &str) -> Error {
    let message =
        format!("the non-blocking stream, descriptor {socket}, {did} {done} of {of} bytes: close it");
    Error::new(Errno::EPROTO, message)
}

/// Receives exactly `count` descriptors and fills `bytes`. Whatever is wrong with a message, all of it
/// is consumed, as far as its length is known, and all its descriptors are closed.
pub(super) fn receive(
    socket: RawFd,
    count: usize,
    bytes: &mut [u8],
    deadline: Deadline,
) -> Result<Vec<OwnedFd>> {
    let tried = || format!("cannot receive on descriptor {socket}");
    let refused =
        |why: String| Error::new(Errno::EPROTO, format!("refused what came on descriptor {socket}: {why}"));
    let mut fds: Vec<OwnedFd> = Vec::new();
    let (mut filled, mut total, mut fault) = (0, 0, None);
    while filled < bytes.len() {
        let got = match socket::receive(socket, &mut bytes[filled..], count, deadline == Deadline::NEVER) {
            Ok(got) => got,
            Err(Errno::EAGAIN) if deadline != Deadline::NEVER => {
                until_ready(socket, Ready::ToReceive, deadline).during(tried)?;
                continue;
            }
            Err(Errno::EAGAIN) if filled > 0 => return Err(half_way(socket, filled, bytes.len(), "had")),
            Err(errno) => return Err(errno).during(tried),
        };
        filled += got.bytes;
        let came = got.fds.len();
        total += came;
        fds.extend(got.fds);
        if got.bytes_cut {
            fault.get_or_insert_with(|| refused(format!("the message is longer than {} bytes", bytes.len())));
        }
        if got.fds_cut {
            fault.get_or_insert_with(|| match file::duplicate(socket) {
                Err(errno @ (Errno::EMFILE | Errno::ENFILE)) if came < count => Error::new(
                    errno,
                    format!(
                        "cannot take the descriptors that came on descriptor {socket}: {}",
                        Code::from(errno)
                    ),
                ),
                _ => {
                    refused(format!("more descriptors came than {count}, or a security label in their place"))
                }
            });
        }
        if got.bytes == 0 {
            return Err(match (came, filled) {
                (0, 0) => {
                    Error::new(Errno::ECONNRESET, format!("{}: the peer closed the connection", tried()))
                }
                (0, part) => Error::new(
                    Errno::ECONNRESET,
                    format!(
                        "{}: the peer closed the connection after {part} of {} bytes",
                        tried(),
                        bytes.len()
                    ),
                ),
                _ => refused("descriptors came without bytes".to_string()),
            });
        }
        if fault.is_some() || total > count {
            // Closed at once: a message that goes on and on must not pile them up.
            fds.clear();
        }
        if filled < bytes.len() && keeps_bounds(socket).during(tried)? {
            fault.get_or_insert_with(|| {
                refused(format!("the message has {filled} bytes, not {}", bytes.len()))
            });
            break;
        }
    }
    match fault {
        Some(fault) => Err(fault),
        None if total != count => Err(refused(format!("{total} descriptors came, not {count}"))),
        None => Ok(fds),
    }
}

fn keeps_bounds(socket: RawFd) -> crate::sys::Result<bool> {
    socket::keeps_bounds(socket::borrow(socket)?)
}
