//! A test in a process of its own: it may fork, change limits and namespaces, and die.
//!
//! The test program starts itself once more for this one test, and forks there: what runs the test has one
//! thread, so that fork() and unshare() are safe in it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{good, process, sweep, End};

/// Names the test that a process is there for.
const CHILD: &str = "SHMKIT_TEST_CHILD";
const DONE: &str = "the scenario came to its end";
const SKIPPED: &str = "skipped: ";
const TOLD: &str = "figures: ";

/// Runs the rest of a test in a process of its own, twice: the first round warms up, the second must
/// leave as many descriptors, mappings and children as it found. An alarm ends both.
///
/// ```ignore
/// #[test]
/// fn the_sky_is_blue() {
///     own_process!(5, || assert!(...));
/// }
/// ```
macro_rules! own_process {
    ($seconds:expr, $body:expr) => {{
        fn here() {}
        $crate::support::run(std::any::type_name_of_val(&here), $seconds, $body)
    }};
}
pub(crate) use own_process;

/// Says why a test cannot be made here, also when it passes.
pub fn skip(why: impl std::fmt::Display) {
    println!("{SKIPPED}{why}");
}

/// Says what a test has measured, also when it passes.
pub fn tell(figures: impl std::fmt::Display) {
    // The harness has begun a line.
    println!("\n{TOLD}{figures}");
}

/// `own_process!`; `place` is the path of an item inside the test.
pub fn run(place: &str, seconds: u32, body: impl Fn()) {
    let name =
        place.split_once("::").and_then(|(_, path)| path.rsplit_once("::")).expect("crate::test::here").0;
    if std::env::var_os(CHILD).is_some_and(|meant| meant == name) {
        inside(seconds, body);
    } else {
        outside(name);
    }
}

fn inside(seconds: u32, body: impl Fn()) {
    // The other thread of this process waits for this one, and holds no lock meanwhile.
    let scenario = process::fork_beside_threads(|| {
        unsafe {
            libc::alarm(seconds);
            // Rust ignores SIGPIPE, and would hide it.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
        settle_malloc();
        body();
        let before = Held::now();
        body();
        before.compare(&Held::now());
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(child, -1, "a child was left behind");
        println!("{DONE}");
    });
    match scenario.wait() {
        End::Exit(0) => {}
        End::Exit(code) => panic!("exit code {code}"),
        End::Signal(libc::SIGALRM) => panic!("hung until its alarm after {seconds} s"),
        End::Signal(signal) => panic!("died of signal {signal}"),
    }
}

/// Lets the heap be one mapping from here on: large blocks always have mappings of their own, small ones
/// always come from what the heap has by now.
fn settle_malloc() {
    const LARGE: i32 = 128 << 10;
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    drop((0..64).map(|_| vec![1u8; LARGE as usize / 2]).collect::<Vec<_>>());
}

fn outside(name: &str) {
    // A file instead of pipes, which a forgotten grandchild could hold open for ever.
    let mut output =
        unsafe { File::from_raw_fd(good(libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC))) };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = child.id() as libc::pid_t;
    process::await_end(pid);
    // Not reaped yet, so the number is still its own: end whoever is left of its group.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    let status = child.wait().unwrap();
    sweep(pid);

    let mut text = Vec::new();
    output.rewind().unwrap();
    output.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    let is_shown = |line: &&str| line.starts_with(SKIPPED) || line.starts_with(TOLD);
    let mut shown: Vec<_> = text.lines().filter(is_shown).collect();
    shown.dedup();
    // Past the test harness, which shows nothing of tests that pass.
    for line in shown {
        std::io::stderr().write_all(format!("{name}: {line}\n").as_bytes()).unwrap();
    }
    assert!(status.success() && text.contains(DONE), "{name} failed; it said:\n{text}");
}

/// What a process holds of the kernel.
pub struct Held {
    descriptors: Vec<String>,
    mappings: Vec<String>,
}

impl Held {
    pub fn now() -> Held {
        Held { descriptors: descriptors(), mappings: mappings() }
    }

    #[track_caller]
    pub fn compare(&self, after: &Held) {
        let same = |before: &[String], after: &[String], what: &str| {
            let new: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
            let (had, has) = (before.len(), after.len());
            assert_eq!(had, has, "the count of {what} changed; among these is the difference: {new:#?}");
        };
        same(&self.descriptors, &after.descriptors, "descriptors");
        same(&self.mappings, &after.mappings, "mappings");
    }
}

/// This process's open descriptors, as "number -> what".
pub fn descriptors() -> Vec<String> {
    let directory = std::fs::read_dir("/proc/self/fd").unwrap();
    let show = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        format!("{} -> {}", entry.file_name().to_string_lossy(), target.display())
    };
    directory.map(|entry| show(entry.unwrap())).collect()
}

/// The lines of /proc/self/maps.
pub fn mappings() -> Vec<String> {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().map(str::to_string).collect()
}
