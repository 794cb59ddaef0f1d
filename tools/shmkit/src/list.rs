//! Every shared object, and who holds it.

use serde_json::{json, Value};

use crate::cli::List;
use crate::out::{self, Look};
use crate::{objects, Answer};

pub fn run(arguments: &List) -> Answer {
    let survey = arguments.kinds.survey();
    out::tell_gaps(&survey.gaps);
    if arguments.json.json {
        let all: Value = survey.objects.iter().map(|object| objects::json(object, &survey)).collect();
        out::print_json(&out::with_gaps(json!({ "objects": all }), &survey.gaps))?;
    } else if survey.objects.is_empty() {
        out::print("no shared objects\n")?;
    } else {
        out::print(&objects::table(survey.objects.iter(), &survey, Look::of_stdout()))?;
    }
    Ok(true)
}
