//! `GET /metrics`: what is counted, that no client adds series, who may read it, and that the dashboard asks for
//! what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Client, Reply, TestServer};
use regex::Regex;
use serde_json::{Value, json};

/// Requests are counted after their responses.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

const SCENARIOS: &str = "
scenarios:
  - name: the answer
    when: { input: { contains: six times seven } }
    script:
      - code: print(6 * 7)
      - text: It is {{ stdout | trim }}.
  - name: endless
    when: { input: { contains: forever } }
    script:
      - code: 'while True: pass'
      - text: It did not end.
";

/// Values by series, as in the text: `name{label=\"value\"}`.
type Series = BTreeMap<String, f64>;

async fn text(server: &Client) -> String {
    let response = server.request("GET", "/metrics").send().await.expect("it answers");
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().expect("it is text").to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.text().await.expect("it is text")
}

async fn read(server: &Client) -> Series {
    let text = text(server).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value follows");
            (series.to_owned(), value.parse().expect("it is a number"))
        })
        .collect()
}

/// Reads the metrics until this series has this value.
async fn counted(server: &Client, series: &str, value: f64) -> Series {
    let began = Instant::now();
    loop {
        let read = read(server).await;
        let found = read.get(series).copied().unwrap_or(0.0);
        if found >= value {
            assert_eq!(found, value, "{series}");
            return read;
        }
        assert!(began.elapsed() < COUNTED_WITHIN, "{series} is {found} in {read:#?}");
    }
}

fn requests(route: &str, method: &str, status: u16) -> String {
    format!(
        "belljar_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
    )
}

fn prompt(text: &str) -> Value {
    json!({"contents": [{"parts": [{"text": text}]}], "tools": [{"codeExecution": {}}]})
}

#[tokio::test]
async fn requests_interactions_and_runs_are_counted() {
    let server = TestServer::start(SCENARIOS).await;
    let tools = json!([{"type": "code_execution"}]);
    let request = json!({"model": "gemini-3-flash-preview", "input": "What is six times seven?", "tools": tools});
    let made = server.create(request).await;
    let path = "/v1beta/models/gemini-3-flash-preview:generateContent";
    assert_eq!(server.post(path, &prompt("six times seven")).await.status, 200);
    let body = json!({"code": "1/0"});
    assert_eq!(server.post("/x/execute", &body).await.status, 200);
    assert_eq!(server.get("/v1beta/interactions/v1_gone").await.status, 404);

    let read = counted(&server, &requests("/v1beta/interactions/{id}", "GET", 404), 1.0).await;
    assert_eq!(read["belljar_code_runs_total{outcome=\"raised\",limit=\"none\"}"], 1.0);
    assert_eq!(read["belljar_code_runs_total{outcome=\"ok\",limit=\"none\"}"], 2.0);
    assert_eq!(read["belljar_cells_total"], 3.0);
    assert_eq!(read["belljar_fresh_cell_latency_seconds_count"], 3.0);
    assert_eq!(read["belljar_code_run_duration_seconds_count"], 3.0);
    assert_eq!(read["belljar_interactions_total{status=\"completed\",backend=\"scripted\"}"], 2.0);
    assert!(read["belljar_store_commit_duration_seconds_count"] >= 1.0);
    assert_eq!(
        read["belljar_store_commit_duration_seconds_count"],
        read["belljar_store_commit_appends_count"]
    );
    // Those of the interaction, and at least as many of `generateContent`.
    let output = made["usage"]["total_output_tokens"].as_f64().expect("it has a count");
    assert!(output > 0.0);
    assert!(read["belljar_tokens_total{kind=\"output\",backend=\"scripted\"}"] >= 2.0 * output);
    assert_eq!(read["belljar_sandbox_up"], 1.0);
    assert!(read["belljar_cells_max"] >= 1.0);
    assert!(read["belljar_zygote_memory_bytes{kit=\"science\"}"] > 10e6);
    assert!(read["belljar_memory_budget_bytes{budget=\"outputs\"}"] > 1e6);

    for (route, method) in [
        ("/v1beta/interactions", "POST"),
        ("/v1beta/models/{model}:generateContent", "POST"),
        ("/x/execute", "POST"),
    ] {
        counted(&server, &requests(route, method, 200), 1.0).await;
    }
}

#[tokio::test]
async fn limits_faults_uploads_and_streams_are_counted() {
    let faults = json!([{"status": 429, "times": 1}]);
    let server = TestServer::builder().scenarios(SCENARIOS).faults(faults).start().await;
    let path = "/v1beta/models/gemini-3-flash-preview:generateContent";
    assert_eq!(server.post(path, &prompt("forever")).await.status, 429);
    let body = json!({"code": "while True: pass", "timeout_s": 0.1});
    assert_eq!(server.post("/x/execute", &body).await.status, 200);
    let upload = server.request("POST", "/upload/v1beta/files");
    let upload = upload.header("x-goog-upload-protocol", "raw").body("12345");
    assert_eq!(Reply::to(upload).await.status, 200);

    let stopped = "belljar_code_runs_total{outcome=\"stopped\",limit=\"wall_ms\"}";
    let read = counted(&server, stopped, 1.0).await;
    assert_eq!(read["belljar_faults_injected_total{kind=\"status\"}"], 1.0);
    assert_eq!((read["belljar_uploads_total"], read["belljar_uploaded_bytes_total"]), (1.0, 5.0));

    let request = json!({"model": "gemini-3-flash-preview", "input": "forever",
                         "tools": [{"type": "code_execution"}]});
    let stream = server.create_stream(request).await;
    let read = counted(&server, "belljar_http_streams_open", 1.0).await;
    assert_eq!(read["belljar_interactions_running"], 1.0);
    drop(stream);
    let began = Instant::now();
    while self::read(&server).await["belljar_http_streams_open"] != 0.0 {
        assert!(began.elapsed() < COUNTED_WITHIN, "a stream without a client is open");
    }
}

/// An open session is counted by its state, an ended one by its reason.
#[tokio::test]
async fn sessions_are_counted_by_their_state_and_their_end() {
    let server = TestServer::start("").await;
    let mut paths = Vec::new();
    for _ in 0..3 {
        let opened = server.post("/x/sessions", &json!({})).await;
        assert_eq!(opened.status, 200, "{}", opened.body);
        paths.push(format!("/x/sessions/{}", opened.body["id"].as_str().expect("it has a name")));
    }
    let [idle, ended, running] = &paths[..] else { unreachable!("three were opened") };
    let keeping = json!({"code": "kept = bytearray(b'1' * (40 << 20))"});
    assert_eq!(server.post(&format!("{idle}/execute"), &keeping).await.status, 200);
    let exit = json!({"code": "import os; os._exit(3)"});
    assert_eq!(server.post(&format!("{ended}/execute"), &exit).await.status, 200);

    let [are_idle, are_running] =
        ["idle", "running"].map(|state| format!("belljar_sessions_open{{state=\"{state}\"}}"));
    let endless = json!({"code": "while True: pass"});
    let execute = format!("{running}/execute");
    let observed = async {
        let read = counted(&server, &are_running, 1.0).await;
        assert_eq!(server.delete(running).await.status, 200);
        read
    };
    let (ran, during) = futures_util::future::join(server.post(&execute, &endless), observed).await;
    assert_eq!(ran.status, 410, "{}", ran.body);
    assert_eq!(during[&are_idle], 1.0);
    assert!(during["belljar_sessions_held_bytes"] >= f64::from(40 << 20), "{during:#?}");

    let after = read(&server).await;
    assert_eq!((after[&are_idle], after[&are_running]), (1.0, 0.0));
    assert_eq!(after["belljar_sessions_started_total"], 3.0);
    let ends = ["code", "deleted", "idle", "sandbox"]
        .map(|end| after[&format!("belljar_sessions_ended_total{{reason=\"{end}\"}}")]);
    assert_eq!(ends, [1.0, 1.0, 0.0, 0.0]);
}

/// A client chooses paths, methods, ids, models, namespaces and keys.
#[tokio::test]
async fn clients_cannot_add_series() {
    let server = TestServer::start(SCENARIOS).await;
    let odd = |at: usize| {
        [
            ("GET", format!("/nothing/{at}")),
            ("GET", format!("/v1beta/interactions/v1_{at}")),
            ("POST", format!("/v1beta/models/model-{at}:generateContent")),
            ("POST", format!("/v1beta/models/gemini-3-flash-preview:method{at}")),
            ("GET", format!("/n/space-{at}/x/journal")),
            ("GET", format!("/x/journal/{}/runs/1", at + 1)),
            ("BREW", format!("/v1beta/models/{at}")),
        ]
    };
    // What each round adds.
    let expected = [
        (requests("none", "GET", 404), 1),
        (requests("/v1beta/interactions/{id}", "GET", 404), 1),
        (requests("/v1beta/models/{model}:generateContent", "POST", 400), 1),
        (requests("/v1beta/models/{*rest}", "POST", 404), 1),
        (requests("/x/journal", "GET", 200), 1),
        (requests("/x/journal/{number}/runs/{run}", "GET", 404), 1),
        (requests("/v1beta/models/{*rest}", "OTHER", 405), 1),
    ];
    let names_after = async |from: usize, to: usize| {
        for (method, path) in (from..to).flat_map(odd) {
            Reply::to(server.request(method, &path).json(&json!({}))).await;
        }
        let mut names = BTreeSet::new();
        for (series, times) in &expected {
            let read = counted(&server, series, (times * to) as f64).await;
            names = read.into_keys().collect();
        }
        // The first reading is not counted yet when it is made.
        names.retain(|series: &String| !series.contains("route=\"/metrics\""));
        names
    };
    let first = names_after(0, 1).await;
    let after = names_after(1, 20).await;
    assert_eq!(first.symmetric_difference(&after).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn the_metrics_need_a_key_where_the_api_does() {
    let status = async |server: &TestServer, key: Option<&str>| {
        let request = server.request("GET", "/metrics");
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        Reply::to(request).await.status
    };
    let one = TestServer::builder().keys(&["right"]).start().await;
    let shared = TestServer::builder().keys(&["right", "other"]).shared_keys().start().await;
    let several = TestServer::builder().keys(&["right", "other"]).start().await;
    let own = TestServer::builder().keys(&["right"]).metrics_keys(&["metrics"]).start().await;
    let open = TestServer::builder().metrics_keys(&["metrics"]).start().await;
    for (server, key, wanted) in [
        (&one, None, 403),
        (&one, Some("wrong"), 401),
        (&one, Some("right"), 200),
        (&shared, Some("other"), 200),
        (&several, Some("right"), 403),
        (&several, Some("wrong"), 401),
        (&own, Some("right"), 401),
        (&own, Some("metrics"), 200),
        (&open, None, 403),
        (&open, Some("metrics"), 200),
    ] {
        assert_eq!(status(server, key).await, wanted, "{key:?}");
    }
    let request = own.request("GET", "/x/isolation").bearer_auth("metrics");
    assert_eq!(Reply::to(request).await.status, 401, "the key is for the metrics alone");
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_that_exist() {
    let server = TestServer::start(SCENARIOS).await;
    let text = text(&server).await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut known = BTreeSet::new();
    for (name, kind) in types {
        match kind {
            "counter" => drop(known.insert(format!("{name}_total"))),
            "histogram" => {
                known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
            _ => drop(known.insert(name.to_owned())),
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/belljar.json");
    let dashboard = std::fs::read_to_string(file).expect("it is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let names = Regex::new(r"\b(?:belljar|process)_\w+").expect("it is a pattern");
    let mut asked = 0;
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("it is a query");
            for name in names.find_iter(query) {
                assert!(known.contains(name.as_str()), "{}: {query}", panel["title"]);
                asked += 1;
            }
        }
    }
    assert!(asked >= 20, "only {asked} metrics are asked for");
}
