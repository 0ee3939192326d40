//! Templates of scenarios, the expensive ones of which are rendered in child processes of the server.

use serde_json::{Value, json};

use super::{Subject, while_healthy};

const INTERACTIONS: &str = "/v1beta/interactions";
/// Maximum memory of the server during these tests, in KiB. It was 6 GiB when it rendered all templates
/// itself.
const MAX_PEAK_KIB: u64 = 300 << 10;

fn scenarios(text: &str) -> Value {
    json!({"scenarios": [{"name": "t", "script": [{"text": text}]}]})
}

fn ask(input: &str) -> Vec<u8> {
    json!({"model": "m", "input": input}).to_string().into_bytes()
}

/// The first took gigabytes when it was added, the second held a thread that serves others for twenty
/// seconds, and the third another thread for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_templates_neither_stop_nor_fill_the_server() {
    let subject = Subject::start(&json!({"scenarios": []}));
    let constants =
        "{{ ('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 1600000) == input }}".repeat(60);
    let products = "{{ (input * 1600000) == 1 }}".repeat(500);
    let loops = "{% set s = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 800000 %}\
                 {% for i in range(20000) %}{% set t = s ~ s %}{% endfor %}done";
    // Operators that are words, and have large operands.
    let words = "{{ 99999 in range(100000) }}".repeat(3000);
    // A filter that repeats its argument for each letter.
    let filters =
        "{{ ('yyyy' * 5000) | list | select('in', ('y' * 5000) | list) | list | length }}"
            .repeat(500);
    for text in [&constants, &products, loops, &words, &filters] {
        let added =
            while_healthy(&subject, "/x/scenarios", scenarios(text).to_string().into_bytes()).await;
        assert_eq!(added.status, 200, "{}", added.body);
        let reply = while_healthy(&subject, INTERACTIONS, ask(&"y".repeat(40))).await;
        // It may take longer than a reply waits for the first event.
        let why = match reply.status {
            400 => reply.message(),
            _ => reply.body["errors"][0]["message"].as_str().unwrap_or_default(),
        };
        assert!(
            why.contains("it takes too much time or memory"),
            "{text:.60}: {:.300}",
            reply.body
        );
        subject.delete("/x/scenarios").await;
    }
    subject.is_whole(MAX_PEAK_KIB);
}

/// Each scenario was compared with the whole conversation, and described it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_is_compared_with_many_scenarios_aside_and_in_little_memory() {
    let scenario = |n: usize, when: &Value| json!({"name": n.to_string(), "when": when, "script": [{"text": "x"}]});
    let long = "word ".repeat(40_000);
    for when in [
        json!({"earlier": ["hi"], "input": {"contains": "other words"}}),
        json!({"after": {"function_result": "f", "equals": 1}}),
        json!({"files": {"sha256": ["00"]}}),
    ] {
        let scenarios: Vec<Value> = (0..1500).map(|n| scenario(n, &when)).collect();
        let subject = Subject::start(&json!({"scenarios": scenarios}));
        let data = "QUFB".repeat(500_000);
        let input = json!([
            {"type": "user_input", "content": [{"type": "text", "text": long}]},
            {"type": "model_output", "content": [{"type": "text", "text": "yes"}]},
            {"type": "user_input", "content": [{"type": "text", "text": long},
                {"type": "document", "mime_type": "text/plain", "data": data}]},
        ]);
        let body = json!({"model": "m", "input": input}).to_string().into_bytes();
        let reply = while_healthy(&subject, INTERACTIONS, body).await;
        assert_eq!(reply.status, 400, "{:.300}", reply.body);
        assert!(reply.message().starts_with("No scenario matches"), "{:.300}", reply.message());
        subject.is_whole(MAX_PEAK_KIB);
    }
}

/// The template of a failure was rendered on the thread of the request, which waited for the child.
#[tokio::test(flavor = "multi_thread")]
async fn every_template_is_rendered_off_the_threads_of_requests() {
    let subject = Subject::start(&json!({"scenarios": []}));
    let slow = "{% for i in range(20000) %}{% set t = ('x' * 40000) ~ i %}{% endfor %}done";
    for part in [
        json!({"fail": {"status": 429, "message": slow}}),
        json!({"thought": slow}),
        json!({"code": slow}),
        json!({"if_error": [{"text": slow}]}),
        json!({"search": {"queries": [slow]}}),
    ] {
        let script = match part.get("if_error") {
            Some(_) => json!([{"code": "1 / 0"}, part]),
            None => json!([part]),
        };
        let file = json!({"scenarios": [{"name": "t", "unoffered": true, "script": script}]});
        let added = subject.post("/x/scenarios", &file).await;
        assert_eq!(added.status, 200, "{part:.40}: {}", added.body);
        // Two, as there are at least as many threads.
        let asked = [0, 1].map(|_| subject.request("POST", INTERACTIONS).body(ask("y")).send());
        let mut asked = Box::pin(futures_util::future::join_all(asked));
        let healthy = async {
            for _ in 0..20 {
                let within = std::time::Duration::from_secs(2);
                let health = tokio::time::timeout(within, subject.get("/healthz")).await;
                assert_eq!(health.expect("it is answered").status, 200, "{part:.40}");
            }
        };
        tokio::select! {
            () = healthy => {}
            _ = &mut asked => {}
        }
        drop(asked);
        subject.delete("/x/scenarios").await;
    }
}

/// Each string of the arguments had a limit of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_strings_of_one_part_have_a_limit_together() {
    let subject = Subject::start(&json!({"scenarios": []}));
    let strings = vec!["{{ input * 100000 }}"; 400];
    let page = json!({"title": "t", "url": "https://a.org", "snippet": strings[0]});
    for part in [
        json!({"function_call": {"name": "f", "arguments": {"a": strings}}}),
        json!({"search": {"queries": ["q"], "results": vec![page; 400]}}),
    ] {
        let file = json!({"scenarios": [{"name": "t", "unoffered": true, "script": [part]}]});
        assert_eq!(subject.post("/x/scenarios", &file).await.status, 200);
        let reply = while_healthy(&subject, INTERACTIONS, ask(&"y".repeat(40))).await;
        let why = match reply.status {
            400 => reply.message(),
            _ => reply.body["errors"][0]["message"].as_str().unwrap_or_default(),
        };
        assert!(
            why.contains("more than 4194304 bytes together"),
            "{part:.60}: {:.300}",
            reply.body
        );
        subject.delete("/x/scenarios").await;
    }
    subject.is_whole(MAX_PEAK_KIB);
}

#[tokio::test]
async fn a_template_gives_the_same_text_and_the_same_error_in_a_child() {
    let subject = Subject::start(&json!({"scenarios": []}));
    // A loop is always rendered in a child.
    let in_child =
        "{% for word in input | split(' ') %}{{ word | upper }}{{ loop.index * 2 }},{% endfor %}";
    for (text, wanted) in [
        (in_child, Ok("A2,B\"\n4,Ü6,")),
        (
            "{% for n in [1] %}{{ turn }} {{ model }} {{ files }} {{ 1.0 }} {{ true }}{% endfor %}",
            Ok("1 m [] 1.0 True"),
        ),
        ("{% for n in [1] %}{{ stdout }}{% endfor %}", Err("undefined value")),
        (
            "{% for n in [1] %}{{ files }}{{ results }}{{ function_results }}{% endfor %}",
            Ok("[][][]"),
        ),
        (
            "{% for n in range(90000) %}{{ n + n }}{% endfor %}",
            Err("more than 100000 instructions"),
        ),
        ("{% for n in range(9) %}{{ 'x' * 1000000 }}{% endfor %}", Err("more than 4194304 bytes")),
    ] {
        let added = subject.post("/x/scenarios", &scenarios(text)).await;
        assert_eq!(added.status, 200, "{}", added.body);
        let reply = subject.post(INTERACTIONS, &json!({"model": "m", "input": "a b\"\n ü"})).await;
        match wanted {
            Ok(wanted) => assert_eq!(reply.body["steps"][0]["content"][0]["text"], wanted),
            Err(wanted) => assert!(reply.message().contains(wanted), "{}", reply.message()),
        }
        subject.delete("/x/scenarios").await;
    }
}
