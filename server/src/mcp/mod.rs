//! The sandbox as an MCP server: tools that run Python in a session and access its files.
//!
//! ```text
//! connection ──first call──▶ session ──reset, or its end──▶ next session
//!     └──────────── end ──────────────▶ deleted
//! ```
//!
//! Each connection has a session of its own. Versions of the protocol without connections are not offered: clients that
//! know them fall back to older ones, in which a model need not know the name of its session.

mod content;
mod memory;
mod progress;
mod tools;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _};
use tokio::sync::Mutex;

use self::memory::CallMemory;
use self::progress::ProgressReports;
use self::tools::{ArgumentError, ContentArgument, ToolCall};
use domain::owner::Owner;
use sandbox_client::SandboxError;
use sessions::{Session, SessionDescription, SessionError, SessionRun, Sessions};

/// The header with the name of a connection over HTTP.
pub const CONNECTION: &str = "mcp-session-id";

const INSTRUCTIONS: &str = "Runs Python in an isolated sandbox without a network. Variables and files are kept between calls. NumPy, \
     pandas, SciPy, scikit-learn, Matplotlib and others are installed.";

/// The newest version of the protocol that has connections.
const NEWEST: ProtocolVersion = ProtocolVersion::LATEST_WITH_INITIALIZE;

/// The tools of one connection.
#[derive(Debug)]
pub struct PythonTools {
    sessions: Arc<Sessions>,
    owner: Owner,
    /// The session of the connection.
    own: Mutex<Option<Arc<Session>>>,
}

/// Why a tool could not do its work. The model reads the text.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("invalid base64")]
    Base64,
    #[error("{path} has {bytes} bytes, more than the {} MiB that this tool returns", content::MAX_FILE_BYTES >> 20)]
    TooLarge { path: String, bytes: u64 },
    #[error("the server has no memory left for this result: try again")]
    NoMemory,
    #[error("the call was cancelled")]
    Cancelled,
}

impl PythonTools {
    pub fn new(sessions: Arc<Sessions>, owner: Owner) -> PythonTools {
        PythonTools { sessions, owner, own: Mutex::default() }
    }

    /// Serves one client over standard input and output, until it closes them.
    pub async fn serve_stdio(self) -> Result<(), rmcp::service::ServerInitializeError> {
        let running = self.serve(rmcp::transport::stdio()).await?;
        // The reason of its end is that the client has gone.
        drop(running.waiting().await);
        Ok(())
    }

    /// The session for a call, and a note for the model if it is a new one although there was another.
    async fn session(
        &self,
        named: Option<&str>,
    ) -> Result<(Arc<Session>, Option<String>), SessionError> {
        if let Some(id) = named {
            return Ok((self.sessions.find(&self.owner, id)?, None));
        }
        let mut own = self.own.lock().await;
        let mut note = None;
        if let Some(session) = &*own {
            match self.sessions.find(&self.owner, &session.id) {
                Ok(session) => return Ok((session, None)),
                Err(SessionError::Ended { end, .. }) => {
                    note = Some(format!(
                        "[This is a new interpreter: the last one has ended, {end}.]\n"
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        let session = self.open().await?;
        *own = Some(Arc::clone(&session));
        Ok((session, note))
    }

    async fn open(&self) -> Result<Arc<Session>, SessionError> {
        let idle_timeout = self.sessions.limits().idle_timeout;
        let about = SessionDescription { idle_timeout, ..SessionDescription::default() };
        self.sessions.create(&self.owner, about, &[]).await
    }

    async fn reset(&self, named: Option<&str>) -> Result<CallToolResult, ToolError> {
        match named {
            Some(id) => self.sessions.delete(&self.owner, id).await?,
            None => {
                if let Some(session) = self.own.lock().await.take() {
                    self.end(&session).await?;
                }
            }
        }
        Ok(text("Variables and files are discarded.\n".to_owned()))
    }

    async fn end(&self, session: &Session) -> Result<(), SessionError> {
        match self.sessions.delete(&self.owner, &session.id).await {
            Err(SessionError::Ended { .. }) => Ok(()),
            ended => ended,
        }
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ToolError> {
        let (call, named) = tools::parse(&request.name, request.arguments)?;
        let named = named.as_deref();
        if call == ToolCall::Reset {
            return self.reset(named).await;
        }
        let (session, note) = self.session(named).await?;
        let memory = CallMemory::of(&context);
        let mut result = match call {
            ToolCall::RunPython { code, timeout } => {
                let run = SessionRun { code, files: Vec::new(), timeout };
                let output = run_with_progress(&session, run, &context).await?;
                memory.take_for(content::bytes_of(&output))?;
                content::ran(&session, &output)
            }
            ToolCall::ListFiles => content::files(&session.list_files().await?),
            ToolCall::ReadFile { path } => {
                let part = session.read_file(path.clone(), 0, content::MAX_FILE_BYTES).await?;
                if part.total_bytes > part.data.len() as u64 {
                    return Err(ToolError::TooLarge { path, bytes: part.total_bytes });
                }
                memory.take_for(part.data.len())?;
                content::file(&session, &path, &part)
            }
            ToolCall::WriteFile { path, content } => {
                let content = match content {
                    ContentArgument::Text(text) => text.into_bytes(),
                    ContentArgument::Base64(text) => {
                        STANDARD.decode(text).map_err(|_| ToolError::Base64)?
                    }
                };
                let written = format!("Wrote {} bytes to {path}.\n", content.len());
                session.write_file(path, content.into()).await?;
                text(written)
            }
            ToolCall::Reset => text(String::new()),
        };
        if let Some(note) = note {
            result.content.push(ContentBlock::text(note));
        }
        Ok(result)
    }
}

/// Runs code, and reports what it prints as progress, if the client wants it. A cancelled call interrupts it.
async fn run_with_progress(
    session: &Arc<Session>,
    run: SessionRun,
    context: &RequestContext<RoleServer>,
) -> Result<sandbox_client::RunOutput, ToolError> {
    let (mut progress, on_piece) = ProgressReports::of(context);
    let running = session.execute(run, on_piece);
    tokio::select! {
        output = running => Ok(output?),
        () = progress.report() => unreachable!("reporting does not end by itself"),
        () = context.ct.cancelled() => Err(ToolError::Cancelled),
    }
}

fn text(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

impl ServerHandler for PythonTools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("belljar", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(ProtocolVersion::known_up_to(&NEWEST))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::list()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match self.call(request, context).await {
            Ok(result) => Ok(result.into()),
            Err(ToolError::Arguments(error @ ArgumentError::UnknownTool(_))) => {
                Err(ErrorData::invalid_params(error.to_string(), None))
            }
            Err(error) => {
                if let ToolError::Session(SessionError::Sandbox(cause)) = &error
                    && !matches!(cause, SandboxError::Invalid(_))
                {
                    tracing::error!(error = %cause, "tool call failed");
                }
                Ok(CallToolResult::error(vec![ContentBlock::text(error.to_string())]).into())
            }
        }
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let absent = || ErrorData::resource_not_found(format!("no resource {}", request.uri), None);
        let (id, path) = content::file_of(&request.uri).ok_or_else(absent)?;
        let session = self.sessions.find(&self.owner, &id).map_err(|_| absent())?;
        let part = session.read_file(path.clone(), 0, content::MAX_FILE_BYTES).await;
        let part = part.map_err(|_| absent())?;
        if part.total_bytes > part.data.len() as u64 {
            let error = ToolError::TooLarge { path, bytes: part.total_bytes };
            return Err(ErrorData::invalid_params(error.to_string(), None));
        }
        let memory = CallMemory::of(&context).take_for(part.data.len());
        memory.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ReadResourceResult::new(vec![content::resource(&id, &path, &part)]).into())
    }
}

/// The session of a connection ends with it.
impl Drop for PythonTools {
    fn drop(&mut self) {
        if let Some(session) = self.own.get_mut().take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (sessions, owner) = (Arc::clone(&self.sessions), self.owner.clone());
            // It may have ended already.
            runtime.spawn(async move { drop(sessions.delete(&owner, &session.id).await) });
        }
    }
}
