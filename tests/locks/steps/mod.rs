//! A process dies at each step of what it does, as `src/sync` names them: what it leaves behind is good enough for
//! those who are left. Here is what the objects' tests share.
//!
//! A wait has no slices here: a wake-up that dies with a process is never made good.

mod barrier;
mod cond;
mod event;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use shmkit::sync::{steps, Party};
use shmkit::Region;

use super::support::*;
use super::workers::{give_way, worker, Worker};
use super::{join, region, stay, FIRST};

#[derive(Debug, PartialEq)]
enum Rest {
    Stopped,
    Asleep,
    Ended,
}

/// Waits until a child does nothing by itself any more: it has ended, is stopped, or sleeps as `sleeps` knows.
fn await_rest(child: &Child, mut sleeps: impl FnMut(&str) -> bool) -> Rest {
    loop {
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
        good(unsafe { libc::waitid(libc::P_PID, child.pid() as libc::id_t, &mut info, flags) });
        match info.si_code {
            _ if unsafe { info.si_pid() } == 0 => {}
            libc::CLD_STOPPED => return Rest::Stopped,
            _ => return Rest::Ended,
        }
        if std::fs::read_to_string(format!("/proc/{}/syscall", child.pid())).is_ok_and(|call| sleeps(&call)) {
            return Rest::Asleep;
        }
        std::thread::yield_now();
    }
}

/// The word of 32 bits so many bytes from the object's first.
fn word_at(region: &Region, offset: usize) -> &AtomicU32 {
    unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + offset).cast()) }
}

/// In a system call: sleeps on this word, and nothing else.
fn on(word: &AtomicU32) -> impl Fn(&str) -> bool {
    let asleep = format!("{} {:p} ", libc::SYS_futex, word.as_ptr());
    move |call| call.starts_with(&asleep)
}

/// Sleeps until it is woken, or somebody dies. Before that it sleeps for a moment, whose end would make good what
/// is lost then.
fn for_long(call: &str) -> bool {
    let none = std::ptr::null::<u8>();
    let result = unsafe { libc::syscall(libc::SYS_futex_waitv, none, 0, 0, none, libc::CLOCK_MONOTONIC) };
    let has_waitv = result != -1 || ![libc::ENOSYS, libc::EPERM].contains(&errno());
    let number = if has_waitv { libc::SYS_futex_waitv } else { libc::SYS_futex };
    call.starts_with(&format!("{number} "))
}

/// Lets them go, one after the other, until all sleep for long at the same time.
fn go_to_sleep_for_long(workers: &[Worker], what: &str) {
    for worker in workers {
        worker.go();
        assert_eq!(await_rest(&worker.child, for_long), Rest::Asleep, "{what}");
    }
    await_long_sleep(workers, what);
}

/// The same of those who are on their way.
fn await_long_sleep(workers: &[Worker], what: &str) {
    let asleep = |worker: &Worker| {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", worker.child.pid()));
        call.is_ok_and(|call| for_long(&call))
    };
    while !workers.iter().all(asleep) {
        for worker in workers {
            assert_eq!(await_rest(&worker.child, for_long), Rest::Asleep, "{what}");
        }
    }
}

/// For so many tenths of a second who does something by itself is waited for.
const LOOKS: u32 = 150;

/// The index of the first of these descriptors to become readable; fails where none does.
fn await_one(fds: impl Iterator<Item = i32>, what: &str) -> usize {
    let mut waits: Vec<_> = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    // The machine may stand still: that is one look.
    let mut look = || good(unsafe { libc::poll(waits.as_mut_ptr(), waits.len() as libc::nfds_t, 100) }) > 0;
    assert!((0..LOOKS).any(|_| look()), "{what}: a survivor hangs");
    waits.iter().position(|wait| wait.revents != 0).unwrap()
}

/// What one tells, who does so by itself.
fn hear(line: &Line, what: &str) -> i64 {
    await_one(std::iter::once(line.reader()), what);
    line.hear()
}

/// Waits until one of them has come to its end, and takes it out; fails where none does by itself.
fn one_ends(children: &mut Vec<Child>, what: &str) {
    let open = |child: &Child| unsafe {
        OwnedFd::from_raw_fd(good(libc::syscall(libc::SYS_pidfd_open, child.pid(), 0)))
    };
    let fds: Vec<_> = children.iter().map(open).collect();
    let index = await_one(fds.iter().map(AsRawFd::as_raw_fd), what);
    assert_eq!(children.swap_remove(index).wait(), End::Exit(0), "{what}: a survivor failed");
}

/// Fails where a child does not come to its end by itself.
fn ends(child: Child, what: &str) {
    one_ends(&mut vec![child], what);
}

fn all_end(mut children: Vec<Child>, what: &str) {
    while !children.is_empty() {
        one_ends(&mut children, what);
    }
}

/// One who stays when it has done its thing: its end would wake others.
fn survivor(region: &Region, body: impl FnOnce(&Party<'_>)) -> Worker {
    worker(region, |party, told| {
        body(party);
        told.tell(1);
        stay();
    })
}

/// Waits until one of them has done its thing, and takes it out; fails where none does by itself.
fn one_is_done(busy: &mut Vec<Worker>, what: &str) -> Worker {
    let index = await_one(busy.iter().map(|worker| worker.told.reader()), what);
    busy.swap_remove(index)
}

fn all_are_done(busy: &[Worker], what: &str) {
    for worker in busy {
        hear(&worker.told, what);
    }
}

/// Somebody joins, does this, and ends.
fn another(region: &Region, what: &str, body: impl FnOnce(&Party<'_>)) {
    ends(fork(|| body(&join(region))), what);
}

fn stop() {
    good(unsafe { libc::raise(libc::SIGSTOP) });
}

/// Text that a child leaves.
struct Memory(Region);

fn memory() -> Memory {
    Memory(Region::create("names", 1 << 16, &Default::default()).unwrap())
}

impl Memory {
    fn write(&self, names: &[&str]) {
        let text = names.join(" ");
        self.0.write(8, text.as_bytes()).unwrap();
        self.0.write(0, &text.len().to_ne_bytes()).unwrap();
    }

    fn read(&self) -> Vec<String> {
        let mut length = [0; 8];
        self.0.read(0, &mut length).unwrap();
        let mut text = vec![0; usize::from_ne_bytes(length)];
        self.0.read(8, &mut text).unwrap();
        String::from_utf8(text).unwrap().split_whitespace().map(str::to_string).collect()
    }
}

/// Where a victim writes what it has passed: [`Memory`].
static NAMES: AtomicPtr<Memory> = AtomicPtr::new(std::ptr::null_mut());

fn write_names() {
    unsafe { &*NAMES.load(Ordering::Relaxed) }.write(&steps::passed());
}

fn write_names_and_stop() {
    write_names();
    stop();
}

/// A scene with one who is to die at one step of it: in a region of its own.
struct Scene<'a> {
    name: &'a str,
    number: usize,
    region: Region,
}

/// One who does its thing when it is told, and is stopped at a step of it.
struct Victim {
    child: Child,
    go: Line,
    names: Memory,
    what: String,
}

/// How a victim ended.
struct Fate {
    /// Its last step was that of the name's end.
    passed: Vec<String>,
    /// It has come to its end, and was not killed.
    survived: bool,
    /// For messages.
    what: String,
}

impl Scene<'_> {
    /// Calls `arm` once, and from there on has steps; when this returns it has come there.
    fn victim(&self, body: impl FnOnce(&Party<'_>, &dyn Fn())) -> Victim {
        let (ready, go, names) = (Line::new(), Line::new(), memory());
        let child = fork(|| {
            NAMES.store(std::ptr::from_ref(&names).cast_mut(), Ordering::Relaxed);
            let party = join(&self.region);
            body(&party, &|| {
                ready.tell(1);
                go.hear();
                give_way();
                steps::act_at(self.number, write_names_and_stop);
            });
            write_names();
            // It leaves in peace.
            steps::act_at(usize::MAX, stop);
        });
        ready.hear();
        Victim { child, go, names, what: format!("{}, step {}", self.name, self.number) }
    }
}

impl Victim {
    /// Lets it do its thing, and waits until it is stopped, has ended, or sleeps.
    fn go(&self, sleeps: impl Fn(&str) -> bool) -> Rest {
        self.go.tell(1);
        await_rest(&self.child, sleeps)
    }

    /// Waits until it is stopped, or has ended.
    fn await_stop(&self) {
        let mut before = monotonic_ns();
        let mut looked = 0;
        await_rest(&self.child, |_| {
            let is_next = monotonic_ns() - before > 100_000_000;
            if is_next {
                before = monotonic_ns();
                looked += 1;
            }
            assert!(looked < LOOKS, "{}: the victim hangs", self.what);
            false
        });
    }

    /// Its steps up to where it is stopped.
    fn passed(&self) -> Vec<String> {
        self.names.read()
    }

    /// Kills it where it is stopped, or hears that it has ended.
    fn dies(self) -> Fate {
        let passed = self.passed();
        let last = passed.last().map_or("before all", String::as_str);
        let what = format!("{} ({last})", self.what);
        let survived = await_rest(&self.child, |_| false) == Rest::Ended;
        match survived {
            true => assert_eq!(self.child.wait(), End::Exit(0), "{what}: the victim"),
            false => self.child.slay(),
        }
        Fate { passed, survived, what }
    }
}

impl Fate {
    /// How often it has passed one of these steps.
    fn times(&self, names: &[&str]) -> usize {
        times(&self.passed, names)
    }
}

fn times(passed: &[String], names: &[&str]) -> usize {
    passed.iter().filter(|name| names.contains(&name.as_str())).count()
}

/// At what steps somebody has died.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    /// The scene again and again: its victim dies one step later each time, until it comes to its end.
    fn at_each_step(&mut self, name: &str, scene: impl Fn(&Scene<'_>) -> Fate) {
        for number in 0.. {
            assert!(number < 200, "{name} has no end");
            let fate = scene(&Scene { name, number, region: region() });
            if fate.survived {
                assert!(number > 0, "{name} has no steps");
                println!("{name}: {number} steps: {}", fate.passed.join(" "));
                return;
            }
            assert_eq!(fate.passed.len(), number + 1, "{}", fate.what);
            self.0.extend(fate.passed.last().cloned());
        }
    }

    /// Somebody has died at each step of these sources, but for the areas that other tests come to.
    fn assert_all_of(&self, sources: &[&str], but: &[&str]) {
        let elsewhere = |name: &String| but.iter().any(|area| name.starts_with(area));
        let missed: Vec<_> =
            steps_of(sources).into_iter().filter(|it| !self.0.contains(it) && !elsewhere(it)).collect();
        assert!(missed.is_empty(), "no scene comes to these: {missed:?}");
    }
}

/// The names that stand in the sources.
fn steps_of(sources: &[&str]) -> BTreeSet<String> {
    let names = sources.iter().flat_map(|source| source.split("step(\"").skip(1));
    names.map(|rest| rest.split_once('"').unwrap().0.to_string()).collect()
}
