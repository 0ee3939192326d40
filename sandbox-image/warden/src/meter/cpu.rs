//! Processor time of a cell.

use std::collections::HashMap;
use std::time::Duration;

use crate::tree::Member;

/// Processor time of all processes that there ever were. The kernel adds the time of one that is
/// gone to its parent's, if the parent waited for it; of the others we know what was seen last. The
/// larger sum of the two is nearer the truth, and never beyond it.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) total: Duration,
    seen: HashMap<i32, Duration>,
    /// Of those that were seen and are gone.
    gone: Duration,
}

impl Cpu {
    pub(super) fn add(&mut self, members: &[Member]) -> Duration {
        let mut before = std::mem::take(&mut self.seen);
        for member in members {
            // A number that comes again with less time is another process.
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

    /// Number, own seconds, and those of children that were waited for.
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
    fn processor_time_of_those_that_are_gone_counts_once_whether_they_were_waited_for_or_not() {
        let mut cpu = Cpu::default();
        // Number, own seconds and those of children that were waited for; and the sum.
        let mut look = |members: &[Row], total| {
            let found = cpu.add(&seconds(members));
            assert_eq!(found, Duration::from_secs(total), "{members:?}");
        };
        look(&[(2, 1, 0)], 1);
        look(&[(2, 1, 0), (3, 4, 0)], 5);
        look(&[(2, 2, 5)], 7); // 3 had another second after it was seen
        look(&[(2, 2, 5), (4, 1, 0)], 8);
        look(&[(2, 2, 5)], 8); // 4 is gone, and nobody waited for it
        look(&[(2, 3, 5), (4, 0, 0)], 8); // another 4
        look(&[], 8);
    }
}
