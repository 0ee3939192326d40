//! `/x/execute`: the sandbox without a model.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use harness::{RUN_LIMIT, Reply, TestServer};

const EXECUTE: &str = "/x/execute";

async fn execute(server: &TestServer, request: Value) -> Value {
    let reply = server.post(EXECUTE, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("it is text")).expect("it is base64")
}

/// [C04] [C05]
#[tokio::test]
async fn code_runs_and_its_output_pictures_and_files_are_returned() {
    let server = TestServer::start("").await;
    let code = "import os, sys\n\
                from PIL import Image\n\
                print(open('in.txt').read()); sys.stderr.write('aside')\n\
                Image.new('L', (3, 2)).show()\n\
                memory = b'x' * (8 << 20)\n\
                open('in.txt', 'a').write('!'); os.mkdir('d'); open('d/out.bin', 'wb').write(b'\\0\\xff')";
    let files = json!([
        {"name": "in.txt", "data": STANDARD.encode("hi")},
        {"name": "untouched", "data": ""},
    ]);

    let answer = execute(&server, json!({"code": code, "files": files})).await;

    assert_eq!(answer["outcome"], "ok", "{answer}");
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("hi\n"), &json!("aside")));
    assert_eq!(answer["images"][0]["mime_type"], "image/png");
    assert!(decoded(&answer["images"][0]["data"]).starts_with(b"\x89PNG"));
    let names: Vec<_> = answer["files"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 2, "new and changed ones, and no others: {answer}");
    assert_eq!((&names[0]["name"], decoded(&names[0]["data"])), (&json!("in.txt"), b"hi!".into()));
    assert_eq!(names[1]["name"], "d/out.bin");
    assert_eq!(decoded(&names[1]["data"]), [0, 0xff]);
    // Memory that the standby allocated before the code came is not charged to the code.
    for (used, least) in
        [("wall_ms", 0.001), ("cpu_ms", 0.001), ("peak_memory_bytes", f64::from(8 << 20))]
    {
        assert!(answer["usage"][used].as_f64().expect("a number") >= least, "{used}: {answer}");
    }
    for left_out in ["images", "files", "stdout_bytes", "stderr_bytes"] {
        assert_eq!(answer[format!("{left_out}_left_out")], 0, "{left_out}: {answer}");
    }
    assert_eq!(answer["isolation"], json!({"tier": "namespaced"}));
    assert_eq!(answer.get("limit"), None);
}

#[tokio::test]
async fn failing_code_is_an_answer_and_not_an_error() {
    let server = TestServer::start("").await;
    let answer = execute(&server, json!({"code": "print(1)\nopen('x', 'w')\n1/0"})).await;
    assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("failed"), &json!("1\n")));
    let stderr = answer["stderr"].as_str().expect("it is text");
    assert!(stderr.ends_with("ZeroDivisionError: division by zero\n"), "{stderr}");
    assert_eq!(answer["files"], json!([{"name": "x", "data": ""}]));

    let answer = execute(&server, json!({"code": "import os; os.abort()"})).await;
    assert_eq!(answer["stderr"], "Crashed: aborted (SIGABRT)\n");
}

#[tokio::test]
async fn the_time_limit_can_be_lowered_and_not_raised() {
    let server = TestServer::start("").await;
    let limit = u32::try_from(RUN_LIMIT.as_millis()).expect("it is short");
    for (asked, given) in [(0.5, 500), (1000.0, limit)] {
        let code = "print('so far', flush=True)\nwhile True: pass";
        let answer = execute(&server, json!({"code": code, "timeout_s": asked})).await;
        assert_eq!(answer["outcome"], "deadline_exceeded");
        assert_eq!(answer["stdout"], "so far\n");
        assert_eq!(answer["limit"], json!({"name": "wall_ms", "value": given}));
        let took = answer["usage"]["wall_ms"].as_f64().expect("a number");
        assert!((f64::from(given)..f64::from(given) + 500.0).contains(&took), "{took} ms");
    }
}

#[tokio::test]
async fn the_limit_that_stopped_a_run_is_named() {
    let server = TestServer::start("").await;
    let flood = json!({"code": "while True: print('x' * 10_000)"});
    let answer = execute(&server, flood).await;
    assert_eq!(answer["limit"], json!({"name": "output_bytes", "value": 10 << 20}));
    let answer = execute(&server, json!({"code": "#".repeat(2 << 20)})).await;
    assert_eq!(answer["limit"], json!({"name": "code_bytes", "value": 1 << 20}));
    assert_eq!(answer["outcome"], "failed");
}

/// [C02] [C03]
#[tokio::test]
async fn an_invalid_request_is_refused_and_runs_no_code() {
    let server = TestServer::start("").await;
    let long = "x".repeat(256);
    let bad_name = |name: &str, why: &str| {
        let files = json!([{"name": name, "data": ""}]);
        (json!({"code": "", "files": files}), format!("Invalid value for 'files[0].name': {why}."))
    };
    let cases = [
        (json!({}), "Missing required parameter 'code'.".to_owned()),
        (json!({"code": 1}), "Invalid type for 'code': expected a string, got a number.".into()),
        (json!({"code": "", "language": "c"}), "Unknown parameter 'language'.".into()),
        (
            json!({"code": "", "timeout_s": -1}),
            "Invalid value for 'timeout_s': must be a number of seconds above 0.".into(),
        ),
        (
            json!({"code": "", "files": [{"name": "a"}]}),
            "Missing required parameter 'files[0].data'.".into(),
        ),
        (
            json!({"code": "", "files": [{"name": "a", "data": ""}, {"name": "a", "data": ""}]}),
            "Invalid value for 'files[1]': two files are named 'a'.".into(),
        ),
        bad_name("../x", "must be a plain name, not a path"),
        bad_name("/abs", "must be a plain name, not a path"),
        bad_name("a/../../b", "must be a plain name, not a path"),
        bad_name("d/x", "must be a plain name, not a path"),
        bad_name("a\0b", "must not contain control characters"),
        bad_name(&long, "longer than 255 bytes"),
        bad_name(".hidden", "must not start with a dot"),
        bad_name("..", "must not start with a dot"),
        bad_name("", "must not be empty"),
    ];
    for (request, wanted) in cases {
        let reply = server.post(EXECUTE, &request).await;
        assert_eq!((reply.status, reply.message()), (400, wanted.as_str()), "{request}");
        assert_eq!(reply.body["error"]["status"], "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn unusual_but_harmless_file_names_are_accepted() {
    let server = TestServer::start("").await;
    // The last two look the same, but differ.
    let names = ["-rf", "CON", "a b", "日本.csv", "\u{e9}", "e\u{301}"];
    let files: Vec<_> = names.iter().map(|name| json!({"name": name, "data": "eA=="})).collect();
    let code = format!(
        "import os\nprint(sorted(os.listdir()) == sorted({}))\n\
         print({{open(n).read() for n in os.listdir()}})",
        json!(names)
    );
    let answer = execute(&server, json!({"code": code, "files": files})).await;
    assert_eq!(answer["stdout"], "True\n{'x'}\n", "{answer}");
}

#[tokio::test]
async fn execute_requires_an_api_key() {
    let server = TestServer::builder().keys(&["secret"]).start().await;
    let request = json!({"code": "print(1)"});
    assert_eq!(server.post(EXECUTE, &request).await.status, 403);
    let with_key = server.request("POST", EXECUTE).header("x-goog-api-key", "secret");
    let reply = Reply::to(with_key.json(&request)).await;
    assert_eq!((reply.status, &reply.body["stdout"]), (200, &json!("1\n")));
}

#[tokio::test]
async fn execute_without_a_sandbox_is_unavailable() {
    let nowhere = tempfile::tempdir().expect("the temporary folder can be created");
    let (server, _never_ready) =
        TestServer::builder().sandbox(&nowhere.path().join("none.sock")).listen().await;
    let reply = server.post(EXECUTE, &json!({"code": "print(1)"})).await;
    assert_eq!((reply.status, reply.message()), (503, "The sandbox is not available."));
}

/// [K13]
#[tokio::test]
async fn a_body_of_any_other_form_is_refused() {
    let server = TestServer::start("").await;
    let deep = "[".repeat(100_000);
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "\"print(1)\"",
        "\u{0}",
        "{\"code\": \"\\ud800\"}",
        &deep,
        "{\"code\": \"print(1)\", \"files\": {}}",
        "{\"code\": \"print(1)\", \"files\": [1]}",
        "{\"code\": \"print(1)\", \"files\": [{\"name\": \"a\", \"data\": \"no base64!\"}]}",
        "{\"code\": \"print(1)\", \"timeout_s\": \"1\"}",
        "{\"code\": \"print(1)\", \"timeout_s\": 1e400}",
    ];
    for body in bodies {
        let reply = Reply::to(server.request("POST", EXECUTE).body(body.to_owned())).await;
        let start: String = body.chars().take(60).collect();
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!(400)), "{start:?}");
        assert_ne!(reply.message(), "", "{start:?}");
    }
    let twice = "{\"code\": \"print(1)\", \"code\": \"print(2)\"}";
    let reply = Reply::to(server.request("POST", EXECUTE).body(twice)).await;
    assert_eq!(reply.body["stdout"], "2\n", "the last one counts, as everywhere");
    assert_eq!(server.get(EXECUTE).await.status, 405);
}

#[tokio::test]
async fn a_hundred_files_are_accepted_and_one_more_is_refused() {
    let server = TestServer::start("").await;
    let files = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"name": format!("f{n}"), "data": "eA=="})).collect()
    };
    let code = "import os; print(len(os.listdir()))";
    let answer = execute(&server, json!({"code": code, "files": files(100)})).await;
    assert_eq!((&answer["stdout"], &answer["files"]), (&json!("100\n"), &json!([])));
    let reply = server.post(EXECUTE, &json!({"code": code, "files": files(101)})).await;
    let message = "Invalid value for 'files[100]': more than 100 files.";
    assert_eq!((reply.status, &reply.body["error"]["message"]), (400, &json!(message)));

    // The limit also counts the files of a conversation.
    let content = |count: usize| -> Vec<Value> {
        let document = json!({"type": "document", "mime_type": "text/plain", "data": "eA=="});
        vec![document; count]
    };
    let reply = server
        .post(
            "/v1beta/interactions",
            &json!({
                "model": "gemini-3.5-flash",
                "input": content(101),
                "tools": [{"type": "code_execution"}],
            }),
        )
        .await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(reply.body.to_string().contains("more than 100 files"), "{}", reply.body);
}
