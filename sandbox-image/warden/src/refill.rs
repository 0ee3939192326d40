//! Keeps a shelf full: forks a cell for each that is taken, and lets runs pass where nobody waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::nursery::Nursery;
use crate::pool::{Kind, State};
use crate::shelf::Shelf;
use crate::traffic::Traffic;
use crate::wall::Wall;

/// Cells that lock themselves up while the next one is forked.
const AT_ONCE: usize = 3;
/// How long a standby that nobody waits for lets runs pass.
const LETS_PASS: Duration = Duration::from_millis(25);
/// Between two tries to make what could not be made.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Between two looks whether the shelf has become too long.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// How the pool's state is told, by the one shelf that decides it.
#[derive(Debug)]
pub struct Voice {
    pub tell: Arc<watch::Sender<State>>,
    pub wall: Arc<Wall>,
}

impl Voice {
    fn ready(&self) {
        self.tell.send_if_modified(|state| {
            let news = !matches!(state, State::Ready { .. });
            *state = State::Ready { wall: Arc::clone(&self.wall) };
            news
        });
    }

    fn failing(&self, why: &str) {
        self.tell.send_replace(State::Failing { why: why.to_owned() });
    }
}

/// Never ends by itself.
pub async fn keep(mut nursery: Nursery, kind: &Kind, traffic: &Traffic, voice: Option<Voice>) {
    let shelf = &kind.shelf;
    let mut coming = JoinSet::new();
    let mut let_pass = None;
    loop {
        let lacks = coming.len() < AT_ONCE && shelf.lacks(coming.len()) > 0;
        let until = *let_pass.get_or_insert_with(|| Instant::now() + LETS_PASS);
        tokio::select! {
            biased; // a cell that is there before one that is not
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
                Err(panicked) => tracing::error!(%panicked, "a cell is lost"),
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

/// Whose turn it is to have the processor: somebody's who waits at once, and of the others when nothing
/// runs, or when enough has been let pass.
async fn turn(shelf: &Shelf, traffic: &Traffic, until: Instant) {
    if !shelf.is_urgent() {
        traffic.quiet(until).await;
    }
}

async fn pause(kind: &Kind, error: &anyhow::Error, voice: Option<&Voice>) {
    let why = format!("{error:#}");
    tracing::error!(kit = %kind.kit, error = why, "no cell could be made");
    if let Some(voice) = voice {
        voice.failing(&why);
    }
    tokio::time::sleep(TRY_AGAIN_AFTER).await;
}
