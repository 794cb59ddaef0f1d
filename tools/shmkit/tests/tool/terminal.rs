//! What is different on a terminal; script(1) makes one.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use shmkit::{Options, Region};

use crate::support::*;
use crate::{command, run};

fn on_terminal(arguments: &str, variables: &[(&str, &str)]) -> Option<Child> {
    let line = format!("stty rows 24 cols 100; {} {arguments}; echo ended: $?", env!("CARGO_BIN_EXE_shmkit"));
    let mut script = Command::new("script");
    script.args(["-qfec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    script.envs(variables.iter().copied());
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

fn all(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}

/// What comes up to a text, that included.
fn until(child: &mut Child, end: &str) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        let got = child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
        assert_eq!(got, 1, "before {end:?} came {}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn colours_only_there_and_only_where_they_are_welcome() {
    own_process!(30, || {
        let region = Region::create("coloured", 4096, &Options::default()).unwrap();
        let Some(child) = on_terminal("list", &[]) else { return skip("script(1) is missing") };
        let text = all(child);
        assert!(text.contains("\x1b[1mKIND") && text.contains("coloured"), "{text:?}");
        for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let text = all(on_terminal("show coloured", &[plain]).unwrap());
            assert!(!text.contains('\x1b') && text.contains("memfd coloured"), "{plain:?}: {text:?}");
        }
        for arguments in [&["list"][..], &["show", "coloured"], &["doctor"], &["limits"], &["--help"]] {
            assert!(!run(arguments).out.contains('\x1b'), "{arguments:?}");
        }
        drop(region);
    });
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    own_process!(30, || {
        let region = Region::create("n".repeat(200), 4096, &Options::default()).unwrap();
        let Some(child) = on_terminal("list --kind memfd 2>/dev/null", &[("NO_COLOR", "1")]) else {
            return skip("script(1) is missing");
        };
        let text = all(child);
        let line = text.lines().find(|line| line.contains("nnnn")).unwrap();
        assert!(line.chars().count() <= 100 && line.contains('…'), "{line}");
        drop(region);
    });
}

const TAKE: &str = "\x1b[?1049h";
const GIVE_BACK: &str = "\x1b[?1049l";

#[test]
fn the_live_view_redraws_ends_and_gives_the_terminal_back() {
    own_process!(60, || {
        for key in ["q", "\x03", "\x1b"] {
            let Some(mut child) = on_terminal("watch --interval 0.1", &[]) else {
                return skip("script(1) is missing");
            };
            until(&mut child, TAKE);
            until(&mut child, "HELD BY");
            let region = Region::create("appeared", 4096, &Options::default()).unwrap();
            until(&mut child, "appeared");
            drop(region);
            child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
            let rest = until(&mut child, "ended: 0");
            assert!(rest.contains(GIVE_BACK) && rest.contains("\x1b[?25h"), "{rest:?}");
            all(child);
        }
    });
}

#[test]
fn pages_appear_in_the_live_view() {
    own_process!(60, || {
        let sparse = Options::with_flags(shmkit::Flags::NO_RESERVE);
        let region = Region::create("watched", 8 * page(), &sparse).unwrap();
        let Some(mut child) = on_terminal("watch watched -i 0.1", &[("NO_COLOR", "1")]) else {
            return skip("script(1) is missing");
        };
        until(&mut child, "········");
        region.write(2 * page(), b"x").unwrap();
        until(&mut child, "··█·····");
        child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
        until(&mut child, "ended: 0");
        all(child);
        drop(region);
    });
}

#[test]
fn a_signal_gives_the_terminal_back() {
    own_process!(60, || {
        let Some(mut child) = on_terminal("watch", &[]) else { return skip("script(1) is missing") };
        until(&mut child, "HELD BY");
        good(unsafe { libc::kill(watching(), libc::SIGTERM) });
        let rest = until(&mut child, "ended: 143");
        assert!(rest.contains(GIVE_BACK), "{rest:?}");
        all(child);
    });
}

#[test]
fn the_live_view_ends_with_its_terminal() {
    own_process!(60, || {
        let Some(mut child) = on_terminal("watch --interval 0.1", &[]) else {
            return skip("script(1) is missing");
        };
        until(&mut child, "HELD BY");
        let pid = watching();
        let watch = good(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32 });
        child.kill().unwrap();
        child.wait().unwrap();
        let mut ended = libc::pollfd { fd: watch, events: libc::POLLIN, revents: 0 };
        let ready = good(unsafe { libc::poll(&mut ended, 1, 20_000) });
        good(unsafe { libc::close(watch) });
        if ready == 0 {
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        assert_eq!(ready, 1, "it goes on without a terminal");
    });
}

/// The process of the live view that this test has started.
fn watching() -> i32 {
    let of = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let group = unsafe { libc::getpgrp() };
    let mut pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().into_string().ok());
    let watch = pids.find(|pid| {
        of(pid).starts_with(&format!("{}\0watch\0", env!("CARGO_BIN_EXE_shmkit"))) && descends(pid, group)
    });
    watch.unwrap().parse().unwrap()
}

/// Whether a process comes from one of the group: script gives its child a session of its own.
fn descends(pid: &str, group: i32) -> bool {
    let field = |pid: &str, at: usize| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(at)?.parse().ok()
    };
    let mut pid = pid.to_string();
    while let Some(parent) = field(&pid, 1).filter(|&parent| parent > 1) {
        if field(&pid, 2) == Some(group) {
            return true;
        }
        pid = parent.to_string();
    }
    false
}

#[test]
fn the_live_view_needs_a_terminal() {
    let ran: crate::Ran = command(&["watch"]).output().unwrap().into();
    assert_eq!(ran.ends(1).err, "shmkit: watch needs a terminal: `shmkit list` tells the same once\n");
}
