//! What was searched, and which parts of an answer were taken from what: it stands beside the parts.
//!
//! Places count bytes of a part, in the answer as a whole. A client that joins the pieces of a
//! stream finds them in the same places.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::goes_on;
use crate::interaction::{Citation, Delta, Event, Found, SearchResult};

#[derive(Debug, Default)]
pub struct Grounding {
    queries: Vec<String>,
    pages: Vec<Found>,
    /// The first place of each page, by its address.
    numbers: HashMap<String, usize>,
    suggestions: Option<String>,
    supports: Vec<Value>,
    /// The last piece; its part's number, from 0, and how long the part is.
    last: Option<Value>,
    part: usize,
    bytes: usize,
    /// Where the text of the step that is being written begins.
    step: (usize, usize),
    text: String,
}

impl Grounding {
    /// Takes in what happened, and the piece that it is to the client, if it is one.
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

    /// One support for each statement, whatever many pages it was taken from.
    fn cite(&mut self, citations: &[Citation]) {
        let (part, before) = self.step;
        for same in citations.chunk_by(|one, next| one.range == next.range) {
            let range = same[0].range.clone();
            let Some(text) = self.text.get(range.clone()) else { continue };
            let pages: Vec<usize> =
                same.iter().filter_map(|citation| self.number(&citation.url)).collect();
            let mut segment = json!({});
            // What is 0 is left out, as the real service does.
            for (name, at) in [("partIndex", part), ("startIndex", before + range.start)] {
                if at > 0 {
                    segment[name] = at.into();
                }
            }
            segment["endIndex"] = (before + range.end).into();
            segment["text"] = text.into();
            // A page that an earlier interaction found is none of this answer's.
            if !pages.is_empty() {
                self.supports.push(json!({"segment": segment, "groundingChunkIndices": pages}));
            }
        }
    }

    fn number(&self, url: &str) -> Option<usize> {
        self.numbers.get(url).copied()
    }

    /// The part that a piece will belong to, and what is in it already.
    fn place_of(&self, piece: &Value) -> (usize, usize) {
        match &self.last {
            None => (0, 0),
            Some(last) if goes_on(last, piece) => (self.part, self.bytes),
            Some(_) => (self.part + 1, 0),
        }
    }

    fn follow(&mut self, piece: &Value) {
        let (part, before) = self.place_of(piece);
        self.part = part;
        self.bytes = before + piece["text"].as_str().map_or(0, str::len);
        self.last = Some(piece.clone());
    }

    /// What the candidate gets. Nothing where nothing was searched.
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
