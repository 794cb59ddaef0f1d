//! The arguments, from which the help, the manual pages and the completions are made.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::size;

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the answer is no, or something failed, in one sentence on stderr; 2 wrong usage.

Colours appear only on a terminal, and not where NO_COLOR is set.";

/// Shared memory on this machine: what there is, who holds it, what fits, what is left over
#[derive(Parser)]
#[command(name = "shmkit", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Every shared object that this user may see, and who holds it
    ///
    /// System V segments, semaphore sets and queues, POSIX objects and named semaphores, memfds, and shared
    /// anonymous memory. What cannot be seen is said on stderr.
    List(List),
    /// One object, or those of a process: holders, figures, and which pages are in memory
    ///
    /// All objects that the word fits are shown. Nothing found is exit code 1. To learn which pages are in
    /// memory the object is mapped for a moment, and none of its pages is touched; a System V segment counts
    /// that as an attachment.
    Show(Show),
    /// The limits that shared memory meets, with their use, and where each is set
    Limits(Json),
    /// Whether a region of this size would fit now; exit code 1, with the limit in its way, if not
    Fits(Fits),
    /// A live view of `list`, or of `show` with an object; q or Ctrl-C ends it
    Watch(Watch),
    /// Remove one System V object, POSIX object or named semaphore
    ///
    /// It is removed only if it still is the object that was found, is this user's, and nobody holds it. Of
    /// semaphore sets and queues the kernel does not tell who uses them: they take --force.
    Remove(Remove),
    /// Remove what nobody holds; without --yes or --ask, only say what that is
    ///
    /// That nobody has an object does not make it garbage: a segment or a name may be meant to wait for its
    /// next user. Look at the list first.
    Clean(Clean),
    /// Hand a file's bytes to another process, as sealed memory, by its descriptor
    ///
    /// `shmkit receive`, or a program that calls shm_recv_region, listens on the socket. The bytes are copied
    /// once, and frozen: neither side can change them any more.
    Send(Send),
    /// Wait for memory from `shmkit send`, and write its bytes to stdout or a file
    ///
    /// The sender is not trusted: what arrives is checked before it is mapped. Any program that calls
    /// shm_send_region can send.
    Receive(Receive),
    /// Which traps apply on this machine, in words, with the remedy; exit code 1 where some do
    Doctor(Doctor),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindName {
    /// System V shared memory segments
    Segment,
    /// System V semaphore sets
    Semaphores,
    /// System V message queues
    Queue,
    /// POSIX objects of /dev/shm
    Posix,
    /// Semaphores of sem_open(3)
    NamedSemaphore,
    /// Memory of memfd_create(2)
    Memfd,
    /// Shared anonymous memory
    Anonymous,
}

#[derive(Args)]
pub struct Kinds {
    /// Only objects of these kinds
    #[arg(long = "kind", short, value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<KindName>,
}

#[derive(Args)]
pub struct Json {
    /// One JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    pub kinds: Kinds,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args)]
pub struct Target {
    /// A System V id, an inode, a key (0x51), a name, or a process
    #[arg(value_name = "ID|NAME|PID")]
    pub target: OsString,
    #[command(flatten)]
    pub kinds: Kinds,
}

#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub json: Json,
    /// Draw the pages into this file, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RegionKind {
    Memfd,
    Anonymous,
    Posix,
    Sysv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Huge {
    #[value(name = "2M")]
    Of2M,
    #[value(name = "1G")]
    Of1G,
}

#[derive(Args)]
pub struct Fits {
    /// In bytes, or with a unit: KiB, MiB, GiB (k, M, G mean the same), kB, MB, GB
    #[arg(value_parser = size::parse)]
    pub size: u64,
    /// A memfd if nothing is said
    #[arg(long, short, value_enum, conflicts_with = "path")]
    pub kind: Option<RegionKind>,
    /// A file, which would be there
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub path: Option<PathBuf>,
    /// On huge pages of the machine's pool
    #[arg(long, value_enum, value_name = "SIZE")]
    pub huge: Option<Huge>,
    /// Or on smaller pages, where the pool has none
    #[arg(long, requires = "huge")]
    pub huge_fallback: bool,
    /// Locked in memory
    #[arg(long)]
    pub locked: bool,
    /// Without reserving the memory
    #[arg(long)]
    pub no_reserve: bool,
    /// With room to grow to this size
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub grow_to: Option<u64>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args)]
pub struct Watch {
    /// As `show` takes it; without, everything
    #[arg(value_name = "ID|NAME|PID")]
    pub target: Option<OsString>,
    #[command(flatten)]
    pub kinds: Kinds,
    /// Seconds from one look to the next
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: f64,
}

#[derive(Args)]
pub struct Remove {
    /// A System V id, an inode, a key (0x51), or a name
    #[arg(value_name = "ID|NAME")]
    pub target: OsString,
    #[command(flatten)]
    pub kinds: Kinds,
    /// Though somebody holds it: they keep the memory, nobody else finds it any more
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Args)]
pub struct Clean {
    /// Remove them
    #[arg(long, short, conflicts_with = "ask")]
    pub yes: bool,
    /// Show them, ask once, then remove them
    #[arg(long, short, conflicts_with = "json")]
    pub ask: bool,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args)]
pub struct Send {
    /// What is sent; - is stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A path, or @name for the abstract namespace
    #[arg(value_hint = ValueHint::FilePath)]
    pub socket: OsString,
    /// How long to wait for somebody who listens
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub wait: f64,
}

#[derive(Args)]
pub struct Receive {
    /// A path, or @name for the abstract namespace
    #[arg(value_hint = ValueHint::FilePath)]
    pub socket: OsString,
    /// Write the bytes there, once all have come
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Refuse more than this
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max: Option<u64>,
    /// Give up after so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<f64>,
}

#[derive(Args)]
pub struct Doctor {
    /// Also those that do not apply
    #[arg(long, short)]
    pub all: bool,
    #[command(flatten)]
    pub json: Json,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("so many seconds, such as 0.5".to_string()),
    }
}
