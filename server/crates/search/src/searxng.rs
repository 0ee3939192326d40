//! A client for the JSON API of a SearXNG instance.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use super::{MAX_URL_CHARS, Search, SearchError};
use domain::interaction::Found;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Maximum size of a response.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub struct Searxng {
    client: Client,
    address: Url,
    /// Maximum number of pages per query.
    results: usize,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum SearxngError {
    #[error("invalid URL of the search engine {0}: expected a URL such as http://127.0.0.1:8888")]
    NoAddress(String),
    #[error("could not create the search engine client: {0}")]
    Client(reqwest::Error),
    #[error("could not connect to the search engine: {0}")]
    Unreachable(String),
    #[error(
        "the search engine refuses JSON (403): its settings.yml must have `json` among \
         `search.formats`"
    )]
    NoJson,
    #[error("the search engine returned status {0}")]
    Status(u16),
    #[error("invalid response of the search engine: expected JSON with a list of results")]
    Nonsense,
    #[error("the search engine's response has more than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}

impl Searxng {
    /// `within` is the timeout of each query; `results` is the limit of each query.
    pub fn new(base_url: &str, within: Duration, results: usize) -> Result<Searxng, SearxngError> {
        let address = Url::parse(base_url).ok();
        let address = address.filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut address = address.ok_or_else(|| SearxngError::NoAddress(base_url.to_owned()))?;
        let path = format!("{}/search", address.path().trim_end_matches('/'));
        address.set_path(&path);
        let client = http_client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(within)
            .redirect(Policy::none()) // only the configured server may be contacted
            .no_proxy()
            .build()
            .map_err(SearxngError::Client)?;
        Ok(Searxng { client, address, results })
    }

    async fn ask(&self, query: &str) -> Result<Vec<Found>, SearxngError> {
        let mut address = self.address.clone();
        address.query_pairs_mut().append_pair("q", query).append_pair("format", "json");
        let unreachable =
            |error: reqwest::Error| SearxngError::Unreachable(error.without_url().to_string());
        let response = self.client.get(address).send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(SearxngError::NoJson),
            other => return Err(SearxngError::Status(other.as_u16())),
        }
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(unreachable)?);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(SearxngError::TooLong);
            }
        }
        let answer: Value = parse::json::parse(&body).map_err(|_| SearxngError::Nonsense)?;
        let results = answer["results"].as_array().ok_or(SearxngError::Nonsense)?;
        Ok(results.iter().filter_map(page).take(self.results).collect())
    }
}

/// A result; all fields except the URL are optional.
fn page(result: &Value) -> Option<Found> {
    let url = result["url"].as_str()?;
    let is_page = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    let text = |name: &str| result[name].as_str().unwrap_or_default().trim().to_owned();
    let title = Some(text("title")).filter(|title| !title.is_empty());
    (is_page && url.len() <= MAX_URL_CHARS).then(|| Found {
        title: title.unwrap_or_else(|| url.to_owned()),
        url: url.to_owned(),
        snippet: text("content"),
    })
}

impl Search for Searxng {
    fn find<'a>(&'a self, query: &'a str) -> BoxFuture<'a, Result<Vec<Found>, SearchError>> {
        Box::pin(async move { Ok(self.ask(query).await?) })
    }
}
