//! What nobody holds, and its removal.

use std::io;

use comfy_table::{Cell, Color};
use serde_json::{json, Value};
use shmkit::inspect::{self, Leftover, Leftovers, Object, Survey};

use crate::cli::Clean;
use crate::objects::{self, id, kind, name, user};
use crate::out::{self, number, Look, Rows};
use crate::size::human;
use crate::text::count;
use crate::Answer;

/// What is done with one: nothing yet, or why it was not.
type Outcome = Result<(), String>;

pub fn run(arguments: &Clean) -> Answer {
    let left = inspect::leftovers();
    out::tell_gaps(&left.gaps);
    let look = Look::of_stdout();
    let look_only = || act(&left, |found| found.check());
    let mut outcomes = if arguments.yes { act(&left, |found| found.remove()) } else { look_only() };
    let mut removed = arguments.yes;
    if !arguments.json.json && !arguments.yes {
        out::print(&table(&left, &outcomes, "can be removed", look))?;
        let possible = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        if arguments.ask && possible > 0 {
            out::print(&format!("Remove {}? [y/N] ", count(possible, "object")))?;
            removed = is_yes()?;
        } else if possible > 0 {
            out::print("nothing was removed: --yes or --ask does it\n")?;
        }
        if !removed {
            return Ok(true);
        }
        outcomes = act(&left, |found| found.remove());
    }
    if arguments.json.json {
        out::print_json(&json(&left, &outcomes, removed))?;
    } else {
        out::print(&table(&left, &outcomes, "removed", look))?;
    }
    Ok(!removed || outcomes.iter().all(|outcome| outcome.is_ok()))
}

fn act(left: &Leftovers, each: impl Fn(&Leftover) -> shmkit::Result<()>) -> Vec<Outcome> {
    left.found.iter().map(|found| each(found).map_err(|error| error.to_string())).collect()
}

fn is_yes() -> io::Result<bool> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_lowercase().as_str()))
}

fn reasons(found: &Leftover) -> String {
    let reasons: Vec<_> = found.reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

/// What can be or was removed, and below it, in full, why the rest was not.
fn table(left: &Leftovers, outcomes: &[Outcome], done: &str, look: Look) -> String {
    let all = || left.found.iter().zip(outcomes);
    let mut rows = Rows::new(look, &["KIND", "ID", "NAME", "SIZE", "OWNER", "WHY"], &[2, 5]);
    for (found, _) in all().filter(|(_, outcome)| outcome.is_ok()) {
        let object = &found.object;
        rows.add(vec![
            Cell::new(kind(object.kind)),
            number(id(object)),
            Cell::new(name(object)),
            number(object.size_bytes.map_or(String::new(), human)),
            Cell::new(object.owner.map_or(String::new(), |owner| user(owner.uid))),
            Cell::new(reasons(found)),
        ]);
    }
    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    let mut text = if good > 0 { rows.text(0) } else { String::new() };
    for why in all().filter_map(|(_, outcome)| outcome.as_ref().err()) {
        text += &format!("{} {why}\n", look.paint(Color::Yellow, "refused:"));
    }
    for (object, why) in &left.undecided {
        text += &format!("{} {object}: {why}\n", look.paint(Color::Yellow, "undecided:"));
    }
    let used = all().filter(|(_, outcome)| outcome.is_ok()).filter_map(|(found, _)| found.object.used_bytes);
    let bytes = human(used.fold(0, u64::saturating_add));
    match good {
        0 => text + &format!("nothing {}\n", if done == "removed" { "was removed" } else { "is left over" }),
        good => text + &format!("{} {done}, {bytes} of memory\n", count(good, "object")),
    }
}

fn json(left: &Leftovers, outcomes: &[Outcome], removed: bool) -> Value {
    let none = Survey::default();
    let of = |object: &Object| objects::json(object, &none);
    let found = left.found.iter().zip(outcomes).map(|(found, outcome)| {
        let mut answer = of(&found.object);
        answer["reasons"] = found.reasons.iter().map(ToString::to_string).collect();
        answer["removed_now"] = (removed && outcome.is_ok()).into();
        answer["refused"] = outcome.as_ref().err().cloned().into();
        answer
    });
    let undecided = left.undecided.iter().map(|(object, why)| {
        let mut answer = of(object);
        answer["undecided"] = why.as_str().into();
        answer
    });
    let answer = json!({
        "dry_run": !removed,
        "leftovers": found.collect::<Vec<_>>(),
        "undecided": undecided.collect::<Vec<_>>(),
    });
    out::with_gaps(answer, &left.gaps)
}
