//! `belljar doctor`: reports which isolation mechanisms this machine has, and what to change if one
//! is missing. The proof is a cell that runs code.

pub mod client;

use std::io::{self, Write};

use crate::cause;
use sandbox_client::{Expected, Sandbox, SandboxError};

const CODE: &str = "print(6 * 7)";

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
            Ok(Ok(true))
        }
        Ok(output) => {
            writeln!(to, "failed code: {CODE} ended with {:?}", output.finished.outcome)?;
            Ok(Ok(false))
        }
        Err(error) => Ok(Err(error)),
    }
}
