//! The faults of a namespace: what is switched on, how often it happened, and a form for more.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::access::{Submitted, Visit, to};
use super::layout::{self, Liveness, Section};
use super::text::visible;
use crate::http::App;
use crate::http::middleware::control::Control;

/// Faults that tests often need, each with its name.
const COMMON: [(&str, &str); 6] = [
    ("Quota exceeded, once", r#"{"status": 429, "times": 1, "retry_after": "2s"}"#),
    ("Overloaded, every third request", r#"{"status": 503, "chance": 0.33}"#),
    ("Slow: two seconds before each answer", r#"{"delay": "2s"}"#),
    ("Slow stream: half a second between events", r#"{"between_events": "500ms"}"#),
    ("Stream that breaks off after three events", r#"{"drop_after_events": 3}"#),
    ("Malformed second event", r#"{"malformed_event": 2}"#),
];

pub async fn show(State(app): State<App>, visit: Visit) -> Response {
    let active = app.faults.active(&visit.namespace);
    let content = html! {
        h1 { "Faults" }
        @if visit.control == Control::Off {
            p { "The test controls of this server are off. " code { "--control" } " enables them." }
        } @else {
            (standing(&visit, &active))
            (forms(&visit))
        }
    };
    layout::page(&visit, Section::Faults, "Faults", Liveness::Live, &content)
}

fn standing(visit: &Visit, active: &[(Value, u64)]) -> Markup {
    html! {
        @if active.is_empty() {
            p .empty { "No fault is switched on for these requests." }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Faults" { table {
                thead { tr { th scope="col" { "Fault" } th scope="col" .number { "Happened" } } }
                tbody { @for (fault, happened) in active { tr {
                    td .main { code { (visible(&fault.to_string())) } }
                    td .number { (happened) }
                } } }
            } }
            form .more method="post" action={ (visit.base) "/faults/clear" } {
                input type="hidden" name="token" value=(visit.token);
                button type="submit" { "Switch all off" }
            }
        }
    }
}

fn forms(visit: &Visit) -> Markup {
    let action = format!("{}/faults", visit.base);
    html! {
        section {
            h2 { "Switch on" }
            ul .common { @for (name, fault) in COMMON { li {
                form method="post" action=(action) {
                    input type="hidden" name="token" value=(visit.token);
                    input type="hidden" name="fault" value=(fault);
                    button type="submit" { (name) }
                    " " code { (fault) }
                }
            } } }
            form method="post" action=(action) {
                input type="hidden" name="token" value=(visit.token);
                label for="fault" { "Another fault, in JSON" }
                textarea #fault name="fault" rows="3" spellcheck="false" required { "\n{\"status\": 500}" }
                button type="submit" { "Switch on" }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct NewFault {
    token: String,
    fault: String,
}

/// Adds a fault, as `POST /x/faults` does.
pub async fn add(
    State(app): State<App>,
    visit: Visit,
    Form(NewFault { token, fault }): Form<NewFault>,
) -> Response {
    if let Some(page) = refusal(&visit, &token) {
        return page;
    }
    let read = parse::json::parse(fault.as_bytes()).map_err(|error| error.to_string());
    match read.and_then(|fault: Value| app.faults.order(&visit.namespace, vec![fault])) {
        Ok(()) => to(&format!("{}/faults", visit.base)),
        Err(why) => layout::failed(&visit, StatusCode::BAD_REQUEST, &why),
    }
}

/// Removes the faults of the namespace.
pub async fn clear(
    State(app): State<App>,
    visit: Visit,
    Form(Submitted { token }): Form<Submitted>,
) -> Response {
    if let Some(page) = refusal(&visit, &token) {
        return page;
    }
    app.faults.clear(&visit.namespace);
    to(&format!("{}/faults", visit.base))
}

/// The page for a form that is not ours, or without the test controls.
fn refusal(visit: &Visit, token: &str) -> Option<Response> {
    if !visit.has_sent(token) {
        return Some(visit.stale_form());
    }
    let why = "The test controls of this server are off.";
    (visit.control == Control::Off).then(|| layout::failed(visit, StatusCode::FORBIDDEN, why))
}
