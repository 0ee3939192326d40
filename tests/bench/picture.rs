//! A bar chart of the medians, drawn in the sandbox.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::client::Client;
use crate::report::{Latency, Whose};

const NAME: &str = "bench.svg";
const DRAW: &str = include_str!("picture.py");

pub async fn draw(client: &Client, latencies: &[Latency], to: &Path) -> anyhow::Result<()> {
    let bars: Vec<_> = latencies
        .iter()
        .filter_map(|latency| {
            let ms = latency.times.as_ref().ok()?.p50().as_secs_f64() * 1000.0;
            let what = latency.what.replace('`', "");
            Some(json!({"what": what, "ms": ms, "ours": latency.whose == Whose::Ours}))
        })
        .collect();
    let bars = STANDARD.encode(json!(bars).to_string());
    let request = json!({"code": DRAW, "files": [{"name": "bars.json", "data": bars}]});
    let answer = client.execute(&request).await?;
    let file =
        answer["files"].as_array().and_then(|files| files.iter().find(|file| file["name"] == NAME));
    ensure!(answer["outcome"] == "ok", "the picture was not drawn: {answer:.2000}");
    let data = file.and_then(|file| file["data"].as_str()).context("there is no picture")?;
    std::fs::write(to, STANDARD.decode(data)?).with_context(|| format!("writing {}", to.display()))
}
