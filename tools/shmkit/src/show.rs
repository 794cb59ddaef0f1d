//! One object, or those of a process.

use std::fs;

use serde_json::{json, Value};
use shmkit::inspect::{Gap, Object, ObjectKind, Survey};

use crate::cli::Show;
use crate::find::{self, Found};
use crate::objects::{self, user};
use crate::out::{self, Look};
use crate::pages::{self, Pages};
use crate::size::human;
use crate::text::{ago, count, exact, printable, why};
use crate::{holders, svg, Answer};

/// Lines of a picture.
const LINES: u64 = 16;

pub fn run(arguments: &Show) -> Answer {
    let target = &arguments.target;
    let found = find::anything(&target.target, &target.kinds);
    let gaps = found.gaps();
    out::tell_gaps(&gaps);
    match (&found.refused, found.is_empty()) {
        (Some(why), _) => out::say(why),
        (None, true) => out::say(format_args!("nothing here is called {}", printable(&target.target))),
        (None, false) => {}
    }
    if found.is_empty() {
        if arguments.json.json {
            out::print_json(&out::with_gaps(found.json(), &gaps))?;
        }
        return Ok(false);
    }
    if let Some(path) = &arguments.svg {
        let drawn = found
            .all()
            .filter_map(|(object, survey)| Some((title(object), pages::of(object, survey)?.ok()?)));
        let drawn: Vec<(String, Pages)> = drawn.collect();
        if drawn.is_empty() {
            return Err("nothing to draw: the pages of none of these can be told".into());
        }
        fs::write(path, svg::draw(&drawn))
            .map_err(|error| format!("cannot write {}: {}", printable(path.as_os_str()), why(&error)))?;
    }
    if arguments.json.json {
        out::print_json(&out::with_gaps(found.json(), &gaps))?;
    } else {
        out::print(&found.text(Look::of_stdout(), LINES))?;
    }
    Ok(true)
}

impl Found {
    fn surveys(&self) -> impl Iterator<Item = &Survey> {
        std::iter::once(&self.objects).chain(&self.process)
    }

    /// The objects, each with the survey that has its holders.
    pub fn all(&self) -> impl Iterator<Item = (&Object, &Survey)> {
        self.surveys().flat_map(|survey| survey.objects.iter().map(move |object| (object, survey)))
    }

    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = self.surveys().flat_map(|survey| &survey.gaps).cloned().collect();
        gaps.dedup();
        gaps
    }

    pub fn text(&self, look: Look, lines: u64) -> String {
        let section = |survey: &Survey, lines| {
            let each = survey.objects.iter().map(|object| one(object, survey, look, lines));
            each.collect::<Vec<_>>().join("\n")
        };
        let mut text = section(&self.objects, lines);
        if let Some(survey) = &self.process {
            let process = &survey.processes[0];
            let who = process.uid.map_or(String::new(), |uid| format!(", of {}", user(uid)));
            let heading = format!("process {} {}{who}", process.pid, printable(&process.command));
            let gap = if text.is_empty() { "" } else { "\n" };
            let objects = count(survey.objects.len() as u64, "shared object");
            text += &format!("{gap}{}: {objects}\n\n{}", look.bold(&heading), section(survey, 4.min(lines)));
        }
        text
    }

    fn json(&self) -> Value {
        let all = |survey: &Survey| -> Value {
            let object = |object: &Object| {
                let mut answer = objects::json(object, survey);
                for (at, holder) in object.holders.iter().enumerate() {
                    answer["holders"][at]["usage"] = holders::usage_json(holder, survey);
                }
                (answer["residency"], answer["residency_unknown"]) = match pages::of(object, survey) {
                    None => (Value::Null, Value::Null),
                    Some(Ok(pages)) => (pages.json(), Value::Null),
                    Some(Err(why)) => (Value::Null, why.into()),
                };
                answer
            };
            survey.objects.iter().map(object).collect()
        };
        let process = self.process.as_ref().map(|survey| {
            let process = &survey.processes[0];
            json!({
                "pid": process.pid,
                "command": exact(&process.command),
                "uid": process.uid,
                "started_at": process.started_at,
                "objects": all(survey),
            })
        });
        json!({ "objects": all(&self.objects), "process": process })
    }
}

fn title(object: &Object) -> String {
    let what = match object.kind {
        ObjectKind::Segment => "System V segment",
        ObjectKind::Semaphores => "System V semaphore set",
        ObjectKind::Queue => "System V queue",
        ObjectKind::Posix => "POSIX object",
        ObjectKind::NamedSemaphore => "named semaphore",
        ObjectKind::Memfd => "memfd",
        ObjectKind::Anonymous => "anonymous memory",
        _ => "file",
    };
    match (object.id, &object.name) {
        (Some(id), _) => format!("{what} {id}, key {}", objects::name(object)),
        (None, Some(name)) => format!("{what} {}", printable(name)),
        (None, None) => format!("{what}, inode {}", objects::id(object)),
    }
}

fn one(object: &Object, survey: &Survey, look: Look, lines: u64) -> String {
    let mut text = look.bold(&title(object)) + "\n";
    let mut line = |name: &str, value: String| text += &format!("  {name:<9} {value}\n");
    if let Some(size) = object.size_bytes {
        let exact = if size < 1024 { String::new() } else { format!(" ({size} bytes)") };
        line("size", format!("{}{exact}", human(size)));
    }
    if let Some(used) = object.used_bytes {
        let swapped = object.swapped_bytes.filter(|&swapped| swapped > 0);
        line("in use", human(used) + &swapped.map_or(String::new(), |it| format!(", {} swapped", human(it))));
    }
    match (object.count, object.kind) {
        (Some(number), ObjectKind::Queue) => line("messages", number.to_string()),
        (Some(number), _) => line("count", count(number, "semaphore")),
        _ => {}
    }
    if let (Some(owner), Some(mode)) = (object.owner, object.mode) {
        line("owner", format!("{}, group {}, mode {mode:04o}", user(owner.uid), owner.gid));
    }
    let now = objects::now();
    let by = |pid: Option<i32>| match pid {
        Some(pid) if pid > 0 => format!(", by process {pid}"),
        _ => String::new(),
    };
    match (object.created_at, object.creator_pid) {
        (Some(at), _) => line("made", ago(at, now)),
        (None, Some(pid)) if pid > 0 => line("made", format!("by process {pid}")),
        _ => {}
    }
    if let Some(at) = object.modified_at {
        line("written", ago(at, now));
    }
    if object.id.is_some() {
        if let Some(at) = object.used_at {
            line("last used", ago(at, now) + &by(object.last_pid));
        }
        if let Some(at) = object.left_at {
            line("last left", ago(at, now) + &by(object.last_receiver_pid));
        }
        if let Some(at) = object.changed_at {
            line("changed", ago(at, now));
        }
    }
    if let Some(file) = object.file {
        line("inode", format!("{} on device {:#x}", file.inode, file.device));
    }
    if let Some(seals) = object.seals {
        let names: Vec<_> = seals.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        line("seals", if names.is_empty() { "none".to_string() } else { names.join(", ") });
    }
    if objects::is_removed(object) {
        line("removed", "it goes with its last user".to_string());
    }
    if objects::has_holders(object) {
        match (object.holders.is_empty(), objects::unseen(object)) {
            (true, 0) if object.attach_count == Some(0) => line("held by", "nobody".to_string()),
            (true, 0) => line("held by", "nobody that can be seen".to_string()),
            (_, 0) => {}
            (_, unseen) => line("held by", format!("{} that cannot be seen", count(unseen, "attachment"))),
        }
    }
    text += &holders::table(object, survey, look);
    match pages::of(object, survey) {
        None => {}
        Some(Ok(pages)) => text += &format!("  {}\n{}", pages.sentence(), pages.picture(look, lines)),
        Some(Err(why)) => text += &format!("  its pages cannot be told: {why}\n"),
    }
    text
}
