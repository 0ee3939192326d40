//! Pieces of output that wait for a client, and the decoding of their text.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use resources::budget::{Budget, Share};
use sandbox_client::{Image, LivePiece, TextStream};

/// Maximum bytes that wait for the client. Others are dropped.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// Maximum size of a text to which another is appended.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Memory of an image while it is sent, compared with its bytes: also its base64, and the event around it.
const COPIES_OF_IMAGE: usize = 3;

/// Pieces that wait for the client. Adding one never waits.
#[derive(Debug)]
pub struct WaitingPieces {
    queue: Mutex<PieceQueue>,
    changed: Notify,
    budget: Budget,
}

#[derive(Debug, Default)]
struct PieceQueue {
    pieces: VecDeque<WaitingPiece>,
    bytes: usize,
    /// Bytes of each stream that were dropped since its last piece.
    left_out: [u64; 2],
}

/// A piece, and its memory.
#[derive(Debug)]
pub struct WaitingPiece {
    pub piece: OutputPiece,
    /// Bytes of the same stream that were dropped before it.
    pub left_out: u64,
    bytes: usize,
    share: Share,
}

#[derive(Debug)]
pub enum OutputPiece {
    Text(TextStream, Vec<u8>),
    Image(Image),
}

impl WaitingPieces {
    pub fn new(budget: Budget) -> WaitingPieces {
        WaitingPieces { queue: Mutex::default(), changed: Notify::new(), budget }
    }

    pub fn add(&self, piece: LivePiece) {
        let mut queue = self.queue.lock();
        let bytes = match &piece {
            LivePiece::Text(_, text) => text.len(),
            LivePiece::Image(image) => image.data.len() * COPIES_OF_IMAGE,
        };
        let has_room = queue.bytes.saturating_add(bytes) <= MAX_WAITING_BYTES;
        let share = has_room.then(|| self.budget.take(bytes)).flatten();
        match (piece, share) {
            (LivePiece::Text(stream, text), Some(share)) => queue.add_text(stream, &text, share),
            (LivePiece::Text(stream, _), None) => queue.left_out[stream as usize] += bytes as u64,
            (LivePiece::Image(image), Some(share)) => {
                let piece = OutputPiece::Image(image);
                queue.pieces.push_back(WaitingPiece { piece, left_out: 0, bytes, share });
                queue.bytes += bytes;
            }
            (LivePiece::Image(_), None) => {} // it is in the result
        }
        self.changed.notify_one();
    }

    /// Waits for the next piece.
    pub async fn next(&self) -> WaitingPiece {
        loop {
            if let Some(piece) = self.take() {
                return piece;
            }
            self.changed.notified().await;
        }
    }

    /// The next piece, if one waits.
    pub fn take(&self) -> Option<WaitingPiece> {
        let mut queue = self.queue.lock();
        let piece = queue.pieces.pop_front()?;
        queue.bytes -= piece.bytes;
        Some(piece)
    }
}

impl PieceQueue {
    /// Appends text to the last piece, if that is of the same stream and nothing is missing between them.
    fn add_text(&mut self, stream: TextStream, added: &[u8], share: Share) {
        let left_out = std::mem::take(&mut self.left_out[stream as usize]);
        self.bytes += added.len();
        if let Some(WaitingPiece { piece: OutputPiece::Text(of, text), bytes, share: held, .. }) =
            self.pieces.back_mut()
            && *of == stream
            && left_out == 0
            && text.len() + added.len() <= MAX_TEXT_BYTES
        {
            text.extend_from_slice(added);
            *bytes += added.len();
            held.add(share);
            return;
        }
        let piece = OutputPiece::Text(stream, added.to_vec());
        self.pieces.push_back(WaitingPiece { piece, left_out, bytes: added.len(), share });
    }
}

/// Decodes text that arrives in pieces. A character may be split between two.
#[derive(Debug, Default)]
pub struct Utf8Pieces {
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl Utf8Pieces {
    /// The text so far. Bytes that are not UTF-8 are replaced.
    pub fn add(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let last = all.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        let is_begun = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
        if is_begun {
            self.begun = all.split_off(all.len() - last.len());
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_however_its_bytes_are_split() {
        let bytes = "a é 日本 🐍".as_bytes();
        for size in 1..=bytes.len() {
            let mut text = Utf8Pieces::default();
            let whole: String = bytes.chunks(size).map(|piece| text.add(piece)).collect();
            assert_eq!(whole.as_bytes(), bytes, "{size} bytes at a time");
        }
        let mut text = Utf8Pieces::default();
        assert_eq!(text.add(b"\xff!\xe6"), "\u{fffd}!");
        assert_eq!(text.add(b"x"), "\u{fffd}x");
    }

    fn text(stream: TextStream, bytes: usize) -> LivePiece {
        LivePiece::Text(stream, vec![b'x'; bytes].into())
    }

    #[test]
    fn small_pieces_of_a_stream_are_sent_together() {
        let waiting = WaitingPieces::new(Budget::new(1 << 20));
        for stream in [TextStream::Stdout, TextStream::Stdout, TextStream::Stderr] {
            waiting.add(text(stream, 3));
        }
        let lengths: Vec<usize> = std::iter::from_fn(|| waiting.take())
            .map(|waiting| match waiting.piece {
                OutputPiece::Text(_, text) => text.len(),
                OutputPiece::Image(_) => 0,
            })
            .collect();
        assert_eq!(lengths, [6, 3]);
    }

    #[test]
    fn a_slow_client_misses_pieces_and_sees_how_much() {
        let budget = Budget::new(40 << 10);
        let waiting = WaitingPieces::new(budget.clone());
        for _ in 0..6 {
            waiting.add(text(TextStream::Stdout, 10 << 10));
        }
        let first = waiting.take().expect("it waits");
        assert_eq!((first.left_out, first.bytes), (0, 40 << 10));
        drop(first);
        waiting.add(text(TextStream::Stdout, 1));
        let second = waiting.take().expect("it waits");
        assert_eq!((second.left_out, second.bytes), (20 << 10, 1));
        drop(second);
        assert!(budget.take(40 << 10).is_some(), "all memory is released");
    }
}
