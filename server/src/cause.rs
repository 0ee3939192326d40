//! Errors and what caused them, each told once.
//!
//! Many errors name their cause in their own text, so that a log line of theirs is complete, and also
//! have it as their source. Both together would tell it twice.

/// The error, its cause, the cause of that. What an error repeats of its cause is left out.
pub fn chain(error: &anyhow::Error) -> Vec<String> {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut told: Vec<String> = Vec::new();
    for text in texts {
        if let Some(before) = told.last_mut() {
            if *before == text {
                continue;
            }
            if let Some(own) = before.strip_suffix(&text) {
                let own = own.trim_end_matches([':', ' ']).to_owned();
                if own.is_empty() {
                    continue;
                }
                *before = own;
            } else if before.contains(&text) {
                continue;
            }
        }
        told.push(text);
    }
    // What was left of one may be in the one before it.
    let mut at = 1;
    while at < told.len() {
        if told[at - 1].contains(&told[at]) { drop(told.remove(at)) } else { at += 1 }
    }
    told
}

/// All of it in one line.
pub fn in_a_line(error: &anyhow::Error) -> String {
    chain(error).join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read {path}: {source}")]
    struct Embeds {
        path: &'static str,
        source: io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Hands(#[from] Embeds);

    fn embeds() -> Embeds {
        Embeds { path: "a.toml", source: io::Error::other("disk on fire") }
    }

    #[test]
    fn a_cause_is_told_once() {
        let told = ["could not read a.toml", "disk on fire"];
        assert_eq!(chain(&embeds().into()), told);
        assert_eq!(chain(&Hands(embeds()).into()), told);
        let deep = anyhow::Error::new(Hands(embeds())).context("starting");
        assert_eq!(chain(&deep), ["starting", "could not read a.toml", "disk on fire"]);
        assert_eq!(in_a_line(&deep), "starting: could not read a.toml: disk on fire");
        let named = anyhow::Error::new(embeds()).context("no could not read a.toml here");
        assert_eq!(chain(&named), ["no could not read a.toml here", "disk on fire"]);
        let repeated = anyhow::Error::new(io::Error::other("no")).context("no");
        assert_eq!(chain(&repeated), ["no"]);
        let within = anyhow::Error::new(io::Error::other("no")).context("it said no, twice");
        assert_eq!(chain(&within), ["it said no, twice"]);
    }
}
