//! A fake model server that speaks chat completions or Gemini's API, with answers that are slow, broken,
//! hostile or correct.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use server::backends::gemini::{self, Execution, Gemini};
use server::backends::openai::{Has, OpenAi, OpenAiModel};
use server::backends::upstream::{Address, budget};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use harness::recorder;

/// The answer to one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, a header, body.
    Whole(u16, (&'static str, &'static str), String),
    Stream(Vec<Act>),
    /// No answer: the connection is closed.
    HangUp,
}

#[derive(Debug, Clone)]
pub enum Act {
    Send(String),
    /// Sends nothing more, and keeps the connection open.
    Hang,
    /// Closes the connection in the middle.
    Cut,
    /// Repeats a text without end.
    Repeat(Bytes),
}

/// A server on loopback, stopped when dropped.
#[derive(Debug)]
pub struct Fake {
    url: String,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<(HeaderMap, Value)>>,
    left: Notify,
}

impl Fake {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Fake {
        let shared = Arc::new(Shared {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Shared::default()
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/v1/embeddings", post(answer))
            .route("/v1beta/models/{*call}", post(answer))
            .route("/v1beta/interactions", post(answer))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Fake { url, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    /// A backend with a key for this server.
    pub fn model(&self) -> OpenAi {
        self.model_with(Has::Auto, Has::Auto)
    }

    pub fn model_with(&self, tools: Has, images: Has) -> OpenAi {
        let address = Address {
            base_url: format!("{}/v1", self.url),
            key: Some("sk-geheim".to_owned().into()),
            silence: Duration::from_secs(1),
        };
        let model = OpenAiModel { name: Some("upstream-name".into()), tools, images };
        OpenAi::new(address, model, budget()).expect("there is no TLS to set up")
    }

    /// The same as a Gemini backend, with another key.
    pub fn gemini(&self, execution: Execution) -> Gemini {
        if execution == Execution::Upstream {
            recorder::leave_out(); // its answers are forwarded unchanged
        }
        let address = Address {
            base_url: self.url.clone(),
            key: Some("sk-geheim".to_owned().into()),
            silence: Duration::from_secs(1),
        };
        let model = gemini::GeminiModel { name: Some("upstream-name".into()), execution };
        Gemini::new(address, model, budget()).expect("there is no TLS to set up")
    }

    /// A header of the first request.
    pub fn header(&self, name: &str) -> String {
        let asked = self.shared.asked.lock();
        asked[0].0[name].to_str().expect("it is text").to_owned()
    }

    /// All requests, oldest first.
    pub fn asked(&self) -> Vec<Value> {
        let asked = self.shared.asked.lock();
        asked.iter().map(|(_, body)| body.clone()).collect()
    }

    /// Waits until a client has disconnected in the middle of a stream.
    pub async fn left(&self) {
        self.shared.left.notified().await;
    }
}

/// Signals that it was dropped.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let body = serde_json::from_str(&body).expect("the request is JSON");
    shared.asked.lock().push((headers, body));
    let next = shared.answers.lock().pop_front();
    match next.unwrap_or_else(|| status(500, "the test has no more answers")) {
        Answer::Whole(status, (name, value), body) => Response::builder()
            .status(status)
            .header(name, value)
            .body(Body::from(body))
            .expect("it is a response"),
        // A panic in the connection's task closes the connection without an answer.
        Answer::HangUp => std::panic::resume_unwind(Box::new("hung up")),
        Answer::Stream(acts) => {
            let leaving = Leaving(shared);
            let stream = async_stream::stream! {
                let _leaving = leaving;
                for act in acts {
                    match act {
                        Act::Send(text) => yield Ok(Bytes::from(text)),
                        Act::Hang => std::future::pending::<()>().await,
                        Act::Cut => {
                            tokio::task::yield_now().await;
                            yield Err(std::io::Error::other("cut"));
                        }
                        Act::Repeat(bytes) => loop {
                            yield Ok(bytes.clone());
                        },
                    }
                }
            };
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(stream))
                .expect("it is a response")
        }
    }
}

/// An error in OpenAI's envelope.
pub fn status(status: u16, message: &str) -> Answer {
    let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
    Answer::Whole(status, ("content-type", "application/json"), body.to_string())
}

/// A stream of these deltas that ends normally.
pub fn stream_of(deltas: impl IntoIterator<Item = Value>) -> Answer {
    let mut acts: Vec<Act> = deltas.into_iter().map(delta).collect();
    acts.push(data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
    acts.push(Act::Send("data: [DONE]\n\n".into()));
    Answer::Stream(acts)
}

pub fn delta(delta: Value) -> Act {
    data(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

pub fn data(chunk: &Value) -> Act {
    Act::Send(format!("data: {chunk}\n\n"))
}

/// The call of the tool that runs code.
pub fn code(code: &str) -> Answer {
    let arguments = json!({"code": code}).to_string();
    stream_of([json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                                 "function": {"name": "run_python", "arguments": arguments}}]})])
}

pub fn text(text: &str) -> Answer {
    stream_of([json!({"content": text})])
}
