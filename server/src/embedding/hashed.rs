//! Vectors from hashed features. All sums are of integers, so that a text has the same vector on
//! every machine.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Family, shortened};
use backend::{EmbedPart, MediaContent};
use domain::interaction::usage::LETTERS_PER_TOKEN;

/// Weights of features. All but that of the whole input are even, so no sum is zero.
const WORD: i64 = 8;
const PIECE: i64 = 4;
const WHOLE: i64 = 1;
/// Letters of a piece of a word.
const PIECE_LETTERS: usize = 3;

/// The vector of an input.
pub fn vector(model: &str, parts: &[EmbedPart], family: &Family, size: usize) -> Vec<f32> {
    let features = Features::of(model, parts, family.max_tokens);
    let mut sums = vec![0_i64; family.max_size];
    for (seed, weight) in features.weights() {
        let mut directions = Directions(seed);
        for values in sums.chunks_mut(64) {
            let signs = directions.next();
            for (at, value) in values.iter_mut().enumerate() {
                *value += if signs >> at & 1 == 1 { weight } else { -weight };
            }
        }
    }
    // Exact: the sums have fewer bits than a float.
    #[expect(clippy::cast_precision_loss, reason = "weights and their number are small")]
    let whole: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
    if family.shortens_to_unit {
        return shortened(whole, size).unwrap_or_default();
    }
    let mut whole = shortened(whole, family.max_size).unwrap_or_default();
    whole.truncate(size);
    whole
}

/// The features of an input, each with its weight and the number of its occurrences.
struct Features<'m> {
    model: &'m str,
    found: BTreeMap<u64, (i64, u32)>,
}

impl Features<'_> {
    fn of<'m>(model: &'m str, parts: &[EmbedPart], max_tokens: u64) -> Features<'m> {
        let mut features = Features { model, found: BTreeMap::new() };
        let mut whole = Sha256::new();
        let mut left = usize::try_from(max_tokens).unwrap_or(usize::MAX) * LETTERS_PER_TOKEN;
        for part in parts {
            match part {
                EmbedPart::Text(text) => {
                    let end = text.char_indices().nth(left).map_or(text.len(), |(at, _)| at);
                    let text = &text[..end];
                    left -= text.chars().count();
                    whole.update(text);
                    text.unicode_words().for_each(|word| features.word(&word.to_lowercase()));
                }
                EmbedPart::Media { content, .. } => {
                    let sha256 = match content {
                        MediaContent::Here(bytes) => &hex::encode(Sha256::digest(bytes)),
                        MediaContent::Stored(sha256) => sha256,
                    };
                    whole.update(sha256);
                    features.add("media", sha256, WORD);
                }
            }
            whole.update([0]);
        }
        features.add("whole", &hex::encode(whole.finalize()), WHOLE);
        features
    }

    /// A word and its pieces, with marks at its ends.
    fn word(&mut self, word: &str) {
        self.add("word", word, WORD);
        let letters: Vec<char> = ['^'].into_iter().chain(word.chars()).chain(['$']).collect();
        for piece in letters.windows(PIECE_LETTERS) {
            self.add("piece", &String::from_iter(piece), PIECE);
        }
    }

    fn add(&mut self, kind: &str, name: &str, weight: i64) {
        let hash = Sha256::new();
        let hash = [self.model, kind, name].iter().fold(hash, |hash, text| {
            // The length keeps texts apart.
            hash.chain_update(text.len().to_be_bytes()).chain_update(text)
        });
        let hash = <[u8; 32]>::from(hash.finalize());
        let [a, b, c, d, e, f, g, h, ..] = hash;
        let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let (_, count) = self.found.entry(seed).or_insert((weight, 0));
        *count = count.saturating_add(1);
    }

    /// A word that is repeated counts more, but not as often.
    fn weights(&self) -> impl Iterator<Item = (u64, i64)> {
        self.found.iter().map(|(seed, (weight, count))| {
            (*seed, weight * i64::from(1 + count.checked_ilog2().unwrap_or(0)))
        })
    }
}

/// Random signs: SplitMix64.
struct Directions(u64);

impl Directions {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(model: &str, text: &str, size: usize) -> Vec<f32> {
        let family = Family::of_model(model).expect("it is an embedding model");
        vector(model, &[EmbedPart::Text(text.to_owned())], family, size)
    }

    fn product(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_length_one_where_the_model_has_it() {
        for (model, size, wanted) in [
            ("gemini-embedding-001", 3072, true),
            ("gemini-embedding-001", 768, false),
            ("gemini-embedding-2", 3072, true),
            ("gemini-embedding-2", 128, true),
            ("gemini-embedding-2", 1, true),
            ("text-embedding-005", 768, true),
            ("text-embedding-005", 2, true),
        ] {
            let vector = embed(model, "A red house.", size);
            assert_eq!(vector.len(), size);
            let length = product(&vector, &vector).sqrt();
            assert_eq!((length - 1.0).abs() < 1e-5, wanted, "{model} {size}: {length}");
        }
        let whole = embed("gemini-embedding-001", "a", 3072);
        assert_eq!(embed("gemini-embedding-001", "a", 200), whole[..200]);
    }

    #[test]
    fn near_texts_are_near_and_others_are_not() {
        let embed = |text| embed("gemini-embedding-2", text, 3072);
        let house = embed("There is a red house on the hill.");
        let near = product(&house, &embed("There are red houses on the hills."));
        let far = product(&house, &embed("Quarterly revenue grew by nine percent"));
        assert!(near > 0.5, "{near}");
        assert!(far.abs() < 0.1, "{far}");
        assert_eq!(house, embed("There is a red house on the hill."));
        let order = product(&embed("dog bites man"), &embed("man bites dog"));
        assert!(order > 0.95 && order < 1.0, "{order}");
    }

    #[test]
    fn models_have_vectors_of_their_own() {
        let (a, b) = (embed("gemini-embedding-2", "a", 768), embed("text-embedding-005", "a", 768));
        assert!(product(&a, &b).abs() < 0.2);
    }

    #[test]
    fn every_input_has_a_vector() {
        for text in ["!", "🙂", " ", "東京タワー", "a\u{0}b", &"long ".repeat(100_000)] {
            let vector = embed("gemini-embedding-2", text, 128);
            assert!((product(&vector, &vector) - 1.0).abs() < 1e-5, "{text:.10}");
        }
    }

    /// Clients store vectors, so they must not change.
    #[test]
    fn vectors_stay_the_same() {
        let vector = embed("gemini-embedding-001", "What is the meaning of life?", 3072);
        let start: Vec<String> = vector[..4].iter().map(|value| format!("{value:.9}")).collect();
        assert_eq!(start, ["-0.000668686", "0.027416121", "-0.000668686", "0.020729262"]);
    }
}
