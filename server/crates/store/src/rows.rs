//! The rows that one transaction inserts for a batch of appends.

use std::sync::atomic::Ordering;

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::log::{LogDisk, is_last};
use super::transaction::roll_back;
use super::writer::Append;
use super::{Head, StoreError};

/// Rows of one statement. SQLite allows 32,766 values in a statement.
const STATEMENT_ROWS: usize = 1000;
/// Upper bound of a row's size in the database without its content: partly filled pages, and indexes.
const ROW_BYTES: usize = 3 * 4096;

/// The rows of one transaction.
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
    memory: i64,
}

/// Events of one append.
#[derive(Debug)]
struct EventRow<'a> {
    interaction: i64,
    /// Position of the first event in the log.
    number: i64,
    at_ms: i64,
    is_last: bool,
    record: &'a str,
    memory: i64,
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
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

    fn add(&mut self, disk: &LogDisk, append: &'a Append) {
        let interaction = disk.number;
        if let Some(input) = &append.input {
            let created_ms = append.log.created().as_millisecond();
            let head = append.log.head();
            let memory = signed(append.memory.input_bytes);
            let row = InteractionRow { number: interaction, head, created_ms, input, memory };
            self.interactions.push(row);
        }
        let first = disk.rows.fetch_add(append.entries.len(), Ordering::Relaxed);
        self.events.extend(append.entries.last().map(|last| EventRow {
            interaction,
            number: i64::try_from(first).expect("no log has 2^63 events"),
            at_ms: last.at.as_millisecond(),
            is_last: is_last(&last.event),
            record: &append.record,
            memory: signed(append.memory.events_bytes),
        }));
        self.uses.extend(append.blobs.iter().map(|address| (address.as_str(), interaction)));
    }

    pub fn is_empty(&self) -> bool {
        self.interactions.is_empty() && self.events.is_empty() && self.uses.is_empty()
    }

    /// Upper bound of the growth of the database.
    pub fn bytes(&self) -> u64 {
        let interaction = |row: &InteractionRow<'_>| {
            let resume_state = row.head.resume_state.as_ref().map_or(0, String::len);
            row.input.len() + row.head.model.len() + resume_state
        };
        let content = self.interactions.iter().map(interaction).sum::<usize>()
            + self.events.iter().map(|row| row.record.len()).sum::<usize>();
        let rows = self.interactions.len() + self.events.len() + self.uses.len();
        (content + content / 256 + rows * ROW_BYTES) as u64
    }

    /// Inserts all rows or none; returns the number of pages of the database.
    pub async fn insert(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        // One text for all statements: each text goes to SQLite's thread and back, and all queued appends
        // wait for that.
        let mut query = QueryBuilder::<Sqlite>::new("BEGIN IMMEDIATE");
        for rows in self.interactions.chunks(STATEMENT_ROWS) {
            query.push(
                "; INSERT INTO interactions \
                 (number, id, model, previous_id, created_ms, input, orders, owner, memory) ",
            );
            query.push_values(rows, |mut row, interaction| {
                row.push_bind(interaction.number)
                    .push_bind(&interaction.head.id)
                    .push_bind(&interaction.head.model)
                    .push_bind(interaction.head.previous_interaction_id.as_deref())
                    .push_bind(interaction.created_ms)
                    .push_bind(interaction.input)
                    .push_bind(interaction.head.resume_state.as_deref())
                    .push_bind(interaction.head.owner.name())
                    .push_bind(interaction.memory);
            });
        }
        for rows in self.events.chunks(STATEMENT_ROWS) {
            query.push(
                "; INSERT INTO events (interaction, number, at_ms, is_last, record, memory) ",
            );
            query.push_values(rows, |mut row, event| {
                row.push_bind(event.interaction)
                    .push_bind(event.number)
                    .push_bind(event.at_ms)
                    .push_bind(event.is_last)
                    .push_bind(event.record)
                    .push_bind(event.memory);
            });
        }
        for rows in self.uses.chunks(STATEMENT_ROWS) {
            query.push("; INSERT OR IGNORE INTO blob_uses (sha256, interaction) ");
            query.push_values(rows, |mut row, (address, interaction)| {
                row.push_bind(*address).push_bind(*interaction);
            });
        }
        query.push("; COMMIT; PRAGMA page_count");
        match query.build().fetch_one(&mut *connection).await {
            Ok(pages) => Ok(pages.try_get::<i64, _>(0)?.unsigned_abs()),
            Err(error) => {
                roll_back(connection).await;
                Err(error.into())
            }
        }
    }
}
