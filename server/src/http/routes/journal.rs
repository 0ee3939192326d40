//! `GET /x/journal` and `POST /x/reset`.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::extract::namespace::InNamespace;
use crate::http::response::json::Json;
use crate::interaction::Status;
use crate::journal::{Called, CodeRun, Entry};

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
