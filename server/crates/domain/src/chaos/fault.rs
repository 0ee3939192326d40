//! Failures that a test requests: for one request by a header, for all requests by the
//! configuration. The scripted model implements the failures of a script.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use strum::VariantNames as _;

use crate::chaos::quirk::Quirk;
use crate::interaction::{Failure, FailureDelivery, FailureKind, Reason};
use crate::namespace::{Namespace, PerNamespace};

/// The longest delay.
const MAX_TIME: Duration = Duration::from_secs(600);
/// Maximum number of different faults counted in one namespace.
const MAX_COUNTED: usize = 100;

/// Statuses of Google's API and their failures.
const STATUSES: &[(u16, FailureKind)] = &[
    (400, FailureKind::InvalidRequest),
    (401, FailureKind::Unauthenticated),
    (403, FailureKind::PermissionDenied),
    (404, FailureKind::NotFound),
    (408, FailureKind::RequestTimeout),
    (409, FailureKind::Aborted),
    (413, FailureKind::TooLarge),
    (429, FailureKind::ResourceExhausted),
    (499, FailureKind::ClientClosed),
    (500, FailureKind::Internal),
    (501, FailureKind::Unimplemented),
    (502, FailureKind::BadGateway),
    (503, FailureKind::Unavailable),
    (504, FailureKind::DeadlineExceeded),
];

/// The HTTP status of a failure.
pub fn status(kind: FailureKind) -> u16 {
    let known = STATUSES.iter().find(|(_, known)| *known == kind);
    known.map_or(500, |(status, _)| *status)
}

/// A failure, and the requests that it applies to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Probability that it applies to a request; 1 means always.
    chance: Chance,
    /// Seed of the random choice of requests.
    seed: u64,
    /// How often it happens in one namespace.
    times: Option<u64>,

    status: Option<FaultStatus>,
    message: Option<String>,
    retry_after: Option<FaultTime>,
    /// Before anything else happens.
    delay: Option<FaultTime>,
    /// Before each event of a stream.
    between_events: Option<FaultTime>,
    drop_after_events: Option<u64>,
    drop_after_bytes: Option<u64>,
    /// Number of the event whose JSON is truncated, from 1.
    malformed_event: Option<u64>,
    /// Makes the response unusual but valid, as in a reported bug of a client.
    quirk: Option<Quirk>,
    /// The model stops for this reason, without output.
    finish: Option<Stop>,
}

/// Why a model stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Stop {
    MaxTokens,
    Reason(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
struct Chance(f64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct FaultStatus(pub FailureKind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FaultTime(pub Duration);

/// Changes to the body of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    pub between_events: Duration,
    pub drop_after_events: Option<u64>,
    pub drop_after_bytes: Option<u64>,
    pub malformed_event: Option<u64>,
}

impl Fault {
    pub fn delay(&self) -> Duration {
        self.delay.map_or(Duration::ZERO, |time| time.0)
    }

    /// A word for metrics: its strongest effect.
    pub fn kind(&self) -> &'static str {
        let damage = self.damage();
        if self.status.is_some() {
            "status"
        } else if damage.drop_after_events.or(damage.drop_after_bytes).is_some() {
            "drop"
        } else if damage.malformed_event.is_some() {
            "malformed_event"
        } else if self.finish.is_some() {
            "finish"
        } else if self.quirk.is_some() {
            "quirk"
        } else {
            "delay"
        }
    }

    /// The error response that replaces the answer.
    pub fn failure(&self) -> Option<Failure> {
        let FaultStatus(kind) = self.status?;
        let message = self.message.clone().unwrap_or_else(|| "A fault was requested.".to_owned());
        let retry_after = self.retry_after.map(|time| time.0);
        Some(Failure { kind, message, retry_after, delivery: FailureDelivery::HttpError })
    }

    pub fn damage(&self) -> Damage {
        Damage {
            between_events: self.between_events.map_or(Duration::ZERO, |time| time.0),
            drop_after_events: self.drop_after_events,
            drop_after_bytes: self.drop_after_bytes,
            malformed_event: self.malformed_event,
        }
    }

    /// A fault with only this quirk, for every request.
    pub fn of_quirk(quirk: Quirk) -> Fault {
        Fault { quirk: Some(quirk), ..Fault::default() }
    }

    pub fn quirk(&self) -> Option<Quirk> {
        self.quirk
    }

    pub fn stop(&self) -> Option<Stop> {
        self.finish
    }

    /// Whether it changes only the response.
    pub fn is_about_the_answer(&self) -> bool {
        let before = self.status.is_some() || self.delay.is_some();
        let after = self.damage() != Damage::default() || self.quirk.is_some();
        !before && (after || self.finish.is_some())
    }

    /// Whether it applies to the request with this number, according to the seed.
    fn applies_to(&self, number: u64) -> bool {
        let dice = Sha256::new()
            .chain_update(self.seed.to_le_bytes())
            .chain_update(number.to_le_bytes())
            .finalize();
        let (first, _) = dice.split_at(8);
        let dice = first.iter().fold(0_u64, |dice, byte| dice << 8 | u64::from(*byte));
        (dice as f64) < self.chance.0 * 2_f64.powi(64)
    }
}

/// How often each fault was evaluated, and how often it happened, in each namespace.
#[derive(Debug, Default)]
pub struct Counters(PerNamespace<HashMap<String, Count>>);

#[derive(Debug, Default)]
struct Count {
    met: u64,
    happened: u64,
}

/// Too many different faults were requested in one namespace.
#[derive(Debug, thiserror::Error)]
#[error(
    "more than {MAX_COUNTED} different faults in one namespace: clear them with `POST /x/reset`"
)]
pub struct TooMany;

impl Counters {
    /// Whether `fault`, identified by `name`, happens to this request.
    pub fn happens(
        &self,
        namespace: &Namespace,
        name: &str,
        fault: &Fault,
    ) -> Result<bool, TooMany> {
        self.0.with(namespace, |counts| {
            if !counts.contains_key(name) && counts.len() >= MAX_COUNTED {
                return Err(TooMany);
            }
            let count = counts.entry(name.to_owned()).or_default();
            count.met += 1;
            let happens = fault.applies_to(count.met)
                && fault.times.is_none_or(|times| count.happened < times);
            count.happened += u64::from(happens);
            Ok(happens)
        })
    }

    /// How often it happened.
    pub fn happened(&self, namespace: &Namespace, name: &str) -> u64 {
        self.0.with(namespace, |counts| counts.get(name).map_or(0, |count| count.happened))
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.0.clear(namespace);
    }
}

impl TryFrom<String> for Stop {
    type Error = String;

    fn try_from(word: String) -> Result<Stop, String> {
        if word == "MAX_TOKENS" {
            return Ok(Stop::MaxTokens);
        }
        word.parse().map(Stop::Reason).map_err(|_| {
            let known = Reason::VARIANTS.join(", ");
            format!("unknown finish reason `{word}`: expected one of MAX_TOKENS, {known}")
        })
    }
}

impl Default for Chance {
    fn default() -> Chance {
        Chance(1.0)
    }
}

impl TryFrom<f64> for Chance {
    type Error = String;

    fn try_from(chance: f64) -> Result<Chance, String> {
        if (0.0..=1.0).contains(&chance) {
            Ok(Chance(chance))
        } else {
            Err(format!("invalid chance {chance}: expected a number from 0 to 1"))
        }
    }
}

impl TryFrom<u16> for FaultStatus {
    type Error = String;

    fn try_from(number: u16) -> Result<FaultStatus, String> {
        let found = STATUSES.iter().find(|(status, _)| *status == number);
        found.map(|(_, kind)| FaultStatus(*kind)).ok_or_else(|| {
            let known: Vec<String> =
                STATUSES.iter().map(|(status, _)| status.to_string()).collect();
            format!("unknown status {number}: expected one of {}", known.join(", "))
        })
    }
}

impl TryFrom<String> for FaultTime {
    type Error = String;

    fn try_from(text: String) -> Result<FaultTime, String> {
        match humantime::parse_duration(&text) {
            Ok(time) if time <= MAX_TIME => Ok(FaultTime(time)),
            Ok(_) => Err(format!("invalid time `{text}`: the maximum is {} s", MAX_TIME.as_secs())),
            Err(_) => {
                Err(format!("invalid time `{text}`: expected a duration such as `500ms` or `2s`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Result<Fault, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn happens(counters: &Counters, name: &str, json: &str) -> bool {
        let namespace = Namespace::named(name).expect("it is a name");
        let fault = fault(json).expect("it is right");
        counters.happens(&namespace, json, &fault).expect("there are few")
    }

    #[test]
    fn it_happens_as_often_as_requested_in_each_namespace() {
        let counters = Counters::default();
        let twice = r#"{"status": 503, "times": 2}"#;
        let seen: Vec<bool> = (0..4).map(|_| happens(&counters, "a", twice)).collect();
        assert_eq!(seen, [true, true, false, false]);
        assert!(happens(&counters, "b", twice), "another namespace has its own counts");
    }

    #[test]
    fn a_seed_selects_the_requests_and_the_chance_holds() {
        let drawn = |seed: u64| -> Vec<bool> {
            let json = format!(r#"{{"status": 503, "chance": 0.3, "seed": {seed}}}"#);
            let counters = Counters::default();
            (0..1000).map(|_| happens(&counters, "a", &json)).collect()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let hits = drawn(7).into_iter().filter(|hit| *hit).count();
        assert!((240..360).contains(&hits), "{hits} of 1000");
        for (chance, wanted) in [("0", false), ("1", true)] {
            let json = format!(r#"{{"status": 503, "chance": {chance}}}"#);
            let counters = Counters::default();
            assert!((0..100).all(|_| happens(&counters, "a", &json) == wanted), "{chance}");
        }
    }

    #[test]
    fn an_invalid_fault_is_rejected() {
        for (json, wanted) in [
            (r#"{"chance": 2}"#, "invalid chance 2: expected a number from 0 to 1"),
            (r#"{"status": 200}"#, "unknown status 200"),
            (r#"{"delay": "1h"}"#, "the maximum is 600 s"),
            (r#"{"stauts": 500}"#, "unknown field `stauts`"),
            (r#"{"quirk": "odd"}"#, "unknown quirk `odd`: expected one of several_results"),
            (
                r#"{"finish": "STOP"}"#,
                "unknown finish reason `STOP`: expected one of MAX_TOKENS, SAFETY",
            ),
        ] {
            let error = fault(json).expect_err("it is rejected");
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }

    #[test]
    fn the_number_of_counted_faults_is_limited() {
        let counters = Counters::default();
        for number in 0..MAX_COUNTED {
            happens(&counters, "a", &format!(r#"{{"seed": {number}}}"#));
        }
        let namespace = Namespace::named("a").expect("it is a name");
        assert!(counters.happens(&namespace, "one more", &Fault::default()).is_err());
        counters.clear(&namespace);
        assert!(counters.happens(&namespace, "one more", &Fault::default()).is_ok());
    }
}
