//! HTTP requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::{Histograms, seconds};

#[derive(Debug, Clone)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Histograms<RouteLabel>,
    in_progress: Gauge,
    streams: Gauge,
    sent_bytes: Counter,
    faults: Family<FaultLabel, Counter>,
    uploads: Counter,
    uploaded_bytes: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabel {
    kind: &'static str,
}

/// A request whose response has been sent, or whose client is gone.
#[derive(Debug)]
pub struct FinishedRequest<'r> {
    /// The template of its path; never the path itself.
    pub route: String,
    pub method: &'r str,
    /// The status of its response; that of nginx if the client was gone before.
    pub status: Option<u16>,
    pub duration: Duration,
    pub sent_bytes: u64,
}

/// Status of a request whose client was gone before the response.
const CLIENT_CLOSED: u16 = 499;

/// The methods of the routes. Clients may invent others.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// What faults do.
pub const FAULTS: [&str; 6] = ["delay", "drop", "finish", "malformed_event", "quirk", "status"];

/// Counts an open stream until it is dropped.
#[derive(Debug)]
pub struct StreamGuard(Gauge);

impl Default for RequestMetrics {
    fn default() -> RequestMetrics {
        RequestMetrics {
            requests: Family::default(),
            duration: Histograms::new_with_constructor(seconds),
            in_progress: Gauge::default(),
            streams: Gauge::default(),
            sent_bytes: Counter::default(),
            faults: Family::default(),
            uploads: Counter::default(),
            uploaded_bytes: Counter::default(),
        }
    }
}

impl RequestMetrics {
    pub fn finished(&self, request: FinishedRequest<'_>) {
        let FinishedRequest { route, method, status, duration, sent_bytes } = request;
        let known = METHODS.iter().find(|known| **known == method);
        let labels = RequestLabels {
            route: route.clone(),
            method: known.copied().unwrap_or("OTHER"),
            status: status.unwrap_or(CLIENT_CLOSED),
        };
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&RouteLabel { route }).observe(duration.as_secs_f64());
        self.sent_bytes.inc_by(sent_bytes);
    }

    pub fn set_in_progress(&self, requests: usize) {
        self.in_progress.set(i64::try_from(requests).unwrap_or(i64::MAX));
    }

    pub fn stream(&self) -> StreamGuard {
        self.streams.inc();
        StreamGuard(self.streams.clone())
    }

    /// A fault of one of [`FAULTS`] was applied.
    pub fn fault(&self, kind: &'static str) {
        self.faults.get_or_create(&FaultLabel { kind }).inc();
    }

    pub fn uploaded(&self, bytes: u64) {
        self.uploads.inc();
        self.uploaded_bytes.inc_by(bytes);
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let route = || "/metrics".to_owned();
        let labels = RequestLabels { route: route(), method: "GET", status: 200 };
        drop(self.requests.get_or_create(&labels));
        drop(self.duration.get_or_create(&RouteLabel { route: route() }));
        for kind in FAULTS {
            drop(self.faults.get_or_create(&FaultLabel { kind }));
        }
        registry.register(
            "http_requests",
            "Requests by the template of their path, method and status; 499 if the client was gone first",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request to the end of its response, streams included",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "http_requests_in_progress",
            "Requests whose response has not ended",
            self.in_progress.clone(),
        );
        registry.register("http_streams_open", "Responses that are streams", self.streams.clone());
        registry.register_with_unit(
            "http_sent",
            "Size of all response bodies",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register(
            "faults_injected",
            "Faults that were applied to requests, by kind",
            self.faults.clone(),
        );
        registry.register("uploads", "Files that were uploaded", self.uploads.clone());
        registry.register_with_unit(
            "uploaded",
            "Size of all uploaded files",
            Unit::Bytes,
            self.uploaded_bytes.clone(),
        );
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exposition, MetricSet};

    #[test]
    fn invented_methods_share_one_series() {
        let metrics = Exposition::new(MetricSet::default());
        for method in ["GET", "BREW", "WHEN"] {
            metrics.parts.requests.finished(FinishedRequest {
                route: "/x/journal".to_owned(),
                method,
                status: None,
                duration: Duration::from_millis(3),
                sent_bytes: 7,
            });
        }
        let text = metrics.text().expect("it is text");
        let series = |method| {
            format!(
                "belljar_http_requests_total{{route=\"/x/journal\",method=\"{method}\",status=\"499\"}}"
            )
        };
        assert!(text.contains(&format!("{} 2\n", series("OTHER"))), "{text}");
        assert!(text.contains(&format!("{} 1\n", series("GET"))), "{text}");
        assert!(text.contains("belljar_http_sent_bytes_total 21\n"), "{text}");
    }

    #[test]
    fn a_stream_is_open_until_its_guard_is_dropped() {
        let metrics = RequestMetrics::default();
        let first = metrics.stream();
        let second = metrics.stream();
        drop(first);
        assert_eq!(metrics.streams.get(), 1);
        drop(second);
        assert_eq!(metrics.streams.get(), 0);
    }
}
