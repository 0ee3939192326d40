//! A client of the server with a persistent connection. A wrong answer ends the bench.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::code::{Code, Does};
use crate::times::Times;

/// Pause in which the pool of standbys is refilled before the next request: the bench measures latency, and not
/// throughput.
pub const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// One request, serialized before it is measured.
#[derive(Debug, Clone)]
pub struct Ask {
    path: &'static str,
    body: Bytes,
    does: Does,
}

/// Whether the server stores the interaction.
#[derive(Debug, Clone, Copy)]
pub enum Keep {
    Yes,
    No,
}

impl Ask {
    /// Runs the code without a model.
    pub fn execute(code: Code) -> Ask {
        let body = json!({"code": code.text});
        Ask { path: "/x/execute", body: body.to_string().into(), does: code.does }
    }

    /// Runs the code through the model `direct`, which returns the code of the input.
    pub fn interaction(code: Code, keep: Keep) -> Ask {
        let body = json!({
            "model": "direct",
            "input": code.text,
            "tools": [{"type": "code_execution"}],
            "store": matches!(keep, Keep::Yes),
        });
        Ask { path: "/v1beta/interactions", body: body.to_string().into(), does: code.does }
    }

    fn check(&self, answer: &Bytes) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(answer).context("an answer is not JSON")?;
        let (went_well, text, drew) = if self.path == "/x/execute" {
            (answer["outcome"] == "ok", &answer["stdout"], answer["images"][0]["data"].is_string())
        } else {
            let result = answer["steps"].as_array().and_then(|steps| {
                steps.iter().find(|step| step["type"] == "code_execution_result")
            });
            let result = result.context("an answer has no result of its code")?;
            (result["is_error"] == false, &result["result"], false)
        };
        let text = text.as_str().unwrap_or_default();
        let did = match self.does {
            Does::Print(expected) => text == expected,
            Does::Contain(expected) => text.contains(expected),
            Does::Draw => drew,
        };
        ensure!(went_well && did, "unexpected result of a run: {answer:.2000}");
        Ok(())
    }
}

impl Client {
    pub fn new(url: String) -> anyhow::Result<Client> {
        let http = http_client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Client { http, url })
    }

    /// Sends the request, and returns the time to the last byte of the answer.
    pub async fn time(&self, ask: &Ask) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let answer = self.post(ask.path, ask.body.clone()).await?;
        let took = began.elapsed();
        ask.check(&answer)?;
        Ok(took)
    }

    /// Sends the request repeatedly, each time a pause after the last answer.
    pub async fn time_paced(
        &self,
        ask: &Ask,
        count: usize,
        discarded: usize,
    ) -> anyhow::Result<Times> {
        let mut times = Times::new();
        for at in 0..discarded + count {
            tokio::time::sleep(PAUSE).await;
            let took = self.time(ask).await?;
            if at >= discarded {
                times.record(took);
            }
        }
        Ok(times)
    }

    /// Measures requests without a cell: the cost of HTTP and of this client.
    pub async fn time_health(&self, count: usize, discarded: usize) -> anyhow::Result<Times> {
        let mut times = Times::new();
        for at in 0..discarded + count {
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            let answer = self.http.get(format!("{}/healthz", self.url)).send().await?;
            answer.error_for_status()?.bytes().await?;
            if at >= discarded {
                times.record(began.elapsed());
            }
        }
        Ok(times)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request to `/x/execute`, with any outcome of the run.
    pub async fn execute(&self, request: &Value) -> anyhow::Result<Value> {
        let answer = self.post("/x/execute", request.to_string().into()).await?;
        serde_json::from_slice(&answer).context("an answer is not JSON")
    }

    async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = self.http.post(format!("{}{path}", self.url));
        let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await?;
        let status = answer.status();
        let answer = answer.bytes().await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}
