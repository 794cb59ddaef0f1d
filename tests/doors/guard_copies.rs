//! Checked copies of a guarded region: a memcpy, with the errors of the copy by the kernel.

use proptest::prelude::*;

use crate::door::*;
use crate::guard::{dies, firsts, memfd, peek, shrunk, Pages};
use crate::guard_memory::mapped;
use crate::property::check;
use crate::support::*;

scenarios! {
    checked_copies_fail_where_the_kernel_s_do: 30,
    a_checked_copy_says_which_zeros_an_open_section_holds,
    checked_copies_put_the_file_back,
    many_pages_that_are_gone_take_few_mappings: 30,
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

/// The kernel has a limit for mappings, and whoever can truncate a file must not be able to exhaust it.
fn many_pages_that_are_gone_take_few_mappings<D: Door>() {
    const PAGES: usize = 20_000;
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let pages = Pages(memfd(PAGES * page()));
    for flags in [Flags::empty(), Flags::PRIVATE] {
        let region = pages.open::<D>(&with(flags));
        let before = mappings();
        pages.shrink(100);
        region.guard_begin().unwrap();
        // From both ends, every second one, so that none lies beside another.
        for number in (100..PAGES / 2).step_by(2) {
            assert_eq!(peek(&region, number * page()), 0);
            assert_eq!(peek(&region, (PAGES - number) * page()), 0);
        }
        assert!(mappings() < before + 200, "{} after {before}", mappings());
        refused(region.read(PAGES * page() - 1, &mut [0]), SHMKIT_E_SHRUNK, &[]);
        refused(region.read(99 * page(), &mut vec![0; 2 * page()]), SHMKIT_E_SHRUNK, &[]);
        region.read(0, &mut vec![0; 100 * page()]).unwrap();
        pages.0.set_len((PAGES * page()) as u64).unwrap();
        shrunk(region.guard_end());
        assert_eq!(mappings(), before, "all of it is one piece again");
        region.read(0, &mut vec![0; PAGES * page()]).unwrap();
    }
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
