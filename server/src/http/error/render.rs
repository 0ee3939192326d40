//! Writes the envelope of a failed response.

use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{ApiError, Code, OwnForm, closed};
use crate::cause;
use crate::http::middleware::request_log::ErrorName;
use crate::http::response::json::escaped;
use crate::http::surface::{Surface, SurfaceSlot};
use crate::http::vertex::Dialect;
use crate::http::{JSON, RequestId, UPLOAD_STATUS};

/// A request has already waited in a queue before it gets this error.
const RETRY_AFTER_SECONDS: &str = "5";

/// How a failure of this request is rendered, depending on its API.
#[derive(Debug)]
pub struct ErrorForm {
    uri: Uri,
    id: RequestId,
    surface: SurfaceSlot,
    pub dialect: Dialect,
}

impl ErrorForm {
    /// Adds the slot to the request in which the router sets the API.
    pub fn of(request: &mut Request) -> ErrorForm {
        let surface = SurfaceSlot::default();
        request.extensions_mut().insert(surface.clone());
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        ErrorForm { uri: request.uri().clone(), id, surface, dialect: Dialect::Gemini }
    }

    /// Renders a failed response; leaves others unchanged.
    pub fn render(&self, mut response: Response) -> Response {
        if response.extensions_mut().remove::<OwnForm>().is_some() {
            return response;
        }
        let error = response.extensions_mut().remove::<ApiError>();
        match error.or_else(|| refused_below(&response, self.uri.path())) {
            Some(error) => self.rendered(error, &response),
            None => response,
        }
    }

    /// Replaces the body of a failed response by the envelope.
    fn rendered(&self, error: ApiError, response: &Response) -> Response {
        if let Some(source) = &error.source {
            let (id, path, cause) = (&self.id.0, self.uri.path(), cause::in_a_line(source));
            tracing::error!(request.id = %id, path, error = cause, "request failed");
        }
        let mut envelope = envelope(self.surface.get(), &error);
        if self.is_list() {
            envelope = format!("[{envelope}\n]");
        }
        rendered(envelope, &error, response)
    }

    /// Whether the response is a list, in which an error is an element, as Vertex AI sends it.
    fn is_list(&self) -> bool {
        let has_events = |query: &str| query.split('&').any(|pair| pair.ends_with("alt=sse"));
        self.dialect.is_vertex()
            && self.uri.path().ends_with(":streamGenerateContent")
            && !self.uri.query().is_some_and(has_events)
    }
}

fn rendered(envelope: String, error: &ApiError, response: &Response) -> Response {
    let mut rendered = (error.code.status(), envelope).into_response();
    rendered.extensions_mut().insert(ErrorName(error.code.word()));
    let headers = rendered.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let seconds = error.retry_after.map(|time| time.as_millis().div_ceil(1000).to_string());
    if let Some(seconds) = seconds.and_then(|seconds| HeaderValue::try_from(seconds).ok()) {
        headers.insert(RETRY_AFTER, seconds);
    } else if error.code == Code::ResourceExhausted {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    if error.ends_upload {
        // Without it the SDKs would resend the chunk.
        headers.insert(UPLOAD_STATUS, HeaderValue::from_static("final"));
    }
    if let Some(allow) = error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    for name in [ALLOW, RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    rendered
}

/// axum's own rejections have a status but no envelope. Pages of the console are whole.
fn refused_below(response: &Response, path: &str) -> Option<ApiError> {
    let kind = response.headers().get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return None;
    }
    let status = response.status();
    let error = match status {
        StatusCode::NOT_FOUND => ApiError::new(Code::NotFound, closed::explanation(path)),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(Code::MethodNotAllowed, format!("{path} does not support this method."))
        }
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ if status.is_client_error() => ApiError::invalid("Malformed request."),
        _ => return None,
    };
    Some(error)
}

/// The interactions API uses a name as the code; the others use a number and a status.
fn envelope(surface: Surface, error: &ApiError) -> String {
    let body = match surface {
        Surface::Interactions => {
            json!({"error": {"message": error.message, "code": error.code.word()}})
        }
        Surface::GenerateContent | Surface::Uploads | Surface::Own => error.google_style(),
        // As in the real service: the same in a list.
        Surface::OpenAi => json!([error.google_style()]),
    };
    escaped(body.to_string())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::super::panicked;
    use super::*;
    use domain::failure::INTERNAL;

    async fn explode() -> StatusCode {
        panic!("of 42 secrets")
    }

    async fn answer(surface: Surface) -> (StatusCode, Value) {
        let router =
            Router::new().route("/", get(explode)).layer(CatchPanicLayer::custom(panicked));
        let mut request = Request::new(Body::empty());
        let form = ErrorForm::of(&mut request);
        form.surface.set(surface);
        let response = form.render(router.oneshot(request).await.expect("it cannot fail"));
        let status = response.status();
        let body = to_bytes(response.into_body(), 1000).await.expect("it is short");
        (status, serde_json::from_slice(&body).expect("it is JSON"))
    }

    #[tokio::test]
    async fn a_panic_gives_an_error_without_details() {
        let word = json!({"error": {"message": INTERNAL, "code": "internal"}});
        let number = json!({"error": {"code": 500, "message": INTERNAL, "status": "INTERNAL"}});
        for (surface, wanted) in [(Surface::Interactions, word), (Surface::GenerateContent, number)]
        {
            assert_eq!(answer(surface).await, (StatusCode::INTERNAL_SERVER_ERROR, wanted));
        }
    }
}
