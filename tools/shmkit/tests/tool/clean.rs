//! Removal: only what was found, only what is one's own, and nothing that is in use unless that is said.

use std::io::{Read, Write};
use std::process::Stdio;

use shmkit::region::sysv;
use shmkit::{Options, Region};

use crate::support::*;
use crate::{command, empty_machine, or_skip, run, Ran};

fn segment() -> Segment {
    Segment(good(unsafe { libc::shmget(libc::IPC_PRIVATE, 5000, 0o600) }))
}

fn exists(segment: &Segment) -> bool {
    sysv::stat(segment.0).is_ok()
}

#[test]
fn a_dry_run_first_and_then_all_that_nobody_has() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let (free, used, posix, open) = (segment(), segment(), PosixName::new(), PosixName::new());
        let attached = Region::sysv_attach_id(used.0, &Options::default()).unwrap();
        drop(Region::posix_create(posix.as_str(), 4096, &Options::default()).unwrap());
        let held = Region::posix_create(open.as_str(), 4096, &Options::default()).unwrap();

        let ran = run(&["clean"]).ends(0);
        assert!(ran.out.contains("the kernel counts no attachment"), "{}", ran.out);
        assert!(ran.out.ends_with("nothing was removed: --yes or --ask does it\n"), "{}", ran.out);
        let answer = run(&["clean", "--json"]).ends(0).json();
        assert_eq!((&answer["dry_run"], &answer["complete"]), (&true.into(), &true.into()));
        let found = answer["leftovers"].as_array().unwrap();
        assert_eq!(found.len(), 2, "{answer}");
        assert_eq!((&found[0]["id"], &found[0]["removed_now"]), (&free.0.into(), &false.into()));
        assert_eq!(
            (&found[1]["name"], &found[1]["refused"]),
            (&posix.as_str().into(), &serde_json::Value::Null)
        );
        assert!(exists(&free) && posix.path().exists(), "a dry run removes nothing");

        let ran = run(&["clean", "--yes"]).ends(0);
        assert!(ran.out.contains("2 objects removed"), "{}", ran.out);
        assert!(!exists(&free) && !posix.path().exists());
        assert!(exists(&used) && open.path().exists(), "what is in use stays");
        assert_eq!(run(&["clean", "--yes"]).ends(0).out, "nothing was removed\n");
        drop((attached, held));
    });
}

#[test]
fn what_is_another_users_is_named_and_stays() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let (other, own, posix) = (segment(), segment(), PosixName::new());
        drop(Region::posix_create(posix.as_str(), 4096, &Options::default()).unwrap());
        let user = 1;
        let given = sysv::set_owner(other.0, Some(user), Some(0), 0o600)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                std::os::unix::fs::chown(posix.path(), Some(user), None).map_err(|error| error.to_string())
            });
        or_skip!(given);
        let refusal = format!(
            "refused: cannot remove the System V segment {} (key 0x0): it belongs to user 1",
            other.0
        );
        assert!(run(&["clean"]).ends(0).out.contains(&refusal));
        let ran = run(&["clean", "--yes"]).ends(1);
        assert!(ran.out.contains(&refusal) && ran.out.contains("1 object removed"), "{}", ran.out);
        assert!(exists(&other) && posix.path().exists() && !exists(&own));
        let answer = run(&["clean", "--yes", "--json"]).ends(1).json();
        let found = answer["leftovers"].as_array().unwrap();
        assert!(
            found.iter().all(|it| it["refused"].as_str().unwrap().contains("belongs to user 1")),
            "{answer}"
        );
        let ran = run(&["remove", posix.as_str()]).ends(1);
        assert!(ran.sentence().contains("it belongs to user 1"), "{}", ran.err);
    });
}

/// Runs `clean --ask`, does something while it waits, then answers.
fn meanwhile(act: impl FnOnce(), answer: &str) -> Ran {
    let mut child = command(&["clean", "--ask"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"[y/N] ") {
        assert_eq!(
            child.stdout.as_mut().unwrap().read(&mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&text)
        );
        text.push(byte[0]);
    }
    act();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn what_was_made_anew_or_opened_meanwhile_stays() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let (posix, used) = (PosixName::new(), segment());
        let make = || drop(Region::posix_create(posix.as_str(), 4096, &Options::default()).unwrap());
        make();
        let mut attached = None;
        let ran = meanwhile(
            || {
                std::fs::remove_file(posix.path()).unwrap();
                make();
                attached = Some(Region::sysv_attach_id(used.0, &Options::default()).unwrap());
            },
            "y\n",
        )
        .ends(1);
        assert!(
            ran.out.contains("it was changed since it was listed, or another object stands there"),
            "{}",
            ran.out
        );
        assert!(ran.out.contains("its attach count is 1"), "{}", ran.out);
        assert!(posix.path().exists() && exists(&used));
        drop(attached);

        for no in ["n\n", "", "\n"] {
            meanwhile(|| {}, no).ends(0);
            assert!(posix.path().exists() && exists(&used), "{no:?}");
        }
        meanwhile(|| {}, "yes\n").ends(0);
        assert!(!posix.path().exists() && !exists(&used));
    });
}

#[test]
fn one_is_removed_by_what_it_is_called() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let (key, posix, free) = (Key::new(), PosixName::new(), segment());
        let region = Region::sysv_create(key.get(), 5000, &Options::default()).unwrap();
        let ran = run(&["remove", &key.hex()]).ends(1);
        assert!(ran.sentence().ends_with("its attach count is 1"), "{}", ran.err);
        let ran = run(&["remove", "--force", &key.hex()]).ends(0);
        assert!(ran.out.starts_with("removed the System V segment "), "{}", ran.out);
        assert!(sysv::stat(region.sysv_id().unwrap()).unwrap().removed);
        assert_eq!(run(&["remove", &free.0.to_string()]).ends(0).err, "");
        assert!(!exists(&free));

        let held = Region::posix_create(posix.as_str(), 4096, &Options::default()).unwrap();
        let ran = run(&["remove", posix.as_str()]).ends(1);
        assert!(ran.sentence().ends_with("somebody has it open or mapped"), "{}", ran.err);
        run(&["remove", "-f", posix.as_str()]).ends(0);
        assert!(!posix.path().exists());
        let ran = run(&["remove", posix.as_str()]).ends(1);
        assert!(ran.sentence().starts_with("shmkit: "), "{}", ran.err);
        let memfd = Region::create("kept", 1, &Options::default()).unwrap();
        let ran = run(&["remove", "kept"]).ends(1);
        assert!(ran.sentence().ends_with("it has no name that keeps it"), "{}", ran.err);
        drop((region, held, memfd));
    });
}
