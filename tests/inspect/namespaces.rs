//! What is in another namespace, or many.

use shmkit::inspect::{leftovers, By, Cause, Select, Survey};
use shmkit::{Options, Region};

use crate::segment;
use crate::support::*;

const SEGMENTS: Select = Select::SEGMENTS.union(Select::HOLDERS);

#[test]
fn segments_of_another_ipc_namespace_are_not_mixed_in() {
    own_process!(10, || {
        // In namespaces of their own, the first ids are the same.
        let (told, done) = (Line::new(), Line::new());
        let make = |size: usize| {
            own_ipc()?;
            let region = Region::sysv_create(0, size, &Options::default()).unwrap();
            Ok::<_, String>((Segment(region.sysv_id().unwrap()), region))
        };
        let other = fork(|| match make(4096) {
            Ok((id, _region)) => {
                told.tell(id.0.into());
                done.hear();
            }
            Err(_) => told.tell(-1),
        });
        let own = fork(|| {
            let foreign = told.hear() as i32;
            if foreign == -1 {
                return skip("no IPC namespace of one's own here");
            }
            let (id, region) = make(8192).unwrap();
            assert_eq!(id.0, foreign, "ids are handed out alike");
            let survey = Survey::of(SEGMENTS);
            assert_eq!(survey.objects.len(), 1, "{:#?}", survey.objects);
            let object = segment(&survey, id.0).unwrap();
            assert_eq!((object.size_bytes, object.attach_count), (Some(8192), Some(1)));
            let held: Vec<_> =
                object.holders.iter().map(|holder| (survey.process(holder).pid, holder.by)).collect();
            let start = region.as_ptr() as u64;
            let mapping = By::Mapping { start, length_bytes: 8192, offset: 0, shared: true };
            assert_eq!(held, [(std::process::id() as i32, mapping)]);
        });
        own.join();
        done.tell(0);
        other.join();
        while done.is_told() {
            done.hear();
        }
    });
}

#[test]
fn four_thousand_segments_are_listed_and_left_over() {
    own_process!(60, || {
        const COUNT: usize = 4096;
        let child = fork(|| {
            if let Err(why) = own_ipc() {
                return skip(why);
            }
            for at in 0..COUNT {
                good(unsafe { libc::shmget(libc::IPC_PRIVATE, 1 + at, libc::IPC_CREAT | 0o600) });
            }
            let survey = Survey::of(SEGMENTS);
            assert_eq!(survey.objects.len(), COUNT);
            let mut sizes: Vec<_> = survey.objects.iter().map(|object| object.size_bytes.unwrap()).collect();
            sizes.sort();
            assert!(sizes.into_iter().eq(1..=COUNT as u64));
            let all = leftovers();
            let segments: Vec<_> = all.found.iter().filter(|it| it.object.id.is_some()).collect();
            assert_eq!(segments.len(), COUNT);
            segments.iter().for_each(|it| it.remove().unwrap());
            assert!(Survey::of(SEGMENTS).objects.is_empty());
        });
        child.join();
    });
}

#[test]
fn objects_that_are_removed_while_they_are_listed() {
    own_process!(60, || {
        let child = fork(|| {
            if let Err(why) = own_ipc().and_then(|()| own_dev_shm("size=8m")) {
                return skip(why);
            }
            let storm = fork(|| loop {
                for at in 0..40 {
                    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o600) };
                    let path = c(&format!("/dev/shm/storm-{at}"));
                    unsafe {
                        libc::close(libc::open(path.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600));
                        libc::unlink(path.as_ptr());
                        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
                    }
                }
            });
            for _ in 0..200 {
                let survey = Survey::of(Select::SEGMENTS | Select::POSIX);
                assert_eq!(survey.gaps, []);
                for left in leftovers().found {
                    // Gone, changed, in use just now, or removed.
                    let _ = left.remove();
                }
            }
            storm.slay();
            leftovers().found.iter().for_each(|it| it.remove().unwrap());
        });
        child.join();
    });
}

#[test]
fn a_hidden_proc_is_a_gap() {
    own_process!(10, || {
        let child = fork(|| {
            let proc = own_mounts().and_then(|()| mount("proc", "/proc", "proc", 0, "hidepid=2"));
            if let Err(why) = proc {
                return skip(why);
            }
            let stranger = fork_as_nobody(|| {
                let survey = Survey::of(Select::MACHINE);
                let gap = survey.gaps.iter().find(|gap| gap.cause == Cause::Hidden).expect("a gap");
                assert!(gap.message.contains("hidepid"), "{gap}");
            });
            match stranger {
                Ok(stranger) => stranger.join(),
                Err(why) => skip(why),
            }
        });
        child.join();
    });
}

#[test]
fn without_proc_and_dev_shm_every_gap_has_its_reason() {
    own_process!(10, || {
        let child = fork(|| {
            let empty = own_mounts().and_then(|()| mount("tmpfs", "/proc", "tmpfs", 0, "size=4k"));
            if let Err(why) = empty {
                return skip(why);
            }
            let survey = Survey::of(Select::MACHINE);
            let causes: Vec<_> = survey.gaps.iter().map(|gap| gap.cause).collect();
            assert!(causes.contains(&Cause::Unreadable), "{:#?}", survey.gaps);
            assert!(survey.gaps.iter().any(|gap| gap.message.contains("/proc/sysvipc/shm")));
        });
        child.join();
    });
}

#[test]
fn sets_and_queues_are_listed() {
    own_process!(10, || {
        let child = fork(|| {
            if let Err(why) = own_ipc() {
                return skip(why);
            }
            let (set, queue) = unsafe {
                let set = good(libc::semget(77, 5, libc::IPC_CREAT | 0o640));
                let queue = good(libc::msgget(78, libc::IPC_CREAT | 0o600));
                let message: [u8; 18] = [1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
                good(libc::msgsnd(queue, message.as_ptr().cast(), 10, 0));
                (set, queue)
            };
            let survey = Survey::of(Select::SEMAPHORES | Select::QUEUES);
            assert_eq!(survey.objects.len(), 2);
            let (sets, queues) = (&survey.objects[0], &survey.objects[1]);
            assert_eq!(
                (sets.id, sets.key, sets.count, sets.mode),
                (Some(set), Some(77), Some(5), Some(0o640))
            );
            assert_eq!((queues.id, queues.key), (Some(queue), Some(78)));
            assert_eq!((queues.size_bytes, queues.count), (Some(10), Some(1)));
            assert_eq!(queues.last_pid, Some(std::process::id() as i32));
        });
        child.join();
    });
}

#[test]
fn where_dev_shm_is_a_part_of_a_larger_file_system_only_its_own_files_are_objects() {
    own_process!(10, || {
        let child = fork(|| {
            let directory = Directory::new();
            let plain = directory.path().to_str().unwrap();
            let bound = own_mounts().and_then(|()| mount(plain, "/dev/shm", "", libc::MS_BIND, ""));
            if let Err(why) = bound {
                return skip(why);
            }
            std::fs::write("/dev/shm/object", "of a disk").unwrap();
            let (_inside, outside) = (open("/dev/shm/object", libc::O_RDONLY), Directory::new());
            let _outside = open(outside.write("file", b"elsewhere"), libc::O_RDONLY);
            let pid = std::process::id() as i32;
            let survey = Survey::of_process(pid, Select::POSIX).unwrap();
            let names: Vec<_> = survey.objects.iter().map(|object| object.name.clone().unwrap()).collect();
            assert_eq!(names, ["/object"]);
        });
        child.join();
    });
}

#[test]
fn without_descriptors_the_rest_is_a_gap() {
    own_process!(10, || {
        let _held = std::fs::File::open("/dev/null").unwrap();
        let child = fork(|| {
            let _limit = Limit::lower(libc::RLIMIT_NOFILE, 0);
            let survey = Survey::of(Select::MACHINE);
            assert!(survey.objects.is_empty());
            let told = |word: &str| survey.gaps.iter().any(|gap| gap.message.contains(word));
            assert!(told("Too many open files") && told("/proc/sysvipc/shm"), "{:#?}", survey.gaps);
        });
        child.join();
    });
}
