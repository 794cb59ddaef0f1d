//! handover.gigabyte: what D1.7 claims. A receiver in another process reads 1 GiB that the sender has
//! in memory: through a region, a pipe, a Unix stream socket, loopback TCP. The clock runs from the
//! sending to the receiver's answer that it has read every byte.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, pipe2, ForkResult, Pid};
use serde_json::json;

use crate::c::Region;
use crate::harness::{median, pin, stop_if_interrupted, Bench, Run};
use crate::memory::{huge_pages_mapped, need_memory};
use crate::report::{Figure, Files};
use crate::{handover, raw, Cannot};

const SIZE: usize = 1 << 30;
const HUGE: usize = 2 << 20;
/// The sizes with which each stream is quickest here.
const PIPE: usize = 1 << 20;
const CHUNK: usize = 256 << 10;

#[derive(Clone, Copy)]
enum Way {
    Region,
    Region4k,
    Pipe,
    Unix,
    Tcp,
}

const WAYS: [Way; 5] = [Way::Region, Way::Region4k, Way::Pipe, Way::Unix, Way::Tcp];
const STREAMS: [Way; 3] = [Way::Pipe, Way::Unix, Way::Tcp];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Region => "a region of 2 MiB pages",
            Way::Region4k => "a region of 4 KiB pages",
            Way::Pipe => "a pipe",
            Way::Unix => "a Unix stream socket",
            Way::Tcp => "loopback TCP",
        }
    }
}

pub const IDS: [&str; 5] = [
    "handover.gigabyte",
    "handover.gigabyte_4k",
    "handover.gigabyte.pipe",
    "handover.gigabyte.unix",
    "handover.gigabyte.tcp",
];

fn limit(id: &str) -> Option<f64> {
    (id == IDS[0]).then_some(0.5)
}

pub fn missing(why: &str) -> Vec<Figure> {
    let reference = "the same bytes through the best stream";
    IDS.iter().map(|id| Figure::missing(id, reference, limit(id), why.into())).collect()
}

pub fn run(bench: &Bench, files: &mut Files) -> Result<Vec<Figure>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    need_memory(2 * SIZE as u64)?;
    let mut sender = Sender::start(there)?;
    pin(here)?;
    for way in WAYS {
        sender.hand_over(way)?;
    }
    let mut times = [const { Vec::new() }; WAYS.len()];
    for round in 0..bench.long_runs {
        let mut order: Vec<usize> = (0..WAYS.len()).collect();
        order.rotate_left(round % WAYS.len());
        if round % 2 == 1 {
            order.reverse();
        }
        let mut line = Vec::new();
        for way in order {
            stop_if_interrupted()?;
            let took = sender.hand_over(WAYS[way])?.as_nanos() as f64;
            times[way].push(took);
            line.push(json!({ "way": WAYS[way].name(), "value": took }));
        }
        files.raw(json!({ "id": IDS[0], "run": round + 1, "in_this_order": line }))?;
    }

    let of = |way: Way| &times[way as usize];
    let best = STREAMS
        .into_iter()
        .min_by(|&a, &b| median(of(a).clone()).total_cmp(&median(of(b).clone())))
        .expect("there are three");
    let figure = |id, ours, reference: Way, cannot| {
        let runs: Vec<Run> = of(ours)
            .iter()
            .zip(of(reference))
            .map(|(&ours, &reference)| Run { iterations: 1, ours_first: true, ours, reference })
            .collect();
        let the_best = if limit(id).is_some() { ", the best of three" } else { "" };
        Figure::new(id, format!("{}{the_best}", reference.name()), limit(id), &runs, cannot)
    };
    let [huge, small] = [sender.not_huge.take(), sender.not_small.take()];
    Ok(vec![
        figure(IDS[0], Way::Region, best, huge),
        figure(IDS[1], Way::Region4k, best, small),
        figure(IDS[2], Way::Region, Way::Pipe, None),
        figure(IDS[3], Way::Region, Way::Unix, None),
        figure(IDS[4], Way::Region, Way::Tcp, None),
    ])
}

/// One side's ends of everything that lies between the two processes.
struct Ends {
    /// What to do next, and the answer.
    control: UnixStream,
    regions: OwnedFd,
    pipe: File,
    unix: File,
    tcp: File,
}

impl Ends {
    fn pairs() -> Result<(Ends, Ends)> {
        let control = UnixStream::pair()?;
        let regions = handover::sockets()?;
        let unix = UnixStream::pair()?;
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        // More than an unprivileged user's limit is refused, and the default then stays.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE as i32));
        let tcp = tcp_pair().context("loopback TCP")?;
        let file = |fd: OwnedFd| File::from(fd);
        Ok((
            Ends {
                control: control.0,
                regions: regions.0,
                pipe: write.into(),
                unix: file(unix.0.into()),
                tcp: file(tcp.0.into()),
            },
            Ends {
                control: control.1,
                regions: regions.1,
                pipe: read.into(),
                unix: file(unix.1.into()),
                tcp: file(tcp.1.into()),
            },
        ))
    }

    fn stream(&self, way: Way) -> &File {
        match way {
            Way::Pipe => &self.pipe,
            Way::Unix => &self.unix,
            Way::Tcp => &self.tcp,
            Way::Region | Way::Region4k => unreachable!("a region is no stream"),
        }
    }
}

fn tcp_pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    Ok((near, far))
}

/// The other process, which ends when nobody can tell it anything any more.
struct Receiver {
    ends: Option<Ends>,
    process: Pid,
}

impl Receiver {
    fn start(cpu: usize) -> Result<Receiver> {
        let (ends, theirs) = Ends::pairs()?;
        // SAFETY: this program has one thread.
        let process = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(ends);
                let result = pin(cpu).and_then(|()| receive_all(&theirs));
                if let Err(error) = &result {
                    eprintln!("receiver: {error:#}");
                }
                // SAFETY: ends the child without what the parent has to do at its end.
                unsafe { libc::_exit(result.is_err().into()) }
            }
        };
        Ok(Receiver { ends: Some(ends), process })
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("open until dropped")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.ends.take());
        let _ = waitpid(self.process, None);
    }
}

struct Sender {
    receiver: Receiver,
    huge: Region,
    small: Region,
    sum: u64,
    /// Why the pages of `huge` are not 2 MiB, or those of `small` not 4 KiB.
    not_huge: Option<String>,
    not_small: Option<String>,
}

impl Sender {
    /// The receiver is there before anything that it could inherit.
    fn start(cpu: usize) -> Result<Sender> {
        let receiver = Receiver::start(cpu)?;
        let small = Region::memfd(SIZE, 0, 0)?;
        let sum = fill(&small, |_| Ok(()))?;
        let not_small = (huge_pages_mapped()? > 0).then(|| "memfds have huge pages by default here".into());
        let huge = Region::memfd(SIZE, 0, 0)?;
        let mut refused = None;
        fill(&huge, |offset| {
            if let Err(error) = huge.collapse(offset, HUGE) {
                refused.get_or_insert(error);
            }
            stop_if_interrupted()
        })?;
        let mapped = huge_pages_mapped()?;
        let not_huge = (mapped < SIZE as u64).then(|| {
            let reason = refused.map_or(String::new(), |error| format!(": {error}"));
            format!("only {} of 1024 MiB are in 2 MiB pages{reason}", mapped >> 20)
        });
        Ok(Sender { receiver, huge, small, sum, not_huge, not_small })
    }

    fn hand_over(&self, way: Way) -> Result<Duration> {
        let ends = self.receiver.ends();
        let mut control = &ends.control;
        control.write_all(&[way as u8])?;
        control.read_exact(&mut [0]).context("the receiver is gone")?;
        let start = Instant::now();
        match way {
            Way::Region => self.huge.send(ends.regions.as_raw_fd())?,
            Way::Region4k => self.small.send(ends.regions.as_raw_fd())?,
            Way::Pipe | Way::Unix | Way::Tcp => {
                let stream = ends.stream(way).as_raw_fd();
                for offset in (0..SIZE).step_by(CHUNK) {
                    // SAFETY: the chunk lies inside the region.
                    unsafe { raw::write_all(stream, self.huge.data().add(offset), CHUNK) }?;
                }
            }
        }
        let mut sum = [0; 8];
        control.read_exact(&mut sum).context("the receiver is gone")?;
        let took = start.elapsed();
        // What the receiver gives back is not timed, but over before the next begins.
        control.read_exact(&mut [0]).context("the receiver is gone")?;
        ensure!(u64::from_ne_bytes(sum) == self.sum, "the receiver read other bytes from {}", way.name());
        Ok(took)
    }
}

fn receive_all(ends: &Ends) -> Result<()> {
    let mut control = &ends.control;
    let mut buffer = vec![0_u64; CHUNK / 8];
    let mut command = [0];
    while control.read(&mut command)? == 1 {
        let way = *WAYS.get(usize::from(command[0])).ok_or_else(|| anyhow!("unknown command"))?;
        control.write_all(&[0])?;
        let mut total = 0_u64;
        let mut region = None;
        match way {
            Way::Region | Way::Region4k => {
                let received = Region::receive(ends.regions.as_raw_fd())?;
                // SAFETY: the mapping is aligned to a page, and nobody writes to it.
                total = unsafe { sum(received.data().cast(), received.size() / 8) };
                region = Some(received);
            }
            Way::Pipe | Way::Unix | Way::Tcp => {
                let stream = ends.stream(way).as_raw_fd();
                for _ in (0..SIZE).step_by(CHUNK) {
                    // SAFETY: the buffer has this length.
                    unsafe {
                        raw::read_exact(stream, buffer.as_mut_ptr().cast(), CHUNK)?;
                        total = total.wrapping_add(sum(buffer.as_ptr(), buffer.len()));
                    }
                }
            }
        }
        control.write_all(&total.to_ne_bytes())?;
        drop(region);
        control.write_all(&[0])?;
    }
    Ok(())
}

/// Reads every word. Eight sums at once, so that memory is what limits it and not the adding.
///
/// # Safety
/// `words` is aligned, and so many words can be read there.
#[inline(never)]
unsafe fn sum(words: *const u64, count: usize) -> u64 {
    let mut sums = [0_u64; 8];
    for index in (0..count).step_by(sums.len()) {
        for (place, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise; all counts here are multiples of eight.
            *sum = sum.wrapping_add(unsafe { words.add(index + place).read() });
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// Writes words that differ, calls `each` after every 2 MiB, and returns the sum of all words.
fn fill(region: &Region, mut each: impl FnMut(usize) -> Result<()>) -> Result<u64> {
    let words: *mut u64 = region.data().cast();
    let mut sum = 0_u64;
    for index in 0..SIZE / 8 {
        let word = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum = sum.wrapping_add(word);
        // SAFETY: inside the region, which is aligned to a page and which nobody else has.
        unsafe { words.add(index).write(word) };
        if (index + 1) % (HUGE / 8) == 0 {
            each((index + 1) * 8 - HUGE)?;
        }
    }
    Ok(sum)
}
