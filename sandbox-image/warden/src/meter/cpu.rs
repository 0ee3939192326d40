//! CPU time of a cell.

use std::collections::HashMap;
use std::time::Duration;

use crate::process::tree::Member;

/// CPU time of all processes of a cell, ended ones included. The kernel adds the time of an ended process to
/// its parent's, if the parent waited for it; for the others the last sampled value is known. The larger of
/// the two sums is closer to the true value, and never exceeds it.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) total: Duration,
    seen: HashMap<i32, Duration>,
    /// Time of processes that were sampled and have ended.
    gone: Duration,
}

impl Cpu {
    pub(super) fn add(&mut self, members: &[Member]) -> Duration {
        let mut before = std::mem::take(&mut self.seen);
        for member in members {
            // An id that is seen again with less time is another process.
            if before.get(&member.id).is_some_and(|cpu| *cpu <= member.cpu) {
                before.remove(&member.id);
            }
            self.seen.insert(member.id, member.cpu);
        }
        self.gone += before.values().sum();
        let now: Duration = members.iter().map(|member| member.cpu).sum();
        let waited_for: Duration = members.iter().map(|member| member.children_cpu).sum();
        self.total = self.total.max(now + waited_for.max(self.gone));
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Process id, own seconds, and seconds of children that were waited for.
    type Row = (i32, u64, u64);

    fn seconds(members: &[Row]) -> Vec<Member> {
        let member = |&(id, own, children): &Row| Member {
            id,
            threads: 1,
            cpu: Duration::from_secs(own),
            children_cpu: Duration::from_secs(children),
        };
        members.iter().map(member).collect()
    }

    #[test]
    fn cpu_time_of_ended_processes_counts_once_whether_they_were_waited_for_or_not() {
        let mut cpu = Cpu::default();
        // The processes, and the expected sum.
        let mut look = |members: &[Row], total| {
            let found = cpu.add(&seconds(members));
            assert_eq!(found, Duration::from_secs(total), "{members:?}");
        };
        look(&[(2, 1, 0)], 1);
        look(&[(2, 1, 0), (3, 4, 0)], 5);
        look(&[(2, 2, 5)], 7); // 3 had another second after it was seen
        look(&[(2, 2, 5), (4, 1, 0)], 8);
        look(&[(2, 2, 5)], 8); // 4 has ended, and its parent did not wait for it
        look(&[(2, 3, 5), (4, 0, 0)], 8); // another 4
        look(&[], 8);
    }
}
