//! Captured output of a run: its head and its tail, up to a limit.

use std::collections::VecDeque;

/// Keeps at most `limit` bytes: the first half from the start of the output, the second from its end.
#[derive(Debug)]
pub struct Capture {
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Capture {
    pub fn new(limit: usize) -> Capture {
        Capture { half: limit / 2, head: Vec::new(), tail: VecDeque::new(), left_out: 0 }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(self.half - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        // Skip bytes that would be dropped again at once.
        let skipped = rest.len().saturating_sub(self.half);
        self.tail.extend(&rest[skipped..]);
        let pushed_out = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..pushed_out);
        self.left_out += (skipped + pushed_out) as u64;
    }

    /// Number of bytes written, kept or not.
    pub fn total(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.left_out
    }

    /// Head and tail, with a line between them if bytes are missing, and the number of missing bytes.
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        if self.left_out > 0 {
            let line = format!("\n[… {} bytes left out …]\n", self.left_out);
            self.head.extend_from_slice(line.as_bytes());
        }
        self.head.extend(self.tail);
        (self.head, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_within_the_limit_is_unchanged() {
        for pieces in [vec!["0123456789"], vec!["01234", "56789"], vec!["0"; 10]] {
            let mut capture = Capture::new(10);
            pieces.iter().for_each(|piece| capture.add(piece.as_bytes()));
            assert_eq!(capture.finish(), (pieces.concat().into_bytes(), 0));
        }
    }

    #[test]
    fn output_beyond_the_limit_keeps_its_head_and_its_tail() {
        for size in [1, 3, 7, 26] {
            let mut capture = Capture::new(10);
            b"abcdefghijklmnopqrstuvwxyz".chunks(size).for_each(|piece| capture.add(piece));
            assert_eq!(capture.total(), 26);
            let (text, left_out) = capture.finish();
            let text = String::from_utf8(text).expect("it is text");
            assert_eq!(text, "abcde\n[… 16 bytes left out …]\nvwxyz", "in pieces of {size}");
            assert_eq!(left_out, 16);
        }
    }
}
