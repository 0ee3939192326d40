//! Reads a file of a ZIP archive that is a part of this program.
//!
//! ```text
//! ┌────────────────┬─────┬───────────┬─────┬─────┐
//! │ header, data   │ …   │ entry     │ …   │ end │    an entry has the offset of its header,
//! └────────────────┴─────┴───────────┴─────┴─────┘    and the end that of the first entry
//! ```
//!
//! Numbers are little-endian. Their offsets are those of APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const HEADER_LEN: usize = 30;
const ENTRY_LEN: usize = 46;
const DEFLATED: usize = 8;

/// The first compressed file whose name ends like this. `None` if there is none, or it is damaged.
pub fn read(archive: &[u8], name_end: &str) -> Option<Vec<u8>> {
    let end = archive.windows(END.len()).rposition(|bytes| bytes == END)?;
    let mut entry = archive.get(long(archive.get(end..)?, 16)?..)?;
    while entry.starts_with(ENTRY) {
        let name_len = short(entry, 28)?;
        let name = entry.get(ENTRY_LEN..ENTRY_LEN + name_len)?;
        if name.ends_with(name_end.as_bytes()) && short(entry, 10)? == DEFLATED {
            return inflate(archive.get(long(entry, 42)?..)?, long(entry, 20)?, long(entry, 24)?);
        }
        entry = entry.get(ENTRY_LEN + name_len + short(entry, 30)? + short(entry, 32)?..)?;
    }
    None
}

/// The file behind a header, with these sizes when compressed and not.
fn inflate(header: &[u8], compressed: usize, size: usize) -> Option<Vec<u8>> {
    let data = header.get(HEADER_LEN + short(header, 26)? + short(header, 28)?..)?;
    let mut file = Vec::with_capacity(size);
    DeflateDecoder::new(data.get(..compressed)?).read_to_end(&mut file).ok()?;
    (file.len() == size).then_some(file)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(two).into())
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    u32::from_le_bytes(four).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

    #[test]
    fn a_file_is_read_whole() {
        let style = read(SWAGGER_UI_VENDORED, "/dist/swagger-ui.css").expect("it is there");
        let style = String::from_utf8(style).expect("it is text");
        assert!(
            style.starts_with(".swagger-ui") && style.trim_end().ends_with('/'),
            "{style:.100}"
        );
        assert_eq!(read(SWAGGER_UI_VENDORED, "/dist/else.css"), None);
    }

    #[test]
    fn a_damaged_archive_has_no_files() {
        let name = "/dist/swagger-ui.css";
        let whole = SWAGGER_UI_VENDORED;
        let end = whole.windows(END.len()).rposition(|bytes| bytes == END).expect("it has an end");
        for kept in [0, 10, end / 2, end, end + 15] {
            assert!(read(&whole[..kept], name).is_none(), "{kept}");
        }
        assert!(read(&whole[1..], name).is_none());
    }
}
