//! Huge pages: from the machine's pool, which can be empty or run out, and those that the kernel makes itself.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{EACCES, EINVAL, ENOMEM, EOPNOTSUPP, ERANGE};

use crate::door::*;
use crate::support::*;

pairs! {
    a_region_on_huge_pages_is_received_by_who_accepts_it: 120,
    a_frame_that_lets_huge_pages_grow_does_not: 120,
    a_published_region_on_huge_pages: 120,
}

scenarios! {
    sizes_are_rounded_and_told: 120,
    calls_keep_to_the_huge_grid: 120,
    flags_of_new_regions: 120,
    descriptors_and_files_of_others: 120,
    a_segment_on_huge_pages_is_attached_by_all: 120,
    an_ordinary_segment_is_not_taken_for_huge: 120,
    the_kernel_makes_huge_pages_of_ordinary_memory: 20,
}

pub const PAGE: usize = HUGE_2M;
pub const GRID: &str = "2097152";

/// So many free huge pages; None, and the reason told, where they cannot be had.
pub fn offered(pages: u64) -> Option<Pools> {
    let pools = Pools::lock().map_err(skip).ok()?;
    pools.offer(PAGE, pages).map_err(skip).ok()?;
    Some(pools)
}

pub fn huge() -> Options {
    with(Flags::HUGE_2M)
}

pub fn or_smaller(flags: Flags) -> Options {
    with(flags | Flags::HUGE_FALLBACK)
}

/// A store by the pointer, in a child.
pub fn store(region: &impl Handle, at: usize) -> End {
    end_of(|| unsafe { region.data().add(at).write_volatile(1) })
}

/// A memfd on huge pages as another program makes it.
fn raw_huge(pages: usize, seals: u32) -> OwnedFd {
    let flags = libc::MFD_HUGETLB | libc::MFD_HUGE_2MB | libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC;
    unsafe {
        let fd = OwnedFd::from_raw_fd(good(libc::memfd_create(c"raw".as_ptr(), flags)));
        good(libc::ftruncate(fd.as_raw_fd(), (pages * PAGE) as i64));
        good(libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals));
        fd
    }
}

fn sizes_are_rounded_and_told<D: Door>() {
    let _ = own_ipc();
    let Some(_pools) = offered(3) else { return };
    for (asked, pages) in [(1, 1), (PAGE - 1, 1), (PAGE, 1), (PAGE + 1, 2), (3 * PAGE, 3)] {
        let region = D::create("frames", asked, &huge()).unwrap();
        let size = pages * PAGE;
        assert_eq!((region.size(), region.size_max(), region.page_size()), (size, size, PAGE));
        assert_eq!((region.kind(), region.name().as_deref()), (SHMKIT_KIND_MEMFD, Some("frames")));
        assert!(region.can_shrink(), "a pool can run out");
        assert_eq!(available(PAGE), Some(3 - pages as u64), "promised");
        let seals = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_EXEC;
        assert_eq!(region.seals().unwrap(), seals);
        let stat = stat(&region.fd().unwrap());
        assert_eq!((stat.st_mode & 0o7777, stat.st_size, stat.st_blksize), (0o600, size as i64, PAGE as i64));
        assert_eq!(region.data() as usize % PAGE, 0);
        let row = format!("{:x}-", region.data() as usize);
        let row = mappings().into_iter().find(|line| line.starts_with(&row)).unwrap();
        assert!(row.contains(" rw-s "), "never executable: {row}");
        for at in [0, size / 2, size - 1] {
            assert_eq!(region.bytes(at, 1).unwrap(), [0]);
            region.write(at, b"x").unwrap();
            assert_eq!(unsafe { region.data().add(at).read_volatile() }, b'x');
        }
        fails(region.read(size, &mut [0]), ERANGE, &[&size.to_string()]);
        drop(region);

        let segment = D::sysv_create(0, asked, &with(Flags::HUGE_2M | Flags::AUTO_REMOVE)).unwrap();
        assert_eq!((segment.size(), segment.page_size(), segment.can_shrink()), (size, PAGE, true));
        assert_eq!(D::sysv_stat(segment.sysv_id().unwrap()).unwrap().size_bytes, size as u64);
        segment.write(size - 1, b"x").unwrap();
        assert_eq!(segment.bytes(size - 2, 2).unwrap(), b"\0x");
        drop(segment);
        assert_eq!(available(PAGE), Some(3), "all given back");
    }
    fails(D::create("frames", 3 * PAGE + 1, &huge()), ENOMEM, &["'frames'"]);
    let region = D::create("frames", 3 * PAGE + 1, &or_smaller(Flags::HUGE_2M)).unwrap();
    assert_eq!((region.size(), region.page_size()), (3 * PAGE + 1, page()));
    assert_eq!(available(PAGE), Some(3), "the attempt has kept none");
}

fn calls_keep_to_the_huge_grid<D: Door>() {
    let _ = own_ipc();
    let Some(_pools) = offered(3) else { return };
    for make in [0, 1] {
        let region = match make {
            0 => D::create("frames", 3 * PAGE, &huge()),
            _ => D::sysv_create(0, 3 * PAGE, &with(Flags::HUGE_2M | Flags::AUTO_REMOVE)),
        };
        let region = region.unwrap();
        let size = 3 * PAGE;
        let content = vec![7; size];
        region.write(0, &content).unwrap();
        assert!(region.bytes(0, size).unwrap() == content);
        for (offset, length) in [(0, size), (1, 1), (PAGE - 1, 2), (size - 1, 1), (size, 0), (5000, PAGE)] {
            region.check(offset, length).unwrap();
            region.prefault(offset, length).unwrap();
            region.lock(offset, length).unwrap();
            region.unlock(offset, length).unwrap();
            region.flush(offset, length).unwrap();
            region.flush_async(offset, length).unwrap();
            region.at(offset, length, 1).unwrap();
        }
        for (offset, length) in [(size, 1), (0, size + 1), (usize::MAX, 1)] {
            fails(region.check(offset, length), ERANGE, &[&size.to_string()]);
            fails(region.prefault(offset, length), ERANGE, &[]);
        }
        for offset in [1, 4096, PAGE - 4096, PAGE + 4096] {
            let says = [&*format!("offset {offset}"), "page size", GRID];
            fails(region.protect(offset, 1, SHMKIT_RIGHTS_READ), EINVAL, &says);
            fails(region.advise(offset, 1, SHMKIT_ADVICE_NORMAL), EINVAL, &says);
        }
        for advice in [SHMKIT_ADVICE_NO_DUMP, SHMKIT_ADVICE_DUMP, SHMKIT_ADVICE_NORMAL] {
            region.advise(PAGE, 1, advice).unwrap();
        }
        // A part of a huge page is the whole of it.
        region.protect(PAGE, 1, SHMKIT_RIGHTS_READ).unwrap();
        for at in [PAGE, PAGE + 1, 2 * PAGE - 1] {
            fails(region.write(at, b"x"), EACCES, &[]);
            assert_eq!(store(&region, at), End::Signal(libc::SIGSEGV));
            assert_eq!(region.bytes(at, 1).unwrap(), [7]);
        }
        for at in [PAGE - 1, 2 * PAGE] {
            region.write(at, b"x").unwrap();
        }
        region.protect(PAGE, PAGE, SHMKIT_RIGHTS_NONE).unwrap();
        fails(region.read(2 * PAGE - 1, &mut [0]), EACCES, &[]);
        fails(region.check(PAGE, 1), EACCES, &["protect"]);
        region.protect(0, size, SHMKIT_RIGHTS_READ_WRITE).unwrap();
        region.write(PAGE, b"again").unwrap();
    }
}

fn flags_of_new_regions<D: Door>() {
    let Some(_pools) = offered(2) else { return };
    let make = |flags: Flags| D::create("frames", 1, &with(flags | Flags::HUGE_2M)).unwrap();
    for flags in [Flags::POPULATE, Flags::LOCKED, Flags::NO_FORK, Flags::NO_RESERVE] {
        let region = make(flags);
        region.write(PAGE - 1, b"x").unwrap();
        assert_eq!(region.bytes(PAGE - 2, 2).unwrap(), b"\0x");
    }
    assert_eq!(store(&make(Flags::NO_FORK), 0), End::Signal(libc::SIGSEGV));
    assert_eq!(store(&make(Flags::POPULATE), PAGE - 1), End::Exit(0));
    let reader = make(Flags::READ_ONLY);
    assert_eq!(reader.bytes(0, 1).unwrap(), [0]);
    fails(reader.write(0, b"x"), EACCES, &[]);
    let private = make(Flags::PRIVATE);
    private.write(0, b"mine").unwrap();
    assert_eq!(private.bytes(0, 4).unwrap(), b"mine");
    for (flag, name) in [(Flags::GROWABLE, "GROWABLE"), (Flags::MIRROR, "MIRROR")] {
        let options = Options { size_max: 1 << 30, ..with(flag | Flags::HUGE_2M) };
        fails(D::create("frames", PAGE, &options), EINVAL, &[name, "HUGE_2M"]);
    }
}

fn a_region_on_huge_pages_is_received_by_who_accepts_it<S: Door, R: Door>() {
    let Some(_pools) = offered(4) else { return };
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let region = S::create("frames", PAGE + 1, &huge()).unwrap();
        let receive = |options: &Options| {
            S::send_region(one.as_raw_fd(), &region, None).unwrap();
            R::recv_region(other.as_raw_fd(), options, None)
        };
        region.write(2 * PAGE - 4, b"here").unwrap();
        for flags in [Flags::empty(), Flags::READ_ONLY, Flags::RISK_SHRINK, Flags::HUGE_1G, Flags::MIRROR] {
            fails(receive(&with(flags)), EOPNOTSUPP, &["region", GRID, "HUGE_2M"]);
        }
        fails(receive(&with(Flags::HUGE_2M | Flags::MIRROR)), EINVAL, &["MIRROR", "HUGE_2M"]);
        // Refused before it was taken: it waits still.
        R::recv_region(other.as_raw_fd(), &huge(), None).unwrap();
        for flags in [Flags::HUGE_2M, Flags::HUGE_2M | Flags::HUGE_1G, Flags::HUGE_2M | Flags::POPULATE] {
            let arrived = receive(&with(flags)).unwrap();
            assert_eq!((arrived.size(), arrived.page_size(), arrived.can_shrink()), (2 * PAGE, PAGE, true));
            assert_eq!(
                (arrived.kind(), arrived.bytes(2 * PAGE - 4, 4).unwrap()),
                (SHMKIT_KIND_MEMFD, b"here".to_vec())
            );
            arrived.write(PAGE - 1, b"ab").unwrap();
            assert_eq!(region.bytes(PAGE - 1, 2).unwrap(), b"ab");
            fails(arrived.protect(4096, 1, SHMKIT_RIGHTS_READ), EINVAL, &[GRID]);
        }
        let private = receive(&with(Flags::HUGE_2M | Flags::PRIVATE)).unwrap();
        private.write(0, b"mine").unwrap();
        assert_eq!(region.bytes(0, 4).unwrap(), [0; 4]);
        drop(private);
        let few = Options { size_max: 2 * PAGE as u64 - 1, ..huge() };
        fails(receive(&few), libc::EFBIG, &["4194304"]);
        // Between processes, and from one to the next.
        let (here, there) = (Line::new(), Line::new());
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        let child = fork(|| {
            let arrived = R::recv_region(other.as_raw_fd(), &with(Flags::HUGE_2M | Flags::READ_ONLY), None);
            let arrived = arrived.unwrap();
            fails(arrived.write(0, b"x"), EACCES, &[]);
            there.tell(0);
            here.hear();
            assert_eq!(arrived.bytes(5, 3).unwrap(), b"new");
        });
        there.hear();
        region.write(5, b"new").unwrap();
        here.tell(0);
        child.join();
        let arrived = receive(&huge()).unwrap();
        R::send_region(other.as_raw_fd(), &arrived, None).unwrap();
        let third = S::recv_region(one.as_raw_fd(), &huge(), None).unwrap();
        assert_eq!((third.page_size(), third.bytes(5, 3).unwrap()), (PAGE, b"new".to_vec()));
        // Ordinary pages are welcome to who accepts huge ones too.
        let ordinary = S::create("frames", 5000, &plain()).unwrap();
        S::send_region(one.as_raw_fd(), &ordinary, None).unwrap();
        let arrived = R::recv_region(other.as_raw_fd(), &huge(), None).unwrap();
        assert_eq!((arrived.size(), arrived.page_size(), arrived.can_shrink()), (5000, page(), false));
    }
}

/// Growing in place is for ordinary pages: a hostile frame changes nothing in that, and takes no pages away.
fn a_frame_that_lets_huge_pages_grow_does_not<S: Door, R: Door>() {
    let Some(_pools) = offered(2) else { return };
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    for reserve in [2 * PAGE as u64, 1 << 40] {
        let fd = raw_huge(1, SHMKIT_SEAL_SHRINK);
        let mut frame = b"shmkit\0R".to_vec();
        frame.extend([1u32, 1].iter().flat_map(|it| it.to_ne_bytes()));
        frame.extend([PAGE as u64, 0].iter().flat_map(|it| it.to_ne_bytes()));
        frame.extend([3u32, 1].iter().flat_map(|it| it.to_ne_bytes()));
        frame.extend(reserve.to_ne_bytes());
        frame.extend([0; 16]);
        raw_send(&one, &frame, &[fd.as_raw_fd()]).unwrap();
        let answer = R::recv_region(other.as_raw_fd(), &Options { size_max: 1 << 40, ..huge() }, None);
        match answer {
            Ok(region) => {
                assert_eq!((region.size(), region.size_max()), (PAGE, PAGE), "not growable");
                fails(region.grow(2 * PAGE), EOPNOTSUPP, &["GROWABLE"]);
                assert_eq!(available(PAGE), Some(1), "one page is promised, and no more");
                region.write(PAGE - 1, b"x").unwrap();
            }
            Err(failure) => assert_eq!(failure.code, SHMKIT_E_NOT_REGION, "{}", failure.message),
        }
    }
    let region = S::create("frames", 5000, &plain()).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
}

fn a_published_region_on_huge_pages<S: Door, R: Door>() {
    let Some(_pools) = offered(2) else { return };
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (here, there) = (Line::new(), Line::new());
    let reader = fork(|| {
        let region = R::recv_region(other.as_raw_fd(), &huge(), None).unwrap();
        assert_eq!((region.size(), region.page_size(), region.can_shrink()), (2 * PAGE, PAGE, true));
        fails(region.write(0, b"x"), EACCES, &[]);
        assert_eq!(store(&region, 0), End::Signal(libc::SIGSEGV));
        let fd = region.fd().unwrap();
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        assert_eq!(unsafe { libc::mprotect(region.data().cast(), PAGE, rights) }, -1);
        for fd in [fd, open(format!("/proc/self/fd/{fd}"), libc::O_RDWR).as_raw_fd()] {
            let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, libc::MAP_SHARED, fd, 0) };
            assert_eq!(at, libc::MAP_FAILED);
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            assert_eq!(unsafe { libc::fallocate(fd, hole, 0, PAGE as i64) }, -1);
            assert_eq!(unsafe { libc::ftruncate(fd, 0) }, -1);
        }
        there.tell(0);
        here.hear();
        assert_eq!(region.bytes(PAGE - 3, 6).unwrap(), b"record");
    });
    let region = S::create("published", 2 * PAGE, &huge()).unwrap();
    region.write(0, &vec![7; 2 * PAGE]).unwrap();
    region.publish_read_only().unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    there.hear();
    region.write(PAGE - 3, b"record").unwrap();
    here.tell(0);
    reader.join();
    assert!(region.bytes(0, PAGE - 3).unwrap() == vec![7; PAGE - 3], "unharmed");
}

fn descriptors_and_files_of_others<D: Door>() {
    let Some(_pools) = offered(4) else { return };
    let fd = raw_huge(3, SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW);
    let number = number(&fd);
    fails(D::from_fd(fd.as_raw_fd(), 0, &plain()), EOPNOTSUPP, &[&number, GRID, "HUGE_2M"]);
    fails(D::from_fd(fd.as_raw_fd(), 0, &with(Flags::HUGE_1G)), EOPNOTSUPP, &[&number, GRID]);
    for offset in [1, 4096, PAGE as u64 + 4096] {
        let options = Options { offset, ..huge() };
        fails(D::from_fd(fd.as_raw_fd(), 1, &options), EINVAL, &[&offset.to_string(), "page size", GRID]);
    }
    let whole = D::from_fd(fd.as_raw_fd(), 0, &huge()).unwrap();
    assert_eq!((whole.size(), whole.page_size(), whole.can_shrink()), (3 * PAGE, PAGE, true));
    assert_eq!(whole.kind(), SHMKIT_KIND_MEMFD);
    let window = D::from_fd(fd.as_raw_fd(), 5000, &Options { offset: PAGE as u64, ..huge() }).unwrap();
    assert_eq!(window.size(), 5000);
    window.write(4999, b"x").unwrap();
    assert_eq!(whole.bytes(PAGE + 4999, 1).unwrap(), b"x");
    let rest = D::from_fd(fd.as_raw_fd(), 0, &Options { offset: PAGE as u64, ..huge() }).unwrap();
    assert_eq!(rest.size(), 2 * PAGE);
    fails(D::from_fd(fd.as_raw_fd(), 3 * PAGE + 1, &huge()), EINVAL, &["6291456 bytes"]);
    drop((whole, window, rest, fd));

    // A file system of huge pages, as some machines have it mounted.
    let place = Directory::new();
    let mounted = own_mounts()
        .and_then(|()| mount("none", place.path().to_str().unwrap(), "hugetlbfs", 0, "pagesize=2M"));
    if let Err(why) = mounted {
        return skip(why);
    }
    let path = place.file("pages");
    fails(D::file_create(&path, 5000, &plain()), EOPNOTSUPP, &["/pages'"]);
    assert_eq!(place.entries(), [""; 0]);
    let file = open(&path, libc::O_RDWR | libc::O_CREAT);
    good(unsafe { libc::ftruncate(file.as_raw_fd(), 2 * PAGE as i64) });
    fails(D::file_open(&path, 0, &plain()), EOPNOTSUPP, &["/pages'", GRID]);
    fails(D::file_open(&path, 0, &growing(1 << 30)), EOPNOTSUPP, &["/pages'", GRID]);
    let region = D::file_open(&path, 0, &huge()).unwrap();
    assert_eq!((region.size(), region.page_size(), region.can_shrink()), (2 * PAGE, PAGE, true));
    region.write(2 * PAGE - 1, b"x").unwrap();
    good(unsafe { libc::ftruncate(file.as_raw_fd(), PAGE as i64) });
    refused(region.read(2 * PAGE - 1, &mut [0]), SHMKIT_E_SHRUNK, &["2097152 bytes now"]);
    region.write(PAGE - 1, b"x").unwrap();
    drop((region, file));
    std::fs::remove_file(&path).unwrap();
    good(unsafe { libc::umount(c(place.path().to_str().unwrap()).as_ptr()) });
}

fn a_segment_on_huge_pages_is_attached_by_all<D: Door>() {
    let _ = own_ipc();
    let key = Key::new();
    let Some(_pools) = offered(2) else { return };
    let region = D::sysv_create(key.get(), PAGE + 1, &huge()).unwrap();
    let id = region.sysv_id().unwrap();
    region.write(PAGE, b"here").unwrap();
    fork(|| {
        let reader = with(Flags::READ_ONLY);
        for (answer, writes) in [
            (D::sysv_attach(key.get(), &plain()), true),
            (D::sysv_attach_id(id, &plain()), true),
            (D::sysv_attach(key.get(), &reader), false),
            (D::sysv_create(key.get(), 5000, &with(Flags::OR_OPEN)), true),
            (D::sysv_create(key.get(), PAGE, &with(Flags::OR_OPEN | Flags::HUGE_2M)), true),
        ] {
            let attached = answer.unwrap();
            assert_eq!(
                (attached.size(), attached.page_size(), attached.can_shrink()),
                (2 * PAGE, PAGE, true)
            );
            assert_eq!((attached.created(), attached.bytes(PAGE, 4).unwrap()), (false, b"here".to_vec()));
            fails(attached.protect(4096, 1, SHMKIT_RIGHTS_READ), EINVAL, &[GRID]);
            attached.check(0, 2 * PAGE).unwrap();
            attached.protect(PAGE, PAGE, SHMKIT_RIGHTS_READ).unwrap();
            if writes {
                attached.write(0, b"back").unwrap();
            }
        }
        fails(D::sysv_attach(key.get(), &huge()), EINVAL, &["shm_sysv_attach", "HUGE_2M"]);
    })
    .join();
    assert_eq!(region.bytes(0, 4).unwrap(), b"back");
    let (one, _other) = socketpair(libc::SOCK_SEQPACKET);
    fails(D::send_region(one.as_raw_fd(), &region, None), EOPNOTSUPP, &[&id.to_string()]);
    fails(D::sysv_create_at("/", 1, PAGE, &huge()), EINVAL, &["shm_sysv_create_at", "HUGE_2M"]);
    D::sysv_remove(id).unwrap();
    drop(region);
    assert_eq!(available(PAGE), Some(2));
}

/// The kernel does not tell whether a segment is on huge pages; what looks like it may just be locked.
fn an_ordinary_segment_is_not_taken_for_huge<D: Door>() {
    let _ = own_ipc();
    let region = D::sysv_create(0, 4 << 20, &plain()).unwrap();
    let id = region.sysv_id().unwrap();
    fork(|| {
        good(unsafe { libc::mlockall(libc::MCL_FUTURE) });
        let several: Vec<_> = (0..8).map(|_| D::sysv_attach_id(id, &plain()).unwrap()).collect();
        for attached in &several {
            assert_eq!(
                (attached.size(), attached.page_size(), attached.can_shrink()),
                (4 << 20, page(), false)
            );
            attached.protect(4096, 4096, SHMKIT_RIGHTS_READ).unwrap();
        }
    })
    .join();
    assert_eq!((region.page_size(), region.can_shrink()), (page(), false));
    D::sysv_remove(id).unwrap();
}

/// A field of the mapping that begins here, in KiB.
fn smaps(at: *mut u8, field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let head = format!("{:x}-", at as usize);
    let row =
        text.lines().skip_while(|row| !row.starts_with(&head)).find(|row| row.starts_with(field)).unwrap();
    row.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn the_kernel_makes_huge_pages_of_ordinary_memory<D: Door>() {
    const SIZE: usize = 2 * PAGE;
    let region = D::create("frames", SIZE, &plain()).unwrap();
    let content: Vec<u8> = (1..=251).collect::<Vec<u8>>().repeat(SIZE / 251);
    region.write(0, &content).unwrap();
    assert_eq!(smaps(region.data(), "ShmemPmdMapped"), 0);
    region.advise(0, SIZE, SHMKIT_ADVICE_HUGE).unwrap();
    // Whatever the system's setting.
    match region.advise(0, SIZE, SHMKIT_ADVICE_COLLAPSE) {
        Ok(()) => assert_eq!(smaps(region.data(), "ShmemPmdMapped"), SIZE as u64 >> 10),
        Err(failure) if failure.code == -EINVAL => skip(format!("MADV_COLLAPSE: {}", failure.message)),
        failed => fails(failed, ENOMEM, &["'frames'"]),
    }
    assert!(region.bytes(0, content.len()).unwrap() == content);
    // That is the kernel's affair: the region's pages are ordinary ones, and cannot run out.
    assert_eq!((region.page_size(), region.can_shrink(), region.size()), (page(), false, SIZE));
    region.protect(4096, 4096, SHMKIT_RIGHTS_READ).unwrap();
    region.protect(0, SIZE, SHMKIT_RIGHTS_READ_WRITE).unwrap();
    region.write(5000, b"x").unwrap();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let arrived = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    assert_eq!((arrived.bytes(5000, 1).unwrap(), arrived.page_size()), (b"x".to_vec(), page()));
    region.advise(0, SIZE, SHMKIT_ADVICE_NO_HUGE).unwrap();
    region.advise(0, SIZE, SHMKIT_ADVICE_NORMAL).unwrap();
}
