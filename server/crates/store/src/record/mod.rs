//! Events and steps as JSON on the disk. The types of `interaction` do not derive serde on purpose: the
//! format of stored records must not change with them.

mod event;
mod step;

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use domain::interaction::{Event, Step};

pub use event::TokensRecord;

/// Contents that a record refers to, by their SHA-256 in hexadecimal digits.
#[derive(Debug, Default)]
pub struct Blobs(BTreeMap<String, Bytes>);

/// Why a record from the disk is invalid.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    #[error("{0}")]
    Json(String),
    #[error("the blob {0} is missing")]
    Blob(String),
    #[error("invalid time: {0} ms")]
    Time(i64),
}

impl From<serde_json::Error> for RecordError {
    fn from(error: serde_json::Error) -> RecordError {
        RecordError::Json(error.to_string())
    }
}

impl Blobs {
    /// Adds a content and returns its address.
    fn keep(&mut self, bytes: &Bytes) -> String {
        let address = hex::encode(Sha256::digest(bytes));
        self.0.entry(address).insert_entry(bytes.clone()).key().clone()
    }

    fn get(&self, address: &str) -> Result<Bytes, RecordError> {
        self.0.get(address).cloned().ok_or_else(|| RecordError::Blob(address.to_owned()))
    }

    pub fn insert(&mut self, address: String, bytes: Bytes) {
        self.0.insert(address, bytes);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn addresses(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// The JSON of the events of one append, as a list.
pub fn of_events<'a>(events: impl Iterator<Item = &'a Event>, blobs: &mut Blobs) -> String {
    json(&events.map(|event| event::EventRecord::of(event, blobs)).collect::<Vec<_>>())
}

/// Reads the JSON of [`of_events`]. Older servers wrote a single event instead of a list.
pub fn events(json: &str, blobs: &Blobs) -> Result<Vec<Event>, RecordError> {
    let records: Vec<event::EventRecord> = if json.starts_with('[') {
        serde_json::from_str(json)?
    } else {
        vec![serde_json::from_str(json)?]
    };
    records.into_iter().map(|record| record.event(blobs)).collect()
}

pub fn of_steps(steps: &[Step], blobs: &mut Blobs) -> String {
    json(&steps.iter().map(|step| step::StepRecord::of(step, blobs)).collect::<Vec<_>>())
}

pub fn steps(json: &str, blobs: &Blobs) -> Result<Vec<Step>, RecordError> {
    let records: Vec<step::StepRecord> = serde_json::from_str(json)?;
    records.into_iter().map(|record| record.step(blobs)).collect()
}

fn json(record: &impl serde::Serialize) -> String {
    serde_json::to_string(record).expect("strings, numbers and lists can be serialised")
}
