//! Streams a log as server-sent events, from its beginning or after an event id, live to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};

use crate::engine::Running;
use crate::http::error::{self, ApiError};
use crate::http::middleware::deadline::Deadline;
use crate::http::wire::event::{self, Frame, StreamPosition};
use domain::interaction::{Event as LogEvent, Failure, FailureDelivery, UsageEstimate};
use store::Log;

/// Interval of comments on an idle stream.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Streams a log and holds `running` meanwhile: an interaction that was created with a stream is
/// cancelled when its client disconnects.
pub fn stream(
    log: &Arc<Log>,
    after: Option<StreamPosition>,
    running: Option<Running>,
    deadline: Deadline,
) -> Response {
    let log = Arc::clone(log);
    let first = after.map_or(0, |place| place.entry);
    let mut follower = log.follow(first);
    let mut tally = log.tally(first);
    let events = async_stream::stream! {
        let asked = running.is_some();
        let _running = running;
        let mut ended = None;
        let mut next = 0;
        loop {
            let (number, entry) = match deadline.hold(follower.next()).await {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(_) => {
                    yield Ok(wire(Frame::late(next)));
                    return;
                }
            };
            next = number + 1;
            if asked && let LogEvent::Failed(Failure { delivery: FailureDelivery::ConnectionDrop, .. }) = entry.event {
                yield Err(error::disconnected().await);
                return;
            }
            tally.add(&entry.event);
            for frame in event::frames(&log, number, &entry.event, &tally) {
                if after.is_none_or(|after| frame.place() > after) {
                    yield Ok(wire(frame));
                }
            }
            match entry.event {
                LogEvent::Finished { .. } => ended = Some(StreamEnd::Well),
                LogEvent::Failed(_) => ended = Some(StreamEnd::Badly),
                _ => {}
            }
        }
        match ended {
            Some(StreamEnd::Well) => yield Ok(Event::default().event("done").data("[DONE]")),
            // The real service closes after an error, without `done`.
            Some(StreamEnd::Badly) => {}
            None if log.is_suspended() => yield Ok(wire(Frame::left(next))),
            // The disk has failed, so the log has no end.
            None => yield Ok(wire(Frame::broken_off(next))),
        }
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY).text("keep-alive");
    Sse::new(events).keep_alive(keep_alive).into_response()
}

enum StreamEnd {
    Well,
    Badly,
}

/// Finds the position from which a client resumes.
pub fn place(log: &Log, last_event_id: &str) -> Result<StreamPosition, ApiError> {
    let place = StreamPosition::of_id(last_event_id).filter(|place| {
        log.entry(place.entry).is_some_and(|entry| {
            let frames = event::frames(log, place.entry, &entry.event, &UsageEstimate::default());
            place.frame < frames.len()
        })
    });
    place.ok_or_else(|| {
        ApiError::invalid(format!("'{last_event_id}' is not an event of this interaction."))
    })
}

fn wire(frame: Frame) -> Event {
    Event::default().event(frame.name).data(frame.into_json())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use jiff::Timestamp;

    use super::*;
    use domain::interaction::{Status, Usage};
    use store::{Head, Owner};

    fn head() -> Head {
        Head {
            id: "v1_x".into(),
            model: "m".into(),
            previous_interaction_id: None,
            input: Vec::new(),
            resume_state: None,
            owner: Owner::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_is_kept_alive() {
        let log = Arc::new(Log::ephemeral(head(), Timestamp::UNIX_EPOCH));
        let mut body = stream(&log, None, None, Deadline::default()).into_body().into_data_stream();
        let mut next = async || {
            let piece = body.next().await.expect("the stream goes on").expect("it cannot fail");
            String::from_utf8(piece.to_vec()).expect("it is text")
        };
        assert_eq!(next().await, ": keep-alive\n\n");
        assert_eq!(next().await, ": keep-alive\n\n");
        let finished = LogEvent::Finished { status: Status::Completed, usage: Usage::default() };
        log.append(vec![finished]).await.expect("there is memory");
        assert!(next().await.starts_with("event: interaction.created\ndata: {"));
        assert!(next().await.starts_with("event: interaction.status_update\ndata: {"));
        assert!(next().await.starts_with("event: interaction.completed\ndata: {"));
        assert_eq!(next().await, "event: done\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn a_log_without_a_final_event_ends_in_an_error() {
        let log = Arc::new(Log::ended(head(), Timestamp::UNIX_EPOCH, Vec::new()));
        let body = stream(&log, None, None, Deadline::default()).into_body();
        let body = axum::body::to_bytes(body, 1000).await.expect("it is short");
        let body = String::from_utf8(body.to_vec()).expect("it is text");
        assert!(
            body.starts_with("event: error\ndata: {\"error\":{\"message\":\"Internal"),
            "{body}"
        );
        assert!(!body.contains("done"), "{body}");
    }
}
