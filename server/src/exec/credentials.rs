//! A credentials file for this server, as Google's authentication libraries read it from
//! `GOOGLE_APPLICATION_CREDENTIALS`.
//!
//! Its kind is the one whose token URL the libraries of both Python and JavaScript accept at any
//! address, without a request to Google.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

const NAME: &str = "google-credentials.json";
/// The file has an API key.
const MODE: u32 = 0o600;

/// Writes the file into this folder, for the server at `url`. `key` becomes the access token.
pub fn write(folder: &Path, url: &str, key: &str) -> io::Result<PathBuf> {
    let path = folder.join(NAME);
    let credentials = json!({
        "type": "external_account_authorized_user",
        "audience": "//iam.googleapis.com/locations/global/workforcePools/belljar/providers/belljar",
        "client_id": "belljar",
        "client_secret": "none",
        "refresh_token": key,
        "token_url": format!("{url}/token"),
    });
    // A file that another process reads is replaced, not changed.
    let new = folder.join(format!("{NAME}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&new)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    writeln!(file, "{credentials:#}")?;
    fs::rename(&new, &path)?;
    Ok(path)
}
