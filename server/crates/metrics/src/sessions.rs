//! Cells that are kept between requests.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, Default)]
pub struct SessionMetrics {
    open: Family<StateLabel, Gauge>,
    held: Gauge,
    started: Counter,
    ended: Family<EndLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    reason: &'static str,
}

/// The sessions that are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenSessions {
    pub idle: usize,
    /// Those whose code runs.
    pub running: usize,
    /// Memory that all of them held after their last runs.
    pub held_bytes: u64,
}

impl SessionMetrics {
    pub fn started(&self) {
        self.started.inc();
    }

    pub fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&EndLabel { reason }).inc();
    }

    pub fn set_open(&self, open: OpenSessions) {
        for (state, count) in [("idle", open.idle), ("running", open.running)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.open.get_or_create(&StateLabel { state }).set(count);
        }
        self.held.set(i64::try_from(open.held_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.set_open(OpenSessions::default());
        for reason in ["deleted", "idle", "too_old", "memory", "code", "sandbox", "stopped"] {
            drop(self.ended.get_or_create(&EndLabel { reason }));
        }
        registry.register("sessions_open", "Sessions that are kept, by state", self.open.clone());
        registry.register_with_unit(
            "sessions_held",
            "Memory that all sessions held after their last runs",
            Unit::Bytes,
            self.held.clone(),
        );
        registry.register(
            "sessions_started",
            "Sessions that have been opened",
            self.started.clone(),
        );
        registry.register(
            "sessions_ended",
            "Sessions that have ended, by reason",
            self.ended.clone(),
        );
    }
}
