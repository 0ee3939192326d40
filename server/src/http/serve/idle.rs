//! Closes idle connections.
//!
//! ```text
//!   accepted ──10 s──▶ first request ──▶ answered ──90 s──▶ next request …
//!      └──▶ closed                          └──▶ closed
//! ```
//!
//! hyper does the latter for HTTP/1. On HTTP/2, a client that answers pings could stay connected
//! indefinitely.

use axum::http::Version;
use axum::response::Response;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::http::extract::body::holding;
use crate::http::serve::{FIRST_HEAD_WITHIN, HEAD_WITHIN};

/// Use of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionUse(watch::Sender<RequestCounts>);

/// Requests on one connection.
#[derive(Debug, Default, Clone, Copy)]
struct RequestCounts {
    requests: u64,
    /// Number of HTTP/2 requests without a complete response.
    open: usize,
    is_http_2: bool,
}

/// A request without a response so far.
#[derive(Debug)]
pub struct PendingRequest(Option<ConnectionUse>);

impl Default for ConnectionUse {
    fn default() -> ConnectionUse {
        ConnectionUse(watch::Sender::new(RequestCounts::default()))
    }
}

impl ConnectionUse {
    pub fn ask(&self, version: Version) -> PendingRequest {
        let is_http_2 = version == Version::HTTP_2;
        let first = self.0.borrow().requests == 0;
        if !is_http_2 && !first {
            return PendingRequest(None);
        }
        self.0.send_modify(|asked| {
            asked.requests += 1;
            asked.open += usize::from(is_http_2);
            asked.is_http_2 = is_http_2;
        });
        PendingRequest(is_http_2.then(|| self.clone()))
    }

    /// Completes when the connection has been idle for too long, and returns the reason.
    pub async fn ends(&self) -> &'static str {
        let mut asked = self.0.subscribe();
        let first = timeout(FIRST_HEAD_WITHIN, until(&mut asked, |asked| asked.requests > 0));
        if first.await.is_err() {
            return "no request came";
        }
        loop {
            let before = until(&mut asked, |asked| asked.is_http_2 && asked.open == 0).await;
            let next = until(&mut asked, |asked| asked.requests != before);
            if timeout(HEAD_WITHIN, next).await.is_err() {
                return "no further request came";
            }
        }
    }
}

/// The number of requests when the condition holds. The sender outlives the receiver.
async fn until(
    asked: &mut watch::Receiver<RequestCounts>,
    is_so: impl Fn(&RequestCounts) -> bool,
) -> u64 {
    asked.wait_for(is_so).await.map_or(0, |asked| asked.requests)
}

impl PendingRequest {
    /// Tracks the response, which is complete when its body is dropped.
    pub fn answered(self, response: Response) -> Response {
        match self.0 {
            None => response,
            Some(_) => holding(response, self),
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        if let Some(ConnectionUse(asked)) = &self.0 {
            asked.send_modify(|asked| asked.open -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use axum::body::Body;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed_soon() {
        let began = Instant::now();
        assert_eq!(ConnectionUse::default().ends().await, "no request came");
        assert_eq!(began.elapsed(), FIRST_HEAD_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_http_2_connection_is_closed_after_the_last_response() {
        let began = Instant::now();
        let connection = ConnectionUse::default();
        let first = connection.ask(Version::HTTP_2);
        let second = connection.ask(Version::HTTP_2);
        let mut ends = tokio_test(connection.clone());
        assert!(timeout(HEAD_WITHIN * 10, &mut ends).await.is_err(), "two are open");
        drop(first);
        let response = second.answered(Response::new(Body::from("x")));
        assert!(timeout(HEAD_WITHIN * 10, &mut ends).await.is_err(), "one is open");
        drop(response);
        let before = began.elapsed();
        assert_eq!(ends.await, "no further request came");
        assert_eq!(began.elapsed() - before, HEAD_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn http_1_connections_are_left_to_hyper() {
        let connection = ConnectionUse::default();
        drop(connection.ask(Version::HTTP_11));
        assert!(timeout(HEAD_WITHIN * 10, connection.ends()).await.is_err());
    }

    fn tokio_test(connection: ConnectionUse) -> Pin<Box<dyn Future<Output = &'static str>>> {
        Box::pin(async move { connection.ends().await })
    }
}
