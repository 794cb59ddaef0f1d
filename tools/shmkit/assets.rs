//! Writes what is installed beside the program, from the definition of its arguments: the manual page, and
//! completions for bash, zsh and fish.
//!     cargo run --example assets DIRECTORY
#![forbid(unsafe_code)]
#![allow(dead_code)]

#[path = "src/cli.rs"]
mod cli;
#[path = "src/size.rs"]
mod size;

use std::path::Path;
use std::{env, fs, io};

use clap::{Arg, Command, CommandFactory};
use clap_complete::{generate_to, Shell};
use clap_mangen::roff::{bold, italic, roman, Inline, Roff};
use clap_mangen::Man;

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).ok_or_else(|| io::Error::other("assets DIRECTORY"))?;
    fs::create_dir_all(&directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut cli::Cli::command(), "shmkit", &directory)?;
    }
    let mut command = cli::Cli::command();
    command.build();
    fs::write(Path::new(&directory).join("shmkit.1"), page(command)?)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let source = format!("shmkit {}", command.get_version().unwrap_or_default());
    let man = Man::new(command.clone()).source(source).manual("User Commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([
        bold("shmkit"),
        roman(" "),
        italic("COMMAND"),
        roman(" [OPTIONS]"),
    ]);
    let description =
        "Tells what the kernel knows of shared memory: System V segments, semaphore sets and queues, \
        POSIX objects, memfds and shared anonymous memory. People get tables, with colours on a terminal; \
        programs get JSON by --json. Names from outside are shown with what would not print escaped. Nothing \
        is changed, but for what remove and clean remove.";
    roff.control("SH", ["DESCRIPTION"]).text([roman(description)]);
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(&mut roff, sub);
    }
    page.extend(roff.render().into_bytes());
    page.extend(include_bytes!("shmkit.1.in"));
    Ok(page)
}

fn section(roff: &mut Roff, sub: &Command) {
    let usage = sub.clone().render_usage().to_string();
    roff.control("SS", [usage.trim_start_matches("Usage: ")]);
    let about = sub.get_long_about().or(sub.get_about()).map(ToString::to_string).unwrap_or_default();
    for (at, paragraph) in about.split("\n\n").enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(sentence(paragraph))]);
    }
    for arg in sub.get_arguments().filter(|arg| arg.get_id() != "help") {
        roff.control("TP", []);
        roff.text(heading(arg));
        roff.text([roman(description(arg))]);
    }
}

/// `-k, --kind KIND`
fn heading(arg: &Arg) -> Vec<Inline> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let takes = arg.get_action().takes_values();
    let values = arg.get_value_names().filter(|_| takes).unwrap_or_default();
    let values = values.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let space = if names.is_empty() || values.is_empty() { "" } else { " " };
    vec![bold(names), roman(space), italic(values)]
}

fn description(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut texts = vec![sentence(&help)];
    if arg.get_action().takes_values() {
        let values: Vec<_> = arg.get_possible_values().iter().map(|it| it.get_name().to_string()).collect();
        if !values.is_empty() {
            texts.push(format!("One of: {}.", values.join(", ")));
        }
        if let [default] = arg.get_default_values() {
            texts.push(format!("Default: {}.", default.to_string_lossy()));
        }
    }
    texts.join(" ")
}

fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ").replace('`', "");
    if text.ends_with('.') {
        text
    } else {
        text + "."
    }
}
