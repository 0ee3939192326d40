//! The bodies that create and change cached contents.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::http::generate_content::prefix::CachedPrefix;
use crate::http::vertex::{Dialect, model_name};
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};

/// Google's default.
const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);
/// Limit of the real service.
const MAX_DISPLAY_NAME: usize = 128;
/// The fields of the content, which requests get.
const CONTENT: [&str; 4] = ["contents", "systemInstruction", "tools", "toolConfig"];
/// Set by the server. Clients send back what they got.
pub const KNOWN_TO_THE_SERVER: [&str; 4] = ["name", "createTime", "updateTime", "usageMetadata"];

/// A cached content to be created.
#[derive(Debug)]
pub struct CreateCache {
    pub model: String,
    pub display_name: String,
    pub expiry: Expiry,
    /// The fields of the content.
    pub content: Value,
    pub prefix: CachedPrefix,
}

/// When a cached content expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    After(Duration),
    At(Timestamp),
}

impl Expiry {
    /// The time in the precision of the database, if it is in the future.
    pub fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Expiry::After(ttl) => now.checked_add(ttl).ok(),
            Expiry::At(time) => Some(time),
        }
        .and_then(|time| Timestamp::from_millisecond(time.as_millisecond()).ok())
        .filter(|time| *time > now)
    }
}

pub fn create(body: Value, dialect: &Dialect) -> Result<CreateCache, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let model = fields.require("model")?;
    let unnamed = model.wrong("it must name a model");
    let model = model.string()?;
    let name = model_name(&model);
    if name.is_empty() {
        return Err(unnamed);
    }
    let display_name = fields.take("displayName").map(display_name).transpose()?;
    let expiry = expiry(&mut fields)?.unwrap_or(Expiry::After(DEFAULT_TTL));
    let mut content = Map::new();
    for name in CONTENT {
        content.extend(fields.take(name).map(|node| (name.to_owned(), node.into_value())));
    }
    known_to_the_server(&mut fields);
    // Keys of a cloud's key management. Nothing is encrypted here.
    fields.object("encryptionSpec")?;
    fields.done()?;
    let content = Value::Object(content);
    Ok(CreateCache {
        model: name.to_owned(),
        display_name: display_name.unwrap_or_default(),
        expiry,
        prefix: CachedPrefix::read(content.clone(), dialect)?,
        content,
    })
}

/// Only the expiry can be changed.
pub fn update(body: Value) -> Result<Expiry, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let expiry = expiry(&mut fields)?;
    known_to_the_server(&mut fields);
    fields.done()?;
    expiry.ok_or_else(|| WireError::Whole("Either 'ttl' or 'expireTime' must be set.".to_owned()))
}

fn known_to_the_server(fields: &mut ObjectReader) {
    for name in KNOWN_TO_THE_SERVER {
        fields.take(name);
    }
}

/// A name for people, which is the same for batches.
pub fn display_name(node: Node) -> Result<String, WireError> {
    let long = node.wrong(format!("at most {MAX_DISPLAY_NAME} characters are allowed"));
    let name = node.string()?;
    if name.chars().count() > MAX_DISPLAY_NAME { Err(long) } else { Ok(name) }
}

fn expiry(fields: &mut ObjectReader) -> Result<Option<Expiry>, WireError> {
    let both = fields.wrong("oneof field 'expiration' is already set, cannot set 'expireTime'");
    match (fields.take("ttl"), fields.take("expireTime")) {
        (Some(_), Some(_)) => Err(both),
        (Some(node), None) => Ok(Some(Expiry::After(ttl(node)?))),
        (None, Some(node)) => {
            let wrong = node.wrong("not a time in RFC 3339");
            let time = node.string()?.parse().map_err(|_| wrong)?;
            Ok(Some(Expiry::At(time)))
        }
        (None, None) => Ok(None),
    }
}

/// Protobuf's duration: `300s` or `0.5s`.
fn ttl(node: Node) -> Result<Duration, WireError> {
    let wrong = node.wrong("must be a positive number of seconds, such as '300s'");
    let text = node.string()?;
    let seconds = text
        .strip_suffix('s')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let seconds = seconds.and_then(|digits| digits.parse::<f64>().ok());
    let ttl = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    ttl.filter(|ttl| !ttl.is_zero()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(change: Value) -> Result<CreateCache, String> {
        let mut body = json!({"model": "models/m", "contents": [{"parts": [{"text": "a"}]}]});
        for (name, value) in change.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        create(body, &Dialect::Gemini).map_err(|error| error.to_string())
    }

    #[test]
    fn the_expiry_has_two_forms_and_a_default() {
        let time = "2026-12-01T00:00:00Z".parse().expect("it is a time");
        for (change, wanted) in [
            (json!({}), Expiry::After(DEFAULT_TTL)),
            (json!({"ttl": "300s"}), Expiry::After(Duration::from_secs(300))),
            (json!({"ttl": "1.5s"}), Expiry::After(Duration::from_millis(1500))),
            (json!({"expireTime": "2026-12-01T00:00:00Z"}), Expiry::At(time)),
            (json!({"expire_time": "2026-12-01T01:00:00+01:00"}), Expiry::At(time)),
        ] {
            assert_eq!(with(change.clone()).expect("it is valid").expiry, wanted, "{change}");
        }
        let now = Timestamp::now();
        assert_eq!(Expiry::At(now).time(now), None, "it has passed");
        assert_eq!(Expiry::After(Duration::MAX).time(now), None, "no calendar has it");
    }

    #[test]
    fn the_content_is_checked_and_kept() {
        let cache = with(json!({
            "system_instruction": {"parts": [{"text": "Be brief."}]}, "displayName": "d",
            "tools": [{"code_execution": {}}],
        }));
        let cache = cache.expect("it is valid");
        assert_eq!((cache.model.as_str(), cache.display_name.as_str()), ("m", "d"));
        let names: Vec<&String> = cache.content.as_object().expect("it is one").keys().collect();
        assert_eq!(names, ["contents", "systemInstruction", "tools"]);
    }

    #[test]
    fn an_invalid_field_is_named() {
        for (change, wanted) in [
            (json!({"model": null}), "Missing required parameter 'model'."),
            (json!({"contents": null}), "needs 'contents' or 'systemInstruction'"),
            (json!({"contents": [{"parts": []}]}), "'contents[0]': its parts must not be empty"),
            (json!({"tools": [{"x": {}}]}), "Unknown parameter 'tools[0].x'."),
            (json!({"ttl": "5"}), "'ttl': must be a positive number of seconds"),
            (json!({"ttl": "-5s"}), "must be a positive number of seconds"),
            (json!({"ttl": "0s"}), "must be a positive number of seconds"),
            (json!({"ttl": "1e400s"}), "must be a positive number of seconds"),
            (json!({"expireTime": "soon"}), "not a time in RFC 3339"),
            (
                json!({"ttl": "5s", "expireTime": "2026-12-01T00:00:00Z"}),
                "oneof field 'expiration'",
            ),
            (json!({"other": 1}), "Unknown parameter 'other'."),
        ] {
            let error = with(change.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{change} gave {error}");
        }
        for (body, wanted) in [
            (json!({}), "Either 'ttl' or 'expireTime' must be set."),
            (json!({"ttl": "5s", "displayName": "d"}), "Unknown parameter 'displayName'."),
        ] {
            assert_eq!(update(body).expect_err("it is rejected").to_string(), wanted);
        }
    }
}
