//! Who has an object, how, and what it takes there.

use comfy_table::Cell;
use serde_json::{json, Value};
use shmkit::inspect::{By, Figures, Holder, Object, Survey, Usage};

use crate::objects::{rights, user};
use crate::out::{number, Look, Rows};
use crate::size::human;
use crate::text::printable;

pub fn table(object: &Object, survey: &Survey, look: Look) -> String {
    if object.holders.is_empty() {
        return String::new();
    }
    let header = ["PID", "PROCESS", "USER", "RIGHTS", "RESIDENT", "ITS PART", "BY"];
    let mut rows = Rows::new(look, &header, &[1, 6]);
    for holder in &object.holders {
        let process = survey.process(holder);
        let by = match holder.by {
            By::Descriptor(descriptor) => format!("descriptor {descriptor}"),
            By::Mapping { start, length_bytes, offset, shared } => {
                let from = if offset > 0 { format!(" from {}", human(offset)) } else { String::new() };
                let private = if shared { "" } else { ", private" };
                format!("mapping at {start:#x}, {}{from}{private}", human(length_bytes))
            }
        };
        let usage = usage(holder, survey);
        let figure =
            |of: fn(&Figures) -> u64| number(usage.as_ref().map_or(String::new(), |it| human(of(it))));
        rows.add(vec![
            number(process.pid),
            Cell::new(printable(&process.command)),
            Cell::new(process.uid.map_or(String::new(), user)),
            Cell::new(rights(holder.rights)),
            figure(|figures| figures.resident),
            figure(|figures| figures.proportional),
            Cell::new(by),
        ]);
    }
    rows.text(2)
}

/// What a holder's mapping takes, where its process may be looked into.
fn usage(holder: &Holder, survey: &Survey) -> Option<Figures> {
    match holder.by {
        By::Descriptor(_) => None,
        By::Mapping { start, length_bytes, .. } => {
            let pid = survey.process(holder).pid;
            Usage::of_process(pid, start, length_bytes).ok().map(|usage| usage.total)
        }
    }
}

pub fn usage_json(holder: &Holder, survey: &Survey) -> Value {
    let Some(figures) = usage(holder, survey) else { return Value::Null };
    json!({
        "size_bytes": figures.size,
        "resident_bytes": figures.resident,
        "proportional_bytes": figures.proportional,
        "shared_clean_bytes": figures.shared_clean,
        "shared_dirty_bytes": figures.shared_dirty,
        "private_clean_bytes": figures.private_clean,
        "private_dirty_bytes": figures.private_dirty,
        "huge_bytes": figures.huge,
        "locked_bytes": figures.locked,
        "swapped_bytes": figures.swapped,
    })
}
