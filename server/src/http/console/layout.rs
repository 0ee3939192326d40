//! The frame of each page, and the headers that keep it safe.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest, Sha256};

use super::access::Visit;
use super::text::visible;

/// Nothing but the console's own files; no script or style within a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Interactions,
    Requests,
    Faults,
    Sandbox,
}

impl Section {
    const ALL: [(Section, &'static str, &'static str); 4] = [
        (Section::Interactions, "", "Interactions"),
        (Section::Requests, "/requests", "Requests"),
        (Section::Faults, "/faults", "Faults"),
        (Section::Sandbox, "/sandbox", "Sandbox"),
    ];
}

/// Whether the content changes while one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    Live,
    Still,
}

/// A page for a visitor.
pub fn page(
    visit: &Visit,
    section: Section,
    title: &str,
    liveness: Liveness,
    content: &Markup,
) -> Response {
    let body = html! {
        header .bar {
            a .brand href=(visit.base) { "Belljar" }
            nav aria-label="Pages" {
                @for (of, path, name) in Section::ALL {
                    a href={ (visit.base) (path) } aria-current=[(of == section).then_some("page")] { (name) }
                }
                a href="/docs" { "API" }
            }
            @if !visit.namespace.name().is_empty() {
                p .namespace { "Namespace " b { (visible(visit.namespace.name())) } }
            }
            @if visit.has_session {
                form method="post" action={ (visit.base) "/logout" } {
                    button type="submit" .plain { "Log out" }
                }
            }
        }
        main #main data-live=[(liveness == Liveness::Live).then_some("")] { (content) }
    };
    whole(&visit.base, StatusCode::OK, title, &body)
}

/// A page without navigation.
pub fn outside(base: &str, status: StatusCode, title: &str, content: &Markup) -> Response {
    let body = html! {
        header .bar { span .brand { "Belljar" } }
        main #main .narrow { (content) }
    };
    whole(base, status, title, &body)
}

pub fn refused(base: &str, status: StatusCode, why: &str) -> Response {
    outside(base, status, "Not available", &html! { h1 { "Not available here" } p { (why) } })
}

/// The page for something that did not work.
pub fn failed(visit: &Visit, status: StatusCode, why: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    outside(
        &visit.base,
        status,
        title,
        &html! {
            h1 { (title) }
            p role="alert" { (visible(why)) }
            p { a href=(visit.base) { "To the interactions" } }
        },
    )
}

fn whole(base: &str, status: StatusCode, title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (visible(title)) " · Belljar" }
                link rel="stylesheet" href={ (base) "/assets/style.css" };
                link rel="icon" type="image/svg+xml" href={ (base) "/assets/icon.svg" };
                script src={ (base) "/assets/console.js" } defer {}
            }
            body {
                a .skip href="#main" { "To the content" }
                (body)
            }
        }
    }
    .into_string();
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(page.as_bytes())[..12]));
    let mut response = (status, Html(page)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}
