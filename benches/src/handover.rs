//! handover.: descriptors and regions through a Unix socket, both ends in one process, so that only
//! the work counts and no waking up.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{anyhow, Result};
use nix::sys::socket::{socketpair, AddressFamily, SockFlag, SockType};

use crate::c::{self, Region};
use crate::harness::{each, Bench, Run};
use crate::memory::need_memory;
use crate::{raw, One};

const SIZE: usize = 64 << 10;
const MANY: usize = c::SHMKIT_FDS_MAX;
/// As long as the library's.
const FRAME: usize = 64;

const MESSAGES: &str = "raw sendmsg, recvmsg, close";

pub const JOBS: [One; 5] = [
    One { id: "handover.fd", reference: MESSAGES, limit: Some(1.10), compare: fd },
    One { id: "handover.fds253", reference: MESSAGES, limit: Some(1.10), compare: fds253 },
    One {
        id: "handover.region",
        reference: "the same calls and checks, raw",
        limit: Some(1.15),
        compare: region,
    },
    One { id: "handover.size", reference: "1 MiB instead of 1 GiB", limit: Some(1.2), compare: size },
    One { id: "handover.tiny", reference: "64 bytes in the message itself", limit: None, compare: tiny },
];

fn fd(bench: &Bench) -> Result<Vec<Run>> {
    let (near, far) = sockets()?;
    let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
    let region = Region::memfd(SIZE, 0, 0)?;
    let fd = region.fd()?;
    let mut message = raw::Message::new([fd]);
    bench.compare(
        each(|| {
            let mut received = -1;
            // SAFETY: all pointers are valid for the calls.
            c::told(|error| unsafe { c::shm_send_fd(near, fd, error) })?;
            c::told(|error| unsafe { c::shm_recv_fd(far, &mut received, error) })?;
            Ok(raw::close(received)?)
        }),
        each(|| {
            message.send(near, &[0])?;
            let [received] = raw::receive(far, &mut [0])?;
            Ok(raw::close(received)?)
        }),
    )
}

fn fds253(bench: &Bench) -> Result<Vec<Run>> {
    let (near, far) = sockets()?;
    let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
    let region = Region::memfd(SIZE, 0, 0)?;
    let fds = [region.fd()?; MANY];
    let mut message = raw::Message::new(fds);
    bench.compare(
        each(|| {
            let (mut received, mut byte) = ([-1; MANY], 0_u8);
            // SAFETY: all pointers are valid for the calls.
            c::told(|error| unsafe {
                c::shm_send_fds(near, fds.as_ptr(), MANY, (&raw const byte).cast(), 1, error)
            })?;
            // SAFETY: as above.
            c::told(|error| unsafe {
                c::shm_recv_fds(far, received.as_mut_ptr(), MANY, (&raw mut byte).cast(), 1, error)
            })?;
            close_all(received)
        }),
        each(|| {
            message.send(near, &[0])?;
            close_all(raw::receive::<MANY>(far, &mut [0])?)
        }),
    )
}

fn close_all(fds: [i32; MANY]) -> Result<()> {
    fds.into_iter().try_for_each(|fd| Ok(raw::close(fd)?))
}

fn region(bench: &Bench) -> Result<Vec<Run>> {
    let (near, far) = sockets()?;
    let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
    let region = Region::memfd(SIZE, 0, 0)?;
    let mut message = raw::Message::new([region.fd()?]);
    bench.compare(
        each(|| hand_over(&region, near, far)),
        each(|| {
            message.send(near, &[0; FRAME])?;
            let [received] = raw::receive(far, &mut [0; FRAME])?;
            Ok(raw::checked_map_cycle(received, SIZE)?)
        }),
    )
}

fn size(bench: &Bench) -> Result<Vec<Run>> {
    need_memory(1 << 30)?;
    let (near, far) = sockets()?;
    let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
    let (large, small) = (Region::memfd(1 << 30, 0, 0)?, Region::memfd(1 << 20, 0, 0)?);
    fill(&large)?;
    fill(&small)?;
    bench.compare(each(|| hand_over(&large, near, far)), each(|| hand_over(&small, near, far)))
}

/// Through the descriptor, not the mapping: that would leave page tables beside the received mapping,
/// which its end has to walk, and which a receiver in another process does not have.
fn fill(region: &Region) -> Result<()> {
    let chunk = vec![7_u8; 1 << 20];
    for _ in (0..region.size()).step_by(chunk.len()) {
        // SAFETY: the buffer has this length.
        unsafe { raw::write_all(region.fd()?, chunk.as_ptr(), chunk.len()) }?;
    }
    Ok(())
}

fn hand_over(region: &Region, near: i32, far: i32) -> Result<()> {
    region.send(near)?;
    Region::receive(far).map(drop)
}

/// What a region is not for: the whole life of one that carries 64 bytes once.
fn tiny(bench: &Bench) -> Result<Vec<Run>> {
    let (near, far) = sockets()?;
    let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
    let sent = [7_u8; 64];
    bench.compare(
        each(|| {
            let mut read = [0_u8; 64];
            let region = Region::memfd(sent.len(), 0, 0)?;
            // SAFETY: both buffers have this length.
            unsafe { region.write(sent.as_ptr(), sent.len()) }?;
            region.send(near)?;
            let received = Region::receive(far)?;
            // SAFETY: as above.
            unsafe { received.read(read.as_mut_ptr(), read.len()) }?;
            same(&read, &sent)
        }),
        each(|| {
            let mut read = [0_u8; 64];
            raw::send_bytes(near, &sent)?;
            raw::receive_bytes(far, &mut read)?;
            same(&read, &sent)
        }),
    )
}

fn same(read: &[u8; 64], sent: &[u8; 64]) -> Result<()> {
    if read != sent {
        return Err(anyhow!("other bytes arrived than were sent"));
    }
    Ok(())
}

pub fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}
