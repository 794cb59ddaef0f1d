//! What there is, beside what the kernel lists.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use serde_json::Value;
use shmkit::{Options, Region};

use crate::support::*;
use crate::{empty_machine, objects, or_skip, run};

#[test]
fn each_kind_with_the_kernels_numbers_and_its_holder() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let (key, posix) = (Key::new(), PosixName::new());
        let segment = Region::sysv_create(key.get(), 5000, &Options::default()).unwrap();
        let object = Region::posix_create(posix.as_str(), 9000, &Options::default()).unwrap();
        let memfd = Region::create("listed", 7000, &Options::default()).unwrap();
        let own = std::process::id();

        let answer = run(&["list", "--json"]).ends(0).json();
        let found = objects(&answer, "segment");
        assert_eq!(found.len(), 1, "{answer}");
        let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let line: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        for (at, name) in [(0, "key"), (1, "id"), (3, "size_bytes"), (4, "creator_pid"), (6, "attach_count")]
        {
            assert_eq!(found[0][name].to_string(), line[at], "{name}");
        }
        assert_eq!((&found[0]["mode"], &found[0]["holders"][0]["pid"]), (&"0600".into(), &own.into()));
        assert_eq!(found[0]["holders"][0]["mapping"]["start"], segment.as_ptr() as u64);

        let found = objects(&answer, "posix");
        let stat = std::fs::metadata(posix.path()).unwrap();
        assert_eq!(found.len(), 1, "{answer}");
        assert_eq!((&found[0]["name"], &found[0]["size_bytes"]), (&posix.as_str().into(), &9000.into()));
        assert_eq!((&found[0]["inode"], &found[0]["used_bytes"]), (&stat.ino().into(), &12288.into()));
        let holders = found[0]["holders"].as_array().unwrap();
        assert!(holders.iter().all(|holder| holder["pid"] == own));
        assert!(holders.iter().any(|holder| holder["descriptor"] == object.fd().unwrap()));

        let found = objects(&answer, "memfd");
        let found: Vec<_> = found.into_iter().filter(|it| it["name"] == "listed").collect();
        assert_eq!(found[0]["size_bytes"], 7000);
        assert_eq!(found[0]["seals"], serde_json::json!(["SHRINK", "GROW", "EXEC"]));
        assert!(found[0]["holders"].as_array().unwrap().iter().all(|holder| holder["pid"] == own));

        let answer = run(&["list", "--kind", "segment,posix", "--json"]).ends(0).json();
        assert_eq!(answer["objects"].as_array().unwrap().len(), 2);
        let text = run(&["list", "-k", "segment", "-k", "posix"]).ends(0).out;
        assert_eq!(text.lines().count(), 3, "{text}");
        for shown in [key.hex(), "4.8 KiB".to_string(), format!("{own} "), posix.as_str().to_string()] {
            assert!(text.contains(&shown), "{shown} in {text}");
        }
        drop((memfd, object));
        segment.close().unwrap();
    });
}

#[test]
fn semaphores_and_queues() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let set = good(unsafe { libc::semget(0x77, 3, libc::IPC_CREAT | 0o640) }).to_string();
        let queue = good(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) }).to_string();
        let answer = run(&["list", "-k", "semaphores,queue", "--json"]).ends(0).json();
        let (sets, queues) = (objects(&answer, "semaphores"), objects(&answer, "queue"));
        assert_eq!(
            (&sets[0]["key"], &sets[0]["count"], &sets[0]["mode"]),
            (&0x77.into(), &3.into(), &"0640".into())
        );
        assert_eq!((queues[0]["id"].to_string(), &queues[0]["size_bytes"]), (queue.clone(), &0.into()));
        let text = run(&["show", "0x77"]).ends(0).out;
        assert!(text.starts_with(&format!("System V semaphore set {set}, key 0x77\n")), "{text}");
        assert!(text.contains("  count     3 semaphores\n") && !text.contains("in memory"), "{text}");
        for (target, kind) in [(&queue, "queue"), (&"0x77".to_string(), "semaphores")] {
            let ran = run(&["remove", target, "--kind", kind]).ends(1);
            assert!(ran.sentence().contains("does not tell who uses it; --force"), "{}", ran.err);
            run(&["remove", target, "--kind", kind, "--force"]).ends(0);
            run(&["remove", target, "--kind", kind, "--force"]).ends(1);
        }
        assert_eq!(run(&["list", "-k", "semaphores,queue"]).ends(0).out, "no shared objects\n");
    });
}

#[test]
fn names_that_anybody_chose() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let bare = b"a\x1b[2J\xff\\\xe2\x80\xae\n".as_slice();
        let memfd = Region::create(OsStr::from_bytes(bare), 1, &Options::default()).unwrap();
        let long = [0xfe; 255];
        let path = std::path::Path::new("/dev/shm").join(OsStr::from_bytes(&long));
        std::fs::write(&path, "x").unwrap();

        let text = run(&["list"]).ends(0).out;
        assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        assert!(text.contains(r"a\x1b[2J\xff\\\u{202e}\x0a") && text.contains(&r"\xfe".repeat(255)));
        let answer = run(&["list", "--json"]).ends(0).json();
        let named = |kind, name: &str| objects(&answer, kind).iter().any(|object| object["name"] == name);
        assert!(named("memfd", "a\u{1b}[2J\\xff\\\\\u{202e}\n"), "{answer}");
        assert!(named("posix", &format!("/{}", r"\xfe".repeat(255))));

        // By its bytes, and as it is shown.
        let shown = format!("/{}", r"\xfe".repeat(255));
        for name in [OsStr::from_bytes(&long), OsStr::new(&shown)] {
            run(&[OsStr::new("show"), name]).ends(0);
        }
        run(&[OsStr::new("show"), OsStr::from_bytes(bare)]).ends(0);
        run(&[OsStr::new("remove"), OsStr::from_bytes(&long)]).ends(0);
        assert!(!path.exists());
        drop(memfd);
    });
}

#[test]
fn thousands_of_segments() {
    own_process!(60, || {
        or_skip!(empty_machine());
        const COUNT: usize = 4096;
        let segments: Vec<Segment> =
            (0..COUNT).map(|_| Segment(good(unsafe { libc::shmget(libc::IPC_PRIVATE, 1, 0o600) }))).collect();
        let begun = Instant::now();
        let answer = run(&["list", "--kind", "segment", "--json"]).ends(0).json();
        assert_eq!(objects(&answer, "segment").len(), COUNT);
        assert_eq!(run(&["list", "--kind", "segment"]).ends(0).out.lines().count(), COUNT + 1);
        let answer = run(&["clean", "--json"]).ends(0).json();
        assert_eq!(answer["leftovers"].as_array().unwrap().len(), COUNT);
        println!("three answers about {COUNT} segments: {:?}", begun.elapsed());
        assert!(begun.elapsed().as_secs() < 20);
        drop(segments);
        assert_eq!(run(&["list", "--kind", "segment"]).ends(0).out, "no shared objects\n");
    });
}

#[test]
fn who_sees_less_is_told_so() {
    own_process!(30, || {
        let region = Region::create("unseen", 4096, &Options::default()).unwrap();
        let asked = fork_as_nobody(|| {
            // What root runs may not be looked into.
            let ran = run(&["list", "--json"]).ends(0);
            assert!(ran.err.contains("shmkit: there may be more: "), "{}", ran.err);
            let answer = ran.json();
            assert_eq!(answer["complete"], false);
            let gaps = answer["gaps"].as_array().unwrap();
            assert!(gaps.iter().any(|gap| gap["cause"] == "permission" && gap["count"].as_u64() > Some(0)));
            let holders = |object: &Value| object["holders"].as_array().unwrap().clone();
            let seen = objects(&answer, "memfd").into_iter().flat_map(holders).map(|it| it["pid"].clone());
            assert!(seen.into_iter().all(|pid| pid != std::os::unix::process::parent_id()));
            let ran = run(&["show", "1"]);
            assert!(ran.err.contains("cannot look into process 1: Permission denied"), "{}", ran.err);
        });
        match asked {
            Ok(asked) => asked.join(),
            Err(why) => skip(why),
        }
        drop(region);
    });
}
