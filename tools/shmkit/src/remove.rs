//! One object is removed, under the identity that it was found with.

use shmkit::inspect::{Leftover, ObjectKind};

use crate::cli::Remove;
use crate::text::printable;
use crate::{find, objects, out, Answer};

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
    if !objects::has_holders(&object) {
        let option = if object.kind == ObjectKind::Queue { "-q" } else { "-s" };
        let remedy = format!("ipcrm {option} {} removes it unasked", objects::id(&object));
        return Err(format!("cannot remove {object}: the kernel does not tell who uses it; {remedy}").into());
    }
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
