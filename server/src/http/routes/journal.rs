//! `GET /x/journal` and `POST /x/reset`.

use axum::extract::State;
use serde_json::{Value, json};
use strum::VariantNames as _;

use crate::http::App;
use crate::http::extract::namespace::InNamespace;
use crate::http::openapi::Operation;
use crate::http::openapi::schema::{NOTHING, Schema, answer, any_of, count, list, time, word};
use crate::http::response::json::Json;
use crate::http::route::Route;
use domain::interaction::{Outcome, Status};
use domain::journal::{Called, CodeRun, Entry};

static JOURNAL: Schema = Schema::new("Journal", |_| {
    let fields = json!({
        "namespace": {"type": "string"}, "entries": list(described_entry()),
        "forgotten": count("Number of older entries that were dropped."),
    });
    answer(&[], fields)
});

pub fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/x/journal",
            read,
            Operation::control(
                "journal",
                "The requests, the scenarios that answered, and the results of their code",
            )
            .answers(&JOURNAL),
        ),
        Route::post(
            "/x/reset",
            reset,
            Operation::control(
                "reset",
                "Clears the journal, the added scenarios, the faults and the counters",
            )
            .answers(&NOTHING),
        ),
    ]
}

pub async fn read(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    let (entries, forgotten) = app.engine.journal().read(&namespace);
    Json(json!({
        "namespace": namespace.name(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
        "forgotten": forgotten,
    }))
}

/// Removes the state of this namespace only: its journal, scenarios, faults and counters.
pub async fn reset(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    app.engine.journal().clear(&namespace);
    app.engine.counts().clear(&namespace);
    app.additions.clear(&namespace);
    app.faults.clear(&namespace);
    Json(json!({}))
}

fn entry(entry: &Entry) -> Value {
    let Entry { number, at, asked, result } = entry;
    json!({
        "number": number,
        "at": at.to_string(),
        "model": asked.model,
        "input": asked.input,
        "system_instruction": asked.system_instruction,
        "tools": asked.tools,
        "turn": asked.turn,
        "files": asked.files,
        "function_results": asked.function_results,
        "generation_config": asked.generation_config,
        "previous_interaction_id": asked.previous_interaction_id,
        "interaction_id": result.interaction_id,
        "scenario": result.scenario,
        "take": result.take.map(|take| take + 1),
        "status": result.status.map(Status::as_str),
        "error": result.error,
        "text": result.text,
        "runs": result.code_runs.iter().map(run).collect::<Vec<_>>(),
        "function_calls": result.function_calls.iter().map(call).collect::<Vec<_>>(),
        "warnings": result.warnings,
        "left_out": result.left_out,
    })
}

fn run(run: &CodeRun) -> Value {
    json!({
        "code": run.code,
        "outcome": run.outcome.as_str(),
        "stdout": run.stdout,
        "stderr": run.stderr,
        "pictures": run.pictures,
        "wall_ms": run.wall_ms,
    })
}

fn call(call: &Called) -> Value {
    json!({"name": call.name, "arguments": call.arguments})
}

/// The schema of an [`entry`].
fn described_entry() -> Value {
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    answer(
        &[],
        json!({
            "number": count("Number of the request, from 1."),
            "at": time("Time of the request."),
            "model": {"type": "string"},
            "input": {"type": "string"},
            "system_instruction": or_null("string"),
            "tools": list(json!({"type": "string"})),
            "turn": count("Number of the turn in the conversation."),
            "files": list(json!({"type": "string"})),
            "function_results": list(json!({})),
            "generation_config": or_null("object"),
            "previous_interaction_id": or_null("string"),
            "interaction_id": or_null("string"),
            "scenario": or_null("string"),
            "take": json!({
                "type": ["integer", "null"],
                "description": "Number of the recorded answer to the same question, from 1.",
            }),
            "status": any_of(&[word(Status::VARIANTS), json!({"type": "null"})]),
            "error": or_null("string"),
            "text": json!({"type": "string", "description": "The answer's text, at most 8 KiB."}),
            "runs": list(answer(&[], json!({
                "code": {"type": "string", "description": "The first 2 KiB."},
                "outcome": word(Outcome::VARIANTS),
                "stdout": {"type": "string", "description": "The first 2 KiB."},
                "stderr": {"type": "string", "description": "The last 2 KiB."},
                "pictures": count("Number of returned images."),
                "wall_ms": {"type": "number", "minimum": 0},
            }))),
            "function_calls": list(answer(&[], json!({
                "name": {"type": "string"},
                "arguments": {"description": "JSON; if longer than 2 KiB, its beginning as a string."},
            }))),
            "warnings": list(json!({"type": "string"})),
            "left_out": count("Number of runs, calls and warnings beyond the first 32 of each."),
        }),
    )
}
