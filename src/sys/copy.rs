//! Copies between addresses that may be bad: the kernel copies, and stops where a load or store
//! would raise SIGBUS or SIGSEGV.

use std::os::fd::AsRawFd;

use nix::unistd::pipe2;

use super::{file::OFlag, Errno, Result};

/// Copies through the kernel, and returns how many bytes it could copy. Either side may be bad
/// memory: a short count says that the next byte of one of them is.
///
/// # Safety
/// `to` may be written wherever it is mapped writable, as far as `length`; nobody holds a Rust
/// reference to either range.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) -> Result<usize> {
    let own = super::own_process();
    let mut done = 0;
    while done < length {
        let local = libc::iovec { iov_base: to.wrapping_add(done).cast(), iov_len: length - done };
        let remote =
            libc::iovec { iov_base: from.wrapping_add(done).cast_mut().cast(), iov_len: length - done };
        // SAFETY: the caller's promise; the kernel checks both ranges.
        match Errno::result(unsafe { libc::process_vm_readv(own, &local, 1, &remote, 1, 0) }) {
            Ok(copied) if copied > 0 => done += copied as usize,
            Ok(_) | Err(Errno::EFAULT) => break,
            Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
            // Not built into this kernel, or filtered by a container's seccomp profile, by any errno.
            Err(_) => {
                return unsafe { through_pipe(to.wrapping_add(done), from.wrapping_add(done), length - done) }
                    .map(|copied| done + copied)
            }
        }
    }
    Ok(done)
}

/// The same by write(2) into a pipe and read(2) out of it: slower, and works everywhere, also for memory
/// that another process would not be given (memfd_secret(2)).
///
/// # Safety
/// As for [`copy`].
pub(crate) unsafe fn through_pipe(to: *mut u8, from: *const u8, length: usize) -> Result<usize> {
    const CHUNK: usize = 4096;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let mut done = 0;
    while done < length {
        let chunk = (length - done).min(CHUNK);
        // SAFETY: the caller's promise; the kernel checks both ranges. An empty pipe takes a chunk whole,
        // so neither call blocks.
        let step = unsafe {
            Errno::result(libc::write(writer.as_raw_fd(), from.wrapping_add(done).cast(), chunk)).and_then(
                |written| {
                    Errno::result(libc::read(
                        reader.as_raw_fd(),
                        to.wrapping_add(done).cast(),
                        written as usize,
                    ))
                },
            )
        };
        match step {
            Ok(copied) if copied > 0 => done += copied as usize,
            Err(Errno::EINTR) => continue,
            Ok(_) | Err(Errno::EFAULT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_copy_and_stop_at_bad_memory() {
        let page = crate::sys::mmap::page_size();
        for copier in [copy, through_pipe] {
            let from: Vec<u8> = (0..3 * page).map(|i| (i % 251) as u8).collect();
            let mut to = vec![0; from.len()];
            assert_eq!(unsafe { copier(to.as_mut_ptr(), from.as_ptr(), from.len()) }, Ok(from.len()));
            assert_eq!(from, to);
            assert_eq!(unsafe { copier(to.as_mut_ptr(), 16 as *const u8, 1) }, Ok(0));
            assert_eq!(unsafe { copier(16 as *mut u8, from.as_ptr(), 1) }, Ok(0));
        }
    }
}
