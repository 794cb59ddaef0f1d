//! What growth is refused for, whole: addresses, limits, a full file system, a machine without memory.

use std::os::fd::AsRawFd;

use libc::{EFBIG, ENOMEM, ENOSPC};

use crate::door::*;
use crate::growth::{capped, growables, object, MOST};
use crate::support::*;

scenarios! {
    addresses_that_are_refused_leave_nothing,
    without_reserving_growth_is_sparse,
    a_file_size_limit_is_efbig_and_no_signal,
    a_full_file_system_changes_nothing,
    more_than_the_machine_has_is_enomem: 20,
    a_failing_grower_costs_nobody_bytes: 20,
    a_failing_grower_takes_back_its_own_alone: 20,
    what_others_made_longer_gets_its_memory,
    a_storm_of_signals_does_not_keep_it_from_growing: 20,
}

/// A range that no address space has: refused, with the number, and nothing is made.
fn addresses_that_are_refused_leave_nothing<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name, other_name) = (Directory::new(), PosixName::new(), PosixName::new());
    let path = place.write("block", &[1; 8192]);
    let file = open(&path, libc::O_RDWR);
    let object = D::posix_create(name.as_str(), 8192, &plain()).unwrap();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let refuse = |size_max: usize| {
        let (options, number) = (growing(size_max), size_max.to_string());
        let (held, says) = (descriptors().len(), [number.as_str()]);
        fails(D::create("new", 5000, &options), ENOMEM, &says);
        fails(D::file_create(&place.file("new"), 5000, &options), ENOMEM, &says);
        fails(D::posix_create(other_name.as_str(), 5000, &options), ENOMEM, &says);
        fails(D::from_fd(file.as_raw_fd(), 0, &options), ENOMEM, &says);
        fails(D::file_open(&path, 0, &options), ENOMEM, &says);
        fails(D::posix_open(name.as_str(), &options), ENOMEM, &says);
        assert_eq!(descriptors().len(), held);
    };
    for size_max in [1 << 47, 1 << 62, i64::MAX as usize, usize::MAX - 4095, usize::MAX] {
        refuse(size_max);
    }
    let limit = Limit::lower(libc::RLIMIT_AS, 1 << 30);
    refuse(2 << 30);
    let region = D::create("grows", 5000, &growing(MOST)).unwrap();
    drop(limit);
    assert_eq!(place.entries(), ["block"]);
    assert!(!other_name.path().exists());
    drop(object);
    D::posix_unlink(name.as_str()).unwrap();
    // A receiver too: the message is consumed, and the connection is in order.
    let far = D::create("grows", 5000, &growing(8 << 30)).unwrap();
    let _limit = Limit::lower(libc::RLIMIT_AS, 16 << 30);
    let _other = D::create("grows", 5000, &growing(4 << 30)).unwrap();
    for region in [&far, &region] {
        D::send_region(one.as_raw_fd(), region, None).unwrap();
    }
    fails(D::recv_region(other.as_raw_fd(), &capped(8 << 30), None), ENOMEM, &[]);
    assert_eq!(D::recv_region(other.as_raw_fd(), &capped(8 << 30), None).unwrap().size_max(), MOST);
}

fn without_reserving_growth_is_sparse<D: Door>() {
    const FAR: usize = 1 << 30;
    let _ = own_dev_shm("size=4m");
    let (place, name) = (Directory::new(), PosixName::new());
    let options = Options { flags: Flags::GROWABLE | Flags::NO_RESERVE, ..capped(FAR) };
    for region in growables::<D>(&place, &name, &options) {
        region.grow(FAR).unwrap();
        assert_eq!(region.size(), FAR);
        assert!(stat(&region.fd().unwrap()).st_blocks * 512 < 1 << 20, "not reserved");
        assert_eq!(region.bytes(FAR / 2, 3).unwrap(), [0; 3]);
        region.write(FAR - 1, b"x").unwrap();
        assert_eq!(region.bytes(FAR - 2, 2).unwrap(), b"\0x");
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_file_size_limit_is_efbig_and_no_signal<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for flags in [Flags::GROWABLE, Flags::GROWABLE | Flags::NO_RESERVE] {
        for region in growables::<D>(&place, &name, &Options { flags, ..capped(MOST) }) {
            let (before, offset) = (object(&region), object(&region) - 5000);
            fork(|| {
                // SIGXFSZ would kill.
                let _limit = Limit::lower(libc::RLIMIT_FSIZE, 100_000);
                for size in [100_001 - offset, 200_000, MOST] {
                    let says = ["RLIMIT_FSIZE is 100000", &(offset + size).to_string()];
                    fails(region.grow(size), EFBIG, &says);
                    assert_eq!((region.size(), object(&region)), (5000, before));
                }
                region.grow(100_000 - offset).unwrap();
                fails(region.grow(100_001 - offset), EFBIG, &["RLIMIT_FSIZE"]);
            })
            .join();
            region.grow(200_000).unwrap();
        }
        D::posix_unlink(name.as_str()).unwrap();
        std::fs::remove_file(place.file("grows")).unwrap();
    }
}

/// Fills a file system until so many bytes are free; what fills it goes when this is dropped.
struct Hog(String);

impl Hog {
    fn all_but(directory: &str, bytes: u64) -> Hog {
        let hog = Hog(format!("{directory}/shmkit-hog-{bytes}"));
        let file = open(&hog.0, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
        let size = free(directory) - bytes;
        good(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, size as i64) });
        assert_eq!(free(directory), bytes);
        hog
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn free(directory: &str) -> u64 {
    unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        good(libc::statvfs(c(directory).as_ptr(), &mut system));
        system.f_bavail * system.f_frsize
    }
}

fn a_full_file_system_changes_nothing<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let name = PosixName::new();
    let most = 64 << 20;
    let region = D::posix_create(name.as_str(), 5000, &growing(most)).unwrap();
    let peer = D::posix_open(name.as_str(), &growing(most)).unwrap();
    let start = region.data();
    region.write(0, &[7; 5000]).unwrap();
    let hog = Hog::all_but("/dev/shm", 128 << 10);
    // What is small is tried, and what is large is looked at before.
    for size in [400_000, 3 << 20, 20 << 20, most] {
        fails(region.grow(size), ENOSPC, &[name.as_str()]);
        assert_eq!((region.size(), object(&region)), (5000, 5000));
        assert_eq!(free("/dev/shm"), 128 << 10, "what a failure took, it gave back");
        peer.follow().unwrap();
        assert_eq!(peer.size(), 5000);
        assert_eq!(region.bytes(0, 5000).unwrap(), [7; 5000]);
    }
    fails(region.grow(20 << 20), ENOSPC, &["131072 bytes free", name.as_str()]);
    // What there is room for goes on.
    region.grow(100_000).unwrap();
    region.write(5000, &[8; 95_000]).unwrap();
    fails(region.grow(400_000), ENOSPC, &["400000"]);
    assert_eq!((region.size(), object(&region)), (100_000, 100_000));
    drop(hog);
    region.grow(400_000).unwrap();
    assert_eq!(region.data(), start);
    assert_eq!(region.bytes(5000, 95_001).unwrap(), [vec![8; 95_000], vec![0]].concat());
    peer.follow().unwrap();
    assert_eq!((peer.size(), peer.bytes(99_999, 1).unwrap()), (400_000, vec![8]));
    D::posix_unlink(name.as_str()).unwrap();
}

/// A memfd has no file system that could be full: the kernel would kill processes before it refused.
fn more_than_the_machine_has_is_enomem<D: Door>() {
    // Should the library try, then this child is the one to be killed, and soon.
    fork(|| {
        std::fs::write("/proc/self/oom_score_adj", "1000").unwrap();
        unsafe { libc::alarm(1) };
        let region = D::create("grows", 5000, &growing(1 << 46)).unwrap();
        for size in [1 << 42, 1 << 46] {
            fails(region.grow(size), ENOMEM, &["'grows'", &(size - 5000).to_string(), "available"]);
            assert_eq!((region.size(), object(&region)), (5000, 5000));
        }
        region.grow(100_000).unwrap();
    })
    .join();
}

/// One that asks for too much holds all that is free for a moment, and what the other has just been given.
fn a_failing_grower_costs_nobody_bytes<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    const STEPS: usize = 40;
    for round in 0..12 {
        let name = PosixName::new();
        let region = D::posix_create(name.as_str(), 4096, &growing(MOST)).unwrap();
        region.write(0, &[1; 4096]).unwrap();
        let hog = Hog::all_but("/dev/shm", (STEPS as u64 + 20) * 4096);
        let (ready, end) = (Line::new(), Line::new());
        let failing = fork(|| {
            let region = D::posix_open(name.as_str(), &growing(MOST)).unwrap();
            ready.tell(0);
            while !end.is_told() {
                fails(region.grow(MOST - round * 4096), ENOSPC, &[]);
            }
        });
        ready.hear();
        let mut tries = 0;
        for step in 1..=STEPS {
            // The other may have it all at the moment.
            while let Err(failure) = region.grow((step + 1) * 4096) {
                assert_eq!(failure.code, -ENOSPC, "{}", failure.message);
                assert_eq!(region.size(), step * 4096);
                tries += 1;
                assert!(tries < 1_000_000);
            }
            if round % 2 == 0 {
                region.write(step * 4096, &[step as u8 + 1; 4096]).unwrap();
            }
        }
        end.tell(0);
        failing.join();
        let size = (STEPS + 1) * 4096;
        assert_eq!((region.size(), object(&region)), (size, size));
        // What nobody has touched yet is reserved all the same.
        assert!(stat(&region.fd().unwrap()).st_blocks as usize * 512 >= size);
        if round % 2 == 1 {
            (1..=STEPS).for_each(|step| region.write(step * 4096, &[step as u8 + 1; 4096]).unwrap());
        }
        for step in 0..=STEPS {
            assert_eq!(region.bytes(step * 4096, 4096).unwrap(), [step as u8 + 1; 4096]);
        }
        drop(hog);
        D::posix_unlink(name.as_str()).unwrap();
    }
}

/// On a memory file fallocate(2) began again after each signal, until Linux made it deaf to them: a large one would
/// never end.
fn a_storm_of_signals_does_not_keep_it_from_growing<D: Door>() {
    static SIGNALS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    extern "C" fn count(_: i32) {
        SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    const LARGE: usize = 64 << 20;
    fork(|| {
        let region = D::create("grows", 5000, &growing(LARGE)).unwrap();
        let count: extern "C" fn(i32) = count;
        let often = libc::timeval { tv_sec: 0, tv_usec: 200 };
        let (storm, calm) = (libc::itimerval { it_interval: often, it_value: often }, unsafe {
            std::mem::zeroed::<libc::itimerval>()
        });
        unsafe {
            libc::signal(libc::SIGALRM, count as libc::sighandler_t);
            good(libc::setitimer(libc::ITIMER_REAL, &storm, std::ptr::null_mut()));
        }
        for size in [LARGE / 2, LARGE] {
            region.grow(size).unwrap();
        }
        good(unsafe { libc::setitimer(libc::ITIMER_REAL, &calm, std::ptr::null_mut()) });
        assert!(SIGNALS.load(std::sync::atomic::Ordering::Relaxed) > 0);
        assert_eq!((region.size(), object(&region)), (LARGE, LARGE));
        assert!(stat(&region.fd().unwrap()).st_blocks as usize * 512 >= LARGE, "reserved");
    })
    .join();
}

/// Where it tried another one has grown meanwhile, and has not touched all of it yet.
fn a_failing_grower_takes_back_its_own_alone<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let name = PosixName::new();
    let region = D::posix_create(name.as_str(), 4096, &growing(MOST)).unwrap();
    let hog = Hog::all_but("/dev/shm", 40 * 4096);
    let failing = fork(|| {
        let region = D::posix_open(name.as_str(), &growing(MOST)).unwrap();
        traced().unwrap();
        fails(region.grow(MOST), ENOSPC, &[]);
        region.follow().unwrap();
        assert_eq!(region.size(), 20 * 4096);
    });
    // It has looked, and is about to try.
    failing.stop_at(libc::SYS_fallocate);
    region.grow(20 * 4096).unwrap();
    region.write(10 * 4096, &[7; 4096]).unwrap();
    failing.go_on();
    failing.join();
    assert!(stat(&region.fd().unwrap()).st_blocks as usize * 512 >= 20 * 4096, "no longer reserved");
    assert_eq!(region.bytes(10 * 4096, 4096).unwrap(), [7; 4096]);
    let full = Hog::all_but("/dev/shm", 0);
    region.write(4096, &[8; 9 * 4096]).unwrap();
    region.write(11 * 4096, &[8; 9 * 4096]).unwrap();
    drop((hog, full));
    D::posix_unlink(name.as_str()).unwrap();
}

/// Another program's ftruncate(2) reserves nothing; growing that far does.
fn what_others_made_longer_gets_its_memory<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let name = PosixName::new();
    let region = D::posix_create(name.as_str(), 4096, &growing(MOST)).unwrap();
    let blocks = || stat(&region.fd().unwrap()).st_blocks as usize * 512;
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(30 * 4096).unwrap();
    assert_eq!(blocks(), 4096);
    let hog = Hog::all_but("/dev/shm", 10 * 4096);
    fails(region.grow(20 * 4096), ENOSPC, &[name.as_str()]);
    assert_eq!((region.size(), object(&region), blocks()), (4096, 30 * 4096, 4096));
    drop(hog);
    region.grow(20 * 4096).unwrap();
    assert_eq!((region.size(), object(&region)), (30 * 4096, 30 * 4096), "as large as the object");
    assert!(blocks() >= 20 * 4096, "reserved as far as it was asked for");
    let full = Hog::all_but("/dev/shm", 0);
    region.write(0, &[7; 20 * 4096]).unwrap();
    refused(region.write(25 * 4096, b"x"), SHMKIT_E_SHRUNK, &["no room"]);
    drop(full);
    D::posix_unlink(name.as_str()).unwrap();
}
