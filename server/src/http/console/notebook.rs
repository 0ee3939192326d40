//! One interaction as a notebook: its input and steps in their order.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use super::access::Visit;
use super::code::highlighted;
use super::examples::{CopiedRequest, scenario};
use super::layout::{self, Liveness, Section};
use super::text::{MAX_BLOCK_BYTES, block, line, visible};
use super::{facts, media, requests};
use crate::http::App;
use crate::http::extract::external_url::ExternalUrl;
use domain::interaction::{
    CodeResult, Content, Event, FunctionCall, FunctionResult, Projection, SearchResult, Status,
    Step, Usage,
};
use journal::Entry;
use store::Log;

/// Steps that a page has room for.
const MAX_STEPS: usize = 500;
const TITLE_CHARS: usize = 60;

/// The log of an interaction of the visitor, or the page that tells why there is none.
pub async fn log_of(app: &App, visit: &Visit, id: &str) -> Result<Arc<Log>, Response> {
    let budget = app.sandbox.budget().of(&visit.owner);
    match app.store.read(&visit.owner, id, &budget).await {
        Ok(Some(log)) => Ok(log),
        Ok(None) => {
            Err(layout::failed(visit, StatusCode::NOT_FOUND, "There is no such interaction."))
        }
        Err(error) => {
            tracing::error!(error = error.kind(), "console page failed");
            let why = "The interaction could not be read.";
            Err(layout::failed(visit, StatusCode::SERVICE_UNAVAILABLE, why))
        }
    }
}

pub async fn show(
    State(app): State<App>,
    visit: Visit,
    url: ExternalUrl,
    Path(id): Path<String>,
) -> Response {
    let log = match log_of(&app, &visit, &id).await {
        Ok(log) => log,
        Err(page) => return page,
    };
    let (entries, _) = app.engine.journal().read(&visit.namespace);
    let entry = entries.into_iter().find(|entry| entry.result.interaction_id.as_ref() == Some(&id));
    let notebook = Notebook::of(&log, &visit, entry, url.join(""));
    let liveness = if notebook.is_running { Liveness::Live } else { Liveness::Still };
    layout::page(&visit, Section::Interactions, &notebook.title(), liveness, &notebook.content())
}

struct Notebook<'a> {
    log: &'a Log,
    visit: &'a Visit,
    /// What the journal has about it.
    entry: Option<Entry>,
    url: String,
    now: Projection,
    /// When each step began.
    times: HashMap<usize, Timestamp>,
    is_running: bool,
}

impl<'a> Notebook<'a> {
    fn of(log: &'a Log, visit: &'a Visit, entry: Option<Entry>, url: String) -> Notebook<'a> {
        let mut times = HashMap::new();
        for entry in log.entries_from(0) {
            if let Event::StepStarted { index, .. } = entry.event {
                times.insert(index, entry.at);
            }
        }
        let now = log.projection();
        let is_running = now.status() == Status::InProgress;
        Notebook { log, visit, entry, url, now, times, is_running }
    }

    /// The texts of the input; `None` if they are too long for a page.
    fn input(&self) -> Option<String> {
        let mut input = String::new();
        for text in self.log.head().input.iter().filter_map(Step::user_text) {
            if input.len() + text.len() > MAX_BLOCK_BYTES {
                return None;
            }
            if !input.is_empty() {
                input.push('\n');
            }
            input.push_str(&text);
        }
        Some(input)
    }

    fn title(&self) -> String {
        let texts = self.log.head().input.iter().filter_map(Step::user_text);
        let mut lines = texts.map(|text| line(&text, TITLE_CHARS)).filter(|line| !line.is_empty());
        lines.next().unwrap_or_else(|| "Interaction".to_owned())
    }

    fn content(&self) -> Markup {
        let head = self.log.head();
        let steps = self.now.steps();
        html! {
            h1 { (self.title()) }
            (self.facts())
            section .notebook aria-label="Steps" {
                @for (at, step) in head.input.iter().enumerate().take(MAX_STEPS) {
                    (self.step(step, &format!("i{at}"), None))
                }
                @for (at, step) in steps.iter().enumerate().take(MAX_STEPS) {
                    (self.step(step, &format!("s{at}"), self.times.get(&at)))
                }
                @if steps.len() > MAX_STEPS {
                    p .note { (steps.len() - MAX_STEPS) " more steps are left out. The API returns them." }
                }
                @if self.is_running { p .running role="status" { "Running …" } }
                @if let Some(failure) = self.now.failure() {
                    div .cell { p .gutter { "Error" }
                        div .body { (facts::preformatted("bad", "Error", &failure.message)) } }
                }
            }
            @if let Some(entry) = &self.entry { (requests::warnings(&entry.result)) }
            @if let Some(input) = self.input() {
                (CopiedRequest {
                    url: self.url.clone(),
                    model: &head.model,
                    input: &input,
                    runs_code: steps.iter().any(|step| matches!(step, Step::CodeCall(_))),
                    searches: steps.iter().any(|step| matches!(step, Step::SearchCall(_))),
                    needs_key: self.visit.has_session,
                }.copies(scenario(&input, steps).as_deref()))
            } @else {
                p .note { "The input is too long to be copied from this page. The API returns it." }
            }
        }
    }

    fn facts(&self) -> Markup {
        let (head, usage) = (self.log.head(), self.now.usage());
        let base = &self.visit.base;
        let until = if self.is_running { "so far" } else { "" };
        facts::list(&[
            ("Status", Some(facts::badge(self.now.status().as_str()))),
            ("Model", Some(html! { (visible(&head.model)) })),
            ("Answered by", self.entry.as_ref().map(|entry| requests::answered_by(&entry.result))),
            ("Began", Some(facts::time(self.log.created()))),
            (
                "Duration",
                (!self.is_running || self.now.steps().len() > 1).then(|| {
                    html! { (facts::duration(self.log.created(), self.log.updated())) " " (until) }
                }),
            ),
            ("Tokens", usage.map(tokens)),
            (
                "Continues",
                head.previous_interaction_id.as_ref().map(|id| {
                    html! { a href={ (base) "/interactions/" (id) } { (id) } }
                }),
            ),
            ("Id", Some(html! { code { (head.id) } })),
        ])
    }

    /// `began` is absent for steps of the input.
    fn step(&self, step: &Step, place: &str, began: Option<&Timestamp>) -> Markup {
        let after = began.map(|at| facts::duration(self.log.created(), *at));
        let (label, body) = match step {
            Step::UserInput(contents) => ("Input", self.contents(contents, place)),
            Step::ModelOutput(contents) => ("Answer", self.contents(contents, place)),
            Step::Thought { summary, .. } if summary.is_empty() => return html! {},
            Step::Thought { summary, .. } => (
                "Thought",
                html! {
                    details { summary { (line(summary, 80)) } (facts::preformatted("prose", "Thought", summary)) }
                },
            ),
            Step::CodeCall(call) => ("Code", self.code(&call.code, place)),
            Step::CodeResult(result) => ("Output", output(result, self.wall_ms(place))),
            Step::FunctionCall(call) => ("Call", function_call(call)),
            Step::FunctionResult(result) => ("Result", function_result(result)),
            Step::SearchCall(call) => (
                "Search",
                html! {
                    ul { @for query in &call.queries { li { (visible(query)) } } }
                },
            ),
            Step::SearchResult(result) => ("Found", found(result)),
            Step::Passthrough(json) => (
                "Other",
                html! {
                    details {
                        summary { (visible(json["type"].as_str().unwrap_or("step"))) }
                        (facts::preformatted("", "Step", &facts::pretty(json)))
                    }
                },
            ),
        };
        html! {
            article .cell #(place) {
                p .gutter { (label) @if let Some(after) = after { small { "+" (after) } } }
                div .body { (body) }
            }
        }
    }

    /// How long the run of this result took, if the journal has it.
    fn wall_ms(&self, place: &str) -> Option<f64> {
        let at: usize = place.strip_prefix('s')?.parse().ok()?;
        let earlier = self.now.steps().get(..at)?.iter();
        let number = earlier.filter(|step| matches!(step, Step::CodeResult(_))).count();
        Some(self.entry.as_ref()?.result.code_runs.get(number)?.run.wall_ms)
    }

    fn contents(&self, contents: &[Content], place: &str) -> Markup {
        html! {
            @for (at, content) in contents.iter().enumerate() {
                @match content {
                    Content::Text { text, citations, .. } => {
                        (facts::preformatted("prose", "Text", text))
                        @if !citations.is_empty() {
                            ul .sources { @for citation in citations {
                                li { (visible(&citation.source.title)) " " span .address { (visible(&citation.source.url)) } }
                            } }
                        }
                    },
                    Content::Media(media) => (media::shown(self.visit, &self.log.head().id, place, at, media)),
                    Content::Passthrough(json) => (facts::preformatted("", "Content", &facts::pretty(json))),
                }
            }
        }
    }

    fn code(&self, code: &str, place: &str) -> Markup {
        let (shown, left_out) = block(code);
        let action =
            format!("{}/interactions/{}/runs/{place}", self.visit.base, self.log.head().id);
        html! {
            pre .code tabindex="0" role="group" aria-label="Code" { (highlighted(shown)) }
            @if left_out > 0 { p .note { (left_out) " more bytes are left out." } }
            form method="post" action=(action) {
                input type="hidden" name="token" value=(self.visit.token);
                button type="submit" { "Run again" }
                button type="button" data-copy="pre" hidden { "Copy" }
            }
        }
    }
}

fn tokens(usage: Usage) -> Markup {
    html! {
        (usage.input.total()) " in, " (usage.output.total()) " out"
        @if usage.thought > 0 { ", " (usage.thought) " thought" }
        @if usage.tool_use.total() > 0 { ", " (usage.tool_use.total()) " tools" }
        @if usage.cached > 0 { ", " (usage.cached) " cached" }
    }
}

fn output(result: &CodeResult, wall_ms: Option<f64>) -> Markup {
    let class = if result.outcome.is_error() { "bad" } else { "" };
    html! {
        @if result.outcome.is_error() || wall_ms.is_some() {
            p .outcome {
                (facts::badge(result.outcome.as_str()))
                @if let Some(ms) = wall_ms { " " (facts::milliseconds(ms)) }
            }
        }
        @if result.result.is_empty() { p .note { "No output." } }
        @else { (facts::preformatted(class, "Output", &result.result)) }
    }
}

fn function_call(call: &FunctionCall) -> Markup {
    html! {
        p { code { (visible(&call.name)) } }
        (facts::preformatted("", "Arguments", &facts::pretty(&call.arguments)))
    }
}

fn function_result(result: &FunctionResult) -> Markup {
    html! {
        p {
            @if let Some(name) = &result.name { code { (visible(name)) } " " }
            @if result.is_error { (facts::badge("failed")) }
        }
        (facts::preformatted("", "Result", &facts::pretty(&result.result)))
    }
}

/// Addresses are text: a model could have invented them.
fn found(result: &SearchResult) -> Markup {
    html! {
        @if result.is_error { p { (facts::badge("failed")) } }
        ul .sources {
            @for page in &result.found {
                li {
                    b { (visible(&page.title)) } " " span .address { (visible(&page.url)) }
                    p { (line(&page.snippet, 300)) }
                }
            }
        }
    }
}
