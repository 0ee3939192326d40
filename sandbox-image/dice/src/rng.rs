//! Random bytes that are reproducible with the seed and unpredictable without it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// One stream of bytes for each process of a cell, so that the workers of a pool do not all draw the
/// same numbers.
#[derive(Debug)]
pub struct SeededRng {
    /// Id of the process in which the stream began.
    first: AtomicI64,
    /// Number of words drawn.
    drawn: AtomicU64,
}

const NONE: i64 = -1;

impl SeededRng {
    pub const fn new() -> SeededRng {
        SeededRng { first: AtomicI64::new(NONE), drawn: AtomicU64::new(0) }
    }

    /// Restarts the stream. A fork continues with a stream of its own.
    pub fn begin(&self, process: u32) {
        self.first.store(process.into(), Relaxed);
        self.drawn.store(0, Relaxed);
    }

    pub fn fill(&self, seed: u64, process: u32, bytes: &mut [u8]) {
        // Relative to the first process: absolute process ids differ between machines.
        let process = match self.first.load(Relaxed) {
            NONE => 0,
            first => i64::from(process).wrapping_sub(first).cast_unsigned(),
        };
        let stream = mix(seed ^ mix(process));
        for piece in bytes.chunks_mut(8) {
            let word = mix(stream.wrapping_add(self.drawn.fetch_add(1, Relaxed)));
            piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
        }
    }
}

/// The step of SplitMix64: adjacent inputs give unrelated outputs.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes that `process` draws, if the stream began in process `first`.
    fn draw(seed: u64, first: u32, process: u32) -> [u8; 35] {
        let rng = SeededRng::new();
        rng.fill(9, 9, &mut [0; 100]); // drawn in the zygote, discarded by `begin`
        rng.begin(first);
        let mut bytes = [0; 35];
        rng.fill(seed, process, &mut bytes);
        bytes
    }

    #[test]
    fn the_same_seed_draws_the_same_bytes_and_other_seeds_do_not() {
        assert_eq!(draw(7, 2, 2), draw(7, 4000, 4000));
        assert_eq!(draw(7, 2, 5), draw(7, 4000, 4003));
        let others = [draw(8, 2, 2), draw(7, 2, 3), draw(7, 2, 4), draw(0, 2, 2)];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(*other, draw(7, 2, 2), "{at}");
            assert!(!others[..at].contains(other), "{at}");
        }
    }

    #[test]
    fn every_byte_is_equally_frequent() {
        let rng = SeededRng::new();
        let mut bytes = vec![0; 1 << 18];
        rng.fill(1, 2, &mut bytes);
        let mut counts = [0u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        // 1024 of each, give or take five standard deviations.
        assert!(counts.iter().all(|count| (864..1184).contains(count)), "{counts:?}");
    }
}
