//! The stored interactions, newest first.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strum::VariantNames as _;

use super::access::Visit;
use super::layout::{self, Liveness, Section};
use super::text::{line, visible};
use super::{facts, requests};
use crate::http::App;
use domain::interaction::Status;
use journal::{Entry, RequestOutcome};
use store::{InteractionPage, ListedInteraction, PageQuery};

const PAGE: usize = 50;
const INPUT_CHARS: usize = 70;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InteractionFilter {
    q: String,
    status: String,
    before: Option<i64>,
}

pub async fn list(
    State(app): State<App>,
    visit: Visit,
    Query(filter): Query<InteractionFilter>,
) -> Response {
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let query = PageQuery {
        before: filter.before,
        search: text(&filter.q),
        status: text(&filter.status),
        size: PAGE,
    };
    let page = match app.store.page(&visit.owner, &query).await {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(error = error.kind(), "console page failed");
            let why = "The interactions could not be read.";
            return layout::failed(&visit, StatusCode::SERVICE_UNAVAILABLE, why);
        }
    };
    let (entries, _) = app.engine.journal().read(&visit.namespace);
    let content = content(&visit, &filter, &page, &entries);
    // Older pages do not change.
    let liveness = if filter.before.is_none() { Liveness::Live } else { Liveness::Still };
    layout::page(&visit, Section::Interactions, "Interactions", liveness, &content)
}

fn content(
    visit: &Visit,
    filter: &InteractionFilter,
    page: &InteractionPage,
    entries: &[Entry],
) -> Markup {
    let outcomes: HashMap<&str, &Entry> = entries
        .iter()
        .filter_map(|entry| Some((entry.result.interaction_id.as_deref()?, entry)))
        .collect();
    let is_filtered = !filter.q.trim().is_empty() || !filter.status.is_empty();
    html! {
        h1 { "Interactions" }
        form .filter method="get" action=(visit.base) role="search" {
            label for="q" { "Search" }
            input #q type="search" name="q" value=(filter.q) placeholder="Input, model or id";
            label for="status" { "Status" }
            select #status name="status" {
                option value="" { "all" }
                @for word in Status::VARIANTS {
                    option value=(word) selected[*word == filter.status] { (word.replace('_', " ")) }
                }
            }
            button type="submit" { "Filter" }
        }
        @if page.rows.is_empty() {
            p .empty {
                @if is_filtered { "No interaction matches." }
                @else if filter.before.is_some() { "There are no older interactions." }
                @else { "No interaction is stored yet. Requests to generateContent are not stored: " }
                @if !is_filtered && filter.before.is_none() {
                    a href={ (visit.base) "/requests" } { "see the requests" } "."
                }
            }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Interactions" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Status" } th scope="col" { "Input" }
                            th scope="col" { "Model" } th scope="col" { "Answered by" }
                            th scope="col" .number { "Runs" } th scope="col" .number { "Tokens" }
                            th scope="col" .number { "Duration" } th scope="col" { "Began" }
                        }
                    }
                    tbody {
                        @for row in &page.rows {
                            (line_of(visit, row, outcomes.get(row.id.as_str()).map(|entry| &entry.result)))
                        }
                    }
                }
            }
        }
        @if let Some(next) = page.next { (older(visit, filter, next)) }
    }
}

fn line_of(visit: &Visit, row: &ListedInteraction, outcome: Option<&RequestOutcome>) -> Markup {
    let input = line(&row.input, INPUT_CHARS);
    html! {
        tr {
            td { (facts::badge(&row.status)) }
            td .main {
                a href={ (visit.base) "/interactions/" (row.id) } {
                    @if input.is_empty() { "(no text)" } @else { (input) }
                }
                @if row.is_background { span .tag { "background" } }
            }
            td { (visible(&row.model)) }
            td { @if let Some(outcome) = outcome { (requests::answered_by(outcome)) } }
            td .number { @if let Some(outcome) = outcome { (requests::runs(outcome)) } }
            td .number { @if let Some((input, output)) = row.tokens { (input) " → " (output) } }
            td .number { @if row.status != "in_progress" { (facts::duration(row.created, row.updated)) } }
            td { (facts::time(row.created)) }
        }
    }
}

/// The link to the next page.
fn older(visit: &Visit, filter: &InteractionFilter, next: i64) -> Markup {
    html! {
        form .more method="get" action=(visit.base) {
            input type="hidden" name="q" value=(filter.q);
            input type="hidden" name="status" value=(filter.status);
            input type="hidden" name="before" value=(next);
            button type="submit" { "Older" }
        }
    }
}
