//! `belljar-warden health`: the health check of a container.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::{Description, WardenReply, WardenRequest};
use tokio::net::UnixStream;

/// A working warden answers in well under a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Options of the health check.
#[derive(Debug, clap::Args)]
pub struct HealthOptions {
    /// Socket of the warden.
    #[arg(long)]
    socket: PathBuf,
}

pub fn ask(settings: &HealthOptions) -> anyhow::Result<()> {
    let description = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?
        .block_on(async {
            tokio::time::timeout(ANSWER_WITHIN, describe(settings))
                .await
                .context("no answer from the warden")?
        })?;
    if !description.ready {
        bail!("not ready: {}", description.waiting_for);
    }
    Ok(())
}

async fn describe(settings: &HealthOptions) -> anyhow::Result<Description> {
    let mut stream = UnixStream::connect(&settings.socket)
        .await
        .with_context(|| format!("could not connect to {}", settings.socket.display()))?;
    protocol::write(&mut stream, &WardenRequest::Describe, &[]).await?;
    match protocol::read(&mut stream).await? {
        (WardenReply::Description(description), _) => Ok(description),
        (reply, _) => bail!("unexpected answer: {reply:?}"),
    }
}
