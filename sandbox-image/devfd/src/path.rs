//! Paths that refer to a descriptor of the calling process.

/// The number of the descriptor, if the path refers to one.
pub(crate) fn descriptor(path: &[u8]) -> Option<i32> {
    match path.strip_prefix(b"/dev/") {
        Some(b"stdin") => return Some(0),
        Some(b"stdout") => return Some(1),
        Some(b"stderr") => return Some(2),
        _ => {}
    }
    let folders: [&[u8]; 3] = [b"/dev/fd/", b"/proc/self/fd/", b"/proc/thread-self/fd/"];
    let name = folders.iter().find_map(|folder| path.strip_prefix(*folder))?;
    number(name)
}

/// A number as the kernel writes it: no sign, no leading zero.
fn number(name: &[u8]) -> Option<i32> {
    if name.is_empty() || (name.len() > 1 && name.first() == Some(&b'0')) {
        return None;
    }
    name.iter().try_fold(0i32, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(i32::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_descriptors_match() {
        for (path, wanted) in [
            ("/dev/stdin", Some(0)),
            ("/dev/stdout", Some(1)),
            ("/dev/stderr", Some(2)),
            ("/dev/fd/0", Some(0)),
            ("/dev/fd/63", Some(63)),
            ("/proc/self/fd/7", Some(7)),
            ("/proc/thread-self/fd/7", Some(7)),
            ("/dev/fd/", None),
            ("/dev/fd/01", None),
            ("/dev/fd/-1", None),
            ("/dev/fd/1/x", None),
            ("/dev/fd/99999999999", None),
            ("/dev/null", None),
            ("/dev/stdout2", None),
            ("stdout", None),
            ("", None),
        ] {
            assert_eq!(descriptor(path.as_bytes()), wanted, "{path}");
        }
    }
}
