//! Sessions of browsers, and their cookie.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use domain::owner::Owner;

const COOKIE_NAME: &str = "belljar_console";
/// How long a session lasts.
pub const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Maximum number of sessions of one owner. The oldest makes room.
const MAX_SESSIONS: usize = 100;

/// Browsers that have sent a key, by the hash of their cookie.
#[derive(Debug)]
pub struct LoginSessions {
    open: Mutex<HashMap<[u8; 32], LoginSession>>,
    /// Makes the tokens of forms.
    secret: [u8; 16],
}

#[derive(Debug, Clone)]
pub struct LoginSession {
    pub owner: Owner,
    since: Instant,
}

impl Default for LoginSessions {
    fn default() -> LoginSessions {
        LoginSessions { open: Mutex::default(), secret: *Uuid::new_v4().as_bytes() }
    }
}

impl LoginSessions {
    pub fn begin(&self, owner: Owner) -> String {
        let cookie = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut open = self.open.lock();
        open.retain(|_, session| session.since.elapsed() < LASTS);
        let own = || open.iter().filter(|(_, session)| session.owner == owner);
        if own().count() >= MAX_SESSIONS {
            let oldest = own().min_by_key(|(_, session)| session.since).map(|(hash, _)| *hash);
            oldest.and_then(|hash| open.remove(&hash));
        }
        open.insert(hash(&cookie), LoginSession { owner, since: Instant::now() });
        cookie
    }

    pub fn find(&self, cookie: &str) -> Option<LoginSession> {
        let session = self.open.lock().get(&hash(cookie)).cloned();
        session.filter(|session| session.since.elapsed() < LASTS)
    }

    pub fn end(&self, cookie: &str) {
        self.open.lock().remove(&hash(cookie));
    }

    /// The token of a session's forms; without sessions there is one for all.
    pub fn token(&self, cookie: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(cookie);
        hex::encode(hasher.finalize())
    }
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

/// The value of the console's cookie.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim())
}

pub fn with_cookie(mut response: Response, value: &str, lasts: Duration) -> Response {
    let seconds = lasts.as_secs();
    let cookie =
        format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = LoginSessions::default();
        let cookie = sessions.begin(Owner::named("a".into()));
        assert_eq!(sessions.find(&cookie).expect("it is open").owner.name(), "a");
        assert!(sessions.find(&cookie[1..]).is_none());
        assert_ne!(sessions.token(&cookie), sessions.token(""));
        sessions.end(&cookie);
        assert!(sessions.find(&cookie).is_none());
        let other = sessions.begin(Owner::named("b".into()));
        for _ in 0..MAX_SESSIONS + 3 {
            sessions.begin(Owner::default());
        }
        assert_eq!(sessions.open.lock().len(), MAX_SESSIONS + 1);
        assert!(sessions.find(&other).is_some(), "that of another owner is kept");
    }
}
