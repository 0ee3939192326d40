//! Replaces standbys that are taken. Waits for idle time unless a request waits for a cell.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::isolation::Isolation;
use crate::pool::activity::ActivityGauge;
use crate::pool::standbys::StandbyPool;
use crate::pool::zygote_manager::ZygoteManager;
use crate::pool::{KitCells, PoolState};

/// Maximum number of forked cells that are not jailed yet.
const AT_ONCE: usize = 3;
/// Maximum delay of a standby in favour of active runs, if no request waits.
const MAX_DELAY: Duration = Duration::from_millis(25);
/// Delay after a failure.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Interval at which surplus standbys are ended.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// Publishes the state of the pool. Only the first kit has one.
#[derive(Debug)]
pub struct StatePublisher {
    pub sender: Arc<watch::Sender<PoolState>>,
    pub isolation: Arc<Isolation>,
}

impl StatePublisher {
    fn ready(&self) {
        self.sender.send_if_modified(|state| {
            let is_new = !matches!(state, PoolState::Ready { .. });
            *state = PoolState::Ready { isolation: Arc::clone(&self.isolation) };
            is_new
        });
    }

    fn failing(&self, why: &str) {
        self.sender.send_replace(PoolState::Failing { why: why.to_owned() });
    }
}

/// Runs until it is cancelled.
pub async fn keep(
    mut manager: ZygoteManager,
    kind: &KitCells,
    activity: &ActivityGauge,
    publisher: Option<StatePublisher>,
) {
    let standbys = &kind.standbys;
    let mut pending = JoinSet::new();
    let mut deadline = None;
    loop {
        let missing = pending.len() < AT_ONCE && standbys.missing(pending.len()) > 0;
        let until = *deadline.get_or_insert_with(|| Instant::now() + MAX_DELAY);
        tokio::select! {
            biased; // finished cells first
            Some(finished) = pending.join_next() => match finished {
                Ok(Ok(cell)) => {
                    manager.record_success();
                    if let Some(publisher) = &publisher {
                        publisher.ready();
                    }
                    kind.open();
                    standbys.put(cell);
                }
                Ok(Err(error)) => {
                    if let Err(error) = manager.record_failure(error) {
                        pause(kind, &error, publisher.as_ref()).await;
                    }
                }
                Err(panicked) => tracing::error!(%panicked, "cell lost"),
            },
            () = wait_for_turn(standbys, activity, until), if missing => {
                deadline = None;
                let forked = manager.fork().await;
                *kind.zygote.lock() = manager.state();
                match forked {
                    Ok(cell) => drop(pending.spawn(cell.wait_until_jailed())),
                    Err(error) => pause(kind, &error, publisher.as_ref()).await,
                }
            }
            relocated = manager.relocated() => {
                kind.record_image(&relocated);
                standbys.renew();
            }
            () = standbys.taken() => {}
            () = tokio::time::sleep(TRIM_EVERY) => standbys.trim(),
        }
        kind.making.store(pending.len(), Ordering::Relaxed);
        if !missing {
            deadline = None;
        }
    }
}

/// Returns when a cell may be made: at once if a request waits, otherwise when no code runs, and at `until`
/// at the latest.
async fn wait_for_turn(standbys: &StandbyPool, activity: &ActivityGauge, until: Instant) {
    if !standbys.is_urgent() {
        activity.wait_idle(until).await;
    }
}

async fn pause(kind: &KitCells, error: &anyhow::Error, publisher: Option<&StatePublisher>) {
    let why = format!("{error:#}");
    tracing::error!(kit = %kind.kit, error = why, "could not make a cell");
    if let Some(publisher) = publisher {
        publisher.failing(&why);
    }
    tokio::time::sleep(TRY_AGAIN_AFTER).await;
}
