//! The harness itself: what it is there to notice, it notices.

use crate::support::*;

fn raise(signal: i32) {
    good(unsafe { libc::raise(signal) });
}

#[test]
#[should_panic(expected = "the count of descriptors changed")]
fn a_leaked_descriptor_fails() {
    own_process!(5, || std::mem::forget(open("/dev/null", libc::O_RDONLY)));
}

#[test]
#[should_panic(expected = "the count of mappings changed")]
fn a_leaked_mapping_fails() {
    own_process!(5, || {
        // Not shared with each other, so that the kernel does not merge them.
        let file = open("/proc/self/exe", libc::O_RDONLY);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let (flags, rights) = (libc::MAP_PRIVATE, libc::PROT_READ);
        let at = unsafe { libc::mmap(std::ptr::null_mut(), page(), rights, flags, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
    });
}

#[test]
#[should_panic(expected = "a child was left behind")]
fn a_forgotten_child_fails() {
    own_process!(5, || std::mem::forget(fork(|| {})));
}

#[test]
#[should_panic(expected = "hung until its alarm")]
fn a_hang_fails() {
    own_process!(1, || unsafe {
        libc::pause();
    });
}

#[test]
#[should_panic(expected = "died of signal 7")]
fn a_death_by_signal_fails() {
    own_process!(5, || raise(libc::SIGBUS));
}

#[test]
#[should_panic(expected = "somebody is wrong")]
fn a_panic_fails_and_is_shown() {
    own_process!(5, || panic!("somebody is wrong"));
}

#[test]
fn a_signal_that_kills_is_not_hidden_and_children_tell() {
    own_process!(5, || {
        let line = Line::new();
        let child = fork(|| line.tell(7));
        assert_eq!(line.hear(), 7);
        child.join();
        assert_eq!(end_of(|| raise(libc::SIGPIPE)), End::Signal(libc::SIGPIPE));
        assert_eq!(end_of(|| panic!("as it should")), End::Exit(101));
    });
}

/// However a test ends, the machine's pools of huge pages are as they were.
#[test]
fn pools_are_put_back() {
    own_process!(120, || {
        let sizes = || [HUGE_2M, HUGE_1G].map(|size| available(size).map(|_| in_pool(size)));
        let pools = match Pools::lock() {
            Ok(pools) => pools,
            Err(why) => return skip(why),
        };
        let before = sizes();
        if let Err(why) = pools.offer(HUGE_2M, 2) {
            return skip(why);
        }
        assert_ne!(sizes(), before);
        drop(pools);
        // A turn tells: the one before is over.
        let turn = || drop(Pools::lock().unwrap());
        turn();
        assert_eq!(sizes(), before, "after its end");
        let raise = || {
            let pools = Pools::lock().unwrap();
            pools.offer(HUGE_2M, 2).unwrap();
            pools
        };
        assert_eq!(end_of(|| panic!("with {} pages", raise().offer(HUGE_2M, 2).is_ok())), End::Exit(101));
        let line = Line::new();
        let killed = fork(|| {
            let _pools = raise();
            line.tell(0);
            unsafe { libc::pause() };
        });
        line.hear();
        killed.slay();
        turn();
        assert_eq!(sizes(), before, "after a panic and a kill");
    });
}
