//! Access to a region: checked copies, what is protected, locked, private, and a file that goes away beneath.

use std::path::Path;

use libc::{EACCES, EINVAL, ENOMEM, ERANGE};

use crate::door::*;
use crate::support::*;

scenarios! {
    a_file_truncated_beneath_is_an_error_and_no_signal,
    checked_access_keeps_to_the_region,
    the_caller_s_bad_buffer_is_not_blamed_on_the_region,
    private_writes_stay_private,
    what_is_protected_is_eacces,
    locking_over_the_limit_names_it,
    memory_is_shared_with_children,
    a_child_does_not_get_what_is_not_for_it,
    threads_may_use_one_region,
}

fn a_file_truncated_beneath_is_an_error_and_no_signal<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &[1; 3 * 4096]);
    let object = D::posix_create(name.as_str(), 3 * 4096, &plain()).unwrap();
    object.write(0, &[1; 3 * 4096]).unwrap();
    for (region, path) in
        [(D::file_open(&path, 0, &plain()).unwrap(), Path::new(&path)), (object, &name.path())]
    {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(4097).unwrap();
        assert_eq!(region.size(), 3 * 4096, "what was asked for");
        assert_eq!(region.bytes(4095, 3).unwrap(), [1, 1, 0], "whole pages: the rest is zeros");
        refused(region.read(8192, &mut [0]), SHMKIT_E_SHRUNK, &["4097 bytes"]);
        refused(region.read(0, &mut [0; 3 * 4096]), SHMKIT_E_SHRUNK, &["4097 bytes"]);
        refused(region.write(8191, b"xx"), SHMKIT_E_SHRUNK, &["4097 bytes"]);
        refused(region.check(8192, 1), SHMKIT_E_SHRUNK, &["4097 bytes"]);
        refused(region.prefault(0, 3 * 4096), SHMKIT_E_SHRUNK, &["4097 bytes"]);
        region.check(0, 8192).unwrap();
        let end = end_of(|| drop(unsafe { region.data().add(8192).read_volatile() }.to_string()));
        assert_eq!(end, End::Signal(libc::SIGBUS), "the raw pointer dies where checked access says so");
        file.set_len(0).unwrap();
        refused(region.read(0, &mut [0]), SHMKIT_E_SHRUNK, &["0 bytes"]);
        refused(region.write(0, b"x"), SHMKIT_E_SHRUNK, &["0 bytes"]);
        file.set_len(3 * 4096).unwrap();
        assert_eq!(region.bytes(0, 3 * 4096).unwrap(), [0; 3 * 4096], "regrown, it is zeros");
        region.write(8192, b"x").unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn checked_access_keeps_to_the_region<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 5000]);
    for region in [
        D::create("sealed", 5000, &plain()).unwrap(),
        D::anon_create(5000, &plain()).unwrap(),
        D::file_open(&path, 0, &plain()).unwrap(),
    ] {
        for (offset, length) in
            [(5000, 1), (4999, 2), (0, 5001), (5001, 0), (usize::MAX, 0), (usize::MAX, 1), (1, usize::MAX)]
        {
            let says = [&offset.to_string(), "5000 bytes"];
            fails(region.check(offset, length), ERANGE, &[says[0], says[1], &length.to_string()]);
            fails(region.at(offset, length, 1), ERANGE, &[]);
            fails(region.flush(offset, length), ERANGE, &[]);
            fails(region.flush_async(offset, length), ERANGE, &[]);
            fails(region.prefault(offset, length), ERANGE, &says);
            fails(region.advise(offset, length, SHMKIT_ADVICE_NORMAL), ERANGE, &says);
            fails(region.lock(offset, length), ERANGE, &says);
            fails(region.unlock(offset, length), ERANGE, &says);
            fails(region.protect(offset, length, SHMKIT_RIGHTS_READ), ERANGE, &says);
            if length < 10_000 {
                fails(region.read(offset, &mut vec![0; length]), ERANGE, &says);
                fails(region.write(offset, &vec![0; length]), ERANGE, &says);
            }
        }
        for (offset, length) in [(0, 5000), (4999, 1), (5000, 0), (0, 0)] {
            region.read(offset, &mut vec![0; length]).unwrap();
            region.write(offset, &vec![7; length]).unwrap();
            region.check(offset, length).unwrap();
            region.flush(offset, length).unwrap();
            region.flush_async(offset, length).unwrap();
            region.prefault(offset, length).unwrap();
        }
        for (offset, alignment) in [(0, 4096), (8, 8), (4, 4), (3, 1)] {
            assert_eq!(region.at(offset, 8, alignment).unwrap(), unsafe { region.data().add(offset) });
        }
        for (offset, alignment) in [(4, 8), (1, 2), (0, 0), (0, 3), (0, usize::MAX)] {
            fails(region.at(offset, 8, alignment), EINVAL, &[]);
        }
        for advice in [-1, 9, 100, i32::MAX] {
            fails(region.advise(0, 0, advice), EINVAL, &[&advice.to_string()]);
        }
        fails(region.advise(1, 1, SHMKIT_ADVICE_RANDOM), EINVAL, &["offset 1", "page size"]);
        fails(region.protect(1, 1, SHMKIT_RIGHTS_READ), EINVAL, &["offset 1", "page size"]);
        for rights in [2, 4, 7, u32::MAX] {
            fails(region.protect(0, 1, rights), EINVAL, &["rights"]);
        }
        region.lock(0, 5000).unwrap();
        region.unlock(0, 5000).unwrap();
        for advice in [SHMKIT_ADVICE_NORMAL, SHMKIT_ADVICE_SEQUENTIAL, SHMKIT_ADVICE_NO_DUMP] {
            region.advise(0, 5000, advice).unwrap();
        }
    }
}

/// EFAULT, where the copy is the kernel's; and the next good copy is fine.
fn the_caller_s_bad_buffer_is_not_blamed_on_the_region<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    let region = D::file_open(&path, 0, &plain()).unwrap();
    let rights = libc::PROT_NONE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let nothing = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, flags, -1, 0) };
    assert_ne!(nothing, libc::MAP_FAILED);
    // SAFETY: never touched by this process itself; the kernel is asked to.
    let bad = unsafe { std::slice::from_raw_parts_mut(nothing.cast::<u8>(), 100) };
    fails(region.read(0, bad), libc::EFAULT, &[]);
    fails(region.write(0, bad), libc::EFAULT, &[]);
    good(unsafe { libc::munmap(nothing, 4096) });
    assert_eq!(region.bytes(0, 4096).unwrap(), [1; 4096]);
}

fn private_writes_stay_private<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 4096]);
    let shared = D::file_open(&path, 0, &plain()).unwrap();
    let private = D::file_open(&path, 0, &with(Flags::PRIVATE)).unwrap();
    private.write(0, b"mine").unwrap();
    assert_eq!(private.bytes(0, 5).unwrap(), b"mine\x01");
    assert_eq!(shared.bytes(0, 4).unwrap(), [1; 4]);
    shared.write(0, b"ours").unwrap();
    assert_eq!(private.bytes(0, 4).unwrap(), b"mine");
    private.flush(0, 4096).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[..4], *b"ours");
    let read_only = D::file_open(&path, 0, &with(Flags::PRIVATE | Flags::READ_ONLY)).unwrap();
    fails(read_only.write(0, b"x"), EACCES, &[]);
    let memory = D::anon_create(4096, &with(Flags::PRIVATE)).unwrap();
    fork(|| memory.write(0, b"child").unwrap()).join();
    assert_eq!(memory.bytes(0, 5).unwrap(), [0; 5]);
}

fn what_is_protected_is_eacces<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 3 * 4096]);
    for region in [
        D::create("sealed", 3 * 4096, &plain()).unwrap(),
        D::anon_create(3 * 4096, &plain()).unwrap(),
        D::file_open(&path, 0, &plain()).unwrap(),
    ] {
        region.write(0, &[1; 3 * 4096]).unwrap();
        region.protect(4096, 4096, SHMKIT_RIGHTS_NONE).unwrap();
        fails(region.read(4096, &mut [0]), EACCES, &[]);
        fails(region.read(4095, &mut [0; 2]), EACCES, &[]);
        fails(region.write(8191, b"x"), EACCES, &[]);
        fails(region.check(4096, 1), EACCES, &["protect"]);
        let end = end_of(|| unsafe { region.data().add(4096).write_volatile(1) });
        assert_eq!(end, End::Signal(libc::SIGSEGV));
        region.write(0, &[2; 4096]).unwrap();
        assert_eq!(region.bytes(8192, 2).unwrap(), [1; 2]);
        region.protect(4096, 4096, SHMKIT_RIGHTS_READ).unwrap();
        assert_eq!(region.bytes(4095, 2).unwrap(), [2, 1]);
        fails(region.write(4096, b"x"), EACCES, &[]);
        region.protect(0, 3 * 4096, SHMKIT_RIGHTS_READ_WRITE).unwrap();
        region.write(4096, b"x").unwrap();
    }
}

fn locking_over_the_limit_names_it<D: Door>() {
    let child = fork_as_nobody(|| {
        let limit = Limit::lower(libc::RLIMIT_MEMLOCK, 8192);
        let region = D::create("locked", 16384, &plain()).unwrap();
        region.lock(0, 4096).unwrap();
        let says = ["RLIMIT_MEMLOCK is 8192", "16384 bytes", "locked"];
        fails(region.lock(0, 16384), ENOMEM, &says);
        region.unlock(0, 4096).unwrap();
        for answer in
            [D::create("locked", 16384, &with(Flags::LOCKED)), D::anon_create(16384, &with(Flags::LOCKED))]
        {
            fails(answer, ENOMEM, &["RLIMIT_MEMLOCK is 8192", "16384 bytes"]);
        }
        D::anon_create(8192, &with(Flags::LOCKED)).unwrap();
        drop(limit);
        let _none = Limit::lower(libc::RLIMIT_MEMLOCK, 0);
        fails(region.lock(0, 1), libc::EPERM, &["RLIMIT_MEMLOCK is 0"]);
    });
    match child {
        Ok(child) => child.join(),
        Err(why) => skip(why),
    }
}

fn memory_is_shared_with_children<D: Door>() {
    let region = D::anon_create(5000, &plain()).unwrap();
    assert_eq!((region.kind(), region.size(), region.name()), (SHMKIT_KIND_ANONYMOUS, 5000, None));
    assert!(!region.can_shrink());
    assert_eq!(region.bytes(0, 5000).unwrap(), [0; 5000]);
    fork(|| region.write(4995, b"child").unwrap()).join();
    assert_eq!(region.bytes(4995, 5).unwrap(), b"child");
}

fn a_child_does_not_get_what_is_not_for_it<D: Door>() {
    for region in [
        D::create("mine", 4096, &with(Flags::NO_FORK)).unwrap(),
        D::anon_create(4096, &with(Flags::NO_FORK)).unwrap(),
    ] {
        let end = end_of(|| unsafe { region.data().write_volatile(1) });
        assert_eq!(end, End::Signal(libc::SIGSEGV));
        region.write(0, b"x").unwrap();
    }
}

/// Two threads copy from a region while its file shrinks and grows, until both have seen both often.
fn threads_may_use_one_region<D: Door>() {
    let directory = Directory::new();
    let path = directory.write("block", &[1; 8192]);
    let region = D::file_open(&path, 0, &plain()).unwrap();
    let size = std::fs::File::options().write(true).open(&path).unwrap();
    // All at once in each round, and joined, so that the next one needs no more stacks.
    let all = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        let read = || {
            let (mut whole, mut shrunk) = (0, 0);
            all.wait();
            while whole < 100 || shrunk < 100 {
                match region.bytes(0, 8192) {
                    Ok(_) => whole += 1,
                    gone => {
                        refused(gone, SHMKIT_E_SHRUNK, &[]);
                        shrunk += 1;
                    }
                }
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        all.wait();
        for length in [100, 8192].iter().cycle() {
            size.set_len(*length).unwrap();
            if readers.iter().all(|reader| reader.is_finished()) {
                break;
            }
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
