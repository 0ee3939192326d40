//! Restricts a recording server to clients on this machine, so that other people's requests are not
//! recorded without their knowledge.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::error::{ApiError, Code};

/// Headers in which a proxy names its client.
const FORWARDED: [&str; 3] = ["x-forwarded-for", "forwarded", "x-real-ip"];

const RECORDS: &str = "This server records requests, and accepts only clients on its own machine. \
                       --record-remote-clients accepts other clients too.";

/// Which clients are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AllowedClients {
    #[default]
    All,
    /// Clients on a loopback address, except those behind a proxy.
    ThisMachine,
}

/// The address of a connection's client.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Rejects requests from other machines.
pub async fn check(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if !is_here(peer, request.headers()) {
        return ApiError::new(Code::PermissionDenied, RECORDS).into_response();
    }
    next.run(request).await
}

/// Whether a client is on this machine, and no proxy for another one.
pub fn is_here(peer: Option<Peer>, headers: &HeaderMap) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    let mut forwarded = FORWARDED.iter().flat_map(|name| headers.get_all(*name));
    peer.is_some_and(|Peer(address)| is_loopback(address))
        && forwarded.all(|value| {
            let value = value.to_str().unwrap_or("?");
            value.split(',').all(|one| one.trim().parse().is_ok_and(is_loopback))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_on_other_machines_are_recognized() {
        for (peer, forwarded, here) in [
            ("127.0.0.1", None, true),
            ("::1", None, true),
            ("::ffff:127.0.0.2", None, true),
            ("192.168.0.7", None, false),
            ("172.17.0.1", None, false),
            ("127.0.0.1", Some("127.0.0.1, ::1"), true),
            ("127.0.0.1", Some("203.0.113.7"), false),
            ("127.0.0.1", Some("127.0.0.1, 203.0.113.7"), false),
            ("127.0.0.1", Some("unknown"), false),
        ] {
            for name in FORWARDED {
                let mut headers = HeaderMap::new();
                if let Some(value) = forwarded {
                    headers.insert(name, value.parse().expect("it is a value"));
                }
                let peer = Peer(peer.parse().expect("it is an address"));
                assert_eq!(is_here(Some(peer), &headers), here, "{peer:?} {name} {forwarded:?}");
            }
        }
        assert!(!is_here(None, &HeaderMap::new()), "an unknown address is not local");
    }
}
