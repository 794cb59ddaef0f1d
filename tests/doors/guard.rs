//! The fault guard: inside its sections a page that is gone reads as zeros, and the end tells.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;

use libc::{EBUSY, EINVAL};

use crate::door::*;
use crate::support::*;

scenarios! {
    a_page_that_is_gone_reads_zeros_and_the_end_tells,
    what_is_written_to_a_gone_page_is_lost_and_told,
    every_section_that_overlaps_with_a_gone_page_is_told,
    a_section_of_another_region_is_not_told,
    each_begin_has_one_end,
    memory_that_cannot_shrink_needs_no_guard,
    sections_stay_balanced_when_the_region_is_sealed_meanwhile,
    guard_and_protect_exclude_each_other,
    what_is_not_in_a_section_dies_as_before,
    a_region_is_not_closed_with_an_open_section,
    a_child_has_sections_of_its_own,
    many_regions_are_guarded_at_once,
    a_handler_that_does_not_call_ours_is_noticed: 20,
    the_file_comes_and_goes_under_many_threads: 60,
}

/// A memory file, of which each page is full of its own number, from 1.
pub struct Pages(pub File);

pub fn memfd(size: usize) -> File {
    let file = unsafe { File::from_raw_fd(good(libc::memfd_create(c"pages".as_ptr(), libc::MFD_CLOEXEC))) };
    file.set_len(size as u64).unwrap();
    file
}

impl Pages {
    pub fn new(count: usize) -> Pages {
        let pages = Pages(memfd(0));
        pages.grow(0..count);
        pages
    }

    /// The file ends here.
    pub fn shrink(&self, count: usize) {
        self.0.set_len((count * page()) as u64).unwrap();
    }

    /// A page is there with all its bytes, or not at all.
    pub fn grow(&self, pages: std::ops::Range<usize>) {
        for number in pages {
            self.0.write_all_at(&vec![number as u8 + 1; page()], (number * page()) as u64).unwrap();
        }
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub fn open<D: Door>(&self, options: &Options) -> D::Region {
        let region = D::from_fd(self.fd(), 0, options).unwrap();
        region.guard_enable().unwrap();
        region
    }
}

/// A byte by the raw pointer.
pub fn peek(region: &impl Handle, offset: usize) -> u8 {
    assert!(offset < region.size());
    unsafe { region.data().add(offset).read_volatile() }
}

pub fn poke(region: &impl Handle, offset: usize, byte: u8) {
    assert!(offset < region.size());
    unsafe { region.data().add(offset).write_volatile(byte) }
}

/// The first bytes of all pages.
pub fn firsts(region: &impl Handle) -> Vec<u8> {
    (0..region.size()).step_by(page()).map(|offset| peek(region, offset)).collect()
}

pub fn shrunk<T>(answer: Answer<T>) {
    refused(answer, SHMKIT_E_SHRUNK, &[]);
}

pub fn dies(body: impl FnOnce()) {
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
