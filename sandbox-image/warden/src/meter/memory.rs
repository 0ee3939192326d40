//! Memory of a process: a cheap upper bound (RSS), and an exact share (PSS).

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use crate::meter::budget::TimeBudget;
use crate::process::procfs;
use crate::process::tree::is_gone;

/// Resident memory of a process, cheap to read. Memory shared with others counts in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// Anonymous and shared memory.
    pub bytes: u64,
    /// The anonymous part.
    pub anon_bytes: u64,
    /// Address space that is neither private writable memory nor a stack. Includes all shared memory, resident
    /// or not.
    pub unaccounted_bytes: u64,
    /// The peak since the process was forked.
    pub peak_bytes: u64,
    /// Page tables, swapped memory and huge pages.
    pub other_bytes: u64,
}

/// Zero if the process has ended. Fails if it exists and cannot be read.
pub fn resident(process: i32) -> io::Result<Resident> {
    Ok(read(&text_with(process, "status", "RssAnon:")?).unwrap_or_default())
}

/// Reads a file of a process that contains this line if the process has memory. If the first thread has ended
/// while others run, the kernel shows the memory only for the others, and one of them is read. Empty if the
/// process has ended.
fn text_with(process: i32, file: &str, line: &str) -> io::Result<String> {
    let has_memory = |text: &String| text.lines().any(|found| found.starts_with(line));
    let text = or_empty(procfs::read(format!("/proc/{process}/{file}")))?;
    if has_memory(&text) {
        return Ok(text);
    }
    let threads = match std::fs::read_dir(format!("/proc/{process}/task")) {
        Err(error) if is_gone(&error) => return Ok(text),
        threads => threads?,
    };
    for thread in threads {
        let thread = match thread {
            Err(error) if is_gone(&error) => continue,
            thread => thread?,
        };
        let of_thread = or_empty(procfs::read(thread.path().join(file)))?;
        if has_memory(&of_thread) {
            return Ok(of_thread);
        }
    }
    Ok(text)
}

fn or_empty(text: io::Result<String>) -> io::Result<String> {
    match text {
        Err(error) if is_gone(&error) => Ok(String::new()),
        text => text,
    }
}

/// `None` if the process has no memory any more.
fn read(status: &str) -> Option<Resident> {
    let of = |name: &str| field(status.lines(), name);
    let anon_bytes = of("RssAnon:")?;
    let bytes = anon_bytes + of("RssShmem:")?;
    // Without `VmExe` and `VmLib`: the kernel counts a shared executable mapping as a library.
    let accounted = ["VmData:", "VmStk:"].iter().filter_map(|name| of(name)).sum();
    let unaccounted_bytes = of("VmSize:")?.saturating_sub(accounted);
    // The kernel's peak includes pages of files.
    let peak_bytes = of("VmHWM:")?.saturating_sub(of("RssFile:")?).max(bytes);
    // Not part of the resident size.
    let others = ["VmPTE:", "VmSwap:", "HugetlbPages:"].iter().filter_map(|name| of(name)).sum();
    Some(Resident { bytes, anon_bytes, unaccounted_bytes, peak_bytes, other_bytes: others })
}

/// The proportional share, at a hundred times the cost: a page that several processes share, such as the
/// zygote's, is divided among them. Zero if the process has ended. Fails if the process denies access.
pub fn exact(process: i32) -> io::Result<Exact> {
    let text = text_with(process, "smaps_rollup", "Pss_Anon:")?;
    if text.is_empty() {
        return Ok(Exact::default());
    }
    read_exact(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_exact(rollup: &str) -> Option<Exact> {
    let of = |name| field(rollup.lines(), name);
    let (anon_bytes, shared_bytes) = (of("Pss_Anon:")?, of("Pss_Shmem:")?);
    // The kernel does not divide these by kind. At most all of the other two kinds is private.
    let private = of("Private_Clean:")? + of("Private_Dirty:")?;
    let private = private.saturating_sub(of("Pss_File:")?).saturating_sub(shared_bytes);
    let with_others_bytes = anon_bytes.saturating_sub(private);
    Some(Exact { anon_bytes, with_others_bytes, shared_bytes })
}

/// Proportional share of the memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exact {
    pub anon_bytes: u64,
    /// The part of it that is on pages of several processes, such as the zygote's.
    pub with_others_bytes: u64,
    /// The resident part of shared memory and of files in memory.
    pub shared_bytes: u64,
}

impl Exact {
    pub fn bytes(self) -> u64 {
        self.anon_bytes.saturating_add(self.shared_bytes)
    }
}

/// Mapped bytes of the files of a file system (`00:2f`) in a process, which [`exact`] includes. `None` if the
/// budget is spent first.
pub fn mapped(process: i32, device: &str, budget: &TimeBudget) -> Option<u64> {
    let Ok(file) = File::open(format!("/proc/{process}/smaps")) else { return Some(0) };
    mapped_in(BufReader::with_capacity(READ_BYTES, file), device, budget)
}

const READ_BYTES: usize = 64 << 10;
/// Lines between two checks of the clock: some hundred microseconds.
const LINES: usize = 1024;

fn mapped_in(mut file: impl BufRead, device: &str, budget: &TimeBudget) -> Option<u64> {
    let (mut bytes, mut ours) = (0u64, false);
    let mut line = Vec::new();
    for number in 1.. {
        if number % LINES == 0 && budget.is_spent() {
            return None;
        }
        line.clear();
        // After an error the rest counts as not mapped, and so as memory of the process.
        if !file.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            break;
        }
        let line = String::from_utf8_lossy(&line);
        let of = |name| field([&*line].into_iter(), name).unwrap_or(0);
        match line.split_ascii_whitespace().nth(3) {
            // `7f…-7f… rw-s 00000000 00:2f 12 /tmp/file`; the other lines have three words.
            Some(word) if word.contains(':') => ours = word == device,
            // Pages of a private mapping that were written to do not belong to the file any more.
            _ if ours => bytes = (bytes + of("Pss:")).saturating_sub(of("Anonymous:")),
            _ => {}
        }
    }
    Some(bytes)
}

/// `RssAnon:     42544 kB`, in bytes.
fn field<'t>(mut lines: impl Iterator<Item = &'t str>, name: &str) -> Option<u64> {
    let rest = lines.find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_without_the_required_lines_is_an_error() {
        let whole = "Rss: 9 kB\nPss: 8 kB\nPss_Anon:  3 kB\nPss_File: 4 kB\nPss_Shmem:  1 kB\n\
                     Private_Clean: 5 kB\nPrivate_Dirty:  2 kB\n";
        let wanted =
            Exact { anon_bytes: 3 << 10, with_others_bytes: 1 << 10, shared_bytes: 1 << 10 };
        assert_eq!(read_exact(whole), Some(wanted));
        assert_eq!(read_exact("Rss: 9 kB\nPss: 8 kB\n"), None);
    }

    #[test]
    fn only_pages_of_the_file_count_as_mapped() {
        let text = "7f10-7f20 rw-s 00000000 00:2f 12  /tmp/a b\nPss: 10 kB\nAnonymous: 0 kB\n\
                    7f20-7f30 rw-p 00000000 00:2f 12  /tmp/a b\nPss: 10 kB\nAnonymous: 9 kB\n\
                    7f30-7f40 rw-s 00000000 fe:00 12  /etc/x\nPss: 10 kB\nAnonymous: 0 kB\n";
        let mapped = |text: &str, budget| mapped_in(text.as_bytes(), "00:2f", &budget);
        assert_eq!(mapped(text, TimeBudget::new()), Some(11 << 10));
        let none = std::time::Duration::ZERO;
        assert_eq!(mapped(&text.repeat(LINES), TimeBudget::of(none, none)), None);
    }

    /// What other tests of this program may allocate between two reads.
    const OTHER_TESTS: u64 = 16 << 20;

    #[test]
    fn resident_memory_is_at_least_the_exact_share() {
        let me = i32::try_from(std::process::id()).expect("Linux has smaller numbers");
        let held = vec![1u8; 50 << 20];
        let rough = resident(me).expect("it runs");
        let exact = exact(me).expect("it is us").bytes();
        assert!(
            exact > held.len() as u64 && rough.bytes + OTHER_TESTS >= exact,
            "{exact}, {rough:?}"
        );
        drop(held);
        let later = resident(me).expect("it runs");
        // Pages of files that were loaded since then are missing from the peak.
        assert!(later.bytes < rough.bytes && later.peak_bytes > 48 << 20, "{later:?}");
        assert_eq!(resident(i32::MAX).expect("it never was"), Resident::default());
        assert!(later.other_bytes > 0, "its page tables: {later:?}");
        assert_eq!(super::exact(i32::MAX).expect("a missing process is no error").bytes(), 0);
    }
}
