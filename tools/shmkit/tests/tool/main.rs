//! The program as its user runs it, against real objects. What fills or counts the machine does so in
//! namespaces of its own.

#[path = "../../../../tests/support/mod.rs"]
mod support;

mod clean;
mod doubt;
mod handover;
mod list;
mod numbers;
mod show;
mod terminal;

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmkit"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran
    }
}

impl Ran {
    #[track_caller]
    pub fn ends(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.out).expect("JSON")
    }

    /// What it says on stderr but for what may be missing.
    pub fn sentence(&self) -> String {
        let lines = self.err.lines().filter(|line| !line.contains("there may be more"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Ran {
    command(arguments).output().unwrap().into()
}

/// The objects of an answer of a kind, or all.
pub fn objects<'a>(answer: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = answer["objects"].as_array().unwrap().iter();
    all.filter(|object| kind.is_empty() || object["kind"] == kind).collect()
}

/// Namespaces in which nothing is there yet; the reason, where that is not permitted.
pub fn empty_machine() -> Result<(), String> {
    support::own_ipc()?;
    support::own_dev_shm("size=16m")
}

/// Leaves the test where its machine is not to be had.
macro_rules! or_skip {
    ($permitted:expr) => {
        if let Err(why) = $permitted {
            return crate::support::skip(why);
        }
    };
}
pub(crate) use or_skip;
