//! Manages the zygote of one kit, and replaces it:
//!
//! ```text
//! serving ──old, or forked often──▶ serving, successor imports ──successor ready──▶ serving (successor)
//!    └──several lost cells in a row──▶ given up, the next fork starts a new one
//! ```

use std::time::{Duration, Instant};

use anyhow::Context;
use jail::Relocated;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::cell::PendingCell;
use crate::pool::report::ZygoteState;
use crate::zygote::Zygote;
use crate::zygote::spec::ZygoteSpec;

/// A zygote is given up after this many lost cells in a row.
const GIVEN_UP_AFTER: u32 = 2;

/// Keeps one zygote. It is replaced when it is old or has been forked often, so that the state that all its
/// cells share (addresses, hash order, leaks) does not last. It serves until its successor has imported
/// everything.
#[derive(Debug)]
pub struct ZygoteManager {
    spec: ZygoteSpec,
    most_forks: u32,
    oldest: Duration,
    serving: Option<Serving>,
    successor: Option<Successor>,
    /// Lost cells of the serving zygote since its last successful one.
    lost: u32,
    /// Lost cells of all zygotes since the last successful one.
    lost_in_a_row: u32,
}

#[derive(Debug)]
struct Serving {
    zygote: Zygote,
    since: Instant,
    forks: u32,
}

/// A zygote that is importing. Aborted on drop.
#[derive(Debug)]
struct Successor {
    born: oneshot::Receiver<anyhow::Result<Zygote>>,
    task: AbortHandle,
}

impl ZygoteManager {
    pub fn new(spec: ZygoteSpec, most_forks: u32, oldest: Duration) -> ZygoteManager {
        ZygoteManager {
            spec,
            most_forks,
            oldest,
            serving: None,
            successor: None,
            lost: 0,
            lost_in_a_row: 0,
        }
    }

    /// Forks a cell. The caller reports whether it became ready, with `record_success` or `record_failure`. A zygote
    /// that has lost several cells is replaced first.
    pub async fn fork(&mut self) -> anyhow::Result<PendingCell> {
        self.rotate();
        loop {
            if self.lost >= GIVEN_UP_AFTER {
                self.serving = None;
            }
            let is_fresh = self.serving.is_none();
            if is_fresh {
                let zygote = Zygote::start(&self.spec).await.context("could not start a zygote")?;
                self.serving = Some(Serving::new(zygote));
                self.lost = 0;
            }
            match self.fork_serving().await {
                Err(error) if !is_fresh => self.count_lost(&error),
                made => return made,
            }
        }
    }

    /// The zygote that serves now.
    pub fn state(&self) -> Option<ZygoteState> {
        let Serving { zygote, since, forks } = self.serving.as_ref()?;
        Some(ZygoteState { process: zygote.process()?, since: *since, forks: *forks })
    }

    /// Waits for the serving zygote's report about its libraries.
    pub async fn relocated(&self) -> Relocated {
        match &self.serving {
            Some(serving) => serving.zygote.relocated().await,
            None => std::future::pending().await,
        }
    }

    /// A forked cell is ready.
    pub fn record_success(&mut self) {
        (self.lost, self.lost_in_a_row) = (0, 0);
    }

    /// A forked cell has failed. Returns the error after too many failures in a row.
    pub fn record_failure(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.count_lost(&error);
        if self.lost_in_a_row > 2 * GIVEN_UP_AFTER { Err(error) } else { Ok(()) }
    }

    fn count_lost(&mut self, error: &anyhow::Error) {
        tracing::warn!(error = format!("{error:#}"), "cell lost");
        self.lost += 1;
        self.lost_in_a_row += 1;
    }

    async fn fork_serving(&mut self) -> anyhow::Result<PendingCell> {
        let serving = self.serving.as_mut().context("no zygote")?;
        serving.forks += 1;
        PendingCell::fork(&serving.zygote, self.spec.limits).await
    }

    /// Starts a successor when one is due, and switches to it once it is ready.
    fn rotate(&mut self) {
        let Some(serving) = &self.serving else { return };
        if let Some(successor) = &mut self.successor {
            match successor.born.try_recv() {
                Ok(Ok(zygote)) => {
                    tracing::info!(forks = serving.forks, "zygote replaced");
                    self.serving = Some(Serving::new(zygote));
                    self.successor = None;
                }
                Ok(Err(error)) => {
                    tracing::error!(error = format!("{error:#}"), "zygote replacement failed");
                    self.successor = None; // keep the old one; the next fork tries again
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => self.successor = None,
            }
        } else if serving.forks >= self.most_forks || serving.since.elapsed() >= self.oldest {
            self.successor = Some(Successor::start(self.spec.clone()));
        }
    }
}

impl Serving {
    fn new(zygote: Zygote) -> Serving {
        Serving { zygote, since: Instant::now(), forks: 0 }
    }
}

impl Successor {
    fn start(spec: ZygoteSpec) -> Successor {
        let (sender, born) = oneshot::channel();
        let task = tokio::spawn(async move {
            // After the pool is dropped the receiver is gone, and the zygote is dropped here.
            drop(sender.send(Zygote::start(&spec).await));
        });
        Successor { born, task: task.abort_handle() }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
