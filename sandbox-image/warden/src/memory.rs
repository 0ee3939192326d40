//! Memory of a process, looked at from outside: roughly at any time, exactly where it matters.

use std::io;

use crate::told;
use crate::tree::is_gone;

/// What a process has in memory, cheap to read: what it shares with others counts whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// Memory of its own and shared memory, in bytes.
    pub bytes: u64,
    /// The most it had since it was forked.
    pub peak_bytes: u64,
    /// Its page tables, and what of its memory is swapped out or in huge pages.
    pub other_bytes: u64,
}

/// Nothing where it is gone. An error where it exists and cannot be read.
pub fn resident(process: i32) -> io::Result<Resident> {
    Ok(read(&text_with(process, "status", "RssAnon:")?).unwrap_or_default())
}

/// A file about a process that has this line if the process has memory. The kernel takes the memory from
/// a first thread that has ended, and the others may go on: one of those is asked then. Empty where the
/// process is gone.
fn text_with(process: i32, file: &str, line: &str) -> io::Result<String> {
    let has_memory = |text: &String| text.lines().any(|found| found.starts_with(line));
    let text = or_empty(told::read(format!("/proc/{process}/{file}")))?;
    if has_memory(&text) {
        return Ok(text);
    }
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Ok(text) };
    for thread in threads.flatten() {
        let of_thread = or_empty(told::read(thread.path().join(file)))?;
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

/// `None` where the process has no memory any more.
fn read(status: &str) -> Option<Resident> {
    let of = |name: &str| field(status.lines(), name);
    let bytes = of("RssAnon:")? + of("RssShmem:")?;
    // The kernel remembers the peak of all kinds together. Pages of files come and stay.
    let peak_bytes = of("VmHWM:")?.saturating_sub(of("RssFile:")?).max(bytes);
    // Page tables, and what has been swapped out or taken from the pool of huge pages, is memory too.
    let others = ["VmPTE:", "VmSwap:", "HugetlbPages:"].iter().filter_map(|name| of(name)).sum();
    Some(Resident { bytes, peak_bytes, other_bytes: others })
}

/// The same to the byte, at a hundred times the price: what processes share counts once, and of
/// what they share with the zygote each bears its part. One that is gone has nothing; an error is of
/// one that does not let this process look.
pub fn exact(process: i32) -> io::Result<u64> {
    let text = text_with(process, "smaps_rollup", "Pss_Anon:")?;
    Ok(["Pss_Anon:", "Pss_Shmem:"].iter().filter_map(|name| field(text.lines(), name)).sum())
}

/// How much of the files of a file system (`00:2f`) a process has mapped, which [`exact`] has counted.
pub fn mapped(process: i32, device: &str) -> u64 {
    let text = told::read(format!("/proc/{process}/smaps")).unwrap_or_default();
    let (mut bytes, mut ours) = (0, false);
    for line in text.lines() {
        match line.split_ascii_whitespace().nth(3) {
            // `7f…-7f… rw-s 00000000 00:2f 12 /tmp/file`; the other lines have three words.
            Some(word) if word.contains(':') => ours = word == device,
            _ if ours => bytes += field([line].into_iter(), "Pss:").unwrap_or(0),
            _ => {}
        }
    }
    bytes
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
    fn memory_is_seen_roughly_and_exactly() {
        let me = i32::try_from(std::process::id()).expect("Linux has smaller numbers");
        let held = vec![1u8; 50 << 20];
        let rough = resident(me).expect("it runs");
        let exact = exact(me).expect("it is us");
        assert!(exact > held.len() as u64 && rough.bytes >= exact, "{exact}, {rough:?}");
        drop(held);
        let later = resident(me).expect("it runs");
        // Pages of files that have come since then are missing from the peak.
        assert!(later.bytes < rough.bytes && later.peak_bytes > 48 << 20, "{later:?}");
        assert_eq!(resident(i32::MAX).expect("it never was"), Resident::default());
        assert!(later.other_bytes > 0, "its page tables: {later:?}");
        assert_eq!(super::exact(i32::MAX).expect("nobody is there to refuse"), 0);
    }
}
