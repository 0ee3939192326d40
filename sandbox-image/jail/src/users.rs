//! Who a process is outside. A warden that is root gives each cell a user and group that nobody else
//! has; one that is not has only itself to give.

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::setgroups;
use rustix::process::{Gid, Uid};

use crate::error::{Doing, JailError};

/// What a zygote needs to make its cells somebody else, and somebody who can get nothing back.
const NEEDED: [Capability; 3] =
    [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_SETPCAP];

/// Gives up what root can do, but for becoming others. A warden that can do nothing keeps nothing.
pub(crate) fn keep_only_changing_them() -> Result<(), JailError> {
    let held = caps::read(None, CapSet::Permitted).doing("reading", "capabilities")?;
    let kept: CapsHashSet = NEEDED.into_iter().filter(|one| held.contains(one)).collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).doing("keeping", "a few capabilities")?;
    }
    caps::clear(None, CapSet::Inheritable).doing("dropping", "what would be handed on")
}

/// Becomes this user, for good, and loses every capability outside with that.
///
/// Of this thread only, as the kernel does it: the caller may be in borrowed memory, where the
/// library's own call would look for other threads.
pub(crate) fn become_user(id: u32) -> Result<(), JailError> {
    // The kernel asks for a capability even for this, and without it one that nobody can use stays.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        caps::clear(None, CapSet::Bounding).doing("dropping", "what could be had again")?;
    }
    let what = format!("user {id}");
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[]).doing("leaving", "all groups")?;
    rustix::thread::set_thread_res_gid(group, group, group).doing("becoming", &what)?;
    rustix::thread::set_thread_res_uid(user, user, user).doing("becoming", &what)?;
    // Or the kernel would give the files about this process, its user map among them, to root.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .doing("staying", "readable to itself")
}
