//! The database's space on its disk. A transaction is written only if the reserve covers the growth of
//! the database at the next checkpoint. So the server always recovers from a full disk:
//!
//! ```text
//! full ──▶ checkpoint, with the reserve if needed, and truncate the log
//!      ──▶ compact the database if most of it is free pages
//!      ──▶ restore the reserve ──▶ retry the failed write
//! ```

use std::path::{Path, PathBuf};

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::checkpoint::{Checkpoints, Mode, PAGE_BYTES};
use super::reserve::{Reserve, disk_bytes};
use super::room::{DiskRoom, explained};
use super::{StoreError, folder};

/// The log may grow to this fraction of the disk (1/16) before the writer makes a checkpoint.
const LOG_SHARE: u64 = 16;
const MIN_LOG_BYTES: u64 = 1 << 20;
/// Reached only if the writer never pauses for long enough to restart the log from its beginning.
const MAX_LOG_BYTES: u64 = 64 << 20;
/// The log's file keeps this fraction of its limit (1/4) after all of it was moved.
const KEPT_LOG_SHARE: u64 = 4;

/// A database with fewer free bytes is not compacted.
const MIN_FREE_BYTES: u64 = 1 << 20;
/// A database with more content is not compacted: compacting needs as much memory, and blocks the writer.
const MAX_COMPACTED_BYTES: u64 = 64 << 20;
/// The disk is nearly full if its free space is less than this multiple of the reserve.
const NEARLY_FULL: u64 = 4;

/// Options of the writer's connection on this disk.
pub fn options(options: &SqliteConnectOptions, folder: &Path) -> SqliteConnectOptions {
    options
        .clone()
        .pragma("journal_size_limit", (log_bytes(folder) / KEPT_LOG_SHARE).to_string())
        // Independent of space on other disks.
        .pragma("temp_store", "MEMORY")
}

/// The size of the log at which the writer makes a checkpoint.
fn log_bytes(folder: &Path) -> u64 {
    disk_bytes(folder).map_or(MAX_LOG_BYTES, |disk| log_bytes_of(disk.all))
}

/// The same, for a disk of this size.
fn log_bytes_of(disk: u64) -> u64 {
    (disk / LOG_SHARE).clamp(MIN_LOG_BYTES, MAX_LOG_BYTES)
}

#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    log: PathBuf,
    /// The size of the log at which the writer makes a checkpoint.
    log_bytes: u64,
    /// Upper bound of the bytes written since the writer's last checkpoint.
    written: u64,
    /// Pages of the database, including those in the log.
    pages: u64,
    reserve: Reserve,
    pub room: DiskRoom,
    pub checkpoints: Checkpoints,
}

impl Disk {
    /// Moves the log of the last server into the database, and allocates the reserve.
    pub async fn open(
        folder: &Path,
        options: &SqliteConnectOptions,
        connection: &mut SqliteConnection,
        room: DiskRoom,
    ) -> Result<Disk, StoreError> {
        let mut disk = Disk {
            folder: folder.to_owned(),
            log: folder.join(folder::LOG),
            log_bytes: log_bytes(folder),
            written: 0,
            pages: 0,
            reserve: Reserve::open(folder),
            room,
            checkpoints: Checkpoints::start(options, folder).await?,
        };
        disk.move_log().await;
        if disk.is_nearly_full() {
            disk.compact(connection).await;
        }
        disk.pages = pages(connection).await?;
        disk.settle();
        Ok(disk)
    }

    /// The largest transaction that needs no more than the usual reserve.
    pub fn transaction_bytes(&self) -> u64 {
        self.reserve.most()
    }

    /// Makes sure that a transaction of this size fits into the database at a later checkpoint.
    pub async fn prepare(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.written += bytes;
        if self.written > self.log_bytes
            && std::fs::metadata(&self.log).is_ok_and(|log| log.len() > self.log_bytes)
        {
            self.written = 0;
            // The next transaction restarts the log if all of it was moved and has no readers.
            let _ = self.checkpoints.run(Mode::Passive).await;
        }
        self.reserve.shrink(self.growth().saturating_add(bytes));
        if self.reserve.covers(self.growth().saturating_add(bytes)) {
            return Ok(());
        }
        if self.growth() > 0 {
            // If it fails, the growth stays the same.
            let _ = self.checkpoints.run(Mode::Passive).await;
        }
        let needed = self.growth().saturating_add(bytes);
        if self.reserve.covers(needed) || self.reserve.grow(needed) {
            return Ok(());
        }
        Err(StoreError::Full)
    }

    /// Records a committed transaction and the new number of pages.
    pub fn committed(&mut self, pages: u64) {
        self.pages = pages;
        self.checkpoints.written();
        if self.growth() > self.reserve.most() / 2 {
            self.checkpoints.hurry();
        }
    }

    /// By how many bytes a checkpoint grows the database's file.
    fn growth(&self) -> u64 {
        self.checkpoints.growth(self.pages)
    }

    /// Releases the reserve for a deletion.
    pub async fn release(&mut self) {
        self.reserve.release();
        self.move_log().await;
    }

    /// Restores the reserve after a deletion, and frees the space of unused pages if the disk is nearly
    /// full. A successful deletion does not mean that there is space for other writes.
    pub async fn deleted<T>(
        &mut self,
        result: &Result<T, StoreError>,
        connection: &mut SqliteConnection,
    ) {
        self.room.note(result);
        if result.is_err() {
            self.settle();
        } else if self.room.problem().is_some() || !self.reserve.is_whole() {
            self.reclaim(connection).await;
        } else if self.is_nearly_full() {
            self.compact(connection).await;
        }
    }

    /// Frees as much space as possible on a full disk, and records whether the disk is writable.
    pub async fn reclaim(&mut self, connection: &mut SqliteConnection) {
        self.move_log().await;
        self.compact(connection).await;
        self.settle();
        if self.reserve.is_whole() {
            self.room.check(&self.folder).await;
        } else {
            self.room.note(&Err::<(), _>(self.room.problem().unwrap_or(StoreError::Full)));
        }
    }

    /// Lends the space of the reserve to the log for a transaction of this size, if it fits into free
    /// pages of the database; returns whether it does. [`Disk::returned`] restores the reserve.
    pub async fn lend(&mut self, bytes: u64, connection: &mut SqliteConnection) -> bool {
        let free = count(connection, "PRAGMA freelist_count").await.unwrap_or_default();
        free * PAGE_BYTES >= bytes && self.growth() == 0 && self.reserve.lend()
    }

    pub async fn returned(&mut self) {
        self.move_log().await;
        self.settle();
    }

    /// Brings the reserve to its usual size. A transaction that did not fit may have left it larger.
    fn settle(&mut self) {
        self.reserve.shrink(self.growth());
        self.reserve.restore();
    }

    /// Determines why a write has failed.
    pub async fn explain<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        explained(result, &self.folder).await
    }

    /// Moves the log into the database and truncates it; releases the reserve if needed.
    async fn move_log(&mut self) {
        let mut moved = self.checkpoints.run(Mode::Truncate).await;
        if moved.is_err() && self.reserve.held() > 0 {
            self.reserve.release();
            moved = self.checkpoints.run(Mode::Truncate).await;
        }
        match moved {
            Ok(true) => {}
            // The next deletion or failed write tries again.
            Ok(false) => tracing::info!("database log in use, not truncated"),
            Err(error) => tracing::warn!(%error, "database checkpoint failed"),
        }
    }

    /// Rewrites a database that consists mostly of free pages, which only the database could reuse. It
    /// also helps if the log cannot be moved: the new database is smaller than the existing file.
    async fn compact(&mut self, connection: &mut SqliteConnection) {
        if let Err(error) = self.try_to_compact(connection).await {
            tracing::warn!(%error, "could not compact the database");
        }
    }

    async fn try_to_compact(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let all = pages(connection).await?;
        let free = count(connection, "PRAGMA freelist_count").await?;
        let content = all.saturating_sub(free).saturating_mul(PAGE_BYTES);
        let is_worth_it = free * 2 >= all && free * PAGE_BYTES >= MIN_FREE_BYTES;
        if !is_worth_it || content > MAX_COMPACTED_BYTES || self.unused() < content + content / 8 {
            return Ok(());
        }
        // The new pages are written to the log before the old ones are freed.
        self.reserve.release();
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        self.pages = pages(connection).await?;
        self.move_log().await;
        self.reserve.restore();
        Ok(())
    }

    /// Free bytes of the disk, including the reserve.
    fn unused(&self) -> u64 {
        disk_bytes(&self.folder).map_or(0, |disk| disk.free.saturating_add(self.reserve.held()))
    }

    fn is_nearly_full(&self) -> bool {
        let free = disk_bytes(&self.folder).map_or(u64::MAX, |disk| disk.free);
        free < self.reserve.whole() * NEARLY_FULL
    }
}

/// Pages of the database, including those in the log.
pub async fn pages(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    count(connection, "PRAGMA page_count").await
}

async fn count(connection: &mut SqliteConnection, pragma: &'static str) -> Result<u64, StoreError> {
    let row = sqlx::query(pragma).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_takes_a_sixteenth_of_a_small_disk() {
        for (disk, wanted) in [(12, 1), (40, 2), (1 << 20, 64)] {
            assert_eq!(log_bytes_of(disk << 20) >> 20, wanted, "a disk of {disk} MiB");
        }
    }
}
