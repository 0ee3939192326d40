//! Whether anybody's code is running: what can wait lets it pass.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When a run is over its answer is still on its way, by way of others who need a processor.
const AFTER: Duration = Duration::from_millis(2);

/// Counts the runs that are under way.
#[derive(Debug)]
pub struct Traffic(watch::Sender<usize>);

/// One run. It is over when this is dropped.
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

    /// Returns when nothing runs, and at that time at the latest: a run may take half a minute.
    pub async fn quiet(&self, until: Instant) {
        let mut runs = self.0.subscribe();
        // The sender is our own.
        let quiet = async {
            loop {
                if runs.wait_for(|runs| *runs == 0).await.is_err() {
                    return;
                }
                // Another one may come right behind it.
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
    async fn what_can_wait_waits_for_runs_and_not_for_ever() {
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
