//! Limits, what fits, and the traps.

use serde_json::Value;

use crate::support::*;
use crate::{empty_machine, or_skip, run};

#[test]
fn limits_are_the_kernels_own_numbers() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let _ = sysctl("kernel.shmmax", u64::MAX);
        let ran = run(&["limits", "--json"]).ends(0);
        let raw = ran.out.clone();
        let limits = ran.json()["limits"].clone();
        for name in ["kernel.shmmax", "kernel.shmall", "kernel.shmmni", "vm.max_map_count", "kernel.msgmax"] {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            let kernel = std::fs::read_to_string(path).unwrap();
            assert_eq!(limits[name]["value"].to_string(), kernel.trim(), "{name}");
        }
        assert!(raw.contains("\"value\": 18446744073709551615,"), "plain numbers up to 2^64-1: {raw}");
        assert_eq!(
            (&limits["kernel.shmmax"]["unit"], &limits["kernel.shmall"]["unit"]),
            (&"bytes".into(), &"pages".into())
        );
        assert_eq!(
            (&limits["dev_shm.size"]["value"], &limits["dev_shm.type"]["value"]),
            (&(16 << 20).into(), &"tmpfs".into())
        );

        let text = run(&["limits"]).ends(0).out;
        let line = text.lines().find(|line| line.starts_with("kernel.shmmax ")).unwrap();
        assert!(line.contains(" unlimited ") && line.ends_with("/proc/sys/kernel/shmmax"), "{line}");
    });
}

#[test]
fn what_fits_and_what_does_not() {
    own_process!(30, || {
        or_skip!(empty_machine());
        or_skip!(sysctl("kernel.shmmax", 10_000));
        let fits = |arguments: &[&str]| run(&[&["fits"], arguments].concat());
        assert_eq!(fits(&["10000", "--kind", "sysv"]).ends(0).out, "9.7 KiB (10000 bytes) would fit\n");
        let ran = fits(&["10001", "--kind", "sysv"]).ends(1);
        assert_eq!(
            ran.sentence(),
            "shmkit: a System V segment of 10001 bytes does not fit: kernel.shmmax is 10000 bytes \
             (/proc/sys/kernel/shmmax)"
        );
        assert_eq!(ran.out, "");
        for size in ["16777216", "16384k", "16MiB", "16M", "16 mib", "16384KiB"] {
            fits(&[size, "-k", "posix"]).ends(0);
        }
        for size in ["16777217", "17M", "1G", "18446744073709551615"] {
            fits(&[size, "-k", "posix"]).ends(1);
        }
        fits(&["17M", "-k", "posix", "--no-reserve"]).ends(0);
        fits(&["17MB", "--path", "/dev/shm/file"]).ends(1);
        fits(&["16MB", "--path", "/dev/shm/file"]).ends(0);
        fits(&["0"]).ends(1);
        // What making it would refuse, too.
        let ran = fits(&["4096", "--grow-to", "140737488355328"]).ends(1);
        assert!(ran.sentence().contains("140737488355328 more are needed"), "{}", ran.sentence());
        let ran = fits(&["4096", "--grow-to", "1"]).ends(1);
        assert!(
            ran.sentence().ends_with("cannot be GROWABLE: size_max is 1, its size 4096"),
            "{}",
            ran.sentence()
        );
        let ran = fits(&["4096", "-k", "sysv", "--grow-to", "8192"]).ends(1);
        assert_eq!(ran.sentence(), "shmkit: shm_sysv_create has no use for the flag GROWABLE");
        fits(&["1", "--huge", "1G", "--huge-fallback"]).ends(0);

        let answer = fits(&["10001", "--kind", "sysv", "--json"]).ends(1).json();
        let (no, obstacle) = (&answer["fits"], &answer["obstacle"]);
        assert_eq!(
            (no, &obstacle["limit"], &obstacle["error"]),
            (&Value::Bool(false), &"kernel.shmmax".into(), &"EINVAL".into())
        );
        let answer = fits(&["1", "--json"]).ends(0).json();
        assert_eq!((&answer["fits"], &answer["obstacle"]), (&Value::Bool(true), &Value::Null));
        for wrong in [
            &["1X"][..],
            &["-1"],
            &[""],
            &["1", "2"],
            &["18446744073709551616"],
            &["1", "--kind", "x"],
            &["1", "--huge-fallback"],
            &["1", "--kind", "sysv", "--path", "x"],
        ] {
            fits(wrong).ends(2);
        }
    });
}

#[test]
fn traps_with_their_remedy() {
    own_process!(30, || {
        or_skip!(empty_machine());
        let ran = run(&["doctor"]).ends(1);
        assert!(ran.out.contains("dev-shm-tiny\n  /dev/shm has 16777216 bytes"), "{}", ran.out);
        assert!(ran.out.contains("  Remedy: give the container more"), "{}", ran.out);
        let answer = run(&["doctor", "--json"]).ends(1).json();
        let traps = answer["traps"].as_array().unwrap();
        let tiny = traps.iter().find(|trap| trap["name"] == "dev-shm-tiny").unwrap();
        assert_eq!(tiny["applies"], true);
        let all = run(&["doctor", "--all"]).ends(1).out;
        assert!(traps.iter().all(|trap| all.contains(trap["name"].as_str().unwrap())));
    });
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for wrong in [&[][..], &["no-such"], &["list", "extra"], &["show"], &["clean", "--yes", "--ask"]] {
        let ran = run(wrong).ends(2);
        assert!(ran.out.is_empty() && ran.err.contains("Usage:"), "{}", ran.err);
    }
    run(&["watch", "--interval", "nan"]).ends(2);
    assert!(run(&["--help"]).ends(0).out.contains("Exit codes:"));
    assert_eq!(run(&["--version"]).ends(0).out, concat!("shmkit ", env!("CARGO_PKG_VERSION"), "\n"));
}
