//! What shmkit costs, as ratios: each figure is measured by turns with its reference, in one run.

mod c;
mod gigabyte;
mod go;
mod growth;
mod handover;
mod harness;
mod huge;
mod inspect;
mod lock;
mod memory;
mod raw;
mod region;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use harness::{Bench, Run};
use report::{table, Figure, Files};

#[derive(Parser)]
#[command(about = "Measures shmkit against raw system calls. README.md says what each figure is.")]
struct Arguments {
    /// Fewer runs: all figures in well under two minutes
    #[arg(long)]
    quick: bool,
    /// Only figures whose id begins so; may be repeated
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
    /// Where figures.jsonl and raw.jsonl go
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))]
    output: PathBuf,
}

/// What is measured at once: one figure, or several that share their runs.
enum Job {
    One(One),
    Gigabyte,
}

/// A figure of two sides.
struct One {
    id: &'static str,
    reference: &'static str,
    limit: Option<f64>,
    compare: fn(&Bench) -> Result<Vec<Run>>,
}

/// The machine lacks something: no error, but no figure either.
#[derive(Debug)]
struct Cannot(String);

impl std::fmt::Display for Cannot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cannot {}

impl Job {
    fn ids(&self) -> Vec<&'static str> {
        match self {
            Job::One(one) => vec![one.id],
            Job::Gigabyte => gigabyte::IDS.to_vec(),
        }
    }

    fn run(&self, bench: &Bench, files: &mut Files) -> Result<Vec<Figure>> {
        match self {
            Job::One(one) => {
                let runs = (one.compare)(bench)?;
                files.runs(one.id, &runs)?;
                Ok(vec![Figure::new(one.id, one.reference, one.limit, &runs, None)])
            }
            Job::Gigabyte => gigabyte::run(bench, files),
        }
    }

    fn missing(&self, why: &str) -> Vec<Figure> {
        match self {
            Job::One(one) => vec![Figure::missing(one.id, one.reference, one.limit, why.into())],
            Job::Gigabyte => gigabyte::missing(why),
        }
    }
}

fn main() -> ExitCode {
    measure().unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn measure() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted =
        |id: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| id.starts_with(only));
    let jobs: Vec<Job> = region::JOBS
        .into_iter()
        .chain(growth::JOBS)
        .chain(huge::JOBS)
        .chain(handover::JOBS)
        .chain(go::JOBS)
        .map(Job::One)
        .chain([Job::Gigabyte])
        .chain(inspect::JOBS.map(Job::One))
        .chain(lock::JOBS.map(Job::One))
        .filter(|job| job.ids().into_iter().any(wanted))
        .collect();
    if jobs.is_empty() {
        eprintln!("no figure begins with {}", arguments.only.join(" or "));
        return Ok(ExitCode::from(2));
    }

    let mut files = Files::create(&arguments.output, arguments.quick)?;
    let bench = Bench::new(arguments.quick, arguments.output.canonicalize()?)?;
    harness::watch_for_interrupts()?;
    let (mut figures, mut errors) = (Vec::new(), 0);
    for (number, job) in jobs.iter().enumerate() {
        eprint!("[{:2}/{}] {:30}", number + 1, jobs.len(), job.ids()[0]);
        let results = job.run(&bench, &mut files).or_else(|error| {
            errors += usize::from(error.downcast_ref::<Cannot>().is_none());
            if harness::interrupted() {
                return Err(error);
            }
            Ok(job.missing(&format!("{error:#}")))
        });
        let Ok(results) = results else {
            eprintln!(" interrupted");
            return Ok(ExitCode::from(130));
        };
        for (place, figure) in results.into_iter().filter(|figure| wanted(figure.id)).enumerate() {
            if place > 0 {
                eprint!("        {:30}", figure.id);
            }
            eprintln!(" {}", figure.summary());
            files.figure(&figure)?;
            figures.push(figure);
        }
    }

    println!("{}", table(&figures));
    println!("ratio = figure / reference: smaller is better. Also in {}", bench.directory.display());
    let failed: Vec<&Figure> = figures.iter().filter(|figure| figure.failed()).collect();
    for figure in &failed {
        println!("OVER ITS LIMIT: {} {}", figure.id, figure.summary());
    }
    // A time is no error, whatever it is: only what could not be run is one.
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
