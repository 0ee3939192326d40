//! The process of the server, under the names that client libraries of Prometheus use.

use std::fmt;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// When the metrics were registered, in seconds since 1970.
static STARTED: LazyLock<f64> = LazyLock::new(|| {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
});

#[derive(Debug)]
struct ProcessCollector;

pub fn register(registry: &mut Registry) {
    LazyLock::force(&STARTED);
    registry.register_collector(Box::new(ProcessCollector));
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut write = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn ConstMetric| {
            metric.write(&mut encoder, name, help, unit)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        write("process_cpu", "Processor time.", seconds, &ConstCounter::new(cpu_seconds()))?;
        write(
            "process_start_time",
            "When it began, since 1970.",
            seconds,
            &ConstGauge::new(*STARTED),
        )?;
        if let Some(resident) = resident_bytes() {
            write(
                "process_resident_memory",
                "Resident memory.",
                bytes,
                &ConstGauge::new(resident),
            )?;
        }
        if let Some(files) = open_files() {
            write("process_open_fds", "Open file descriptors.", None, &ConstGauge::new(files))?;
        }
        Ok(())
    }
}

/// A metric that can be encoded under a name.
trait ConstMetric {
    fn write(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> ConstMetric for M {
    fn write(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error> {
        self.encode(encoder.encode_descriptor(name, help, unit, self.metric_type())?)
    }
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The second number of `statm` counts pages.
fn resident_bytes() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)
}

fn open_files() -> Option<i64> {
    i64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
