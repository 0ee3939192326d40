//! Patterns that detect secrets in any text.
//!
//! A pattern with a distinctive prefix needs no further check. A pattern that knows only the words
//! around a secret also checks the value, so that variable names and ordinary words are kept: a
//! recording whose code was changed by mistake would not replay.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex, RegexSet};

use super::REDACTED;

/// Shorter values may be ordinary words.
const MIN_VALUE_LETTERS: usize = 8;
/// Passwords may be shorter than keys.
const MIN_PASSWORD_LETTERS: usize = 6;
/// An unquoted value may be a variable name, unless it has at least this length.
const MIN_BARE_LETTERS: usize = 20;

/// A pattern whose group `key` is the secret, and a further condition.
struct SecretPattern {
    regex: &'static str,
    is_secret: fn(&SecretMatch<'_, '_>) -> bool,
}

/// A match and its text.
struct SecretMatch<'t, 'f> {
    text: &'t str,
    groups: &'f Captures<'t>,
}

const fn certain(regex: &'static str) -> SecretPattern {
    SecretPattern { regex, is_secret: |_| true }
}

const PATTERNS: [SecretPattern; 25] = [
    // Google: both forms of API keys, access and refresh tokens, client secrets.
    certain(r"(?<key>AIza[0-9A-Za-z_-]{20,})"),
    certain(r"\b(?<key>AQ\.[0-9A-Za-z_-]{16,})"),
    certain(r"\b(?<key>ya29\.[0-9A-Za-z_.-]{8,})"),
    certain(r"\b(?<key>1//0[0-9A-Za-z_-]{20,})"),
    certain(r"\b(?<key>GOCSPX-[0-9A-Za-z_-]{16,})"),
    // GitHub, GitLab, npm, PyPI, Hugging Face, Docker.
    certain(r"\b(?<key>gh[opsur]_[0-9A-Za-z]{20,})"),
    certain(r"\b(?<key>github_pat_[0-9A-Za-z_]{20,})"),
    certain(r"\b(?<key>(?:glpat-|npm_|pypi-|hf_|dckr_pat_|dop_v1_|shpat_)[0-9A-Za-z_-]{16,})"),
    // OpenAI, Anthropic and services with the same format; Stripe.
    SecretPattern { regex: r"(?i)\b(?<key>(?:sk|rk|pk)-[0-9a-z_-]{16,})", is_secret: is_mixed },
    certain(r"\b(?<key>(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{10,})"),
    certain(r"\b(?<key>whsec_[0-9A-Za-z+/=]{16,})"),
    // AWS: ids, and secrets of 40 characters near an AWS name.
    certain(r"\b(?<key>(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA)[0-9A-Z]{16})\b"),
    SecretPattern {
        regex: r"(?:^|[^0-9A-Za-z/+=])(?<key>[0-9A-Za-z/+]{40})(?:$|[^0-9A-Za-z/+=])",
        is_secret: is_secret_of_aws,
    },
    // Slack, SendGrid, Telegram.
    certain(r"\b(?<key>(?:xox[abceoprs]|xapp)-[0-9A-Za-z-]{10,})"),
    certain(r"(?i)hooks\.slack\.com/(?:services|workflows)/(?<key>[0-9A-Za-z/_-]{16,})"),
    certain(r"\b(?<key>SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,})"),
    certain(r"\b(?<key>[0-9]{8,10}:AA[0-9A-Za-z_-]{33})"),
    // JSON Web Tokens, signed or encrypted; private keys, with raw or escaped line breaks, complete
    // or truncated.
    certain(r"\b(?<key>eyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){2,4})"),
    certain(r"(?s)-----BEGIN (?:[0-9A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?<key>.*?)(?:-----END|\z)"),
    // In a URL: a password, a token in its place, a query parameter.
    SecretPattern {
        regex: r#"\b[A-Za-z][0-9A-Za-z+.-]*://[^\s/:@'"<>]*:(?<key>[^\s/'"<>]+)@"#,
        is_secret: |found| !is_placeholder(found.key()),
    },
    SecretPattern {
        regex: r#"\b[A-Za-z][0-9A-Za-z+.-]*://(?<key>[^\s/:@'"<>]{16,})@"#,
        is_secret: |found| looks_random(found.key(), MIN_VALUE_LETTERS),
    },
    SecretPattern {
        regex: r#"(?i)[?&;](?:key|api_?key|(?:access|refresh|id|auth)_token|token|sig|signature|password|passwd|pwd|secret|client_secret|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential))=(?<key>[^&\s'"<>\x23\\]+)"#,
        is_secret: |found| !is_placeholder(found.key()),
    },
    // In a header: as a line, in a dictionary or in a call.
    SecretPattern {
        regex: r#"(?i)(?:x-goog-api-key|x-api-key|api-key|(?:proxy-)?authorization|x-auth-token|private-token|x-vault-token|cookie)(?<name_quote>\\?['"])?\s*(?<between>[:=,])\s*(?:[bfru]{0,2}\\?(?<quote>['"]))?(?<scheme>(?:bearer|basic|token|key)\s+)?(?<key>[^\s'",;{}()\[\]\\]+|[\[{]\S*)"#,
        is_secret: is_header,
    },
    SecretPattern {
        regex: r"(?i)\b(?:(?<bearer>bearer)|basic)\s+(?<key>[0-9A-Za-z._~+/=-]{8,})",
        is_secret: is_authorization,
    },
    // After the name of a secret.
    SecretPattern {
        regex: r#"(?i)(?<name>[0-9a-z_-]*(?:api_?-?key|secret|token|passwd|password|pwd|private_?key(?:_?id)?|access_?key|account_?key|credentials?))\\?['"]?\s*(?:=>|:=|[:=])\s*(?:[bru]{0,2}\\?(?<quote>['"]))?(?<key>[^\s'",;&<>(){}\[\]\\]+)"#,
        is_secret: is_named,
    },
];

static ALL: LazyLock<(RegexSet, Vec<Regex>)> = LazyLock::new(|| {
    let regexes = PATTERNS.iter().map(|pattern| pattern.regex);
    let each = regexes.clone().map(|regex| Regex::new(regex).expect("the pattern is right"));
    (RegexSet::new(regexes).expect("all patterns are right"), each.collect())
});

/// The text with all secrets replaced, or `None` if it has none. Each secret is passed to `found`.
pub fn without_secrets(text: &str, mut found: impl FnMut(&str)) -> Option<String> {
    let (set, regexes) = &*ALL;
    let mut replaced: Option<String> = None;
    for at in &set.matches(text) {
        let before = replaced.as_deref().unwrap_or(text);
        if let Some(after) = replace(before, &regexes[at], PATTERNS[at].is_secret, &mut found) {
            replaced = Some(after);
        }
    }
    replaced
}

fn replace(
    text: &str,
    regex: &Regex,
    is_secret: fn(&SecretMatch<'_, '_>) -> bool,
    found: &mut impl FnMut(&str),
) -> Option<String> {
    let mut replaced = String::new();
    let mut copied = 0;
    for groups in regex.captures_iter(text) {
        let Some(key) = groups.name("key") else { continue };
        let is_done = key.as_str().contains(REDACTED) || key.as_str().is_empty();
        if is_done || !is_secret(&SecretMatch { text, groups: &groups }) {
            continue;
        }
        found(key.as_str());
        replaced += &text[copied..key.start()];
        replaced += REDACTED;
        copied = key.end();
    }
    (copied > 0).then(|| replaced + &text[copied..])
}

impl SecretMatch<'_, '_> {
    fn key(&self) -> &str {
        self.group("key")
    }

    /// Empty if the pattern matched without the group.
    fn group(&self, name: &str) -> &str {
        self.groups.name(name).map_or("", |group| group.as_str())
    }

    fn next_letter(&self) -> Option<char> {
        let end = self.groups.name("key").map_or(0, |key| key.end());
        self.text[end..].chars().next()
    }

    /// Whether the following text makes the value an expression: a call, an attribute, an index.
    fn is_expression(&self) -> bool {
        matches!(self.next_letter(), Some('(' | '[' | '.'))
    }
}

fn is_mixed(found: &SecretMatch<'_, '_>) -> bool {
    let tail = found.key().get(3..).unwrap_or_default();
    tail.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase())
}

fn is_secret_of_aws(found: &SecretMatch<'_, '_>) -> bool {
    static AWS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\baws|(?-i:\b(?:AKIA|ASIA))|secret_?access_?key").expect("it is right")
    });
    let key = found.key();
    has(key, |c| c.is_ascii_uppercase())
        && has(key, |c| c.is_ascii_lowercase())
        && has(key, |c| c.is_ascii_digit() || matches!(c, '/' | '+'))
        && !key.starts_with('/')
        // The preceding id may already have been replaced.
        && (AWS.is_match(found.text) || found.text.contains(REDACTED))
}

fn is_header(found: &SecretMatch<'_, '_>) -> bool {
    let key = found.key();
    if is_placeholder(key) {
        return false;
    }
    let is_quoted = !found.group("quote").is_empty();
    if is_quoted || !found.group("scheme").is_empty() {
        return true;
    }
    let is_line = found.group("name_quote").is_empty() && found.group("between") == ":";
    if is_line {
        // `Authorization: required` is a sentence.
        return has(key, |c| c.is_ascii_digit()) || is_random_by_case(key) || key.len() >= 16;
    }
    found.group("between") != "," && !found.is_expression() && looks_random(key, MIN_BARE_LETTERS)
}

fn is_authorization(found: &SecretMatch<'_, '_>) -> bool {
    let key = found.key();
    if !found.group("bearer").is_empty() {
        return looks_random(key, MIN_VALUE_LETTERS);
    }
    // A user name and a password.
    STANDARD.decode(key).is_ok_and(|decoded| decoded.is_ascii() && decoded.contains(&b':'))
}

fn is_named(found: &SecretMatch<'_, '_>) -> bool {
    let name = found.group("name").to_ascii_lowercase();
    // Names of pagination tokens and of token limits.
    let is_other = ["page", "next", "sync", "continu", "max", "count", "resume", "cancel"];
    if is_other.iter().any(|word| name.contains(word)) {
        return false;
    }
    let is_password = ["password", "passwd", "pwd"].iter().any(|word| name.ends_with(word));
    let key = found.key();
    if !found.group("quote").is_empty() {
        let least = if is_password { MIN_PASSWORD_LETTERS } else { MIN_VALUE_LETTERS };
        return looks_random(key, least);
    }
    let ends = matches!(found.next_letter(), None | Some(';' | '&' | '\n' | '\r' | ' '));
    if is_password && ends {
        return looks_random(key, MIN_PASSWORD_LETTERS);
    }
    !found.is_expression() && looks_random(key, MIN_BARE_LETTERS)
}

/// Whether a client's key is distinctive enough not to occur in ordinary text.
pub fn is_distinctive(key: &str) -> bool {
    looks_random(key, MIN_VALUE_LETTERS) || key.len() >= 16
}

/// Letters and digits that do not form a word.
fn looks_random(value: &str, least: usize) -> bool {
    if value.chars().count() < least || is_placeholder(value) {
        return false;
    }
    let letters = has(value, |c| c.is_ascii_alphabetic());
    let digits = has(value, |c| c.is_ascii_digit());
    (letters && digits) || is_random_by_case(value)
}

fn is_random_by_case(value: &str) -> bool {
    value.len() >= 16
        && has(value, |c| c.is_ascii_uppercase())
        && has(value, |c| c.is_ascii_lowercase())
}

/// Placeholders for a secret in code and in documentation.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let begins = ["{", "$", "<", "%", "[", "your_", "your-", "os.", "process.", "env."];
    begins.iter().any(|word| lower.starts_with(word))
        || ["...", "…", "***"].iter().any(|dots| value.contains(dots))
}

fn has(text: &str, is_one: impl FnMut(char) -> bool) -> bool {
    text.contains(is_one)
}
