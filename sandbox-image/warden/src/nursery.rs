//! Where cells come from: the zygote that is forked, and the one that takes its place.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::cell::Coming;
use crate::recipe::Recipe;
use crate::zygote::Zygote;

/// A zygote that has lost so many cells, one after the other, is given up.
const GIVEN_UP_AFTER: u32 = 2;

/// Keeps a zygote. It is replaced when it has been forked often enough or is old, so that what all
/// its cells share (addresses, the order of hashes, what leaks) does not last; its successor has
/// imported everything before it goes.
#[derive(Debug)]
pub struct Nursery {
    recipe: Recipe,
    most_forks: u32,
    oldest: Duration,
    serving: Option<Serving>,
    successor: Option<Successor>,
    /// Cells of the zygote that serves, since one came up.
    lost: u32,
    /// Of any zygote, since one came up.
    lost_in_a_row: u32,
}

#[derive(Debug)]
struct Serving {
    zygote: Zygote,
    since: Instant,
    forks: u32,
}

/// One that is importing. Given up when dropped.
#[derive(Debug)]
struct Successor {
    born: oneshot::Receiver<anyhow::Result<Zygote>>,
    task: AbortHandle,
}

impl Nursery {
    pub fn new(recipe: Recipe, most_forks: u32, oldest: Duration) -> Nursery {
        Nursery {
            recipe,
            most_forks,
            oldest,
            serving: None,
            successor: None,
            lost: 0,
            lost_in_a_row: 0,
        }
    }

    /// A cell that locks itself up from now on; whether it came up is to be told. A zygote that has
    /// lost several is given up for a fresh one.
    pub async fn fork(&mut self) -> anyhow::Result<Coming> {
        self.succeed();
        loop {
            if self.lost >= GIVEN_UP_AFTER {
                self.serving = None;
            }
            let is_fresh = self.serving.is_none();
            if is_fresh {
                let zygote = Zygote::start(&self.recipe).await.context("starting a zygote")?;
                self.serving = Some(Serving::new(zygote));
                self.lost = 0;
            }
            match self.fork_serving().await {
                Err(error) if !is_fresh => self.count_lost(&error),
                made => return made,
            }
        }
    }

    /// One that was forked is there.
    pub fn has_made(&mut self) {
        (self.lost, self.lost_in_a_row) = (0, 0);
    }

    /// One that was forked never will be. An error where it is no use to go on.
    pub fn has_lost(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.count_lost(&error);
        if self.lost_in_a_row > 2 * GIVEN_UP_AFTER { Err(error) } else { Ok(()) }
    }

    fn count_lost(&mut self, error: &anyhow::Error) {
        tracing::warn!(error = format!("{error:#}"), "a cell is lost");
        self.lost += 1;
        self.lost_in_a_row += 1;
    }

    async fn fork_serving(&mut self) -> anyhow::Result<Coming> {
        let serving = self.serving.as_mut().context("there is no zygote")?;
        serving.forks += 1;
        Coming::fork(&serving.zygote, self.recipe.limits).await
    }

    /// Has the next zygote come up in time, and lets it take over when it is there.
    fn succeed(&mut self) {
        let Some(serving) = &self.serving else { return };
        if let Some(successor) = &mut self.successor {
            match successor.born.try_recv() {
                Ok(Ok(zygote)) => {
                    tracing::info!(forks = serving.forks, "a zygote has been replaced");
                    self.serving = Some(Serving::new(zygote));
                    self.successor = None;
                }
                Ok(Err(error)) => {
                    tracing::error!(error = format!("{error:#}"), "a zygote has no successor");
                    self.successor = None; // the old one goes on, and the next fork asks again
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => self.successor = None,
            }
        } else if serving.forks >= self.most_forks || serving.since.elapsed() >= self.oldest {
            self.successor = Some(Successor::start(self.recipe.clone()));
        }
    }
}

impl Serving {
    fn new(zygote: Zygote) -> Serving {
        Serving { zygote, since: Instant::now(), forks: 0 }
    }
}

impl Successor {
    fn start(recipe: Recipe) -> Successor {
        let (tell, born) = oneshot::channel();
        let task = tokio::spawn(async move {
            // Nobody listens any more where the pool is gone; the zygote is dropped then.
            drop(tell.send(Zygote::start(&recipe).await));
        });
        Successor { born, task: task.abort_handle() }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
