//! Memory mappings of the processes of a cell: their number, and the size of the shared anonymous ones.
//!
//! With `MADV_DONTNEED` a process can remove pages of a shared mapping from the counters of every process,
//! while they stay in memory as long as the mapping exists. The size of the mapping cannot be hidden.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use crate::meter::budget::TimeBudget;
use crate::process::tree::is_gone;

/// The kernel's names of files in memory that have no path: shared anonymous memory, memory files and System
/// V segments.
const NAMES: [&str; 3] = ["/dev/zero (deleted)", "/memfd:", "/SYSV"];
const READ_BYTES: usize = 64 << 10;
/// Lines between two checks of the clock: some hundred microseconds.
const LINES: u64 = 256;

/// Counts over all processes. Counting stops once the limit is exceeded.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    pub count: u64,
    /// Whether some are missing, because the time was over or they could not be read.
    pub is_incomplete: bool,
    /// The highest mapped offset of each such file: a lower bound of its size.
    ends: HashMap<u64, u64>,
    /// Upper bound of the shared memory of processes whose mappings cannot be read.
    pub unread_bytes: u64,
}

impl Mappings {
    /// Counts the mappings of a process. Stops when the total exceeds `most` or the budget is spent. A process
    /// that has ended has none.
    pub fn add(&mut self, process: i32, most: u64, budget: &TimeBudget) -> io::Result<()> {
        let file = match File::open(format!("/proc/{process}/maps")) {
            Err(error) if is_gone(&error) => return Ok(()),
            file => file?,
        };
        let mut file = BufReader::with_capacity(READ_BYTES, file);
        let mut line = Vec::new();
        while self.count <= most {
            line.clear();
            match file.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Err(error) if is_gone(&error) => break,
                read => read?,
            };
            self.count += 1;
            if self.count.is_multiple_of(LINES) && budget.is_spent() {
                self.is_incomplete = true;
                break;
            }
            // Most mappings have no name.
            if line.contains(&b'/')
                && let Some((inode, end)) = shared(&String::from_utf8_lossy(&line))
            {
                let known = self.ends.entry(inode).or_default();
                *known = end.max(*known);
            }
        }
        Ok(())
    }

    pub fn shared_bytes(&self) -> u64 {
        let known = self.ends.values().fold(0, |sum: u64, end| sum.saturating_add(*end));
        known.saturating_add(self.unread_bytes)
    }
}

/// Returns the inode and the end offset of a mapping of such a file:
/// `7f10-7f20 rw-s 00001000 00:01 1026  /dev/zero (deleted)`.
fn shared(line: &str) -> Option<(u64, u64)> {
    let named = NAMES.iter().filter_map(|name| line.find(&format!(" {name}"))).min()?;
    let mut words = line[..named].split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let length = number(to)?.saturating_sub(number(from)?);
    let offset = number(words.nth(1)?)?;
    let inode = words.nth(1)?.parse().ok()?;
    Some((inode, offset.saturating_add(length)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shared_mapping_counts_in_full_and_once() {
        for (line, wanted) in [
            (
                "7f1000-7f3000 rw-s 00001000 00:01 1026   /dev/zero (deleted)\n",
                Some((1026, 0x3000)),
            ),
            ("7f1000-7f3000 rw-s 00000000 00:01 7    /memfd:x (deleted)\n", Some((7, 0x2000))),
            ("7f1000-7f3000 rw-s 00000000 00:01 9    /SYSV00000000 (deleted)\n", Some((9, 0x2000))),
            ("7f1000-7f3000 rw-p 00000000 00:00 0 \n", None),
            ("7f1000-7f3000 r--p 00000000 fe:00 77   /usr/lib/x.so\n", None),
            ("7f1000 /dev/zero (deleted)\n", None),
        ] {
            assert_eq!(shared(line), wanted, "{line}");
        }
        let mut seen = Mappings::default();
        let me = std::process::id().cast_signed();
        for _ in 0..2 {
            seen.add(me, u64::MAX, &TimeBudget::new()).expect("it is us");
        }
        assert!(seen.count > 20, "{seen:?}");
        seen.ends = HashMap::from([(1, 10), (2, 5)]);
        seen.unread_bytes = 3;
        assert_eq!(seen.shared_bytes(), 18);
    }

    #[test]
    fn counting_stops_beyond_the_limit() {
        let mut seen = Mappings::default();
        seen.add(std::process::id().cast_signed(), 5, &TimeBudget::new()).expect("it is us");
        assert_eq!(seen.count, 6);
        seen.add(i32::MAX, 50, &TimeBudget::new()).expect("it is gone");
        assert_eq!((seen.count, seen.is_incomplete), (6, false));
    }

    #[test]
    fn counting_stops_when_the_budget_is_spent_and_reports_it() {
        let (me, none) = (std::process::id().cast_signed(), Duration::ZERO);
        let mut seen = Mappings::default();
        while !seen.is_incomplete {
            seen.add(me, u64::MAX, &TimeBudget::of(none, none)).expect("it is us");
            assert!(seen.count <= LINES, "{seen:?}");
        }
    }
}
