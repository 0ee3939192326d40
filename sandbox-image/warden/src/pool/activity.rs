//! Tracks active runs, so that background work can wait for idle time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Delay after the end of a run: other processes still need CPU time to deliver its answer.
const AFTER: Duration = Duration::from_millis(2);

/// Counts active runs.
#[derive(Debug)]
pub struct Traffic(watch::Sender<usize>);

/// One run, active until this is dropped.
#[derive(Debug)]
pub struct Passing<'t>(&'t Traffic);

impl Traffic {
    pub fn new() -> Traffic {
        Traffic(watch::Sender::new(0))
    }

    pub fn pass(&self) -> Passing<'_> {
        self.0.send_modify(|runs| *runs += 1);
        Passing(self)
    }

    /// Waits until no code runs, and until `until` at the latest: a run may take half a minute.
    pub async fn quiet(&self, until: Instant) {
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

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|runs| *runs -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn background_work_waits_for_runs_with_a_time_limit() {
        let (traffic, a_while) = (Traffic::new(), Duration::from_millis(25));
        let began = Instant::now();
        traffic.quiet(Instant::now() + a_while).await;
        assert_eq!(began.elapsed(), AFTER);
        let passing = traffic.pass();
        traffic.quiet(Instant::now() + a_while).await;
        assert_eq!(began.elapsed(), AFTER + a_while);
        tokio::join!(traffic.quiet(Instant::now() + a_while), async { drop(passing) });
        assert_eq!(began.elapsed(), AFTER + a_while + AFTER);
    }
}
