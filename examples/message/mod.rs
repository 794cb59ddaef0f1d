//! What sender.rs and receiver.rs have in common: the head of the region, the digest, the progress.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use nix::sys::stat::{fstat, major, minor};
use sha2::{Digest, Sha256};
use shmkit::Region;

/// A failure's text is the one line that the program ends with.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The head of the region: text offset and size, file offset and size. Offsets count from the region's
/// first byte.
pub type Head = [u64; 4];

pub const HEAD_SIZE: usize = size_of::<Head>();

pub const CHUNK: usize = 16 << 20;

pub fn exit(result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

pub fn usage(line: &str) -> ExitCode {
    eprintln!("usage: {line}");
    ExitCode::from(2)
}

/// Tells on stderr how far a large job is: a line rewritten on a terminal, else a line each tenth.
pub fn show_progress(job: &str, before: usize, done: usize, total: usize) {
    let terminal = io::stderr().is_terminal();
    if total <= 256 << 20 || (!terminal && before * 10 / total == done * 10 / total) {
        return;
    }
    let start = if terminal { "\r\x1b[K" } else { "" };
    let end = if terminal && done < total { "" } else { "\n" };
    eprint!("{start}{job}: {} of {} MiB{end}", done >> 20, total >> 20);
}

/// Prints the SHA-256 of bytes of the region as sha256sum(1) does. They are copied out piece by piece:
/// Rust has no slices of memory that another process may write.
pub fn print_sha256(job: &str, region: &Region, offset: usize, size: usize, name: &Path) -> Result {
    let mut digest = Sha256::new();
    let mut piece = vec![0; CHUNK.min(size)];
    let mut done = 0;
    while done < size {
        let part = &mut piece[..CHUNK.min(size - done)];
        region.read(offset + done, part)?;
        digest.update(&*part);
        show_progress(job, done, done + part.len(), size);
        done += part.len();
    }
    for byte in digest.finalize() {
        print!("{byte:02x}");
    }
    println!("  {}", name.display());
    Ok(())
}

/// Prints which open file stands behind a region: the same one in both processes.
pub fn print_region(who: &str, region: &Region) -> Result {
    let info = fstat(region.descriptor().ok_or("the region has no descriptor")?)?;
    println!(
        "{who}: descriptor {}, device {}:{}, inode {}, {} bytes",
        region.fd()?,
        major(info.st_dev),
        minor(info.st_dev),
        info.st_ino,
        region.size()
    );
    Ok(())
}
