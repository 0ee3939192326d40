//! `GET /x/journal`, a run of it, and `POST /x/reset`.

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use strum::VariantNames as _;

use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::namespace::InNamespace;
use crate::http::openapi::Operation;
use crate::http::openapi::parameter::in_path;
use crate::http::openapi::schema::{
    NOTHING, Schema, answer, any_of, base64, count, list, time, word,
};
use crate::http::response::json::Json;
use crate::http::response::pieces::{self, base64 as in_pieces};
use crate::http::route::Route;
use domain::interaction::{Outcome, Status};
use journal::outputs::WholeOutput;
use journal::{Called, CodeRun, Entry, KeptRun, NearMiss};
use store::Owner;

static JOURNAL: Schema = Schema::new("Journal", |_| {
    let fields = json!({
        "namespace": {"type": "string"}, "entries": list(described_entry()),
        "forgotten": count("Number of older entries that were dropped."),
    });
    answer(&[], fields)
});

static RUN: Schema = Schema::new("JournalRun", |_| {
    let blobs = |name: &str| {
        list(answer(&[], json!({name: {"type": "string"}, "data": base64("The data.")})))
    };
    let fields = json!({
        "code": {"type": "string"},
        "outcome": word(Outcome::VARIANTS),
        "stdout": {"type": "string"},
        "stderr": {"type": "string"},
        "images": blobs("mime_type"),
        "files": blobs("name"),
        "wall_ms": {"type": "number", "minimum": 0},
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
        Route::get(
            "/x/journal/{number}/runs/{run}",
            read_run,
            Operation::control(
                "journalRun",
                "A run of code with its whole output, while that is kept",
            )
            .with([
                in_path("number", count("Number of the request in the journal.")),
                in_path("run", count("Number of its run, from 1.")),
            ])
            .answers(&RUN),
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

/// The whole output of a run.
pub async fn read_run(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    InNamespace(namespace): InNamespace,
    Path((number, run)): Path<(u64, usize)>,
) -> Result<Response, ApiError> {
    let none = |why: &str| ApiError::new(Code::NotFound, why.to_owned());
    let found = app.engine.journal().run(&namespace, number, run);
    let kept = found.ok_or_else(|| none("The journal of this namespace has no such run."))?;
    let output = kept.whole().ok_or_else(|| {
        none("The output of this run is no longer kept: outputs of newer runs took its memory.")
    })?;
    let budget = app.sandbox.budget().of(&owner);
    pieces::answer(&budget, || Ok(whole(&kept, &output).to_string()))
}

fn whole(kept: &KeptRun, output: &WholeOutput) -> Value {
    let WholeOutput { code, stdout, stderr, images, files } = output;
    let images = images.iter();
    let images = images.map(|it| json!({"mime_type": it.mime_type, "data": in_pieces(&it.data)}));
    let files = files.iter();
    let files = files.map(|file| json!({"name": file.path, "data": in_pieces(&file.content)}));
    json!({
        "code": code,
        "outcome": kept.run.outcome.as_str(),
        "stdout": stdout,
        "stderr": stderr,
        "images": images.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
        "wall_ms": kept.run.wall_ms,
    })
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
        "runs": result.code_runs.iter().map(|kept| run(&kept.run)).collect::<Vec<_>>(),
        "function_calls": result.function_calls.iter().map(call).collect::<Vec<_>>(),
        "warnings": result.warnings,
        "near_misses": result.near_misses.iter().map(near_miss).collect::<Vec<_>>(),
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
        "files": run.files.iter()
            .map(|file| json!({"name": file.name, "bytes": file.bytes}))
            .collect::<Vec<_>>(),
        "wall_ms": run.wall_ms,
        "is_cut": run.is_cut,
    })
}

fn near_miss(near: &NearMiss) -> Value {
    let missed = near.missed.iter().map(
        |missed| json!({"condition": missed.condition, "wanted": missed.wanted, "got": missed.got}),
    );
    json!({"scenario": near.scenario, "missed": missed.collect::<Vec<_>>()})
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
                "files": list(answer(&[], json!({
                    "name": {"type": "string"}, "bytes": count("Its size."),
                }))),
                "wall_ms": {"type": "number", "minimum": 0},
                "is_cut": {"type": "boolean", "description": "Whether a text is cut."},
            }))),
            "function_calls": list(answer(&[], json!({
                "name": {"type": "string"},
                "arguments": {"description": "JSON; if longer than 2 KiB, its beginning as a string."},
            }))),
            "warnings": list(json!({"type": "string"})),
            "near_misses": list(answer(&[], json!({
                "scenario": {"type": "string"},
                "missed": list(answer(&[], json!({
                    "condition": {"type": "string"},
                    "wanted": {"type": "string"},
                    "got": {"type": "string"},
                }))),
            }))),
            "left_out": count("Number of runs, calls and warnings beyond the first 32 of each."),
        }),
    )
}
