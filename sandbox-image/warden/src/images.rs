//! The display channel: pictures that the code shows. Everything in here was written by it.

use std::time::SystemTime;

use crate::workspace::{Picture, picture_type};

/// Takes pieces of `u32 length + picture` and gives whole pictures.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes of a picture that is too large, still to come.
    skip: usize,
    most_bytes: usize,
}

/// What a piece completed.
#[derive(Debug)]
pub enum Frame {
    Picture(Picture),
    /// Too large, or no picture.
    LeftOut,
}

impl Frames {
    pub fn new(most_bytes: usize) -> Frames {
        Frames { buffer: Vec::new(), skip: 0, most_bytes }
    }

    pub fn add(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            self.buffer.extend_from_slice(bytes);
            bytes = &[];
            let Some((length, rest)) = self.buffer.split_first_chunk::<4>() else { break };
            let length = u32::from_be_bytes(*length) as usize;
            if length > self.most_bytes {
                frames.push(Frame::LeftOut);
                self.skip = length.saturating_sub(rest.len());
                self.buffer.drain(..4 + length.min(rest.len()));
            } else if rest.len() < length {
                break;
            } else {
                frames.push(picture(rest[..length].to_vec()));
                self.buffer.drain(..4 + length);
            }
        }
        frames
    }
}

fn picture(data: Vec<u8>) -> Frame {
    match picture_type(&data) {
        Some(mime_type) => Frame::Picture(Picture { written: SystemTime::now(), mime_type, data }),
        None => Frame::LeftOut,
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

    /// `true` for a picture, `false` for one left out.
    fn read(stream: &[u8], size: usize) -> Vec<bool> {
        let mut frames = Frames::new(64);
        let pieces = stream.chunks(size).flat_map(|piece| frames.add(piece)).collect::<Vec<_>>();
        pieces.iter().map(|frame| matches!(frame, Frame::Picture(_))).collect()
    }

    #[test]
    fn pictures_come_out_however_the_stream_is_cut() {
        let stream =
            [framed(PNG), framed(b"no picture"), framed(&[0; 100]), framed(PNG), framed(b"")]
                .concat();
        for size in [1, 2, 3, 5, 64, 1000] {
            assert_eq!(read(&stream, size), [true, false, false, true, false], "pieces of {size}");
        }
    }

    #[test]
    fn a_length_of_four_gigabytes_costs_nothing() {
        let mut frames = Frames::new(64);
        assert_eq!(frames.add(&[0xff; 4]).len(), 1);
        frames.add(&[0; 100_000]);
        assert!(frames.buffer.capacity() < 1000);
    }
}
