//! A log as server-sent events: from its beginning or after an id, live to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::wire::event::{self, Frame, Place};
use crate::engine::Running;
use crate::interaction::Event as LogEvent;
use crate::store::Log;

/// Between two comments on a stream on which nothing else happens.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Streams a log. `running` is held for as long as somebody reads: an interaction that was asked
/// for as a stream is cancelled when its client goes away.
pub fn stream(log: &Arc<Log>, after: Option<Place>, running: Option<Running>) -> Response {
    let log = Arc::clone(log);
    let mut follower = log.follow(after.map_or(0, |place| place.entry));
    let events = async_stream::stream! {
        let _running = running;
        let mut ended = None;
        let mut next = 0;
        while let Some((number, entry)) = follower.next().await {
            next = number + 1;
            for frame in event::frames(&log, number, &entry.event) {
                if after.is_none_or(|after| frame.place() > after) {
                    yield Ok::<_, Infallible>(wire(&frame));
                }
            }
            match entry.event {
                LogEvent::Finished { .. } => ended = Some(Ended::Well),
                LogEvent::Failed(_) => ended = Some(Ended::Badly),
                _ => {}
            }
        }
        match ended {
            Some(Ended::Well) => yield Ok(Event::default().event("done").data("[DONE]")),
            // The real service closes after an error, without `done`.
            Some(Ended::Badly) => {}
            // The disk has failed, and nobody knows how it would have gone on.
            None => yield Ok(wire(&Frame::broken_off(next))),
        }
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY).text("keep-alive");
    Sse::new(events).keep_alive(keep_alive).into_response()
}

enum Ended {
    Well,
    Badly,
}

/// Finds the place that a client wants to go on from.
pub fn place(log: &Log, last_event_id: &str) -> Result<Place, ApiError> {
    let place = Place::of_id(last_event_id).filter(|place| {
        let entries = log.entries_from(place.entry);
        entries
            .first()
            .is_some_and(|entry| place.frame < event::frames(log, place.entry, &entry.event).len())
    });
    place.ok_or_else(|| {
        ApiError::invalid(format!("'{last_event_id}' is no event of this interaction."))
    })
}

fn wire(frame: &Frame) -> Event {
    Event::default().event(frame.name).data(frame.json())
}
