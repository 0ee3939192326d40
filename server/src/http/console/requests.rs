//! The requests in the journal, and why no scenario matched one.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::access::Visit;
use super::code::highlighted;
use super::examples::scenario;
use super::facts;
use super::layout::{self, Liveness, Section};
use super::text::{line, visible};
use crate::http::App;
use crate::http::extract::body::blocking;
use crate::http::middleware::control::Control;
use journal::{Entry, KeptRun, NearMiss, RequestOutcome};

const INPUT_CHARS: usize = 70;
/// Requests that a page lists.
const LISTED: usize = 200;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RequestFilter {
    q: String,
    only: String,
}

impl RequestFilter {
    fn selects(&self, entry: &Entry) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let has_text = [&entry.asked.input, &entry.asked.model, &entry.result.text]
            .into_iter()
            .any(|text| text.to_lowercase().contains(&wanted));
        let is_wanted = match self.only.as_str() {
            "unmatched" => !entry.result.near_misses.is_empty(),
            "problems" => entry.result.error.is_some() || entry.result.failed_runs > 0,
            _ => true,
        };
        has_text && is_wanted
    }
}

pub async fn list(
    State(app): State<App>,
    visit: Visit,
    Query(filter): Query<RequestFilter>,
) -> Response {
    let (entries, forgotten) = app.engine.journal().read(&visit.namespace);
    let found: Vec<&Entry> = entries.iter().rev().filter(|entry| filter.selects(entry)).collect();
    let content = html! {
        h1 { "Requests" }
        @if visit.control == Control::Off {
            p { "The test controls of this server are off, so requests are not kept. " code { "--control" }
                " enables them." }
        }
        form .filter method="get" action={ (visit.base) "/requests" } role="search" {
            label for="q" { "Search" }
            input #q type="search" name="q" value=(filter.q) placeholder="Input, model or answer";
            label for="only" { "Show" }
            select #only name="only" {
                @for (value, name) in [("", "all"), ("unmatched", "without a scenario"), ("problems", "with problems")] {
                    option value=(value) selected[value == filter.only] { (name) }
                }
            }
            button type="submit" { "Filter" }
        }
        @if found.is_empty() { p .empty { "No request is in the journal." } } @else { (table(&visit, &found)) }
        @if found.len() > LISTED { p .note { (found.len() - LISTED) " older requests are left out." } }
        @if forgotten > 0 { p .note { (forgotten) " older requests are no longer kept." } }
    };
    layout::page(&visit, Section::Requests, "Requests", Liveness::Live, &content)
}

fn table(visit: &Visit, found: &[&Entry]) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="Requests" {
            table {
                thead { tr {
                    th scope="col" { "Status" } th scope="col" { "Input" } th scope="col" { "Model" }
                    th scope="col" { "Answered by" } th scope="col" .number { "Runs" } th scope="col" { "At" }
                } }
                tbody {
                    @for entry in found.iter().take(LISTED) {
                        @let input = line(&entry.asked.input, INPUT_CHARS);
                        tr {
                            td { (facts::badge(status(&entry.result))) }
                            td .main { a href={ (visit.base) "/requests/" (entry.number) } {
                                @if input.is_empty() { "(no text)" } @else { (input) }
                            } }
                            td { (visible(&entry.asked.model)) }
                            td { (answered_by(&entry.result)) }
                            td .number { (runs(&entry.result)) }
                            td { (facts::time(entry.at)) }
                        }
                    }
                }
            }
        }
    }
}

fn status(outcome: &RequestOutcome) -> &'static str {
    match outcome.status {
        Some(status) => status.as_str(),
        None if outcome.error.is_some() => "refused",
        None => "in_progress",
    }
}

/// The scenario or the backend.
pub fn answered_by(outcome: &RequestOutcome) -> Markup {
    html! {
        @if let Some(scenario) = &outcome.scenario { (line(scenario, 28)) }
        @else if let Some(backend) = outcome.backend { (backend) }
        @else if !outcome.near_misses.is_empty() { "nothing" }
    }
}

pub fn runs(outcome: &RequestOutcome) -> Markup {
    html! {
        @if outcome.runs > 0 {
            (outcome.runs)
            @if outcome.failed_runs > 0 { " (" (outcome.failed_runs) " failed)" }
        }
    }
}

pub fn warnings(outcome: &RequestOutcome) -> Markup {
    html! {
        @if !outcome.warnings.is_empty() {
            section { h2 { "Warnings" } ul { @for warning in &outcome.warnings { li { (visible(warning)) } } } }
        }
    }
}

pub async fn show(State(app): State<App>, visit: Visit, Path(number): Path<u64>) -> Response {
    let (entries, _) = app.engine.journal().read(&visit.namespace);
    let Some(entry) = entries.iter().find(|entry| entry.number == number) else {
        let why = "The journal has no such request any more.";
        return layout::failed(&visit, StatusCode::NOT_FOUND, why);
    };
    let Entry { asked, result, .. } = entry;
    let content = html! {
        h1 { "Request " (number) }
        (facts::list(&[
            ("Status", Some(facts::badge(status(result)))),
            ("Model", Some(html! { (visible(&asked.model)) })),
            ("Answered by", Some(answered_by(result))),
            ("At", Some(facts::time(entry.at))),
            ("Tools", (!asked.tools.is_empty()).then(|| html! { (visible(&asked.tools.join(", "))) })),
            ("Files", (!asked.files.is_empty()).then(|| html! { (visible(&asked.files.join(", "))) })),
            ("Interaction", result.interaction_id.as_ref().map(|id| html! {
                a href={ (visit.base) "/interactions/" (id) } { (id) }
            })),
        ]))
        section .notebook aria-label="Request and answer" {
            @if let Some(instruction) = &asked.system_instruction {
                (cell("System", facts::preformatted("prose", "System instruction", instruction)))
            }
            (cell("Input", facts::preformatted("prose", "Input", &asked.input)))
            @for result in &asked.function_results {
                (cell("Result", facts::preformatted("", "Function result", &facts::pretty(result))))
            }
            @for kept in &result.code_runs { (run(kept)) }
            @for call in &result.function_calls {
                (cell("Call", html! {
                    p { code { (visible(&call.name)) } }
                    (facts::preformatted("", "Arguments", &facts::pretty(&call.arguments)))
                }))
            }
            @if !result.text.is_empty() {
                (cell("Answer", facts::preformatted("prose", "Answer", &result.text)))
            }
            @if let Some(error) = result.error.as_ref().filter(|_| result.near_misses.is_empty()) {
                (cell("Error", facts::preformatted("bad", "Error", error)))
            }
        }
        (warnings(result))
        @if !result.near_misses.is_empty() { (unmatched(&visit, entry)) }
    };
    let liveness = match status(result) {
        "in_progress" => Liveness::Live,
        _ => Liveness::Still,
    };
    layout::page(&visit, Section::Requests, &format!("Request {number}"), liveness, &content)
}

fn cell(label: &str, body: Markup) -> Markup {
    html! { article .cell { p .gutter { (label) } div .body { (body) } } }
}

fn run(kept: &KeptRun) -> Markup {
    let run = &kept.run;
    html! {
        (cell("Code", html! {
            pre .code tabindex="0" role="group" aria-label="Code" { (highlighted(&run.code)) }
        }))
        (cell("Output", html! {
            p { (facts::badge(run.outcome.as_str())) " " (facts::milliseconds(run.wall_ms))
                @if run.pictures > 0 { ", " (run.pictures) " pictures" } }
            @if !run.stdout.is_empty() { (facts::preformatted("", "Standard output", &run.stdout)) }
            @if !run.stderr.is_empty() { (facts::preformatted("bad", "Standard error", &run.stderr)) }
            @for file in &run.files { p .file { (visible(&file.name)) ", " (file.bytes) " bytes" } }
        }))
    }
}

/// The nearest scenarios, what they wanted, and one that would match.
fn unmatched(visit: &Visit, entry: &Entry) -> Markup {
    let Entry { asked, result, .. } = entry;
    html! {
        section .unmatched {
            h2 #why { "Why no scenario matched" }
            @for NearMiss { scenario, missed } in &result.near_misses {
                h3 { (visible(scenario)) }
                div .wide tabindex="0" role="region" aria-label={ "Conditions of " (visible(scenario)) } {
                    table .conditions {
                        thead { tr { th scope="col" { "Condition" } th scope="col" { "Wanted" } th scope="col" { "Got" } } }
                        tbody { @for one in missed { tr {
                            td { code { (one.condition) } }
                            td .wanted { (visible(&one.wanted)) }
                            td .got { (visible(&one.got)) }
                        } } }
                    }
                }
            }
            h2 { "A scenario that matches" }
            form method="post" action={ (visit.base) "/scenarios" } {
                input type="hidden" name="token" value=(visit.token);
                label for="file" { "Change it as you like. It is tried before all others until the server is reset." }
                textarea #file name="file" rows="9" spellcheck="false" { "\n" (scenario(&asked.input, &[]).unwrap_or_default()) }
                button type="submit" { "Add this scenario" }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct NewScenario {
    token: String,
    file: String,
}

/// Adds a scenario to the namespace, as `POST /x/scenarios` does.
pub async fn add_scenario(
    State(app): State<App>,
    visit: Visit,
    Form(NewScenario { token, file }): Form<NewScenario>,
) -> Response {
    if !visit.has_sent(&token) {
        return visit.stale_form();
    }
    if visit.control == Control::Off {
        let why = "The test controls of this server are off.";
        return layout::failed(&visit, StatusCode::FORBIDDEN, why);
    }
    // Patterns and templates are compiled off the request threads.
    let (additions, namespace) = (Arc::clone(&app.additions), visit.namespace.clone());
    match blocking(move || additions.add(&namespace, &file)).await {
        Ok(names) => {
            let content = html! {
                h1 { "Scenario added" }
                p role="status" { "The next request that matches gets the answer of "
                    b { (visible(&names.join(", "))) } "." }
                p { a href={ (visit.base) "/requests" } { "To the requests" } }
            };
            layout::page(&visit, Section::Requests, "Scenario added", Liveness::Still, &content)
        }
        Err(why) => layout::failed(&visit, StatusCode::BAD_REQUEST, &why),
    }
}
