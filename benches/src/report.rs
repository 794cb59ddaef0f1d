//! What is printed, and what is written for other programs.

use std::fs::{create_dir_all, read_to_string, File};
use std::io::Write;
use std::path::Path;

use anyhow::{anyhow, Context, Result};
use comfy_table::{presets, CellAlignment, Table};
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde_json::{json, Value};

use crate::harness::{median, minimum, Run};

/// One line of figures.jsonl. `ratio` is value / reference_value: smaller is better.
#[derive(Serialize)]
pub struct Figure {
    pub id: &'static str,
    unit: &'static str,
    value: Option<f64>,
    reference: String,
    reference_value: Option<f64>,
    ratio: Option<f64>,
    limit: Option<f64>,
    holds: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    runs: usize,
    minimum: Option<f64>,
    reference_minimum: Option<f64>,
}

impl Figure {
    /// From the runs of both sides. `cannot` says why this machine does not show what the limit is
    /// about, where it does not.
    pub fn new(
        id: &'static str,
        reference: impl Into<String>,
        limit: Option<f64>,
        runs: &[Run],
        cannot: Option<String>,
    ) -> Figure {
        let ours = || runs.iter().map(|run| run.ours);
        let theirs = || runs.iter().map(|run| run.reference);
        let (value, reference_value) = (median(ours()), median(theirs()));
        let ratio = value / reference_value;
        let why = cannot.or_else(|| limit.is_none().then(|| "published, no limit".into()));
        Figure {
            id,
            unit: "ns",
            value: Some(value),
            reference: reference.into(),
            reference_value: Some(reference_value),
            ratio: Some(ratio),
            limit,
            holds: limit.filter(|_| why.is_none()).map(|limit| ratio <= limit),
            why,
            runs: runs.len(),
            minimum: Some(minimum(ours())),
            reference_minimum: Some(minimum(theirs())),
        }
    }

    /// One that could not be measured.
    pub fn missing(id: &'static str, reference: &str, limit: Option<f64>, why: String) -> Figure {
        Figure {
            id,
            unit: "ns",
            value: None,
            reference: reference.into(),
            reference_value: None,
            ratio: None,
            limit,
            holds: None,
            why: Some(why),
            runs: 0,
            minimum: None,
            reference_minimum: None,
        }
    }

    pub fn failed(&self) -> bool {
        self.holds == Some(false)
    }

    fn verdict(&self) -> &str {
        match (self.holds, &self.why) {
            (Some(true), _) => "holds",
            (Some(false), _) => "FAILS",
            (None, why) => why.as_deref().unwrap_or_default(),
        }
    }

    /// One line while the others still run.
    pub fn summary(&self) -> String {
        match self.ratio {
            Some(ratio) => format!("{ratio:.3}  {}", self.verdict()),
            None => format!("not measured: {}", self.verdict()),
        }
    }
}

/// The files in target/bench, written line by line, so that an interrupted run keeps what it has.
pub struct Files {
    figures: File,
    raw: Flock<File>,
}

impl Files {
    pub fn create(directory: &Path, quick: bool) -> Result<Files> {
        create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let open = |name: &str| {
            let path = directory.join(name);
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        // Two runs at once would spoil each other's times, and the files.
        let raw = Flock::lock(open("raw.jsonl")?, FlockArg::LockExclusiveNonblock)
            .map_err(|_| anyhow!("another run is measuring into {}", directory.display()))?;
        let mut files = Files { figures: open("figures.jsonl")?, raw };
        files.figures.set_len(0)?;
        files.raw.set_len(0)?;
        files.raw(json!({ "machine": machine(), "quick": quick }))?;
        Ok(files)
    }

    pub fn figure(&mut self, figure: &Figure) -> Result<()> {
        Ok(self.figures.write_all(format!("{}\n", serde_json::to_string(figure)?).as_bytes())?)
    }

    pub fn raw(&mut self, line: Value) -> Result<()> {
        Ok(self.raw.write_all(format!("{line}\n").as_bytes())?)
    }

    pub fn runs(&mut self, id: &str, runs: &[Run]) -> Result<()> {
        for (number, run) in runs.iter().enumerate() {
            self.raw(json!({
                "id": id,
                "run": number + 1,
                "first": if run.ours_first { "value" } else { "reference" },
                "iterations": run.iterations,
                "value": run.ours,
                "reference_value": run.reference,
            }))?;
        }
        Ok(())
    }
}

/// What the figures were measured on.
fn machine() -> Value {
    let first = |path: &str| read_to_string(path).unwrap_or_default().trim().to_owned();
    let field = |path: &str, name: &str| {
        let text = read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    json!({
        "kernel": first("/proc/sys/kernel/osrelease"),
        "processor": field("/proc/cpuinfo", "model name"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field("/proc/meminfo", "MemTotal"),
        "memory_available": field("/proc/meminfo", "MemAvailable"),
        "load": first("/proc/loadavg"),
    })
}

pub fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["figure", "median", "minimum", "reference", "median", "minimum", "ratio", "limit", ""]);
    for column in [1, 2, 4, 5, 6, 7] {
        table.column_mut(column).expect("there are nine").set_cell_alignment(CellAlignment::Right);
    }
    for figure in figures {
        table.add_row([
            figure.id.into(),
            time(figure.value),
            time(figure.minimum),
            figure.reference.clone(),
            time(figure.reference_value),
            time(figure.reference_minimum),
            figure.ratio.map_or("–".into(), |ratio| format!("{ratio:.3}")),
            figure.limit.map_or("–".into(), |limit| format!("{limit:.3}")),
            figure.verdict().into(),
        ]);
    }
    table
}

/// Nanoseconds as a person reads them.
fn time(ns: Option<f64>) -> String {
    match ns {
        None => "–".into(),
        Some(ns) if ns < 1e3 => format!("{ns:.1} ns"),
        Some(ns) if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        Some(ns) if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        Some(ns) => format!("{:.2} s", ns / 1e9),
    }
}
