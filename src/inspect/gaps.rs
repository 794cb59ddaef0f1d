//! What a look at the processes could not see, in words.
#![forbid(unsafe_code)]

use std::os::fd::AsFd;

use super::mounts::mounts;
use super::object::{Cause, Object};
use super::survey::{self, Survey};
use crate::error::Code;
use crate::sys::{self, listing, Errno};

/// The inode of the first PID namespace (PROC_PID_INIT_INO of linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xeffffffc;

/// Processes that /proc does not list.
pub(super) fn tell_hidden(survey: &mut Survey) {
    // The last one lies on top.
    let proc = mounts().into_iter().rev().find(|mount| mount.point == b"/proc");
    let hidepid = proc.as_ref().and_then(|mount| mount.option("hidepid"));
    // It hides nothing from root; in a user namespace, where root is no more than another user, process 1 is
    // missing too.
    let seen = sys::own_user() == 0 && survey::place(c"/proc/1").is_ok();
    if let Some(hidepid) = hidepid.filter(|&how| !seen && how != b"0" && how != b"off") {
        let message = format!(
            "/proc is mounted with hidepid={}: processes of other users may be missing",
            String::from_utf8_lossy(hidepid)
        );
        survey.gap(Cause::Hidden, 0, message);
    }
    let own = survey::place(c"/proc/self").and_then(|own| listing::stat(own.as_fd(), c"ns/pid"));
    if own.is_ok_and(|stat| stat.inode != FIRST_PID_NAMESPACE) {
        let message =
            "this process is in a PID namespace of a container: processes outside of it are not seen";
        survey.gap(Cause::PidNamespace, 0, message.to_string());
    }
}

/// Processes that are listed, and denied a look.
pub(super) fn tell_denied(survey: &mut Survey, count: u64) {
    if count > 0 {
        let message =
            format!("processes that may not be looked into, other users' or protected ones: {count}");
        survey.gap(Cause::Permission, count, message);
    }
}

/// Processes that could not be looked at for another reason: too many open files, no memory.
pub(super) fn tell_failed(survey: &mut Survey, errno: Errno, count: u64) {
    let message = format!("processes that could not be looked at ({}): {count}", Code::from(errno));
    survey.gap(Cause::Unreadable, count, message);
}

pub(super) fn tell_unknown_devices(survey: &mut Survey, errno: Errno) {
    let message = format!(
        "memfds, segments and anonymous memory cannot be told from files, because none could be made: {}",
        Code::from(errno)
    );
    survey.gap(Cause::Unreadable, 0, message);
}

/// Objects that were met, and could not be looked at.
pub(super) fn tell_unfollowed(survey: &mut Survey) {
    let unfollowed = |object: &&Object| object.id.is_none() && object.mode.is_none();
    let count = survey.objects.iter().filter(unfollowed).count() as u64;
    if count > 0 {
        let message = format!(
            "objects that are only mapped, whose size, owner and seals are unknown because following \
             /proc/PID/map_files takes CAP_CHECKPOINT_RESTORE: {count}"
        );
        survey.gap(Cause::Unfollowed, count, message);
    }
}

/// Attachments that the kernel counts, beyond those that were seen.
pub(super) fn tell_elsewhere(survey: &mut Survey) {
    let missing = |object: &Object| {
        object.attach_count.map_or(0, |count| count.saturating_sub(object.holders.len() as u64))
    };
    let count = survey.objects.iter().map(missing).fold(0, u64::saturating_add);
    if count > 0 {
        let message = format!(
            "attachments of System V segments by processes that were not seen, of another namespace or user, \
             or ended meanwhile: {count}"
        );
        survey.gap(Cause::Elsewhere, count, message);
    }
}
