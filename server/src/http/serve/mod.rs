//! Accepts connections, limits their number and drains them on shutdown.
//!
//! `axum::serve` has no timeout for a client that sends half a request and no limit on such
//! clients, so this uses hyper directly.

mod idle;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
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

use crate::http::Service;
use crate::http::extract::namespace;
use crate::http::middleware::allowed_clients::Peer;
use crate::http::vertex::with_path;
use crate::listen::Listeners;
use idle::ConnectionUse;
use write_timeout::{WriteTimeoutExecutor, WriteTimeoutStream};

/// Maximum number of connections, if there are enough file descriptors. Further clients wait in the
/// kernel's queue.
const MAX_CONNECTIONS: usize = 8192;
/// Maximum number of concurrent requests on one HTTP/2 connection: the minimum that the standard
/// recommends.
const MAX_STREAMS: u32 = 100;
/// File descriptors reserved for the store, files and libraries.
const OTHER_DESCRIPTORS: usize = 128;
/// Timeout of the head of a connection's first request.
pub const FIRST_HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of the head of a later request, and of an idle connection. Longer than the clients'
/// connection pools, so that the client closes first.
pub const HEAD_WITHIN: Duration = Duration::from_secs(90);
/// Delay after a failed `accept`, whose usual cause is a lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `stopping`, then until the last started response is sent.
pub async fn serve(
    listeners: Listeners,
    service: Service,
    write_timeout: Duration,
    stopping: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(places(raise_descriptors())));
    let connections = GracefulShutdown::new();
    // Detects HTTP/1.1 or HTTP/2 with prior knowledge from the first bytes.
    let mut http = auto::Builder::new(WriteTimeoutExecutor(write_timeout));
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
        let use_of_it = ConnectionUse::default();
        let seen = use_of_it.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let version = request.version();
            let asked = seen.ask(version);
            let mut request = namespace::without_prefix(tidy_path(request.map(Body::new)));
            request.extensions_mut().insert(peer);
            let answer = service.clone().oneshot(request);
            async move {
                answer
                    .await
                    .map(|response| write_timeout::watched(version, asked.answered(response)))
            }
        });
        let stream = TokioIo::new(WriteTimeoutStream::new(stream, write_timeout));
        let connection = http.serve_connection(stream, service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // A client that disconnects is not a failure of the server.
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection failed");
                },
                why = use_of_it.ends() => tracing::debug!(why, "connection closed"),
            }
            drop(place);
        });
    }
    drop(listeners);
    connections.shutdown().await;
}

/// Raises the limit of file descriptors as far as allowed, and returns it.
fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// The number of connections for these descriptors: each may need another descriptor for the
/// sandbox.
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
                // Events are small and should be sent immediately. Without the option they are only
                // slower.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(address.ip()), place);
            }
            Err(error) => {
                tracing::warn!(error = %error, "could not accept connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Normalizes `//v1beta//interactions/` to `/v1beta/interactions`: base URLs are used with and
/// without a trailing slash.
pub fn tidy_path(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && (path.contains("//") || path.ends_with('/')) {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if let Some(uri) = with_path(request.uri(), &format!("/{}", parts.join("/"))) {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_sandbox() {
        for (descriptors, wanted) in
            [(0, 1), (64, 1), (256, 64), (1024, 448), (1 << 20, MAX_CONNECTIONS)]
        {
            assert_eq!(places(descriptors), wanted, "{descriptors}");
        }
    }
}
