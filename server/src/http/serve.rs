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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Service;
use super::stall::Patient;
use super::visitors::Peer;

/// Connections at a time. Whoever comes after that waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 8192;
/// How long a client may take over the head of a request, and stay without one. Longer than the
/// clients' own pools keep an idle connection, so that theirs is the side that closes it.
const HEAD_WITHIN: Duration = Duration::from_secs(90);
/// After a failure to accept, which is mostly that this process has no file descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `stopping`, and then until the last answer that has begun is sent.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    stalled_after: Duration,
    stopping: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    // The first bytes tell whether a client speaks HTTP/1.1 or, without being asked, HTTP/2.
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEAD_WITHIN));
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stopping.cancelled() => break,
        };
        let service = service.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = tidy_path(request.map(Body::new));
            request.extensions_mut().insert(peer);
            service.clone().oneshot(request)
        });
        let stream = TokioIo::new(Patient::new(stream, stalled_after));
        let connection = http.serve_connection(stream, service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no failure of ours.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("it is never closed");
    loop {
        match listener.accept().await {
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
