//! Output as it comes.

use serde_json::json;

use super::{open, stdout};
use harness::{Event, Stream, TestServer};

async fn stream(server: &TestServer, session: &str, code: &str) -> Stream {
    let request = server.request("POST", &format!("{session}/execute?stream=true"));
    Stream::of(request.json(&json!({"code": code}))).await
}

#[tokio::test]
async fn text_and_pictures_come_while_the_code_runs() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let code = "import os, sys, time\n\
                from PIL import Image\n\
                def wait(name):\n\
                \x20   while not os.path.exists(name): time.sleep(0.001)\n\
                print('first', end='')\n\
                time.sleep(0.1)\n\
                print('aside', file=sys.stderr)\n\
                time.sleep(0.1)\n\
                Image.new('L', (3, 2)).show()\n\
                time.sleep(0.1)\n\
                print('é', end='')";
    let mut events = stream(&server, &session, code).await;
    for (name, field, wanted) in [
        ("stdout", "text", "first"),
        ("stderr", "text", "aside\n"),
        ("image", "mime_type", "image/png"),
        ("stdout", "text", "é"),
    ] {
        let event = events.next().await.expect("the code runs");
        assert_eq!((event.name.as_str(), &event.data[field]), (name, &json!(wanted)), "{event:?}");
    }
    let [result, done] = &events.rest().await[..] else { panic!("two events are left") };
    assert_eq!((result.name.as_str(), &result.data["outcome"]), ("result", &json!("ok")));
    assert_eq!(
        (&result.data["stdout"], &result.data["stderr"]),
        (&json!("firsté"), &json!("aside\n"))
    );
    assert_eq!(result.data["images"].as_array().map(Vec::len), Some(1), "{result:?}");
    assert_eq!(done, &Event { name: "done".into(), data: json!("[DONE]") });
    assert_eq!(stdout(&server, &session, "print(1)").await, "1\n");
}

#[tokio::test]
async fn a_stream_has_all_of_the_output_in_order() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let mut events = stream(&server, &session, "for n in range(20_000): print(n)").await;
    let mut text = String::new();
    let result = loop {
        let event = events.next().await.expect("it ends in a result");
        match event.name.as_str() {
            "stdout" => {
                assert_eq!(event.data["bytes_left_out"], 0, "the client reads fast enough");
                text.push_str(event.data["text"].as_str().expect("it is text"));
            }
            _ => break event.data,
        }
    };
    let wanted: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(text, wanted);
    assert_eq!(result["stdout"], wanted);
}

#[tokio::test]
async fn a_run_that_fails_and_one_that_ends_the_session_end_in_a_result() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let result = stream(&server, &session, "1/0").await.until("result").await.data;
    assert_eq!(result["outcome"], "failed");
    let result = stream(&server, &session, "import os; os._exit(3)").await.until("result").await;
    let wanted = "its code ended the interpreter with exit code 3";
    assert_eq!(result.data["session_ended"], wanted, "{result:?}");
}
