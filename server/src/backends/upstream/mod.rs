//! HTTP client for a model on another server: single requests with retries, and the interpretation
//! of errors. The request format belongs to the backend.

mod address;
mod body;
pub mod embedding;
pub mod python;
mod repetition;

pub use address::Address;
pub use body::{Datas, WholeBody, budget};
pub use repetition::{allowed, without_repetition};

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::mpsc;

use backend::{BackendError, MAX_JSON_VALUES, ModelEvent};
use domain::interaction::{Failure, FailureKind};
use domain::owner::Owner;
use parse::json;
use resources::budget::Budget;

/// Maximum duration of a turn, from the request to its last event.
const TURN_WITHIN: Duration = Duration::from_secs(1800);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Number of attempts, including the first. With their waits they take less time than the engine
/// allows for a model's first event, so that a failure is reported as such.
const ATTEMPTS: usize = 3;
/// Wait before the second attempt. It doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longer waits are left to the client.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Maximum size of an error body.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// Maximum length of an upstream error message that the client sees.
const QUOTED_CHARS: usize = 500;
#[derive(Debug)]
pub struct Upstream {
    client: Client,
    address: Address,
    login: Login,
    budget: Budget,
}

/// An upstream, and the part of the memory for one owner.
#[derive(Debug)]
pub struct OwnersUpstream<'u> {
    upstream: &'u Upstream,
    budget: Budget,
}

/// Where the server expects the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-goog-api-key: …`
    GoogleKey,
}

/// A successful response.
pub enum UpstreamReply {
    /// JSON, although a stream was requested.
    Whole(WholeBody),
    /// The data of server-sent events.
    Stream(Datas),
}

impl UpstreamReply {
    /// As a stream. Parsing a whole body as an event reports its error.
    pub fn into_datas(self) -> Datas {
        match self {
            UpstreamReply::Stream(datas) => datas,
            UpstreamReply::Whole(body) => body.into_datas(),
        }
    }
}

impl std::fmt::Debug for UpstreamReply {
    /// Omits the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UpstreamReply::Whole(_) => "Whole",
            UpstreamReply::Stream(_) => "Stream",
        })
    }
}

/// Receives the events of a turn.
pub type Events = mpsc::Sender<Result<ModelEvent, BackendError>>;

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// An error response, with the upstream's message.
    #[error("status {status}: {message}")]
    Status { status: u16, message: String, retry_after: Option<Duration> },
    /// The conversation exceeds the context; the upstream's message.
    #[error("the conversation is too long: {0}")]
    TooLong(String),
    #[error("could not connect: {0}")]
    Unreachable(String),
    #[error("no data for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the response ended early")]
    BrokenOff,
    #[error("error during the response: {0}")]
    Broke(String),
    #[error("invalid response: {0}")]
    Nonsense(String),
    #[error("response too large: {0} bytes so far")]
    TooMuch(usize),
    #[error("no memory left for the response")]
    NoMemory,
    /// The request was not sent.
    #[error("{0}")]
    Refused(String),
}

impl Upstream {
    /// `budget` is for what has arrived and has not been parsed.
    pub fn new(address: Address, login: Login, budget: Budget) -> Result<Upstream, reqwest::Error> {
        let client = http_client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(address.silence)
            .redirect(Policy::none()) // the key is for this server only
            .no_proxy()
            .build()?;
        Ok(Upstream { client, address, login, budget })
    }

    /// The same for requests of one owner.
    pub fn of(&self, owner: &Owner) -> OwnersUpstream<'_> {
        OwnersUpstream { upstream: self, budget: self.budget.of(owner) }
    }
}

impl OwnersUpstream<'_> {
    /// Sends the request until it succeeds or a retry is useless. `is_known` marks failures with a
    /// known cause that a retry does not fix.
    pub async fn ask(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &Value,
        is_known: impl Fn(&UpstreamError) -> bool,
    ) -> Result<UpstreamReply, UpstreamError> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .with_max_times(ATTEMPTS - 1);
        let attempt = || async {
            let answer = tokio::time::timeout(TURN_WITHIN, self.ask_once(path, headers, body));
            answer.await.unwrap_or(Err(UpstreamError::Silent(TURN_WITHIN)))
        };
        attempt
            .retry(waits)
            .when(|error| error.may_pass() && !is_known(error))
            .adjust(|error, wait| match error.retry_after() {
                Some(asked) if asked > LONGEST_WAIT => None,
                Some(asked) => wait.map(|_| asked),
                None => wait,
            })
            .await
    }

    async fn ask_once(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &Value,
    ) -> Result<UpstreamReply, UpstreamError> {
        let Upstream { client, address, .. } = self.upstream;
        let url = format!("{}{path}", address.base_url.trim_end_matches('/'));
        let mut request = self.upstream.log_in(client.post(url).json(body));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let silence = address.silence;
        let failed = move |error| failed(&error, silence);
        let response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(self.upstream.refusal(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let budget = self.budget.clone();
        if kind.starts_with(b"application/json") {
            return Ok(UpstreamReply::Whole(WholeBody::read(response, budget).await?));
        }
        Ok(UpstreamReply::Stream(body::datas(
            response.bytes_stream().map(move |piece| piece.map_err(failed)),
            budget,
        )))
    }
}

impl Upstream {
    fn log_in(&self, request: RequestBuilder) -> RequestBuilder {
        match (&self.address.key, self.login) {
            (None, _) => request,
            (Some(key), Login::Bearer) => request.bearer_auth(key.expose_secret()),
            (Some(key), Login::GoogleKey) => {
                // A custom header must be marked as sensitive explicitly.
                match reqwest::header::HeaderValue::from_str(key.expose_secret()) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        request.header("x-goog-api-key", value)
                    }
                    Err(_) => request, // without a key; the upstream reports it
                }
            }
        }
    }

    async fn refusal(&self, response: Response) -> UpstreamError {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = body::start_of(response, MAX_REFUSAL_BYTES).await;
        let body = String::from_utf8_lossy(&body);
        let (message, is_too_long) = match serde_json::from_str::<Value>(&body) {
            Ok(json) => {
                let error = json.get("error").unwrap_or(&json);
                (message(error), is_too_long(error))
            }
            Err(_) => (body.clone().into_owned(), says_too_long(&body)),
        };
        let message = match &self.address.key {
            Some(key) => message.replace(key.expose_secret(), "…"),
            None => message,
        };
        match is_too_long && matches!(status, 400 | 413 | 422 | 500) {
            true => UpstreamError::TooLong(message),
            false => UpstreamError::Status { status, message, retry_after },
        }
    }
}

impl UpstreamError {
    /// The error for the client. An invalid key is reported to the operator only.
    pub fn for_client(self, model: &str) -> BackendError {
        let unavailable =
            |why: &str| BackendError::Unavailable(format!("The model `{model}`: {why}."));
        match self {
            UpstreamError::Refused(why) => BackendError::Refused(why),
            UpstreamError::TooLong(message) => BackendError::Refused(format!(
                "The conversation is too long for the model `{model}`: {}.",
                quoted(&message)
            )),
            UpstreamError::Status { status: status @ (401 | 403), .. } => {
                tracing::error!(model, status, "model server rejected our key");
                unavailable("its server rejects the configured API key")
            }
            UpstreamError::Status { status: 429, message, retry_after } => {
                let message = format!("The model `{model}` is busy: {}.", quoted(&message));
                let failure = Failure::new(FailureKind::ResourceExhausted, message);
                BackendError::Failed(Failure { retry_after, ..failure })
            }
            UpstreamError::Status { status, message, .. } if status < 500 => BackendError::Refused(
                format!("The model `{model}` refuses the request: {}.", quoted(&message)),
            ),
            error => {
                tracing::warn!(model, error = error.for_log(), "model did not answer");
                match &error {
                    UpstreamError::Unreachable(_) => unavailable("its server is unreachable"),
                    UpstreamError::Status { message, .. } => {
                        unavailable(&format!("its server failed: {}", quoted(message)))
                    }
                    error => unavailable(&quoted(&error.to_string())),
                }
            }
        }
    }

    /// Without the upstream's text, which may contain a prompt, an answer or a key.
    fn for_log(&self) -> String {
        match self {
            UpstreamError::Status { status, .. } => format!("status {status}"),
            UpstreamError::TooLong(_) => "the conversation is too long".to_owned(),
            UpstreamError::Broke(_) => "error during the response".to_owned(),
            UpstreamError::Nonsense(_) => "invalid response".to_owned(),
            UpstreamError::Refused(_) => "request not sent".to_owned(),
            UpstreamError::Unreachable(_)
            | UpstreamError::Silent(_)
            | UpstreamError::BrokenOff
            | UpstreamError::TooMuch(_)
            | UpstreamError::NoMemory => self.to_string(),
        }
    }

    /// Whether a retry may help. No output has been received yet.
    fn may_pass(&self) -> bool {
        match self {
            UpstreamError::Status { status, .. } => {
                matches!(status, 408 | 429 | 500 | 502..=504)
            }
            // Before the first event, so no output is repeated. The server may close a kept-alive
            // connection just before the next request.
            UpstreamError::Unreachable(_) | UpstreamError::BrokenOff => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            UpstreamError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Runs a turn to its end while the receiver exists, and reports a failure. Dropping the future
/// closes the connection, and the upstream then stops.
pub async fn run_turn(
    turn: impl Future<Output = Result<(), UpstreamError>>,
    events: &Events,
    model: &str,
) {
    let ended = tokio::select! {
        ended = tokio::time::timeout(TURN_WITHIN, turn) => ended,
        () = events.closed() => return,
    };
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => UpstreamError::Silent(TURN_WITHIN),
    };
    // The receiver may be gone.
    let _ = events.send(Err(error.for_client(model))).await;
}

fn failed(error: &reqwest::Error, silence: Duration) -> UpstreamError {
    if error.is_connect() {
        UpstreamError::Unreachable(error.to_string())
    } else if error.is_timeout() {
        UpstreamError::Silent(silence)
    } else {
        UpstreamError::BrokenOff
    }
}

/// `Retry-After` as seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = rfc2822::parse(value).ok()?.timestamp();
    at.duration_since(Timestamp::now()).try_into().ok()
}

/// The text of an error, in any of the known places.
pub fn message(error: &Value) -> String {
    let texts = [error, &error["message"], &error["detail"], &error["error"]];
    let text = texts.into_iter().find_map(Value::as_str);
    text.map_or_else(|| error.to_string(), str::to_owned)
}

/// An error inside a stream.
pub fn broke(error: &Value) -> UpstreamError {
    match is_too_long(error) {
        true => UpstreamError::TooLong(message(error)),
        false => UpstreamError::Broke(message(error)),
    }
}

/// Whether an error is about the length of the conversation. Some servers report that only in the
/// code.
fn is_too_long(error: &Value) -> bool {
    let codes = [&error["code"], &error["type"]].into_iter().filter_map(Value::as_str);
    codes.chain([message(error).as_str()]).any(says_too_long)
}

/// Covers the messages of llama.cpp, vLLM, Ollama, LM Studio, TGI, LiteLLM and the servers behind
/// it.
fn says_too_long(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "context length",
        "context window",
        "contextwindow",
        "context size",
        "context_size",
        "context_length",
        "maximum context",
        "maximum model length",
        "too many tokens",
        "prompt is too long",
        "input is too long",
        "`max_new_tokens` must be <=",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// The JSON object at the start of a text. Some models write more text after it.
pub fn first_object(text: &str) -> Option<Value> {
    if json::values(text.as_bytes()) > MAX_JSON_VALUES {
        return None;
    }
    let first = serde_json::Deserializer::from_str(text).into_iter().next()?;
    first.ok().filter(Value::is_object)
}

fn quoted(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
