//! The fault guard over each kind of memory: what was replaced by zeros comes back as it was.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use libc::EINVAL;

use crate::door::*;
use crate::guard::{firsts, peek, poke, shrunk, Pages};
use crate::huge::{offered, store, PAGE};
use crate::support::*;

scenarios! {
    every_kind_of_mapping_comes_back_as_it_was,
    a_private_region_keeps_the_rest_of_its_own_bytes,
    a_mirror_comes_back_in_both_halves,
    a_region_is_guarded_as_far_as_it_grows,
    a_pool_that_runs_out_is_zeros_and_told: 60,
    what_cannot_be_mapped_again_stays_told,
    a_child_s_other_memory_is_not_guarded,
    a_full_file_system_is_zeros_and_told,
}

fn every_kind_of_mapping_comes_back_as_it_was<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let size = 6 * page();
    let (directory, name) = (Directory::new(), PosixName::new());
    let path = directory.write("block", &vec![7; size]);
    let posix = D::posix_create(name.as_str(), size, &plain()).unwrap();
    posix.write(0, &vec![7; size]).unwrap();
    let memfd = D::create("open", size, &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    memfd.write(0, &vec![7; size]).unwrap();
    let file = open(&path, libc::O_RDWR);
    let read_only = open(&path, libc::O_RDONLY);
    let at_page_1 = Options { offset: page() as u64, ..plain() };

    for region in [
        D::file_open(&path, 0, &plain()).unwrap(),
        D::file_open(&path, 0, &with(Flags::READ_ONLY)).unwrap(),
        D::file_open(&path, 0, &with(Flags::PRIVATE)).unwrap(),
        D::file_open(&path, 0, &with(Flags::NO_RESERVE | Flags::NO_FORK | Flags::LOCKED)).unwrap(),
        D::file_open(&path, 0, &Options { flags: Flags::POPULATE, ..at_page_1 }).unwrap(),
        D::from_fd(file.as_raw_fd(), size, &Options { flags: Flags::PAST_END, ..at_page_1 }).unwrap(),
        D::from_fd(read_only.as_raw_fd(), 3 * page() + 5, &with(Flags::READ_ONLY)).unwrap(),
        D::posix_open(name.as_str(), &plain()).unwrap(),
        posix,
        memfd,
    ] {
        region.guard_enable().unwrap();
        let object = format!("/proc/self/fd/{}", region.fd().unwrap());
        // /proc has no open for writing of what was opened for reading only.
        let object = match region.name() {
            None => path.clone(),
            Some(_) => object,
        };
        let object = File::options().write(true).open(object).unwrap();
        let before = mapped(&region);
        object.set_len(2 * page() as u64).unwrap();
        for round in 0..2 {
            region.guard_begin().unwrap();
            // In no order, and with gaps.
            let last = (region.size() - 1) / page();
            for number in [last, last - 2, last - 1, last - 1] {
                let expected = if number < 2 && before.offset == 0 { 7 } else { 0 };
                assert_eq!(peek(&region, number * page()), expected, "page {number}, round {round}");
            }
            shrunk(region.guard_end());
            assert_eq!(mapped(&region), before);
        }
        object.write_all_at(&vec![7; size], 0).unwrap();
        let there = (size - before.offset).div_ceil(page()).min(region.size().div_ceil(page()));
        region.guard_begin().unwrap();
        assert!((0..there).all(|number| peek(&region, number * page()) == 7));
        region.guard_end().unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

/// What the kernel says of a region's mapping, which is one.
#[derive(Debug, PartialEq)]
pub struct Mapped {
    line: String,
    offset: usize,
    flags: String,
}

pub fn mapped(region: &impl Handle) -> Mapped {
    let start = format!("{:x}-", region.data() as usize);
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let line = lines.next().expect("a mapping").to_string();
    let length = region.size().next_multiple_of(page());
    assert!(line.starts_with(&format!("{start}{:x} ", region.data() as usize + length)), "in pieces: {line}");
    let offset = usize::from_str_radix(line.split_whitespace().nth(2).unwrap(), 16).unwrap();
    let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap().to_string();
    Mapped { line, offset, flags }
}

/// What was written to a private region's other pages is no file's, and stays.
fn a_private_region_keeps_the_rest_of_its_own_bytes<D: Door>() {
    let pages = Pages::new(5);
    let region = pages.open::<D>(&with(Flags::PRIVATE));
    poke(&region, 0, 77);
    pages.shrink(1);
    region.guard_begin().unwrap();
    assert_eq!((peek(&region, page()), peek(&region, 4 * page())), (0, 0));
    poke(&region, page(), 78);
    poke(&region, 1, 78);
    pages.grow(1..5);
    poke(&region, 2 * page(), 79);
    shrunk(region.guard_end());
    assert_eq!(firsts(&region), [77, 2, 79, 4, 5]);
    assert_eq!(peek(&region, 1), 78);
    assert_eq!(peek(&region, 2 * page() + 1), 3);
    pages.shrink(0);
    shrunk(region.read(0, &mut [0]));
}

fn a_mirror_comes_back_in_both_halves<D: Door>() {
    let pages = Pages::new(4);
    let region = D::from_fd(pages.fd(), 3 * page(), &with(Flags::MIRROR)).unwrap();
    region.guard_enable().unwrap();
    let views = || (0..6).map(|number| unsafe { region.data().add(number * page()).read_volatile() });
    for lost in [0..6, 2..5, 4..6, 3..4] {
        pages.shrink(0);
        region.guard_begin().unwrap();
        for number in lost {
            assert_eq!(unsafe { region.data().add(number * page()).read_volatile() }, 0);
        }
        pages.grow(0..4);
        shrunk(region.guard_end());
        assert_eq!(views().collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    }
    pages.shrink(1);
    refused(region.read(3 * page() - 1, &mut [0; 2]), SHMKIT_E_SHRUNK, &["4096 bytes"]);
    refused(region.read(4 * page(), &mut [0]), SHMKIT_E_SHRUNK, &["4096 bytes"]);
    assert_eq!(region.bytes(4 * page() - 1, 1).unwrap(), [1]);
    pages.grow(1..4);
    assert_eq!(region.bytes(3 * page() - 1, 2).unwrap(), [3, 1]);
}

fn a_region_is_guarded_as_far_as_it_grows<D: Door>() {
    let pages = Pages::new(2);
    let options = Options { size_max: 8 * page() as u64, ..with(Flags::GROWABLE) };
    let region = D::from_fd(pages.fd(), 0, &options).unwrap();
    region.guard_enable().unwrap();
    let start = region.data();
    let all =
        || (0..8).map(|number| unsafe { start.add(number * page()).read_volatile() }).collect::<Vec<_>>();
    region.guard_begin().unwrap();
    assert_eq!(all(), [1, 2, 0, 0, 0, 0, 0, 0]);
    pages.grow(2..8);
    region.grow(7 * page()).unwrap();
    assert_eq!(all(), [1, 2, 0, 0, 0, 0, 0, 0]);
    refused(region.read(6 * page(), &mut [0]), SHMKIT_E_SHRUNK, &["guarded section"]);
    shrunk(region.guard_end());
    assert_eq!(region.bytes(6 * page(), 1).unwrap(), [7]);
    region.guard_begin().unwrap();
    assert_eq!(all(), [1, 2, 3, 4, 5, 6, 7, 8]);
    region.guard_end().unwrap();
    pages.shrink(1);
    region.guard_begin().unwrap();
    assert_eq!(all(), [1, 0, 0, 0, 0, 0, 0, 0]);
    refused(region.read(page(), &mut [0]), SHMKIT_E_SHRUNK, &[]);
    region.read(0, &mut vec![0; page()]).unwrap();
    shrunk(region.guard_end());
}

/// Huge pages, of which the machine has too few; they come back whole.
fn a_pool_that_runs_out_is_zeros_and_told<D: Door>() {
    let _ = own_ipc();
    let Some(_pools) = offered(2) else { return };
    let sparse = with(Flags::HUGE_2M | Flags::NO_RESERVE | Flags::NO_DUMP);
    let segment = with(Flags::HUGE_2M | Flags::NO_RESERVE | Flags::AUTO_REMOVE);
    for make in [0, 1] {
        let region = match make {
            0 => D::create("sparse", 4 * PAGE, &sparse),
            _ => D::sysv_create(0, 4 * PAGE, &segment),
        };
        let region = region.unwrap();
        region.guard_enable().unwrap();
        let heads = || (0..4).map(|number| peek(&region, number * PAGE)).collect::<Vec<_>>();
        poke(&region, 0, b'a');
        poke(&region, 3 * PAGE, b'd');
        for round in 0..3 {
            region.guard_begin().unwrap();
            assert_eq!(heads(), [b'a', 0, 0, b'd'], "round {round}");
            poke(&region, 2 * PAGE - 1, b'b');
            assert_eq!(peek(&region, 2 * PAGE - 1), b'b');
            refused(region.read(2 * PAGE - 1, &mut [0]), SHMKIT_E_SHRUNK, &["guarded section"]);
            assert_eq!(region.bytes(3 * PAGE, 1).unwrap(), b"d");
            shrunk(region.guard_end());
            assert_eq!(store(&region, PAGE), End::Signal(libc::SIGBUS), "round {round}");
            for at in [PAGE, 2 * PAGE - 1, 3 * PAGE - 1] {
                refused(region.read(at, &mut [0]), SHMKIT_E_SHRUNK, &["no free huge page"]);
                refused(region.write(at, b"x"), SHMKIT_E_SHRUNK, &["no free huge page"]);
            }
            region.write(PAGE - 1, b"x").unwrap();
        }
        region.guard_begin().unwrap();
        assert_eq!((peek(&region, 0), peek(&region, 3 * PAGE)), (b'a', b'd'));
        region.guard_end().unwrap();
        region.close().unwrap();
        assert_eq!(available(PAGE), Some(2), "given back");
    }
}

/// Somebody seals the file against new writable mappings while a page is zeros.
fn what_cannot_be_mapped_again_stays_told<D: Door>() {
    let region = D::create("open", 3 * page(), &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    let file = File::options().write(true).open(format!("/proc/self/fd/{}", region.fd().unwrap())).unwrap();
    region.write(0, &vec![7; 3 * page()]).unwrap();
    region.guard_enable().unwrap();
    region.guard_begin().unwrap();
    file.set_len(page() as u64).unwrap();
    assert_eq!(firsts(&region)[1], 0);
    region.seal(SHMKIT_SEAL_FUTURE_WRITE).unwrap();
    for _ in 0..3 {
        shrunk(region.guard_end());
        fails(region.guard_end(), EINVAL, &[]);
        region.guard_begin().unwrap();
        assert_eq!(firsts(&region)[..2], [7, 0]);
        refused(region.read(page(), &mut [0]), SHMKIT_E_SHRUNK, &[]);
        region.write(0, b"\x07").unwrap();
    }
    shrunk(region.guard_end());
    region.close().unwrap();
}

/// NO_FORK: where the region is in the parent, the child has something else.
fn a_child_s_other_memory_is_not_guarded<D: Door>() {
    let pages = Pages::new(2);
    let region = pages.open::<D>(&with(Flags::NO_FORK));
    region.guard_begin().unwrap();
    pages.shrink(1);
    let start = region.data();
    let child = fork(|| {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let at = unsafe { libc::mmap(start.cast(), 2 * page(), libc::PROT_READ, flags, pages.fd(), 0) };
        assert_eq!(at, start.cast());
        unsafe { start.add(page()).read_volatile() };
    });
    assert_eq!(child.wait(), End::Signal(libc::SIGBUS));
    assert_eq!(firsts(&region), [1, 0]);
    shrunk(region.guard_end());
}

fn a_full_file_system_is_zeros_and_told<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let full = File::create("/dev/shm/full").unwrap();
    let name = PosixName::new();
    let size = 4 * page();
    let region = D::posix_create(name.as_str(), size, &with(Flags::NO_RESERVE)).unwrap();
    region.guard_enable().unwrap();
    region.write(0, b"there").unwrap();
    let mut at = 0;
    while full.write_at(&[1; 4096], at).is_ok() {
        at += 4096;
    }
    region.guard_begin().unwrap();
    assert_eq!((peek(&region, 0), peek(&region, page())), (b't', 0));
    poke(&region, 2 * page(), 1);
    shrunk(region.guard_end());
    refused(region.read(page(), &mut [0]), SHMKIT_E_SHRUNK, &["full"]);
    refused(region.write(page(), b"x"), SHMKIT_E_SHRUNK, &["full"]);
    region.write(0, b"there").unwrap();
    full.set_len(0).unwrap();
    region.write(0, &vec![5; size]).unwrap();
    region.guard_begin().unwrap();
    assert_eq!(firsts(&region), [5; 4]);
    region.guard_end().unwrap();
    std::fs::remove_file("/dev/shm/full").unwrap();
    D::posix_unlink(name.as_str()).unwrap();
}
