//! Fetches files from URLs that the operator allows.
//!
//! Without the list of allowed URLs, clients could reach the server's internal network through it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use resources::budget::{Budget, Share};

/// For a whole file.
const WITHIN: Duration = Duration::from_secs(60);
/// Memory that is taken from the budget at once.
const STEP_BYTES: usize = 1 << 20;

/// Allowed URL prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchFrom(Vec<Url>);

#[derive(Debug, Clone, thiserror::Error)]
#[error("invalid URL prefix '{0}': expected for example https://example.org/data/")]
pub struct InvalidUrlPrefix(String);

impl FetchFrom {
    /// Each prefix must end with a slash: `https://a.org` is also a prefix of
    /// `https://a.org.evil.example`.
    pub fn new<'a>(
        folders: impl IntoIterator<Item = &'a str>,
    ) -> Result<FetchFrom, InvalidUrlPrefix> {
        let folders = folders.into_iter().map(|text| {
            let invalid = || InvalidUrlPrefix(text.to_owned());
            let url = Url::parse(text).map_err(|_| invalid())?;
            let is_folder = matches!(url.scheme(), "http" | "https")
                && url.path().ends_with('/')
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            if is_folder { Ok(url) } else { Err(invalid()) }
        });
        Ok(FetchFrom(folders.collect::<Result<_, _>>()?))
    }

    fn allows(&self, url: &Url) -> bool {
        // Another server parses the path again: it may find a `..` if it decodes the path a second
        // time, drops what follows a `;`, or treats a `\` as a slash.
        let path = url.path().to_ascii_lowercase();
        let goes_back = [";", "%25", "%2e", "%2f", "%3b", "%5c", "%00", "\\", "//"]
            .iter()
            .any(|spelling| path.contains(spelling));
        !goes_back
            && url.username().is_empty()
            && url.password().is_none()
            && self.0.iter().any(|folder| {
                folder.origin() == url.origin() && url.path().starts_with(folder.path())
            })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("a file at '{0}' may not be fetched")]
    NotAllowed(String),
    #[error("the file at '{0}' could not be fetched: {1}")]
    Failed(String, String),
    #[error("the file at '{url}' could not be fetched: its server responds with {status}")]
    Status { url: String, status: u16 },
    /// The memory budget is exhausted.
    #[error("no memory left for the file")]
    NoMemory,
}

/// Fetches files.
#[derive(Debug, Clone)]
pub struct Fetcher {
    from: FetchFrom,
    /// Absent if nothing may be fetched: the machine then needs no certificates.
    client: Option<Client>,
}

/// A fetched file.
#[derive(Debug)]
pub struct Fetched {
    pub content: Bytes,
    pub mime_type: Option<String>,
    pub memory: Share,
}

impl Fetcher {
    pub fn new(from: FetchFrom) -> Result<Fetcher, reqwest::Error> {
        // A redirect would bypass the list, and a proxy from the environment is not in the settings.
        let build =
            || http_client::builder().redirect(Policy::none()).no_proxy().timeout(WITHIN).build();
        let client = if from.0.is_empty() { None } else { Some(build()?) };
        Ok(Fetcher { from, client })
    }

    /// Whether this URL has an allowed prefix.
    pub fn allows(&self, uri: &str) -> bool {
        Url::parse(uri).is_ok_and(|url| self.from.allows(&url))
    }

    /// Fetches a file of at most this size; its memory is taken from the budget as it arrives.
    pub async fn fetch(
        &self,
        uri: &str,
        max_bytes: usize,
        budget: &Budget,
    ) -> Result<Fetched, FetchError> {
        let url = Url::parse(uri).ok().filter(|url| self.from.allows(url));
        let (Some(client), Some(url)) = (&self.client, url) else {
            return Err(FetchError::NotAllowed(uri.to_owned()));
        };
        let failed = |why: String| FetchError::Failed(uri.to_owned(), why);
        let response = client.get(url).send().await;
        let mut response =
            response.map_err(|_| failed("its server does not respond".to_owned()))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(FetchError::Status { url: uri.to_owned(), status });
        }
        let mime_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let mime_type = mime_type
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .map(|name| name.trim().to_ascii_lowercase());
        let (mut content, mut memory) = (BytesMut::new(), Share::default());
        let broken = |_| failed("the connection broke".to_owned());
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if content.len() + piece.len() > max_bytes {
                return Err(failed(format!("it has more than {max_bytes} bytes")));
            }
            while memory.bytes() < content.len() + piece.len() {
                memory.add(budget.take(STEP_BYTES).ok_or(FetchError::NoMemory)?);
            }
            content.extend_from_slice(&piece);
        }
        Ok(Fetched { content: content.freeze(), mime_type, memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_below_an_allowed_folder_are_allowed() {
        let from = FetchFrom::new(["https://a.org/data/", "http://127.0.0.1:8000/"]);
        let from = from.expect("both are folders");
        let allows = |text: &str| from.allows(&Url::parse(text).expect("it is a URL"));
        for right in [
            "https://a.org/data/x.csv",
            "https://A.org:443/data/y/x.csv?z=1",
            "http://127.0.0.1:8000/x",
        ] {
            assert!(allows(right), "{right}");
        }
        for wrong in [
            "https://a.org/x.csv",
            "https://a.org/database/x.csv",
            "https://a.org/data/../x.csv",
            "https://a.org/data/%2e%2e/x.csv",
            "https://a.org/data/..%2Fx.csv",
            "https://a.org/data/..%5Cx.csv",
            "https://a.org/data/..;/x.csv",
            "https://a.org/data/..;a=b/x.csv",
            "https://a.org/data/x.csv;v=1",
            "https://a.org/data/%252e%252e/x.csv",
            "https://a.org/data/%25252e/x.csv",
            "https://a.org/data/..%3B/x.csv",
            "https://a.org/data/..%3b/x.csv",
            "https://a.org/data/%5C..%5Cx.csv",
            "https://a.org/data/..\\..\\x.csv",
            "https://a.org/data//x.csv",
            "https://a.org/data/%00x.csv",
            "http://a.org/data/x.csv",
            "https://a.org:444/data/x.csv",
            "https://a.org.evil.example/data/x.csv",
            "https://a.org@evil.example/data/x.csv",
            "https://me@a.org/data/x.csv",
            "http://localhost:8000/x",
            "file:///data/x.csv",
        ] {
            assert!(!allows(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_that_is_no_folder_is_rejected() {
        for wrong in [
            "a.org",
            "https://a.org/data",
            "ftp://a.org/",
            "https://a.org/?x=/",
            "https://me@a.org/",
        ] {
            assert!(FetchFrom::new([wrong]).is_err(), "{wrong}");
        }
        assert!(
            FetchFrom::new(["https://a.org"]).is_ok(),
            "the URL of a server has an implicit slash"
        );
    }
}
