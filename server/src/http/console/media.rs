//! Pictures and files in interactions. A picture is shown if its bytes are of a format without scripts, whatever
//! its name or type says; anything else is only named.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use maud::{Markup, html};

use super::access::Visit;
use super::notebook::log_of;
use super::text::visible;
use crate::http::App;
use domain::interaction::{Content, Media, Source, Step};

/// Formats that are only pixels.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The format of a picture, from its first bytes.
fn picture(bytes: &[u8]) -> Option<&'static str> {
    let found = infer::get(bytes)?.mime_type();
    PICTURES.into_iter().find(|known| *known == found)
}

/// A picture, or the name of what is no picture.
pub fn shown(visit: &Visit, id: &str, place: &str, at: usize, media: &Media) -> Markup {
    let kind = media.mime_type.as_deref().unwrap_or(media.kind.as_str());
    match &media.source {
        Source::Inline(bytes) if picture(bytes).is_some() => {
            let source = format!("{}/interactions/{id}/media/{place}/{at}", visit.base);
            html! {
                figure {
                    a href=(source) { img src=(source) alt={ "Picture of " (bytes.len()) " bytes" }; }
                }
            }
        }
        Source::Inline(bytes) => html! {
            p .file { (visible(kind)) ", " (bytes.len()) " bytes" }
        },
        Source::Uri(uri) => {
            html! { p .file { (visible(kind)) " " span .address { (visible(uri)) } } }
        }
    }
}

pub async fn show(
    State(app): State<App>,
    visit: Visit,
    Path((id, place, at)): Path<(String, String, usize)>,
) -> Response {
    let log = match log_of(&app, &visit, &id).await {
        Ok(log) => log,
        Err(page) => return page,
    };
    let steps = log.projection();
    let step = match (place.strip_prefix('i'), place.strip_prefix('s')) {
        (Some(number), _) => number.parse().ok().and_then(|at: usize| log.head().input.get(at)),
        (_, Some(number)) => number.parse().ok().and_then(|at: usize| steps.steps().get(at)),
        _ => None,
    };
    let content = match step {
        Some(Step::UserInput(contents) | Step::ModelOutput(contents)) => contents.get(at),
        _ => None,
    };
    match content {
        Some(Content::Media(Media { source: Source::Inline(bytes), .. })) => answer(bytes),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A picture as a response; 404 for anything else.
pub fn answer(bytes: &Bytes) -> Response {
    match picture(bytes) {
        Some(kind) => {
            let headers = [
                (CONTENT_TYPE, kind),
                (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
                (CACHE_CONTROL, "private, max-age=3600"),
            ];
            (headers, bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pixels_are_pictures() {
        let png = b"\x89PNG\r\n\x1a\n rest";
        assert_eq!(picture(png), Some("image/png"));
        for bytes in
            [&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], b"<html>", b"%PDF-1.7", b""]
        {
            assert_eq!(picture(bytes), None);
            assert_eq!(answer(&Bytes::copy_from_slice(bytes)).status(), StatusCode::NOT_FOUND);
        }
    }
}
