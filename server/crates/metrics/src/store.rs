//! Writing to the database.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::seconds;

/// Upper bounds of the number of appends in a transaction.
const APPENDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0];

#[derive(Debug, Clone)]
pub struct StoreMetrics {
    commit: Histogram,
    appends: Histogram,
    failures: Counter,
    queued: Gauge,
}

impl Default for StoreMetrics {
    fn default() -> StoreMetrics {
        StoreMetrics {
            commit: seconds(),
            appends: Histogram::new(APPENDS),
            failures: Counter::default(),
            queued: Gauge::default(),
        }
    }
}

impl StoreMetrics {
    /// A transaction with so many appends has ended.
    pub fn committed(&self, appends: usize, taken: Duration, succeeded: bool) {
        self.commit.observe(taken.as_secs_f64());
        self.appends.observe(appends as f64);
        if !succeeded {
            self.failures.inc();
        }
    }

    pub fn set_queued(&self, jobs: usize) {
        self.queued.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "store_commit_duration",
            "Time of a transaction that appends events",
            Unit::Seconds,
            self.commit.clone(),
        );
        registry.register(
            "store_commit_appends",
            "Appends that share a transaction",
            self.appends.clone(),
        );
        registry.register(
            "store_commit_failures",
            "Transactions that failed, because of a full disk for example",
            self.failures.clone(),
        );
        registry.register(
            "store_jobs_queued",
            "Changes that wait for the database",
            self.queued.clone(),
        );
    }
}
