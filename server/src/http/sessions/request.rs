//! The body that creates a session.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::http::wire::WireError;
use crate::http::wire::execute::{files, seconds};
use crate::http::wire::json_reader::Node;
use sessions::{SessionDescription, SessionLimits};

/// Limits of the labels of a session.
pub const MAX_LABELS: usize = 16;
pub const MAX_LABEL_BYTES: usize = 256;

/// A session to be created.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateSession {
    pub about: SessionDescription,
    pub files: Vec<(String, Bytes)>,
}

pub fn create(body: Value, limits: &SessionLimits) -> Result<CreateSession, WireError> {
    let mut fields = Node::root(body).object()?;
    let files = files(&mut fields)?;
    let timeout = fields.take("timeout_s").map(seconds).transpose()?;
    let idle_timeout = match fields.take("idle_timeout_s") {
        Some(node) => idle_timeout(node, limits.max_age)?,
        None => limits.idle_timeout,
    };
    let labels = fields.take("labels").map(labels).transpose()?.unwrap_or_default();
    fields.done()?;
    Ok(CreateSession { about: SessionDescription { idle_timeout, timeout, labels }, files })
}

fn idle_timeout(node: Node, most: Duration) -> Result<Duration, WireError> {
    let place = node.clone();
    match seconds(node)? {
        time if time <= most => Ok(time),
        _ => {
            let most = most.as_secs();
            Err(place.wrong(format!("longer than a session is kept, which is {most} s")))
        }
    }
}

fn labels(node: Node) -> Result<BTreeMap<String, String>, WireError> {
    let Value::Object(labels) = node.value() else { return Err(node.not("an object")) };
    if labels.len() > MAX_LABELS {
        return Err(node.wrong(format!("more than {MAX_LABELS} labels")));
    }
    let label = |(name, value): (&String, &Value)| match value {
        Value::String(value) if name.len().max(value.len()) <= MAX_LABEL_BYTES => {
            Ok((name.clone(), value.clone()))
        }
        _ => Err(node.wrong(format!(
            "a label is a text of at most {MAX_LABEL_BYTES} bytes, as is its name"
        ))),
    };
    labels.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: SessionLimits = SessionLimits {
        sessions_of_owner: 1,
        memory_bytes: 1,
        idle_timeout: Duration::from_secs(5),
        max_age: Duration::from_secs(10),
    };

    #[test]
    fn a_session_may_leave_everything_to_the_server() {
        let made = create(json!({}), &LIMITS).expect("nothing is required");
        let about = SessionDescription { idle_timeout: LIMITS.idle_timeout, ..Default::default() };
        assert_eq!(made, CreateSession { about, files: Vec::new() });
    }

    #[test]
    fn values_beyond_a_limit_are_refused() {
        let many: Value = (0..=MAX_LABELS).map(|n| (n.to_string(), json!(""))).collect();
        for (body, wanted) in [
            (json!({"idle_timeout_s": 11}), "'idle_timeout_s': longer than a session is kept"),
            (json!({"idle_timeout_s": 0}), "'idle_timeout_s': must be a number of seconds above 0"),
            (json!({"labels": many}), "'labels': more than 16 labels"),
            (json!({"labels": {"a": 1}}), "'labels': a label is a text"),
            (json!({"labels": {"a": "b".repeat(257)}}), "'labels': a label is a text"),
            (json!({"labels": []}), "expected an object, got a list"),
            (json!({"idle_timeout": 1}), "Unknown parameter 'idle_timeout'"),
        ] {
            let error = create(body, &LIMITS).expect_err("it is beyond").to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
