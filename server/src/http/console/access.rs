//! Who may see the console.
//!
//! * With API keys: a browser that has sent one of them. It gets a cookie that no script can read and that no
//!   other site can make it send; the cookie names a session in memory, never the key.
//! * Without keys: only this machine, under a loopback name. Other machines may use the API, but a page of
//!   theirs could not be told from one of ours.
//!
//! Forms carry a token, which foreign pages cannot read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{COOKIE, ETAG, HOST, IF_NONE_MATCH, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::html;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::PATH;
use super::layout;
use crate::http::Rejected;
use crate::http::extract::namespace::PathPrefix;
use crate::http::middleware::allowed_clients::{self, Peer};
use crate::http::middleware::auth::Keys;
use crate::http::middleware::control::Control;
use domain::namespace::Namespace;
use domain::owner::Owner;

const COOKIE_NAME: &str = "belljar_console";
/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Maximum number of sessions. The oldest makes room.
const MAX_SESSIONS: usize = 1000;

/// Settings and state of the console's guard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConsoleAccess {
    pub keys: Keys,
    pub control: Control,
    pub sessions: Arc<Sessions>,
}

/// Browsers that have sent a key, by the hash of their cookie.
#[derive(Debug)]
pub struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// Makes the tokens of forms.
    secret: [u8; 16],
}

#[derive(Debug, Clone)]
struct Session {
    owner: Owner,
    since: Instant,
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

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { open: Mutex::default(), secret: *Uuid::new_v4().as_bytes() }
    }
}

impl Sessions {
    fn begin(&self, owner: Owner) -> String {
        let cookie = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut open = self.open.lock();
        open.retain(|_, session| session.since.elapsed() < LASTS);
        if open.len() >= MAX_SESSIONS {
            let oldest =
                open.iter().min_by_key(|(_, session)| session.since).map(|(hash, _)| *hash);
            oldest.and_then(|hash| open.remove(&hash));
        }
        open.insert(hash(&cookie), Session { owner, since: Instant::now() });
        cookie
    }

    fn find(&self, cookie: &str) -> Option<Session> {
        let session = self.open.lock().get(&hash(cookie)).cloned();
        session.filter(|session| session.since.elapsed() < LASTS)
    }

    fn end(&self, cookie: &str) {
        self.open.lock().remove(&hash(cookie));
    }

    /// The token of a session's forms; without sessions there is one for all.
    fn token(&self, cookie: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(cookie);
        hex::encode(hasher.finalize())
    }
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
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

/// Browsers name the site of the page that sends a form; scripts cannot change it.
fn is_foreign(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    sites.any(|site| site != "same-origin" && site != "none")
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

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim())
}

fn with_cookie(mut response: Response, value: &str, lasts: Duration) -> Response {
    let seconds = lasts.as_secs();
    let cookie =
        format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
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
    request.extensions_mut().insert(visit);
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    // A live page is asked for every second.
    let is_known = known.is_some() && known.as_ref() == response.headers().get(ETAG);
    if is_known { StatusCode::NOT_MODIFIED.into_response() } else { response }
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

#[derive(Deserialize)]
pub struct LoginForm {
    key: String,
}

/// The page that asks for a key.
pub async fn ask(State(access): State<ConsoleAccess>, request: Request) -> Response {
    let base = base(request.extensions().get());
    if access.visit(&request).is_some() {
        return to(&base);
    }
    login_page(&base, StatusCode::OK, None)
}

fn login_page(base: &str, status: StatusCode, problem: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        p { "This server has API keys. The console shows what one of them may see." }
        form method="post" action={ (base) "/login" } .login {
            label for="key" { "API key" }
            input #key type="password" name="key" required autofocus autocomplete="current-password"
                aria-describedby=[problem.map(|_| "problem")];
            @if let Some(problem) = problem { p #problem .problem role="alert" { (problem) } }
            button type="submit" { "Log in" }
        }
    };
    layout::outside(base, status, "Log in", &content)
}

/// Exchanges a key for a session.
pub async fn login(
    State(access): State<ConsoleAccess>,
    prefix: Option<axum::Extension<PathPrefix>>,
    Form(LoginForm { key }): Form<LoginForm>,
) -> Response {
    let base = base(prefix.as_deref());
    match access.keys.owner(key.trim()) {
        Some(owner) => {
            let cookie = access.sessions.begin(owner);
            with_cookie(to(&base), &cookie, LASTS)
        }
        None => {
            login_page(&base, StatusCode::UNAUTHORIZED, Some("This is no API key of this server."))
        }
    }
}

/// Ends the session.
pub async fn logout(State(access): State<ConsoleAccess>, request: Request) -> Response {
    let base = base(request.extensions().get());
    if let Some(cookie) = cookie(request.headers()) {
        access.sessions.end(cookie);
    }
    with_cookie(to(&format!("{base}/login")), "", Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(Owner::named("a".into()));
        assert_eq!(sessions.find(&cookie).expect("it is open").owner.name(), "a");
        assert!(sessions.find(&cookie[1..]).is_none());
        assert_ne!(sessions.token(&cookie), sessions.token(""));
        sessions.end(&cookie);
        assert!(sessions.find(&cookie).is_none());
        for _ in 0..MAX_SESSIONS + 3 {
            sessions.begin(Owner::default());
        }
        assert_eq!(sessions.open.lock().len(), MAX_SESSIONS);
    }
}
