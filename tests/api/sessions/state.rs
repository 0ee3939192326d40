//! What a session keeps, and for whom.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SESSIONS, open, run, stdout};
use harness::{Reply, TestServer};

#[tokio::test]
async fn variables_imports_and_files_are_kept() {
    let server = TestServer::start("").await;
    let files = json!([{"name": "in.csv", "data": STANDARD.encode("x\n1\n2\n")}]);
    let session = open(&server, json!({"files": files})).await;
    run(&server, &session, "import pandas as pd\ndata = pd.read_csv('in.csv')").await;
    run(&server, &session, "def total(): return int(data.x.sum())\nopen('out', 'w').write('kept')")
        .await;
    assert_eq!(stdout(&server, &session, "print(total(), open('out').read())").await, "3 kept\n");
    let failed = run(&server, &session, "data = 7\n1/0").await;
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(stdout(&server, &session, "print(data)").await, "7\n", "an exception ends nothing");
    let about = server.get(&session).await.body;
    assert_eq!((&about["runs"], &about["state"]), (&json!(5), &json!("idle")), "{about}");
}

/// A notebook about a model: a table, a plot, a file, and values of earlier cells.
#[tokio::test]
async fn a_notebook_runs_in_one_session() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let cells = [
        ("import numpy as np, pandas as pd", ""),
        ("rng = np.random.default_rng(0)", ""),
        ("x = np.arange(100); y = 3 * x + 5", ""),
        ("table = pd.DataFrame({'x': x, 'y': y})", ""),
        ("print(table.shape)", "(100, 2)\n"),
        ("table.to_csv('table.csv', index=False)", ""),
        ("again = pd.read_csv('table.csv'); print(again.equals(table))", "True\n"),
        ("from sklearn.linear_model import LinearRegression", ""),
        ("model = LinearRegression().fit(table[['x']], table.y)", ""),
        ("print(round(float(model.coef_[0]), 3), round(float(model.intercept_), 3))", "3.0 5.0\n"),
        ("del table; print('table' in globals())", "False\n"),
        ("print(round(float(model.score(again[['x']], again.y)), 3))", "1.0\n"),
    ];
    for (code, wanted) in cells {
        assert_eq!(stdout(&server, &session, code).await, wanted, "{code}");
    }
    let plot = "import matplotlib.pyplot as plt\nplt.scatter(again.x, again.y)\nplt.show()";
    let answer = run(&server, &session, plot).await;
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(1), "{answer}");
    let memory = server.get(&session).await.body["memory_bytes"].as_u64().expect("a number");
    assert!(memory > 0);
}

#[tokio::test]
async fn requests_run_one_after_another_in_their_order() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    run(&server, &session, "import time\nn = 0").await;
    let count = "m = n\ntime.sleep(0.02)\nn = m + 1\nprint(n)";
    let answers = join_all((0..8).map(|_| run(&server, &session, count))).await;
    let mut printed: Vec<_> = answers.iter().map(|answer| answer["stdout"].to_string()).collect();
    printed.sort();
    let wanted: Vec<_> = (1..=8).map(|n| json!(format!("{n}\n")).to_string()).collect();
    assert_eq!(printed, wanted);
}

#[tokio::test]
async fn too_many_waiting_requests_are_refused() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let path = format!("{session}/execute");
    let code = json!({"code": "import time; time.sleep(0.2)"});
    let replies = join_all((0..20).map(|_| server.post(&path, &code))).await;
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 409).collect();
    assert_eq!(refused.len(), 3, "one runs, and 16 wait");
    assert!(refused[0].message().contains("16 requests that wait"), "{}", refused[0].message());
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 17);
}

#[tokio::test]
async fn a_session_shows_what_its_client_chose() {
    let server = TestServer::start("").await;
    let request = json!({"idle_timeout_s": 90, "timeout_s": 0.5, "labels": {"user": "ä"}});
    let session = open(&server, request).await;
    let about = server.get(&session).await.body;
    for (name, wanted) in [
        ("idle_timeout_s", json!(90.0)),
        ("timeout_s", json!(0.5)),
        ("labels", json!({"user": "ä"})),
        ("runs", json!(0)),
    ] {
        assert_eq!(about[name], wanted, "{about}");
    }
    let time = |name: &str| {
        about[name].as_str().expect("it is text").parse::<jiff::Timestamp>().expect("it is a time")
    };
    let lives = time("expires").duration_since(time("created")).as_secs();
    assert!((89..=90).contains(&lives), "{about}");
    let listed = server.get(SESSIONS).await.body;
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["sessions"][0]["id"], about["id"]);
    let empty = Reply::to(server.request("POST", SESSIONS)).await;
    assert_eq!(empty.status, 200, "a body is optional: {}", empty.body);
}

#[tokio::test]
async fn an_invalid_request_opens_no_session() {
    let server = TestServer::start("").await;
    for (request, wanted) in [
        (json!({"idle_timeout_s": 1e9}), "longer than a session is kept"),
        (json!({"labels": {"a": 1}}), "a label is a text"),
        (json!({"files": [{"name": "a/b", "data": ""}]}), "must be a plain name"),
        (json!({"code": "print(1)"}), "Unknown parameter 'code'"),
        (json!([]), "must be an object"),
    ] {
        let reply = server.post(SESSIONS, &request).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
    assert_eq!(server.get(SESSIONS).await.body, json!({"sessions": []}));
    let gone = server.get("/x/sessions/nothing").await;
    assert_eq!((gone.status, gone.message()), (404, "Session nothing not found."));
    let session = open(&server, json!({})).await;
    let reply = server.post(&format!("{session}/execute"), &Value::Null).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
}
