//! `/mcp`: the sandbox as an MCP server over HTTP, with the protocol by rmcp.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::http::App;
use crate::http::error::schema::CLASSIC_ERROR;
use crate::http::error::{ApiError, Code, OwnForm};
use crate::http::extract::body::UnparsedJson;
use crate::http::openapi::schema::{Schema, any_object, any_of};
use crate::http::openapi::{BELLJAR, JSON, Operation};
use crate::http::route::Route;
use crate::mcp::{CONNECTION, PythonTools};
use crate::trace;
use domain::owner::Owner;
use sessions::Sessions;

/// Maximum number of connections of one owner.
const MAX_CONNECTIONS: usize = 64;
/// How long rmcp keeps the answers of a request for a client that reconnects.
const KEEP_ANSWERS_FOR: Duration = Duration::from_secs(5);
/// Maximum size of an error in plain text.
const MAX_ERROR_BYTES: usize = 16 << 10;
const EVENTS: &str = "text/event-stream";

type Service = StreamableHttpService<PythonTools, LocalSessionManager>;

/// The MCP server of each owner, so that the connections of one do not exist for another.
#[derive(Debug)]
pub struct McpServers {
    sessions: Arc<Sessions>,
    of_owners: Mutex<HashMap<Owner, OwnersMcp>>,
    stopping: CancellationToken,
}

/// The MCP server of one owner.
#[derive(Clone)]
struct OwnersMcp {
    service: Service,
    connections: Arc<LocalSessionManager>,
}

impl std::fmt::Debug for OwnersMcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnersMcp").finish_non_exhaustive()
    }
}

impl McpServers {
    /// `stopping` ends all connections.
    pub fn new(sessions: Arc<Sessions>, stopping: CancellationToken) -> McpServers {
        McpServers { sessions, of_owners: Mutex::default(), stopping }
    }

    /// There are as many owners as keys.
    fn of(&self, owner: &Owner) -> OwnersMcp {
        let mut servers = self.of_owners.lock();
        servers.entry(owner.clone()).or_insert_with(|| self.new_server(owner)).clone()
    }

    fn new_server(&self, owner: &Owner) -> OwnersMcp {
        let mut connections = LocalSessionManager::default();
        connections.session_config.keep_alive = Some(self.sessions.limits().idle_timeout);
        connections.session_config.completed_cache_ttl = KEEP_ANSWERS_FOR;
        let connections = Arc::new(connections);
        let (sessions, owner) = (Arc::clone(&self.sessions), owner.clone());
        let tools = move || Ok(PythonTools::new(Arc::clone(&sessions), owner.clone()));
        // Hosts and origins have been checked, and bodies have their limits.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(usize::MAX)
            .with_cancellation_token(self.stopping.clone());
        OwnersMcp { service: Service::new(tools, Arc::clone(&connections), config), connections }
    }
}

/// An error of this server, or one in the form of the protocol.
static MCP_ERROR: Schema = Schema::new("McpError", |schemas| {
    any_of(&[schemas.named(&CLASSIC_ERROR), any_object("An error of JSON-RPC.")])
});

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, BELLJAR, summary).fails_as(&MCP_ERROR);
    let message = |_: &_| any_object("A message of the Model Context Protocol.");
    vec![
        Route::post(
            "/mcp",
            serve,
            new("mcp", "The sandbox as an MCP server (streamable HTTP)")
                .takes_as(JSON, message)
                .answers_as(JSON, message)
                .answers_as(EVENTS, |_| json!({"type": "string"})),
        ),
        Route::get(
            "/mcp",
            serve,
            new("mcpEvents", "Messages of the MCP server outside of a request")
                .answers_as(EVENTS, |_| json!({"type": "string"})),
        ),
        Route::delete("/mcp", serve, new("mcpEnd", "Ends a connection to the MCP server")),
    ]
}

async fn serve(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    request: Request,
) -> Result<Response, ApiError> {
    if app.stopping.is_cancelled() {
        return Err(ApiError::stopping());
    }
    let server = app.mcp.of(&owner);
    let is_first = !request.headers().contains_key(CONNECTION);
    trace::answered_by("sandbox");
    let mut of_body = Request::new(Body::empty());
    let (parts, body) = request.into_parts();
    *of_body.body_mut() = body;
    *of_body.headers_mut() = parts.headers.clone();
    *of_body.extensions_mut() = parts.extensions.clone();
    let UnparsedJson(body) = UnparsedJson::from_request(of_body, &app).await?;
    if is_first && server.connections.sessions.read().await.len() >= MAX_CONNECTIONS {
        let why =
            format!("This API key has {MAX_CONNECTIONS} MCP connections already, the maximum.");
        return Err(ApiError::new(Code::ResourceExhausted, why));
    }
    let response = server.service.handle(Request::from_parts(parts, Full::new(body))).await;
    in_our_form(response.map(Body::new).into_response()).await
}

/// Errors of rmcp in plain text get the form of all others. Those in the form of the protocol keep it.
async fn in_our_form(mut response: Response) -> Result<Response, ApiError> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
    if is_json || !status.is_client_error() {
        response.extensions_mut().insert(OwnForm);
        return Ok(response);
    }
    let text = to_bytes(response.into_body(), MAX_ERROR_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    Err(match status {
        StatusCode::NOT_FOUND => ApiError::new(Code::NotFound, text),
        _ => ApiError::invalid(text),
    })
}
