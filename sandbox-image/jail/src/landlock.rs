//! Landlock: a second opinion on files, and the only one on abstract sockets and signals. Holds
//! without any namespace.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::error::{Doing, JailError};
use crate::report::LayerReport;
use crate::spec::WORKSPACE;

/// The newest ABI that is asked for; an older kernel gives what it has.
const WANTED: ABI = ABI::V6;

pub(crate) fn confine() -> Result<LayerReport, JailError> {
    let read = AccessFs::from_read(WANTED);
    // Nothing is ever executed from where the code can write.
    let write = AccessFs::from_all(WANTED)
        & !AccessFs::Execute
        & !AccessFs::MakeChar
        & !AccessFs::MakeBlock;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let rules = [
        ("/", read),
        (WORKSPACE, write),
        ("/tmp", write),
        ("/dev/shm", write),
        ("/dev/null", device),
        ("/dev/zero", device),
        ("/dev/full", device),
        ("/dev/random", device),
        ("/dev/urandom", device),
    ];
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)))
        .and_then(Ruleset::create)
        .doing("making", "the Landlock ruleset")?;
    for (path, access) in rules {
        let beneath = PathFd::new(path).doing("opening", path)?;
        ruleset = ruleset.add_rule(PathBeneath::new(beneath, access)).doing("allowing", path)?;
    }
    let status = ruleset.restrict_self().doing("entering", "Landlock")?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => {
            LayerReport::new("landlock", true, "files, TCP, abstract sockets and signals")
        }
        RulesetStatus::PartiallyEnforced => LayerReport::new(
            "landlock",
            true,
            "in part: this kernel is older than 6.12, which has signals and abstract sockets too",
        ),
        RulesetStatus::NotEnforced => LayerReport::new(
            "landlock",
            false,
            "this kernel has none, or it is off: boot with `landlock` in `lsm=`, Linux 5.13 or newer",
        ),
    })
}
