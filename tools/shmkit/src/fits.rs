//! Whether a region would fit.

use serde_json::json;
use shmkit::inspect::{self, Obstacle};
use shmkit::{Flags, Kind, Options};

use crate::cli::{Fits, Huge, RegionKind};
use crate::size::human;
use crate::{out, Answer};

pub fn run(arguments: &Fits) -> Answer {
    let answer = ask(arguments);
    if arguments.json.json {
        let obstacle = answer.as_ref().err().map(|obstacle| {
            json!({
                "message": obstacle.to_string(),
                "error": obstacle.error.code().name().to_string_lossy(),
                "needed": obstacle.needed,
                "limit": obstacle.limit.as_ref().map(|limit| &limit.name),
                "value": obstacle.limit.as_ref().and_then(|limit| limit.number()),
                "source": obstacle.limit.as_ref().map(|limit| &limit.source),
            })
        });
        out::print_json(
            &json!({ "size_bytes": arguments.size, "fits": answer.is_ok(), "obstacle": obstacle }),
        )?;
        return Ok(answer.is_ok());
    }
    match answer {
        Ok(()) => {
            out::print(&format!("{} ({} bytes) would fit\n", human(arguments.size), arguments.size))?;
            Ok(true)
        }
        Err(obstacle) => Err(obstacle.to_string().into()),
    }
}

fn ask(arguments: &Fits) -> Result<(), Obstacle> {
    let mut options = Options { size_max: arguments.grow_to.unwrap_or(0), ..Options::default() };
    options.flags.set(Flags::GROWABLE, arguments.grow_to.is_some());
    options.flags.set(Flags::HUGE_FALLBACK, arguments.huge_fallback);
    options.flags.set(Flags::LOCKED, arguments.locked);
    options.flags.set(Flags::NO_RESERVE, arguments.no_reserve);
    options.flags |= match arguments.huge {
        None => Flags::empty(),
        Some(Huge::Of2M) => Flags::HUGE_2M,
        Some(Huge::Of1G) => Flags::HUGE_1G,
    };
    if let Some(path) = &arguments.path {
        return inspect::fits_file(path, arguments.size, &options);
    }
    let kind = match arguments.kind {
        None | Some(RegionKind::Memfd) => Kind::Memfd,
        Some(RegionKind::Anonymous) => Kind::Anonymous,
        Some(RegionKind::Posix) => Kind::Posix,
        Some(RegionKind::Sysv) => Kind::SysV,
    };
    inspect::fits(kind, arguments.size, &options)
}
