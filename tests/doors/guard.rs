//! The fault guard: inside its sections a page that is gone reads as zeros, and the end tells.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;

use libc::{EBUSY, EINVAL};
use proptest::prelude::*;

use crate::door::*;
use crate::property::check;
use crate::support::*;

scenarios! {
    a_page_that_is_gone_reads_zeros_and_the_end_tells,
    every_kind_of_mapping_comes_back_as_it_was,
    what_is_written_to_a_gone_page_is_lost_and_told,
    a_private_region_keeps_the_rest_of_its_own_bytes,
    a_mirror_comes_back_in_both_halves,
    a_region_is_guarded_as_far_as_it_grows,
    what_cannot_be_mapped_again_stays_told,
    every_section_that_overlaps_with_a_gone_page_is_told,
    a_section_of_another_region_is_not_told,
    each_begin_has_one_end,
    memory_that_cannot_shrink_needs_no_guard,
    sections_stay_balanced_when_the_region_is_sealed_meanwhile,
    guard_and_protect_exclude_each_other,
    what_is_not_in_a_section_dies_as_before,
    a_region_is_not_closed_with_an_open_section,
    a_child_has_sections_of_its_own,
    a_child_s_other_memory_is_not_guarded,
    a_full_file_system_is_zeros_and_told,
    many_regions_are_guarded_at_once,
    a_handler_that_does_not_call_ours_is_noticed,
    checked_copies_fail_where_the_kernel_s_do: 30,
    a_checked_copy_says_which_zeros_an_open_section_holds,
    checked_copies_put_the_file_back,
    the_file_comes_and_goes_under_many_threads: 60,
}

/// A memory file, of which each page is full of its own number, from 1.
struct Pages(File);

impl Pages {
    fn new(count: usize) -> Pages {
        let fd = good(unsafe { libc::memfd_create(c"pages".as_ptr(), libc::MFD_CLOEXEC) });
        let pages = Pages(unsafe { File::from_raw_fd(fd) });
        pages.grow(0..count);
        pages
    }

    /// The file ends here.
    fn shrink(&self, count: usize) {
        self.0.set_len((count * page()) as u64).unwrap();
    }

    /// A page is there with all its bytes, or not at all.
    fn grow(&self, pages: std::ops::Range<usize>) {
        for number in pages {
            self.0.write_all_at(&vec![number as u8 + 1; page()], (number * page()) as u64).unwrap();
        }
    }

    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    fn open<D: Door>(&self, options: &Options) -> D::Region {
        let region = D::from_fd(self.fd(), 0, options).unwrap();
        region.guard_enable().unwrap();
        region
    }
}

/// A byte by the raw pointer.
fn peek(region: &impl Handle, offset: usize) -> u8 {
    assert!(offset < region.size());
    unsafe { region.data().add(offset).read_volatile() }
}

fn poke(region: &impl Handle, offset: usize, byte: u8) {
    assert!(offset < region.size());
    unsafe { region.data().add(offset).write_volatile(byte) }
}

/// The first bytes of all pages.
fn firsts(region: &impl Handle) -> Vec<u8> {
    (0..region.size()).step_by(page()).map(|offset| peek(region, offset)).collect()
}

fn shrunk<T>(answer: Answer<T>) {
    refused(answer, SHMKIT_E_SHRUNK, &[]);
}

fn dies(body: impl FnOnce()) {
    assert_eq!(end_of(body), End::Signal(libc::SIGBUS));
}

fn a_page_that_is_gone_reads_zeros_and_the_end_tells<D: Door>() {
    let pages = Pages::new(4);
    let region = pages.open::<D>(&plain());
    D::guard_check().unwrap();

    region.guard_begin().unwrap();
    assert_eq!(firsts(&region), [1, 2, 3, 4]);
    region.guard_end().unwrap();

    pages.shrink(2);
    region.guard_begin().unwrap();
    assert_eq!(firsts(&region), [1, 2, 0, 0]);
    assert_eq!(peek(&region, 4 * page() - 1), 0);
    pages.grow(2..4);
    assert_eq!(firsts(&region), [1, 2, 0, 0], "until the section ends");
    shrunk(region.guard_end());

    region.guard_begin().unwrap();
    assert_eq!(firsts(&region), [1, 2, 3, 4], "the file shows through again");
    region.guard_end().unwrap();
    // What is gone and not touched is not told.
    pages.shrink(1);
    region.guard_begin().unwrap();
    assert_eq!(peek(&region, 0), 1);
    region.guard_end().unwrap();
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
struct Mapped {
    line: String,
    offset: usize,
    flags: String,
}

fn mapped(region: &impl Handle) -> Mapped {
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

fn what_is_written_to_a_gone_page_is_lost_and_told<D: Door>() {
    let pages = Pages::new(3);
    let region = pages.open::<D>(&plain());
    pages.shrink(1);
    region.guard_begin().unwrap();
    poke(&region, 1, 77);
    poke(&region, page() + 1, 77);
    assert_eq!(peek(&region, page() + 1), 77);
    shrunk(region.guard_end());
    pages.grow(1..3);
    assert_eq!(region.bytes(0, 3).unwrap(), [1, 77, 1], "the page that was there");
    assert_eq!(region.bytes(page(), 3).unwrap(), [2, 2, 2]);
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
    assert_eq!(all(), [1, 2, 0, 0, 0, 0, 0, 0]);
    shrunk(region.guard_end());
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

fn every_section_that_overlaps_with_a_gone_page_is_told<D: Door>() {
    let pages = Pages::new(2);
    let region = pages.open::<D>(&plain());
    region.guard_begin().unwrap();
    region.guard_begin().unwrap();
    pages.shrink(1);
    assert_eq!(firsts(&region), [1, 0]);
    shrunk(region.guard_end());
    pages.grow(1..2);
    assert_eq!(firsts(&region), [1, 0], "one is still open");
    let both = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            // The zeros are the whole process's, and the section may end in any thread.
            assert_eq!(firsts(&region), [1, 0]);
            region.guard_begin().unwrap();
            both.wait();
            both.wait();
            assert_eq!(firsts(&region), [1, 0]);
            shrunk(region.guard_end());
        });
        both.wait();
        shrunk(region.guard_end());
        both.wait();
        other.join().unwrap();
    });
    assert_eq!(firsts(&region), [1, 2]);
    region.guard_begin().unwrap();
    region.guard_end().unwrap();
}

fn a_section_of_another_region_is_not_told<D: Door>() {
    let pages = Pages::new(2);
    let [one, other] = [pages.open::<D>(&plain()), pages.open::<D>(&plain())];
    one.guard_begin().unwrap();
    other.guard_begin().unwrap();
    pages.shrink(1);
    assert_eq!(firsts(&one), [1, 0]);
    other.guard_end().unwrap();
    dies(|| drop(peek(&other, page()).to_string()));
    shrunk(one.guard_end());
}

fn each_begin_has_one_end<D: Door>() {
    let pages = Pages::new(1);
    let region = D::from_fd(pages.fd(), 0, &plain()).unwrap();
    refused(region.guard_begin(), SHMKIT_E_UNGUARDED, &[]);
    fails(region.guard_end(), EINVAL, &[]);
    region.guard_enable().unwrap();
    region.guard_enable().unwrap();
    fails(region.guard_end(), EINVAL, &[]);
    for _ in 0..3 {
        region.guard_begin().unwrap();
    }
    region.guard_enable().unwrap();
    for _ in 0..3 {
        region.guard_end().unwrap();
    }
    fails(region.guard_end(), EINVAL, &[]);
    pages.shrink(0);
    region.guard_begin().unwrap();
    assert_eq!(peek(&region, 0), 0);
    shrunk(region.guard_end());
    fails(region.guard_end(), EINVAL, &[]);
}

fn memory_that_cannot_shrink_needs_no_guard<D: Door>() {
    for region in [D::create("sealed", 5000, &plain()).unwrap(), D::anon_create(5000, &plain()).unwrap()] {
        for _ in 0..2 {
            fails(region.guard_end(), EINVAL, &[]);
            region.guard_begin().unwrap();
            region.guard_begin().unwrap();
            poke(&region, 4999, 9);
            region.guard_end().unwrap();
            region.guard_end().unwrap();
            fails(region.guard_end(), EINVAL, &[]);
            region.guard_enable().unwrap();
        }
        region.protect(0, 5000, SHMKIT_RIGHTS_READ).unwrap();
        region.guard_enable().unwrap();
    }
}

fn sections_stay_balanced_when_the_region_is_sealed_meanwhile<D: Door>() {
    let region = D::create("open", 2 * page(), &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    let file = File::options().write(true).open(format!("/proc/self/fd/{}", region.fd().unwrap())).unwrap();
    region.write(0, &vec![7; 2 * page()]).unwrap();
    region.guard_enable().unwrap();
    region.guard_begin().unwrap();
    region.guard_begin().unwrap();
    file.set_len(0).unwrap();
    assert_eq!(peek(&region, page()), 0);
    file.set_len(2 * page() as u64).unwrap();
    file.write_all_at(&[8], page() as u64).unwrap();
    region.seal(SHMKIT_SEAL_SHRINK).unwrap();
    assert!(!region.can_shrink());
    region.guard_begin().unwrap();
    refused(region.read(page(), &mut [0]), SHMKIT_E_SHRUNK, &[&format!("offset {}", page())]);
    shrunk(region.guard_end());
    shrunk(region.guard_end());
    shrunk(region.guard_end());
    fails(region.guard_end(), EINVAL, &[]);
    assert_eq!(region.bytes(page(), 2).unwrap(), [8, 0]);
    region.guard_begin().unwrap();
    region.guard_end().unwrap();

    // And where there is no guard yet, that need not be enabled afterwards.
    let region = D::create("open", page(), &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    region.seal(SHMKIT_SEAL_SHRINK).unwrap();
    region.guard_begin().unwrap();
    region.guard_enable().unwrap();
    region.guard_end().unwrap();
    fails(region.guard_end(), EINVAL, &[]);
}

fn guard_and_protect_exclude_each_other<D: Door>() {
    let pages = Pages::new(2);
    let protected = D::from_fd(pages.fd(), 0, &plain()).unwrap();
    protected.protect(0, page(), SHMKIT_RIGHTS_READ).unwrap();
    fails(protected.guard_enable(), EINVAL, &["protect"]);
    refused(protected.guard_begin(), SHMKIT_E_UNGUARDED, &[]);
    let guarded = pages.open::<D>(&plain());
    fails(guarded.protect(0, page(), SHMKIT_RIGHTS_READ), EINVAL, &["guard", "descriptor"]);
    poke(&guarded, 0, 1);
    let read_only = pages.open::<D>(&with(Flags::READ_ONLY));
    read_only.guard_begin().unwrap();
    pages.shrink(1);
    assert_eq!(peek(&read_only, page()), 0);
    assert_eq!(end_of(|| poke(&read_only, page(), 1)), End::Signal(libc::SIGSEGV), "zeros are read-only too");
    shrunk(read_only.guard_end());
}

fn what_is_not_in_a_section_dies_as_before<D: Door>() {
    let pages = Pages::new(2);
    let (guarded, other) = (pages.open::<D>(&plain()), D::from_fd(pages.fd(), 0, &plain()).unwrap());
    pages.shrink(1);
    dies(|| drop(peek(&guarded, page()).to_string()));
    guarded.guard_begin().unwrap();
    dies(|| drop(peek(&other, page()).to_string()));
    guarded.guard_end().unwrap();
    let stale = guarded.data();
    guarded.close().unwrap();
    // What others put at its addresses is none of the guard's.
    let again = D::from_fd(pages.fd(), 2 * page(), &with(Flags::PAST_END)).unwrap();
    assert_eq!(again.data(), stale, "the kernel uses the place again");
    dies(|| drop(peek(&again, page()).to_string()));
}

fn a_region_is_not_closed_with_an_open_section<D: Door>() {
    let pages = Pages::new(2);
    fork(|| {
        let region = pages.open::<D>(&plain());
        let start = region.data();
        region.guard_begin().unwrap();
        pages.shrink(1);
        assert_eq!(peek(&region, page()), 0);
        // A handle that Rust has dropped, or close() taken, stays mapped; C keeps its handle.
        fails(region.close(), EBUSY, &[]);
        assert_eq!(unsafe { start.add(page()).read_volatile() }, 0);
        assert_eq!(unsafe { start.read_volatile() }, 1);
    })
    .join();
    let sealed = D::create("sealed", 1, &plain()).unwrap();
    sealed.guard_begin().unwrap();
    fork(|| {
        // SAFETY: this process's copy, which ends with it.
        let sealed = unsafe { std::ptr::read(&sealed) };
        fails(sealed.close(), EBUSY, &[]);
    })
    .join();
    sealed.guard_end().unwrap();
    sealed.close().unwrap();
}

fn a_child_has_sections_of_its_own<D: Door>() {
    let pages = Pages::new(3);
    let region = pages.open::<D>(&plain());
    region.guard_begin().unwrap();
    pages.shrink(2);
    assert_eq!(firsts(&region), [1, 2, 0]);
    let child = fork(|| {
        assert_eq!(firsts(&region), [1, 2, 0]);
        pages.shrink(1);
        region.guard_begin().unwrap();
        assert_eq!(firsts(&region), [1, 0, 0]);
        shrunk(region.guard_end());
        shrunk(region.guard_end());
        dies(|| drop(peek(&region, page()).to_string()));
        shrunk(region.read(page(), &mut [0]));
        D::guard_check().unwrap();
        let another = pages.open::<D>(&plain());
        another.guard_begin().unwrap();
        another.guard_end().unwrap();
    });
    child.join();
    assert_eq!(firsts(&region), [1, 0, 0]);
    pages.grow(1..3);
    assert_eq!(firsts(&region), [1, 0, 0], "the child's ends are not the parent's");
    shrunk(region.guard_end());
    assert_eq!(firsts(&region), [1, 2, 3]);
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

fn many_regions_are_guarded_at_once<D: Door>() {
    let pages = Pages::new(2);
    for _ in 0..2 {
        let mut regions: Vec<_> = (0..100).map(|_| pages.open::<D>(&plain())).collect();
        // Their slots are used again.
        for at in (0..100).rev().step_by(3) {
            regions.swap_remove(at).close().unwrap();
        }
        regions.extend((0..50).map(|_| pages.open::<D>(&plain())));
        pages.shrink(1);
        for region in &regions {
            region.guard_begin().unwrap();
        }
        for region in regions.iter().step_by(2) {
            assert_eq!(firsts(region), [1, 0]);
        }
        for (at, region) in regions.iter().enumerate() {
            match at % 2 {
                0 => shrunk(region.guard_end()),
                _ => region.guard_end().unwrap(),
            }
        }
        pages.grow(1..2);
        for region in &regions {
            assert_eq!(firsts(region), [1, 2]);
        }
    }
}

fn a_handler_that_does_not_call_ours_is_noticed<D: Door>() {
    extern "C" fn leave(_: i32) {
        unsafe { libc::_exit(33) }
    }
    extern "C" fn hang(_: i32) {
        loop {
            unsafe { libc::pause() };
        }
    }
    let pages = Pages::new(1);
    let region = pages.open::<D>(&plain());
    let unshared = D::anon_create(1, &plain()).unwrap();
    for (handler, says) in [(leave as extern "C" fn(i32), "exit code 33"), (hang, "within 1 s")] {
        fork(|| {
            unsafe { libc::signal(libc::SIGBUS, handler as *const () as libc::sighandler_t) };
            refused(D::guard_check(), SHMKIT_E_UNGUARDED, &["handler", says]);
            let other = D::from_fd(pages.fd(), 0, &plain()).unwrap();
            refused(other.guard_enable(), SHMKIT_E_UNGUARDED, &["handler", says]);
            refused(other.guard_begin(), SHMKIT_E_UNGUARDED, &[]);
            other.protect(0, 1, SHMKIT_RIGHTS_READ).unwrap();
            // Whose guard is enabled already, or not needed, keeps it.
            region.guard_begin().unwrap();
            region.guard_end().unwrap();
            unshared.guard_enable().unwrap();
            assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }, -1);
        })
        .join();
    }
    fork(|| {
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        refused(D::guard_check(), SHMKIT_E_UNGUARDED, &["signal 7"]);
    })
    .join();
    D::guard_check().unwrap();
}

/// The guarded copy's answer against that of the copy by the kernel.
fn checked_copies_fail_where_the_kernel_s_do<D: Door>() {
    const PAGES: usize = 8;
    let pages = Pages::new(PAGES);
    let (guarded, plain) = (pages.open::<D>(&plain()), D::from_fd(pages.fd(), 0, &plain()).unwrap());
    let size = PAGES * page();
    let bounds = || prop_oneof![0..=size, (0..=PAGES).prop_map(|number| number * page()), 0..3usize];
    let cases = (0..=size, bounds(), bounds(), any::<bool>());
    check(400, cases, |(length_of_file, offset, length, write)| {
        pages.0.set_len(length_of_file as u64).unwrap();
        let what = |answer: Answer<()>| answer.map_err(|failure| failure.code);
        let bytes = vec![9; length];
        let (mut one, mut other) = (vec![0; length], vec![0; length]);
        let (is, should) = match write {
            true => (guarded.write(offset, &bytes), plain.write(offset, &bytes)),
            false => (guarded.read(offset, &mut one), plain.read(offset, &mut other)),
        };
        let (is, should) = (what(is), what(should));
        assert_eq!(is, should);
        let there = length_of_file.next_multiple_of(page());
        let beyond = offset + length > there && length > 0 && offset + length <= size;
        assert_eq!(is == Err(SHMKIT_E_SHRUNK), beyond);
        if is.is_ok() {
            assert!(one == other);
        }
        if is.is_ok() && write {
            assert!(plain.bytes(offset, length).unwrap() == bytes);
        }
        pages.grow(0..PAGES);
        assert_eq!(firsts(&guarded), firsts(&plain));
    });
}

fn a_checked_copy_says_which_zeros_an_open_section_holds<D: Door>() {
    let pages = Pages::new(6);
    let region = pages.open::<D>(&plain());
    region.guard_begin().unwrap();
    pages.shrink(2);
    assert_eq!(peek(&region, 3 * page()), 0);
    pages.grow(2..6);
    assert_eq!(region.bytes(0, 3 * page()).unwrap()[2 * page()..], vec![3; page()]);
    assert_eq!(region.bytes(4 * page(), page()).unwrap(), vec![5; page()]);
    for (offset, length) in
        [(3 * page(), 1), (4 * page() - 1, 1), (3 * page() - 1, 2), (4 * page() - 1, 2), (0, 6 * page())]
    {
        refused(region.read(offset, &mut vec![0; length]), SHMKIT_E_SHRUNK, &["guarded section"]);
        refused(region.write(offset, &vec![9; length]), SHMKIT_E_SHRUNK, &["guarded section"]);
        refused(region.check(offset, length), SHMKIT_E_SHRUNK, &["guarded section"]);
    }
    region.read(3 * page(), &mut []).unwrap();
    region.write(3 * page() - 1, b"x").unwrap();
    region.write(4 * page(), b"x").unwrap();
    shrunk(region.guard_end());
    assert_eq!(region.bytes(3 * page(), 2).unwrap(), [4, 4], "what was written to zeros is lost");
    assert_eq!(region.bytes(4 * page() - 1, 2).unwrap(), [4, b'x']);
}

fn checked_copies_put_the_file_back<D: Door>() {
    let pages = Pages::new(3);
    let region = pages.open::<D>(&plain());
    let before = mapped(&region);
    pages.shrink(1);
    refused(region.read(0, &mut vec![0; 3 * page()]), SHMKIT_E_SHRUNK, &["4096 bytes"]);
    refused(region.write(page(), b"x"), SHMKIT_E_SHRUNK, &["4096 bytes"]);
    assert_eq!(mapped(&region), before);
    dies(|| drop(peek(&region, page()).to_string()));
    pages.grow(1..3);
    region.read(0, &mut vec![0; 3 * page()]).unwrap();
    assert_eq!(firsts(&region), [1, 2, 3]);
    region.guard_begin().unwrap();
    region.guard_end().unwrap();
}

/// Another process takes pages away and gives them back, thousands of times; a page comes back with all its
/// bytes. Whoever is not told of an error has read the file's bytes, and no zeros.
fn the_file_comes_and_goes_under_many_threads<D: Door>() {
    const PAGES: usize = 8;
    const ENOUGH: usize = 3000;
    let pages = Pages::new(PAGES);
    let region = pages.open::<D>(&plain());
    let other = fork(|| loop {
        for left in [0, 3, PAGES - 1, 1, 5] {
            pages.shrink(left);
            pages.grow(left..PAGES);
        }
    });
    let (whole, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |answer: Answer<()>, right: bool| match answer {
        Ok(()) => {
            assert!(right, "zeros, and no error");
            whole.fetch_add(1, Ordering::Relaxed);
        }
        Err(failure) => {
            assert_eq!(failure.code, SHMKIT_E_SHRUNK);
            gone.fetch_add(1, Ordering::Relaxed);
        }
    };
    let more = || whole.load(Ordering::Relaxed) < ENOUGH || gone.load(Ordering::Relaxed) < ENOUGH;
    let region = &region;
    let holds = |number: usize, at: usize| peek(region, number * page() + at) == number as u8 + 1;
    std::thread::scope(|scope| {
        let (count, more, holds) = (&count, &more, &holds);
        let work = [0, 1, 2, 3].map(|thread| {
            scope.spawn(move || {
                let mut round = thread;
                while more() {
                    round += 1;
                    let number = round % PAGES;
                    match round % 3 {
                        0 => {
                            region.guard_begin().unwrap();
                            let right = holds(number, 0) && holds(number, page() - 1);
                            count(region.guard_end(), right);
                        }
                        1 => {
                            region.guard_begin().unwrap();
                            region.guard_begin().unwrap();
                            let first = holds(0, 0);
                            count(region.guard_end(), first);
                            let right = (0..PAGES).all(|number| holds(number, round % page()));
                            count(region.guard_end(), first && right);
                        }
                        _ => {
                            let mut bytes = vec![0; 2 * page()];
                            let number = number.min(PAGES - 2);
                            let read = region.read(number * page(), &mut bytes);
                            let right = |part: usize, byte: u8| {
                                bytes[part * page()..][..page()].iter().all(|&is| is == byte)
                            };
                            count(read, right(0, number as u8 + 1) && right(1, number as u8 + 2));
                        }
                    }
                }
            })
        });
        // Joined one by one, so that their stacks are the next round's.
        work.into_iter().for_each(|thread| thread.join().unwrap());
    });
    other.slay();
    pages.grow(0..PAGES);
    assert_eq!(firsts(region), [1, 2, 3, 4, 5, 6, 7, 8]);
    fails(region.guard_end(), EINVAL, &[]);
}
