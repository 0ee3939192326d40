//! Holds back the answer until it is known to match the response format of the request.

use super::RunError;
use crate::engine::response_format::{AnswerError, ResponseFormat, correction};

/// Without a response format it holds nothing back.
#[derive(Debug)]
pub struct ResponseGate {
    format: Option<ResponseFormat>,
    /// Text of the model that has not been checked yet.
    held: String,
    /// Whether the model has already been asked to correct its answer.
    corrected: bool,
}

/// What to do with an answer.
#[derive(Debug)]
pub enum Checked {
    /// Write the held text, which matches or needs no check.
    Release,
    /// Ask the model once for a corrected answer.
    Correct(Correction),
}

/// An answer that does not match.
#[derive(Debug)]
pub struct Correction {
    pub answer: String,
    /// The prompt that asks for a corrected answer.
    pub prompt: String,
    pub why: String,
}

impl ResponseGate {
    pub fn new(format: Option<ResponseFormat>) -> ResponseGate {
        ResponseGate { format, held: String::new(), corrected: false }
    }

    pub fn is_open(&self) -> bool {
        self.format.is_none()
    }

    /// Stops checking: an upstream that makes whole steps also enforces their format.
    pub fn disable(&mut self) {
        self.format = None;
    }

    pub fn hold(&mut self, piece: &str) {
        self.held.push_str(piece);
    }

    /// Removes and returns the held text.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Checks the held text. `is_final` is false for text that is no complete answer: it was cut
    /// off, or function calls follow it.
    pub async fn check(&mut self, is_final: bool) -> Result<Checked, RunError> {
        let Some(format) = &self.format else { return Ok(Checked::Release) };
        let why = match format.check(&self.held).await {
            Ok(json) => {
                self.held = json.to_owned();
                return Ok(Checked::Release);
            }
            Err(_) if !is_final => return Ok(Checked::Release),
            Err(AnswerError::Unchecked(error)) => return Err(RunError::Unchecked(error)),
            Err(AnswerError::Mismatch(why)) => why,
        };
        if std::mem::replace(&mut self.corrected, true) {
            return Err(RunError::InvalidAnswer(why));
        }
        Ok(Checked::Correct(Correction { answer: self.take(), prompt: correction(&why), why }))
    }
}
