//! Who may see the console.
//!
//! * With API keys: a browser that has sent one of them. It gets a cookie that no script can read and that no
//!   other site can make it send; the cookie names a session in memory, never the key.
//! * Without keys: only this machine, under a loopback name. Other machines may use the API, but a page of
//!   theirs could not be told from one of ours.
//!
//! Forms carry a token, which foreign pages cannot read.

pub mod login;
mod sessions;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{ETAG, HOST, IF_NONE_MATCH, LOCATION, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::PATH;
use super::layout;
use crate::http::Rejected;
use crate::http::extract::body::holding;
use crate::http::extract::namespace::PathPrefix;
use crate::http::middleware::allowed_clients::{self, Peer};
use crate::http::middleware::auth::Keys;
use crate::http::middleware::control::Control;
use domain::namespace::Namespace;
use domain::owner::Owner;
use resources::budget::Budget;
use sessions::{LoginSessions, cookie};

/// Settings and state of the console's guard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConsoleAccess {
    pub keys: Keys,
    pub control: Control,
    pub sessions: Arc<LoginSessions>,
    /// For pages, until they have been sent.
    pub memory: Budget,
}

/// A request that may see the console.
#[derive(Debug, Clone)]
pub struct Visit {
    pub owner: Owner,
    pub namespace: Namespace,
    /// Path of the console, with the namespace of the request.
    pub base: String,
    /// For forms.
    pub token: String,
    pub has_session: bool,
    pub control: Control,
}

impl ConsoleAccess {
    /// Why this client may not even log in.
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        // The error replaces the page.
        if request.extensions().get::<Rejected>().is_some() {
            return Some("The request is rejected.");
        }
        if request.method() != Method::GET && is_foreign(request.headers()) {
            return Some("A page of another site has sent this form.");
        }
        if !self.keys.are_none() {
            return None;
        }
        let peer = request.extensions().get::<Peer>().copied();
        if !allowed_clients::is_here(peer, request.headers()) {
            return Some(
                "Without API keys the console is only for browsers on the server's own machine. Set \
                 BELLJAR_API_KEYS to use it from others.",
            );
        }
        let hosts = request.headers().get_all(HOST).iter();
        let mut named = hosts.filter_map(|host| host.to_str().ok());
        let in_uri = request.uri().authority().map(|authority| authority.as_str());
        let is_named = in_uri.is_some() || request.headers().contains_key(HOST);
        let are_loopback = named.all(is_loopback) && in_uri.is_none_or(is_loopback);
        (!is_named || !are_loopback).then_some(
            "Without API keys the console is only at http://localhost or an address such as 127.0.0.1.",
        )
    }

    fn visit(&self, request: &Request) -> Option<Visit> {
        let cookie = cookie(request.headers()).unwrap_or_default();
        let owner = match self.keys.are_none() {
            true => Owner::default(),
            false => self.sessions.find(cookie)?.owner,
        };
        let prefix = request.extensions().get::<PathPrefix>();
        let named = prefix.and_then(|prefix| Namespace::named(prefix.name()).ok());
        Some(Visit {
            namespace: named.unwrap_or_default().of(owner.clone()),
            owner,
            base: base(prefix),
            token: self.sessions.token(cookie),
            has_session: !self.keys.are_none(),
            control: self.control,
        })
    }
}

fn base(prefix: Option<&PathPrefix>) -> String {
    format!("{}{PATH}", prefix.map_or("", |prefix| prefix.path.as_str()))
}

/// Browsers name the site of the page that sends a form; scripts cannot change it. Over plain HTTP they name
/// its origin only.
fn is_foreign(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter().peekable();
    if sites.peek().is_some() {
        return sites.any(|site| site != "same-origin" && site != "none");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.get_all(ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        !authority.eq_ignore_ascii_case(host)
    })
}

/// `localhost:8080`, `127.0.0.1`, `[::1]:8080`
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Sends the browser to another page of the console.
pub fn to(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Rejects clients that may not use the console.
pub async fn restrict(
    State(access): State<ConsoleAccess>,
    request: Request,
    next: Next,
) -> Response {
    match access.refuses(&request) {
        Some(why) => layout::refused(&base(request.extensions().get()), StatusCode::FORBIDDEN, why),
        None => next.run(request).await,
    }
}

/// The same, and asks for a key where one is required.
pub async fn admit(
    State(access): State<ConsoleAccess>,
    mut request: Request,
    next: Next,
) -> Response {
    let base = base(request.extensions().get());
    if let Some(why) = access.refuses(&request) {
        return layout::refused(&base, StatusCode::FORBIDDEN, why);
    }
    let Some(visit) = access.visit(&request) else { return to(&format!("{base}/login")) };
    request.extensions_mut().insert(visit.owner.clone());
    request.extensions_mut().insert(visit.clone());
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    // A live page is asked for every second.
    let is_known = known.is_some() && known.as_ref() == response.headers().get(ETAG);
    if is_known {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let bytes = response.body().size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    match access.memory.of(&visit.owner).take(bytes.unwrap_or(usize::MAX)) {
        Some(share) => holding(response, share),
        None => {
            let why = "The server has no memory left for this page. Try again.";
            layout::failed(&visit, StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visit, StatusCode> {
        parts.extensions.get().cloned().ok_or(StatusCode::FORBIDDEN)
    }
}

impl Visit {
    /// Whether a form was on one of our pages.
    pub fn has_sent(&self, token: &str) -> bool {
        bool::from(self.token.as_bytes().ct_eq(token.as_bytes()))
    }

    /// The page for a form that another page has sent, or that is older than the server.
    pub fn stale_form(&self) -> Response {
        layout::failed(
            self,
            StatusCode::FORBIDDEN,
            "This form is out of date. Load its page again.",
        )
    }
}

/// A form without fields.
#[derive(Debug, Deserialize)]
pub struct Submitted {
    pub token: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_foreign() {
        for (headers, wanted) in [
            (&[][..], false), // a program, which could send any header
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://else")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("host", "a:1"), ("origin", "http://a:1")], false),
            (&[("host", "a.example"), ("origin", "https://A.example")], false),
            (&[("host", "a:1"), ("origin", "http://a:2")], true),
            (&[("host", "a:1"), ("origin", "http://b:1")], true),
            (&[("host", "a:1"), ("origin", "null")], true),
        ] {
            let mut sent = HeaderMap::new();
            for (name, value) in headers {
                sent.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_foreign(&sent), wanted, "{headers:?}");
        }
    }

    #[test]
    fn only_loopback_hosts_are_local() {
        for (host, wanted) in [
            ("localhost", true),
            ("LOCALHOST.:8080", true),
            ("belljar.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("192.168.0.7:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.example:80", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), wanted, "{host}");
        }
    }
}
