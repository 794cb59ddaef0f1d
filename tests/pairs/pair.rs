//! The Rust side of a pair, over shmkit: README.md has the contract.

use std::error::Error;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::{env, fs};

use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ftruncate, ForkResult};
use shmkit::handover::{self, Deadline};
use shmkit::region::sysv;
use shmkit::{Kind, Options, Region};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const KINDS: [&str; 8] =
    ["memfd", "memfd-stream", "descriptor", "file", "posix", "sysv", "sysv-at", "anonymous"];
const NAMED: [&str; 4] = ["file", "posix", "sysv", "sysv-at"];

/// The project number of sysv-at, as ftok(3) takes it.
const PROJECT: i32 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["kinds", role @ ("produce" | "consume")] => {
            KINDS.iter().for_each(|kind| print_kind(role, kind));
            Ok(())
        }
        [role @ ("produce" | "consume"), kind, place, size, seed] if KINDS.contains(&kind) => {
            let (Ok(size), Ok(seed)) = (size.parse(), seed.parse::<u32>()) else { return usage() };
            if why_not(role, kind).is_some() {
                print_kind(role, kind);
                return ExitCode::from(3);
            }
            match role {
                "produce" => produce(kind, place, size, seed.into()),
                _ => consume(kind, place, size, seed.into()),
            }
        }
        ["remove", kind, place] if NAMED.contains(&kind) => remove(kind, place),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: pair kinds produce|consume | pair produce|consume KIND WHERE SIZE SEED | \
         pair remove KIND WHERE"
    );
    ExitCode::from(2)
}

fn why_not(role: &str, kind: &str) -> Option<&'static str> {
    (role == "consume" && kind == "anonymous").then_some("only children made by fork() have it")
}

fn print_kind(role: &str, kind: &str) {
    match why_not(role, kind) {
        Some(reason) => println!("{kind} no: {reason}"),
        None => println!("{kind} yes"),
    }
}

fn produce(kind: &str, place: &str, size: usize, seed: u64) -> Result {
    let region = create(kind, place, size)?;
    fill(&region, seed)?;
    match kind {
        "memfd" | "descriptor" => {
            let listener = handover::listen(place)?;
            println!("ready");
            let socket = handover::accept(&listener, Deadline::NEVER)?;
            if kind == "memfd" {
                handover::send_region(&socket, &region, Deadline::NEVER)?;
            } else {
                handover::send_fd(&socket, &region.fd()?, Deadline::NEVER)?;
            }
            fs::remove_file(place)?;
        }
        "memfd-stream" => {
            let listener = UnixListener::bind(place)?;
            println!("ready");
            let (socket, _) = listener.accept()?;
            handover::send_region(&socket, &region, Deadline::NEVER)?;
            fs::remove_file(place)?;
        }
        "anonymous" => {
            answer_in_child(&region, seed)?;
            println!("ready");
        }
        _ => println!("ready"),
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line != "check\n" {
        return Err("stdin ended, or said something else than check".into());
    }
    verify(&region, seed + 1)?;
    println!("answered");
    Ok(())
}

fn consume(kind: &str, place: &str, size: usize, seed: u64) -> Result {
    let region = match kind {
        "memfd" => {
            let socket = handover::connect(place, Deadline::NEVER)?;
            handover::recv_region(&socket, &Options::default(), Deadline::NEVER)?
        }
        "memfd-stream" => {
            let socket = UnixStream::connect(place)?;
            handover::recv_region(&socket, &Options::default(), Deadline::NEVER)?
        }
        "descriptor" => {
            let socket = handover::connect(place, Deadline::NEVER)?;
            let fd = handover::recv_fd(&socket, Deadline::NEVER)?;
            Region::from_fd(&fd, 0, &Options::default())?
        }
        _ => open_named(kind, place)?,
    };
    if region.size() != size {
        return Err(format!("the region has {} bytes, not {size}", region.size()).into());
    }
    answer(&region, seed)?;
    println!("verified");
    Ok(())
}

fn remove(kind: &str, place: &str) -> Result {
    let region = open_named(kind, place)?;
    match region.kind() {
        Kind::SysV => sysv::remove(region.sysv_id()?)?,
        _ => region.unlink()?,
    }
    println!("removed");
    Ok(())
}

fn create(kind: &str, place: &str, size: usize) -> Result<Region> {
    let options = Options::default();
    Ok(match kind {
        "file" => Region::file_create(place, size, &options)?,
        "posix" => Region::posix_create(place, size, &options)?,
        "sysv" => Region::sysv_create(place.parse()?, size, &options)?,
        "sysv-at" => Region::sysv_create_at(place, PROJECT, size, &options)?,
        "anonymous" => Region::anon_create(size, &options)?,
        "descriptor" => {
            // A memfd of this program's own making, as any program may have one.
            let fd = memfd_create("pair", MFdFlags::MFD_CLOEXEC)?;
            ftruncate(&fd, size as i64)?;
            Region::from_fd(&fd, 0, &options)?
        }
        _ => Region::create("pair", size, &options)?,
    })
}

fn open_named(kind: &str, place: &str) -> Result<Region> {
    let options = Options::default();
    Ok(match kind {
        "file" => Region::file_open(place, 0, &options)?,
        "posix" => Region::posix_open(place, &options)?,
        "sysv" => Region::sysv_attach(place.parse()?, &options)?,
        _ => Region::sysv_attach_at(place, PROJECT, &options)?,
    })
}

/// Both for a consumer of its own and for the child of an anonymous region's producer.
fn answer(region: &Region, seed: u64) -> Result {
    verify(region, seed)?;
    fill(region, seed + 1)
}

fn answer_in_child(region: &Region, seed: u64) -> Result {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let code = match answer(region, seed) {
                Ok(()) => 0,
                Err(failure) => {
                    eprintln!("{failure}");
                    1
                }
            };
            std::process::exit(code);
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            _ => std::process::exit(1), // it has said why
        },
    }
}

fn pattern(seed: u64, i: usize) -> u8 {
    (seed * 31 + i as u64 * 7 + (i as u64 >> 8)) as u8
}

fn fill(region: &Region, seed: u64) -> Result {
    let bytes: Vec<u8> = (0..region.size()).map(|i| pattern(seed, i)).collect();
    Ok(region.write(0, &bytes)?)
}

fn verify(region: &Region, seed: u64) -> Result {
    let mut bytes = vec![0; region.size()];
    region.read(0, &mut bytes)?;
    match bytes.iter().enumerate().find(|&(i, &byte)| byte != pattern(seed, i)) {
        Some((i, byte)) => Err(format!("byte {i} is {byte}, not {}", pattern(seed, i)).into()),
        None => Ok(()),
    }
}
