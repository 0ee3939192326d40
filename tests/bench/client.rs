//! A client of the server that keeps its connection, and takes nothing for an answer but the right one.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::code::{Code, Does};
use crate::times::Times;

/// So that a pool of standbys is full again before the next request: this is about how long one takes, and not
/// about how many there can be.
pub const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// One request, made ready before it is measured.
#[derive(Debug, Clone)]
pub struct Ask {
    path: &'static str,
    body: Bytes,
    does: Does,
}

/// Whether the server is to keep an interaction.
#[derive(Debug, Clone, Copy)]
pub enum Keep {
    Yes,
    No,
}

impl Ask {
    /// To run it without a model.
    pub fn execute(code: Code) -> Ask {
        let body = json!({"code": code.text});
        Ask { path: "/x/execute", body: body.to_string().into(), does: code.does }
    }

    /// To have a model run it, which says this code without thinking about it.
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
        let answer: Value = serde_json::from_slice(answer).context("an answer is no JSON")?;
        let (went_well, said, drew) = if self.path == "/x/execute" {
            (answer["outcome"] == "ok", &answer["stdout"], answer["images"][0]["data"].is_string())
        } else {
            let result = answer["steps"].as_array().and_then(|steps| {
                steps.iter().find(|step| step["type"] == "code_execution_result")
            });
            let result = result.context("an answer has no result of its code")?;
            (result["is_error"] == false, &result["result"], false)
        };
        let said = said.as_str().unwrap_or_default();
        let did = match self.does {
            Does::Say(words) => said == words,
            Does::Mention(words) => said.contains(words),
            Does::Draw => drew,
        };
        ensure!(went_well && did, "a run did not do its work: {answer:.2000}");
        Ok(())
    }
}

impl Client {
    pub fn new(url: String) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Client { http, url })
    }

    /// Asks, and says how long it took from the request to the last byte of the answer.
    pub async fn time(&self, ask: &Ask) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let answer = self.post(ask.path, ask.body.clone()).await?;
        let took = began.elapsed();
        ask.check(&answer)?;
        Ok(took)
    }

    /// Asks again and again, each time a moment after the last answer.
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

    /// What the server itself answers without a cell: the price of HTTP and of this client.
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

    /// Runs code with files beside it, however it ends.
    pub async fn execute(&self, request: &Value) -> anyhow::Result<Value> {
        let answer = self.post("/x/execute", request.to_string().into()).await?;
        serde_json::from_slice(&answer).context("an answer is no JSON")
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
