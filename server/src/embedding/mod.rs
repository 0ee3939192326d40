//! The vectors that the server makes itself.
//!
//! A text has the features of its words and of the three-letter pieces of them. Each feature has a
//! direction of random signs, drawn from a hash of it, and a vector is their sum. So texts that share
//! words, or parts of words, are near each other, and others are nearly orthogonal. Vectors know
//! nothing about the meaning of words.

mod family;
mod hashed;

pub use family::Family;
pub use hashed::vector;

/// The first values of a vector, with length one. `None` if the vector has fewer, or only zeros.
pub fn shortened(mut vector: Vec<f32>, size: usize) -> Option<Vec<f32>> {
    if vector.len() < size {
        return None;
    }
    vector.truncate(size);
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return None;
    }
    // The result has the precision of the values.
    #[expect(clippy::cast_possible_truncation, reason = "values are at most 1")]
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    Some(vector)
}
