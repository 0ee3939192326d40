//! Counts file locks. They use kernel memory that neither a limit of a process nor a control group counts.
//! The kernel lists them for the whole machine, so one read serves all cells.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::meter::budget::TimeBudget;
use crate::process::tree::Member;

/// Interval between two reads while code runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LIST: &str = "/proc/locks";
/// Lines between two checks of the clock. For each page of lines the kernel starts again from the first one,
/// so later pages take longer, and blocks all changes of locks meanwhile.
const LINES: usize = 256;

/// Number of locks by process and device (`00:2f`).
type Found = HashMap<(i32, String), u64>;

/// The last list: when it was read, its locks, and whether it was read to its end.
type Last = (Instant, Arc<Found>, bool);

static LAST: Mutex<Option<Last>> = Mutex::new(None);

/// Locks of these processes, and of all files on a device of the cell's own, because the process that
/// created a lock may have ended. A count above `most` is current: in an older list, the numbers of the processes
/// and of the device may be those of a cell that has ended. Fails if the list cannot be read.
pub fn count(members: &[Member], device: Option<&str>, most: u64) -> io::Result<u64> {
    let last = of(&*found(LOOK_EVERY)?, members, device);
    if last <= most {
        return Ok(last);
    }
    Ok(of(&*found(Duration::ZERO)?, members, device))
}

fn of(found: &Found, members: &[Member], device: Option<&str>) -> u64 {
    let is_ours = |process: i32, on: &str| {
        device == Some(on) || members.iter().any(|member| member.id == process)
    };
    found.iter().filter(|((process, on), _)| is_ours(*process, on)).map(|(_, count)| count).sum()
}

/// The list, at most this old.
fn found(oldest: Duration) -> io::Result<Arc<Found>> {
    let mut last = LAST.lock();
    if let Some((at, found, _)) = &*last
        && at.elapsed() < oldest
    {
        return Ok(Arc::clone(found));
    }
    let was_whole = last.as_ref().is_none_or(|(_, _, is_whole)| *is_whole);
    let (found, is_whole) = read(BufReader::new(File::open(LIST)?), &TimeBudget::new())?;
    if was_whole && !is_whole {
        tracing::warn!(locks = found.values().sum::<u64>(), "list of locks too long");
    }
    let found = Arc::new(found);
    *last = Some((Instant::now(), Arc::clone(&found), is_whole));
    Ok(found)
}

/// Reads as many lines as the budget permits. Returns whether those are all. The newest locks of each CPU
/// come first.
fn read(lines: impl BufRead, budget: &TimeBudget) -> io::Result<(Found, bool)> {
    let mut found = Found::new();
    for (number, line) in lines.lines().enumerate() {
        if number % LINES == LINES - 1 && budget.is_spent() {
            return Ok((found, false));
        }
        if let Some(key) = key(&line?) {
            *found.entry(key).or_default() += 1;
        }
    }
    Ok((found, true))
}

/// `1: POSIX  ADVISORY  WRITE 4711 00:2f:12 0 EOF`; a waiting lock has `->` after its number.
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

    /// A device that no file system of this machine has.
    const DEVICE: &str = "fff:fffff";

    #[test]
    fn locks_in_an_older_list_exceed_no_limit() {
        let of_another_cell = Found::from([((7, DEVICE.to_owned()), 9)]);
        *LAST.lock() = Some((Instant::now(), Arc::new(of_another_cell), true));
        assert_eq!(count(&[], Some(DEVICE), 9).expect("there is a list"), 9);
        assert_eq!(count(&[], Some(DEVICE), 8).expect("it can be read"), 0);
    }

    #[test]
    fn locks_are_counted_by_process_and_by_device() {
        let text = "1: POSIX  ADVISORY  WRITE 7 00:2f:12 0 EOF\n\
                    1: -> POSIX  ADVISORY  WRITE 8 00:2f:12 0 EOF\n\
                    2: FLOCK  ADVISORY  READ  7 fe:00:4711 0 EOF\n\
                    3: POSIX  ADVISORY  READ  9 fe:00:4711 5 5\n\
                    odd\n";
        let (found, is_whole) = read(text.as_bytes(), &TimeBudget::new()).expect("it can be read");
        assert!(is_whole);
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

    #[test]
    fn reading_the_list_has_a_time_limit_and_errors_are_returned() {
        let line = "1: POSIX  ADVISORY  WRITE 7 00:2f:12 0 EOF\n";
        let long = line.repeat(40_000);
        let (found, is_whole) = read(long.as_bytes(), &TimeBudget::new()).expect("it can be read");
        assert_eq!((found.values().sum::<u64>(), is_whole), (40_000, true));
        let spent = TimeBudget::of(Duration::ZERO, Duration::ZERO);
        let (found, is_whole) = read(long.as_bytes(), &spent).expect("it can be read");
        assert_eq!((found.values().sum::<u64>(), is_whole), (LINES as u64 - 1, false));

        struct Failing;
        impl io::Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from(rustix::io::Errno::IO))
            }
        }
        let half = io::Read::chain(line.as_bytes(), Failing);
        assert!(read(BufReader::new(half), &TimeBudget::new()).is_err());
        count(&[], None, u64::MAX).expect("this machine has a list");
    }
}
