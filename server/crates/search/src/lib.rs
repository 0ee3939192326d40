//! Backends for the web searches of a model: a folder of documents, or a search engine.
//!
//! ```text
//!   engine ──▶ find ──▶ Search ──▶ folder · searxng
//! ```
//!
//! This module depends on neither models nor interactions. Results are untrusted data: their size is
//! limited here, and they are shown to the model with numbers.

#![forbid(unsafe_code)]

mod chunks;
mod filter;
mod folder;
mod markup;
mod passage;
mod ranking;
mod searxng;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use minijinja::HtmlEscape;

use domain::interaction::Found;

pub use chunks::{Chunking, chunks};
pub use filter::{Filter, FilterError, Metadata, MetadataValue};
pub use folder::{Folder, FolderError, FolderLimits};
pub use passage::{Document, PassageKind};
pub use ranking::Ranking;
pub use searxng::{Searxng, SearxngError};

/// Maximum number of queries in a search; further ones are ignored.
pub const MAX_QUERIES: usize = 5;
/// Maximum length of a query; the rest is cut off.
pub const MAX_QUERY_CHARS: usize = 400;
/// Maximum number of pages of a search, over all its queries.
pub const MAX_FOUND: usize = 20;
/// Maximum lengths of a page's excerpt, title and URL, in characters.
pub const MAX_SNIPPET_CHARS: usize = 1000;
pub const MAX_TITLE_CHARS: usize = 200;
pub const MAX_URL_CHARS: usize = 2000;
/// Maximum duration of a search.
pub const SEARCH_WITHIN: Duration = Duration::from_secs(30);

/// A search backend.
///
/// The best page comes first. A failed search is an error; an empty result is not.
pub trait Search: fmt::Debug + Send + Sync + 'static {
    fn find<'a>(&'a self, query: &'a str) -> BoxFuture<'a, Result<Vec<Found>, SearchError>>;
}

/// Why a search failed. For the log only: neither the client nor the model sees it.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Searxng(#[from] SearxngError),
    #[error("timeout after {} s", SEARCH_WITHIN.as_secs())]
    TooLong,
}

/// Searches for each query, within the limits, and returns each page once: first the best page of
/// each query, then the second, and so on.
pub async fn find(search: &dyn Search, queries: &[String]) -> Result<Vec<Found>, SearchError> {
    let looked_up =
        futures_util::future::try_join_all(queries.iter().map(|query| search.find(query)));
    let found = tokio::time::timeout(SEARCH_WITHIN, looked_up).await;
    let mut found: Vec<_> =
        found.map_err(|_| SearchError::TooLong)??.into_iter().map(Vec::into_iter).collect();
    let mut pages = Vec::new();
    let mut known = HashSet::new();
    while pages.len() < MAX_FOUND {
        let best: Vec<Found> = found.iter_mut().filter_map(Iterator::next).collect();
        if best.is_empty() {
            break;
        }
        pages.extend(best.into_iter().filter(|page| known.insert(page.url.clone())).map(cut));
    }
    pages.truncate(MAX_FOUND);
    Ok(pages)
}

/// The queries within the limits: trimmed, without duplicates, and not too many.
pub fn bounded(queries: Vec<String>) -> Vec<String> {
    let mut known = HashSet::new();
    let tidy = queries.iter().map(|query| first(query.trim(), MAX_QUERY_CHARS).to_owned());
    tidy.filter(|query| !query.is_empty() && known.insert(query.clone()))
        .take(MAX_QUERIES)
        .collect()
}

/// HTML that a client can show to let its user continue the search: a link for each query.
pub fn suggestions(queries: &[String]) -> Option<String> {
    let link = |query: &String| {
        let address =
            reqwest::Url::parse_with_params("https://www.google.com/search", [("q", query)]);
        let address = address.map(String::from).unwrap_or_default();
        format!("<a class=\"chip\" href=\"{}\">{}</a>", HtmlEscape(&address), HtmlEscape(query))
    };
    let links: String = queries.iter().map(link).collect();
    (!links.is_empty()).then(|| format!("<div class=\"carousel\">{links}</div>"))
}

fn cut(page: Found) -> Found {
    Found {
        title: first(&page.title, MAX_TITLE_CHARS).to_owned(),
        snippet: first(&page.snippet, MAX_SNIPPET_CHARS).to_owned(),
        url: page.url,
    }
}

/// The first characters of a text.
fn first(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns pages as the query specifies, first number and count: `3 of 10`.
    #[derive(Debug)]
    struct Counting;

    impl Search for Counting {
        fn find<'a>(&'a self, query: &'a str) -> BoxFuture<'a, Result<Vec<Found>, SearchError>> {
            let (count, from) = query.split_once(" of ").expect("the test case has it");
            let from: usize = from.parse().expect("it is a number");
            let count: usize = count.parse().expect("it is a number");
            let pages = (from..from + count).map(|number| Found {
                title: "t".repeat(300),
                url: number.to_string(),
                snippet: "ä".repeat(2000),
            });
            let pages = Ok(pages.collect());
            Box::pin(async { pages })
        }
    }

    async fn urls(queries: &[&str]) -> Vec<String> {
        let queries: Vec<String> = queries.iter().map(|query| (*query).to_owned()).collect();
        let found = find(&Counting, &queries).await.expect("it cannot fail");
        found.into_iter().map(|page| page.url).collect()
    }

    #[tokio::test]
    async fn pages_of_several_queries_come_in_turn_and_once() {
        assert_eq!(urls(&["3 of 0", "2 of 1"]).await, ["0", "1", "2"]);
        assert_eq!(urls(&["2 of 10", "1 of 20"]).await, ["10", "20", "11"]);
        assert_eq!(urls(&["100 of 0", "100 of 1000"]).await.len(), MAX_FOUND);
        assert!(urls(&[]).await.is_empty());
    }

    #[tokio::test]
    async fn the_displayed_texts_of_a_page_are_limited() {
        let found = find(&Counting, &["1 of 0".to_owned()]).await.expect("it cannot fail");
        assert_eq!(found[0].title.chars().count(), MAX_TITLE_CHARS);
        assert_eq!(found[0].snippet.chars().count(), MAX_SNIPPET_CHARS);
    }

    /// Never returns.
    #[derive(Debug)]
    struct Silent;

    impl Search for Silent {
        fn find<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Found>, SearchError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_that_does_not_finish_is_cancelled() {
        let begun = tokio::time::Instant::now();
        let found = find(&Silent, &["moss".to_owned()]).await;
        assert!(matches!(found, Err(SearchError::TooLong)), "{found:?}");
        assert_eq!(begun.elapsed(), SEARCH_WITHIN);
    }

    #[test]
    fn queries_are_bounded() {
        let queries = [" moss ", "", "moss", "fern", "a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(bounded(queries.to_vec()), ["moss", "fern", "a", "b", "c"]);
        assert_eq!(bounded(vec!["ä".repeat(500)])[0].chars().count(), MAX_QUERY_CHARS);
    }

    #[test]
    fn suggestions_are_escaped_links() {
        let html = suggestions(&["a <b> & \"c\"".to_owned()]).expect("there is a query");
        let wanted = "<div class=\"carousel\"><a class=\"chip\" \
                      href=\"https:&#x2f;&#x2f;www.google.com&#x2f;search?q=a+%3Cb%3E+%26+%22c%22\">\
                      a &lt;b&gt; &amp; &quot;c&quot;</a></div>";
        assert_eq!(html, wanted);
        assert_eq!(suggestions(&[]), None);
    }
}
