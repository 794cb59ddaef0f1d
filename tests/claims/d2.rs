//! Memory shared by mmap and by System V.

use std::fs::{self, File};
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::resource::{getrusage, UsageWho};
use shmkit::bytemuck::{Pod, Zeroable};
use shmkit::error::SHMKIT_E_SHRUNK;
use shmkit::handover::{recv_region, send_region, Deadline};
use shmkit::region::{sysv, Rights};
use shmkit::sysv::{Creation, Operation, Semaphores};
use shmkit::{Advice, Flags, Options, Region};

use crate::kernel::{dirty, page_frame, Mapping};
use crate::support::*;
use crate::{directory_in_memory, directory_on_disk, pattern, refused, Link, NO_DISK, NO_TMPFS};

/// The record used throughout.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct People {
    name: [u8; 4],
    age: i32,
}

// SAFETY: 8 bytes without padding or pointers, valid whatever they are.
unsafe impl Zeroable for People {}
unsafe impl Pod for People {}

const RECORD: usize = size_of::<People>();
const EMPTY: People = People { name: [0; 4], age: 0 };

/// Record `index`: the letter 'b' + index, the age 20 + index.
fn people(index: usize) -> People {
    People { name: [b'b' + index as u8, 0, 0, 0], age: 20 + index as i32 }
}

/// A file of 5 records, mapped for 10.
fn map_ten_of_five(path: &str) -> Region {
    drop(Region::file_create(path, 5 * RECORD, &Options::default()).unwrap());
    Region::file_open(path, 10 * RECORD, &Options::with_flags(Flags::PAST_END)).unwrap()
}

fn fill(region: &Region) {
    for index in 0..10 {
        region.store(index * RECORD, &people(index)).unwrap();
    }
}

/// How many of the 10 records another process finds filled, and how many behind those empty.
fn seen_by_another_process(path: &str) -> (i64, i64) {
    let line = Line::new();
    let second = fork(|| {
        let options = Options::with_flags(Flags::PAST_END | Flags::READ_ONLY);
        let region = Region::file_open(path, 10 * RECORD, &options).unwrap();
        let records: Vec<People> = (0..10).map(|index| region.load(index * RECORD).unwrap()).collect();
        let filled = (0..10).take_while(|&index| records[index] == people(index)).count();
        let empty = records[filled..].iter().filter(|&&record| record == EMPTY).count();
        line.tell(filled as i64);
        line.tell(empty as i64);
    });
    second.join();
    (line.hear(), line.hear())
}

#[test]
fn d2_1_another_process_sees_ten_records_meanwhile() {
    own_process!(10, || {
        for directory in [directory_on_disk(), directory_in_memory()].into_iter().flatten() {
            let path = directory.file("people");
            see_ten_meanwhile(&map_ten_of_five(&path), &path);
        }
    });
}

/// On a disk too, before the page is written back. The kernel may do that by itself at any time, but not
/// each time.
fn see_ten_meanwhile(region: &Region, path: &str) {
    let ten = (0..20).any(|_| {
        fill(region);
        seen_by_another_process(path) == (10, 0)
    });
    assert!(ten);
}

#[test]
fn d2_2_on_a_disk_five_records_are_left_once_the_page_was_written_back() {
    own_process!(10, || match directory_on_disk() {
        None => skip(NO_DISK),
        Some(directory) => assert_eq!(seen_after_the_flush(&directory), (5, 5)),
    });
}

#[test]
fn d2_2_on_tmpfs_all_ten_stay() {
    own_process!(5, || match directory_in_memory() {
        None => skip(NO_TMPFS),
        Some(directory) => assert_eq!(seen_after_the_flush(&directory), (10, 0)),
    });
}

fn seen_after_the_flush(directory: &Directory) -> (i64, i64) {
    let path = directory.file("people");
    let region = map_ten_of_five(&path);
    see_ten_meanwhile(&region, &path);
    region.flush(0, 10 * RECORD).unwrap();
    region.close().unwrap();
    seen_by_another_process(&path)
}

#[test]
fn d2_3_a_mapping_never_changes_the_size_of_its_file() {
    own_process!(10, || {
        for directory in [directory_on_disk(), directory_in_memory()].into_iter().flatten() {
            let path = directory.file("people");
            let size = || fs::metadata(&path).unwrap().len();
            let region = map_ten_of_five(&path);
            assert_eq!(size(), 40);
            fill(&region);
            assert_eq!(size(), 40);
            region.flush(0, 10 * RECORD).unwrap();
            region.close().unwrap();
            assert_eq!(size(), 40);
            assert_eq!(fs::read(&path).unwrap().len(), 40);
        }
    });
}

#[test]
fn d2_4_parent_and_child_share_anonymous_memory_over_fork() {
    own_process!(5, || {
        let region = Region::anon_create(5 * RECORD, &Options::default()).unwrap();
        let records = region.array::<People>(0, 5).unwrap();
        for index in 0..5 {
            records.set(index, people(index)).unwrap();
        }
        let hundred = People { age: 100, ..people(0) };
        let child = fork(|| {
            assert!((0..5).all(|index| records.get(index) == Some(people(index))));
            records.set(0, hundred).unwrap();
        });
        child.join();
        assert_eq!((records.get(0), records.get(1)), (Some(hundred), Some(people(1))));
    });
}

#[test]
fn d2_5_access_is_valid_to_the_end_of_the_last_page_of_the_file() {
    own_process!(5, || {
        // The size of the file, the offset of the mapping, how many of its pages can be used.
        for (size, offset, good) in [(2 * page() - 99, 0, 2), (2 * page() - 99, page(), 1), (1, 0, 1)] {
            let directory = Directory::new();
            let path = directory.file("pages");
            fs::write(&path, vec![b'x'; size]).unwrap();
            let options = Options { offset: offset as u64, ..Options::with_flags(Flags::PAST_END) };
            let region = Region::file_open(&path, 3 * page(), &options).unwrap();

            // The documents' walk: the begin of each page and its edge.
            let walk: Vec<usize> = (0..3).flat_map(|at| [at * page(), (at + 1) * page() - 4]).collect();
            let memory = Region::anon_create(4, &Options::default()).unwrap();
            let survived = memory.atomic::<AtomicU32>(0).unwrap();
            let raw = end_of(|| {
                for &at in &walk {
                    unsafe { region.as_ptr().add(at).write_volatile(1) };
                    survived.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert_eq!(raw, End::Signal(libc::SIGBUS));
            assert_eq!(survived.load(Ordering::Relaxed), 2 * good);

            // Checked access goes as far to the byte, and the program goes on.
            let end = good as usize * page();
            let mut two = [0; 2];
            region.read(end - 2, &mut two).unwrap();
            region.write(end - 2, &two).unwrap();
            for at in [end - 1, end, 3 * page() - 2] {
                let (code, message) = refused(region.read(at, &mut two));
                assert_eq!((code, refused(region.write(at, &two)).0), (SHMKIT_E_SHRUNK, SHMKIT_E_SHRUNK));
                assert!(message.contains(&format!("has {size} bytes")), "{message}");
            }
            region.read(0, &mut two).unwrap();
        }
    });
}

#[test]
fn d2_6_the_offset_is_a_multiple_of_the_page_size() {
    own_process!(5, || {
        let directory = Directory::new();
        let path = directory.file("pages");
        fs::write(&path, vec![0; 2 * page()]).unwrap();
        let file = File::open(&path).unwrap();
        let at = |offset: usize| Options { offset: offset as u64, ..Options::default() };
        for offset in [1, 100, page() - 1, page() + 1] {
            let (code, message) = refused(Region::file_open(&path, 1, &at(offset)));
            assert_eq!(code, -libc::EINVAL);
            for number in [offset, page()] {
                assert!(message.contains(&number.to_string()), "{message}");
            }
            let (fd, rights, shared) = (file.as_raw_fd(), libc::PROT_READ, libc::MAP_SHARED);
            let raw = unsafe { libc::mmap(std::ptr::null_mut(), 1, rights, shared, fd, offset as i64) };
            assert_eq!((raw, errno()), (libc::MAP_FAILED, libc::EINVAL));
        }
        assert_eq!(Region::file_open(&path, 0, &at(page())).unwrap().size(), page());
    });
}

#[test]
fn d2_7_after_the_close_the_address_is_gone() {
    own_process!(5, || {
        // Taken by value: there is no region left to be used.
        let close: fn(Region) -> shmkit::Result<()> = Region::close;
        let region = Region::anon_create(4096, &Options::default()).unwrap();
        let start = region.as_ptr();
        unsafe { start.write_volatile(1) };
        assert!(Mapping::at(start).is_some());
        close(region).unwrap();
        assert!(Mapping::at(start).is_none());
        let end = end_of(|| {
            unsafe { start.read_volatile() };
        });
        assert_eq!(end, End::Signal(libc::SIGSEGV));
    });
}

#[test]
fn d2_8_a_flush_writes_the_memory_to_the_disk() {
    own_process!(10, || {
        let Some(directory) = directory_on_disk() else {
            return skip(NO_DISK);
        };
        let make = |name| Region::file_create(directory.file(name), 4096, &Options::default()).unwrap();
        let (flushed, not_flushed) = (make("flushed"), make("not flushed"));
        // The kernel may write a page by itself between two looks at it, but not each time.
        let shown = (1..=200_u64).any(|round| {
            for region in [&flushed, &not_flushed] {
                region.store(0, &round).unwrap();
            }
            let dirty_before = dirty(&flushed);
            // Others see the bytes without a flush.
            let mut word = [0; 8];
            File::open(directory.file("not flushed")).unwrap().read_exact_at(&mut word, 0).unwrap();
            assert_eq!(u64::from_ne_bytes(word), round);
            flushed.flush(0, 4096).unwrap();
            assert!(!dirty(&flushed));
            dirty_before && dirty(&not_flushed)
        });
        assert!(shown, "dirty before the flush, clean after it, and still dirty without it");
    });
}

#[test]
fn d2_9_what_one_process_writes_under_a_paths_key_another_reads() {
    own_process!(5, || {
        let directory = Directory::new();
        let path = directory.file("path");
        fs::write(&path, "").unwrap();
        let line = Line::new();
        let writer = fork(|| {
            let key = sysv::key(&path, 'x' as i32).unwrap();
            let region = Region::sysv_create(key, 4096, &Options::default()).unwrap();
            fill(&region);
            line.tell(region.sysv_id().unwrap().into());
        });
        writer.join();
        let segment = Segment(line.hear() as i32);
        assert_eq!(sysv::stat(segment.0).unwrap().mode, 0o600);
        let reader = fork(|| {
            let key = sysv::key(&path, 'x' as i32).unwrap();
            let region = Region::sysv_attach(key, &Options::default()).unwrap();
            for index in 0..10 {
                assert_eq!(region.load::<People>(index * RECORD).unwrap(), people(index));
            }
        });
        reader.join();
    });
}

#[test]
fn d2_9_a_path_that_does_not_exist_has_no_key() {
    own_process!(5, || {
        let directory = Directory::new();
        let (code, message) = refused(sysv::key(directory.file("missing"), 1));
        assert_eq!(code, -libc::ENOENT);
        assert!(message.contains("missing'"), "{message}");
        let default = Options::default();
        for refusal in [Region::sysv_create(-1, 4096, &default), Region::sysv_attach(-1, &default)] {
            let (code, message) = refused(refusal);
            assert_eq!(code, -libc::EINVAL);
            assert!(message.contains("ftok"), "{message}");
        }
    });
}

/// What the documents' own programs run into.
#[test]
fn d2_9_plain_shmget_takes_key_minus_1_and_mode_0() {
    own_process!(5, || {
        if let Err(why) = own_ipc() {
            return skip(why);
        }
        let get = |key| good(unsafe { libc::shmget(key, 4096, libc::IPC_CREAT) });
        let failed = Segment(get(-1));
        assert_eq!(sysv::stat(failed.0).unwrap().key, -1, "ftok's failure is a key");
        let creator = fork_as_nobody(|| {
            let id = get(libc::IPC_PRIVATE);
            assert_eq!(refused(Region::sysv_attach_id(id, &Options::default())).0, -libc::EACCES);
            drop(Segment(id));
            let auto_remove = Options::with_flags(Flags::AUTO_REMOVE);
            drop(Region::sysv_create(libc::IPC_PRIVATE, 4096, &auto_remove).unwrap());
        });
        match creator {
            Ok(creator) => creator.join(),
            Err(why) => skip(why),
        }
    });
}

#[test]
fn d2_10_a_segment_outlives_its_processes_until_it_is_removed() {
    own_process!(5, || {
        let key = Key::new();
        let line = Line::new();
        let writer = fork(|| {
            let region = Region::sysv_create(key.get(), 4096, &Options::default()).unwrap();
            region.write(0, b"left behind").unwrap();
            line.tell(region.sysv_id().unwrap().into());
        });
        writer.join();
        let id = line.hear() as i32;
        assert_eq!(sysv::stat(id).unwrap().attach_count, 0);
        let reader = fork(|| {
            let region = Region::sysv_attach(key.get(), &Options::default()).unwrap();
            let mut text = [0; 11];
            region.read(0, &mut text).unwrap();
            assert_eq!(&text, b"left behind");
            assert_eq!(Mapping::of(&region).device_major(), 0, "on no device, so on no disk");
        });
        reader.join();
        sysv::remove(id).unwrap();
        let (code, message) = refused(Region::sysv_attach(key.get(), &Options::default()));
        assert_eq!(code, -libc::ENOENT);
        assert!(message.contains(&key.hex()), "{message}");
    });
}

#[test]
fn d2_13_without_a_semaphore_writes_are_lost_and_with_one_they_are_not() {
    const ROUNDS: u64 = 2000;
    own_process!(20, || {
        // Where this is permitted, what is left of a failure goes with the process.
        let _ = own_ipc();
        let region = Region::sysv_create(0, 16, &Options::with_flags(Flags::AUTO_REMOVE)).unwrap();
        let count = |add| region.store(0, &(region.load::<u64>(0).unwrap() + add)).unwrap();
        let (here, there) = Link::pair();

        // Read, add, write, in two processes at once: the order that loses a write.
        let other = fork(|| {
            assert_eq!(there.hear(), "read");
            count(1);
            there.say("written");
        });
        let read = region.load::<u64>(0).unwrap();
        here.say("read");
        assert_eq!(here.hear(), "written");
        region.store(0, &(read + 1)).unwrap();
        other.join();
        assert_eq!(region.load::<u64>(0).unwrap(), 1, "two were counted");

        // The same with a semaphore, which nobody can hold at that point but one.
        region.store(0, &0_u64).unwrap();
        let (turn, _) = Semaphores::create(0, &[1], Creation::default()).unwrap();
        let (take, give) = (Operation::new(0, -1).with_undo(), Operation::new(0, 1).with_undo());
        let counters = [(); 2].map(|()| {
            fork(|| {
                for _ in 0..ROUNDS {
                    turn.operate(&[take], Deadline::NEVER).unwrap();
                    count(1);
                    turn.operate(&[give], Deadline::NEVER).unwrap();
                }
            })
        });
        counters.into_iter().for_each(Child::join);
        assert_eq!(region.load::<u64>(0).unwrap(), 2 * ROUNDS);

        // Its holder is killed: the next one has its turn.
        let holder = fork(|| {
            turn.operate(&[take], Deadline::NEVER).unwrap();
            there.say("holds");
            unsafe { libc::pause() };
        });
        assert_eq!(here.hear(), "holds");
        assert_eq!(refused(turn.try_operate(&[take])).0, -libc::EAGAIN);
        holder.slay();
        turn.try_operate(&[take]).unwrap();
        turn.remove().unwrap();
    });
}

#[test]
fn d2_15_all_addresses_lead_to_the_same_physical_page() {
    own_process!(5, || {
        let (here, there) = Link::pair();
        let other = fork(|| {
            let receive = || recv_region(&there, &Options::default(), Deadline::NEVER).unwrap();
            let regions = [receive(), receive()];
            assert_ne!(regions[0].as_ptr(), regions[1].as_ptr());
            while there.hear() == "look" {
                let frames = regions.each_ref().map(|region| {
                    region.read(0, &mut [0]).unwrap();
                    page_frame(region.as_ptr())
                });
                there.say(format!("{frames:?}"));
            }
        });
        let region = Region::create("d2_15", 4096, &Options::default()).unwrap();
        region.write(0, b"x").unwrap();
        for _ in 0..2 {
            send_region(&here, &region, Deadline::NEVER).unwrap();
        }
        loop {
            let before = page_frame(region.as_ptr());
            if before.is_none() {
                skip("page frame numbers take root");
                break;
            }
            here.say("look");
            let theirs = here.hear();
            // The kernel may move a page between two looks.
            if page_frame(region.as_ptr()) == before {
                assert_eq!(theirs, format!("{:?}", [before, before]));
                break;
            }
        }
        here.say("end");
        other.join();
    });
}

#[test]
fn d2_15_a_page_of_a_file_comes_from_the_disk_at_the_first_touch() {
    const PAGES: usize = 8;
    own_process!(10, || {
        let Some(directory) = directory_on_disk() else {
            return skip(NO_DISK);
        };
        let path = directory.file("pages");
        let content = pattern(PAGES * page());
        fs::write(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let region = Region::file_open(&path, 0, &Options::with_flags(Flags::READ_ONLY)).unwrap();
        // Page by page, none ahead.
        region.advise(0, region.size(), Advice::Random).unwrap();
        // The kernel keeps pages that somebody has a hand on.
        let dropped = (0..1000).any(|_| {
            assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
            resident(&region) == 0
        });
        assert!(dropped);

        let faults_at = |at: usize| {
            let count = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().major_page_faults();
            let before = count();
            let byte = unsafe { region.as_ptr().add(at).read_volatile() };
            let faults = count() - before;
            assert_eq!(byte, content[at]);
            faults
        };
        for index in 0..PAGES {
            let at = index * page();
            assert_eq!((faults_at(at), faults_at(at)), (1, 0), "page {index}");
        }
    });
}

/// How many of the region's pages are in memory.
fn resident(region: &Region) -> usize {
    let mut pages = vec![0_u8; region.size().div_ceil(page())];
    good(unsafe { libc::mincore(region.as_ptr().cast(), region.size(), pages.as_mut_ptr()) });
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

#[test]
fn d2_16_after_fork_variables_are_copies_and_the_mapping_is_shared() {
    own_process!(5, || {
        let region = Region::anon_create(4, &Options::default()).unwrap();
        let shared = region.atomic::<AtomicU32>(0).unwrap();
        let variable = AtomicU32::new(1);
        shared.store(1, Ordering::Relaxed);
        let both = || (variable.load(Ordering::Relaxed), shared.load(Ordering::Relaxed));
        let child = fork(|| {
            assert_eq!(both(), (1, 1));
            variable.store(2, Ordering::Relaxed);
            shared.store(2, Ordering::Relaxed);
            assert_eq!(both(), (2, 2));
        });
        child.join();
        assert_eq!(both(), (1, 2));
    });
}

#[test]
fn d2_17_a_segment_is_no_file() {
    own_process!(5, || {
        let key = Key::new();
        let region = Region::sysv_create(key.get(), 4096, &Options::default()).unwrap();
        assert_eq!(region.fd().unwrap_err().errno(), Some(libc::EOPNOTSUPP));
        assert!(region.descriptor().is_none());
        let (here, _there) = Link::pair();
        assert_eq!(refused(send_region(&here, &region, Deadline::NEVER)).0, -libc::EOPNOTSUPP);
        // The name is for the eye: nothing can be opened under it.
        let path = format!("/SYSV{:08x}", key.get());
        assert_eq!(Mapping::of(&region).name(), format!("{path} (deleted)"));
        assert_eq!(File::open(path).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    });
}

#[test]
fn d2_18_what_the_rights_forbid_is_a_signal_raw_and_an_error_checked() {
    own_process!(5, || {
        let region = Region::create("d2_18", 2 * page(), &Options::default()).unwrap();
        let byte = region.as_ptr();
        let is = |rights: &str, reading: Option<i32>, writing: Option<i32>| {
            assert_eq!(Mapping::of(&region).rights(), rights);
            let end = |denied: Option<i32>| denied.map_or(End::Exit(0), |_| End::Signal(libc::SIGSEGV));
            assert_eq!(end_of(|| assert_eq!(unsafe { byte.read_volatile() }, 0)), end(reading));
            assert_eq!(end_of(|| unsafe { byte.write_volatile(0) }), end(writing));
            let code = |result: shmkit::Result<()>| result.err().map(|error| error.errno().unwrap());
            assert_eq!((code(region.read(0, &mut [0])), code(region.write(0, &[0]))), (reading, writing));
        };
        let denied = Some(libc::EACCES);
        is("rw-s", None, None);
        region.protect(0, page(), Rights::READ).unwrap();
        is("r--s", None, denied);
        region.protect(0, page(), Rights::empty()).unwrap();
        is("---s", denied, denied);
        region.write(page(), &[0]).expect("the next page has its own rights");
        region.protect(0, page(), Rights::READ_WRITE).unwrap();
        is("rw-s", None, None);
    });
}

#[test]
fn d2_18_nobody_can_ask_for_an_address_or_for_execution() {
    let Options { flags: _, mode: _, seals: _, offset: _, size_min: _, size_max: _ } = Options::default();
    for without in [Rights::empty(), Rights::READ, Rights::READ_WRITE] {
        assert_eq!(refused(Rights::from_raw(without.bits() | libc::PROT_EXEC as u32)).0, -libc::EINVAL);
    }
}
