//! Memory of a cell as a whole: of all its processes together, looked at from outside.
//!
//! A resource limit holds for each process alone, and a cell may have many. So while a run lasts,
//! their sum is looked at again and again, and a run that has more than its limit is stopped. What
//! processes share counts once, and of what they share with the zygote each cell bears its part.

use std::fs;
use std::time::{Duration, Instant};

/// Between two looks. A run that is over before the first one costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A look at many processes takes a while; it may take this part of the time, and no more.
const SHARE_OF_TIME: u32 = 10;

/// Returns when the processes below these have more than `limit` bytes. Never on a system that does
/// not tell.
pub async fn exceeds(roots: [Option<i32>; 2], limit: u64) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        // Reading these files can take milliseconds each.
        let look = tokio::task::spawn_blocking(move || used(roots.into_iter().flatten().collect()));
        if look.await.is_ok_and(|bytes| bytes > limit) {
            return;
        }
        pause = LOOK_EVERY.max(began.elapsed() * SHARE_OF_TIME);
    }
}

/// Bytes of all processes below and with these.
fn used(mut processes: Vec<i32>) -> u64 {
    let mut next = 0;
    let mut bytes = 0;
    while let Some(&process) = processes.get(next) {
        next += 1;
        bytes += own(process).unwrap_or(0);
        processes.extend(children(process));
    }
    bytes
}

/// A process that has just ended has nothing.
fn own(process: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let kib = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Some((kib("Pss_Anon:") + kib("Pss_Shmem:")) << 10)
}

/// Children of all threads. What lost its parent is a child of init by now.
fn children(process: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_its_children_are_found() {
        let me = i32::try_from(std::process::id()).expect("Linux has smaller numbers");
        let held = vec![1u8; 50 << 20];
        assert!(own(me).expect("it runs") > 50 << 20);
        drop(held);
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        let id = i32::try_from(child.id()).expect("Linux has smaller numbers");
        assert!(children(me).contains(&id));
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        assert_eq!(own(id), None);
    }
}
