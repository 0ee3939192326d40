//! Runs of code, as the client of the warden observes them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use protocol::{RunOutcome, RunResult};

use crate::seconds;

#[derive(Debug, Clone)]
pub struct CodeMetrics {
    runs: Family<RunLabels, Counter>,
    duration: Histogram,
    cpu: Counter<f64, AtomicU64>,
    cells: Counter,
    fresh_cell: Histogram,
    errors: Family<ErrorLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    outcome: &'static str,
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    reason: &'static str,
}

/// Whether a run was the first in its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellUse {
    /// The time from the request for the cell to the result of the run.
    Fresh(Duration),
    Again,
}

impl Default for CodeMetrics {
    fn default() -> CodeMetrics {
        CodeMetrics {
            runs: Family::default(),
            duration: seconds(),
            cpu: Counter::default(),
            cells: Counter::default(),
            fresh_cell: seconds(),
            errors: Family::default(),
        }
    }
}

impl CodeMetrics {
    pub fn ran(&self, result: &RunResult, cell: CellUse) {
        let wall = Duration::from_micros(result.usage.wall_us);
        let limit = result.outcome.limit().map_or("none", protocol::Limit::name);
        let outcome = outcome(&result.outcome);
        self.runs.get_or_create(&RunLabels { outcome, limit }).inc();
        self.duration.observe(wall.as_secs_f64());
        self.cpu.inc_by(Duration::from_micros(result.usage.cpu_us).as_secs_f64());
        if let CellUse::Fresh(taken) = cell {
            self.cells.inc();
            self.fresh_cell.observe(taken.saturating_sub(wall).as_secs_f64());
        }
    }

    pub fn failed(&self, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabel { reason }).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        for outcome in ["ok", "raised"] {
            drop(self.runs.get_or_create(&RunLabels { outcome, limit: "none" }));
        }
        for reason in ["busy", "unavailable", "unreachable"] {
            drop(self.errors.get_or_create(&ErrorLabel { reason }));
        }
        registry.register(
            "code_runs",
            "Runs of code, by how they ended and by the limit that they exceeded",
            self.runs.clone(),
        );
        registry.register_with_unit(
            "code_run_duration",
            "Wall-clock time of runs",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "code_run_cpu",
            "Processor time of all runs",
            Unit::Seconds,
            self.cpu.clone(),
        );
        registry.register("cells", "Cells that have run code", self.cells.clone());
        registry.register_with_unit(
            "fresh_cell_latency",
            "Time that the first run of a cell takes besides the run itself, waiting included",
            Unit::Seconds,
            self.fresh_cell.clone(),
        );
        registry.register(
            "sandbox_errors",
            "Runs that the sandbox could not carry out, by reason",
            self.errors.clone(),
        );
    }
}

fn outcome(outcome: &RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Ok => "ok",
        RunOutcome::Raised { .. } => "raised",
        RunOutcome::Exited { .. } => "exited",
        RunOutcome::Signalled { .. } => "signalled",
        RunOutcome::Stopped { .. } => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Limit, ResourceUsage};

    use super::*;
    use crate::{Exposition, MetricSet};

    #[test]
    fn the_latency_of_a_cell_does_not_include_the_run() {
        let metrics = Exposition::new(MetricSet::default());
        let usage = ResourceUsage { wall_us: 875_000, ..ResourceUsage::default() };
        let result = RunResult {
            outcome: RunOutcome::Stopped { limit: Limit::WallMs(875) },
            usage,
            cell_lost: true,
            images_left_out: 0,
            files_left_out: 0,
        };
        metrics.parts.code.ran(&result, CellUse::Fresh(Duration::from_secs(1)));
        metrics.parts.code.ran(&result, CellUse::Again);
        let text = metrics.text().expect("it is text");
        for line in [
            "belljar_fresh_cell_latency_seconds_sum 0.125",
            "belljar_fresh_cell_latency_seconds_count 1",
            "belljar_code_run_duration_seconds_sum 1.75",
            "belljar_cells_total 1",
            "belljar_code_runs_total{outcome=\"stopped\",limit=\"wall_ms\"} 2",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
