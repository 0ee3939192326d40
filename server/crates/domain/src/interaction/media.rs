//! Estimates the tokens of media from their bytes.
//!
//! The numbers are those of Google's pages on tokens, documents, audio and video
//! (ai.google.dev/gemini-api/docs/tokens, …/document-processing, …/audio, …/video-understanding).
//! They apply to models before Gemini 3, which has other numbers for each `media_resolution`.

use super::step::MediaKind;
use super::usage::{Modality, Tokens, modality};

/// Of a tile of an image, and of a page of a document.
const TOKENS_A_TILE: u64 = 258;
/// An image that fits into a square of this side is one tile.
const SMALL_PIXELS: usize = 384;
/// Side of a tile of larger images.
const TILE_PIXELS: usize = 768;
const AUDIO_TOKENS_A_SECOND: u64 = 32;
/// With audio, at one frame a second.
const VIDEO_TOKENS_A_SECOND: u64 = 263;
/// Audio and video are not decoded. These are 128 and 1000 kbit/s.
const AUDIO_BYTES_A_SECOND: u64 = 16_000;
const VIDEO_BYTES_A_SECOND: u64 = 125_000;
/// A token is four letters, most of which are one byte.
const TEXT_BYTES_A_TOKEN: u64 = 4;
/// Enough to contain the dimensions of an image, in every format with a header at its beginning.
pub const HEAD_BYTES: usize = 256 << 10;

/// The part of a file that is needed to count its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Head,
    /// Its number of pages, see [`PageCounter`].
    Pages,
}

pub fn needs(kind: MediaKind, mime_type: Option<&str>) -> Needs {
    match kind {
        MediaKind::Image => Needs::Head,
        MediaKind::Document if is_pdf(mime_type) => Needs::Pages,
        MediaKind::Audio | MediaKind::Video | MediaKind::Document => Needs::Nothing,
    }
}

/// Tokens of a document with pages.
pub fn of_pages(pages: u64) -> Tokens {
    Tokens::new(modality(MediaKind::Document), TOKENS_A_TILE * pages.max(1))
}

/// Tokens of a whole file.
pub fn tokens(kind: MediaKind, mime_type: Option<&str>, bytes: &[u8]) -> Tokens {
    of_file(kind, mime_type, bytes.len() as u64, bytes)
}

/// Tokens of a file; `bytes` is the part of it that [`needs`] asks for.
pub fn of_file(kind: MediaKind, mime_type: Option<&str>, length: u64, bytes: &[u8]) -> Tokens {
    let seconds = |bytes_a_second: u64| length.div_ceil(bytes_a_second);
    let count = match kind {
        MediaKind::Image => TOKENS_A_TILE * tiles(bytes),
        MediaKind::Audio => AUDIO_TOKENS_A_SECOND * seconds(AUDIO_BYTES_A_SECOND),
        MediaKind::Video => VIDEO_TOKENS_A_SECOND * seconds(VIDEO_BYTES_A_SECOND),
        MediaKind::Document if is_text(mime_type) => {
            // A model reads it as text.
            return Tokens::new(Modality::Text, length.div_ceil(TEXT_BYTES_A_TOKEN));
        }
        MediaKind::Document if is_pdf(mime_type) => {
            let mut pages = PageCounter::default();
            pages.add(bytes);
            return of_pages(pages.count());
        }
        MediaKind::Document => TOKENS_A_TILE,
    };
    Tokens::new(modality(kind), count)
}

fn tiles(bytes: &[u8]) -> u64 {
    // An image without known dimensions counts as small.
    let Ok(size) = imagesize::blob_size(bytes) else { return 1 };
    if size.width <= SMALL_PIXELS && size.height <= SMALL_PIXELS {
        return 1;
    }
    let across = size.width.div_ceil(TILE_PIXELS) as u64;
    across.saturating_mul(size.height.div_ceil(TILE_PIXELS) as u64)
}

/// Counts objects of the type `/Page` in the pieces of a PDF. If they are compressed, there are none.
#[derive(Debug, Default)]
pub struct PageCounter {
    count: u64,
    /// The end of the pieces so far, in which an object may begin.
    rest: Vec<u8>,
}

/// Maximum length of an object's type, with the space within it.
const MAX_TYPE_BYTES: usize = 64;

impl PageCounter {
    pub fn add(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        let end = self.rest.len().saturating_sub(MAX_TYPE_BYTES);
        self.count += pages(&self.rest, end);
        self.rest.drain(..end);
    }

    pub fn count(mut self) -> u64 {
        self.count += pages(&self.rest, self.rest.len());
        self.count
    }
}

/// Counts the pages whose type begins before `end`.
fn pages(pdf: &[u8], end: usize) -> u64 {
    let (mut count, mut at) = (0, 0);
    while let Some(found) = find(&pdf[at..], b"/Type").map(|found| at + found) {
        if found >= end {
            break;
        }
        at = found + b"/Type".len();
        let value = pdf[at..].trim_ascii_start();
        if let Some(after) = value.strip_prefix(b"/Page")
            && !after.first().is_some_and(u8::is_ascii_alphabetic)
        {
            count += 1;
        }
    }
    count
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn is_pdf(mime_type: Option<&str>) -> bool {
    mime_type == Some("application/pdf")
}

/// A document without a type counts as text, like its file name in the working directory.
fn is_text(mime_type: Option<&str>) -> bool {
    mime_type.is_none_or(|name| {
        name.starts_with("text/")
            || name.ends_with("+json")
            || name.ends_with("+xml")
            || matches!(name, "application/json" | "application/xml" | "application/javascript")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a PNG, up to its dimensions.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 2, 0, 0, 0]);
        bytes
    }

    #[test]
    fn an_image_is_counted_by_its_tiles() {
        for (width, height, tiles) in
            [(1, 1, 1), (384, 384, 1), (385, 10, 1), (768, 768, 1), (769, 768, 2), (1600, 900, 6)]
        {
            let tokens = tokens(MediaKind::Image, Some("image/png"), &png(width, height));
            assert_eq!(tokens, Tokens::new(Modality::Image, 258 * tiles), "{width} × {height}");
        }
        let unknown = tokens(MediaKind::Image, None, b"a picture");
        assert_eq!(unknown, Tokens::new(Modality::Image, 258));
        let huge = tokens(MediaKind::Image, None, &png(u32::MAX, u32::MAX));
        assert!(huge.total() > 258);
    }

    #[test]
    fn pages_are_counted_once_however_a_document_is_split() {
        let pdf =
            b"<</Type/Pages /Count 3>> <</Type /Page>> <</Type\n/Page/Parent 1>> <</Type/Page"
                .repeat(5);
        for size in [1, 3, 7, 64, 65, 200, pdf.len()] {
            let mut counter = PageCounter::default();
            pdf.chunks(size).for_each(|piece| counter.add(piece));
            assert_eq!(counter.count(), 15, "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_document_is_counted_by_its_pages_or_as_text() {
        let pdf = b"%PDF-1.4 <</Type/Pages /Count 2>> <</Type /Page>> <</Type\n/Page/Parent 1>>";
        let document = |count| Tokens::new(Modality::Document, count);
        for (mime_type, bytes, wanted) in [
            (Some("application/pdf"), &pdf[..], document(2 * 258)),
            (Some("application/pdf"), b"%PDF-1.7 packed", document(258)),
            (Some("application/msword"), b"words", document(258)),
            (Some("text/csv"), b"a,b\n1", Tokens::text(2)),
            (Some("application/json"), b"{}", Tokens::text(1)),
            (None, b"", Tokens::text(0)),
        ] {
            assert_eq!(tokens(MediaKind::Document, mime_type, bytes), wanted, "{mime_type:?}");
        }
    }

    #[test]
    fn audio_and_video_are_counted_by_seconds_estimated_from_their_size() {
        let of = |kind, length| of_file(kind, None, length, &[]);
        assert_eq!(of(MediaKind::Audio, 160_000), Tokens::new(Modality::Audio, 320));
        assert_eq!(of(MediaKind::Video, 125_001), Tokens::new(Modality::Video, 2 * 263));
    }
}
