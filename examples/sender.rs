//! Puts a text and a file into a region and hands it to receiver, a process started on its own.
//!     receiver SOCKET           first, in one terminal
//!     sender SOCKET FILE        then, in another
//! As examples-c/sender.c, in Rust without unsafe code: the file passes through a buffer.
#![forbid(unsafe_code)]

mod message;

use std::env;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{self, ExitCode};
use std::time::Duration;

use message::{show_progress, Head, Result, CHUNK, HEAD_SIZE};
use shmkit::handover::{self, Deadline};
use shmkit::{Code, Options, Region};

const TEXT: &str = "这段内容是保存在共享内存里的,接收方和发送方都能根据自己的fd访问到这块内容";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match &arguments[..] {
        [socket, path] => message::exit(send(socket, Path::new(path))),
        _ => message::usage("sender SOCKET FILE"),
    }
}

fn send(socket: &OsStr, path: &Path) -> Result {
    let on_path = |error| perror(path, error);
    // O_NONBLOCK, so that a FIFO does not wait.
    let mut file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(on_path)?;
    let info = file.metadata().map_err(on_path)?;
    if !info.is_file() {
        return Err(format!("{}: not a regular file", path.display()).into());
    }

    let socket = handover::connect(socket, Deadline::after(Duration::from_secs(10)))?;
    let receiver = handover::peer(&socket)?.pid;
    println!("sender: process {}, connected to process {receiver}", process::id());

    let file_size = info.len() as usize;
    let file_at = HEAD_SIZE + TEXT.len();
    let head: Head = [HEAD_SIZE, TEXT.len(), file_at, file_size].map(|number| number as u64);
    let region = Region::create("sender", file_at + file_size, &Options::default())?;
    region.store(0, &head)?;
    region.write(HEAD_SIZE, TEXT.as_bytes())?;
    if !read_file(&mut file, &region, file_at, file_size).map_err(on_path)? {
        let changed = format!("{}: changed while it was read: it had {file_size} bytes", path.display());
        return Err(changed.into());
    }

    handover::send_region(&socket, &region, Deadline::NEVER)?;
    drop((socket, file));

    // The region is the receiver's too from here on; this process only reads it.
    message::print_region("sender", &region)?;
    message::print_sha256("sender: sha256", &region, file_at, file_size, path)
}

/// Reads exactly `size` bytes; false where the file is shorter or longer by now.
fn read_file(file: &mut File, region: &Region, offset: usize, size: usize) -> io::Result<bool> {
    let mut piece = vec![0; CHUNK.min(size)];
    let mut done = 0;
    while done < size {
        let got = file.read(&mut piece[..CHUNK.min(size - done)])?;
        if got == 0 {
            break;
        }
        region.write(offset + done, &piece[..got])?;
        show_progress("reading", done, done + got, size);
        done += got;
    }
    Ok(done == size && file.read(&mut [0])? == 0)
}

/// As perror(3) says it.
fn perror(path: &Path, error: io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{}: {}", path.display(), Code::from_raw(-errno)),
        None => format!("{}: {error}", path.display()),
    }
}
