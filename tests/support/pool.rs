//! The machine's pools of huge pages. They have no namespace: a test has them to itself under a lock of the
//! whole machine, and what it changes is put back by a process of its own, however the test ends.

use std::ffi::CString;

use super::{c, errno, good};

pub const HUGE_2M: usize = 2 << 20;
pub const HUGE_1G: usize = 1 << 30;

/// Both pools, nobody else's while this lives.
pub struct Pools {
    /// Closed, or its holder gone, the guard puts everything back.
    order: libc::c_int,
    guard: libc::pid_t,
    maker: u32,
    before: Vec<(usize, u64)>,
}

impl Pools {
    /// Waits for its turn. Err where the machine has no huge pages.
    pub fn lock() -> Result<Pools, String> {
        let sizes: Vec<usize> =
            [HUGE_2M, HUGE_1G].into_iter().filter(|&size| number(size, "nr_hugepages").is_some()).collect();
        let Some(&first) = sizes.first() else {
            return Err("no huge pages here".to_string());
        };
        let mut order = [0; 2];
        unsafe {
            let lock =
                good(libc::open(c(&path(first, "nr_hugepages")).as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC));
            while libc::flock(lock, libc::LOCK_EX) == -1 {
                assert_eq!(errno(), libc::EINTR);
            }
            let before: Vec<_> = sizes.iter().map(|&size| (size, in_pool(size))).collect();
            good(libc::pipe2(order.as_mut_ptr(), libc::O_CLOEXEC));
            let writes: Vec<_> = before
                .iter()
                .map(|&(size, count)| (c(&path(size, "nr_hugepages")), c(&count.to_string())))
                .collect();
            let guard = good(libc::fork());
            if guard == 0 {
                keep_guard(lock, order[0], &writes);
            }
            libc::close(lock);
            libc::close(order[0]);
            Ok(Pools { order: order[1], guard, maker: std::process::id(), before })
        }
    }

    /// Makes just so many pages available. Err where that is not permitted, where the machine has no such
    /// memory in one piece, or where the pool has more of its own.
    pub fn offer(&self, page_size: usize, pages: u64) -> Result<(), String> {
        let what = format!("{pages} huge pages of {page_size} bytes");
        let has = available(page_size).ok_or(format!("no huge pages of {page_size} bytes here"))?;
        if has > pages || number(page_size, "nr_overcommit_hugepages") != Some(0) {
            return Err(format!("{what}: the pool has {has} of its own, or may get more"));
        }
        if has < pages {
            let all = in_pool(page_size) + pages - has;
            std::fs::write(path(page_size, "nr_hugepages"), all.to_string())
                .map_err(|error| format!("{what}: {error}"))?;
        }
        match available(page_size) {
            Some(has) if has == pages => Ok(()),
            has => Err(format!("{what}: the machine gave {has:?}")),
        }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if self.maker != std::process::id() {
            return;
        }
        unsafe {
            // By a word, because a child may have the pipe too.
            assert_eq!(libc::write(self.order, [0u8].as_ptr().cast(), 1), 1);
            libc::close(self.order);
            while libc::waitpid(self.guard, std::ptr::null_mut(), 0) == -1 {
                assert_eq!(errno(), libc::EINTR);
            }
        }
        for &(size, count) in &self.before {
            // More where another one's turn has begun.
            assert!(in_pool(size) >= count, "the pool of {size} bytes: {} after {count}", in_pool(size));
        }
    }
}

/// Waits for the order, or for the end of whoever could give it; puts back; and lets the next one have its turn.
fn keep_guard(lock: libc::c_int, order: libc::c_int, writes: &[(CString, CString)]) -> ! {
    unsafe {
        // Nobody who ends the test's processes ends this one.
        libc::setsid();
        for number in 0..1024 {
            if number != lock && number != order {
                libc::close(number);
            }
        }
        while libc::read(order, [0u8; 1].as_mut_ptr().cast(), 1) == -1 && errno() == libc::EINTR {}
        for (path, count) in writes {
            let fd = libc::open(path.as_ptr(), libc::O_WRONLY);
            libc::write(fd, count.as_ptr().cast(), count.as_bytes().len());
            libc::close(fd);
        }
        libc::_exit(0)
    }
}

/// Where the kernel tells of a pool, as messages name it.
pub fn pool(page_size: usize) -> String {
    format!("/sys/kernel/mm/hugepages/hugepages-{}kB", page_size >> 10)
}

fn path(page_size: usize, field: &str) -> String {
    format!("{}/{field}", pool(page_size))
}

fn number(page_size: usize, field: &str) -> Option<u64> {
    std::fs::read_to_string(path(page_size, field)).ok()?.trim().parse().ok()
}

/// How many pages of a pool are neither used nor promised.
pub fn available(page_size: usize) -> Option<u64> {
    Some(number(page_size, "free_hugepages")? - number(page_size, "resv_hugepages")?)
}

/// How many a pool has, but for those that it gives back as soon as nobody uses them.
pub fn in_pool(page_size: usize) -> u64 {
    let count = |field| number(page_size, field).expect("a pool");
    count("nr_hugepages").saturating_sub(count("surplus_hugepages"))
}
