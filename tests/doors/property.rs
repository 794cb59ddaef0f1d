//! Arithmetic against a model: which bytes of an object a region shows, and which bytes of a region a copy
//! may touch.

use std::os::fd::AsRawFd;

use libc::{EINVAL, ENOMEM, EOVERFLOW, ERANGE};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::door::*;
use crate::support::*;

scenarios! {
    a_window_is_as_the_model_says: 30,
    bounds_are_as_the_model_says: 30,
    copies_are_as_the_model_says: 30,
}

/// Runs a test over cases of chance, and tells the simplest one that fails.
pub fn check<T: std::fmt::Debug>(cases: u32, strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // On the way to the simplest case each failure would be told.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = TestRunner::new(config).run(&strategy, |case| {
        test(case);
        Ok(())
    });
    std::panic::set_hook(hook);
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Around what matters: 0, the size, pages, the ends of the number range.
fn number(size: u64) -> impl Strategy<Value = u64> + Clone {
    let near = |to: u64| (0..5u64).prop_map(move |off| to.wrapping_add(off).wrapping_sub(2));
    prop_oneof![
        4 => 0..=2 * size,
        4 => (0..8u64).prop_map(|page| page * 4096),
        2 => near(size),
        2 => near(0),
        1 => near(1 << 63),
        1 => (0..20u64).prop_map(|page| (1u64 << 63).wrapping_sub(page * 4096)),
        1 => (0..20u64).prop_map(|page| 0u64.wrapping_sub(page * 4096)),
        1 => (0..64u32).prop_map(|bit| 1 << bit),
        1 => any::<u64>(),
    ]
}

/// The size of the region, or the errno.
fn window(object: u64, size: u64, options: &Options) -> Result<u64, i32> {
    if options.offset % 4096 != 0 {
        return Err(EINVAL);
    }
    let wanted = match size {
        0 if options.offset >= object => return Err(EINVAL),
        0 => object - options.offset,
        size => size,
    };
    let end = u128::from(options.offset) + u128::from(wanted);
    if end > i64::MAX as u128 {
        return Err(EOVERFLOW);
    }
    if end > u128::from(object) && !options.flags.contains(Flags::PAST_END) {
        return Err(EINVAL);
    }
    if wanted < options.size_min {
        return Err(EINVAL);
    }
    Ok(wanted)
}

fn a_window_is_as_the_model_says<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("block");
    std::fs::write(&path, "").unwrap();
    let file = open(&path, libc::O_RDWR);
    let objects = (0..20_000u64).prop_flat_map(|object| {
        let size_min = prop_oneof![3 => Just(0), 1 => number(object)];
        (Just(object), number(object), number(object), size_min, prop::bool::ANY)
    });
    check(3000, objects, |(object, offset, size, size_min, past_end)| {
        good(unsafe { libc::ftruncate(file.as_raw_fd(), object as i64) });
        let flags = if past_end { Flags::PAST_END } else { Flags::empty() };
        let options = Options { offset, size_min, ..with(flags) };
        let case = format!("{size} bytes at {offset} of {object}, {options:?}");
        for answer in [
            D::from_fd(file.as_raw_fd(), size as usize, &options),
            D::file_open(&path, size as usize, &options),
        ] {
            match (answer, window(object, size, &options)) {
                (Ok(region), Ok(size)) => {
                    assert_eq!(region.size() as u64, size, "{case}");
                    assert!(region.data() as usize % 4096 == 0, "{case}");
                    // There is memory up to the last page that the file reaches.
                    let there = object.next_multiple_of(4096).saturating_sub(offset).min(size);
                    if there > 0 {
                        region.bytes(there as usize - 1, 1).expect(&case);
                    }
                    if there < size {
                        refused(region.read(there as usize, &mut [0]), SHMKIT_E_SHRUNK, &[]);
                    }
                }
                // No address range, or no file of this file system, is that long.
                (Err(failure), Ok(size)) if offset.max(size) > 1 << 40 => {
                    assert!([-ENOMEM, -EOVERFLOW].contains(&failure.code), "{case}: {}", failure.message);
                }
                (Err(failure), Err(errno)) => {
                    assert_eq!(failure.code, -errno, "{case}: {}", failure.message);
                }
                (answer, model) => panic!("{case}: {:?}, and not {model:?}", answer.err()),
            }
        }
    });
}

fn bounds_are_as_the_model_says<D: Door>() {
    const SIZE: u64 = 9000;
    let directory = Directory::new();
    let path = directory.file("block");
    std::fs::write(&path, [0; SIZE as usize]).unwrap();
    let regions = [
        D::create("bounds", SIZE as usize, &plain()).unwrap(),
        D::anon_create(SIZE as usize, &plain()).unwrap(),
        D::file_open(&path, 0, &plain()).unwrap(),
    ];
    let alignments = prop_oneof![(0..64u32).prop_map(|bit| 1 << bit), 0..10u64, any::<u64>()];
    check(3000, (0..3usize, number(SIZE), number(SIZE), alignments), |(which, offset, length, alignment)| {
        let region = &regions[which];
        let inside = u128::from(offset) + u128::from(length) <= u128::from(SIZE);
        let [offset, length, alignment] = [offset, length, alignment].map(|it| it as usize);
        let case = format!("{length} bytes at {offset}, alignment {alignment}");
        let hold = |answer: Answer<()>| match answer {
            Ok(()) => assert!(inside, "{case}"),
            Err(failure) => assert_eq!((failure.code, inside), (-ERANGE, false), "{case}"),
        };
        hold(region.check(offset, length));
        hold(region.flush(offset, length));
        hold(region.flush_async(offset, length));
        hold(region.prefault(offset, length));
        if length <= 4 * SIZE as usize {
            hold(region.read(offset, &mut vec![0; length]));
            hold(region.write(offset, &vec![0; length]));
        }
        match region.at(offset, length, alignment) {
            Ok(at) => {
                assert!(inside && alignment.is_power_of_two() && at as usize % alignment == 0, "{case}");
                assert_eq!(at as usize, region.data() as usize + offset, "{case}");
            }
            Err(failure) if !inside => assert_eq!(failure.code, -ERANGE, "{case}"),
            Err(failure) => {
                let at = region.data() as usize + offset;
                let aligned = alignment.is_power_of_two() && at % alignment == 0;
                assert_eq!((failure.code, aligned), (-EINVAL, false), "{case}");
            }
        }
    });
}

/// Both ways of copying, the memcpy and the kernel's, write and read what a vector would.
fn copies_are_as_the_model_says<D: Door>() {
    const SIZE: usize = 9000;
    let directory = Directory::new();
    let path = directory.file("block");
    std::fs::write(&path, [0; SIZE]).unwrap();
    let protected = D::create("protected", SIZE, &plain()).unwrap();
    protected.protect(0, SIZE, SHMKIT_RIGHTS_READ_WRITE).unwrap();
    let regions = [
        D::create("copies", SIZE, &plain()).unwrap(),
        D::file_open(&path, 0, &plain()).unwrap(),
        D::file_open(&path, 0, &with(Flags::PRIVATE)).unwrap(),
        protected,
    ];
    let copy = (0..SIZE, prop::collection::vec(any::<u8>(), 0..5000));
    check(200, (0..regions.len(), prop::collection::vec(copy, 1..10)), |(which, copies)| {
        let region = &regions[which];
        let mut model = vec![0; SIZE];
        region.write(0, &model).unwrap();
        for (offset, bytes) in copies {
            let bytes = &bytes[..bytes.len().min(SIZE - offset)];
            region.write(offset, bytes).unwrap();
            model[offset..offset + bytes.len()].copy_from_slice(bytes);
            assert!(region.bytes(offset, bytes.len()).unwrap() == bytes);
        }
        assert!(region.bytes(0, SIZE).unwrap() == model);
    });
}
