//! Detects the strongest isolation that this machine allows, by building it and running code in a cell that
//! tries to break out. Versions and settings of the kernel decide nothing.

mod host_checks;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use jail::Entered;
use protocol::{Layer, RunOutcome, Tier};
use serde::Deserialize;

use crate::cell::{Cell, RunOrder};
use crate::resources::cgroup::Cgroups;
use crate::resources::uid_pool::Rights;
use crate::zygote::Zygote;
use crate::zygote::kit::Kit;
use crate::zygote::spec::ZygoteSpec;

const TRIAL: &str = include_str!("../../../python/trial.py");
/// Time limit of the trial in milliseconds. It takes about ten.
const TRIAL_MS: u64 = 10_000;

/// The isolation of cells.
#[derive(Debug, Clone)]
pub struct Isolation {
    pub tier: Tier,
    pub layers: Vec<Layer>,
}

/// A way to build a zygote, and the layers that have to hold.
struct Candidate {
    own_root: bool,
    needed: &'static [&'static str],
}

/// Best first.
const CANDIDATES: [Candidate; 2] = [
    Candidate {
        own_root: true,
        needed: &["namespaces", "root", "capabilities", "network", "seccomp", "rlimits"],
    },
    Candidate {
        own_root: false,
        needed: &["users", "capabilities", "network", "seccomp", "rlimits"],
    },
];

/// Tries the candidates in order, and sets the specification to the first that works. The error is the reason
/// why none is as strong as `least`.
pub async fn find(spec: &mut ZygoteSpec, least: Tier) -> anyhow::Result<Isolation> {
    let groups = Cgroups::find(&spec.limits);
    let cgroup = Layer {
        name: "cgroup".into(),
        holds: groups.is_ok(),
        detail: match &groups {
            Ok(_) => "memory and processes of each cell as a whole".to_owned(),
            Err(why) => format!(
                "{why}; cells are sampled twenty times a second instead: their memory limits hold \
                 against accidents, not against intent; see deploy/README.md for control groups"
            ),
        },
    };
    spec.cgroups = groups.ok();
    let mut isolation = build(spec, least).await?;
    isolation.layers.push(cgroup);
    Ok(isolation)
}

async fn build(spec: &mut ZygoteSpec, least: Tier) -> anyhow::Result<Isolation> {
    let [own, shared] = CANDIDATES;
    let why = match attempt(spec, &own).await {
        Ok(isolation) => return strong_enough(isolation, least, None),
        Err(error) => format!("{error:#}"),
    };
    let remedy = host_checks::remedy(Path::new("/proc/sys"));
    ensure!(
        spec.users.is_some(),
        "could not isolate cells: no namespaces ({why}; {remedy}), and no users of their own: the \
         warden lacks CAP_SETUID and CAP_SETGID"
    );
    tracing::warn!(why, remedy, "cells have no namespaces");
    let isolation = attempt(spec, &shared).await;
    let mut isolation =
        isolation.with_context(|| format!("without namespaces ({why}; {remedy})"))?;
    let detail = format!("{why}; {remedy}");
    isolation.layers.insert(0, Layer { name: "namespaces".into(), holds: false, detail });
    strong_enough(isolation, least, Some(remedy))
}

fn strong_enough(
    isolation: Isolation,
    least: Tier,
    remedy: Option<&str>,
) -> anyhow::Result<Isolation> {
    if isolation.tier >= least {
        return Ok(isolation);
    }
    let missing: Vec<_> = isolation
        .layers
        .iter()
        .filter(|layer| !layer.holds)
        .map(|layer| format!("{}: {}", layer.name, layer.detail))
        .collect();
    bail!(
        "isolation is {}, but --min-isolation requires {least}; missing: {}; {}",
        isolation.tier,
        missing.join("; "),
        remedy.unwrap_or_default()
    )
}

/// Builds one cell in this way, and runs the trial in it.
async fn attempt(spec: &mut ZygoteSpec, candidate: &Candidate) -> anyhow::Result<Isolation> {
    spec.own_root = candidate.own_root;
    let rights = Rights::of_this_process();
    // Root that may not mount needs a user namespace, and cannot change its user inside. So it changes the
    // user before, and all cells have that user.
    let first = spec.users.as_ref().and_then(|users| users.take());
    spec.user =
        (candidate.own_root && !rights.mount).then_some(first).flatten().map(|user| user.id());

    let empty = ZygoteSpec { kit: Kit::Empty, warm: false, ..spec.clone() };
    let zygote = Zygote::start(&empty).await?;
    let mut cell = Cell::make(&zygote, spec.limits).await?;
    let mut outside =
        tempfile::NamedTempFile::new_in(&spec.folder).context("could not write a file")?;
    outside.write_all(b"seen").context("could not write a file")?;
    std::fs::set_permissions(outside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let code = format!("OUTSIDE = {}\n{TRIAL}", serde_json::to_string(outside.path())?);
    let ran = cell.run(RunOrder::new(&code, TRIAL_MS)).await;
    let ran = ran.context("could not run the isolation trial")?;
    let output = String::from_utf8_lossy(&ran.stdout.0);
    if ran.finished.outcome != RunOutcome::Ok {
        let why = String::from_utf8_lossy(&ran.stderr.0);
        bail!("the isolation trial ended with {:?}: {output}{why}", ran.finished.outcome);
    }
    judge(candidate, &cell.entered, &output)
}

/// Result of the trial for one layer.
#[derive(Debug, Deserialize)]
struct Tried {
    name: String,
    /// Why the layer does not hold. Empty if it holds.
    why: String,
}

fn judge(candidate: &Candidate, entered: &Entered, output: &str) -> anyhow::Result<Isolation> {
    let mut layers = Vec::new();
    let mut landlock = false;
    for line in output.lines() {
        let Tried { name, why } =
            serde_json::from_str(line).context("invalid line of the isolation trial")?;
        let (needed, holds) = (candidate.needed.contains(&name.as_str()), why.is_empty());
        ensure!(holds || !needed, "{name}: {why}");
        if name == "landlock" {
            landlock = holds;
        } else if !needed {
            continue; // not a layer of this candidate
        }
        let detail = match (&*name, holds) {
            ("landlock", _) => entered.landlock.clone(),
            ("seccomp", _) => entered.seccomp.clone(),
            (_, true) => meaning(&name).to_owned(),
            (_, false) => why,
        };
        layers.push(Layer { name, holds, detail });
    }
    for name in candidate.needed {
        ensure!(layers.iter().any(|layer| layer.name == *name), "{name}: not tested");
    }
    let tier = match (candidate.own_root, landlock) {
        (true, _) => Tier::Namespaced,
        (false, true) => Tier::Landlocked,
        (false, false) => Tier::SeccompOnly,
    };
    Ok(Isolation { tier, layers })
}

/// Description of a layer that holds.
fn meaning(layer: &str) -> &'static str {
    match layer {
        "namespaces" => "user, mount, pid, network, ipc, uts, cgroup",
        "root" => "read-only, contains only Python and its libraries",
        "users" => "a separate one for each cell",
        "capabilities" => "none, and none can be gained",
        "network" => "only local (Unix) sockets",
        "rlimits" => "memory, processes, files, core, stack",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered() -> Entered {
        Entered { landlock: "files".into(), seccomp: "130 calls".into() }
    }

    /// Output of a trial in which these layers do not hold.
    fn trial(broken: &[&str]) -> String {
        let all = [
            "namespaces",
            "root",
            "users",
            "capabilities",
            "network",
            "landlock",
            "seccomp",
            "rlimits",
        ];
        let line = |name: &&str| {
            let why = if broken.contains(name) { "it was not refused" } else { "" };
            format!("{}\n", serde_json::json!({"name": name, "why": why}))
        };
        all.iter().map(line).collect()
    }

    #[test]
    fn the_tier_follows_from_the_layers_that_hold() {
        let [own, shared] = &CANDIDATES;
        let tier = |candidate, broken: &[&str]| {
            judge(candidate, &entered(), &trial(broken)).map(|isolation| isolation.tier).ok()
        };
        assert_eq!(tier(own, &[]), Some(Tier::Namespaced));
        assert_eq!(tier(own, &["users"]), Some(Tier::Namespaced), "users are not a layer of it");
        assert_eq!(tier(own, &["root"]), None);
        assert_eq!(tier(shared, &["namespaces", "root"]), Some(Tier::Landlocked));
        assert_eq!(tier(shared, &["namespaces", "root", "landlock"]), Some(Tier::SeccompOnly));
        assert_eq!(tier(shared, &["seccomp"]), None);
    }

    #[test]
    fn a_trial_without_output_fails() {
        assert!(judge(&CANDIDATES[0], &entered(), "").is_err());
    }

    #[test]
    fn an_insufficient_tier_is_an_error_that_names_missing_layers() {
        let isolation =
            judge(&CANDIDATES[1], &entered(), &trial(&["landlock"])).expect("it is a valid trial");
        assert!(strong_enough(isolation.clone(), Tier::SeccompOnly, None).is_ok());
        let error = strong_enough(isolation, Tier::Landlocked, Some("change this"))
            .expect_err("insufficient");
        let words = error.to_string();
        assert!(words.contains("landlock: files") && words.ends_with("change this"), "{words}");
    }
}
