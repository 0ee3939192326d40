//! The journal and added scenarios, each in its namespace.

use futures_util::future::join_all;
use serde_json::{Value, json};

use harness::{Reply, TestServer};

const FOLDER: &str = r#"
scenarios:
  - name: greeting
    when: { input: { contains: hello } }
    script: [text: Hello.]
"#;

fn ask(input: &str) -> Value {
    json!({"model": "gemini-3-flash-preview", "input": input, "tools": [{"type": "code_execution"}]})
}

/// A client that sends its namespace with every request.
struct InNamespace<'a> {
    server: &'a TestServer,
    name: &'a str,
}

impl InNamespace<'_> {
    async fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = self.server.request(method, path).header("x-belljar-namespace", self.name);
        Reply::to(request.json(&body)).await
    }

    async fn ask(&self, input: &str) -> Reply {
        self.send("POST", "/v1beta/interactions", ask(input)).await
    }

    async fn add(&self, scenarios: Value) -> Reply {
        self.send("POST", "/x/scenarios", scenarios).await
    }

    async fn journal(&self) -> Vec<Value> {
        let reply = self.send("GET", "/x/journal", Value::Null).await;
        assert_eq!((reply.status, &reply.body["namespace"]), (200, &json!(self.name)));
        reply.body["entries"].as_array().expect("it is a list").clone()
    }
}

fn in_namespace<'a>(server: &'a TestServer, name: &'a str) -> InNamespace<'a> {
    InNamespace { server, name }
}

#[tokio::test]
async fn the_journal_lists_requests_and_the_scenarios_that_answered() {
    let server = TestServer::start(FOLDER).await;
    let mut request = ask("Hello, you");
    request["system_instruction"] = "Be short.".into();
    request["generation_config"] = json!({"seed": 7});
    let answer = server.create(request).await;
    let missed = server.post("/v1beta/interactions", &ask("Goodbye")).await;

    let journal = server.get("/x/journal").await.body;
    let [first, second] = &journal["entries"].as_array().expect("it is a list")[..] else {
        panic!("{journal}");
    };
    for (name, wanted) in [
        ("number", json!(1)),
        ("model", json!("gemini-3-flash-preview")),
        ("input", json!("Hello, you")),
        ("system_instruction", json!("Be short.")),
        ("tools", json!(["code_execution"])),
        ("turn", json!(1)),
        ("generation_config", json!({"seed": 7})),
        ("scenario", json!("greeting")),
        ("status", json!("completed")),
        ("interaction_id", answer["id"].clone()),
        ("error", Value::Null),
    ] {
        assert_eq!(first[name], wanted, "{name}");
    }
    assert_eq!((&second["scenario"], &second["status"]), (&Value::Null, &Value::Null));
    assert_eq!(second["error"], missed.message(), "why it was refused");

    assert_eq!(server.post("/x/reset", &json!({})).await.status, 200);
    assert_eq!(server.get("/x/journal").await.body["entries"], json!([]));
}

#[tokio::test]
async fn an_added_scenario_exists_in_its_namespace_until_the_reset() {
    let server = TestServer::start(FOLDER).await;
    let (mine, other) = (in_namespace(&server, "mine"), in_namespace(&server, "other"));
    let scenario = json!({"scenarios": [
        {"name": "mine", "when": {"input": {"contains": "hello"}}, "script": [{"text": "Mine."}]}
    ]});
    let added = mine.add(scenario).await;
    assert_eq!((added.status, &added.body["added"]), (200, &json!(["mine"])));

    let text = |reply: Reply| reply.body["steps"][0]["content"][0]["text"].clone();
    assert_eq!(text(mine.ask("hello").await), "Mine.");
    assert_eq!(text(other.ask("hello").await), "Hello.");
    assert_eq!(mine.send("DELETE", "/x/scenarios", Value::Null).await.status, 200);
    assert_eq!(text(mine.ask("hello").await), "Hello.");
    assert_eq!((mine.journal().await.len(), other.journal().await.len()), (2, 1));

    mine.send("POST", "/x/reset", Value::Null).await;
    assert_eq!((mine.journal().await.len(), other.journal().await.len()), (0, 1));
}

#[tokio::test]
async fn an_invalid_added_scenario_is_reported() {
    let server = TestServer::start(FOLDER).await;
    let yaml = "scenarios:\n  - name: a\n    script:\n      - txt: hi\n";
    let reply = Reply::to(server.request("POST", "/x/scenarios").body(yaml)).await;
    assert_eq!(reply.status, 400);
    let message = reply.message();
    assert!(message.starts_with("scenarios.yaml:4:9: unknown field `txt`"), "{message}");
    assert!(message.ends_with("hint: did you mean `text`?"), "{message}");

    let nameless = server.request("GET", "/x/journal").header("x-belljar-namespace", "two words");
    let reply = Reply::to(nameless).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("x-belljar-namespace"), "{}", reply.message());
}

/// One test of a suite: scenarios of its own, code that runs, a second turn, the journal.
async fn suite(server: &TestServer, number: usize) -> Vec<Value> {
    let name = format!("suite-{number}");
    let suite = in_namespace(server, &name);
    suite.add(json!({"scenarios": [
        {"name": format!("square {number}"), "when": {"input": {"contains": "square"}}, "script": [
            {"thought": "I'll compute it."},
            {"code": format!("number = {number}\nprint(number * number)")},
            {"text": "{{ stdout | trim }}"},
        ]},
        {"name": "again", "when": {"turn": 2}, "script": [{"text": format!("{number}: {{{{ input }}}}")}]},
    ]}))
    .await;
    let first = suite.ask("The square?").await.body;
    let mut request = ask("And again?");
    request["previous_interaction_id"] = first["id"].clone();
    let second = suite.send("POST", "/v1beta/interactions", request).await.body;
    let missed = suite.ask("hollow").await.body;
    let mut results = vec![first, second, missed];
    results.extend(suite.journal().await);
    results.iter_mut().for_each(without_chance);
    suite.send("POST", "/x/reset", Value::Null).await;
    results
}

/// Removes ids, signatures and times, which differ each time.
fn without_chance(value: &mut Value) {
    const CHANCE: [&str; 9] = [
        "wall_ms",
        "id",
        "call_id",
        "signature",
        "created",
        "updated",
        "at",
        "interaction_id",
        "previous_interaction_id",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !CHANCE.contains(&name.as_str()));
            fields.values_mut().for_each(without_chance);
        }
        Value::Array(values) => values.iter_mut().for_each(without_chance),
        _ => {}
    }
}

#[tokio::test]
async fn a_hundred_concurrent_suites_get_the_same_results_as_sequential_ones() {
    const SUITES: usize = 100;
    let server = TestServer::start(FOLDER).await;
    let together = join_all((0..SUITES).map(|number| suite(&server, number))).await;
    for (number, together) in together.into_iter().enumerate() {
        let alone = suite(&server, number).await;
        assert_eq!(together, alone, "suite {number}");
        let square = (number * number).to_string();
        assert_eq!(alone[0]["steps"][3]["content"][0]["text"], square);
        assert_eq!(alone[3]["scenario"], format!("square {number}"));
        assert_eq!(alone.len(), 6, "three answers and three entries");
    }
}

const FAILS: &str = r#"
scenarios:
  - name: fails
    when: { input: { contains: average } }
    script:
      - thought: Compute it.
      - code: "print('before')\nprint({}['sales'])"
      - text: "The average is {{ stdout | trim }}."
  - name: calls
    when: { input: { contains: weather } }
    script:
      - text: "I ask. "
      - function_call: { name: get_weather, arguments: { city: Paris } }
  - name: unused
    when: { input: { contains: nothing } }
    script: [text: hi]
"#;

#[tokio::test]
async fn the_journal_has_results_of_code_and_the_models_text() {
    let server = TestServer::start(FAILS).await;
    server.create(ask("The average?")).await;
    let mut request = ask("The weather?");
    request["tools"] = json!([{"type": "function", "name": "get_weather"}]);
    server.create(request).await;
    let journal = server.get("/x/journal").await.body;
    let [failed, called] = &journal["entries"].as_array().expect("it is a list")[..] else {
        panic!("{journal}");
    };
    let run = &failed["runs"][0];
    assert_eq!((&run["outcome"], &run["stdout"]), (&json!("failed"), &json!("before\n")));
    assert!(run["code"].as_str().is_some_and(|code| code.contains("['sales']")), "{run}");
    assert!(run["stderr"].as_str().is_some_and(|text| text.contains("KeyError: 'sales'")), "{run}");
    assert!(run["wall_ms"].as_f64().is_some_and(|ms| ms > 0.0) && run["pictures"] == 0, "{run}");
    assert_eq!(failed["text"], "The average is before.");
    let warning = failed["warnings"][0].as_str().expect("there is one");
    assert!(warning.contains("`text` of the scenario `fails`"), "{warning}");
    assert_eq!(
        called["function_calls"],
        json!([{"name": "get_weather", "arguments": {"city": "Paris"}}])
    );
    assert_eq!((&called["text"], &called["runs"]), (&json!("I ask. "), &json!([])));
}

#[tokio::test]
async fn scenarios_are_listed_with_their_uses_in_each_namespace() {
    let server = TestServer::start(FAILS).await;
    let mine = in_namespace(&server, "mine");
    mine.add(json!({"scenarios": [{"name": "added", "when": {"input": {"contains": "added"}}, "script": [{"text": "a"}]}]})).await;
    for input in ["added", "average", "average"] {
        assert_eq!(mine.ask(input).await.status, 200);
    }
    let uses = |reply: &Reply| -> Vec<(String, u64)> {
        let all = reply.body["scenarios"].as_array().expect("it is a list").iter();
        let name = |of: &Value| of["name"].as_str().expect("it has one").to_owned();
        all.map(|of| (name(of), of["uses"].as_u64().expect("it is a number"))).collect()
    };
    let used = |numbers: [u64; 3]| -> Vec<(String, u64)> {
        ["fails", "calls", "unused"].map(str::to_owned).into_iter().zip(numbers).collect()
    };
    let listed = mine.send("GET", "/x/scenarios", Value::Null).await;
    assert_eq!(listed.body["namespace"], "mine");
    assert_eq!(
        (&listed.body["scenarios"][0]["file"], &listed.body["scenarios"][1]["file"]),
        (&Value::Null, &json!("test.yaml"))
    );
    assert_eq!(uses(&listed)[0], ("added".to_owned(), 1));
    assert_eq!(uses(&listed)[1..], used([2, 0, 0]));
    assert_eq!(
        uses(&server.get("/x/scenarios").await),
        used([0, 0, 0]),
        "other namespaces are not counted"
    );
    mine.send("POST", "/x/reset", Value::Null).await;
    assert_eq!(uses(&mine.send("GET", "/x/scenarios", Value::Null).await), used([0, 0, 0]));
}
