//! Reads web pages for a model, from the addresses that the operator allows.

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::spawn_blocking;

use crate::engine::input::fetch::{FetchError, Fetched, Fetcher};
use domain::interaction::{RetrievalStatus, RetrievedUrl};
use resources::budget::Budget;
use search::{Document, PassageKind};

/// Maximum number of URLs of one call, as in the real service; further ones are ignored.
const MAX_URLS: usize = 20;
/// Maximum size of a page.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Maximum length of a page's text; the rest is cut off.
const MAX_TEXT_CHARS: usize = 50_000;
const MAX_TITLE_CHARS: usize = 200;
/// How a server says that a page has to be paid for.
const PAYMENT_REQUIRED: u16 = 402;

pub async fn read(fetcher: &Fetcher, urls: &[String], budget: &Budget) -> Vec<RetrievedUrl> {
    join_all(urls.iter().take(MAX_URLS).map(|url| page(fetcher, url, budget))).await
}

async fn page(fetcher: &Fetcher, url: &str, budget: &Budget) -> RetrievedUrl {
    let (status, title, text) = match fetcher.fetch(url, MAX_PAGE_BYTES, budget).await {
        Ok(Fetched { content, mime_type, memory }) => {
            let kind = PassageKind::of_mime_type(mime_type.as_deref().unwrap_or("text/plain"));
            let read = match kind {
                Some(kind) => spawn_blocking(move || text_of(kind, &content)).await.ok(),
                None => None,
            };
            drop(memory);
            match read {
                Some((title, text)) => (RetrievalStatus::Success, title, text),
                None => (RetrievalStatus::Error, String::new(), String::new()),
            }
        }
        Err(FetchError::Status { status: PAYMENT_REQUIRED, .. }) => {
            (RetrievalStatus::Paywall, String::new(), String::new())
        }
        Err(_) => (RetrievalStatus::Error, String::new(), String::new()),
    };
    RetrievedUrl { url: url.to_owned(), status, title, text }
}

fn text_of(kind: PassageKind, content: &Bytes) -> (String, String) {
    let Document { title, passages } = Document::read(kind, content, "");
    let text = passages.join("\n\n");
    (cut(&title, MAX_TITLE_CHARS), cut(&text, MAX_TEXT_CHARS))
}

fn cut(text: &str, chars: usize) -> String {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}
