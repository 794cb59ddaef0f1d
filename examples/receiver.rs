//! Waits for one region from sender, and shows what came.
//!     receiver SOCKET           a path, or @name for the abstract namespace
//! The sender is not trusted: the library checks the region before it maps it, this program what the
//! sender wrote into it. As examples-c/receiver.c, in Rust without unsafe code.
#![forbid(unsafe_code)]

mod message;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{self, ExitCode};
use std::{env, fs};

use message::{Head, Result, HEAD_SIZE};
use nix::errno::Errno;
use nix::unistd::ftruncate;
use shmkit::handover::{self, Deadline};
use shmkit::{Code, Flags, Options, Region};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match &arguments[..] {
        [socket] => message::exit(receive(socket)),
        _ => message::usage("receiver SOCKET"),
    }
}

fn receive(path: &OsStr) -> Result {
    let listener = handover::listen(path)?;
    println!("waiting on {}", Path::new(path).display());
    let accepted = handover::accept(&listener, Deadline::NEVER);
    drop(listener);
    if !path.as_bytes().starts_with(b"@") {
        let _ = fs::remove_file(path);
    }
    let socket = accepted?;
    let sender = handover::peer(&socket)?.pid;
    let options = Options { size_min: HEAD_SIZE as u64, ..Options::with_flags(Flags::READ_ONLY) };
    let region = handover::recv_region(&socket, &options, Deadline::NEVER)?;
    drop(socket);
    println!("receiver: process {}, connected to process {sender}", process::id());
    message::print_region("receiver", &region)?;
    print_shrink(&region)?;

    // The sender can still write: its numbers are read once, then checked, then used.
    let [text_at, text_size, file_at, file_size] = region.load::<Head>(0)?.map(|number| number as usize);
    if region.array::<u8>(text_at, text_size).is_err() || region.array::<u8>(file_at, file_size).is_err() {
        return Err("receiver: the head of the region points out of it".into());
    }
    let mut text = vec![0; text_size];
    region.read(text_at, &mut text)?;
    print!("共享内存中的文件内容是: ");
    io::stdout().write_all(&text)?;
    println!();
    message::print_sha256("receiver: sha256", &region, file_at, file_size, Path::new("-"))
}

/// Nobody can make the region smaller, not even by its own descriptor.
fn print_shrink(region: &Region) -> Result {
    match ftruncate(region.descriptor().ok_or("the region has no descriptor")?, 0) {
        Ok(()) => Err("receiver: the region could be shrunk".into()),
        Err(errno) => {
            println!("receiver: shrinking it: {}", Code::from(errno));
            if errno == Errno::EPERM {
                Ok(())
            } else {
                Err(errno.into())
            }
        }
    }
}
