//! Transactions of the writer, in SQL. SQLite rolls a transaction back when the disk is full. sqlx
//! counts nested transactions and does not notice, so its next one would be a savepoint of a
//! transaction that does not exist.

use sqlx::sqlite::SqliteConnection;

use super::StoreError;

/// A change of rows, in a transaction of its own.
pub trait RowChange: Clone + Send + 'static {
    type Applied: Send;

    /// Whether the change frees disk space.
    fn makes_room(&self) -> bool;

    /// Upper bound of the growth of the database.
    fn bytes(&self) -> u64;

    fn apply_in(
        self,
        transaction: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Self::Applied, StoreError>> + Send;
}

pub async fn apply<C: RowChange>(
    change: C,
    connection: &mut SqliteConnection,
) -> Result<C::Applied, StoreError> {
    begin(connection).await?;
    let applied = change.apply_in(connection).await;
    end(connection, applied).await
}

pub async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // Take the write lock at once: a transaction that reads first can fail when it starts to write.
    let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await;
    if let Err(error) = begun {
        roll_back(connection).await;
        return Err(error.into());
    }
    Ok(())
}

/// Commits the transaction, or rolls it back if `done` or the commit is an error.
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

/// Rolls back. An error is ignored: SQLite may have rolled back already.
pub async fn roll_back(connection: &mut SqliteConnection) {
    let _ = sqlx::query("ROLLBACK").execute(connection).await;
}
