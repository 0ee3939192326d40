//! The sandbox: its isolation, its cells and limits, and a box to try code.

use axum::Form;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use protocol::Description;
use serde::Deserialize;

use super::access::Visit;
use super::layout::{self, Liveness, Section};
use super::text::visible;
use super::{facts, rerun};
use crate::engine::RunReport;
use crate::http::App;

pub async fn show(State(app): State<App>, visit: Visit) -> Response {
    page(&app, &visit, "print(6 * 7)", None, Liveness::Still).await
}

#[derive(Debug, Deserialize)]
pub struct Attempt {
    token: String,
    code: String,
}

/// Runs code, as `POST /x/execute` does.
pub async fn attempt(
    State(app): State<App>,
    visit: Visit,
    Form(Attempt { token, code }): Form<Attempt>,
) -> Response {
    if !visit.has_sent(&token) {
        return visit.stale_form();
    }
    let codes = [code.as_str()];
    let running = rerun::in_fresh_cell(&app, &visit, &codes);
    match app.stopped.run_until_cancelled(running).await {
        Some(Ok(ran)) => {
            let result = rerun::output(&ran, &RunReport::new(&ran));
            page(&app, &visit, &code, Some(result), Liveness::Still).await
        }
        Some(Err(error)) => rerun::not_run(&visit, &error),
        None => {
            let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
            layout::failed(&visit, status, "The server is stopping.")
        }
    }
}

async fn page(
    app: &App,
    visit: &Visit,
    code: &str,
    result: Option<Markup>,
    liveness: Liveness,
) -> Response {
    let described = app.sandbox.describe().await;
    let content = html! {
        h1 { "Sandbox" }
        @match &described {
            Ok(description) => (about(description)),
            Err(_) => p role="alert" { "The sandbox does not answer." },
        }
        section {
            h2 { "Try code" }
            form method="post" action={ (visit.base) "/sandbox" } {
                input type="hidden" name="token" value=(visit.token);
                label for="code" { "Python, in a fresh cell" }
                textarea #code name="code" rows="8" spellcheck="false" { "\n" (code) }
                button type="submit" { "Run" }
            }
            @if let Some(result) = result { div #result role="status" { (result) } }
        }
    };
    layout::page(visit, Section::Sandbox, "Sandbox", liveness, &content)
}

fn about(description: &Description) -> Markup {
    let pool = &description.pool;
    let limits = serde_json::to_value(description.limits).unwrap_or_default();
    html! {
        (facts::list(&[
            ("State", Some(html! { @if description.ready { "ready" } @else { "waiting: " (visible(&description.waiting_for)) } })),
            ("Isolation", Some(html! { (description.tier.to_string()) })),
            ("Python", Some(html! { (description.python) })),
            ("Cells", Some(html! { (pool.cells_in_use) " of " (pool.max_cells) " in use, " (pool.cells_running) " running" })),
            ("Waiting", Some(html! { (pool.requests_waiting) " requests" })),
        ]))
        section {
            h2 { "Layers" }
            div .wide tabindex="0" role="region" aria-label="Layers" { table {
                thead { tr { th scope="col" { "Layer" } th scope="col" { "Holds" } th scope="col" { "Found" } } }
                tbody { @for layer in &description.layers { tr {
                    td { (layer.name) }
                    td { @if layer.holds { span .badge .good { "yes" } } @else { span .badge .bad { "no" } } }
                    td .main { (visible(&layer.detail)) }
                } } }
            } }
        }
        section {
            h2 { "Kits" }
            div .wide tabindex="0" role="region" aria-label="Kits" { table {
                thead { tr {
                    th scope="col" { "Kit" } th scope="col" .number { "Standbys" } th scope="col" .number { "Wanted" }
                    th scope="col" .number { "Being made" } th scope="col" .number { "Age of the zygote" }
                    th scope="col" .number { "Its memory" } th scope="col" .number { "Cells it made" }
                } }
                tbody { @for kit in &pool.kits { tr {
                    td { (kit.kit) }
                    td .number { (kit.standbys) } td .number { (kit.target) } td .number { (kit.making) }
                    @match &kit.zygote {
                        Some(zygote) => {
                            td .number { (zygote.age_ms / 1000) " s" }
                            td .number { (zygote.memory_bytes >> 20) " MiB" }
                            td .number { (zygote.forks) }
                        },
                        None => { td {} td {} td {} },
                    }
                } } }
            } }
        }
        section {
            h2 { "Limits of a cell" }
            dl .facts .small { @for (name, value) in limits.as_object().into_iter().flatten() {
                div { dt { code { (name) } } dd { (value) } }
            } }
        }
    }
}
