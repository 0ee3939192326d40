//! Version 1: a tree for each controller.

use std::path::PathBuf;

use protocol::CellLimits;

use super::{HostGroups, LEFT_BYTES, Parent, Version, below, memory_limit};

/// One page, the least that the kernel accepts.
const SWAP_BYTES: u64 = 4096;

pub(super) struct V1;

impl Version for V1 {
    fn parents(&self, host: &HostGroups, limits: &CellLimits) -> Result<Vec<Parent>, String> {
        Ok(vec![
            Parent {
                folder: folder(host, "memory")?,
                settings: vec![
                    ("memory.limit_in_bytes", memory_limit(limits).to_string()),
                    // One page more with swap, so that the limit on memory is reached first.
                    (
                        "memory.memsw.limit_in_bytes",
                        (memory_limit(limits) + SWAP_BYTES).to_string(),
                    ),
                ],
                counters: &[("memory.failcnt", ""), ("memory.oom_control", "oom_kill ")],
                leftovers: &[("memory.usage_in_bytes", LEFT_BYTES)],
            },
            Parent {
                folder: folder(host, "pids")?,
                settings: vec![("pids.max", (limits.threads + 1).to_string())],
                counters: &[],
                leftovers: &[("pids.current", 0)],
            },
        ])
    }

    fn own_kill_counter(&self, host: &HostGroups) -> Option<PathBuf> {
        Some(folder(host, "memory").ok()?.join("memory.oom_control"))
    }
}

/// The folder of this process in the tree of this controller.
fn folder(host: &HostGroups, controller: &str) -> Result<PathBuf, String> {
    let root = host.mounted("cgroup", controller);
    let root = root.ok_or(format!("cgroup controller {controller} is not mounted"))?;
    let path = host.groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    Ok(below(&root, path.unwrap_or("/")))
}
