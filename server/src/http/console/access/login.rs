//! The page that asks for a key, and its end.

use std::time::Duration;

use axum::Form;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::sessions::{LASTS, cookie, with_cookie};
use super::{ConsoleAccess, base, to};
use crate::http::console::layout;
use crate::http::extract::namespace::PathPrefix;

#[derive(Deserialize)]
pub struct LoginForm {
    key: String,
}

/// The page that asks for a key.
pub async fn ask(State(access): State<ConsoleAccess>, request: Request) -> Response {
    let base = base(request.extensions().get());
    if access.visit(&request).is_some() {
        return to(&base);
    }
    login_page(&base, StatusCode::OK, None)
}

fn login_page(base: &str, status: StatusCode, problem: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        p { "This server has API keys. The console shows what one of them may see." }
        form method="post" action={ (base) "/login" } .login {
            label for="key" { "API key" }
            input #key type="password" name="key" required autofocus autocomplete="current-password"
                aria-describedby=[problem.map(|_| "problem")];
            @if let Some(problem) = problem { p #problem .problem role="alert" { (problem) } }
            button type="submit" { "Log in" }
        }
    };
    layout::outside(base, status, "Log in", &content)
}

/// Exchanges a key for a session.
pub async fn login(
    State(access): State<ConsoleAccess>,
    prefix: Option<axum::Extension<PathPrefix>>,
    Form(LoginForm { key }): Form<LoginForm>,
) -> Response {
    let base = base(prefix.as_deref());
    match access.keys.owner(key.trim()) {
        Some(owner) => {
            let cookie = access.sessions.begin(owner);
            with_cookie(to(&base), &cookie, LASTS)
        }
        None => {
            login_page(&base, StatusCode::UNAUTHORIZED, Some("This is no API key of this server."))
        }
    }
}

/// Ends the session.
pub async fn logout(State(access): State<ConsoleAccess>, request: Request) -> Response {
    let base = base(request.extensions().get());
    if let Some(cookie) = cookie(request.headers()) {
        access.sessions.end(cookie);
    }
    with_cookie(to(&format!("{base}/login")), "", Duration::ZERO)
}
