//! What the kernel knows of all this, and the library tells: claims of all documents.

use shmkit::inspect::{fits, Basis, FileSystem, Limits, ObjectKind, Run, Select, Survey};
use shmkit::region::sysv;
use shmkit::{Flags, Kind, Options, Region, Rights};

use crate::kernel::Mapping;
use crate::refused;
use crate::support::*;

#[test]
fn d1_5_the_inspection_reports_vm_shared() {
    own_process!(5, || {
        for (flags, shared) in [(Flags::empty(), true), (Flags::PRIVATE, false)] {
            let region = Region::create("d1_5", 4096, &Options::with_flags(flags)).unwrap();
            let usage = region.usage().unwrap();
            let [mapping] = &usage.mappings[..] else { panic!("{usage:?}") };
            assert_eq!((mapping.shared, mapping.has_flag("sh")), (shared, shared));
            assert_eq!(mapping.has_flag("sh"), Mapping::of(&region).flag("sh"));
        }
    });
}

#[test]
fn d2_11_the_limits_are_reported_with_their_use() {
    own_process!(5, || {
        let limits = Limits::read();
        for name in ["shmmax", "shmmni", "shmall"] {
            let path = format!("/proc/sys/kernel/{name}");
            let limit = limits.get(&format!("kernel.{name}")).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!((limit.number(), &limit.source), (text.trim().parse().ok(), &path));
        }
        let alone = fork(|| {
            if let Err(why) = own_ipc() {
                return skip(why);
            }
            let _region = Region::sysv_create(0, 10 * page(), &Options::default()).unwrap();
            let limits = Limits::read();
            let used = |name: &str| limits.get(name).unwrap().used.clone();
            assert_eq!((used("kernel.shmmni"), used("kernel.shmall")), (Some(Ok(1)), Some(Ok(10))));
        });
        alone.join();
    });
}

#[test]
fn d2_11_a_request_over_a_limit_names_it_before_and_after() {
    own_process!(5, || {
        let alone = fork(|| {
            let set = own_ipc()
                .and_then(|()| sysctl("kernel.shmmax", 80_000))
                .and_then(|()| sysctl("kernel.shmall", 40))
                .and_then(|()| sysctl("kernel.shmmni", 2));
            if let Err(why) = set {
                return skip(why);
            }
            let default = Options::default();
            let over = |size: usize, code: i32, name: &str, value: &str| {
                let obstacle = fits(Kind::SysV, size as u64, &default).unwrap_err();
                let (refusal, message) = refused(Region::sysv_create(0, size, &default));
                assert_eq!((obstacle.error.code().raw(), refusal), (code, code));
                for message in [obstacle.to_string(), message] {
                    assert!(message.contains(name) && message.contains(value), "{message}");
                }
            };
            over(80_001, -libc::EINVAL, "shmmax", "80000");
            let _first = Region::sysv_create(0, 30 * page() / 2, &default).unwrap();
            fits(Kind::SysV, 80_000, &default).unwrap();
            let _second = Region::sysv_create(0, 80_000, &default).unwrap();
            over(1, -libc::ENOSPC, "shmmni", "2");
            sysctl("kernel.shmmni", 100).unwrap();
            over(80_000, -libc::ENOSPC, "shmall", "40");
        });
        alone.join();
    });
}

#[test]
fn d2_12_the_kernel_keeps_these_of_each_segment() {
    own_process!(5, || {
        let key = Key::new();
        let options = Options { mode: 0o640, ..Options::default() };
        let region = Region::sysv_create(key.get(), 5000, &options).unwrap();
        let id = region.sysv_id().unwrap();
        let other = fork(|| drop(Region::sysv_attach(key.get(), &Options::default()).unwrap()));
        let other_pid = other.pid();
        other.join();
        let _again = Region::sysv_attach_id(id, &Options::default()).unwrap();

        let survey = Survey::of(Select::SEGMENTS | Select::HOLDERS);
        let own = survey.objects.iter().filter(|object| object.id == Some(id)).collect::<Vec<_>>();
        let [object] = own[..] else { panic!("{own:?}") };
        let told = sysv::stat(id).unwrap();
        let pid = std::process::id() as i32;
        assert_eq!((object.kind, object.key), (ObjectKind::Segment, Some(key.get())));
        assert_eq!((object.mode, object.size_bytes, object.attach_count), (Some(0o640), Some(5000), Some(2)));
        assert_eq!((object.creator_pid, object.last_pid), (Some(pid), Some(pid)));
        assert_ne!(told.last_pid, other_pid, "we attached after it");
        assert_eq!(object.changed_at, Some(told.changed_at));
        assert_eq!(object.used_at, Some(told.attached_at));
        assert_eq!(object.left_at, Some(told.detached_at), "the other process was the last to detach");
        let owner = object.owner.unwrap();
        assert_eq!((owner.uid, owner.gid), (told.owner_uid, told.owner_gid));
        assert_eq!(object.used_bytes, Some(0), "nobody has touched it");
        let holders = object.holders.iter().filter(|holder| survey.process(holder).pid == pid);
        assert_eq!(holders.count(), 2, "two attachments");
    });
}

#[test]
fn d3_8_system_v_lies_on_a_hidden_tmpfs_and_posix_on_the_one_at_dev_shm() {
    own_process!(5, || {
        let alone = fork(|| {
            if let Err(why) = own_dev_shm("size=1m") {
                return skip(why);
            }
            let default = Options::default();
            let segment = Region::sysv_create(0, 4096, &Options::with_flags(Flags::AUTO_REMOVE)).unwrap();
            let FileSystem { kind, mount_point, size_bytes, .. } = segment.file_system().unwrap();
            assert_eq!((kind.as_str(), mount_point, size_bytes), ("tmpfs", None, None));
            let name = PosixName::new();
            let object = Region::posix_create(name.as_str(), 100 << 10, &default).unwrap();
            let system = object.file_system().unwrap();
            assert_eq!((system.kind.as_str(), system.mount_point), ("tmpfs", Some("/dev/shm".into())));
            assert_eq!(
                (system.size_bytes, system.free_bytes),
                (Some(1 << 20), Some((1 << 20) - (100 << 10)))
            );
            // Full: told beforehand, and at creation, and not by SIGBUS later.
            let size = 1 << 20;
            let obstacle = fits(Kind::Posix, size, &default).unwrap_err();
            let second = PosixName::new();
            let (code, _) = refused(Region::posix_create(second.as_str(), size as usize, &default));
            assert_eq!((obstacle.error.code().raw(), code), (-libc::ENOSPC, -libc::ENOSPC));
            assert!(!second.path().exists());
        });
        alone.join();
    });
}

#[test]
fn d4_4_the_first_touch_of_a_page_allocates_it() {
    own_process!(5, || {
        let run = |from: usize, pages: usize, resident| Run {
            offset_bytes: (from * page()) as u64,
            length_bytes: (pages * page()) as u64,
            resident,
        };
        let (lazy, key) = (Options::with_flags(Flags::NO_RESERVE), Key::new());
        let size = 16 * page();
        let segment = Region::sysv_create(key.get(), size, &lazy).unwrap();
        for region in [segment, Region::create("d4_4", size, &lazy).unwrap()] {
            let residency = || region.residency(0, size).unwrap();
            assert_eq!((residency().basis, residency().runs), (Basis::Object, vec![run(0, 16, false)]));
            region.write(4 * page() + 7, b"x").unwrap();
            assert_eq!(residency().runs, [run(0, 4, false), run(4, 1, true), run(5, 11, false)]);
            // Prefaulting touches all.
            region.prefault(0, size).unwrap();
            assert_eq!(residency().runs, [run(0, 16, true)]);
        }
        let populated = Options::with_flags(Flags::NO_RESERVE | Flags::POPULATE);
        let region = Region::create("d4_4", size, &populated).unwrap();
        assert_eq!(region.residency(0, size).unwrap().resident_bytes, size as u64);
    });
}

#[test]
fn d4_6_a_regions_figures_are_those_of_smaps() {
    own_process!(5, || {
        let directory = Directory::new();
        let name = PosixName::new();
        let default = Options::default();
        for region in [
            Region::create("d4_6", 10 * page(), &default).unwrap(),
            Region::posix_create(name.as_str(), 10 * page(), &default).unwrap(),
            Region::file_create(directory.file("d4_6"), 10 * page(), &default).unwrap(),
            Region::sysv_create(0, 10 * page(), &Options::with_flags(Flags::AUTO_REMOVE)).unwrap(),
            Region::anon_create(10 * page(), &default).unwrap(),
        ] {
            region.write(page(), &vec![1; 3 * page()]).unwrap();
            let usage = region.usage().unwrap();
            let smaps = Mapping::of(&region);
            let figures = usage.total;
            for (name, figure) in [
                ("Size", figures.size),
                ("Rss", figures.resident),
                ("Pss", figures.proportional),
                ("Shared_Clean", figures.shared_clean),
                ("Shared_Dirty", figures.shared_dirty),
                ("Private_Clean", figures.private_clean),
                ("Private_Dirty", figures.private_dirty),
                ("Swap", figures.swapped),
                ("Locked", figures.locked),
            ] {
                assert_eq!(figure, smaps.kib(name) << 10, "{name} of {region:?}");
            }
            assert!(figures.resident >= 3 * page() as u64);
            assert_eq!(usage.mappings.len(), 1);
            assert_eq!(usage.mappings[0].start, region.as_ptr() as u64);
            assert_eq!(smaps.rights(), "rw-s");
            assert_eq!((usage.mappings[0].rights, usage.mappings[0].shared), (Rights::READ_WRITE, true));
        }
    });
}
