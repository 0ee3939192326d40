//! Commands of an upload.

use axum::http::HeaderMap;

use super::header;
use crate::http::error::ApiError;

/// The commands in `X-Goog-Upload-Command`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commands {
    pub start: bool,
    pub upload: bool,
    pub finalize: bool,
    pub query: bool,
    pub cancel: bool,
}

impl Commands {
    const NONE: Commands =
        Commands { start: false, upload: false, finalize: false, query: false, cancel: false };
    pub const START: Commands = Commands { start: true, ..Commands::NONE };
    pub const QUERY: Commands = Commands { query: true, ..Commands::NONE };
    pub const CANCEL: Commands = Commands { cancel: true, ..Commands::NONE };

    pub fn of(headers: &HeaderMap) -> Result<Commands, ApiError> {
        let text = header(headers, "x-goog-upload-command").unwrap_or_default();
        let mut commands = Commands::NONE;
        for word in text.split(',').map(str::trim) {
            match word {
                "start" => commands.start = true,
                "upload" => commands.upload = true,
                "finalize" => commands.finalize = true,
                "query" => commands.query = true,
                "cancel" => commands.cancel = true,
                _ => return Err(Commands::unknown(text)),
            }
        }
        let alone = [Commands::START, Commands::QUERY, Commands::CANCEL].contains(&commands);
        let piece = !commands.start && !commands.query && !commands.cancel;
        if alone || piece { Ok(commands) } else { Err(Commands::unknown(text)) }
    }

    fn unknown(text: &str) -> ApiError {
        ApiError::invalid(format!(
            "Invalid 'X-Goog-Upload-Command: {text}': expected 'start', 'upload', 'finalize', 'upload, \
             finalize', 'query' or 'cancel'."
        ))
    }
}
