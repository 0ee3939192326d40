//! A server that speaks chat completions, or as Gemini does, as it is told to: slow, broken, hostile,
//! or well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use server::backend::gemini::{self, Execution, Gemini};
use server::backend::openai::{Has, Model, OpenAi};
use server::backend::upstream::Address;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::recorder;

/// What is answered to one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, a header, body.
    Whole(u16, (&'static str, &'static str), String),
    Stream(Vec<Act>),
    /// Nothing: the connection is closed.
    HangUp,
}

#[derive(Debug, Clone)]
pub enum Act {
    Say(String),
    /// Says nothing more, and does not end.
    Hang,
    /// Ends the connection in the middle.
    Cut,
    /// The same, without end.
    Repeat(Bytes),
}

/// A server on loopback. Gone when dropped.
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
            .route("/v1beta/interactions", post(answer))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Fake { url, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The model behind it, with a key.
    pub fn model(&self) -> OpenAi {
        self.model_with(Has::Auto, Has::Auto)
    }

    pub fn model_with(&self, tools: Has, images: Has) -> OpenAi {
        let address = Address {
            base_url: format!("{}/v1", self.url),
            key: Some("sk-geheim".to_owned().into()),
            silence: Duration::from_secs(1),
        };
        let model = Model { name: Some("upstream-name".into()), tools, images };
        OpenAi::new(address, model).expect("there is no TLS to set up")
    }

    /// The same as Gemini, with another key.
    pub fn gemini(&self, execution: Execution) -> Gemini {
        if execution == Execution::Upstream {
            recorder::leave_out(); // what it says is handed on as it comes
        }
        let address = Address {
            base_url: self.url.clone(),
            key: Some("AIza-geheim".to_owned().into()),
            silence: Duration::from_secs(1),
        };
        let model = gemini::Model { name: Some("upstream-name".into()), execution };
        Gemini::new(address, model).expect("there is no TLS to set up")
    }

    /// A header of the first request.
    pub fn header(&self, name: &str) -> String {
        let asked = self.shared.asked.lock().expect("nobody panicked");
        asked[0].0[name].to_str().expect("it is text").to_owned()
    }

    /// All requests, oldest first.
    pub fn asked(&self) -> Vec<Value> {
        let asked = self.shared.asked.lock().expect("nobody panicked");
        asked.iter().map(|(_, body)| body.clone()).collect()
    }

    /// Waits until a client has gone away in the middle of a stream.
    pub async fn left(&self) {
        self.shared.left.notified().await;
    }
}

/// Says that it was dropped.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let body = serde_json::from_str(&body).expect("it is asked in JSON");
    shared.asked.lock().expect("nobody panicked").push((headers, body));
    let next = shared.answers.lock().expect("nobody panicked").pop_front();
    match next.unwrap_or_else(|| status(500, "the test has no more answers")) {
        Answer::Whole(status, (name, value), body) => Response::builder()
            .status(status)
            .header(name, value)
            .body(Body::from(body))
            .expect("it is a response"),
        // What ends the task of a connection ends the connection, without a word.
        Answer::HangUp => std::panic::resume_unwind(Box::new("hung up")),
        Answer::Stream(acts) => {
            let leaving = Leaving(shared);
            let stream = async_stream::stream! {
                let _leaving = leaving;
                for act in acts {
                    match act {
                        Act::Say(text) => yield Ok(Bytes::from(text)),
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

/// A stream of these deltas that ends as it should.
pub fn says(deltas: impl IntoIterator<Item = Value>) -> Answer {
    let mut acts: Vec<Act> = deltas.into_iter().map(delta).collect();
    acts.push(data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
    acts.push(Act::Say("data: [DONE]\n\n".into()));
    Answer::Stream(acts)
}

pub fn delta(delta: Value) -> Act {
    data(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

pub fn data(chunk: &Value) -> Act {
    Act::Say(format!("data: {chunk}\n\n"))
}

/// The call of the tool that runs code.
pub fn code(code: &str) -> Answer {
    let arguments = json!({"code": code}).to_string();
    says([json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                                 "function": {"name": "run_python", "arguments": arguments}}]})])
}

pub fn text(text: &str) -> Answer {
    says([json!({"content": text})])
}
