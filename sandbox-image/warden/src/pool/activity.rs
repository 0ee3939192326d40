//! Tracks active runs, so that background work can wait for idle time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Delay after the end of a run: other processes still need CPU time to deliver its answer.
const AFTER: Duration = Duration::from_millis(2);

/// Counts active runs.
#[derive(Debug)]
pub struct ActivityGauge(watch::Sender<usize>);

/// One run, active until this is dropped.
#[derive(Debug)]
pub struct ActiveRun<'t>(&'t ActivityGauge);

impl ActivityGauge {
    pub fn new() -> ActivityGauge {
        ActivityGauge(watch::Sender::new(0))
    }

    /// Number of active runs.
    pub fn running(&self) -> usize {
        *self.0.borrow()
    }

    pub fn begin_run(&self) -> ActiveRun<'_> {
        self.0.send_modify(|runs| *runs += 1);
        ActiveRun(self)
    }

    /// Waits until no code runs, and until `until` at the latest: a run may take half a minute.
    pub async fn wait_idle(&self, until: Instant) {
        let mut runs = self.0.subscribe();
        // Fails only if the sender is dropped, and `self` owns it.
        let quiet = async {
            loop {
                if runs.wait_for(|runs| *runs == 0).await.is_err() {
                    return;
                }
                // Another run may follow immediately.
                if tokio::time::timeout(AFTER, runs.changed()).await.is_err() {
                    return;
                }
            }
        };
        drop(tokio::time::timeout_at(until, quiet).await);
    }
}

impl Drop for ActiveRun<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|runs| *runs -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn background_work_waits_for_runs_with_a_time_limit() {
        let (activity, a_while) = (ActivityGauge::new(), Duration::from_millis(25));
        let began = Instant::now();
        activity.wait_idle(Instant::now() + a_while).await;
        assert_eq!(began.elapsed(), AFTER);
        let active = activity.begin_run();
        activity.wait_idle(Instant::now() + a_while).await;
        assert_eq!(began.elapsed(), AFTER + a_while);
        tokio::join!(activity.wait_idle(Instant::now() + a_while), async { drop(active) });
        assert_eq!(began.elapsed(), AFTER + a_while + AFTER);
    }
}
