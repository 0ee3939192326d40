//! Applies requested faults: `x-belljar-fault` for one request, `/x/faults` for a namespace, the
//! configuration for all.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;

use crate::http::error::{self, ApiError};
use crate::http::extract::namespace::InNamespace;
use crate::http::middleware::control::Control;
use crate::http::middleware::quirk::{self, Api, Oddity, Wanted};
use crate::trace;
use domain::chaos::fault::{Counters, Damage, Fault, Stop};
use domain::namespace::{Namespace, PerNamespace};
use metrics::RequestMetrics;
use resources::budget::Budget;

/// A fault as JSON.
const HEADER: &str = "x-belljar-fault";

/// Maximum number of faults set in one namespace.
const MAX_STANDING: usize = 100;
/// Maximum size of one of them as JSON, and of all. Each request has a copy.
const MAX_FAULT_BYTES: usize = 4 << 10;
const MAX_STANDING_BYTES: usize = 16 << 10;

/// The faults for all requests and for each namespace, with their counters.
#[derive(Debug)]
pub struct Faults {
    /// Whether clients may set faults.
    control: Control,
    everywhere: Vec<Fault>,
    /// Each as the client sent it.
    active: PerNamespace<Vec<(Value, Fault)>>,
    counters: Counters,
    metrics: RequestMetrics,
}

/// A fault with the name of its counter.
type Named = (String, Fault);

impl Faults {
    pub fn new(everywhere: Vec<Fault>, control: Control, metrics: RequestMetrics) -> Faults {
        let (active, counters) = (PerNamespace::default(), Counters::default());
        Faults { control, everywhere, active, counters, metrics }
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.active.clear(namespace);
        self.counters.clear(namespace);
    }

    /// Sets faults for all requests of a namespace.
    pub fn order(&self, namespace: &Namespace, orders: Vec<Value>) -> Result<(), String> {
        let too_many = || format!("more than {MAX_STANDING} faults in one namespace");
        if orders.len() > MAX_STANDING {
            return Err(too_many());
        }
        let is_long = |order: &Value| order.to_string().len() > MAX_FAULT_BYTES;
        if let Some(at) = orders.iter().position(is_long) {
            return Err(format!("Invalid fault {at}: more than {MAX_FAULT_BYTES} bytes."));
        }
        let read = |order: Value| match serde_json::from_value(order.clone()) {
            Ok(fault) => Ok((order, fault)),
            Err(error) => Err(format!("Invalid fault {order}: {error}.")),
        };
        let faults = orders.into_iter().map(read).collect::<Result<Vec<_>, String>>()?;
        self.active.with(namespace, |active| {
            if active.len() + faults.len() > MAX_STANDING {
                return Err(too_many());
            }
            let all = active.iter().chain(&faults).map(|(order, _)| order.to_string().len());
            if all.sum::<usize>() > MAX_STANDING_BYTES {
                return Err(format!(
                    "more than {MAX_STANDING_BYTES} bytes of faults in one namespace"
                ));
            }
            active.extend(faults);
            Ok(())
        })
    }

    /// The faults of a namespace, and how often each happened.
    pub fn active(&self, namespace: &Namespace) -> Vec<(Value, u64)> {
        let orders = self.active.with(namespace, |active| active.clone()).into_iter();
        let happened = |at: usize| self.counters.happened(namespace, &standing_name(at));
        orders.enumerate().map(|(at, (order, _))| (order, happened(at))).collect()
    }

    /// The faults that apply to a request: its own, then its namespace's, then those of the
    /// configuration.
    fn of(&self, namespace: &Namespace, request: &Request) -> Result<Vec<Named>, ApiError> {
        let mut faults = Vec::new();
        if let Some(header) = request.headers().get(HEADER) {
            self.control.allowed()?;
            let fault = serde_json::from_slice(header.as_bytes()).map_err(|error| {
                ApiError::invalid(format!("Invalid value for '{HEADER}': {error}."))
            })?;
            faults.push((String::from_utf8_lossy(header.as_bytes()).into_owned(), fault));
        }
        self.active.with(namespace, |active| {
            let active = active.iter().enumerate();
            faults.extend(active.map(|(at, (_, fault))| (standing_name(at), fault.clone())));
        });
        let everywhere = self.everywhere.iter().cloned().enumerate();
        faults.extend(everywhere.map(|(at, fault)| (format!("#{at}"), fault)));
        Ok(faults)
    }

    fn happens(&self, namespace: &Namespace, (name, fault): &Named) -> Result<bool, ApiError> {
        let happens = self.counters.happens(namespace, name, fault);
        let happens = happens.map_err(|error| ApiError::invalid(error.to_string()))?;
        if happens {
            self.metrics.fault(fault.kind());
        }
        Ok(happens)
    }
}

fn standing_name(at: usize) -> String {
    format!("active #{at}")
}

/// Delays or fails a request, or changes its response.
pub async fn apply(
    State((faults, budget)): State<(Arc<Faults>, Budget)>,
    InNamespace(namespace): InNamespace,
    request: Request,
    next: Next,
) -> Response {
    let answered = answer(&faults, &budget, &namespace, request, next).await;
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    faults: &Faults,
    budget: &Budget,
    namespace: &Namespace,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (later, now): (Vec<Named>, Vec<Named>) =
        faults.of(namespace, &request)?.into_iter().partition(|(_, f)| f.is_about_the_answer());
    let mut happening = Vec::new();
    for fault in now {
        if !faults.happens(namespace, &fault)? {
            continue;
        }
        tokio::time::sleep(fault.1.delay()).await;
        if let Some(failure) = fault.1.failure() {
            trace::answered_by("fault");
            return Err(failure.into()); // the later faults are not evaluated
        }
        happening.push(fault.1);
    }
    let mut response = next.run(request).await;
    let api = response.extensions().get::<Api>().copied();

    // The scenario's faults come first.
    let wanted = response.extensions_mut().remove::<Wanted>().unwrap_or_default().0;
    let wanted = wanted.into_iter().map(|fault| (format!("{fault:?}"), fault));
    let is_stream = quirk::is_stream(&response);
    for fault in wanted.chain(later) {
        if concerns(&fault.1, api, is_stream) && faults.happens(namespace, &fault)? {
            happening.push(fault.1);
        }
    }
    for fault in &happening {
        for oddity in oddities(fault) {
            match (api, is_stream) {
                (Some(api), Some(is_stream)) if oddity.concerns(api, is_stream) => {
                    response =
                        quirk::apply(oddity, api, response, &budget.of(namespace.owner())).await;
                }
                _ => {}
            }
        }
    }
    let damages = happening.iter().map(Fault::damage).filter(|damage| *damage != Damage::default());
    Ok(damages.fold(response, |response, damage| damaged(response, damage, is_stream)))
}

/// Whether a fault applies to this response. `is_stream` is `None` for a failed response.
fn concerns(fault: &Fault, api: Option<Api>, is_stream: Option<bool>) -> bool {
    let damage = fault.damage();
    let of_streams =
        damage != Damage { drop_after_bytes: damage.drop_after_bytes, ..Damage::default() };
    let is_odd = |oddity: Oddity| match (api, is_stream) {
        (Some(api), Some(is_stream)) => oddity.concerns(api, is_stream),
        _ => false,
    };
    oddities(fault).any(is_odd)
        || damage.drop_after_bytes.is_some()
        || of_streams && is_stream == Some(true)
}

fn oddities(fault: &Fault) -> impl Iterator<Item = Oddity> {
    let stop = fault.stop().map(|stop| match stop {
        Stop::MaxTokens => Oddity::MaxTokens,
        Stop::Reason(reason) => Oddity::Stopped(reason),
    });
    stop.into_iter().chain(fault.quirk().map(Oddity::Quirk))
}

fn damaged(response: Response, damage: Damage, is_stream: Option<bool>) -> Response {
    let (parts, body) = response.into_parts();
    let body = if is_stream == Some(true) {
        Body::from_stream(damaged_events(body, damage))
    } else {
        Body::from_stream(cut(body.into_data_stream(), damage.drop_after_bytes))
    };
    Response::from_parts(parts, body)
}

/// Each item of a stream is an event or a comment; comments are not counted.
fn damaged_events(body: Body, damage: Damage) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let mut pieces = body.into_data_stream();
    let events = async_stream::stream! {
        let mut count = 0;
        while let Some(piece) = pieces.next().await {
            let is_event = piece.as_ref().is_ok_and(|bytes| !bytes.starts_with(b":"));
            if is_event {
                if damage.drop_after_events == Some(count) {
                    yield Err(axum::Error::new(error::disconnected().await));
                    return;
                }
                count += 1;
                tokio::time::sleep(damage.between_events).await;
            }
            let is_malformed = is_event && damage.malformed_event == Some(count);
            yield if is_malformed { piece.map(|event| malformed(&event)) } else { piece };
        }
    };
    cut(events, damage.drop_after_bytes)
}

/// The event with half of its data, but with its terminator.
fn malformed(event: &Bytes) -> Bytes {
    let half = &event[..event.len() * 2 / 3];
    let letters = String::from_utf8_lossy(half);
    format!("{}\n\n", letters.trim_end_matches(char::REPLACEMENT_CHARACTER)).into()
}

fn cut(
    pieces: impl Stream<Item = Result<Bytes, axum::Error>>,
    after_bytes: Option<u64>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    async_stream::stream! {
        let mut left = after_bytes.unwrap_or(u64::MAX);
        for await piece in pieces {
            let Ok(bytes) = &piece else {
                yield piece;
                return;
            };
            match usize::try_from(left) {
                Ok(room) if room < bytes.len() => {
                    yield Ok(bytes.slice(..room));
                    yield Err(axum::Error::new(error::disconnected().await));
                    return;
                }
                _ => left -= bytes.len() as u64,
            }
            yield piece;
        }
    }
}
