//! One object, its holders and pages.

use serde_json::{json, Value};
use shmkit::{Flags, Options, Region};

use crate::support::*;
use crate::{empty_machine, or_skip, run};

fn only(answer: &Value) -> &Value {
    let objects = answer["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{answer}");
    &objects[0]
}

fn attach_count() -> u64 {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    table.lines().nth(1).unwrap().split_whitespace().nth(6).unwrap().parse().unwrap()
}

#[test]
fn pages_appear_as_they_are_touched() {
    own_process!(60, || {
        or_skip!(empty_machine());
        let (page, count) = (page(), 20);
        let (key, name) = (Key::new(), PosixName::new());
        let flags = Options::with_flags(Flags::NO_RESERVE);
        let regions = [
            ("memfd", "touched".to_string(), Region::create("touched", count * page, &flags).unwrap()),
            (
                "posix",
                name.as_str().to_string(),
                Region::posix_create(name.as_str(), count * page, &flags).unwrap(),
            ),
            ("segment", key.hex(), Region::sysv_create(key.get(), count * page, &flags).unwrap()),
        ];
        for (kind, target, region) in &regions {
            let shown = |_| only(&run(&["show", target, "--kind", kind, "--json"]).ends(0).json()).clone();
            let resident = |object: &Value| object["residency"]["resident_bytes"].as_u64().unwrap();
            assert_eq!(resident(&shown(0)), 0, "looking touches nothing: {kind}");
            region.write(3 * page, b"x").unwrap();
            region.write(5 * page - 1, b"xy").unwrap();
            let object = shown(1);
            let run_of = |from: usize, pages: usize, resident| json!({ "offset_bytes": from * page, "length_bytes": pages * page, "resident": resident });
            assert_eq!(
                object["residency"]["runs"],
                json!([run_of(0, 3, false), run_of(3, 3, true), run_of(6, 14, false)]),
                "{kind}"
            );
            let holders = object["holders"].as_array().unwrap();
            let mapped = holders.iter().find(|it| it["mapping"]["start"] == region.as_ptr() as u64).unwrap();
            assert_eq!(mapped["usage"]["resident_bytes"], region.usage().unwrap().total.resident, "{kind}");
            assert_eq!(mapped["usage"]["resident_bytes"], 3 * page);

            let text = crate::run(&["show", target, "--kind", kind]).ends(0).out;
            assert!(text.contains("0 B  ···███··············\n"), "{text}");
            assert!(text.contains("3 of 20 pages in memory, 12 KiB\n"), "{text}");
        }
        assert_eq!(attach_count(), 1, "nothing stays attached");
        // Each way to say which.
        let own = std::process::id().to_string();
        let segment = regions[2].2.sysv_id().unwrap().to_string();
        for target in [&segment, &own, &format!("/dev/shm{}", name.as_str()), &name.as_str()[1..].to_string()]
        {
            run(&["show", target]).ends(0);
        }
        let answer = run(&["show", &own, "--kind", "segment,posix", "--json"]).ends(0).json();
        assert_eq!(answer["process"]["pid"].to_string(), own);
        assert_eq!(answer["process"]["objects"].as_array().unwrap().len(), 2, "{answer}");
    });
}

#[test]
fn nothing_of_that_name() {
    own_process!(30, || {
        or_skip!(empty_machine());
        // A process of our own that has ended.
        let gone = fork(|| {});
        let pid = gone.pid().to_string();
        gone.join();
        for target in [pid.as_str(), "/none", "0x7fffffff", "-", "999999999999999999999", "\x1b"] {
            let ran = run(&["show", target, "--kind", "segment,posix"]).ends(1);
            assert_eq!(ran.out, "");
            assert!(ran.sentence().starts_with("shmkit: nothing here is called "), "{}", ran.err);
            assert!(!ran.err.contains('\x1b'));
            let answer = run(&["show", target, "--kind", "segment,posix", "--json"]).ends(1).json();
            assert_eq!((&answer["objects"], &answer["process"]), (&json!([]), &Value::Null));
        }
    });
}

#[test]
fn a_process_that_has_nothing() {
    own_process!(30, || {
        let idle = std::process::Command::new("sleep").arg("60").stdin(std::process::Stdio::null()).spawn();
        let mut idle = idle.unwrap();
        let target = idle.id().to_string();
        let ran = run(&["show", &target, "--kind", "anonymous"]).ends(1);
        assert_eq!(ran.sentence(), format!("shmkit: process {target} has no such shared object"));
        idle.kill().unwrap();
        idle.wait().unwrap();
    });
}

#[test]
fn a_million_pages() {
    own_process!(60, || {
        let sparse = Options::with_flags(Flags::NO_RESERVE);
        let region = Region::create("million", (1 << 20) * page(), &sparse).unwrap();
        region.write(region.size() - 1, b"x").unwrap();
        let text = run(&["show", "million"]).ends(0).out;
        assert!(text.contains("1 of 1048576 pages in memory, 4 KiB"), "{text}");
        assert!(text.contains('░') && text.lines().count() < 40, "{text}");
        drop(region);
    });
}

#[test]
fn pages_as_svg() {
    own_process!(30, || {
        let directory = Directory::new();
        let path = directory.file("pages.svg");
        let flags = Options::with_flags(Flags::NO_RESERVE);
        let region = Region::create("<drawn> & \u{1}", 100 * page(), &flags).unwrap();
        region.write(0, b"x").unwrap();
        run(&["show", "<drawn> & \u{1}", "--svg", &path]).ends(0);
        let svg = std::fs::read_to_string(&path).unwrap();
        let count = |text| svg.matches(text).count();
        // One more of each for the legend.
        assert_eq!((count("class=\"p4\""), count("class=\"p0\"")), (2, 100));
        assert!(svg.contains("memfd &lt;drawn&gt; &amp; \\x01<") && svg.ends_with("</svg>\n"), "{svg}");
        let ran = run(&["show", "<drawn> & \u{1}", "--svg", "/nowhere/x.svg"]).ends(1);
        assert!(
            ran.sentence().starts_with("shmkit: cannot write /nowhere/x.svg: No such file"),
            "{}",
            ran.err
        );
        drop(region);
    });
}
