//! The question that a container's health check asks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::{Description, Reply, Request};
use tokio::net::UnixStream;

/// A warden that works answers in well under a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Which warden is asked.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Where it listens.
    #[arg(long)]
    socket: PathBuf,
}

pub fn ask(settings: &Settings) -> anyhow::Result<()> {
    let description = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(async {
            tokio::time::timeout(ANSWER_WITHIN, describe(settings)).await.context("it is silent")?
        })?;
    if !description.ready {
        bail!("not ready: {}", description.waiting_for);
    }
    Ok(())
}

async fn describe(settings: &Settings) -> anyhow::Result<Description> {
    let mut stream = UnixStream::connect(&settings.socket)
        .await
        .with_context(|| format!("nobody listens at {}", settings.socket.display()))?;
    protocol::write(&mut stream, &Request::Describe, &[]).await?;
    match protocol::read(&mut stream).await? {
        (Reply::Description(description), _) => Ok(description),
        (reply, _) => bail!("an answer out of turn: {reply:?}"),
    }
}
