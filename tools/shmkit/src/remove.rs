//! One object is removed, under the identity that it was found with.

use nix::unistd::Uid;
use shmkit::inspect::{Leftover, Object, ObjectKind};
use shmkit::sysv::{Queue, Semaphores};

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
    let removed = object.to_string();
    if objects::has_holders(&object) {
        let found = Leftover { object, reasons: Vec::new() };
        if arguments.force {
            found.remove_in_use()?
        } else {
            found.remove()?
        }
    } else if arguments.force {
        remove_unseen(&object)?;
    } else {
        let why = "the kernel does not tell who uses it; --force removes it all the same";
        return Err(format!("cannot remove {removed}: {why}").into());
    }
    out::print(&format!("removed {removed}\n"))?;
    Ok(true)
}

/// A semaphore set or a queue, if it still is the one that was found.
fn remove_unseen(object: &Object) -> Result<(), Box<dyn std::error::Error>> {
    let (id, creator) = (object.id.unwrap_or(-1), object.creator.map(|creator| creator.uid));
    let found = (object.key, creator, object.changed_at);
    let (set, queue) = (Semaphores::from_id(id), Queue::from_id(id));
    let (now, owner) = if object.kind == ObjectKind::Queue {
        let now = queue.stat()?;
        ((Some(now.key), Some(now.creator_uid), Some(now.changed_at)), now.owner_uid)
    } else {
        let now = set.stat()?;
        ((Some(now.key), Some(now.creator_uid), Some(now.changed_at)), now.owner_uid)
    };
    if now != found {
        return Err(
            format!("cannot remove {object}: it was changed since it was found, or is another one").into()
        );
    }
    if owner != Uid::effective().as_raw() {
        return Err(format!("cannot remove {object}: it belongs to user {owner}").into());
    }
    let removed = if object.kind == ObjectKind::Queue { queue.remove() } else { set.remove() };
    removed.map_err(Into::into)
}
