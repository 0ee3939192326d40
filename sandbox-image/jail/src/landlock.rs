//! Landlock: a second check on files, and the only one on abstract sockets and signals. Works without
//! namespaces.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::error::{Context, JailError};
use crate::root::host_root;
use crate::spec::{RootFs, WORKSPACE};

/// The newest ABI that is requested; an older kernel enforces the part that it supports.
const WANTED: ABI = ABI::V6;

/// Lets the code read Python and write in its folder, and denies all other file access. Returns a
/// description of what this kernel enforces, which may be nothing.
pub(crate) fn confine(
    root_fs: &RootFs,
    folder: Option<BorrowedFd<'_>>,
) -> Result<String, JailError> {
    let read = AccessFs::from_read(WANTED);
    // Code cannot execute files in places where it can write.
    let write = AccessFs::from_all(WANTED)
        & !AccessFs::Execute
        & !AccessFs::MakeChar
        & !AccessFs::MakeBlock;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut rules: Vec<_> = host_root::devices().map(|path| (path, device)).collect();
    match root_fs {
        RootFs::Private => {
            rules.push(("/".into(), read));
            rules.extend([WORKSPACE, "/tmp", "/dev/shm"].map(|path| (path.into(), write)));
        }
        RootFs::Host { python, ours, .. } => {
            rules.extend(host_root::readable(python, ours)?.into_iter().map(|path| (path, read)));
            rules.push((
                host_root::SHARED_MEMORY.into(),
                device | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate,
            ));
        }
    }
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)))
        .and_then(Ruleset::create)
        .doing("making", "the Landlock ruleset")?;
    let of_a_file = AccessFs::from_file(WANTED);
    for (path, access) in rules {
        let what = path.display().to_string();
        let access = if path.is_dir() { access } else { access & of_a_file };
        let beneath = PathFd::new(&path).doing("opening", &what)?;
        ruleset = ruleset.add_rule(PathBeneath::new(beneath, access)).doing("allowing", &what)?;
    }
    if let Some(folder) = folder {
        let rule = PathBeneath::new(folder, write);
        ruleset = ruleset.add_rule(rule).doing("allowing", "the cell's folder")?;
    }
    let status = ruleset.restrict_self().doing("entering", "Landlock")?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "files, TCP, abstract sockets and signals",
        RulesetStatus::PartiallyEnforced => {
            "in part: this kernel is older than 6.12, which has signals and abstract sockets too"
        }
        RulesetStatus::NotEnforced => {
            "this kernel has none, or it is off: boot with `landlock` in `lsm=`, Linux 5.13 or newer, \
             and a container engine that lets it through"
        }
    }
    .to_owned())
}
