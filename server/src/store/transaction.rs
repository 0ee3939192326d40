//! Transactions of the writer, in SQL. SQLite ends a transaction by itself when the disk is full, and sqlx, which counts
//! them, does not notice: its next transaction would be a part of one that does not exist.

use sqlx::sqlite::SqliteConnection;

use super::StoreError;

pub async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // A write from its beginning: a transaction that begins with reading can be overtaken.
    let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await;
    if let Err(error) = begun {
        roll_back(connection).await;
        return Err(error.into());
    }
    Ok(())
}

/// Commits what was done, or undoes it where a part of it or the commit has failed.
pub async fn end<T>(
    connection: &mut SqliteConnection,
    done: Result<T, StoreError>,
) -> Result<T, StoreError> {
    let ended = match done {
        Ok(value) => {
            let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
            committed.map(|_| value).map_err(StoreError::from)
        }
        Err(error) => Err(error),
    };
    if ended.is_err() {
        roll_back(connection).await;
    }
    ended
}

/// Undoes what is open. It is no error where SQLite has done that by itself.
pub async fn roll_back(connection: &mut SqliteConnection) {
    let _ = sqlx::query("ROLLBACK").execute(connection).await;
}
