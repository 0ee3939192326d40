//! The user of a process outside its namespace. A warden with root assigns each cell a user and group
//! of its own; one without root runs all cells as its own user.

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::setgroups;
use rustix::process::{Gid, Uid};

use crate::error::{Context, JailError};

/// Capabilities with which a zygote changes the user of its cells irreversibly.
const NEEDED: [Capability; 3] =
    [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_SETPCAP];

/// Drops root's capabilities except those for changing users. Without capabilities, does nothing.
pub(crate) fn keep_only_changing_them() -> Result<(), JailError> {
    let held = caps::read(None, CapSet::Permitted).doing("reading", "capabilities")?;
    let kept: CapsHashSet = NEEDED.into_iter().filter(|one| held.contains(one)).collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).doing("keeping", "a few capabilities")?;
    }
    caps::clear(None, CapSet::Inheritable).doing("dropping", "what would be handed on")
}

/// Changes to this user, irreversibly, and so loses every capability outside.
///
/// Affects only this thread, as the raw system call does: the caller may be in borrowed memory, where
/// the C library's wrapper would signal other threads.
pub(crate) fn become_user(id: u32) -> Result<(), JailError> {
    // The kernel requires a capability even for this. Without it, an unusable one stays.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        caps::clear(None, CapSet::Bounding).doing("dropping", "what could be had again")?;
    }
    let what = format!("user {id}");
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[]).doing("leaving", "all groups")?;
    rustix::thread::set_thread_res_gid(group, group, group).doing("becoming", &what)?;
    rustix::thread::set_thread_res_uid(user, user, user).doing("becoming", &what)?;
    // Otherwise the kernel would make root the owner of this process's files in `/proc`, its user map among them.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .doing("staying", "readable to itself")
}
