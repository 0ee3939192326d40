//! Grounding metadata: what was searched, and which parts of an answer cite which page.
//!
//! Positions count bytes of a part of the whole answer, so they also hold for a client that joins
//! the chunks of a stream.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::continues;
use domain::interaction::{Citation, Delta, Event, Found, SearchResult};

#[derive(Debug, Default)]
pub struct Grounding {
    queries: Vec<String>,
    pages: Vec<Found>,
    /// The first place of each page, by its address.
    numbers: HashMap<String, usize>,
    suggestions: Option<String>,
    supports: Vec<Value>,
    /// The last chunk, the index of its part, and the length of that part so far.
    last: Option<Value>,
    part: usize,
    bytes: usize,
    /// Start of the text of the current step.
    step: (usize, usize),
    text: String,
}

impl Grounding {
    /// Processes an event, and the chunk that the client gets for it, if any.
    pub fn add(&mut self, event: &Event, piece: Option<&Value>) {
        match event {
            Event::StepStarted { .. } => self.text.clear(),
            Event::StepDelta { delta, .. } => self.delta(delta, piece),
            _ => {}
        }
        if let Some(piece) = piece {
            self.follow(piece);
        }
    }

    fn delta(&mut self, delta: &Delta, piece: Option<&Value>) {
        match delta {
            Delta::Text(more) => {
                if self.text.is_empty()
                    && let Some(piece) = piece
                {
                    self.step = self.place_of(piece);
                }
                self.text.push_str(more);
            }
            Delta::SearchCall { queries, .. } => self.queries.extend(queries.iter().cloned()),
            Delta::SearchResult(SearchResult { found, suggestions, .. }) => {
                let new = found.iter().filter(|page| self.number(&page.url).is_none());
                let new: Vec<Found> = new.cloned().collect();
                for page in new {
                    self.numbers.entry(page.url.clone()).or_insert(self.pages.len());
                    self.pages.push(page);
                }
                self.suggestions = suggestions.clone().or(self.suggestions.take());
            }
            Delta::Citations(citations) => self.cite(citations),
            _ => {}
        }
    }

    /// One support for each statement, with all pages that it cites.
    fn cite(&mut self, citations: &[Citation]) {
        let (part, before) = self.step;
        for same in citations.chunk_by(|one, next| one.range == next.range) {
            let range = same[0].range.clone();
            let Some(text) = self.text.get(range.clone()) else { continue };
            let pages: Vec<usize> =
                same.iter().filter_map(|citation| self.number(&citation.url)).collect();
            let mut segment = json!({});
            // Like the real service, omits zeros.
            for (name, at) in [("partIndex", part), ("startIndex", before + range.start)] {
                if at > 0 {
                    segment[name] = at.into();
                }
            }
            segment["endIndex"] = (before + range.end).into();
            segment["text"] = text.into();
            // A page of an earlier interaction is not part of this answer.
            if !pages.is_empty() {
                self.supports.push(json!({"segment": segment, "groundingChunkIndices": pages}));
            }
        }
    }

    fn number(&self, url: &str) -> Option<usize> {
        self.numbers.get(url).copied()
    }

    /// The part to which a chunk will belong, and its length so far.
    fn place_of(&self, piece: &Value) -> (usize, usize) {
        match &self.last {
            None => (0, 0),
            Some(last) if continues(last, piece) => (self.part, self.bytes),
            Some(_) => (self.part + 1, 0),
        }
    }

    fn follow(&mut self, piece: &Value) {
        let (part, before) = self.place_of(piece);
        self.part = part;
        self.bytes = before + piece["text"].as_str().map_or(0, str::len);
        self.last = Some(piece.clone());
    }

    /// The candidate's metadata; `None` without a search.
    pub fn metadata(self) -> Option<Value> {
        if self.queries.is_empty() {
            return None;
        }
        let chunk = |page: &Found| json!({"web": {"uri": page.url, "title": page.title}});
        let mut json = json!({"webSearchQueries": self.queries});
        if let Some(html) = self.suggestions {
            json["searchEntryPoint"] = json!({"renderedContent": html});
        }
        if !self.pages.is_empty() {
            json["groundingChunks"] = self.pages.iter().map(chunk).collect();
        }
        if !self.supports.is_empty() {
            json["groundingSupports"] = self.supports.into();
        }
        Some(json)
    }
}
