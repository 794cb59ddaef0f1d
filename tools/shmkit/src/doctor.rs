//! The traps of this machine.

use comfy_table::Color;
use serde_json::{json, Value};
use shmkit::inspect::{self, Applies, Trap};

use crate::cli::Doctor;
use crate::out::{self, Look};
use crate::text::{count, wrap};
use crate::Answer;

pub fn run(arguments: &Doctor) -> Answer {
    let traps = inspect::traps();
    let some = traps.iter().any(|trap| trap.applies == Applies::Yes);
    if arguments.json.json {
        let all: Value = traps.iter().map(json).collect();
        let complete = traps.iter().all(|trap| trap.applies != Applies::Unknown);
        out::print_json(&json!({ "traps": all, "complete": complete }))?;
    } else {
        out::print(&text(&traps, arguments.all, Look::of_stdout()))?;
    }
    Ok(!some)
}

fn json(trap: &Trap) -> Value {
    let applies = match trap.applies {
        Applies::Yes => json!(true),
        Applies::No => json!(false),
        Applies::Unknown => Value::Null,
    };
    json!({ "name": trap.name, "applies": applies, "sentence": trap.sentence, "remedy": trap.remedy })
}

fn text(traps: &[Trap], all: bool, look: Look) -> String {
    let mut text = String::new();
    let of = |applies: Applies| traps.iter().filter(move |trap| trap.applies == applies);
    for trap in of(Applies::Yes) {
        text += &format!("{}\n{}", look.paint(Color::Yellow, trap.name), wrap(&trap.sentence, 2, look.width));
        text += &(wrap(&format!("Remedy: {}", trap.remedy), 2, look.width) + "\n");
    }
    for trap in of(Applies::Unknown) {
        let sentence = format!("It cannot be told whether this applies: {}", trap.sentence);
        text += &format!("{}\n{}\n", trap.name, wrap(&sentence, 2, look.width));
    }
    if all {
        for trap in of(Applies::No) {
            let name = look.paint(Color::Green, trap.name);
            text += &format!("{name} does not apply\n{}\n", wrap(&trap.sentence, 2, look.width));
        }
    }
    let (yes, unknown) = (of(Applies::Yes).count() as u64, of(Applies::Unknown).count() as u64);
    let verb = if yes == 1 { "applies" } else { "apply" };
    text += &format!("{} of {} {verb} here", yes, count(traps.len() as u64, "known trap"));
    if unknown > 0 {
        text += &format!(", {unknown} cannot be told");
    }
    text + "\n"
}
