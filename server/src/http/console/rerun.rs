//! Runs code of an interaction again, in a fresh cell, and compares the results.

use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::access::{Submitted, Visit};
use super::code::highlighted;
use super::facts;
use super::layout::{self, Liveness, Section};
use super::notebook::log_of;
use super::text::{block, visible};
use crate::engine::RunReport;
use crate::http::App;
use domain::interaction::Step;
use sandbox_client::{Again, Expected, RunOutput, SandboxError};

/// Larger texts are not compared, because that takes more than a moment.
const MAX_COMPARED_BYTES: usize = 64 << 10;
/// After this time the rest is shown as replaced: code can make texts that take very long to compare.
const COMPARED_WITHIN: Duration = Duration::from_millis(50);

/// Runs pieces of code one after the other in one fresh cell. Returns the output of the last one.
pub async fn in_fresh_cell(
    app: &App,
    visit: &Visit,
    codes: &[&str],
) -> Result<RunOutput, SandboxError> {
    let mut again = Again::new();
    loop {
        match once(app, visit, codes).await {
            Err(error) if again.after(&error).await => {}
            ran => return ran,
        }
    }
}

async fn once(app: &App, visit: &Visit, codes: &[&str]) -> Result<RunOutput, SandboxError> {
    let first = codes.first().copied().unwrap_or_default();
    let expected = if codes.len() > 1 { Expected::First(first) } else { Expected::Only(first) };
    let cell = app.sandbox.open(expected, []).await?;
    let mut cell = cell.charged_to(app.sandbox.budget().of(&visit.owner));
    let mut output = cell.run(first).await?;
    for code in codes.iter().skip(1) {
        if output.finished.cell_lost {
            break;
        }
        output = cell.run(code).await?;
    }
    Ok(output)
}

/// The page for a run that did not take place.
pub fn not_run(visit: &Visit, error: &SandboxError) -> Response {
    tracing::warn!(%error, "console run failed");
    let why = match error {
        SandboxError::Busy => "All cells are in use. Try again.",
        _ => "The sandbox could not run the code. The server's log has the reason.",
    };
    layout::failed(visit, StatusCode::SERVICE_UNAVAILABLE, why)
}

/// A result as a cell of a notebook.
pub fn output(ran: &RunOutput, report: &RunReport) -> Markup {
    let usage = &ran.finished.usage;
    html! {
        p { (facts::badge(report.outcome.as_str())) " "
            (facts::milliseconds(usage.wall_us as f64 / 1000.0)) ", "
            (usage.peak_memory_bytes >> 20) " MiB, " (ran.tier.to_string()) }
        @if !report.stdout.is_empty() { (facts::preformatted("", "Standard output", &report.stdout)) }
        @if !report.stderr.is_empty() { (facts::preformatted("bad", "Standard error", &report.stderr)) }
        @if report.stdout.is_empty() && report.stderr.is_empty() { p .note { "No output." } }
        @if !ran.images.is_empty() { p .file { (ran.images.len()) " pictures" } }
    }
}

/// The code of this step and of all before it, because it may use their variables.
pub async fn run(
    State(app): State<App>,
    visit: Visit,
    Path((id, place)): Path<(String, String)>,
    Form(Submitted { token }): Form<Submitted>,
) -> Response {
    if !visit.has_sent(&token) {
        return visit.stale_form();
    }
    let log = match log_of(&app, &visit, &id).await {
        Ok(log) => log,
        Err(page) => return page,
    };
    let now = log.projection();
    let at = place.strip_prefix('s').and_then(|number| number.parse::<usize>().ok());
    let Some((at, Step::CodeCall(call))) = at.and_then(|at| Some((at, now.steps().get(at)?)))
    else {
        return layout::failed(&visit, StatusCode::NOT_FOUND, "This step is no code.");
    };
    let codes: Vec<&str> = now.steps()[..=at]
        .iter()
        .filter_map(|step| match step {
            Step::CodeCall(call) => Some(call.code.as_str()),
            _ => None,
        })
        .collect();
    let before = now.steps().iter().find_map(|step| match step {
        Step::CodeResult(result) if result.call_id == call.id => Some(result.result.as_str()),
        _ => None,
    });
    let running = in_fresh_cell(&app, &visit, &codes);
    let Some(ran) = app.stopped.run_until_cancelled(running).await else {
        let why = "The server is stopping.";
        return layout::failed(&visit, StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return not_run(&visit, &error),
    };
    let report = RunReport::new(&ran);
    let content = html! {
        h1 { "Run again" }
        p { a href={ (visit.base) "/interactions/" (id) "#" (place) } { "Back to the interaction" } }
        @if codes.len() > 1 {
            p .note { "The " (codes.len() - 1) " pieces of code before it ran first, in the same cell." }
        }
        section .notebook aria-label="Code and results" {
            article .cell { p .gutter { "Code" }
                div .body { pre .code tabindex="0" role="group" aria-label="Code" { (highlighted(block(&call.code).0)) } } }
            article .cell #again { p .gutter { "Now" } div .body { (output(&ran, &report)) } }
            article .cell #difference { p .gutter { "Difference" } div .body { (difference(before, &report.result)) } }
        }
    };
    layout::page(&visit, Section::Interactions, "Run again", Liveness::Still, &content)
}

/// The changed lines, marked.
fn difference(before: Option<&str>, now: &str) -> Markup {
    let Some(before) = before else { return html! { p .note { "It had no result before." } } };
    if before == now {
        return html! { p role="status" { "The result is the same." } };
    }
    if before.len().max(now.len()) > MAX_COMPARED_BYTES {
        return html! { p role="status" { "The results differ, and are too long to compare here." } };
    }
    let diff = TextDiff::configure().timeout(COMPARED_WITHIN).diff_lines(before, now);
    html! {
        p role="status" { "The results differ." }
        pre .diff tabindex="0" role="group" aria-label="Difference" {
            @for change in diff.iter_all_changes() {
                @let line = visible(change.value());
                @match change.tag() {
                    ChangeTag::Delete => del { "- " (line) },
                    ChangeTag::Insert => ins { "+ " (line) },
                    ChangeTag::Equal => { "  " (line) },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn texts_that_differ_in_every_line_are_compared_within_the_time() {
        let lines = |from: usize| -> String {
            (from..).take(MAX_COMPARED_BYTES / 8).map(|line| format!("{line:7}\n")).collect()
        };
        let began = Instant::now();
        let shown = difference(Some(&lines(0)), &lines(1_000_000)).into_string();
        // Without a limit it takes many times as long.
        assert!(began.elapsed() < COMPARED_WITHIN * 20, "{:?}", began.elapsed());
        assert!(shown.contains("<ins>+ 1000000"), "{}", &shown[..200]);
    }
}
