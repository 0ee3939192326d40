//! The room that the database has on its disk. A transaction is written only where the reserve covers what the database
//! grows by when the log is moved into it. So a full disk always has an end:
//!
//! ```text
//! full ──▶ move the log, with the reserve where that is needed, and truncate it
//!      ──▶ compact the database where most of it is free pages
//!      ──▶ take the reserve again ──▶ try what has failed once more
//! ```

use std::path::{Path, PathBuf};

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::checkpoint::{Checkpoints, Mode, PAGE_BYTES};
use super::reserve::{Reserve, disk_bytes};
use super::room::{DiskRoom, explained};
use super::{StoreError, folder};

/// The part of the disk that the log may take before the writer moves it: one of so many.
const LOG_SHARE: u64 = 16;
const MIN_LOG_BYTES: u64 = 1 << 20;
/// That is reached where writing never pauses for long enough to begin the log from its start.
const MAX_LOG_BYTES: u64 = 64 << 20;
/// The part of the log's room that it keeps when all of it has been moved: one of so many.
const KEPT_LOG_SHARE: u64 = 4;

/// A database with fewer free bytes is not compacted.
const MIN_FREE_BYTES: u64 = 1 << 20;
/// A database with more content is not compacted: that takes as much memory, and nothing is written meanwhile.
const MAX_COMPACTED_BYTES: u64 = 64 << 20;
/// The disk is short of room where less than so many times the reserve is free.
const SHORT_OF_ROOM: u64 = 4;

/// How the database is written on this disk.
pub fn options(options: &SqliteConnectOptions, folder: &Path) -> SqliteConnectOptions {
    options
        .clone()
        .pragma("journal_size_limit", (log_bytes(folder) / KEPT_LOG_SHARE).to_string())
        // A full disk elsewhere is none of this.
        .pragma("temp_store", "MEMORY")
}

/// At how many bytes the writer moves the log itself.
fn log_bytes(folder: &Path) -> u64 {
    disk_bytes(folder).map_or(MAX_LOG_BYTES, |disk| log_bytes_of(disk.all))
}

/// The same on a disk of so many bytes.
fn log_bytes_of(disk: u64) -> u64 {
    (disk / LOG_SHARE).clamp(MIN_LOG_BYTES, MAX_LOG_BYTES)
}

#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    log: PathBuf,
    /// At how many bytes of the log it is moved by the writer.
    log_bytes: u64,
    /// What was written since the log was moved by the writer, at most.
    written: u64,
    /// Of the database with its log.
    pages: u64,
    reserve: Reserve,
    pub room: DiskRoom,
    pub checkpoints: Checkpoints,
}

impl Disk {
    /// Moves what the last server left in the log, and takes the reserve.
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
        if disk.is_short_of_room() {
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

    /// Sees to it that a transaction which adds so many bytes can be moved into the database later.
    pub async fn prepare(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.written += bytes;
        if self.written > self.log_bytes
            && std::fs::metadata(&self.log).is_ok_and(|log| log.len() > self.log_bytes)
        {
            self.written = 0;
            // The next transaction begins the log from its start, if all of it was moved and is not being read.
            let _ = self.checkpoints.run(Mode::Passive).await;
        }
        self.reserve.shrink(self.growth().saturating_add(bytes));
        if self.reserve.covers(self.growth().saturating_add(bytes)) {
            return Ok(());
        }
        if self.growth() > 0 {
            // Where it fails, the growth says so.
            let _ = self.checkpoints.run(Mode::Passive).await;
        }
        let needed = self.growth().saturating_add(bytes);
        if self.reserve.covers(needed) || self.reserve.grow(needed) {
            return Ok(());
        }
        Err(StoreError::Full)
    }

    /// A transaction was committed, and the database has so many pages now.
    pub fn committed(&mut self, pages: u64) {
        self.pages = pages;
        self.checkpoints.written();
        if self.growth() > self.reserve.most() / 2 {
            self.checkpoints.hurry();
        }
    }

    /// By how much the file of the database grows when the log is moved into it.
    fn growth(&self) -> u64 {
        self.checkpoints.growth(self.pages)
    }

    /// Gives a deletion the room that is kept for it.
    pub async fn release(&mut self) {
        self.reserve.release();
        self.move_log().await;
    }

    /// Takes the reserve again once something was deleted, and gives the room of free pages back where the disk is short
    /// of it. That a deletion worked says nothing of the room for anything else.
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
        } else if self.is_short_of_room() {
            self.compact(connection).await;
        }
    }

    /// Makes what room there can be on a disk that is full, and notes whether there is some.
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

    /// Gives the log the room of the reserve for a transaction of so many bytes, where free pages of the database take it
    /// in. Says whether that is so; [`Disk::returned`] takes the room again.
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

    /// Finds out why a write has failed.
    pub async fn explain<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        explained(result, &self.folder).await
    }

    /// Moves the log and gives its room back, with the help of the reserve where that is needed.
    async fn move_log(&mut self) {
        let mut moved = self.checkpoints.run(Mode::Truncate).await;
        if moved.is_err() && self.reserve.held() > 0 {
            self.reserve.release();
            moved = self.checkpoints.run(Mode::Truncate).await;
        }
        match moved {
            Ok(true) => {}
            // It is tried again after the next deletion, or when the next write fails.
            Ok(false) => tracing::info!("database log in use, not truncated"),
            Err(error) => tracing::warn!(%error, "database checkpoint failed"),
        }
    }

    /// Rewrites a database of which most are free pages. They would be used again, but only by the database. It is also
    /// what helps where the log cannot be moved: the database that it makes is smaller than the file that is there.
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
        // The new pages go into the log before the old ones are given back.
        self.reserve.release();
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        self.pages = pages(connection).await?;
        self.move_log().await;
        self.reserve.restore();
        Ok(())
    }

    /// What is free on the disk, with the reserve.
    fn unused(&self) -> u64 {
        disk_bytes(&self.folder).map_or(0, |disk| disk.free.saturating_add(self.reserve.held()))
    }

    fn is_short_of_room(&self) -> bool {
        let free = disk_bytes(&self.folder).map_or(u64::MAX, |disk| disk.free);
        free < self.reserve.whole() * SHORT_OF_ROOM
    }
}

/// Of the database with its log.
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
