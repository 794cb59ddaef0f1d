//! Which pages of an object are in memory, and the picture of them.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use comfy_table::Color;
use nix::fcntl::OFlag;
use serde_json::{json, Value};
use shmkit::inspect::{Basis, By, Object, ObjectKind, Residency, Run, Survey};
use shmkit::{Flags, Options, Region};

use crate::out::Look;
use crate::size::human;
use crate::text::count;

pub struct Pages {
    pub size_bytes: u64,
    pub page_size: u64,
    pub residency: Residency,
}

/// None of what has no pages; otherwise why they cannot be told.
pub fn of(object: &Object, survey: &Survey) -> Option<Result<Pages, String>> {
    if matches!(object.kind, ObjectKind::Semaphores | ObjectKind::Queue) || object.size_bytes == Some(0) {
        return None;
    }
    let look = || {
        let region = map(object, survey)?;
        let residency = region.residency(0, region.size()).map_err(|error| error.to_string())?;
        let (size_bytes, page_size) = (region.size() as u64, region.page_size() as u64);
        Ok(Pages { size_bytes, page_size, residency })
    };
    Some(look())
}

fn map(object: &Object, survey: &Survey) -> Result<Region, String> {
    let said = |error: shmkit::Error| error.to_string();
    if let Some(id) = object.id {
        return Region::sysv_attach_id(id, &Options::with_flags(Flags::READ_ONLY)).map_err(said);
    }
    let mut why = "nobody was seen to have it".to_string();
    for path in paths(object, survey) {
        match open(&path, object) {
            Ok(file) => {
                let flags = Flags::READ_ONLY | Flags::NO_RESERVE | Flags::HUGE_2M | Flags::HUGE_1G;
                return Region::from_fd(&file, 0, &Options::with_flags(flags)).map_err(said);
            }
            Err(error) => why = format!("cannot open it: {}", crate::text::why(&error)),
        }
    }
    Err(why)
}

/// Where an object can be opened: by its name, or as somebody has it.
fn paths<'a>(object: &'a Object, survey: &'a Survey) -> impl Iterator<Item = PathBuf> + 'a {
    let name = object.name.as_deref().and_then(|name| {
        let place: &[u8] = match object.kind {
            ObjectKind::Posix => b"/dev/shm/",
            ObjectKind::NamedSemaphore => b"/dev/shm/sem.",
            _ => return None,
        };
        let name = name.as_bytes().strip_prefix(b"/")?;
        Some(PathBuf::from(OsString::from_vec([place, name].concat())))
    });
    let held = object.holders.iter().map(|holder| {
        let pid = survey.process(holder).pid;
        PathBuf::from(match holder.by {
            By::Descriptor(number) => format!("/proc/{pid}/fd/{number}"),
            By::Mapping { start, length_bytes, .. } => {
                format!("/proc/{pid}/map_files/{start:x}-{:x}", start + length_bytes)
            }
        })
    });
    name.into_iter().chain(held)
}

/// Opens it, if it is the object; nothing else would be waited for.
fn open(path: &PathBuf, object: &Object) -> Result<File, std::io::Error> {
    let is_same = |metadata: std::fs::Metadata| {
        metadata.is_file()
            && object.file.is_some_and(|it| (it.device, it.inode) == (metadata.dev(), metadata.ino()))
    };
    let gone = || std::io::Error::other("it is gone, or another one is there");
    if !is_same(std::fs::metadata(path)?) {
        return Err(gone());
    }
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if is_same(file.metadata()?) {
        Ok(file)
    } else {
        Err(gone())
    }
}

/// How much of a piece of the object is in memory: from 0, nothing, to 4, all.
pub type Mark = u8;

impl Pages {
    pub fn count(&self) -> u64 {
        self.size_bytes.div_ceil(self.page_size)
    }

    /// At most `most` marks of as many pages each: how many those are, and the marks.
    pub fn marks(&self, most: u64) -> (u64, Vec<Mark>) {
        let pages = self.count().div_ceil(most).next_power_of_two();
        let length = pages * self.page_size;
        let end = self.count() * self.page_size;
        let mut marks = Vec::new();
        let mut runs: &[Run] = &self.residency.runs;
        for start in (0..end).step_by(length as usize) {
            let until = (start + length).min(end);
            let mut resident = 0;
            while let Some(run) = runs.first().filter(|run| run.offset_bytes < until) {
                let run_end = run.offset_bytes + run.length_bytes;
                if run.resident {
                    resident += run_end.min(until) - run.offset_bytes.max(start);
                }
                if run_end > until {
                    break;
                }
                runs = &runs[1..];
            }
            marks.push(match (resident, until - start) {
                (0, _) => 0,
                (resident, all) if resident >= all => 4,
                (resident, all) => 1 + (resident * 3 / all) as Mark,
            });
        }
        (pages, marks)
    }

    /// "3 of 256 pages in memory, 12 KiB"
    pub fn sentence(&self) -> String {
        let resident = self.residency.resident_bytes;
        let basis = match self.residency.basis {
            Basis::Object => "",
            Basis::OwnTouch => ", as far as this process may know: it may not write to it",
            Basis::OwnTouchHuge => ", as far as this process may know: they are huge pages",
        };
        format!(
            "{} of {} in memory, {}{basis}",
            resident.div_ceil(self.page_size),
            count(self.count(), "page"),
            human(resident)
        )
    }

    /// The picture, with where each line begins.
    pub fn picture(&self, look: Look, most_lines: u64) -> String {
        let width: u64 = if look.width.is_some_and(|width| width < 80) { 32 } else { 64 };
        let (pages, marks) = self.marks(width * most_lines);
        let mut text = String::new();
        for (at, line) in marks.chunks(width as usize).enumerate() {
            let offset = human(at as u64 * width * pages * self.page_size);
            let marks: String = line.iter().map(|&mark| ['·', '░', '▒', '▓', '█'][mark as usize]).collect();
            text += &format!(
                "  {}  {}\n",
                look.paint(Color::DarkGrey, &format!("{offset:>9}")),
                coloured(&marks, look)
            );
        }
        let one = match pages {
            1 => format!("a page of {}", human(self.page_size)),
            pages => format!("{pages} pages, {}", human(pages * self.page_size)),
        };
        let partly = if pages > 1 { ", ░▒▓ partly" } else { "" };
        text + &look
            .paint(Color::DarkGrey, &format!("             █ in memory{partly}, · not; each is {one}"))
            + "\n"
    }

    pub fn json(&self) -> Value {
        let run = |run: &Run| json!({ "offset_bytes": run.offset_bytes, "length_bytes": run.length_bytes, "resident": run.resident });
        json!({
            "page_size": self.page_size,
            "resident_bytes": self.residency.resident_bytes,
            "basis": match self.residency.basis {
                Basis::Object => "object",
                Basis::OwnTouch => "own-touch",
                Basis::OwnTouchHuge => "own-touch-huge",
            },
            "runs": self.residency.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }
}

/// One colour a stretch, not one a mark.
fn coloured(marks: &str, look: Look) -> String {
    let dot = |mark: char| mark == '·';
    let mut text = String::new();
    let mut rest = marks;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|mark| dot(mark) != dot(first)).unwrap_or(rest.len());
        let color = if dot(first) { Color::DarkGrey } else { Color::Green };
        text += &look.paint(color, &rest[..end]);
        rest = &rest[end..];
    }
    text
}
