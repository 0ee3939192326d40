//! Files at addresses elsewhere: fetched where the operator allows the address, and nowhere else.
//!
//! Whoever may have any address fetched can look around in the network that this server stands in.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::MAX_BLOB_BYTES;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// For all of a file.
const WITHIN: Duration = Duration::from_secs(60);

/// Addresses that may be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchFrom(Vec<Url>);

/// Why something is no address to fetch from.
#[derive(Debug, Clone, thiserror::Error)]
#[error("'{0}' is no address of a server or of a folder there, as https://example.org/data/ is")]
pub struct NoFolder(String);

impl FetchFrom {
    /// Each is the beginning of what may be fetched, and ends with a slash: `https://a.org` would be
    /// the beginning of `https://a.org.evil.example`.
    pub fn new<'a>(folders: impl IntoIterator<Item = &'a str>) -> Result<FetchFrom, NoFolder> {
        let folders = folders.into_iter().map(|text| {
            let no_folder = || NoFolder(text.to_owned());
            let url = Url::parse(text).map_err(|_| no_folder())?;
            let is_folder = matches!(url.scheme(), "http" | "https")
                && url.path().ends_with('/')
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            if is_folder { Ok(url) } else { Err(no_folder()) }
        });
        Ok(FetchFrom(folders.collect::<Result<_, _>>()?))
    }

    fn allows(&self, url: &Url) -> bool {
        // A path is read again where it is served: `..` may come out of it when it is decoded a second
        // time, when what stands after a `;` is left out, or when a `\` is taken for a slash.
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

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("a file at '{0}' may not be fetched")]
    NotAllowed(String),
    #[error("the file at '{0}' could not be fetched: {1}")]
    Failed(String, String),
}

/// Fetches files.
#[derive(Debug, Clone)]
pub struct Fetcher {
    from: FetchFrom,
    /// Absent where nothing may be fetched: a machine need not have the certificates for it then.
    client: Option<Client>,
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    pub content: Bytes,
    pub mime_type: Option<String>,
}

impl Fetcher {
    pub fn new(from: FetchFrom) -> Result<Fetcher, reqwest::Error> {
        // A redirect would lead past the list, and a proxy of the environment is not in the settings.
        let build =
            || Client::builder().redirect(Policy::none()).no_proxy().timeout(WITHIN).build();
        let client = if from.0.is_empty() { None } else { Some(build()?) };
        Ok(Fetcher { from, client })
    }

    /// Whether this address lies below one that is allowed.
    pub fn allows(&self, uri: &str) -> bool {
        Url::parse(uri).is_ok_and(|url| self.from.allows(&url))
    }

    pub async fn fetch(&self, uri: &str) -> Result<Fetched, FetchError> {
        let url = Url::parse(uri).ok().filter(|url| self.from.allows(url));
        let (Some(client), Some(url)) = (&self.client, url) else {
            return Err(FetchError::NotAllowed(uri.to_owned()));
        };
        let failed = |why: String| FetchError::Failed(uri.to_owned(), why);
        let asked = client.get(url).send().await;
        let mut answer = asked.map_err(|_| failed("its server does not answer".to_owned()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("its server answers with {}", answer.status().as_u16())));
        }
        let mime_type = answer.headers().get(reqwest::header::CONTENT_TYPE);
        let mime_type = mime_type
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .map(|name| name.trim().to_ascii_lowercase());
        let mut content = BytesMut::new();
        let broken = |_| failed("it broke off".to_owned());
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            if content.len() + piece.len() > MAX_BLOB_BYTES {
                return Err(failed(format!("it has more than {MAX_BLOB_BYTES} bytes")));
            }
            content.extend_from_slice(&piece);
        }
        Ok(Fetched { content: content.freeze(), mime_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_what_lies_below_a_folder_and_nothing_that_looks_like_it() {
        let from = FetchFrom::new(["https://a.org/data/", "http://127.0.0.1:8000/"]);
        let from = from.expect("both are folders");
        let allows = |text: &str| from.allows(&Url::parse(text).expect("it is an address"));
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
    fn what_is_no_folder_cannot_be_allowed() {
        for wrong in [
            "a.org",
            "https://a.org/data",
            "ftp://a.org/",
            "https://a.org/?x=/",
            "https://me@a.org/",
        ] {
            assert!(FetchFrom::new([wrong]).is_err(), "{wrong}");
        }
        assert!(FetchFrom::new(["https://a.org"]).is_ok(), "a server's address has a slash anyway");
    }
}
