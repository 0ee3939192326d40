//! The warden's pool of cells, from its description of itself.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use protocol::{Description, KitReport};

type PerKit<G = Gauge> = Family<KitLabel, G>;
type Fraction = Gauge<f64, std::sync::atomic::AtomicU64>;

#[derive(Debug, Clone, Default)]
pub struct PoolMetrics {
    up: Gauge,
    ready: Gauge,
    in_use: Gauge,
    running: Gauge,
    most: Gauge,
    waiting: Gauge,
    oldest_wait: Fraction,
    standbys: PerKit,
    target: PerKit,
    making: PerKit,
    zygote_age: PerKit<Fraction>,
    zygote_forks: PerKit,
    zygote_memory: PerKit,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KitLabel {
    kit: String,
}

impl PoolMetrics {
    /// `None` if the warden did not answer; the other values then remain.
    pub fn set(&self, described: Option<&Description>) {
        self.up.set(i64::from(described.is_some()));
        let Some(Description { ready, pool, .. }) = described else {
            self.ready.set(0);
            return;
        };
        self.ready.set(i64::from(*ready));
        self.in_use.set(signed(pool.cells_in_use));
        self.running.set(signed(pool.cells_running));
        self.most.set(signed(pool.max_cells));
        self.waiting.set(signed(pool.requests_waiting));
        self.oldest_wait.set(pool.oldest_wait_ms as f64 / 1000.0);
        for kit in &pool.kits {
            self.set_kit(kit);
        }
    }

    fn set_kit(&self, kit: &KitReport) {
        let label = KitLabel { kit: kit.kit.clone() };
        self.standbys.get_or_create(&label).set(signed(kit.standbys));
        self.target.get_or_create(&label).set(signed(kit.target));
        self.making.get_or_create(&label).set(signed(kit.making));
        if let Some(zygote) = &kit.zygote {
            self.zygote_age.get_or_create(&label).set(zygote.age_ms as f64 / 1000.0);
            self.zygote_forks.get_or_create(&label).set(i64::from(zygote.forks));
            self.zygote_memory.get_or_create(&label).set(signed(zygote.memory_bytes));
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let gauges: [(&str, &str, &Gauge); 6] = [
            ("sandbox_up", "Whether the warden answers", &self.up),
            ("sandbox_ready", "Whether code can run without delay", &self.ready),
            ("cells_in_use", "Cells that belong to a request", &self.in_use),
            (
                "cells_running",
                "Cells whose code runs now; the others in use are stopped",
                &self.running,
            ),
            ("cells_max", "Maximum number of cells in use at once", &self.most),
            ("cells_waiting", "Requests that wait for a cell", &self.waiting),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "cells_oldest_wait",
            "How long the first of the requests that wait for a cell has waited",
            Unit::Seconds,
            self.oldest_wait.clone(),
        );
        let of_kits: [(&str, &str, &PerKit); 4] = [
            ("pool_standbys", "Cells that wait for code, by kit", &self.standbys),
            (
                "pool_standbys_wanted",
                "Number of standbys that the pool keeps now, by kit",
                &self.target,
            ),
            ("pool_cells_making", "Cells that are being made, by kit", &self.making),
            ("zygote_forks", "Cells that the kit's zygote has made", &self.zygote_forks),
        ];
        for (name, help, gauge) in of_kits {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "zygote_age",
            "Age of the kit's zygote",
            Unit::Seconds,
            self.zygote_age.clone(),
        );
        registry.register_with_unit(
            "zygote_memory",
            "Resident memory of the kit's zygote",
            Unit::Bytes,
            self.zygote_memory.clone(),
        );
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
