//! The memory budgets of the server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, Default)]
pub struct MemoryMetrics {
    limit: Family<BudgetLabel, Gauge>,
    used: Family<BudgetLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabel {
    budget: &'static str,
}

impl MemoryMetrics {
    pub fn set(&self, budget: &'static str, limit_bytes: usize, used_bytes: usize) {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.limit.get_or_create(&BudgetLabel { budget }).set(signed(limit_bytes));
        self.used.get_or_create(&BudgetLabel { budget }).set(signed(used_bytes));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit("memory_budget", "Memory that all requests, or all outputs and what is read from the store, may use together", Unit::Bytes, self.limit.clone(),
        );
        registry.register_with_unit(
            "memory_budget_used",
            "Memory of these budgets that is in use",
            Unit::Bytes,
            self.used.clone(),
        );
    }
}
