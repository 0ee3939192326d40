//! `POST /token`: an OAuth token endpoint for clients of Vertex AI, which fetch a token before their
//! first request. It issues what the client brings, so it reveals no key: a credentials file for this
//! server has an API key as its refresh token.

use axum::extract::{Query, Request, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::json;

use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::openapi::schema::{Schema, answer, only, text};
use crate::http::openapi::{OPERATORS, Operation};
use crate::http::response::json::json as response;
use crate::http::route::Route;

/// The access token of clients that bring none.
pub const ANY_TOKEN: &str = "belljar";

/// Maximum size of a request: a signed assertion has about 1 KiB.
const MAX_BYTES: usize = 16 << 10;
/// Fields of a request whose value becomes the access token.
const BROUGHT: [&str; 2] = ["refresh_token", "subject_token"];
/// Clients fetch another token after this time.
const EXPIRES_IN_SECONDS: u32 = 3600;

const OFF: &str = "The token endpoint of this server is off. --fake-credentials enables it, as do \
                   BELLJAR_FAKE_CREDENTIALS=true and fake_credentials = true in the configuration.";

static TOKEN: Schema = Schema::new("Token", |_| {
    let fields = json!({
        "access_token": text("The refresh token or subject token of the request."),
        "expires_in": {"type": "integer", "const": EXPIRES_IN_SECONDS},
        "token_type": only("Bearer"),
    });
    answer(&[], fields)
});

pub fn routes() -> Vec<Route> {
    let operation = Operation::new("token", OPERATORS, "Returns an access token for this server")
        .about("For clients of Vertex AI. 404 without `--fake-credentials`.")
        .takes_as("application/x-www-form-urlencoded", |_| {
            let token = || json!({"type": "string"});
            json!({"type": "object", "properties": {
                "grant_type": token(), BROUGHT[0]: token(), BROUGHT[1]: token(),
            }})
        })
        .answers(&TOKEN);
    vec![Route::post("/token", token, operation)]
}

async fn token(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    if !app.fake_credentials {
        return Err(ApiError::new(Code::NotFound, OFF));
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BYTES).await;
    let body = body.map_err(|_| ApiError::too_large())?;
    Ok(response(&json!({
        "access_token": brought(&body).unwrap_or_else(|| ANY_TOKEN.to_owned()),
        "expires_in": EXPIRES_IN_SECONDS,
        "token_type": "Bearer",
    })))
}

/// The token in a form, which is encoded like a query.
fn brought(form: &[u8]) -> Option<String> {
    let query: Uri = format!("/?{}", std::str::from_utf8(form).ok()?).parse().ok()?;
    let fields = Query::<Vec<(String, String)>>::try_from_uri(&query).ok()?.0;
    let found = fields
        .into_iter()
        .find(|(name, value)| BROUGHT.contains(&name.as_str()) && !value.is_empty());
    found.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_brings_its_token() {
        for (form, wanted) in [
            ("grant_type=refresh_token&refresh_token=a%2Fb+c", Some("a/b c")),
            ("subject_token=s&grant_type=x", Some("s")),
            ("grant_type=jwt-bearer&assertion=e30", None),
            ("refresh_token=", None),
            ("", None),
            ("{}", None),
        ] {
            assert_eq!(brought(form.as_bytes()).as_deref(), wanted, "{form}");
        }
        assert_eq!(brought(&[0xff]), None);
    }
}
