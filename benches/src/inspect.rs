//! inspect.: what the library makes of the kernel's lists, against reading the same entries and throwing them
//! away. Many objects are made in namespaces of this process's own, last of all.

use std::ffi::CString;
use std::fs::{read_dir, read_link, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{ensure, Context, Result};
use nix::mount::{mount, MsFlags};
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, pause, ForkResult, Pid};
use shmkit::inspect::{Select, Survey};
use shmkit::{Flags, Options, Region};

use crate::harness::{each, Bench, Run};
use crate::memory::need_memory;
use crate::{raw, Cannot, One};

pub const JOBS: [One; 5] = [
    One {
        id: "inspect.residency",
        reference: "mincore of the same pages",
        limit: Some(1.20),
        compare: residency,
    },
    One {
        id: "inspect.holders",
        reference: "the same links and maps read",
        limit: Some(1.50),
        compare: |bench| holders(bench, true),
    },
    One {
        id: "inspect.holders.links",
        reference: "the same links read",
        limit: Some(1.50),
        compare: |bench| holders(bench, false),
    },
    One { id: "inspect.segments", reference: "/proc/sysvipc/shm read", limit: Some(2.0), compare: segments },
    One { id: "inspect.posix", reference: "readdir, fstatat of each", limit: Some(2.0), compare: posix },
];

fn residency(bench: &Bench) -> Result<Vec<Run>> {
    let size = if bench.quick { 256 << 20 } else { 1 << 30 };
    need_memory(size as u64)?;
    let region = Region::create("residency", size, &Options::with_flags(Flags::NO_RESERVE))?;
    // All but a hole in the middle.
    region.prefault(0, size / 2)?;
    region.prefault(size / 2 + (1 << 20), size / 2 - (1 << 20))?;
    let start = region.as_ptr();
    let mut pages = vec![0u8; size >> 12];
    bench.compare(
        each(|| {
            let residency = region.residency(0, size)?;
            ensure!(residency.runs.len() == 3, "{:?}", residency.runs);
            Ok(())
        }),
        each(move || {
            // SAFETY: it fills a byte for each page of 4 KiB.
            raw::ok(unsafe { libc::mincore(start.cast(), size, pages.as_mut_ptr()) })?;
            Ok(())
        }),
    )
}

/// `maps`: whether mappings are looked at too, on both sides.
fn holders(bench: &Bench, maps: bool) -> Result<Vec<Run>> {
    const HOLDERS: usize = 300;
    let region = Region::create("holders", 4096, &Options::default())?;
    let mut children = Children(Vec::new());
    for _ in 0..HOLDERS {
        // SAFETY: this process has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => loop {
                pause();
            },
            ForkResult::Parent { child } => children.0.push(child),
        }
    }
    let fd = region.descriptor().context("a memfd has a descriptor")?;
    bench.compare(
        each(|| {
            let ways = if maps { Select::HOLDERS } else { Select::DESCRIPTORS };
            let survey = Survey::of_file(fd.as_fd(), ways)?;
            // A descriptor each, or that and a mapping, and our own.
            ensure!(survey.objects[0].holders.len() == (1 + usize::from(maps)) * (HOLDERS + 1));
            Ok(())
        }),
        each(|| {
            let mut text = Vec::new();
            for process in read_dir("/proc")? {
                let process = process?;
                if !process.file_name().as_bytes()[0].is_ascii_digit() {
                    continue;
                }
                let path = process.path();
                for link in read_dir(path.join("fd")).into_iter().flatten().flatten() {
                    let _ = read_link(link.path());
                }
                if maps {
                    text.clear();
                    let _ = File::open(path.join("maps")).and_then(|mut maps| maps.read_to_end(&mut text));
                }
            }
            Ok(())
        }),
    )
}

struct Children(Vec<Pid>);

impl Drop for Children {
    fn drop(&mut self) {
        for &child in &self.0 {
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
        }
    }
}

fn segments(bench: &Bench) -> Result<Vec<Run>> {
    const SEGMENTS: usize = 4096;
    own(CloneFlags::CLONE_NEWIPC)?;
    for _ in 0..SEGMENTS {
        // SAFETY: numbers only. They go with the namespace.
        raw::ok(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o600) })?;
    }
    let mut text = Vec::with_capacity(SEGMENTS * 256);
    bench.compare(
        each(|| {
            ensure!(Survey::of(Select::SEGMENTS).objects.len() == SEGMENTS);
            Ok(())
        }),
        each(move || {
            text.clear();
            File::open("/proc/sysvipc/shm")?.read_to_end(&mut text)?;
            Ok(())
        }),
    )
}

fn posix(bench: &Bench) -> Result<Vec<Run>> {
    const OBJECTS: usize = 10_000;
    own(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), none)?;
    for number in 0..OBJECTS {
        File::create(format!("/dev/shm/object-{number}"))?;
    }
    bench.compare(
        each(|| {
            ensure!(Survey::of(Select::POSIX).objects.len() == OBJECTS);
            Ok(())
        }),
        each(|| Ok(raw::list_and_stat(&CString::new("/dev/shm")?)?)),
    )
}

fn own(namespace: CloneFlags) -> Result<()> {
    unshare(namespace).map_err(|error| Cannot(format!("no namespace of its own: {error}")).into())
}
