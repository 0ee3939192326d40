//! The form in which a zygote's libraries are in memory: mapped from files, or moved into large pages.

use std::fs;

use jail::Relocated;
use protocol::{ImageForm, LibraryImage};

use super::kit::Kit;

/// The libraries in large pages are not shared with other programs, and cannot be evicted. With less memory
/// than this, in bytes, they stay mapped from files.
const LEAST_MEMORY: u64 = 2 << 30;
/// Limits on the memory of this container, and of the machine.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
const MACHINE: &str = "/proc/meminfo";

/// Why the libraries of this kit are not moved.
pub fn why_not_moved(kit: Kit) -> Option<String> {
    if !kit.moves_libraries() {
        return Some("they are too large".to_owned());
    }
    let machine = fs::read_to_string(MACHINE).ok().and_then(|text| total(&text));
    let limits =
        LIMITS.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    let memory = limits.chain(machine).min().unwrap_or(u64::MAX);
    (memory < LEAST_MEMORY).then(|| format!("less than {} GiB of memory", LEAST_MEMORY >> 30))
}

/// `MemTotal:       24629760 kB`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The state before the zygote has reported.
pub fn at_first(kit: Kit) -> LibraryImage {
    let (form, detail) = match why_not_moved(kit) {
        Some(why) => (ImageForm::None, why),
        None => (ImageForm::Pending, "moved while no code is requested".to_owned()),
    };
    LibraryImage { kit: kit.to_string(), form, detail }
}

/// The state according to the zygote's report.
pub fn judge(kit: Kit, found: &Relocated) -> LibraryImage {
    let form = match (found.moved_bytes, found.left_bytes) {
        (0, _) => ImageForm::None,
        (_, 0) => ImageForm::Whole,
        (_, _) => ImageForm::Split,
    };
    let (before, after) = found.mappings;
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let large = mebibytes(found.moved_bytes.saturating_sub(found.small_bytes));
    let small = match mebibytes(found.small_bytes) {
        0 => String::new(),
        small => format!(" and {small} MiB in small ones"),
    };
    let moved = format!("{large} MiB in large pages{small}, {before} mappings became {after}");
    let left = format!("{} MiB mapped from files", mebibytes(found.left_bytes));
    let detail = match form {
        ImageForm::Whole => moved,
        ImageForm::Split => format!("{moved}; {left}: {}", found.why),
        ImageForm::None | ImageForm::Pending if found.why.is_empty() => left,
        ImageForm::None | ImageForm::Pending => found.why.clone(),
    };
    LibraryImage { kit: kit.to_string(), form, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_from_what_was_moved() {
        let found = |moved: u64, small: u64, left: u64| Relocated {
            moved_bytes: moved << 20,
            small_bytes: small << 20,
            left_bytes: left << 20,
            mappings: (1682, 57),
            why: "no large pages are free".to_owned(),
        };
        for (moved, small, left, form, detail) in [
            (400, 0, 0, ImageForm::Whole, "400 MiB in large pages, 1682 mappings became 57"),
            (
                400,
                9,
                0,
                ImageForm::Whole,
                "391 MiB in large pages and 9 MiB in small ones, 1682 mappings became 57",
            ),
            (300, 0, 100, ImageForm::Split, "100 MiB mapped from files: no large pages are free"),
            (0, 0, 400, ImageForm::None, "no large pages are free"),
        ] {
            let image = judge(Kit::Science, &found(moved, small, left));
            assert_eq!((image.form, image.kit.as_str()), (form, "science"));
            assert!(image.detail.ends_with(detail), "{}", image.detail);
        }
    }

    #[test]
    fn memory_of_the_machine_is_read_in_bytes() {
        assert_eq!(total("MemTotal:       2097152 kB\nMemFree: 1 kB\n"), Some(2 << 30));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn only_kits_of_moderate_size_are_moved() {
        assert_eq!(at_first(Kit::TensorFlow).form, ImageForm::None);
    }
}
