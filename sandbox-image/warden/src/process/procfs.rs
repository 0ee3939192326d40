//! Reads small files of `/proc` and `/sys` with large reads. The standard library begins with tiny ones,
//! because these files report no length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The kernel seldom returns more from one read.
const PAGE: usize = 4096;

pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut text = vec![0; PAGE];
    let mut length = 0;
    loop {
        match file.read(&mut text[length..])? {
            0 => break,
            more => length += more,
        }
        if text.len() - length < PAGE / 2 {
            text.resize(2 * text.len(), 0);
        }
    }
    text.truncate(length);
    // A process chooses its own name, which may not be UTF-8.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_files_are_read_in_full() {
        let stat = read("/proc/self/stat").expect("it is there");
        assert!(stat.ends_with('\n') && stat.len() < PAGE, "{stat}");
        let mut long = tempfile::NamedTempFile::new().expect("there is a place");
        for bytes in [0, 1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE] {
            long.as_file().set_len(0).expect("it is ours");
            io::Seek::rewind(&mut long).expect("it is a file");
            io::Write::write_all(&mut long, &vec![b'a'; bytes]).expect("there is room");
            assert_eq!(read(long.path()).expect("it is there").len(), bytes);
        }
        assert!(read("/proc/self/nothing").is_err());
        std::fs::write(long.path(), b"7 (\xff) S 1").expect("it is ours");
        assert_eq!(
            read(long.path()).expect("bytes that are not UTF-8 are replaced"),
            "7 (\u{fffd}) S 1"
        );
    }
}
