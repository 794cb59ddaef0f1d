//! shmkit: shared memory on this machine, for people and for programs.
#![forbid(unsafe_code)]

mod clean;
mod cli;
mod doctor;
mod find;
mod fits;
mod holders;
mod limits;
mod list;
mod objects;
mod out;
mod pages;
mod remove;
mod show;
mod size;
mod svg;
mod text;
mod transfer;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Whether the answer is yes; what failed, in one sentence.
type Answer = Result<bool, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let answer = match Cli::parse().command {
        Command::List(arguments) => list::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Limits(arguments) => limits::run(&arguments),
        Command::Fits(arguments) => fits::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Remove(arguments) => remove::run(&arguments),
        Command::Clean(arguments) => clean::run(&arguments),
        Command::Send(arguments) => transfer::send(&arguments),
        Command::Receive(arguments) => transfer::receive(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read it has seen enough.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            out::say(error);
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
