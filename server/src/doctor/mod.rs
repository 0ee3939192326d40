//! `belljar doctor`: reports which isolation mechanisms this machine has, and what to change if one
//! is missing. The proof is a cell that runs code.

pub mod client;

use std::io::{self, Write};
use std::time::Duration;

use protocol::{ImageForm, LibraryImage};
use tokio::time::{Instant, interval};

use crate::cause;
use sandbox_client::{Expected, Sandbox, SandboxError};

const CODE: &str = "print(6 * 7)";
/// Maximum wait until the libraries are in large pages. It takes some seconds of processor time.
const MOVED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Tests a sandbox and prints one line per result. Returns whether code can run.
pub async fn examine(
    sandbox: Result<&Sandbox, &anyhow::Error>,
    to: &mut impl Write,
) -> io::Result<bool> {
    let tried = match sandbox {
        Ok(sandbox) => try_it(sandbox, to).await?,
        Err(error) => return fails(error, to),
    };
    match tried {
        Ok(well) => Ok(well),
        Err(error) => fails(&error.into(), to),
    }
}

fn fails(error: &anyhow::Error, to: &mut impl Write) -> io::Result<bool> {
    writeln!(to, "failed {}", cause::in_a_line(error))?;
    Ok(false)
}

async fn try_it(sandbox: &Sandbox, to: &mut impl Write) -> io::Result<Result<bool, SandboxError>> {
    let description = match sandbox.ready().await {
        Ok(description) => description,
        Err(error) => return Ok(Err(error)),
    };
    writeln!(to, "ok     Python {}", description.python)?;
    for layer in &description.layers {
        let holds = if layer.holds { "ok    " } else { "lacks " };
        writeln!(to, "{holds} {}: {}", layer.name, layer.detail)?;
    }
    writeln!(to, "ok     isolation: {}", description.tier)?;
    let ran = async { sandbox.open(Expected::Only(CODE), []).await?.run(CODE).await };
    match ran.await {
        Ok(output) if &output.stdout[..] == b"42\n" => {
            let ms = output.finished.usage.wall_us as f64 / 1000.0;
            writeln!(to, "ok     code: {CODE} printed 42 in {ms:.1} ms")?;
            let images = match images(sandbox).await {
                Ok(images) => images,
                Err(error) => return Ok(Err(error)),
            };
            for LibraryImage { kit, form, detail } in images {
                let holds = if form == ImageForm::Whole { "ok    " } else { "lacks " };
                writeln!(to, "{holds} large pages for {kit}: {form}, {detail}")?;
            }
            Ok(Ok(true))
        }
        Ok(output) => {
            writeln!(to, "failed code: {CODE} ended with {:?}", output.finished.outcome)?;
            Ok(Ok(false))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Waits until it is known how each kit's libraries are in memory. The warden announces no change.
async fn images(sandbox: &Sandbox) -> Result<Vec<LibraryImage>, SandboxError> {
    let deadline = Instant::now() + MOVED_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let images = sandbox.describe().await?.libraries;
        let is_pending = images.iter().any(|image| image.form == ImageForm::Pending);
        if !is_pending || Instant::now() > deadline {
            return Ok(images);
        }
    }
}
