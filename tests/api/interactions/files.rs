//! The Files API: uploads, and files in the working directory.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Body;
use serde_json::{Value, json};
use store::FileLimits;

use harness::golden::same;
use harness::{Client, FILE_LIMITS, Program, Reply, TestServer, direct};

const UPLOAD: &str = "/upload/v1beta/files";
const STATUS: &str = "x-goog-upload-status";

/// Begins an upload as the SDKs do, and returns the path to continue at.
async fn start(server: &Client, headers: &[(&str, &str)], file: Value) -> Reply {
    let mut request = server
        .request("POST", UPLOAD)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::to(request.body(json!({"file": file}).to_string())).await
}

fn path(started: &Reply, server: &Client) -> String {
    assert_eq!(started.status, 200, "{}", started.body);
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is text");
    url.strip_prefix(server.url()).expect("the address is the client's own").to_owned()
}

async fn go_on(
    server: &Client,
    path: &str,
    command: &str,
    offset: u64,
    bytes: impl Into<Body>,
) -> Reply {
    let request = server
        .request("POST", path)
        .header("x-goog-upload-command", command)
        .header("x-goog-upload-offset", offset)
        .header("content-type", "application/json");
    Reply::to(request.body(bytes)).await
}

/// A small file, sent in one request.
async fn sent(server: &Client, key: &str, mime_type: &str, content: &'static str) -> Value {
    let request = server
        .request("POST", UPLOAD)
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", mime_type)
        .header("x-goog-api-key", key);
    let reply = Reply::to(request.body(content)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["file"].clone()
}

async fn with_key(server: &Client, method: &str, path: &str, key: &str) -> Reply {
    Reply::to(server.request(method, path).header("x-goog-api-key", key)).await
}

fn name(file: &Value) -> &str {
    file["name"].as_str().expect("it has one")
}

#[tokio::test]
async fn an_upload_matches_the_golden_exchange() {
    let golden: Value =
        serde_json::from_str(include_str!("../../golden/upload.json")).expect("it is JSON");
    let server = TestServer::start("").await;
    let mut names: HashMap<String, Value> = HashMap::new();
    for (at, exchange) in golden["exchanges"].as_array().expect("it is a list").iter().enumerate() {
        let (request, answer) = (&exchange["request"], &exchange["answer"]);
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let path = match names.get(request["path"].as_str().expect("it is text")) {
            Some(url) => text(url).replace(server.url(), ""),
            None => text(&request["path"]),
        };
        let mut sending =
            server.request(&text(&request["method"]), &path).body(text(&request["body"]));
        for (name, value) in request["headers"].as_object().expect("it is one") {
            sending = sending.header(name, text(value));
        }
        let reply = Reply::to(sending).await;
        assert_eq!(reply.status, answer["status"].as_u64().expect("it is a number") as u16);
        for (name, wanted) in answer["headers"].as_object().expect("it is one") {
            let found = reply.headers[name].to_str().expect("it is text").into();
            same(&found, wanted, &mut names, &format!("exchange {at}, {name}"));
        }
        if let Some(body) = answer.get("body") {
            same(&reply.body, body, &mut names, &format!("exchange {at}"));
        }
    }
    let uri = names["<uri>"].as_str().expect("it is text");
    let wanted =
        format!("{}/v1beta/{}", server.url(), names["<name>"].as_str().expect("it is text"));
    assert_eq!(uri, wanted);
    let length = |name: &str| names[name].as_str().expect("it is text").len();
    assert!(length("<name>") <= "files/".len() + 40);
    assert!(
        length("<upload>") > server.url().len() + UPLOAD.len() + 40,
        "the id cannot be guessed"
    );
}

#[tokio::test]
async fn starting_an_upload_needs_a_key_and_its_chunks_need_none() {
    let server = TestServer::builder().keys(&["right"]).start().await;
    let refused = start(&server, &[], json!({})).await;
    assert_eq!(refused.status, 403);
    let key = [("x-goog-api-key", "right")];
    let started = start(&server, &key, json!({"mimeType": "text/plain"})).await;
    let path = path(&started, &server);
    let reply = go_on(&server, &path, "upload", 0, "ab").await;
    assert_eq!((reply.status, reply.headers[STATUS].as_bytes()), (200, b"active".as_slice()));
    let reply = go_on(&server, &path, "upload, finalize", 2, "c").await;
    assert_eq!((reply.status, &reply.body["file"]["sizeBytes"]), (200, &json!("3")));

    let file = format!("/v1/{}", name(&reply.body["file"]));
    assert_eq!(with_key(&server, "GET", &file, "right").await.status, 200);
    for path in [&file, "/upload/v1beta/files?upload_id=", "/v1/files?upload_id=x"] {
        assert_eq!(server.get(path).await.status, 403, "{path}");
    }
    let guessed = go_on(&server, "/upload/v1/files?upload_id=guessed", "upload", 0, "x").await;
    assert_eq!((guessed.status, guessed.headers[STATUS].as_bytes()), (404, b"final".as_slice()));
}

#[tokio::test]
async fn an_interrupted_upload_can_be_resumed() {
    let server = TestServer::start("").await;
    let started = start(&server, &[], json!({"mimeType": "text/plain"})).await;
    let path = path(&started, &server);
    go_on(&server, &path, "upload", 0, "abcdef").await;
    let gap = go_on(&server, &path, "upload", 7, "x").await;
    assert_eq!((gap.status, gap.headers.get(STATUS)), (400, None));
    assert_eq!(gap.message(), "Invalid offset 7: 6 bytes were received.");
    go_on(&server, &path, "upload", 4, "EF").await;
    let asked = go_on(&server, &path, "query", 0, "").await;
    assert_eq!(asked.headers["x-goog-upload-size-received"], "6");
    let done = go_on(&server, &path, "finalize", 6, "").await;
    assert_eq!(done.body["file"]["sizeBytes"], "6");
    let mut request = direct("print(open('input_file_0.txt').read())");
    request["input"] =
        json!([{"text": request["input"]}, {"type": "document", "uri": done.body["file"]["uri"]}]);
    assert_eq!(server.create(request).await["steps"][1]["result"], "abcdEF\n");
}

#[tokio::test]
async fn a_partial_upload_survives_a_killed_server() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let server = Program::start(data.path(), &[]);
    let started = start(&server, &[], json!({"mimeType": "text/csv", "sizeBytes": "6"})).await;
    let path = path(&started, &server);
    assert_eq!(go_on(&server, &path, "upload", 0, "a,b\n").await.status, 200);
    let file = sent(&server, "", "text/plain", "whole").await;
    server.kill();

    let server = Program::start(data.path(), &[]);
    let asked = go_on(&server, &path, "query", 0, "").await;
    assert_eq!(asked.headers["x-goog-upload-size-received"], "4");
    let done = go_on(&server, &path, "upload, finalize", 4, "1,").await;
    assert_eq!((done.status, &done.body["file"]["sizeBytes"]), (200, &json!("6")));
    let found = server.get(&format!("/v1beta/{}", name(&file))).await.body;
    assert_eq!(found["sha256Hash"], file["sha256Hash"]);
}

#[tokio::test]
async fn a_size_that_does_not_match_ends_the_upload() {
    let server = TestServer::start("").await;
    for (content, wanted) in [
        ("abc", "4 bytes were announced, but 3 were received."),
        ("abcde", "4 bytes were announced, but 5 were received."),
    ] {
        let started =
            start(&server, &[("x-goog-upload-header-content-length", "4")], json!({})).await;
        let path = path(&started, &server);
        let reply = go_on(&server, &path, "upload, finalize", 0, content).await;
        assert_eq!((reply.status, reply.message()), (400, wanted));
        assert_eq!(reply.headers[STATUS], "final", "or the SDKs would try again");
        assert_eq!(go_on(&server, &path, "query", 0, "").await.status, 404);
    }
    let started = start(&server, &[], json!({})).await;
    let path = path(&started, &server);
    let reply = go_on(&server, &path, "cancel", 0, "").await;
    assert_eq!((reply.status, reply.headers[STATUS].as_bytes()), (200, b"cancelled".as_slice()));
    assert_eq!(go_on(&server, &path, "query", 0, "").await.status, 404);
}

#[tokio::test]
async fn a_file_may_be_uploaded_in_one_request_with_or_without_metadata() {
    let server = TestServer::start("").await;
    let raw = sent(&server, "", "text/csv", "a,b").await;
    assert_eq!((&raw["mimeType"], &raw["sizeBytes"]), (&json!("text/csv"), &json!("3")));

    let body = "--b-1\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n\
                {\"file\": {\"displayName\": \"My data\", \"name\": \"files/mine\"}}\r\n\
                --b-1\r\nContent-Type: text/csv\r\n\r\na,b\r\n1,2\r\n--b-1--\r\n";
    for (at, (query, header)) in
        [("", "multipart"), ("?uploadType=multipart", "")].into_iter().enumerate()
    {
        let kind = ["multipart/related; boundary=b-1", "multipart/related; boundary=\"b-1\""][at];
        let mut request =
            server.request("POST", &format!("{UPLOAD}{query}")).header("content-type", kind);
        if !header.is_empty() {
            request = request.header("x-goog-upload-protocol", header);
        }
        let reply = Reply::to(request.body(body)).await;
        let file = &reply.body["file"];
        assert_eq!(file["name"], "files/mine", "{}", reply.body);
        assert_eq!((&file["displayName"], &file["sizeBytes"]), (&json!("My data"), &json!("8")));
        server.delete("/v1beta/files/mine").await;
    }
    // What comes before the file has a limit, the file after it none that is reached here.
    let large = body.replace("a,b\r\n1,2", &"1,2\r\n".repeat(1 << 20));
    for _ in 0..3 {
        let request = server.request("POST", &format!("{UPLOAD}?uploadType=multipart"));
        let request = request.header("content-type", "multipart/related; boundary=b-1");
        let reply = Reply::to(request.body(large.clone())).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        server.delete("/v1beta/files/mine").await;
    }
    for (kind, body) in [
        ("multipart/related", body),
        ("multipart/related; boundary=b-1", "--b-1\r\n\r\n{}\r\n--b-1--\r\n"),
        ("multipart/related; boundary=b-1", "--b-1\r\n\r\n{\r\n--b-1\r\n\r\nx\r\n--b-1--\r\n"),
        ("text/plain", body),
    ] {
        let request = server.request("POST", &format!("{UPLOAD}?uploadType=multipart"));
        let reply = Reply::to(request.header("content-type", kind).body(body)).await;
        assert_eq!(reply.status, 400, "{kind}: {}", reply.body);
    }
    let left = server.get("/v1/files").await.body;
    assert_eq!(left["files"].as_array().map(Vec::len), Some(1), "nothing else was kept");
}

#[tokio::test]
async fn files_are_listed_in_pages_fetched_by_name_and_deleted() {
    let server = TestServer::start("").await;
    assert_eq!(server.get("/v1beta/files").await.body, json!({}));
    for content in ["a", "b", "c"] {
        sent(&server, "", "text/plain", content).await;
    }
    let first = server.get("/v1beta/files?pageSize=2").await.body;
    let token = first["nextPageToken"].as_str().expect("there is more");
    let second = server.get(&format!("/v1/files?page_size=2&page_token={token}")).await.body;
    assert_eq!(second.get("nextPageToken"), None);
    let files: Vec<&Value> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["files"].as_array().expect("it is a list"))
        .collect();
    assert_eq!(files.len(), 3);

    let id = name(files[0]).strip_prefix("files/").expect("it is a file");
    for spelling in [id, &format!("files/{id}"), &format!("http://h/v1beta/files/{id}")] {
        let found = server.get(&format!("/v1beta/files/{spelling}")).await;
        assert_eq!((found.status, &found.body["name"]), (200, &files[0]["name"]), "{spelling}");
    }
    let path = format!("/v1beta/files/{id}");
    let download = server.get(&format!("{path}:download?alt=media")).await;
    assert_eq!(download.status, 400);
    let deleted = server.delete(&path).await;
    assert_eq!((deleted.status, deleted.body), (200, json!({})));
    for gone in [server.get(&path).await, server.delete(&path).await] {
        assert_eq!(
            (gone.status, &gone.body["error"]["status"]),
            (403, &json!("PERMISSION_DENIED"))
        );
        assert!(gone.message().contains(&format!("the File {id} or it may not exist")));
    }
    let registered = server.post("/v1beta/files:register", &json!({})).await;
    assert_eq!(registered.status, 404);
}

#[tokio::test]
async fn a_file_belongs_to_the_key_that_uploaded_it() {
    let server = TestServer::builder().keys(&["one", "other"]).start().await;
    let file = sent(&server, "one", "text/plain", "secret").await;
    let path = format!("/v1beta/{}", name(&file));
    for (key, status, listed) in [("one", 200, 1), ("other", 403, 0)] {
        assert_eq!(with_key(&server, "GET", &path, key).await.status, status);
        let list = with_key(&server, "GET", "/v1beta/files", key).await.body;
        assert_eq!(list["files"].as_array().map_or(0, Vec::len), listed);

        let mut request = direct("print(open('input_file_0.txt').read())");
        request["input"] =
            json!([{"text": request["input"]}, {"type": "document", "uri": file["uri"]}]);
        let request = server.request("POST", "/v1/interactions").json(&request);
        let reply = Reply::to(request.header("x-goog-api-key", key)).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(with_key(&server, "DELETE", &path, "other").await.status, 403);
    assert_eq!(with_key(&server, "DELETE", &path, "one").await.status, 200);
}

#[tokio::test]
async fn a_referenced_file_is_in_the_working_directory() {
    let server = TestServer::start("").await;
    let file = sent(&server, "", "text/csv", "a,b").await;
    let (uri, code) =
        (file["uri"].as_str().expect("it is text"), "print(open('input_file_1.csv').read())");
    for uri in [uri, name(&file), &uri.replace("http://", "https://elsewhere.example:1/x/")] {
        let mut request = direct("");
        request["input"] = json!([
            {"text": code}, {"type": "document", "data": "eA==", "mime_type": "text/plain"},
            {"type": "document", "uri": uri},
        ]);
        let answer = server.create(request).await;
        assert_eq!(answer["steps"][1]["result"], "a,b\n", "{uri}");
    }
    let part = |data: Value| json!({"fileData": data});
    for data in [json!({"fileUri": uri}), json!({"file_uri": uri, "mime_type": "text/csv"})] {
        let request = json!({"tools": [{"codeExecution": {}}], "contents": [{"parts": [
            {"text": code}, {"inlineData": {"data": "eA=="}}, part(data)]}]});
        let answer = server.post("/v1/models/direct:generateContent", &request).await.body;
        let result = &answer["candidates"][0]["content"]["parts"][1]["codeExecutionResult"];
        assert_eq!(result["output"], "a,b\n");
    }
}

#[tokio::test]
async fn a_file_of_an_earlier_turn_is_available_until_it_is_deleted() {
    let server = TestServer::start("").await;
    let file = sent(&server, "", "text/csv", "a,b").await;
    let code = "print(open('input_file_0.csv').read())";
    let mut request = direct(code);
    request["input"] = json!([{"text": code}, {"type": "document", "uri": file["uri"]}]);
    let first = server.create(request).await;
    let mut next = direct(code);
    next["previous_interaction_id"] = first["id"].clone();
    assert_eq!(server.create(next.clone()).await["steps"][1]["result"], "a,b\n");

    server.delete(&format!("/v1/{}", name(&file))).await;
    let reply = server.post("/v1/interactions", &next).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (403, &json!("permission_denied")));
}

#[tokio::test]
async fn uploads_have_separate_size_limits() {
    let limits = FileLimits { file_bytes: 1 << 20, total_bytes: 3 << 19, ..FILE_LIMITS };
    let server = TestServer::builder().request_bytes(1000).files(limits).start().await;
    let raw = async |bytes: usize| {
        let request = server
            .request("POST", UPLOAD)
            .header("x-goog-upload-protocol", "raw")
            .header("content-type", "text/plain");
        Reply::to(request.body(vec![b'x'; bytes])).await
    };
    let whole = raw(1 << 20).await;
    assert_eq!((whole.status, &whole.body["file"]["sizeBytes"]), (200, &json!("1048576")));
    let too_large = raw((1 << 20) + 1).await;
    assert_eq!(
        (too_large.status, too_large.message()),
        (413, "The file is larger than 1048576 bytes.")
    );
    let full = raw((1 << 19) + 1).await;
    assert_eq!((full.status, &full.body["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    server.delete(&format!("/v1/{}", name(&whole.body["file"]))).await;

    // A client that does not announce the size.
    let started = start(&server, &[], json!({})).await;
    let path = path(&started, &server);
    let reply = go_on(&server, &path, "upload", 0, vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!((reply.status, reply.headers[STATUS].as_bytes()), (413, b"final".as_slice()));
    assert_eq!(server.get("/v1/files").await.body, json!({}), "nothing of it is left");

    let long = "x".repeat(2000);
    assert_eq!(start(&server, &[], json!({"displayName": long})).await.status, 413);
}

/// No client could resume it, and it counted as a file of the key for a day.
#[tokio::test]
async fn an_upload_in_one_request_whose_client_is_gone_takes_no_space() {
    let limits = FileLimits { total_bytes: 3 << 19, ..FILE_LIMITS };
    let server = TestServer::builder().files(limits).start().await;
    let raw = |body: Body| {
        let request = server.request("POST", UPLOAD).header("x-goog-upload-protocol", "raw");
        request.header("content-type", "text/plain").body(body)
    };
    let (sent, is_sent) = tokio::sync::oneshot::channel();
    let first = futures_util::stream::once(async { Ok::<_, std::io::Error>(vec![b'x'; 1 << 20]) });
    let rest = futures_util::stream::once(async move {
        sent.send(()).expect("the test waits");
        std::future::pending().await
    });
    let abandoned = raw(Body::wrap_stream(first.chain(rest))).send();
    tokio::select! {
        _ = abandoned => panic!("it has no end"),
        sent = is_sent => sent.expect("it is sent"),
    }
    let after = async {
        while Reply::to(raw(vec![b'x'; 1 << 20].into())).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), after)
        .await
        .expect("it was cancelled");
}

#[tokio::test]
async fn an_expired_file_is_deleted() {
    let limits = FileLimits { lifetime: Duration::ZERO, ..FILE_LIMITS };
    let server = TestServer::builder().files(limits).start().await;
    let file = sent(&server, "", "text/csv", "a").await;
    assert_eq!(server.get(&format!("/v1/{}", name(&file))).await.status, 403);
    assert_eq!(server.get("/v1/files").await.body, json!({}));

    let server = TestServer::start("").await;
    let file = sent(&server, "", "text/csv", "a").await;
    let time = |field: &str| -> jiff::Timestamp {
        file[field].as_str().expect("it is text").parse().expect("it is a time")
    };
    let hours = (time("expirationTime") - time("createTime")).get_seconds() / 3600;
    assert_eq!(hours, 48);
}

#[tokio::test]
async fn each_invalid_upload_has_a_specific_error() {
    let server = TestServer::start("").await;
    for (file, wanted) in [
        (json!({"mimeType": "bad/mime_type"}), "Unsupported MIME type: bad/mime_type"),
        (json!({"name": "files/A"}), "Invalid value for 'file.name'"),
        (json!({"colour": "red"}), "Unknown name \"colour\" at 'file'"),
    ] {
        let reply = start(&server, &[], file).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!(400)));
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
    assert_eq!(start(&server, &[], json!({"name": "files/mine"})).await.status, 200);
    assert_eq!(start(&server, &[], json!({"name": "files/mine"})).await.status, 400);
    let begin = format!("{UPLOAD}?upload_protocol=resumable");
    for command in ["jump", "upload", "start, upload"] {
        assert_eq!(go_on(&server, &begin, command, 0, "").await.status, 400, "{command}");
    }
    let started = start(&server, &[], json!({})).await;
    let path = path(&started, &server);
    for command in ["", "start", "query, upload", "fly"] {
        assert_eq!(go_on(&server, &path, command, 0, "").await.status, 400, "{command}");
    }
    let reply = server.post(UPLOAD, &json!({})).await;
    assert!(reply.message().contains("Missing upload protocol"), "{}", reply.message());
}

#[tokio::test]
async fn behind_a_proxy_upload_addresses_use_the_clients_host() {
    let server = TestServer::start("").await;
    let headers = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "example.org"),
        ("x-forwarded-prefix", "/gemini"),
    ];
    let started = start(&server, &headers, json!({})).await;
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is text");
    assert!(url.starts_with("https://example.org/gemini/upload/v1beta/files?upload_id="), "{url}");
}

/// A body in pieces, too large to hold in memory.
fn pieces(count: usize) -> Body {
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = std::iter::repeat_n(piece, count).map(Ok::<_, std::io::Error>);
    Body::wrap_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn a_large_upload_is_not_held_in_memory() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let server = Program::start(data.path(), &[]);
    let most_used = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).expect("Linux counts it");
        kib.parse::<u64>().expect("it is a number") >> 10
    };
    let before = most_used();
    let request = server
        .request("POST", UPLOAD)
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", "text/plain");
    let reply = Reply::to(request.body(pieces(128))).await;
    assert_eq!(reply.body["file"]["sizeBytes"], (128 << 20).to_string());
    let used = most_used() - before;
    assert!(used < 64, "{used} MiB for a file of 128 MiB");

    let mut request = direct("print(1)");
    request["input"] = json!([
        {"text": "print(1)"}, {"type": "document", "uri": reply.body["file"]["uri"]}]);
    let refused = server.post("/v1/interactions", &request).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("a file for code may have 104857600"), "{}", refused.body);
}

/// Another server with one small file and a redirect to it.
async fn elsewhere() -> (String, tokio::task::JoinHandle<()>) {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    let file = || async { ([("content-type", "text/csv; charset=utf-8")], "a,b") };
    let router = Router::new()
        .route("/data/x.csv", get(file))
        .route("/secret.csv", get(file))
        .route("/data/redirect", get(|| async { Redirect::to("/secret.csv") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let serving = tokio::spawn(async { axum::serve(listener, router).await.expect("it listens") });
    (url, serving)
}

#[tokio::test]
async fn remote_files_are_fetched_only_from_allowed_addresses() {
    let (url, serving) = elsewhere().await;
    let server = TestServer::builder().fetch_from(&format!("{url}/data/")).start().await;
    let ask = async |uri: String| {
        let mut request = direct("");
        let code = "print(open('input_file_0.csv').read())";
        request["input"] = json!([{"text": code}, {"type": "document", "uri": uri}]);
        server.post("/v1/interactions", &request).await
    };
    let reply = ask(format!("{url}/data/x.csv")).await;
    assert_eq!(reply.body["steps"][1]["result"], "a,b\n", "{}", reply.body);
    for (uri, wanted) in [
        (format!("{url}/secret.csv"), "has not allowed its address"),
        (format!("{url}/data/../secret.csv"), "has not allowed its address"),
        ("https://example.org/x.csv".to_owned(), "has not allowed its address"),
        (format!("{url}/data/gone.csv"), "its server responds with 404"),
        (format!("{url}/data/redirect"), "its server responds with 303"),
        ("gs://bucket/x.csv".to_owned(), "cannot be fetched by this server"),
    ] {
        let reply = ask(uri.clone()).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("invalid_request")));
        assert!(reply.message().contains(wanted), "{uri}: {}", reply.message());
    }
    serving.abort();
    let _ = serving.await;
    let reply = ask(format!("{url}/data/x.csv")).await;
    assert!(reply.message().contains("its server does not respond"), "{}", reply.message());
}
