//! Searches the file search stores that a request names.

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{RunError, ToolRunner};
use backend::{BuiltIn, FileSearch, Prompt};
use domain::interaction::{FileExcerpt, Step};
use resources::budget::Share;
use search::{Filter, Metadata, MetadataValue, Ranking};
use store::StoredDocument;

/// Number of excerpts unless the client decides.
const DEFAULT_TOP_K: u32 = 5;
/// Maximum length of a query; the rest is cut off.
const MAX_QUERY_CHARS: usize = 4000;
/// Maximum length of the part of a document's name that is searched.
const MAX_TITLE_CHARS: usize = 100;
/// Estimated memory of a byte of the chunks while they are ranked. Short chunks take much more than their text.
const COPIES: usize = 16;

/// A document, and its chunks while they are ranked.
struct SearchedDocument {
    store: String,
    document: StoredDocument,
    chunks: Vec<String>,
}

/// The best excerpts for a query, or for the user's newest text.
pub async fn find(
    tools: &ToolRunner,
    query: Option<&str>,
    prompt: &Prompt,
) -> Result<Vec<FileExcerpt>, RunError> {
    let declared = prompt.tools.built_in.iter().find_map(|tool| match tool {
        BuiltIn::FileSearch(search) => Some(search),
        _ => None,
    });
    let Some(search) = declared else { return Ok(Vec::new()) };
    let newest = || prompt.steps.iter().rev().find_map(Step::user_text).unwrap_or_default();
    let query = query.map_or_else(newest, str::to_owned);
    let query: String = query.chars().take(MAX_QUERY_CHARS).collect();
    let (candidates, memory) = candidates(tools, search).await?;
    // It was checked when the request was read.
    let filter = search.metadata_filter.as_deref().and_then(|text| Filter::parse(text).ok());
    let most = search.top_k.unwrap_or(DEFAULT_TOP_K) as usize;
    let found = spawn_blocking(move || {
        let found = best(candidates, filter.as_ref(), &query, most);
        drop(memory);
        found
    });
    // It is dropped only with the runtime.
    Ok(found.await.unwrap_or_default())
}

/// All chunks of the stores.
async fn candidates(
    tools: &ToolRunner,
    search: &FileSearch,
) -> Result<(Vec<SearchedDocument>, Share), RunError> {
    let (stores, owner) = (&tools.stores, &tools.owner);
    let (mut candidates, mut memory) = (Vec::new(), Share::default());
    for name in &search.file_search_store_names {
        let id = name.rsplit_once('/').map_or(name.as_str(), |(_, id)| id);
        if stores.find(owner, id).await?.is_none() {
            return Err(RunError::NoFileSearchStore(name.clone()));
        }
        let bytes = usize::try_from(stores.chunk_bytes(owner, id).await?).unwrap_or(usize::MAX);
        let share = tools.budget.take(bytes.saturating_mul(COPIES)).ok_or(RunError::NoMemory)?;
        memory.add(share);
        let store = name.as_str();
        let documents = stores.chunks(owner, id).await?.into_iter();
        candidates.extend(documents.map(|(document, chunks)| SearchedDocument {
            store: store.to_owned(),
            document,
            chunks,
        }));
    }
    Ok((candidates, memory))
}

impl SearchedDocument {
    fn metadata(&self) -> Vec<Value> {
        serde_json::from_str(&self.document.metadata).unwrap_or_default()
    }

    fn excerpt(&self, chunk: &str) -> FileExcerpt {
        FileExcerpt {
            title: self.document.display_name.clone(),
            text: chunk.to_owned(),
            file_search_store: self.store.clone(),
            document_uri: Some(format!("{}/documents/{}", self.store, self.document.id)),
            custom_metadata: self.metadata(),
        }
    }
}

/// Metadata by name, for filters.
fn values(metadata: &[Value]) -> Metadata {
    let value = |entry: &Value| {
        if let Some(text) = entry["string_value"].as_str() {
            return Some(MetadataValue::Text(text.to_owned()));
        }
        if let Some(number) = entry["numeric_value"].as_f64() {
            return Some(MetadataValue::Number(number));
        }
        let texts = entry["string_list_value"]["values"].as_array()?.iter();
        let texts = texts.filter_map(|text| text.as_str().map(str::to_owned));
        Some(MetadataValue::Texts(texts.collect()))
    };
    let named = |entry: &Value| Some((entry["key"].as_str()?.to_owned(), value(entry)?));
    metadata.iter().filter_map(named).collect()
}

fn best(
    mut candidates: Vec<SearchedDocument>,
    filter: Option<&Filter>,
    query: &str,
    most: usize,
) -> Vec<FileExcerpt> {
    candidates.retain(|candidate| filter.is_none_or(|f| f.matches(&values(&candidate.metadata()))));
    let chunks: Vec<(&SearchedDocument, &str)> = candidates
        .iter()
        .flat_map(|candidate| candidate.chunks.iter().map(move |chunk| (candidate, chunk.as_str())))
        .collect();
    // The name is part of each chunk.
    let text = |(candidate, chunk): &(&SearchedDocument, &str)| {
        let title = candidate.document.display_name.chars().take(MAX_TITLE_CHARS);
        title.chain(['\n']).chain(chunk.chars()).collect::<String>()
    };
    let texts: Vec<String> = chunks.iter().map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = Ranking::new(&texts).matches(query).take(most).collect::<Vec<_>>();
    let found = found.into_iter().filter_map(|at| chunks.get(at));
    found.map(|(candidate, chunk)| candidate.excerpt(chunk)).collect()
}
