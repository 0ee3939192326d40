//! Mappings of the processes of a cell: how many there are, and how large the shared anonymous ones are.
//!
//! What of a shared mapping is resident can be hidden from the counts of every process, with
//! `MADV_DONTNEED`, and stays in memory as long as the mapping is there. Its size cannot be hidden.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use crate::budget::Budget;
use crate::tree::is_gone;

/// How the kernel names files in memory that nothing but mappings and descriptors leads to: shared
/// anonymous memory, memory files, and System V's segments.
const NAMES: [&str; 3] = ["/dev/zero (deleted)", "/memfd:", "/SYSV"];
const READ_BYTES: usize = 64 << 10;
/// Lines between two looks at the clock: some hundred microseconds.
const LINES: u64 = 256;

/// What was seen so far, over all processes. It ends where it knows enough.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    pub count: u64,
    /// Whether some are missing: there was no time for them, or they could not be read.
    pub is_incomplete: bool,
    /// The end of the furthest mapping of each such file, which is as large as that at least.
    ends: HashMap<u64, u64>,
    /// Of processes whose mappings cannot be read: all that could be shared.
    pub unread_bytes: u64,
}

impl Mappings {
    /// Counts those of a process, and stops when there are more than `most` of all or the budget is spent.
    /// One that is gone has none.
    pub fn add(&mut self, process: i32, most: u64, budget: &Budget) -> io::Result<()> {
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
            // Most have no name.
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

/// Of a line about such a file, the file's number and where in it the mapping ends:
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
    fn a_shared_mapping_counts_as_a_whole_and_once() {
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
            seen.add(me, u64::MAX, &Budget::new()).expect("it is us");
        }
        assert!(seen.count > 20, "{seen:?}");
        seen.ends = HashMap::from([(1, 10), (2, 5)]);
        seen.unread_bytes = 3;
        assert_eq!(seen.shared_bytes(), 18);
    }

    #[test]
    fn counting_ends_where_there_are_too_many() {
        let mut seen = Mappings::default();
        seen.add(std::process::id().cast_signed(), 5, &Budget::new()).expect("it is us");
        assert_eq!(seen.count, 6);
        seen.add(i32::MAX, 50, &Budget::new()).expect("it is gone");
        assert_eq!((seen.count, seen.is_incomplete), (6, false));
    }

    #[test]
    fn counting_ends_when_its_time_is_over_and_says_so() {
        let (me, none) = (std::process::id().cast_signed(), Duration::ZERO);
        let mut seen = Mappings::default();
        while !seen.is_incomplete {
            seen.add(me, u64::MAX, &Budget::of(none, none)).expect("it is us");
            assert!(seen.count <= LINES, "{seen:?}");
        }
    }
}
