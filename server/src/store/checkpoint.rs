//! Moves what was written from the write-ahead log into the database, beside the writer. That waits for the disk, as
//! whoever appends need not: what is in the log survives this process as well.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StoreError;

/// Between two of them, so that the pages that change all the time are moved once.
const PAUSE: Duration = Duration::from_millis(500);
/// Pages of the log at which the writer has to do it after all: 64 MiB. It is reached where writing never pauses for
/// long enough to begin the log anew.
pub const MAX_LOG_PAGES: &str = "16384";

#[derive(Debug)]
pub struct Checkpoints {
    written: Arc<Notify>,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Checkpoints {
    pub async fn start(options: &SqliteConnectOptions) -> Result<Checkpoints, StoreError> {
        let connection = SqliteConnection::connect_with(options).await?;
        let (written, stopping) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(keep_moving(connection, Arc::clone(&written), stopping.clone()));
        Ok(Checkpoints { written, stopping, task })
    }

    /// There is something to move.
    pub fn written(&self) {
        self.written.notify_one();
    }

    /// Returns when the database is not used any more.
    pub async fn stop(self) {
        self.stopping.cancel();
        if self.task.await.is_err() {
            tracing::warn!("the task that moves the log of the database has panicked");
        }
    }
}

async fn keep_moving(
    mut connection: SqliteConnection,
    written: Arc<Notify>,
    stopping: CancellationToken,
) {
    while stopping.run_until_cancelled(written.notified()).await.is_some() {
        let moved = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await;
        if let Err(error) = moved {
            tracing::warn!(%error, "the log of the database could not be moved into it");
        }
        stopping.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database did not close cleanly");
    }
}
