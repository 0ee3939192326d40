//! The display channel: pictures that the code shows. All input is untrusted.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::SystemTime;

use crate::cell::workspace::{WrittenPicture, picture_type};

/// The first bytes of an oversized frame, enough to detect a picture.
const SNIFFED_BYTES: usize = 64;

/// Decodes a stream of `u32 length + picture` frames into pictures, with limits per run.
#[derive(Debug)]
pub struct PictureFrames {
    most: usize,
    most_bytes: usize,
    /// Maximum bytes of all pictures together.
    most_bytes_together: usize,
    /// The start of an incomplete frame.
    buffer: Vec<u8>,
    /// Bytes of an oversized picture that are still to be skipped.
    skip: usize,
    /// Hashes of the pictures that this run has returned.
    given: HashSet<u64>,
    given_bytes: usize,
    left_out: u32,
}

impl PictureFrames {
    pub fn new(most: usize, most_bytes: usize, most_bytes_together: usize) -> PictureFrames {
        PictureFrames {
            most,
            most_bytes,
            most_bytes_together,
            buffer: Vec::new(),
            skip: 0,
            given: HashSet::new(),
            given_bytes: 0,
            left_out: 0,
        }
    }

    /// Begins a run, and drops an incomplete frame of the last one.
    pub fn begin(&mut self) {
        *self = PictureFrames::new(self.most, self.most_bytes, self.most_bytes_together);
    }

    /// Number of pictures of this run that exceeded a limit.
    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Returns the pictures that these bytes complete, without duplicates. An incomplete frame stays in the
    /// buffer without being copied, because code may send a picture byte by byte.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<WrittenPicture> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.buffer.extend_from_slice(&bytes[skipped..]);
        let buffer = std::mem::take(&mut self.buffer);
        let mut pictures = Vec::new();
        let mut left = &buffer[..];
        while let Some((length, rest)) = left.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > self.most_bytes {
                let Some(start) = rest.get(..length.min(SNIFFED_BYTES)) else { break };
                if picture_type(start).is_some() {
                    self.left_out = self.left_out.saturating_add(1);
                }
                self.skip = length.saturating_sub(rest.len());
                left = &rest[length.min(rest.len())..];
            } else if rest.len() < length {
                break;
            } else {
                pictures.extend(self.picture(&rest[..length]));
                left = &rest[length..];
            }
        }
        let taken = buffer.len() - left.len();
        self.buffer = buffer;
        if taken > 0 {
            // The rest came with these bytes, so it is no longer than they are.
            self.buffer.drain(..taken);
            self.buffer.shrink_to_fit();
        }
        pictures
    }

    fn picture(&mut self, data: &[u8]) -> Option<WrittenPicture> {
        let mime_type = Some(data).filter(|data| !data.is_empty()).and_then(picture_type)?;
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let name = hasher.finish();
        if self.given.contains(&name) {
            return None;
        }
        if self.given.len() == self.most || self.given_bytes + data.len() > self.most_bytes_together
        {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.given.insert(name);
        self.given_bytes += data.len();
        Some(WrittenPicture { written: SystemTime::now(), mime_type, data: data.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    fn framed(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("it is short");
        [&length.to_be_bytes(), content].concat()
    }

    /// The number of pictures, and of frames that were left out.
    fn read(frames: &mut PictureFrames, stream: &[u8], size: usize) -> (usize, u32) {
        let pictures = stream.chunks(size).flat_map(|piece| frames.add(piece)).count();
        (pictures, frames.left_out())
    }

    #[test]
    fn pictures_are_decoded_however_the_stream_is_split() {
        let other = [PNG, b"!"].concat();
        let large = [PNG, &[0; 100]].concat();
        let frames = [PNG, b"no picture", &[0; 100], &large, &other, b"", PNG];
        let stream = frames.map(framed).concat();
        for size in [1, 2, 3, 5, 64, 1000] {
            let read = read(&mut PictureFrames::new(9, 64, 1000), &stream, size);
            assert_eq!(read, (2, 1), "pieces of {size}");
        }
    }

    #[test]
    fn the_number_of_pictures_of_a_run_is_limited() {
        let mut frames = PictureFrames::new(3, 64, 1000);
        let stream: Vec<u8> = (0..5u8).flat_map(|n| framed(&[PNG, &[n]].concat())).collect();
        assert_eq!(read(&mut frames, &stream, 7), (3, 2));
        frames.begin();
        assert_eq!(read(&mut frames, &stream, 7), (3, 2));
    }

    #[test]
    fn the_bytes_of_all_pictures_of_a_run_are_limited() {
        let mut frames = PictureFrames::new(9, 64, 2 * PNG.len() + 3);
        let stream: Vec<u8> = (0..5u8).flat_map(|n| framed(&[PNG, &[n]].concat())).collect();
        assert_eq!(read(&mut frames, &stream, 7), (2, 3));
        frames.begin();
        assert_eq!(read(&mut frames, &stream, 7), (2, 3));
    }

    /// Copying the buffer for each byte would copy ten terabytes.
    #[test]
    fn a_picture_that_arrives_byte_by_byte_is_copied_once() {
        let bytes = 4 << 20;
        let mut frames = PictureFrames::new(9, bytes, bytes);
        let stream = framed(&[PNG, &vec![7; bytes - PNG.len()]].concat());
        assert_eq!(read(&mut frames, &stream, 1), (1, 0));
    }

    #[test]
    fn an_incomplete_picture_does_not_affect_the_next_run() {
        let mut frames = PictureFrames::new(3, 64, 1000);
        assert_eq!(read(&mut frames, &[0, 0, 0, 60, 1], 9), (0, 0));
        frames.begin();
        assert_eq!(read(&mut frames, &framed(PNG), 9), (1, 0));
    }

    #[test]
    fn a_length_of_four_gigabytes_allocates_nothing() {
        let mut frames = PictureFrames::new(9, 64, 1000);
        assert_eq!(read(&mut frames, &[0xff; 4], 4), (0, 0));
        frames.add(&[0; 100_000]);
        assert!(frames.buffer.capacity() < 1000);
    }

    #[test]
    fn a_flood_of_tiny_frames_does_not_grow_the_buffer() {
        let mut frames = PictureFrames::new(9, 64, 1000);
        assert_eq!(read(&mut frames, &[0; 4 << 20], 64 << 10), (0, 0));
        assert!(frames.buffer.capacity() < 1000);
    }
}
