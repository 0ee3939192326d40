//! Version 2: one tree with all controllers.

use std::path::PathBuf;
use std::{fs, io};

use protocol::CellLimits;

use super::{HostGroups, LEFT_BYTES, PREFIX, Parent, Version, below, memory_limit, put};

pub(super) struct V2;

impl Version for V2 {
    /// A group that has child groups cannot have processes of its own, so the warden moves into a group beside
    /// those of its cells.
    fn parents(&self, host: &HostGroups, limits: &CellLimits) -> Result<Vec<Parent>, String> {
        let folder = folder(host)?;
        let failed = |what: &'static str| {
            let place = folder.display().to_string();
            move |error: io::Error| format!("{what} in {place}: {error}")
        };
        let has = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
        if !["memory", "pids"].iter().all(|one| has.split_whitespace().any(|other| other == *one)) {
            return Err(format!(
                "controllers memory and pids are not enabled in {}",
                folder.display()
            ));
        }
        let home = folder.join(format!("{PREFIX}warden"));
        fs::create_dir_all(&home).map_err(failed("could not create a group"))?;
        put(&home.join("cgroup.procs"), &std::process::id().to_string())
            .map_err(failed("could not move the warden"))?;
        put(&folder.join("cgroup.subtree_control"), "+memory +pids")
            .map_err(failed("could not enable controllers"))?;
        Ok(vec![Parent {
            folder,
            settings: vec![
                ("memory.max", memory_limit(limits).to_string()),
                ("memory.swap.max", "0".to_owned()),
                ("memory.oom.group", "1".to_owned()),
                ("pids.max", (limits.threads + 1).to_string()),
            ],
            counters: &[("memory.events", "max "), ("memory.events", "oom_kill ")],
            leftovers: &[("pids.current", 0), ("memory.current", LEFT_BYTES)],
        }])
    }

    fn own_kill_counter(&self, host: &HostGroups) -> Option<PathBuf> {
        Some(folder(host).ok()?.join("memory.events"))
    }
}

/// The folder of this process.
fn folder(host: &HostGroups) -> Result<PathBuf, String> {
    let root = host.mounted("cgroup2", "").ok_or("cgroup2 is not mounted")?;
    let mut lines = host.groups.lines();
    let path = lines.find_map(|line| line.strip_prefix("0::"));
    Ok(below(&root, path.ok_or("this process is not in cgroup2")?))
}
