//! One object is removed, under the identity that it was found with.

use shmkit::inspect::Leftover;

use crate::cli::Remove;
use crate::text::printable;
use crate::{find, out, Answer};

pub fn run(arguments: &Remove) -> Answer {
    let survey = find::objects(&arguments.target, &arguments.kinds);
    let word = printable(&arguments.target);
    let object = match &survey.objects[..] {
        [] => {
            out::tell_gaps(&survey.gaps);
            return Err(format!("nothing here is called {word}").into());
        }
        [object] => object.clone(),
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            return Err(
                format!("{word} may be {}: say which by --kind, or by its id", names.join(", ")).into()
            );
        }
    };
    let removed = object.to_string();
    let found = Leftover { object, reasons: Vec::new() };
    if arguments.force {
        found.remove_in_use()?;
    } else {
        found.remove()?;
    }
    out::print(&format!("removed {removed}\n"))?;
    Ok(true)
}
