//! Standbys: cells that are forked, jailed and waiting before anybody asks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use protocol::CellLimits;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::cell::Cell;
use crate::zygote::{Recipe, Zygote};

/// Between two tries to make what could not be made.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Cells that wait.
    pub standbys: usize,
    /// Cells that are in use at once, at most.
    pub places: usize,
    /// How long a request may wait for a place.
    pub queue: Duration,
}

/// Cells for whoever asks, first come, first served.
#[derive(Debug)]
pub struct Pool {
    standbys: Mutex<mpsc::Receiver<Cell>>,
    places: Arc<Semaphore>,
    queue: Duration,
    state: watch::Receiver<State>,
}

/// Whether a run would begin at once.
#[derive(Debug, Clone)]
pub enum State {
    Starting,
    Ready { layers: Vec<jail::LayerReport> },
    Failing { why: String },
}

/// A cell and the right to use it.
#[derive(Debug)]
pub struct Taken {
    pub cell: Cell,
    _place: OwnedSemaphorePermit,
}

/// Why there is no cell.
#[derive(Debug)]
pub enum NoCell {
    Busy,
    Failing { why: String },
}

impl Pool {
    /// Starts a zygote and keeps standbys ready from then on. The task ends with the pool.
    pub fn start(recipe: Recipe, limits: CellLimits, size: Size) -> Pool {
        let (ready, standbys) = mpsc::channel(size.standbys);
        let (tell, state) = watch::channel(State::Starting);
        tokio::spawn(refill(recipe, limits, ready, tell));
        Pool {
            standbys: Mutex::new(standbys),
            places: Arc::new(Semaphore::new(size.places)),
            queue: size.queue,
            state,
        }
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits for the first cell, or for the reason why there is none.
    pub async fn first(&self) -> State {
        let mut state = self.state.clone();
        // A pool whose task is gone has said its last word.
        drop(state.wait_for(|state| !matches!(state, State::Starting)).await);
        state.borrow().clone()
    }

    /// A cell that has seen nobody's code.
    pub async fn take(&self) -> Result<Taken, NoCell> {
        let waited = tokio::time::timeout(self.queue, async {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            loop {
                let cell = self.standbys.lock().await.recv().await?;
                // One that has died while it waited is nobody's loss.
                if cell.is_alive() {
                    return Some(Taken { cell, _place: place });
                }
                tracing::warn!("a standby had died");
            }
        });
        match (waited.await, self.state()) {
            (Ok(Some(taken)), _) => Ok(taken),
            (_, State::Failing { why }) => Err(NoCell::Failing { why }),
            (_, _) => Err(NoCell::Busy),
        }
    }
}

/// Makes cells for as long as somebody could take one. The channel's capacity is the size of the
/// pool: `send` waits while it is full.
async fn refill(
    recipe: Recipe,
    limits: CellLimits,
    ready: mpsc::Sender<Cell>,
    tell: watch::Sender<State>,
) {
    let mut zygote = None;
    while !ready.is_closed() {
        match make(&recipe, limits, &mut zygote).await {
            Ok(cell) => {
                let layers = cell.layers.clone();
                if ready.send(cell).await.is_err() {
                    return;
                }
                tell.send_if_modified(|state| {
                    let news = !matches!(state, State::Ready { .. });
                    *state = State::Ready { layers };
                    news
                });
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "no cell could be made");
                tell.send_replace(State::Failing { why: format!("{error:#}") });
                zygote = None; // a fresh one, in case it is the zygote
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        }
    }
}

async fn make(
    recipe: &Recipe,
    limits: CellLimits,
    zygote: &mut Option<Zygote>,
) -> anyhow::Result<Cell> {
    let zygote = match zygote {
        Some(zygote) => zygote,
        None => zygote.insert(Zygote::start(recipe).await.context("starting a zygote")?),
    };
    Cell::make(zygote, limits).await
}
