//! Pages of an owner's interactions, newest first, without their content.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::load::time;
use crate::{Owner, Store, StoreError};

/// Rows that a search looks at. A client gets the next ones with the next page.
const MAX_SEARCHED: i64 = 10_000;
/// Larger rows are neither searched nor parsed.
const MAX_PARSED_BYTES: i64 = 64 << 10;
/// Characters of an input that a page shows.
const EXCERPT_CHARS: i64 = 300;

/// Which interactions a page shows.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// Only those with smaller numbers.
    pub before: Option<i64>,
    /// Text in the input or the model's name, or an id.
    pub search: Option<String>,
    /// Google's name of a status.
    pub status: Option<String>,
    pub size: usize,
}

/// An interaction on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedInteraction {
    /// Counts up with time.
    pub number: i64,
    pub id: String,
    pub model: String,
    pub created: Timestamp,
    /// When its newest event was stored.
    pub updated: Timestamp,
    pub is_background: bool,
    /// Beginning of the input's texts; empty if the input is large.
    pub input: String,
    /// Google's name.
    pub status: String,
    /// Tokens of input and output, once it has ended.
    pub tokens: Option<(u64, u64)>,
}

/// One page, and whether more may follow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InteractionPage {
    pub rows: Vec<ListedInteraction>,
    /// For [`PageQuery::before`] of the next page.
    pub next: Option<i64>,
}

impl Store {
    /// The newest interactions of this owner that the query selects.
    pub async fn page(
        &self,
        owner: &Owner,
        query: &PageQuery,
    ) -> Result<InteractionPage, StoreError> {
        page(&self.0.readers, owner, query).await
    }
}

async fn page(
    database: &SqlitePool,
    owner: &Owner,
    query: &PageQuery,
) -> Result<InteractionPage, StoreError> {
    let size = i64::try_from(query.size).unwrap_or(i64::MAX);
    let is_all = query.search.is_none() && query.status.is_none();
    // Without conditions, one row more than the page tells whether another follows.
    let examined = if is_all { size.saturating_add(1) } else { MAX_SEARCHED };
    let rows = sqlx::query(
        "WITH recent AS (SELECT * FROM interactions WHERE owner = $1 AND number < $2 \
           ORDER BY number DESC LIMIT $3), \
         ended AS (SELECT recent.*, events.at_ms, events.is_last, \
             CASE WHEN octet_length(events.record) <= $4 THEN events.record END AS record \
           FROM recent LEFT JOIN events ON events.interaction = recent.number AND events.number = \
             (SELECT max(number) FROM events WHERE interaction = recent.number)), \
         found AS (SELECT number, id, model, created_ms, coalesce(at_ms, created_ms) AS updated_ms, \
             orders IS NOT NULL AS is_background, \
             CASE WHEN octet_length(input) <= $4 THEN input END AS input, \
             CASE WHEN is_last = 1 THEN coalesce(json_extract(record, '$[#-1].finished.status'), \
               json_extract(record, '$.finished.status'), 'failed') ELSE 'in_progress' END AS status, \
             coalesce(json_extract(record, '$[#-1].finished.usage'), \
               json_extract(record, '$.finished.usage')) AS usage FROM ended) \
         SELECT number, id, model, created_ms, updated_ms, is_background, status, \
           json_extract(usage, '$.input') AS input_tokens, \
           json_extract(usage, '$.output') AS output_tokens, \
           (SELECT substr(group_concat(atom, ' '), 1, $5) FROM json_tree(input) WHERE key = 'text') AS text, \
           (SELECT min(number) FROM recent) AS oldest, (SELECT count(*) FROM recent) AS examined \
         FROM found WHERE ($6 IS NULL OR status = $6) AND ($7 IS NULL OR id = $7 \
           OR instr(lower(model), lower($7)) > 0 OR instr(lower(input), lower($7)) > 0) \
         ORDER BY number DESC LIMIT $8",
    )
    .bind(owner.name())
    .bind(query.before.unwrap_or(i64::MAX))
    .bind(examined)
    .bind(MAX_PARSED_BYTES)
    .bind(EXCERPT_CHARS)
    .bind(query.status.as_deref())
    .bind(query.search.as_deref())
    .bind(size.saturating_add(1))
    .fetch_all(database)
    .await?;
    let found = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let mut page = InteractionPage { rows: found, next: None };
    if page.rows.len() > query.size {
        page.rows.truncate(query.size);
        page.next = page.rows.last().map(|row| row.number);
    } else if let Some(last) = rows.last()
        && last.try_get::<i64, _>("examined")? >= MAX_SEARCHED
    {
        // The rest was not searched.
        page.next = last.try_get("oldest")?;
    }
    Ok(page)
}

fn row(row: &SqliteRow) -> Result<ListedInteraction, StoreError> {
    let count = |column: &str| -> Result<Option<u64>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(i64::unsigned_abs))
    };
    Ok(ListedInteraction {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        model: row.try_get("model")?,
        created: time(row, "created_ms")?,
        updated: time(row, "updated_ms")?,
        is_background: row.try_get("is_background")?,
        input: row.try_get::<Option<String>, _>("text")?.unwrap_or_default(),
        status: row.try_get("status")?,
        tokens: count("input_tokens")?.zip(count("output_tokens")?),
    })
}
