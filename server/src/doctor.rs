//! `belljar doctor`: what this machine has of what a wall is made of, and the one thing to change
//! where something is missing. It believes nothing but a cell that was made and has run code.

use std::io::{self, Write};
use std::path::Path;

use crate::sandbox::{Sandbox, SandboxError};

/// Settings of the kernel that stand in the way, each with the value that does and the way out.
const OBSTACLES: &[(&str, &str, &str)] = &[
    (
        "user/max_user_namespaces",
        "0",
        "user namespaces are switched off: `sysctl user.max_user_namespaces=15000`",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for root alone: `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes what a user namespace gives: load deploy/apparmor/belljar-sandbox, or \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
];

/// Tries a sandbox and says what came of it, a line each. Whether all is well.
pub async fn examine(
    sandbox: Result<Sandbox, SandboxError>,
    sysctls: &Path,
    to: &mut impl Write,
) -> io::Result<bool> {
    let tried = match sandbox {
        Ok(sandbox) => try_it(&sandbox, to).await?,
        Err(error) => Err(error),
    };
    match tried {
        Ok(well) => Ok(well),
        Err(error) => {
            writeln!(to, "fails  {error}")?;
            // Only now: a setting that stands in nobody's way is nobody's business.
            for (name, value, way_out) in OBSTACLES {
                let set = std::fs::read_to_string(sysctls.join(name)).unwrap_or_default();
                if set.trim() == *value {
                    writeln!(to, "       {way_out}")?;
                }
            }
            Ok(false)
        }
    }
}

async fn try_it(sandbox: &Sandbox, to: &mut impl Write) -> io::Result<Result<bool, SandboxError>> {
    let description = match sandbox.ready().await {
        Ok(description) => description,
        Err(error) => return Ok(Err(error)),
    };
    writeln!(to, "ok     Python {}", description.python)?;
    let mut well = true;
    for layer in &description.layers {
        well &= layer.holds;
        let holds = if layer.holds { "ok    " } else { "fails " };
        writeln!(to, "{holds} {}: {}", layer.name, layer.detail)?;
    }
    let ran = async { sandbox.open([]).await?.run("print(6 * 7)").await };
    match ran.await {
        Ok(output) if &output.stdout[..] == b"42\n" => {
            let ms = output.finished.usage.wall_us as f64 / 1000.0;
            writeln!(to, "ok     code: print(6 * 7) says 42, in {ms:.1} ms")?;
            Ok(Ok(well))
        }
        Ok(output) => {
            writeln!(to, "fails  code: print(6 * 7) ended with {:?}", output.finished.outcome)?;
            Ok(Ok(false))
        }
        Err(error) => Ok(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_setting_that_stands_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        std::fs::create_dir(folder.path().join("user")).expect("it is ours");
        std::fs::write(folder.path().join("user/max_user_namespaces"), "0\n").expect("it is ours");
        let nobody = Sandbox::at(folder.path().join("nobody.sock"));

        let mut said = Vec::new();
        let well = examine(Ok(nobody), folder.path(), &mut said).await.expect("memory is there");

        let said = String::from_utf8(said).expect("it is text");
        assert!(!well);
        assert!(said.starts_with("fails  the warden at "), "{said}");
        assert!(said.ends_with("`sysctl user.max_user_namespaces=15000`\n"), "{said}");
    }
}
