//! Formats an error with its causes, each once.
//!
//! Many errors include their source in their own text, so that a log line is complete, and also
//! return it from `source`. Printing both would repeat it.

/// The texts of the error and its causes. Text that an error repeats from its cause is removed.
pub fn chain(error: &anyhow::Error) -> Vec<String> {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut parts: Vec<String> = Vec::new();
    for text in texts {
        if let Some(before) = parts.last_mut() {
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
        parts.push(text);
    }
    // A shortened text may be part of the one before it.
    let mut at = 1;
    while at < parts.len() {
        if parts[at - 1].contains(&parts[at]) { drop(parts.remove(at)) } else { at += 1 }
    }
    parts
}

/// The whole chain in one line.
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
    fn a_cause_is_printed_once() {
        let texts = ["could not read a.toml", "disk on fire"];
        assert_eq!(chain(&embeds().into()), texts);
        assert_eq!(chain(&Hands(embeds()).into()), texts);
        let deep = anyhow::Error::new(Hands(embeds())).context("starting");
        assert_eq!(chain(&deep), ["starting", "could not read a.toml", "disk on fire"]);
        assert_eq!(in_a_line(&deep), "starting: could not read a.toml: disk on fire");
        let named = anyhow::Error::new(embeds()).context("no could not read a.toml here");
        assert_eq!(chain(&named), ["no could not read a.toml here", "disk on fire"]);
        let repeated = anyhow::Error::new(io::Error::other("no")).context("no");
        assert_eq!(chain(&repeated), ["no"]);
        let within = anyhow::Error::new(io::Error::other("no")).context("answer no, twice");
        assert_eq!(chain(&within), ["answer no, twice"]);
    }
}
