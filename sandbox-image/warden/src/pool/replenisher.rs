//! Replaces standbys that are taken. Waits for idle time unless a request waits for a cell.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::isolation::Wall;
use crate::pool::activity::Traffic;
use crate::pool::standbys::Shelf;
use crate::pool::{Kind, State};
use crate::zygote::manager::Nursery;

/// Maximum number of forked cells that are not jailed yet.
const AT_ONCE: usize = 3;
/// Maximum delay of a standby in favour of active runs, if no request waits.
const LETS_PASS: Duration = Duration::from_millis(25);
/// Delay after a failure.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Interval at which surplus standbys are ended.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// Publishes the state of the pool. Only the first kit has one.
#[derive(Debug)]
pub struct Voice {
    pub sender: Arc<watch::Sender<State>>,
    pub wall: Arc<Wall>,
}

impl Voice {
    fn ready(&self) {
        self.sender.send_if_modified(|state| {
            let is_new = !matches!(state, State::Ready { .. });
            *state = State::Ready { wall: Arc::clone(&self.wall) };
            is_new
        });
    }

    fn failing(&self, why: &str) {
        self.sender.send_replace(State::Failing { why: why.to_owned() });
    }
}

/// Runs until it is cancelled.
pub async fn keep(mut nursery: Nursery, kind: &Kind, traffic: &Traffic, voice: Option<Voice>) {
    let shelf = &kind.shelf;
    let mut coming = JoinSet::new();
    let mut let_pass = None;
    loop {
        let lacks = coming.len() < AT_ONCE && shelf.lacks(coming.len()) > 0;
        let until = *let_pass.get_or_insert_with(|| Instant::now() + LETS_PASS);
        tokio::select! {
            biased; // finished cells first
            Some(came) = coming.join_next() => match came {
                Ok(Ok(cell)) => {
                    nursery.has_made();
                    if let Some(voice) = &voice {
                        voice.ready();
                    }
                    kind.open();
                    shelf.put(cell);
                }
                Ok(Err(error)) => {
                    if let Err(error) = nursery.has_lost(error) {
                        pause(kind, &error, voice.as_ref()).await;
                    }
                }
                Err(panicked) => tracing::error!(%panicked, "cell lost"),
            },
            () = turn(shelf, traffic, until), if lacks => {
                let_pass = None;
                match nursery.fork().await {
                    Ok(cell) => drop(coming.spawn(cell.come_up())),
                    Err(error) => pause(kind, &error, voice.as_ref()).await,
                }
            }
            () = shelf.taken() => {}
            () = tokio::time::sleep(TRIM_EVERY) => shelf.trim(),
        }
        if !lacks {
            let_pass = None;
        }
    }
}

/// Returns when a cell may be made: at once if a request waits, otherwise when no code runs, and at `until`
/// at the latest.
async fn turn(shelf: &Shelf, traffic: &Traffic, until: Instant) {
    if !shelf.is_urgent() {
        traffic.quiet(until).await;
    }
}

async fn pause(kind: &Kind, error: &anyhow::Error, voice: Option<&Voice>) {
    let why = format!("{error:#}");
    tracing::error!(kit = %kind.kit, error = why, "could not make a cell");
    if let Some(voice) = voice {
        voice.failing(&why);
    }
    tokio::time::sleep(TRY_AGAIN_AFTER).await;
}
