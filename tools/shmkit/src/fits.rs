//! Whether a region would fit.

use serde_json::json;
use shmkit::inspect::{self, Obstacle};
use shmkit::{Flags, Kind, Options};

use crate::cli::{Fits, Huge, RegionKind};
use crate::size::human;
use crate::{out, Answer};

pub fn run(arguments: &Fits) -> Answer {
    let answer = ask(arguments)?;
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

fn ask(arguments: &Fits) -> Result<Result<(), Obstacle>, String> {
    let mut options = Options { size_max: arguments.grow_to.unwrap_or(0), ..Options::default() };
    options.flags.set(Flags::GROWABLE, arguments.grow_to.is_some());
    options.flags.set(Flags::LOCKED, arguments.locked);
    options.flags.set(Flags::NO_RESERVE, arguments.no_reserve);
    options.flags |= match arguments.huge {
        None => Flags::empty(),
        Some(Huge::Of2M) => Flags::HUGE_2M,
        Some(Huge::Of1G) => Flags::HUGE_1G,
    };
    let kind = match (arguments.kind, &arguments.path) {
        (RegionKind::File | RegionKind::Memfd, Some(path)) => {
            return Ok(inspect::fits_file(path, arguments.size, &options));
        }
        (_, Some(_)) => return Err("--path is for files".to_string()),
        (RegionKind::File, None) => {
            return Err("where the file would be decides: say it by --path".to_string())
        }
        (RegionKind::Memfd, None) => Kind::Memfd,
        (RegionKind::Anonymous, None) => Kind::Anonymous,
        (RegionKind::Posix, None) => Kind::Posix,
        (RegionKind::Sysv, None) => Kind::SysV,
    };
    Ok(inspect::fits(kind, arguments.size, &options))
}
