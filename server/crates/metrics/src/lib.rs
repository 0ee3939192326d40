//! What the server measures of itself, for Prometheus, in the text format of OpenMetrics.
//!
//! Each part of the server has a struct here, which it updates: [`RequestMetrics`],
//! [`InteractionMetrics`], [`CodeMetrics`], [`StoreMetrics`], [`SessionMetrics`]. [`PoolMetrics`] and [`MemoryMetrics`] are
//! set when the metrics are read. [`Exposition`] has all of them under their names.
//!
//! The value of a label is never data of a client: it is a template of a path, a word of an enum, or a
//! name in the configuration. So the number of series has a limit. Each metric has a series from the
//! beginning, so that all of them are found, and rates do not miss the first event.

#![forbid(unsafe_code)]

mod code;
mod interactions;
mod memory;
mod pool;
mod process;
mod requests;
mod sessions;
mod store;

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use code::{CellUse, CodeMetrics};
pub use interactions::{EndedInteraction, InteractionMetrics, TokenCounts};
pub use memory::MemoryMetrics;
pub use pool::PoolMetrics;
pub use requests::{FinishedRequest, RequestMetrics, StreamGuard};
pub use sessions::{OpenSessions, SessionMetrics};
pub use store::StoreMetrics;

/// The media type of [`Exposition::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A histogram for each value of its labels.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Upper bounds of durations: half a millisecond, as a run in a fresh cell takes, to minutes, as
/// interactions take.
const SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 600.0,
];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Shares of the metrics of all parts.
#[derive(Debug, Default, Clone)]
pub struct MetricSet {
    pub requests: RequestMetrics,
    pub interactions: InteractionMetrics,
    pub code: CodeMetrics,
    pub sessions: SessionMetrics,
    pub store: StoreMetrics,
    pub pool: PoolMetrics,
    pub memory: MemoryMetrics,
}

/// All metrics with their names and descriptions.
#[derive(Debug)]
pub struct Exposition {
    pub parts: MetricSet,
    registry: Registry,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Exposition {
    pub fn new(parts: MetricSet) -> Exposition {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let ours = registry.sub_registry_with_prefix("belljar");
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        ours.register("build_info", "The version of this server", build);
        parts.requests.register(ours);
        parts.interactions.register(ours);
        parts.code.register(ours);
        parts.sessions.register(ours);
        parts.pool.register(ours);
        parts.store.register(ours);
        parts.memory.register(ours);
        Exposition { parts, registry }
    }

    /// All metrics in the text format.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_the_prefix_or_is_of_the_process() {
        let text = Exposition::new(MetricSet::default()).text().expect("it is text");
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(name.starts_with("belljar_") || name.starts_with("process_"), "{name}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
