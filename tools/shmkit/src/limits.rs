//! The limits that shared memory meets.

use comfy_table::{Cell, Color};
use serde_json::{json, Map, Value as JsonValue};
use shmkit::inspect::{Limit, Limits, Unit, Value};

use crate::cli::Json;
use crate::out::{self, number, Look, Rows};
use crate::size::human;
use crate::Answer;

/// Above is nothing that a machine could have: the kernel's own "no limit" for segments is a little below 2^64.
const MOST: u64 = i64::MAX as u64;

pub fn run(arguments: &Json) -> Answer {
    let limits = Limits::read();
    for limit in &limits {
        let used = limit.used.as_ref().and_then(|used| used.as_ref().err());
        for why in limit.value.as_ref().err().into_iter().chain(used) {
            out::say(format_args!("{} is not known: {why}", limit.name));
        }
    }
    if arguments.json {
        let all: Map<_, _> = limits.iter().map(|limit| (limit.name.clone(), json(limit))).collect();
        let complete =
            limits.iter().all(|it| it.value.is_ok() && it.used.as_ref().is_none_or(|it| it.is_ok()));
        out::print_json(&json!({ "limits": all, "complete": complete }))?;
    } else {
        out::print(&table(&limits, Look::of_stdout()))?;
    }
    Ok(true)
}

fn json(limit: &Limit) -> JsonValue {
    let (value, unknown) = match &limit.value {
        Ok(Value::Number(number)) => (json!(number), None),
        Ok(Value::Word(word)) => (json!(word), None),
        Err(why) => (JsonValue::Null, Some(why.to_string())),
    };
    let used = limit.used.as_ref().and_then(|used| used.as_ref().ok());
    let unit = match limit.unit {
        Unit::Bytes => "bytes",
        Unit::Pages => "pages",
        Unit::Count => "count",
        _ => "setting",
    };
    let used_unknown = limit.used.as_ref().and_then(|used| used.as_ref().err()).map(ToString::to_string);
    json!({
        "value": value, "unit": unit, "used": used, "source": limit.source, "unknown": unknown,
        "used_unknown": used_unknown,
    })
}

fn table(limits: &Limits, look: Look) -> String {
    let mut rows = Rows::new(look, &["LIMIT", "VALUE", "USED", "", "WHERE IT IS SET"], &[4]);
    for limit in limits {
        let readable = |value: u64| match limit.unit {
            Unit::Bytes => human(value),
            Unit::Pages => format!("{value} pages"),
            _ => value.to_string(),
        };
        let value = match &limit.value {
            Ok(Value::Number(value)) if limit.unit != Unit::Setting && *value > MOST => {
                Cell::new("unlimited")
            }
            Ok(Value::Number(value)) => Cell::new(readable(*value)),
            Ok(Value::Word(word)) => Cell::new(word),
            Err(_) => Cell::new("unknown").fg(Color::Yellow),
        };
        let used = match &limit.used {
            None => String::new(),
            Some(Ok(used)) => readable(*used),
            Some(Err(_)) => "unknown".to_string(),
        };
        rows.add(vec![
            Cell::new(&limit.name),
            value.set_alignment(comfy_table::CellAlignment::Right),
            number(used),
            share(limit),
            Cell::new(&limit.source),
        ]);
    }
    rows.text(0)
}

/// How full it is.
fn share(limit: &Limit) -> Cell {
    let (Some(Ok(used)), Some(all @ 1..=MOST)) = (&limit.used, limit.number()) else {
        return Cell::new("");
    };
    let percent = u128::from(*used) * 100 / u128::from(all);
    let cell = number(format!("{percent}%"));
    match percent {
        90.. => cell.fg(Color::Red),
        70.. => cell.fg(Color::Yellow),
        _ => cell,
    }
}
