//! Memory of a process, looked at from outside: roughly at any time, exactly where it matters.

use std::io;

use crate::told;

/// What a process has in memory, cheap to read: what it shares with others counts whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// Memory of its own and shared memory, in bytes.
    pub bytes: u64,
    /// The most it had since it was forked.
    pub peak_bytes: u64,
}

/// `None` where it is gone, or has nothing any more.
pub fn resident(process: i32) -> Option<Resident> {
    let text = told::read(format!("/proc/{process}/status")).ok()?;
    let of = |name: &str| field(text.lines(), name);
    let bytes = of("RssAnon:")? + of("RssShmem:")?;
    // The kernel remembers the peak of all kinds together. Pages of files come and stay.
    let peak_bytes = of("VmHWM:")?.saturating_sub(of("RssFile:")?).max(bytes);
    Some(Resident { bytes, peak_bytes })
}

/// The same to the byte, at a hundred times the price: what processes share counts once, and of
/// what they share with the zygote each bears its part. One that is gone has nothing; an error is of
/// one that does not let this process look.
pub fn exact(process: i32) -> io::Result<u64> {
    let text = match told::read(format!("/proc/{process}/smaps_rollup")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        text => text.unwrap_or_default(),
    };
    Ok(["Pss_Anon:", "Pss_Shmem:"].iter().filter_map(|name| field(text.lines(), name)).sum())
}

/// How much of the files of a file system (`00:2f`) a process has mapped, which [`exact`] has counted.
pub fn mapped(process: i32, device: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).unwrap_or_default();
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
        assert_eq!(resident(i32::MAX), None);
        assert_eq!(super::exact(i32::MAX).expect("nobody is there to refuse"), 0);
    }
}
