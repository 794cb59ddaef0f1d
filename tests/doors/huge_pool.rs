//! The machine's pool of huge pages: empty, promised to others, run out, or not for this user.

use std::os::fd::AsRawFd;

use libc::{EACCES, EBUSY, EINVAL, ENOMEM, EOPNOTSUPP, EPERM};

use crate::door::*;
use crate::huge::{huge, offered, or_smaller, store, GRID, PAGE};
use crate::support::*;

scenarios! {
    an_empty_pool_is_enomem_or_ordinary_pages: 120,
    a_pool_that_is_promised_is_not_free: 120,
    beyond_the_pool_is_an_error_and_no_signal: 120,
    sealed_or_not_they_can_run_out: 120,
    freezing_takes_nothing_away: 120,
    one_gigabyte_or_what_there_is: 120,
    an_ordinary_user_is_told_what_it_takes: 120,
}

fn an_empty_pool_is_enomem_or_ordinary_pages<D: Door>() {
    let _ = own_ipc();
    let key = Key::new();
    let Some(pools) = offered(0) else { return };
    let says = [&*format!("0 of {} huge pages", in_pool(PAGE)), GRID, &pool(PAGE)];
    fails(D::create("frames", 5000, &huge()), ENOMEM, &[&says[..], &["'frames'"]].concat());
    fails(D::sysv_create(key.get(), 5000, &huge()), ENOMEM, &[&says[..], &[&key.hex()]].concat());
    fails(D::sysv_attach(key.get(), &plain()), libc::ENOENT, &[]);
    let of_1g = pools.offer(HUGE_1G, 0);
    if let Err(why) = &of_1g {
        skip(why);
    }
    for flags in [Flags::HUGE_2M, Flags::HUGE_1G] {
        if flags == Flags::HUGE_1G && of_1g.is_err() {
            continue;
        }
        let region = D::create("frames", 5000, &or_smaller(flags)).unwrap();
        assert_eq!((region.size(), region.page_size()), (5000, page()), "to the byte");
        assert!(!region.can_shrink());
        region.write(4999, b"x").unwrap();
        let segment = D::sysv_create(key.get(), 5000, &or_smaller(flags)).unwrap();
        assert_eq!((segment.size(), segment.page_size(), segment.can_shrink()), (5000, page(), false));
        segment.write(4999, b"x").unwrap();
        // What exists is found, and not made again on other pages.
        let found = D::sysv_create(key.get(), 5000, &or_smaller(flags | Flags::OR_OPEN)).unwrap();
        assert_eq!((found.created(), found.bytes(4999, 1).unwrap()), (false, b"x".to_vec()));
        fails(D::sysv_create(key.get(), 5000, &or_smaller(flags)), libc::EEXIST, &[]);
        D::sysv_remove(segment.sysv_id().unwrap()).unwrap();
    }
    // What no machine has is refused before the pool is asked.
    for size in [usize::MAX, i64::MAX as usize, 1 << 62] {
        for options in [huge(), or_smaller(Flags::HUGE_2M), or_smaller(Flags::HUGE_1G)] {
            let answer = D::create("frames", size, &options);
            fails(answer, ENOMEM, &["'frames'"]);
        }
    }
    for both in [Flags::HUGE_2M | Flags::HUGE_1G, Flags::HUGE_FALLBACK | Flags::HUGE_2M | Flags::HUGE_1G] {
        fails(D::create("frames", 5000, &with(both)), EINVAL, &["HUGE_2M", "HUGE_1G"]);
        fails(D::sysv_create(key.get(), 5000, &with(both)), EINVAL, &["HUGE_2M", "HUGE_1G"]);
    }
    fails(D::create("frames", 5000, &with(Flags::HUGE_FALLBACK)), EINVAL, &["HUGE_FALLBACK"]);
    fails(D::sysv_create(key.get(), 5000, &with(Flags::HUGE_FALLBACK)), EINVAL, &["HUGE_FALLBACK"]);
    fails(D::create("frames", 0, &huge()), EINVAL, &["0 bytes"]);
    fails(D::sysv_create(key.get(), 0, &huge()), EINVAL, &[&key.hex()]);
    fails(D::sysv_attach(key.get(), &plain()), libc::ENOENT, &[]);
}

/// Pages that a region was promised are no more to be had, though nobody has touched them yet.
fn a_pool_that_is_promised_is_not_free<D: Door>() {
    let _ = own_ipc();
    let Some(_pools) = offered(2) else { return };
    let first = D::create("first", 2 * PAGE, &huge()).unwrap();
    assert_eq!(available(PAGE), Some(0));
    let says = format!("0 of {} huge pages", in_pool(PAGE));
    fails(D::create("second", 1, &huge()), ENOMEM, &["'second'", &says]);
    fails(D::sysv_create(0, 1, &huge()), ENOMEM, &[&says]);
    first.write(0, &[1; 2 * PAGE]).unwrap();
    fails(D::create("second", 1, &huge()), ENOMEM, &["'second'", &says]);
    drop(first);
    assert_eq!(available(PAGE), Some(2), "given back");
    D::create("second", 2 * PAGE, &huge()).unwrap();
}

/// Without a promise the pool may be empty at any touch.
fn beyond_the_pool_is_an_error_and_no_signal<D: Door>() {
    let _ = own_ipc();
    let Some(_pools) = offered(2) else { return };
    let sparse = with(Flags::HUGE_2M | Flags::NO_RESERVE);
    for make in [0, 1] {
        let region = match make {
            0 => D::create("sparse", 4 * PAGE, &sparse),
            _ => D::sysv_create(0, 4 * PAGE, &Options { flags: sparse.flags | Flags::AUTO_REMOVE, ..sparse }),
        };
        let region = region.unwrap();
        assert_eq!((region.size(), region.can_shrink(), available(PAGE)), (4 * PAGE, true, Some(2)));
        region.write(0, b"first").unwrap();
        region.write(3 * PAGE, b"last").unwrap();
        assert_eq!(available(PAGE), Some(0));
        let says = ["no free huge page", &*pool(PAGE)];
        for at in [PAGE, 2 * PAGE - 1, 2 * PAGE] {
            refused(region.read(at, &mut [0]), SHMKIT_E_SHRUNK, &says);
            refused(region.write(at, b"x"), SHMKIT_E_SHRUNK, &says);
            refused(region.check(at, 1), SHMKIT_E_SHRUNK, &says);
            refused(region.prefault(at, 1), SHMKIT_E_SHRUNK, &says);
            assert_eq!(store(&region, at), End::Signal(libc::SIGBUS), "where checked access says so");
        }
        refused(region.write(PAGE - 1, b"xx"), SHMKIT_E_SHRUNK, &[]);
        refused(region.prefault(0, 4 * PAGE), SHMKIT_E_SHRUNK, &says);
        assert_eq!(region.bytes(0, 5).unwrap(), b"first");
        assert_eq!(region.bytes(3 * PAGE, 4).unwrap(), b"last");
    }
    assert_eq!(available(PAGE), Some(2));
    let full = D::create("full", 2 * PAGE, &huge()).unwrap();
    let region = D::create("sparse", PAGE, &sparse).unwrap();
    refused(region.write(0, b"x"), SHMKIT_E_SHRUNK, &["no free huge page"]);
    drop(full);
    // There is one again.
    region.write(0, b"x").unwrap();
    let answer = D::create("sparse", 3 * PAGE, &with(Flags::HUGE_2M | Flags::NO_RESERVE | Flags::POPULATE));
    refused(answer, SHMKIT_E_SHRUNK, &["no free huge page"]);
}

/// No seal keeps pages in the pool.
fn sealed_or_not_they_can_run_out<D: Door>() {
    let Some(_pools) = offered(1) else { return };
    let sparse = with(Flags::HUGE_2M | Flags::NO_RESERVE);
    type Seal<R> = fn(&R) -> Answer<()>;
    let seals: [Seal<D::Region>; 4] = [
        |_| Ok(()),
        |region| region.seal(SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW),
        |region| region.publish_read_only(),
        |region| region.freeze(),
    ];
    for (at, seal) in seals.iter().enumerate() {
        let region = D::create("sparse", 2 * PAGE, &sparse).unwrap();
        region.write(0, b"first").unwrap();
        seal(&region).unwrap();
        assert!(region.can_shrink(), "a pool can run out, {at}");
        assert_eq!(region.bytes(0, 5).unwrap(), b"first");
        // Not in this process at first, which it would end.
        let end = end_of(|| {
            refused(region.read(PAGE, &mut [0]), SHMKIT_E_SHRUNK, &["no free huge page"]);
            if at < 3 {
                refused(region.write(PAGE, b"x"), SHMKIT_E_SHRUNK, &["no free huge page"]);
            }
        });
        assert_eq!(end, End::Exit(0), "{at}");
    }
}

/// With no page left in the pool, too: what is frozen needs no more of them.
fn freezing_takes_nothing_away<D: Door>() {
    for pages in [1, 2] {
        let Some(_pools) = offered(pages) else { return };
        let region = D::create("frames", PAGE, &huge()).unwrap();
        region.write(0, &vec![7; PAGE]).unwrap();
        let start = region.data();
        let peer = D::from_fd(region.fd().unwrap(), 0, &huge()).unwrap();
        fails(region.freeze(), EBUSY, &["'frames'"]);
        // Not in this process at first, which a hole would end.
        assert_eq!(end_of(|| region.write(0, b"x").unwrap()), End::Exit(0), "it was to stay writable");
        assert_eq!(peer.bytes(0, 2).unwrap(), [b'x', 7]);
        drop(peer);
        region.freeze().unwrap();
        fails(region.write(0, b"x"), EACCES, &[]);
        assert_eq!(store(&region, 0), End::Signal(libc::SIGSEGV));
        assert!(region.bytes(1, PAGE - 1).unwrap() == vec![7; PAGE - 1]);
        assert_eq!((region.data(), available(PAGE)), (start, Some(pages - 1)));
        assert!(region.can_shrink());
    }
}

/// The machine may not have a gigabyte in one piece: then the codes are as for an empty pool.
fn one_gigabyte_or_what_there_is<D: Door>() {
    let _ = own_ipc();
    let pools = match Pools::lock() {
        Ok(pools) => pools,
        Err(why) => return skip(why),
    };
    if let Err(why) = pools.offer(PAGE, 1) {
        return skip(why);
    }
    let flags = Flags::HUGE_1G | Flags::AUTO_REMOVE;
    if available(HUGE_1G).is_none() {
        skip("no pages of 1 GiB here: they are refused");
        fails(D::create("frames", 5000, &with(Flags::HUGE_1G)), EOPNOTSUPP, &["'frames'"]);
        fails(D::sysv_create(0, 5000, &with(flags)), EOPNOTSUPP, &[]);
    } else if let Err(why) = pools.offer(HUGE_1G, 1) {
        skip(format!("{why}: they are refused"));
        let says = ["1073741824", &*pool(HUGE_1G)];
        fails(D::create("frames", 5000, &with(Flags::HUGE_1G)), ENOMEM, &says);
        fails(D::sysv_create(0, 5000, &with(flags)), ENOMEM, &says);
    } else {
        let region = D::create("frames", 5000, &with(Flags::HUGE_1G)).unwrap();
        assert_eq!((region.size(), region.page_size()), (HUGE_1G, HUGE_1G));
        assert!(region.can_shrink());
        for at in [0, HUGE_1G / 2, HUGE_1G - 1] {
            region.write(at, b"x").unwrap();
            assert_eq!(region.bytes(at, 1).unwrap(), b"x");
        }
        fails(region.protect(PAGE, 1, SHMKIT_RIGHTS_READ), EINVAL, &["1073741824"]);
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        for _ in 0..2 {
            D::send_region(one.as_raw_fd(), &region, None).unwrap();
        }
        fails(D::recv_region(other.as_raw_fd(), &huge(), None), EOPNOTSUPP, &["1073741824"]);
        let both = with(Flags::HUGE_2M | Flags::HUGE_1G);
        assert_eq!(D::recv_region(other.as_raw_fd(), &both, None).unwrap().page_size(), HUGE_1G);
        // The next one has to do with less.
        let says = ["0 of ", &*pool(HUGE_1G)];
        fails(D::create("second", 5000, &with(Flags::HUGE_1G)), ENOMEM, &says);
        let smaller = D::create("second", 5000, &or_smaller(Flags::HUGE_1G)).unwrap();
        assert_eq!((smaller.size(), smaller.page_size()), (PAGE, PAGE));
        drop((region, smaller));
        let segment = D::sysv_create(0, 5000, &with(flags)).unwrap();
        assert_eq!((segment.size(), segment.page_size()), (HUGE_1G, HUGE_1G));
        let found = D::sysv_attach_id(segment.sysv_id().unwrap(), &plain()).unwrap();
        found.write(HUGE_1G - 1, b"x").unwrap();
        assert_eq!((found.page_size(), segment.bytes(HUGE_1G - 1, 1).unwrap()), (HUGE_1G, b"x".to_vec()));
        drop((segment, found));
        assert_eq!(available(HUGE_1G), Some(1));
        return;
    }
    let smaller = D::create("frames", 5000, &or_smaller(Flags::HUGE_1G)).unwrap();
    assert_eq!((smaller.size(), smaller.page_size()), (PAGE, PAGE));
    let smallest = D::sysv_create(0, 5000, &or_smaller(flags)).unwrap();
    assert_eq!((smallest.size(), smallest.page_size()), (5000, page()));
}

fn an_ordinary_user_is_told_what_it_takes<D: Door>() {
    let _ = own_ipc();
    let key = Key::new();
    let Some(_pools) = offered(2) else { return };
    let child = fork_as_nobody(|| {
        let says = ["CAP_IPC_LOCK", "vm.hugetlb_shm_group", &*key.hex()];
        fails(D::sysv_create(key.get(), 1, &huge()), EPERM, &says);
        fails(D::sysv_attach(key.get(), &plain()), libc::ENOENT, &[]);
        let segment = D::sysv_create(key.get(), 5000, &or_smaller(Flags::HUGE_2M)).unwrap();
        assert_eq!((segment.size(), segment.page_size()), (5000, page()));
        D::sysv_remove(segment.sysv_id().unwrap()).unwrap();
        // A memfd takes no more than the pool.
        let region = D::create("frames", 1, &huge()).unwrap();
        region.write(PAGE - 1, b"x").unwrap();
    });
    match child {
        Ok(child) => child.join(),
        Err(why) => skip(why),
    }
}
