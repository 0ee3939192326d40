//! `belljar doctor`: what this machine has of what a wall is made of, and the one thing to change
//! where something is missing. It believes nothing but a cell that was made and has run code.

pub mod client;

use std::io::{self, Write};

use crate::cause;
use crate::sandbox::{Expected, Sandbox, SandboxError};

const CODE: &str = "print(6 * 7)";

/// Tries a sandbox and says what came of it, a line each. Whether the server would run code here.
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
    writeln!(to, "fails  {}", cause::in_a_line(error))?;
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
            writeln!(to, "ok     code: {CODE} says 42, in {ms:.1} ms")?;
            Ok(Ok(true))
        }
        Ok(output) => {
            writeln!(to, "fails  code: {CODE} ended with {:?}", output.finished.outcome)?;
            Ok(Ok(false))
        }
        Err(error) => Ok(Err(error)),
    }
}
