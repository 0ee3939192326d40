//! Grounding metadata: what was searched, and which parts of an answer cite which page.
//!
//! Positions count bytes of a part of the whole answer, so they also hold for a client that joins
//! the chunks of a stream.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::continues;
use super::part::invocation::status_name;
use crate::http::wire::json_reader::camel;
use domain::interaction::{
    Citation, CitedSource, Delta, Event, FileExcerpt, PassthroughStep, SearchResult, SourceKind,
    StepStart, ToolRequest, ToolResult,
};

/// What an answer says about its sources.
#[derive(Debug, Default)]
pub struct GroundingMetadata {
    /// `groundingMetadata`
    pub grounding: Option<Value>,
    /// `urlContextMetadata`
    pub url_context: Option<Vec<Value>>,
}

#[derive(Debug, Default)]
pub struct Grounding {
    queries: Vec<String>,
    chunks: Vec<Value>,
    /// The first chunk of each source, by its address.
    numbers: HashMap<String, usize>,
    suggestions: Option<String>,
    widget_context_token: Option<String>,
    supports: Vec<Value>,
    /// URLs that the client was not told of yet.
    urls: Vec<Value>,
    /// A step of a tool.
    tool: Option<PassthroughStep>,
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
            Event::StepStarted { start, .. } => {
                self.text.clear();
                self.tool = match start {
                    StepStart::Tool(step) | StepStart::Passthrough(step) => {
                        Some(PassthroughStep::new(step.clone()))
                    }
                    _ => None,
                };
            }
            Event::StepDelta { delta, .. } => self.delta(delta, piece),
            Event::StepStopped { .. } => {
                if let Some(step) = self.tool.take() {
                    self.tool_step(&step.into_value());
                }
            }
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
                for page in found {
                    if self.number(&page.url).is_none() {
                        self.chunk(
                            &page.url,
                            json!({"web": {"uri": page.url, "title": page.title}}),
                        );
                    }
                }
                self.suggestions = suggestions.clone().or(self.suggestions.take());
            }
            Delta::Citations(citations) => self.cite(citations),
            Delta::Passthrough(delta) => {
                if let Some(step) = &mut self.tool {
                    step.add(delta);
                }
            }
            _ => {}
        }
    }

    /// The call or the result of a tool.
    fn tool_step(&mut self, step: &Value) {
        if let Some(ToolRequest::GoogleMaps { queries }) = ToolRequest::of_step(step) {
            self.queries.extend(queries);
        }
        let Some(result) = ToolResult::of_step(step) else { return };
        if let ToolResult::FileSearch(found) = &result {
            // Each excerpt is a chunk, and a citation refers to the first of its document.
            for excerpt in found {
                self.chunk(&excerpt.source().url, of_excerpt(excerpt));
            }
            return;
        }
        for source in result.sources() {
            if self.number(&source.url).is_none() {
                self.chunk(&source.url, of_source(&source));
            }
        }
        match result {
            ToolResult::UrlContext(urls) => self.urls.extend(urls.iter().map(|url| {
                json!({"retrievedUrl": url.url, "urlRetrievalStatus": status_name(url.status)})
            })),
            ToolResult::GoogleMaps { widget_context_token, .. } => {
                self.widget_context_token = widget_context_token.or(self.widget_context_token.take());
            }
            _ => {}
        }
    }

    fn chunk(&mut self, url: &str, chunk: Value) {
        self.numbers.entry(url.to_owned()).or_insert(self.chunks.len());
        self.chunks.push(chunk);
    }

    /// One support for each statement, with all pages that it cites.
    fn cite(&mut self, citations: &[Citation]) {
        let (part, before) = self.step;
        for same in citations.chunk_by(|one, next| one.range == next.range) {
            let range = same[0].range.clone();
            let Some(text) = self.text.get(range.clone()) else { continue };
            let pages: Vec<usize> =
                same.iter().filter_map(|citation| self.number(&citation.source.url)).collect();
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

    /// What is new since the last chunk.
    pub fn news(&mut self) -> GroundingMetadata {
        let urls = std::mem::take(&mut self.urls);
        GroundingMetadata { grounding: None, url_context: (!urls.is_empty()).then_some(urls) }
    }

    /// What is known at the end. Like the real service, tells nothing of sources that were neither searched
    /// for nor cited.
    pub fn end(mut self) -> GroundingMetadata {
        let news = self.news();
        if self.queries.is_empty() && self.supports.is_empty() {
            return news;
        }
        let mut json = json!({});
        for (name, list) in [
            ("webSearchQueries", self.queries.into_iter().map(Value::from).collect::<Vec<_>>()),
            ("groundingChunks", self.chunks),
            ("groundingSupports", self.supports),
        ] {
            if !list.is_empty() {
                json[name] = list.into();
            }
        }
        if let Some(html) = self.suggestions {
            json["searchEntryPoint"] = json!({"renderedContent": html});
        }
        if let Some(token) = self.widget_context_token {
            json["googleMapsWidgetContextToken"] = token.into();
        }
        GroundingMetadata { grounding: Some(json), ..news }
    }
}

fn of_source(source: &CitedSource) -> Value {
    let CitedSource { title, url, kind } = source;
    match kind {
        SourceKind::Place(id) => json!({"maps": {"placeId": id, "uri": url, "title": title}}),
        SourceKind::Page | SourceKind::Document => json!({"web": {"uri": url, "title": title}}),
    }
}

fn of_excerpt(excerpt: &FileExcerpt) -> Value {
    let FileExcerpt { title, text, file_search_store, custom_metadata, .. } = excerpt;
    let mut context = json!({"title": title, "text": text, "fileSearchStore": file_search_store});
    if !custom_metadata.is_empty() {
        context["customMetadata"] = custom_metadata.iter().map(in_camel_case).collect();
    }
    json!({"retrievedContext": context})
}

/// `{"key": …, "string_value": …}` with the names of this API.
fn in_camel_case(metadata: &Value) -> Value {
    let fields = metadata.as_object().into_iter().flatten();
    fields.map(|(name, value)| (camel(name.clone()), value.clone())).collect()
}
