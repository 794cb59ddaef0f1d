//! What can be mapped, which range of it, and what happens when the file goes away beneath.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{EACCES, EBADF, EEXIST, EINVAL, EMFILE, ENODEV, ENOENT, ENOMEM, EOVERFLOW};

use crate::door::*;
use crate::support::*;

scenarios! {
    an_offset_off_the_page_grid_names_the_grid,
    nothing_has_no_bytes,
    only_regular_files_are_mapped,
    a_write_only_descriptor_is_eacces,
    a_bad_descriptor_is_ebadf,
    beyond_all_numbers_is_eoverflow,
    longer_than_memory_is_enomem,
    more_than_the_machine_has_is_enomem: 20,
    too_many_mappings_are_enomem: 20,
    too_many_descriptors_are_emfile,
    a_window_of_a_file,
    more_than_the_file_has_is_refused_or_past_the_end,
    a_kind_refuses_flags_that_it_has_no_use_for,
    file_paths_fail_as_open_does,
    a_file_is_made_whole_and_exclusively,
}

fn an_offset_off_the_page_grid_names_the_grid<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[1; 20_000]);
    let file = open(&path, libc::O_RDWR);
    let _object = D::posix_create(name.as_str(), 20_000, &plain()).unwrap();
    for offset in [1, 80, 4095, 4097, u64::MAX] {
        let options = Options { offset, ..plain() };
        let says = [&format!("offset {offset}"), "multiple of the page size", &page().to_string()];
        for size in [0, 1] {
            fails(D::file_open(&path, size, &options), EINVAL, &says);
            fails(D::from_fd(file.as_raw_fd(), size, &options), EINVAL, &says);
        }
        fails(D::posix_open(name.as_str(), &options), EINVAL, &says);
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn nothing_has_no_bytes<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[]);
    fails(D::create("empty", 0, &plain()), EINVAL, &["'empty'", "0 bytes"]);
    fails(D::anon_create(0, &plain()), EINVAL, &["0 bytes"]);
    fails(D::posix_create(name.as_str(), 0, &plain()), EINVAL, &[name.as_str(), "0 bytes"]);
    fails(D::file_create(&directory.file("new"), 0, &plain()), EINVAL, &["/new'", "0 bytes"]);
    fails(D::file_open(&path, 0, &plain()), EINVAL, &["/block'", "empty"]);
    fails(D::file_open(&path, 1, &plain()), EINVAL, &["/block'", "0 bytes"]);
    let file = open(&path, libc::O_RDWR);
    fails(D::from_fd(file.as_raw_fd(), 0, &plain()), EINVAL, &["empty"]);
    std::fs::write(&path, [1; 4096]).unwrap();
    for offset in [4096, 8192] {
        let options = Options { offset, ..plain() };
        fails(D::file_open(&path, 0, &options), EINVAL, &[&offset.to_string(), "4096 bytes"]);
    }
    assert_eq!(directory.entries(), ["block"]);
}

fn only_regular_files_are_mapped<D: Door>() {
    let line = Line::new();
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let eventfd = unsafe { OwnedFd::from_raw_fd(good(libc::eventfd(0, libc::EFD_CLOEXEC))) };
    let epoll = unsafe { OwnedFd::from_raw_fd(good(libc::epoll_create1(libc::EPOLL_CLOEXEC))) };
    let (directory, null, zero) =
        (open("/", libc::O_RDONLY), open("/dev/null", libc::O_RDWR), open("/dev/zero", libc::O_RDWR));
    for (fd, what) in [
        (line.reader(), "pipe"),
        (one.as_raw_fd(), "socket"),
        (other.as_raw_fd(), "socket"),
        (eventfd.as_raw_fd(), "no regular file"),
        (epoll.as_raw_fd(), "no regular file"),
        (directory.as_raw_fd(), "directory"),
        (null.as_raw_fd(), "device"),
        // Would map, and share nothing.
        (zero.as_raw_fd(), "device"),
    ] {
        for options in [plain(), with(Flags::READ_ONLY), with(Flags::PRIVATE), with(Flags::PAST_END)] {
            fails(D::from_fd(fd, 4096, &options), ENODEV, &[&number(&fd), what]);
        }
    }
    for path in ["/dev/zero", "/dev/null"] {
        fails(D::file_open(path, 4096, &plain()), ENODEV, &[path, "device"]);
        fails(D::file_create(path, 1, &with(Flags::OR_OPEN)), ENODEV, &[path, "device"]);
    }
    fails(D::file_open("/", 1, &with(Flags::READ_ONLY)), ENODEV, &["'/'", "directory"]);
    let place = Directory::new();
    let pipe = place.file("pipe");
    good(unsafe { libc::mkfifo(c(&pipe).as_ptr(), 0o600) });
    for options in [plain(), with(Flags::READ_ONLY)] {
        fails(D::file_open(&pipe, 1, &options), ENODEV, &["/pipe'", "pipe"]);
    }
}

fn a_write_only_descriptor_is_eacces<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    let writer = open(&path, libc::O_WRONLY);
    let reader = open(&path, libc::O_RDONLY);
    for options in [plain(), with(Flags::READ_ONLY), with(Flags::PRIVATE)] {
        fails(D::from_fd(writer.as_raw_fd(), 0, &options), EACCES, &["4096 bytes"]);
    }
    fails(D::from_fd(reader.as_raw_fd(), 0, &plain()), EACCES, &["4096 bytes"]);
    D::from_fd(reader.as_raw_fd(), 0, &with(Flags::PRIVATE)).unwrap().write(0, b"x").unwrap();
}

fn a_bad_descriptor_is_ebadf<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    for fd in [NEVER_OPEN, -1, i32::MIN, i32::MAX] {
        fails(D::from_fd(fd, 0, &plain()), EBADF, &[&number(&fd)]);
    }
    let path_only = open(&path, libc::O_PATH);
    let number = number(&path_only);
    fails(D::from_fd(path_only.as_raw_fd(), 0, &plain()), EBADF, &[&number, "O_PATH"]);
}

fn beyond_all_numbers_is_eoverflow<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    let file = open(&path, libc::O_RDWR);
    let last_page = i64::MAX as u64 - 4095;
    for (offset, size) in [
        (last_page, 4096),
        (1 << 63, 1),
        (u64::MAX - 4095, 4096),
        (u64::MAX - 4095, 4095),
        (4096, usize::MAX),
        (4096, i64::MAX as usize),
        (0, usize::MAX),
        (0, 1 << 63),
    ] {
        let says = [&size.to_string(), &offset.to_string()];
        for flags in [Flags::empty(), Flags::PAST_END] {
            let options = Options { offset, ..with(flags) };
            fails(D::from_fd(file.as_raw_fd(), size, &options), EOVERFLOW, &says.map(String::as_str));
            fails(D::file_open(&path, size, &options), EOVERFLOW, &["/block'"]);
        }
    }
}

fn longer_than_memory_is_enomem<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[1; 4096]);
    for size in [1 << 47, 1 << 62, i64::MAX as usize - 4095] {
        fails(D::file_open(&path, size, &with(Flags::PAST_END)), ENOMEM, &["/block'", &size.to_string()]);
        fails(D::anon_create(size, &plain()), ENOMEM, &["anonymous memory", &size.to_string()]);
    }
    for size in [i64::MAX as usize, 1 << 63, usize::MAX - 4095, usize::MAX] {
        let number = size.to_string();
        fails(D::anon_create(size, &plain()), ENOMEM, &[&number]);
        if size > i64::MAX as usize {
            fails(D::create("huge", size, &plain()), ENOMEM, &["'huge'", &number]);
            fails(D::posix_create(name.as_str(), size, &plain()), ENOMEM, &[name.as_str(), &number]);
            fails(D::file_create(&directory.file("new"), size, &plain()), ENOMEM, &["/new'", &number]);
        }
    }
    let limit = Limit::lower(libc::RLIMIT_AS, 1 << 30);
    fails(D::anon_create(2 << 30, &plain()), ENOMEM, &["2147483648 bytes"]);
    drop(limit);
    assert_eq!(directory.entries(), ["block"]);
}

/// A memfd has no file system that could be full: the kernel would kill processes before it refused.
fn more_than_the_machine_has_is_enomem<D: Door>() {
    // Should the library try, then this child is the one to be killed, and soon.
    let child = fork(|| {
        std::fs::write("/proc/self/oom_score_adj", "1000").unwrap();
        unsafe { libc::alarm(1) };
        for size in [1 << 45, 1 << 50, 1 << 62] {
            fails(D::create("huge", size, &plain()), ENOMEM, &["'huge'", &size.to_string()]);
        }
    });
    child.join();
    // Sparse it is no matter of memory.
    let region = D::create("sparse", 1 << 45, &with(Flags::NO_RESERVE)).unwrap();
    region.write((1 << 45) - 1, b"x").unwrap();
    assert_eq!(region.bytes((1 << 45) - 1, 1).unwrap(), b"x");
}

fn too_many_mappings_are_enomem<D: Door>() {
    let child = fork(|| {
        let most: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if most > 1 << 20 {
            return skip(format!("max_map_count is {most}"));
        }
        let length = 2 * most * page();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // What the failures below take of the heap is there.
        let _ = D::create("", usize::MAX, &plain());
        let before = descriptors().len();
        // Every other page readable makes each page a mapping.
        let split = |index: usize| unsafe {
            libc::mprotect(start.wrapping_add(2 * index * page()), page(), libc::PROT_READ)
        };
        assert!((0..most).any(|index| split(index) != 0));
        // A split takes two; there may be room for one or two more.
        let mut last = [None, None, None];
        let failed = loop {
            match D::anon_create(1, &plain()) {
                Ok(region) => {
                    *last.iter_mut().find(|it| it.is_none()).expect("room for no more") = Some(region)
                }
                failed => break failed,
            }
        };
        let named = D::create("one too many", 1, &plain());
        good(unsafe { libc::munmap(start, length) });
        fails(failed, ENOMEM, &["anonymous memory"]);
        fails(named, ENOMEM, &["one too many"]);
        assert_eq!(descriptors().len(), before);
    });
    child.join();
}

fn too_many_descriptors_are_emfile<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[1; 4096]);
    let file = open(&path, libc::O_RDWR);
    let limit = Limit::lower(libc::RLIMIT_NOFILE, file.as_raw_fd() as u64 + 1);
    let answers = [
        (D::create("one", 1, &plain()), "'one'"),
        (D::from_fd(file.as_raw_fd(), 0, &plain()), "descriptor"),
        (D::file_open(&path, 0, &plain()), "/block'"),
        (D::file_create(&directory.file("new"), 1, &plain()), "/new'"),
        (D::posix_create(name.as_str(), 1, &plain()), name.as_str()),
        (D::posix_create(name.as_str(), 1, &with(Flags::OR_OPEN)), name.as_str()),
    ];
    D::anon_create(1, &plain()).unwrap();
    drop(limit);
    for (answer, says) in answers {
        fails(answer, EMFILE, &[says]);
    }
    assert_eq!(directory.entries(), ["block"]);
    assert!(!name.path().exists());
}

fn a_window_of_a_file<D: Door>() {
    let directory = Directory::new();
    let content: Vec<u8> = (0..3 * 4096 + 10).map(|i| (i / 4096 + 1) as u8).collect();
    let path = directory.write("block", &content);
    let file = open(&path, libc::O_RDWR);
    for (offset, asked, size) in
        [(0, 0, 12298), (0, 1, 1), (4096, 0, 8202), (4096, 4097, 4097), (12288, 0, 10), (12288, 10, 10)]
    {
        let options = Options { offset, ..plain() };
        for region in [D::file_open(&path, asked, &options), D::from_fd(file.as_raw_fd(), asked, &options)] {
            let region = region.unwrap();
            assert_eq!(region.size(), size);
            let expected = &content[offset as usize..offset as usize + size];
            assert_eq!(region.bytes(0, size).unwrap(), expected);
            assert!(region.can_shrink());
        }
    }
    let options = Options { offset: 4096, ..plain() };
    D::file_open(&path, 0, &options).unwrap().write(0, b"window").unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[4096..4102], *b"window");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 12298, "a mapping never changes the size");
    let enough = Options { offset: 4096, size_min: 8202, ..plain() };
    D::file_open(&path, 0, &enough).unwrap();
    let more = Options { size_min: 8203, ..enough };
    fails(D::file_open(&path, 0, &more), EINVAL, &["/block'", "8202", "8203"]);
    fails(D::file_open(&path, 100, &enough), EINVAL, &["/block'", "100", "8202"]);
}

fn more_than_the_file_has_is_refused_or_past_the_end<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 40]);
    fails(D::file_open(&path, 80, &plain()), EINVAL, &["80 bytes", "offset 0", "/block'", "40 bytes"]);
    let region = D::file_open(&path, 3 * page(), &with(Flags::PAST_END)).unwrap();
    assert_eq!(region.size(), 3 * page());
    region.write(40, &[2; 40]).unwrap();
    assert_eq!(region.bytes(0, 81).unwrap(), [vec![1; 40], vec![2; 40], vec![0]].concat());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 40);
    for (offset, length) in [(page(), 1), (page() - 1, 2), (3 * page() - 1, 1), (0, 3 * page())] {
        refused(region.read(offset, &mut vec![0; length]), SHMKIT_E_SHRUNK, &["40 bytes"]);
        refused(region.write(offset, &vec![0; length]), SHMKIT_E_SHRUNK, &["40 bytes"]);
        refused(region.check(offset, length), SHMKIT_E_SHRUNK, &["40 bytes", "/block'"]);
    }
    let end = end_of(|| unsafe { region.data().add(page()).write_volatile(1) });
    assert_eq!(end, End::Signal(libc::SIGBUS));
    // Once the file is longer, there is memory.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(page() as u64 + 1).unwrap();
    region.write(page(), b"x").unwrap();
    // All of it behind the end, and an empty file.
    for offset in [0, page() as u64] {
        let beyond = Options { offset: 2 * page() as u64 + offset, ..with(Flags::PAST_END) };
        let region = D::file_open(&path, 10, &beyond).unwrap();
        refused(region.read(0, &mut [0]), SHMKIT_E_SHRUNK, &["/block'"]);
    }
}

fn a_kind_refuses_flags_that_it_has_no_use_for<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[1; 4096]);
    let file = open(&path, libc::O_RDWR);
    let _object = D::posix_create(name.as_str(), 1, &plain()).unwrap();
    let new = directory.file("new");
    type Call<'a, R> = &'a dyn Fn(&Options) -> Answer<R>;
    let with_descriptor = Flags::READ_ONLY
        | Flags::PRIVATE
        | Flags::POPULATE
        | Flags::LOCKED
        | Flags::NO_FORK
        | Flags::NO_DUMP
        | Flags::NO_RESERVE
        | Flags::RISK_REOPEN;
    let creating = with_descriptor | Flags::REPLACE | Flags::OR_OPEN;
    let named = creating | Flags::RISK_DISK | Flags::UNLINK_LAST | Flags::UNLINK_CREATOR;
    let anonymous = with_descriptor - Flags::RISK_REOPEN;
    let calls: [(&str, Flags, Call<'_, D::Region>); 6] = [
        ("shm_region_from_fd", with_descriptor | Flags::PAST_END, &|it| D::from_fd(file.as_raw_fd(), 0, it)),
        ("shm_file_open", with_descriptor | Flags::PAST_END, &|it| D::file_open(&path, 0, it)),
        ("shm_file_create", creating, &|it| D::file_create(&new, 1, it)),
        ("shm_posix_create", named, &|it| D::posix_create("/shmkit-never", 1, it)),
        ("shm_posix_open", with_descriptor | Flags::RISK_DISK, &|it| D::posix_open(name.as_str(), it)),
        ("shm_anon_create", anonymous, &|it| D::anon_create(1, it)),
    ];
    for (call, useful, open) in calls {
        for (flag_name, flag) in Flags::all().iter_names() {
            if !useful.contains(flag) {
                fails(open(&with(flag)), EINVAL, &[call, flag_name]);
            } else if !call.contains("create") {
                drop(open(&with(flag)).unwrap());
            }
        }
        fails(open(&with(Flags::from_bits_retain(1 << 30))), EINVAL, &["0x40000000"]);
        fails(open(&Options { mode: 0o1000, ..plain() }), EINVAL, &["0o1000"]);
        fails(open(&Options { seals: Some(Seals::GROW), ..plain() }), EINVAL, &["seals", "GROW"]);
    }
    for create in [
        D::file_create(&new, 1, &Options { offset: 4096, ..plain() }),
        D::anon_create(1, &Options { offset: 4096, ..plain() }),
    ] {
        fails(create, EINVAL, &["offset", "4096"]);
    }
    D::posix_unlink(name.as_str()).unwrap();
    assert_eq!(directory.entries(), ["block"]);
}

fn file_paths_fail_as_open_does<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    let (below, looped) = (format!("{path}/below"), directory.file("loop"));
    std::os::unix::fs::symlink(&looped, &looped).unwrap();
    let link = directory.file("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let long = directory.file(&"x".repeat(256));
    for (path, errno, says) in [
        (&directory.file("missing"), ENOENT, "/missing'"),
        (&directory.file("missing/new"), ENOENT, "/missing/new'"),
        (&below, libc::ENOTDIR, "/block/below'"),
        (&looped, libc::ELOOP, "/loop'"),
        (&long, libc::ENAMETOOLONG, "xxxx'"),
        (&String::new(), ENOENT, "''"),
    ] {
        fails(D::file_open(path, 0, &plain()), errno, &[says]);
    }
    for (path, errno, says) in [
        (&directory.file("missing/new"), ENOENT, "/missing/new'"),
        (&below, libc::ENOTDIR, "/block/below'"),
        (&looped, EEXIST, "/loop'"),
        (&link, EEXIST, "/link'"),
        (&long, libc::ENAMETOOLONG, "xxxx'"),
        (&String::new(), ENOENT, "''"),
        (&directory.file(""), libc::EISDIR, "/'"),
    ] {
        fails(D::file_create(path, 1, &plain()), errno, &[says]);
    }
    // A symbolic link is followed.
    assert_eq!(D::file_open(&link, 0, &plain()).unwrap().bytes(0, 1).unwrap(), [1]);
    let child = fork_as_nobody(|| {
        fails(D::file_open(&path, 0, &plain()), EACCES, &["/block'"]);
        fails(D::file_create(&directory.file("new"), 1, &plain()), EACCES, &["/new'"]);
    });
    match child {
        Ok(child) => child.join(),
        Err(why) => skip(why),
    }
}

fn a_file_is_made_whole_and_exclusively<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("block");
    let region = D::file_create(&path, 5000, &plain()).unwrap();
    assert_eq!((region.kind(), region.size(), region.can_shrink()), (SHMKIT_KIND_FILE, 5000, true));
    assert_eq!(region.name().as_deref(), Some(path.as_str()));
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 5000);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 >= 5000, "its blocks are reserved");
    region.write(4999, b"x").unwrap();
    fails(D::file_create(&path, 5000, &plain()), EEXIST, &["/block'"]);
    let found = D::file_create(&path, 5000, &with(Flags::OR_OPEN)).unwrap();
    assert_eq!((found.created(), found.bytes(4999, 1).unwrap()), (false, b"x".to_vec()));
    fails(D::file_create(&path, 5001, &with(Flags::OR_OPEN)), EINVAL, &["/block'", "5000 bytes"]);
    let new = D::file_create(&path, 10, &with(Flags::REPLACE)).unwrap();
    assert_eq!((new.size(), region.bytes(4999, 1).unwrap()), (10, b"x".to_vec()));
    assert_eq!(directory.entries(), ["block"]);
    let other = directory.file("other");
    assert!(D::file_create(&other, 10, &with(Flags::OR_OPEN)).unwrap().created());
}
