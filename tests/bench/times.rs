//! A distribution of times.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Stored in microseconds, with three significant digits.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    pub fn new() -> Times {
        Times(Histogram::new(3).expect("three digits are a precision that it has"))
    }

    pub fn of(all: impl IntoIterator<Item = Duration>) -> Times {
        let mut times = Times::new();
        all.into_iter().for_each(|took| times.record(took));
        times
    }

    pub fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.record(us).expect("it grows as it has to");
    }

    pub fn add(&mut self, others: &Times) {
        self.0.add(&others.0).expect("they have the same precision, and it grows as it has to");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub fn max(&self) -> Duration {
        self.quantile(1.0)
    }

    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }
}

/// In milliseconds, with the significant digits.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.2}"),
        ..100.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
