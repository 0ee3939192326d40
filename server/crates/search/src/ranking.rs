//! Ranks texts with BM25.

use std::fmt;

use bm25::{Embedder, EmbedderBuilder, Scorer, Tokenizer};
use unicode_segmentation::UnicodeSegmentation as _;

/// Texts with their ranking data.
pub struct Ranking {
    embedder: Embedder<u32, WordTokenizer>,
    scorer: Scorer<usize, u32>,
}

impl fmt::Debug for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranking").finish_non_exhaustive()
    }
}

impl Ranking {
    pub fn new(texts: &[&str]) -> Ranking {
        let embedder =
            EmbedderBuilder::with_tokenizer_and_fit_to_corpus(WordTokenizer, texts).build();
        let mut scorer = Scorer::new();
        for (number, text) in texts.iter().enumerate() {
            scorer.upsert(&number, embedder.embed(text));
        }
        Ranking { embedder, scorer }
    }

    /// The numbers of the texts that match a query, the best first.
    pub fn matches(&self, query: &str) -> impl Iterator<Item = usize> {
        self.scorer.matches(&self.embedder.embed(query)).into_iter().map(|text| text.id)
    }
}

/// Words in any language, split by Unicode rules, in lower case.
#[derive(Debug, Default)]
struct WordTokenizer;

impl Tokenizer for WordTokenizer {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.unicode_words().map(str::to_lowercase).collect()
    }
}
