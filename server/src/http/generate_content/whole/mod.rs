//! A whole answer, made of the log of an interaction that has ended.

use serde_json::Value;

use super::answer::{About, AnswerEnd, PartEncoder, answer, join};
use super::grounding::Grounding;
use super::usage::usage;
use crate::http::error::ApiError;
use store::{Log, LogEntry};

/// Waits for the end of an interaction; returns its events and how it ended.
pub async fn ended(log: &Log) -> Result<(Vec<LogEntry>, AnswerEnd), ApiError> {
    log.closed().await;
    let entries = log.entries_from(0);
    let end = entries.last().and_then(|entry| AnswerEnd::of(&entry.event));
    let end = end.unwrap_or_else(|| Err(ApiError::broken_off(log)))?;
    Ok((entries, end))
}

pub fn whole(entries: &[LogEntry], end: AnswerEnd, about: &About, thoughts: bool) -> Value {
    let mut parts = PartEncoder::new(thoughts).showing_tools(about.invocations);
    let mut grounding = Grounding::default();
    let mut found: Vec<Value> = Vec::new();
    for entry in entries {
        let part = parts.of(&entry.event);
        grounding.add(&entry.event, part.as_ref());
        found.extend(part);
    }
    found.extend(parts.last());
    let used = end.usage.map(|used| usage(about, &used));
    answer(about, join(found.into_iter()), used, Some(end), grounding.end())
}
