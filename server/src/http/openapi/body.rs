//! A JSON body of a request: its schema, and the reader that tests compare with the schema.

#[cfg(test)]
use serde_json::Value;

use super::schema::Schema;
#[cfg(test)]
use crate::http::wire::WireError;

pub struct RequestBody {
    pub schema: &'static Schema,
    #[cfg(test)]
    pub reader: BodyReader,
}

/// A reader, and bodies to try it with.
#[cfg(test)]
pub struct BodyReader {
    pub read: fn(Value) -> Result<(), WireError>,
    /// Bodies with every field, and every form of fields that have several.
    pub samples: fn() -> Vec<Value>,
    /// Bodies that are rejected after fields have been read that no accepted body can have.
    pub rejected: fn() -> Vec<Value>,
    /// Paths of undocumented fields that are read only to reject them with a specific message.
    pub refused: fn() -> Vec<String>,
}

#[cfg(test)]
impl BodyReader {
    pub const fn new(
        read: fn(Value) -> Result<(), WireError>,
        samples: fn() -> Vec<Value>,
    ) -> BodyReader {
        BodyReader { read, samples, rejected: Vec::new, refused: Vec::new }
    }
}
