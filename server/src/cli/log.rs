//! Configures the log: filter, format and colours.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use server::config::{Colour, Config, FormerName, LogFormat, nearest};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The project's crates. A level without a module applies to them.
const OURS: [&str; 19] = [
    "belljar",
    "server",
    "backend",
    "domain",
    "http_client",
    "journal",
    "metrics",
    "parse",
    "recording",
    "redaction",
    "resources",
    "sandbox_client",
    "scenario",
    "search",
    "sessions",
    "store",
    "belljar_warden",
    "jail",
    "protocol",
];
/// Other crates that a directive may name without a level.
const OTHERS: [&str; 11] = [
    "sqlx",
    "globset",
    "mio",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rmcp",
    "rustls",
    "tower_http",
    "notify",
];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub fn set_up(config: &Config) -> anyhow::Result<()> {
    let filter = filter(&config.given.log())?;
    let colours = match config.colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stderr().is_terminal(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.given.log_format() {
        LogFormat::Plain => log.with_ansi(colours).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    for FormerName { former, new } in &config.former_names {
        tracing::warn!(former, new, "setting has a new name");
    }
    Ok(())
}

/// Parses `BELLJAR_LOG`.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let read = || EnvFilter::try_new(directives(text)?).map_err(anyhow::Error::from);
    read().with_context(|| format!("invalid BELLJAR_LOG={text}"))
}

/// A level without a module applies to our own crates only; other crates are verbose at `debug`. A
/// directive for them names them, as in `debug,sqlx=debug`.
pub fn directives(text: &str) -> anyhow::Result<String> {
    let mut directives = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse::<LevelFilter>() {
            Ok(level) => {
                directives.push(level.min(LevelFilter::WARN).to_string());
                directives.extend(OURS.map(|name| format!("{name}={level}")));
            }
            Err(_) if is_directive(word) => directives.push(word.to_owned()),
            Err(_) => {
                let meant = nearest(word, LEVELS);
                let meant = meant.map(|level| format!("did you mean {level}?"));
                let why = meant.unwrap_or_else(|| {
                    format!("expected a level ({}) or MODULE=LEVEL", LEVELS.join(", "))
                });
                anyhow::bail!("unknown level `{word}`: {why}");
            }
        }
    }
    Ok(directives.join(","))
}

/// Whether it is a directive. An arbitrary single word would match no module and log nothing.
fn is_directive(word: &str) -> bool {
    word.contains(['=', '['])
        || word.contains("::")
        || OURS.contains(&word)
        || OTHERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_without_a_module_applies_to_our_own_crates() {
        let ours = |level| OURS.map(|name| format!("{name}={level}")).join(",");
        for (text, wanted) in [
            ("debug", format!("warn,{}", ours("debug"))),
            ("error", format!("error,{}", ours("error"))),
            ("off", format!("off,{}", ours("off"))),
            ("info, sqlx=debug", format!("warn,{},sqlx=debug", ours("info"))),
            ("server::http=debug", "server::http=debug".to_owned()),
            ("sqlx", "sqlx".to_owned()),
        ] {
            assert_eq!(directives(text).expect(text), wanted);
            filter(text).expect(text);
        }
    }

    #[test]
    fn every_crate_of_the_server_is_ours() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crates");
        for folder in std::fs::read_dir(folder).expect("the crates are there") {
            let name = folder.expect("it is readable").file_name();
            let name = name.to_string_lossy().replace('-', "_");
            assert!(OURS.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn an_unknown_level_is_rejected() {
        for (text, wanted) in [
            ("inof", "invalid BELLJAR_LOG=inof: unknown level `inof`: did you mean info?"),
            ("warning", "expected a level (off, error, warn, info, debug, trace) or MODULE=LEVEL"),
            ("server=loud", "invalid BELLJAR_LOG=server=loud: "),
        ] {
            let error = filter(text).expect_err(text);
            let message = server::cause::in_a_line(&error);
            assert!(message.contains(wanted), "{message}");
        }
    }
}
