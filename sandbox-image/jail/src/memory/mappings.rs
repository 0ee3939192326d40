//! Memory mappings of this process, and which of them are pieces of libraries.

use std::ops::{Range, RangeInclusive};

use super::LARGE;

/// Most bytes of an anonymous mapping between two libraries that moves with them. Larger ones are heaps.
const BETWEEN_BYTES: usize = 4 << 20;

/// One line of `/proc/self/maps`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<usize>,
    /// `r-xp`
    rights: String,
    backing: Backing,
}

#[derive(Debug, PartialEq, Eq)]
enum Backing {
    File(String),
    Anonymous,
    /// Stacks, the heap that the kernel extends, and the kernel's own pages.
    Special,
}

/// The role of a mapping in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunRole {
    Library,
    /// Anonymous memory such as variables without an initial value, which moves only with a library.
    Between,
    Apart,
}

impl Mapping {
    pub(super) fn is_readable(&self) -> bool {
        self.rights.starts_with('r')
    }

    fn role(&self, kept: &[&str]) -> RunRole {
        match &self.backing {
            _ if !self.rights.ends_with('p') => RunRole::Apart,
            Backing::File(path) if !kept.contains(&path.as_str()) => RunRole::Library,
            Backing::Anonymous if self.rights == "rw-p" && self.range.len() <= BETWEEN_BYTES => {
                RunRole::Between
            }
            _ => RunRole::Apart,
        }
    }
}

/// `None` if a line is malformed: what is in that memory is then unknown.
pub(super) fn parse(maps: &str) -> Option<Vec<Mapping>> {
    maps.lines().map(mapping).collect()
}

/// `7f0e94000000-7f0e94021000 r-xp 00000000 fe:00 1573 /usr/lib/libc.so.6`
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let rights = words.next()?.to_owned();
    let inode = words.nth(2)?;
    let name = words.next().unwrap_or_default().trim_start();
    let backing = match name {
        name if inode != "0" => Backing::File(name.to_owned()),
        name if name.is_empty() || name.starts_with("[anon:") => Backing::Anonymous,
        _ => Backing::Special,
    };
    Some(Mapping { range, rights, backing })
}

/// Runs of neighbouring library mappings, as indices. Gaps in a run are smaller than a large page. Mappings
/// with one of the `kept` addresses are in none, nor are others of the same file.
pub(super) fn runs(all: &[Mapping], kept: &[usize]) -> Vec<RangeInclusive<usize>> {
    let is_kept = |one: &&Mapping| kept.iter().any(|address| one.range.contains(address));
    let files: Vec<&str> = all
        .iter()
        .filter(is_kept)
        .filter_map(|one| match &one.backing {
            Backing::File(path) => Some(path.as_str()),
            _ => None,
        })
        .collect();
    let role = |one: &Mapping| if is_kept(&one) { RunRole::Apart } else { one.role(&files) };

    let mut runs = Vec::new();
    let mut first = 0;
    while first < all.len() {
        if role(&all[first]) != RunRole::Library {
            first += 1;
            continue;
        }
        let mut last = first;
        for next in first + 1..all.len() {
            let gap = all[next].range.start - all[next - 1].range.end;
            match role(&all[next]) {
                _ if gap >= LARGE => break,
                RunRole::Library => last = next,
                // Directly behind a library they are its variables.
                RunRole::Between if next == last + 1 && gap == 0 => last = next,
                RunRole::Between => {}
                RunRole::Apart => break,
            }
        }
        runs.push(first..=last);
        first = last + 1;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
10000000-10001000 r--p 00000000 fe:00 11                         /lib/a b.so
10001000-10002000 r-xp 00001000 fe:00 11                         /lib/a b.so
10002000-10003000 rw-p 00002000 fe:00 11                         /lib/a b.so
10003000-10004000 rw-p 00000000 00:00 0 
10005000-10006000 r--p 00000000 fe:00 12                         /lib/c.so
10006000-10007000 rw-p 00000000 00:00 0                          [anon:malloc]
10008000-10009000 rw-p 00000000 00:00 0 
20000000-20001000 r--p 00000000 fe:00 13                         /lib/d.so
20001000-20002000 r-xp 00001000 fe:00 13                         /lib/d.so
20002000-20003000 ---p 00000000 00:00 0 
20003000-20004000 r--p 00000000 fe:00 14                         /lib/e.so
20004000-20005000 rw-s 00000000 fe:00 14                         /lib/e.so
20005000-20006000 r--p 00000000 fe:00 15                         /lib/f.so
20006000-20007000 rw-p 00000000 00:00 0                          [heap]
20007000-20008000 r--p 00000000 fe:00 16                         /lib/g.so
20008000-30008000 rw-p 00000000 00:00 0 
30008000-30009000 r--p 00000000 fe:00 17                         /lib/h.so
30009000-3000a000 r-xp 00001000 fe:00 17                         /lib/h.so
";

    fn found(kept: &[usize]) -> Vec<(usize, usize)> {
        let all = parse(MAPS).expect("it is well-formed");
        let runs = runs(&all, kept).into_iter();
        runs.map(|run| (all[*run.start()].range.start, all[*run.end()].range.end)).collect()
    }

    #[test]
    fn neighbouring_libraries_are_one_run_with_their_variables() {
        // Not across a large gap, a page without permissions, shared memory, the heap or a large allocation.
        let wanted = [
            (0x1000_0000, 0x1000_7000),
            (0x2000_0000, 0x2000_2000),
            (0x2000_3000, 0x2000_4000),
            (0x2000_5000, 0x2000_6000),
            (0x2000_7000, 0x2000_8000),
            (0x3000_8000, 0x3000_a000),
        ];
        assert_eq!(found(&[]), wanted);
    }

    #[test]
    fn a_file_with_an_address_that_is_kept_stays() {
        let all = found(&[]);
        assert_eq!(found(&[0x2000_1234, 0x3000_8000]), [&all[..1], &all[2..5]].concat());
        // Only the mapping itself if it is of no file.
        let without = found(&[0x1000_3fff]);
        assert_eq!(without[..2], [(0x1000_0000, 0x1000_3000), (0x1000_5000, 0x1000_7000)]);
        assert_eq!(without[2..], all[1..]);
    }

    #[test]
    fn a_malformed_line_is_an_error() {
        for line in ["", "1000 r--p 0 0:0 0", "1000-x r--p 0 0:0 0", "1000-2000 r--p 0 0:0"] {
            assert_eq!(parse(&format!("{MAPS}{line}\n")), None, "{line}");
        }
    }
}
