//! Peers that need a container engine, with an image that the engine already has.

use std::process::{Command, Stdio};

use super::{Task, environment::Environment, repeat, script};
use crate::Place;
use crate::code::PRINT;
use crate::plan::Plan;
use crate::report::{Latency, NotHere};
use crate::times::Times;

/// Images that may have a Python.
const LOOKED_AT: usize = 10;

pub fn measure(place: &Place, plan: &Plan) -> anyhow::Result<Vec<Latency>> {
    let image = match image() {
        Ok(image) => image,
        Err(NotHere(why)) => {
            return Ok(["`docker run` and `print(1)`", "`print(1)` in `llm-sandbox`"]
                .map(|what| Latency::theirs(what, Err(NotHere(why.clone()))))
                .into());
        }
    };
    let mut rows = Vec::new();
    let run = repeat(place, plan.cold, || run(&image))?;
    rows.push(Latency::theirs(
        &format!("`docker run {image}` and `print(1)`, no imports"),
        Ok(run),
    ));

    let what = format!("`print(1)` in a new session of `llm-sandbox`, {image}, no imports");
    let lock = include_str!("llm_sandbox.lock");
    let times = match Environment::of_python(place, "llm_sandbox", lock)? {
        Ok(environment) => sessions(place, plan, &environment, &image),
        Err(why) => Err(why),
    };
    rows.push(Latency::theirs(&what, times));
    Ok(rows)
}

/// Measures `llm-sandbox`, whose requirements the image may not meet.
fn sessions(
    place: &Place,
    plan: &Plan,
    environment: &Environment,
    image: &str,
) -> Result<Times, NotHere> {
    let mut session = environment.python();
    session.arg("-c").arg(include_str!("llm_sandbox.py")).arg(image);
    let task = Task { name: "print", code: PRINT, count: plan.cold.div_ceil(2), discarded: 1 };
    let results = script(place, session, &[task], &std::env::temp_dir());
    let mut results = results.map_err(|error| NotHere(format!("does not work here: {error:#}")))?;
    results.remove("print").ok_or_else(|| NotHere("no results".to_owned()))
}

/// An image that the engine has and that has a Python.
fn image() -> Result<String, NotHere> {
    let not_here = |why: &str| NotHere(why.to_owned());
    let engine = Command::new("docker").arg("info").stderr(Stdio::null()).output();
    if !engine.is_ok_and(|output| output.status.success()) {
        return Err(not_here("no container engine answers"));
    }
    let list = Command::new("docker")
        .args(["images", "--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}}"])
        .output()
        .map_err(|error| NotHere(error.to_string()))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let has_python = |image: &&str| {
        run(image).stderr(Stdio::null()).output().is_ok_and(|output| output.stdout == b"1\n")
    };
    let found = list.lines().take(LOOKED_AT).find(has_python);
    found.map(str::to_owned).ok_or_else(|| not_here("the engine has no image with Python"))
}

fn run(image: &str) -> Command {
    let mut docker = Command::new("docker");
    docker
        .args(["run", "--rm", "--network", "none", "--entrypoint", "python3", image])
        .args(["-c", PRINT.text]);
    docker
}
