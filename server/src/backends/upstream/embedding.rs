//! Vectors from another server.

use serde::de::DeserializeOwned;

use super::{UpstreamError, UpstreamReply};
use crate::embedding::shortened;
use backend::{Embed, Embedded};

/// Maximum size of a vector.
const MAX_SIZE: usize = 16_384;

/// Parses a response.
pub fn read<T: DeserializeOwned>(reply: UpstreamReply) -> Result<T, UpstreamError> {
    match reply {
        UpstreamReply::Whole(body) => serde_json::from_str(&body.text)
            .map_err(|error| UpstreamError::Nonsense(error.to_string())),
        UpstreamReply::Stream(_) => Err(UpstreamError::Nonsense("no JSON".to_owned())),
    }
}

/// The vectors of the request, if there is one for each input.
pub fn complete(embedded: Embedded, request: &Embed) -> Result<Embedded, UpstreamError> {
    let (found, wanted) = (embedded.vectors.len(), request.inputs.len());
    if found != wanted {
        let why = format!("{found} vectors for {wanted} inputs");
        return Err(UpstreamError::Nonsense(why));
    }
    match embedded.vectors.iter().find(|vector| !(1..=MAX_SIZE).contains(&vector.len())) {
        None => Ok(embedded),
        Some(vector) => {
            let why = format!("a vector has {} values", vector.len());
            Err(UpstreamError::Nonsense(why))
        }
    }
}

/// The same, shortened to the sizes that the request sets.
pub fn checked(embedded: Embedded, request: &Embed) -> Result<Embedded, UpstreamError> {
    let Embedded { vectors, tokens } = complete(embedded, request)?;
    let vectors = vectors.into_iter().zip(&request.inputs).map(|(vector, input)| {
        let (has, Some(size)) = (vector.len(), input.dimensions) else { return Ok(vector) };
        let why =
            || format!("This model has vectors of {has} values, and the request sets {size}.");
        shortened(vector, size).ok_or_else(|| UpstreamError::Refused(why()))
    });
    Ok(Embedded { vectors: vectors.collect::<Result<_, _>>()?, tokens })
}
