//! Locks of ranges of files: memory of the kernel's that neither a limit of a process nor a control group
//! counts. They are listed for the machine as a whole, so one look serves all cells.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::tree::Member;

/// Between two looks, while anything runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Lines that are read at most. The kernel begins from the first one for each page of them, and no lock is
/// given or taken meanwhile.
const MAX_LINES: usize = 30_000;

/// How many locks there are, by process and by device (`00:2f`).
type Found = HashMap<(i32, String), u64>;

static LAST: Mutex<Option<(Instant, Arc<Found>)>> = Mutex::new(None);

/// Locks of these processes, and of all files on a device that is the cell's own: the process that has
/// made a lock may be gone.
pub fn count(members: &[Member], device: Option<&str>) -> u64 {
    of(&found(), members, device)
}

fn of(found: &Found, members: &[Member], device: Option<&str>) -> u64 {
    let is_ours = |process: i32, on: &str| {
        device == Some(on) || members.iter().any(|member| member.id == process)
    };
    found.iter().filter(|((process, on), _)| is_ours(*process, on)).map(|(_, count)| count).sum()
}

/// Not older than a second.
fn found() -> Arc<Found> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, found)) = &*last
        && at.elapsed() < LOOK_EVERY
    {
        return Arc::clone(found);
    }
    let found = File::open("/proc/locks").map(|file| read(BufReader::new(file)));
    let found = Arc::new(found.unwrap_or_default());
    *last = Some((Instant::now(), Arc::clone(&found)));
    found
}

fn read(lines: impl BufRead) -> Found {
    let mut found = Found::new();
    for line in lines.lines().take(MAX_LINES).map_while(Result::ok) {
        if let Some(key) = key(&line) {
            *found.entry(key).or_default() += 1;
        }
    }
    found
}

/// `1: POSIX  ADVISORY  WRITE 4711 00:2f:12 0 EOF`; a lock that is waited for has `->` after its number.
fn key(line: &str) -> Option<(i32, String)> {
    let words = line.split_ascii_whitespace().skip(1).filter(|word| *word != "->");
    let mut words = words.skip(3);
    let process = words.next()?.parse().ok()?;
    let (device, _) = words.next()?.rsplit_once(':')?;
    Some((process, device.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn locks_are_counted_by_process_and_by_device() {
        let text = "1: POSIX  ADVISORY  WRITE 7 00:2f:12 0 EOF\n\
                    1: -> POSIX  ADVISORY  WRITE 8 00:2f:12 0 EOF\n\
                    2: FLOCK  ADVISORY  READ  7 fe:00:4711 0 EOF\n\
                    3: POSIX  ADVISORY  READ  9 fe:00:4711 5 5\n\
                    odd\n";
        let found = read(text.as_bytes());
        let member =
            |id| Member { id, threads: 1, cpu: Duration::ZERO, children_cpu: Duration::ZERO };
        for (members, device, wanted) in [
            (vec![member(7)], None, 2),
            (vec![member(7)], Some("00:2f"), 3),
            (vec![], Some("00:2f"), 2),
            (vec![member(9)], Some("00:30"), 1),
            (vec![], None, 0),
        ] {
            assert_eq!(of(&found, &members, device), wanted, "{members:?} {device:?}");
        }
    }
}
