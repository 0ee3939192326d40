//! From appends to rows: what one transaction inserts, in statements of many rows each.

use std::sync::atomic::Ordering;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, QueryBuilder, Sqlite, Transaction};

use super::log::{Disk, is_last};
use super::writer::Append;
use super::{Head, StoreError};

/// Rows of one statement. Few lengths, so that each statement is prepared once and found again.
const STATEMENT_ROWS: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Rows<'a> {
    interactions: Vec<InteractionRow<'a>>,
    events: Vec<EventRow<'a>>,
    uses: Vec<(&'a str, i64)>,
}

#[derive(Debug)]
struct InteractionRow<'a> {
    number: i64,
    head: &'a Head,
    created_ms: i64,
    input: &'a str,
}

/// Events that were appended in one piece.
#[derive(Debug)]
struct EventRow<'a> {
    interaction: i64,
    /// Of the first one, in the log.
    number: i64,
    at_ms: i64,
    is_last: bool,
    record: &'a str,
}

impl<'a> Rows<'a> {
    pub fn of(appends: impl Iterator<Item = &'a Append>) -> Rows<'a> {
        let mut rows = Rows::default();
        for append in appends {
            match append.log.disk() {
                Some(disk) if !disk.deleted.load(Ordering::Relaxed) => rows.add(disk, append),
                _ => {}
            }
        }
        rows
    }

    fn add(&mut self, disk: &Disk, append: &'a Append) {
        let interaction = disk.number;
        if let Some(input) = &append.input {
            let created_ms = append.log.created().as_millisecond();
            let head = append.log.head();
            self.interactions.push(InteractionRow { number: interaction, head, created_ms, input });
        }
        let first = disk.rows.fetch_add(append.entries.len(), Ordering::Relaxed);
        self.events.extend(append.entries.last().map(|last| EventRow {
            interaction,
            number: i64::try_from(first).expect("no log has 2^63 events"),
            at_ms: last.at.as_millisecond(),
            is_last: is_last(&last.event),
            record: &append.record,
        }));
        self.uses.extend(append.blobs.iter().map(|address| (address.as_str(), interaction)));
    }

    /// Writes all of them or none.
    pub async fn insert(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut transaction = connection.begin().await?;
        for rows in pieces(&self.interactions) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO interactions (number, id, model, previous_id, created_ms, input, orders) ",
            );
            query.push_values(rows, |mut row, interaction| {
                row.push_bind(interaction.number)
                    .push_bind(&interaction.head.id)
                    .push_bind(&interaction.head.model)
                    .push_bind(interaction.head.previous_interaction_id.as_deref())
                    .push_bind(interaction.created_ms)
                    .push_bind(interaction.input)
                    .push_bind(interaction.head.orders.as_deref());
            });
            execute(query, &mut transaction).await?;
        }
        for rows in pieces(&self.events) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO events (interaction, number, at_ms, is_last, record) ",
            );
            query.push_values(rows, |mut row, event| {
                row.push_bind(event.interaction)
                    .push_bind(event.number)
                    .push_bind(event.at_ms)
                    .push_bind(event.is_last)
                    .push_bind(event.record);
            });
            execute(query, &mut transaction).await?;
        }
        for rows in pieces(&self.uses) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT OR IGNORE INTO blob_uses (sha256, interaction) ",
            );
            query.push_values(rows, |mut row, (address, interaction)| {
                row.push_bind(*address).push_bind(*interaction);
            });
            execute(query, &mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

async fn execute(
    mut query: QueryBuilder<Sqlite>,
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<(), StoreError> {
    query.build().execute(&mut **transaction).await?;
    Ok(())
}

/// Cuts rows into pieces of the lengths that statements have.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = STATEMENT_ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_rows_in_their_order() {
        for count in [0, 1, 7, 8, 41, 128, 1000] {
            let rows: Vec<usize> = (0..count).collect();
            assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
            assert!(pieces(&rows).all(|piece| STATEMENT_ROWS.contains(&piece.len())));
        }
    }
}
