//! The log: what is in it, in which form, with or without colours.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use server::config::{Colour, Config, LogFormat, nearest};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The crates of the project. A level alone is theirs.
const OURS: [&str; 5] = ["belljar", "server", "belljar_warden", "jail", "protocol"];
/// Crates that a word without a level may name.
const OTHERS: [&str; 10] = [
    "sqlx",
    "globset",
    "mio",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tower_http",
    "notify",
];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub fn set_up(config: &Config) -> anyhow::Result<()> {
    let filter = filter(&config.log)?;
    let colours = match config.colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stderr().is_terminal(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Plain => log.with_ansi(colours).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The filter that `BELLJAR_LOG` asks for.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let read = || EnvFilter::try_new(directives(text)?).map_err(anyhow::Error::from);
    read().with_context(|| format!("invalid BELLJAR_LOG={text}"))
}

/// A level alone is about our own crates: what others log at `debug` would bury it. They have it where
/// they are named, as in `debug,sqlx=debug`.
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

/// Whether it is more than one word: a word alone would be the name of a module, which logs nothing.
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
    fn a_level_alone_is_about_our_own_crates() {
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
    fn a_level_that_does_not_exist_is_refused() {
        for (text, wanted) in [
            ("inof", "invalid BELLJAR_LOG=inof: unknown level `inof`: did you mean info?"),
            ("warning", "expected a level (off, error, warn, info, debug, trace) or MODULE=LEVEL"),
            ("server=loud", "invalid BELLJAR_LOG=server=loud: "),
        ] {
            let error = filter(text).expect_err(text);
            let told = server::cause::in_a_line(&error);
            assert!(told.contains(wanted), "{told}");
        }
    }
}
