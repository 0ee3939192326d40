//! Resource limits (`ulimit`) of this process that are too low for cells. Raised if permitted; otherwise
//! reported at the start, before they make something else fail.

use anyhow::bail;
use protocol::CellLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the warden itself, and of each standby.
const OWN_FILES: u64 = 64;
const FILES_OF_A_STANDBY: u64 = 16;
/// Address space of an interpreter with its libraries, in addition to the memory of its cell.
const LIBRARIES_BYTES: u64 = 4 << 30;
/// Memory that a cell may lock, as the jail sets it.
const LOCKED_BYTES: u64 = 64 << 10;

/// A limit: its option in the shell's `ulimit`, the bytes in one of its units, and the required minimum.
struct Ulimit {
    resource: Resource,
    option: &'static str,
    unit: u64,
    needed: u64,
}

fn required(limits: &CellLimits, standbys: u64) -> [Ulimit; 5] {
    let ulimit = |resource, option, unit, needed| Ulimit { resource, option, unit, needed };
    let files = OWN_FILES.saturating_add(standbys.saturating_mul(FILES_OF_A_STANDBY));
    let space = limits.memory_bytes.saturating_add(LIBRARIES_BYTES);
    [
        ulimit(Resource::Nofile, "-n", 1, limits.open_files.max(files)),
        ulimit(Resource::Nproc, "-u", 1, limits.threads.saturating_add(1)),
        ulimit(Resource::Fsize, "-f", 1024, limits.scratch_bytes),
        ulimit(Resource::As, "-v", 1024, space),
        ulimit(Resource::Memlock, "-l", 1024, LOCKED_BYTES),
    ]
}

/// The error names every limit that is too low, and the required value.
pub fn check(limits: &CellLimits, standbys: usize) -> anyhow::Result<()> {
    let standbys = u64::try_from(standbys).unwrap_or(u64::MAX);
    let too_low: Vec<_> = required(limits, standbys).iter().filter_map(Ulimit::problem).collect();
    if too_low.is_empty() {
        return Ok(());
    }
    bail!("resource limits of this process are too low: {}", too_low.join("; "))
}

impl Ulimit {
    fn problem(&self) -> Option<String> {
        let found = getrlimit(self.resource);
        let is_low = |limit: Option<u64>| limit.filter(|limit| *limit < self.needed);
        if is_low(found.maximum).is_none() && is_low(found.current).is_none() {
            return None;
        }
        let maximum = found.maximum.map(|maximum| maximum.max(self.needed));
        let raised = Rlimit { current: maximum, maximum };
        if setrlimit(self.resource, raised).is_ok() {
            return None;
        }
        Some(self.message(found.maximum.unwrap_or(u64::MAX)))
    }

    /// Includes the unit, because shells use different ones.
    fn message(&self, has: u64) -> String {
        let Ulimit { option, unit, needed, .. } = self;
        let name = if *unit == 1 { "" } else { " KiB" };
        let (option, has, needed) = (&option[1..], has / unit, needed.div_ceil(*unit));
        format!("`ulimit -H{option}` is {has}{name}, and {needed}{name} is needed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_reported_with_their_unit() {
        let [files, _, size, ..] = required(&CellLimits::NOTHING, 4);
        assert_eq!(files.message(64), "`ulimit -Hn` is 64, and 128 is needed");
        let size = Ulimit { needed: 512 << 20, ..size };
        assert_eq!(size.message(1 << 20), "`ulimit -Hf` is 1024 KiB, and 524288 KiB is needed");
    }

    #[test]
    fn each_limit_covers_cells_and_standbys() {
        let limits = CellLimits {
            open_files: 256,
            threads: 512,
            scratch_bytes: 512 << 20,
            memory_bytes: 2 << 30,
            ..CellLimits::NOTHING
        };
        let needed = |standbys| {
            required(&limits, standbys).map(|one| (one.option, one.needed.div_ceil(one.unit)))
        };
        let others = [("-u", 513), ("-f", 524_288), ("-v", 6 << 20), ("-l", 64)];
        assert_eq!(needed(4)[0], ("-n", 256));
        assert_eq!(needed(40)[0], ("-n", 704));
        assert_eq!(needed(4)[1..], others);
    }
}
