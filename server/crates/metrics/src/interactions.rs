//! Interactions and their tokens.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::{Histograms, seconds};

#[derive(Debug, Clone)]
pub struct InteractionMetrics {
    running: Gauge,
    ended: Family<EndLabels, Counter>,
    duration: Histograms<BackendLabel>,
    tokens: Family<TokenLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    status: &'static str,
    backend: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabel {
    backend: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    kind: &'static str,
    backend: &'static str,
}

/// An interaction that has ended.
#[derive(Debug)]
pub struct EndedInteraction {
    pub status: &'static str,
    pub backend: &'static str,
    pub duration: Duration,
    /// Absent if it failed.
    pub tokens: Option<TokenCounts>,
}

/// As its `usage` reports them.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenCounts {
    pub input: u64,
    pub output: u64,
    pub thought: u64,
    pub tool_use: u64,
    pub cached: u64,
}

impl TokenCounts {
    fn by_kind(self) -> [(&'static str, u64); 5] {
        let TokenCounts { input, output, thought, tool_use, cached } = self;
        [
            ("input", input),
            ("output", output),
            ("thought", thought),
            ("tool_use", tool_use),
            ("cached", cached),
        ]
    }
}

impl Default for InteractionMetrics {
    fn default() -> InteractionMetrics {
        InteractionMetrics {
            running: Gauge::default(),
            ended: Family::default(),
            duration: Histograms::new_with_constructor(seconds),
            tokens: Family::default(),
        }
    }
}

impl InteractionMetrics {
    pub fn set_running(&self, interactions: usize) {
        self.running.set(i64::try_from(interactions).unwrap_or(i64::MAX));
    }

    pub fn ended(&self, ended: &EndedInteraction) {
        let EndedInteraction { status, backend, duration, tokens } = *ended;
        self.ended.get_or_create(&EndLabels { status, backend }).inc();
        self.duration.get_or_create(&BackendLabel { backend }).observe(duration.as_secs_f64());
        for (kind, count) in tokens.unwrap_or_default().by_kind() {
            if count > 0 {
                self.tokens.get_or_create(&TokenLabels { kind, backend }).inc_by(count);
            }
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let (status, backend) = ("completed", "scripted");
        drop(self.ended.get_or_create(&EndLabels { status, backend }));
        drop(self.duration.get_or_create(&BackendLabel { backend }));
        for (kind, _) in TokenCounts::default().by_kind() {
            drop(self.tokens.get_or_create(&TokenLabels { kind, backend }));
        }
        registry.register(
            "interactions_running",
            "Interactions that have begun and not ended",
            self.running.clone(),
        );
        registry.register(
            "interactions",
            "Interactions that have ended, by status and backend",
            self.ended.clone(),
        );
        registry.register_with_unit(
            "interaction_duration",
            "Time from the beginning of an interaction to its end, by backend",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "tokens",
            "Tokens of interactions, by kind and backend; cached tokens are part of the input",
            self.tokens.clone(),
        );
    }
}
