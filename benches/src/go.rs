//! go.: the Go package. The sides are in a Go program, ../go, which runs as many iterations of one as it
//! is told to.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::harness::{pin, Bench, Run};
use crate::{Cannot, One};

const CALLS: &str = "the same system calls, x/sys";
const MESSAGES: &str = "the same messages, x/sys";
const COPY: &str = "copy";
const CGO: &str = "an empty cgo call";

/// The Go program knows a figure by its id.
macro_rules! figure {
    ($id:literal, $reference:expr, $limit:expr) => {
        One { id: $id, reference: $reference, limit: $limit, compare: |bench| compare(bench, $id) }
    };
}

pub const JOBS: [One; 22] = [
    figure!("go.memfd.cycle", CALLS, Some(1.15)),
    figure!("go.file.cycle", CALLS, Some(1.15)),
    figure!("go.anonymous.cycle", CALLS, Some(1.15)),
    figure!("go.posix.cycle", CALLS, Some(1.15)),
    figure!("go.sysv.cycle", CALLS, Some(1.15)),
    figure!("go.file.open", CALLS, Some(1.15)),
    figure!("go.posix.open", CALLS, Some(1.15)),
    figure!("go.sysv.attach", CALLS, Some(1.15)),
    figure!("go.read_64k", COPY, Some(1.10)),
    figure!("go.write_64k", COPY, Some(1.10)),
    figure!("go.read_64k_unsealed", COPY, Some(1.10)),
    figure!("go.write_64k_unsealed", COPY, Some(1.10)),
    figure!("go.read_64B", CGO, Some(0.70)),
    figure!("go.write_64B", CGO, Some(0.70)),
    figure!("go.read_64B_unsealed", CGO, None),
    figure!("go.bytes", CGO, None),
    figure!("go.view", CGO, None),
    figure!("go.handover.fd", MESSAGES, Some(1.10)),
    figure!("go.handover.fds253", MESSAGES, Some(1.10)),
    figure!("go.handover.region", "the same calls and checks, x/sys", Some(1.10)),
    figure!("go.handover.tiny", "64 bytes in the message itself", None),
    figure!("go.lock", "the same in C", Some(2.0)),
];

fn compare(bench: &Bench, id: &str) -> Result<Vec<Run>> {
    let program = program(&bench.directory)?;
    // The program inherits it, and so has one processor from its start.
    pin(bench.cpu())?;
    let sides = RefCell::new(Sides::start(program, id, &bench.directory)?);
    bench.compare(
        |iterations| sides.borrow_mut().run("value", iterations),
        |iterations| sides.borrow_mut().run("reference", iterations),
    )
}

/// The running program.
struct Sides {
    child: Child,
    /// What ends it is the end of its input.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

#[derive(Serialize)]
struct Request {
    side: &'static str,
    iterations: u64,
}

#[derive(Deserialize)]
struct Answer {
    ns: u64,
    error: Option<String>,
}

impl Sides {
    fn start(program: &Path, id: &str, directory: &Path) -> Result<Sides> {
        let mut child = Command::new(program)
            .arg(id)
            .arg(directory)
            // With a single P, Go's monitor takes it away in the midst of most calls, and gives it back: a
            // quarter of the time goes there. In a program that has an idle one it does not.
            .env("GOMAXPROCS", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Sides { child, requests, answers })
    }

    fn run(&mut self, side: &'static str, iterations: u64) -> Result<Duration> {
        let request = format!("{}\n", serde_json::to_string(&Request { side, iterations })?);
        // Where this fails the program has ended, and its last answer says why.
        let _ = self.requests.as_mut().expect("taken only at the end").write_all(request.as_bytes());
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the Go program ended: {}", self.child.wait()?);
        }
        let answer: Answer = serde_json::from_str(&line)?;
        match answer.error {
            Some(error) => bail!("{error}"),
            None => Ok(Duration::from_nanos(answer.ns)),
        }
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// Builds the program, once.
fn program(directory: &Path) -> Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf>> = OnceLock::new();
    match PROGRAM.get_or_init(|| build(directory)) {
        Ok(program) => Ok(program),
        Err(error) => Err(match error.downcast_ref() {
            Some(Cannot(why)) => Cannot(why.clone()).into(),
            None => anyhow!("{error:#}"),
        }),
    }
}

fn build(directory: &Path) -> Result<PathBuf> {
    let program = directory.join("shmkit-bench-go");
    let go = |arguments: &[&str]| {
        Command::new("go")
            .args(["-C", concat!(env!("CARGO_MANIFEST_DIR"), "/go")])
            .args(arguments)
            .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "1")])
            .output()
    };
    let said = |stderr: Vec<u8>| String::from_utf8_lossy(&stderr).trim().to_owned();
    let download = match go(&["mod", "download"]) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(Cannot("Go is missing".into())),
        result => result.context("cannot run go")?,
    };
    if !download.status.success() {
        bail!(Cannot(format!("go mod download: {}", said(download.stderr))));
    }
    let output = program.to_str().context("the directory's name is not UTF-8")?;
    let built = go(&["build", "-o", output, "."])?;
    ensure!(built.status.success(), "cannot build benches/go (is `make lib` done?): {}", said(built.stderr));
    Ok(program)
}
