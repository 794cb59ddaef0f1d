//! A file's bytes, from one process to another by descriptor.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::{ECONNREFUSED, ENOENT};
use shmkit::handover::{self, Deadline, Peer};
use shmkit::{Flags, Options, Region};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::{Receive, Send};
use crate::objects::user;
use crate::size::human;
use crate::text::{printable, why};
use crate::{out, Answer};

/// What is copied at a time.
const CHUNK: usize = 1 << 20;

pub fn send(arguments: &Send) -> Answer {
    let region = read(&arguments.file).map_err(|error| {
        let reason = error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), why);
        format!("cannot send {}: {reason}", shown(&arguments.file))
    })?;
    region.freeze()?;
    let socket = connect(&arguments.socket, Duration::from_secs_f64(arguments.wait))?;
    handover::send_region(&socket, &region, Deadline::NEVER)?;
    tell(format_args!("sent {} to {}", human(region.size() as u64), who(handover::peer(&socket)?)));
    Ok(true)
}

fn read(path: &Path) -> Result<Region, Box<dyn std::error::Error>> {
    if path == Path::new("-") {
        return read_to_end(OsStr::new("stdin"), io::stdin());
    }
    let name = path.file_name().unwrap_or_default();
    // A memfd's name has at most 249 bytes.
    let name = OsStr::from_bytes(&name.as_bytes()[..name.len().min(200)]);
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // A pipe, or a file of the kernel's that says it has no bytes: how much it is, its end tells.
    if !metadata.is_file() || metadata.len() == 0 {
        return read_to_end(name, file);
    }
    let size = usize::try_from(metadata.len())?;
    let region = Region::create(name, size, &Options::default())?;
    let mut piece = vec![0; CHUNK];
    let mut done = 0;
    loop {
        match file.read(&mut piece)? {
            0 if done == size => return Ok(region),
            got if got == 0 || got > size - done => {
                return Err(format!("it was changed while it was read: it had {size} bytes").into());
            }
            got => {
                region.write(done, &piece[..got])?;
                done += got;
            }
        }
    }
}

fn read_to_end(name: &OsStr, mut from: impl Read) -> Result<Region, Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err("it is empty, and memory has at least 1 byte".into());
    }
    let region = Region::create(name, bytes.len(), &Options::default())?;
    region.write(0, &bytes)?;
    Ok(region)
}

/// Waits for somebody who listens.
fn connect(socket: &OsStr, patience: Duration) -> shmkit::Result<std::os::fd::OwnedFd> {
    let until = Instant::now() + patience;
    loop {
        match handover::connect(socket, Deadline::after(patience.max(Duration::from_secs(10)))) {
            Err(error)
                if [Some(ENOENT), Some(ECONNREFUSED)].contains(&error.errno()) && Instant::now() < until =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            connected => return connected,
        }
    }
}

pub fn receive(arguments: &Receive) -> Answer {
    let deadline = arguments
        .timeout
        .map_or(Deadline::NEVER, |seconds| Deadline::after(Duration::from_secs_f64(seconds)));
    let has_file = !arguments.socket.as_bytes().starts_with(b"@");
    // Before there is something that a signal could leave behind.
    let signals = if has_file { Some(Signals::new([SIGINT, SIGTERM, SIGHUP])?) } else { None };
    let listener = handover::listen(&arguments.socket)?;
    let name = signals.map(|signals| Name::of(&arguments.socket, signals)).transpose()?;
    tell(format_args!("waiting on {}", printable(&arguments.socket)));
    let socket = handover::accept(&listener, deadline);
    drop((name, listener));
    let socket = socket?;
    let peer = handover::peer(&socket)?;
    let options = Options { size_max: arguments.max.unwrap_or(0), ..Options::with_flags(Flags::READ_ONLY) };
    let region = handover::recv_region(&socket, &options, deadline)?;
    match &arguments.output {
        None => write(&region, io::stdout().lock())?,
        Some(path) => File::create(path)
            .and_then(|file| write(&region, file))
            .map_err(|error| format!("cannot write {}: {}", shown(path), why(&error)))?,
    }
    tell(format_args!("received {} from {}", human(region.size() as u64), who(peer)));
    Ok(true)
}

fn write(region: &Region, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; CHUNK.min(region.size())];
    for start in (0..region.size()).step_by(CHUNK) {
        let piece = &mut piece[..CHUNK.min(region.size() - start)];
        region.read(start, piece)?;
        to.write_all(piece)?;
    }
    to.flush()
}

/// The file of the socket, which goes when this is dropped, or when a signal ends the program.
#[derive(Clone)]
struct Name {
    path: PathBuf,
    inode: u64,
}

impl Name {
    fn of(socket: &OsStr, mut signals: Signals) -> io::Result<Name> {
        let name = Name { path: socket.into(), inode: fs::symlink_metadata(socket)?.ino() };
        let theirs = name.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                drop(theirs);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
        Ok(name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str())
}

fn who(peer: Peer) -> String {
    format!("process {} of {}", peer.pid, user(peer.uid))
}

/// What goes on, for a person who looks.
fn tell(what: std::fmt::Arguments<'_>) {
    if io::stderr().is_terminal() {
        out::say(what);
    }
}
