//! Connections: accepting them, how many there may be, and letting them go at the end.
//!
//! `axum::serve` has no deadline for a client that sends half a request and no limit on how many
//! such clients there are, so this is hyper beneath the router.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Service;
use super::idle::Use;
use super::stall::{self, Patient, PatientTasks};
use super::visitors::Peer;
use crate::listen::Listeners;

/// Connections at a time, where there are descriptors for them. Whoever comes after that waits in the
/// kernel's queue.
const MAX_CONNECTIONS: usize = 8192;
/// Requests at a time on one connection of HTTP/2: the least that the standard recommends.
const MAX_STREAMS: u32 = 100;
/// Descriptors that are not for connections of clients: of the store, of files, of libraries.
const OTHER_DESCRIPTORS: usize = 128;
/// How long a client may take over the head of its first request.
pub const FIRST_HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take over the head of a later request, and stay without one. Longer than the
/// clients' own pools keep an idle connection, so that theirs is the side that closes it.
pub const HEAD_WITHIN: Duration = Duration::from_secs(90);
/// After a failure to accept, which is mostly that this process has no file descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `stopping`, and then until the last answer that has begun is sent.
pub async fn serve(
    listeners: Listeners,
    service: Service,
    stalled_after: Duration,
    stopping: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(places(raise_descriptors())));
    let connections = GracefulShutdown::new();
    // The first bytes tell whether a client speaks HTTP/1.1 or, without being asked, HTTP/2.
    let mut http = auto::Builder::new(PatientTasks(stalled_after));
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HEAD_WITHIN))
        .max_concurrent_streams(MAX_STREAMS);
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = accept(&listeners, &places) => accepted,
            () = stopping.cancelled() => break,
        };
        let service = service.clone();
        let use_of_it = Use::default();
        let seen = use_of_it.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let version = request.version();
            let asked = seen.ask(version);
            let mut request = tidy_path(request.map(Body::new));
            request.extensions_mut().insert(peer);
            let answer = service.clone().oneshot(request);
            async move { answer.await.map(|response| stall::watched(version, asked.answered(response))) }
        });
        let stream = TokioIo::new(Patient::new(stream, stalled_after));
        let connection = http.serve_connection(stream, service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // A client that breaks off is no failure of ours.
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection broke off");
                },
                why = use_of_it.ends() => tracing::debug!(why, "connection closed"),
            }
            drop(place);
        });
    }
    drop(listeners);
    connections.shutdown().await;
}

/// The descriptors that this process may have, after it has asked for as many as it is allowed.
fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Connections for which there are descriptors: each may need another one, to the sandbox.
fn places(descriptors: usize) -> usize {
    (descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).clamp(1, MAX_CONNECTIONS)
}

async fn accept(
    listeners: &Listeners,
    places: &Arc<Semaphore>,
) -> (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("it is never closed");
    loop {
        match listeners.accept().await {
            Ok((stream, address)) => {
                // Events are small, and each is wanted now. One that cannot have it is only slower.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(address.ip()), place);
            }
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// `//v1beta//interactions/` is `/v1beta/interactions`: base URLs are written with and without a
/// slash at the end.
pub fn tidy_path(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && (path.contains("//") || path.ends_with('/')) {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(path) = format!("/{}{query}", parts.join("/")).parse() {
            let mut uri = request.uri().clone().into_parts();
            uri.path_and_query = Some(path);
            if let Ok(uri) = Uri::from_parts(uri) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_what_answers_them() {
        for (descriptors, wanted) in
            [(0, 1), (64, 1), (256, 64), (1024, 448), (1 << 20, MAX_CONNECTIONS)]
        {
            assert_eq!(places(descriptors), wanted, "{descriptors}");
        }
    }
}
