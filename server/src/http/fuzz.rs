//! Fuzz tests of the parsers of untrusted input: they must not panic, and their results must
//! satisfy their invariants.
//!
//! `make test` runs the same few hundred cases each time. With `FUZZ_WIRE_SECONDS` each parser runs
//! for that long with new cases (`make fuzz-wire`); a failing case is minimized and printed.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts as _;
use axum::http::{HeaderMap, HeaderValue, Request, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Map, Value};

use super::extract::query::{self, GoogleApiQuery, Parameters};
use super::generate_content::part_of_url;
use super::openapi::tests::{bodies, document};
use super::routes::files;
use super::routes::upload::headers_read;
use super::serve;
use super::vertex::{self, Dialect};
use super::wire::content::{self, UnknownContent};
use super::wire::event::StreamPosition;
use super::wire::json_reader::Node;
use super::wire::openapi::CREATE;
use super::wire::{request as interactions, step};
use domain::chaos::fault::Fault;
use domain::interaction::{MediaKind, media};
use domain::namespace::Namespace;

/// In `make test`.
const CASES: u32 = 250;
/// Cases between two checks of the time.
const BATCH: u32 = 100;

type Verdict = Result<(), TestCaseError>;

/// Runs cases against a parser.
fn drive<S: Strategy>(name: &str, cases: &S, reads: impl Fn(S::Value) -> Verdict) {
    let seconds = std::env::var("FUZZ_WIRE_SECONDS").ok().and_then(|text| text.parse().ok());
    let config = |cases| Config { cases, failure_persistence: None, ..Config::default() };
    let Some(seconds) = seconds else {
        let dice = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config(CASES), dice);
        return runner.run(cases, reads).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    };
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut runner = TestRunner::new(config(BATCH));
        runner.run(cases, &reads).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        count += u64::from(BATCH);
    }
    eprintln!("{name}: {count} cases in {} s", begun.elapsed().as_secs());
}

/// Built once: recursive strategies are rebuilt for each case.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(words);

/// Every name and every enum value of the document.
fn words() -> Vec<String> {
    fn collect(value: &Value, words: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                words.push(name.clone());
                collect(value, words);
            }),
            Value::Array(values) => values.iter().for_each(|value| collect(value, words)),
            Value::String(word) if word.len() < 40 => words.push(word.clone()),
            _ => {}
        }
    }
    let mut words = vec![String::new(), "c2ln".into(), "files/a".into(), "direct".into()];
    collect(&document()["components"]["schemas"], &mut words);
    words.sort();
    words.dedup();
    words
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(WORDS.as_slice()), 1 => letters()]
}

/// Arbitrary characters. The strategy of `String` is a hundred times slower.
fn letters() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..10).prop_map(String::from_iter)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-1_i64..3).prop_map(Value::from),
        word().prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(|bytes| STANDARD.encode(bytes).into()),
    ]
}

/// JSON whose names are mostly known ones.
fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((word(), inner), 0..4)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A valid request with a few changes.
fn nearly(samples: Vec<Value>) -> impl Strategy<Value = Value> {
    let change = (any::<prop::sample::Index>(), prop::option::weighted(0.9, anything()));
    (select(samples), vec(change, 0..4)).prop_map(|(mut request, changes)| {
        for (place, new) in changes {
            let places = size(&request);
            change_at(&mut request, place.index(places), new);
        }
        request
    })
}

/// Number of values in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(size).sum(),
        Value::Array(values) => values.iter().map(size).sum(),
        _ => 0,
    }
}

/// Replaces or removes the value at one place.
fn change_at(value: &mut Value, mut place: usize, new: Option<Value>) {
    if place == 0 {
        *value = new.unwrap_or_default();
        return;
    }
    place -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(values) => values.iter_mut().collect(),
        _ => return,
    };
    for child in children {
        let inside = size(child);
        if place < inside {
            return change_at(child, place, new);
        }
        place -= inside;
    }
}

fn has_message(error: &impl std::fmt::Display) -> Verdict {
    prop_assert!(!error.to_string().is_empty(), "an error without a message");
    Ok(())
}

#[test]
fn forms_of_the_input() {
    let cases = prop_oneof![nearly((CREATE.reader.samples)()), anything()];
    drive("input", &cases, |body| {
        let create = match interactions::create(body, &Dialect::Gemini) {
            Ok(create) => create,
            Err(error) => return has_message(&error),
        };
        for read in create.request.input {
            let shown = step::to_json(&read);
            let fields = Node::root(shown.clone()).object();
            let again = fields.and_then(step::step);
            prop_assert_eq!(again.as_ref(), Ok(&read), "{} parses differently", shown);
        }
        Ok(())
    });
}

#[test]
fn bodies_of_requests() {
    for body in bodies() {
        let cases = prop_oneof![nearly((body.reader.samples)()), anything()];
        drive(body.schema.name(), &cases, |case| {
            (body.reader.read)(case).or_else(|error| has_message(&error))
        });
    }
}

#[test]
fn routes_with_colons() {
    let piece = select(vec![
        ":",
        "/",
        "//",
        "files",
        "files/",
        "models",
        "interactions",
        "v1beta",
        "v1_a",
        "cancel",
        "generateContent",
        "asyncBatchEmbedContent",
        "openai/embeddings",
        "cachedContents/",
        "endpoints/",
        "projects",
        "projects/",
        "locations/",
        "publishers/google/",
        "v1beta1/",
        "%2F",
        "%00",
        "?",
        "a",
        "ä",
        ".",
        "..",
        "http://h/",
    ]);
    let cases = vec(prop_oneof![4 => piece.prop_map(str::to_owned), 1 => letters()], 0..12);
    drive("routes", &cases, |pieces| {
        let rest = pieces.concat();
        let (model, method) = part_of_url(&rest);
        prop_assert!(!method.contains(':'));
        let whole = if rest.contains(':') { format!("{model}:{method}") } else { model.to_owned() };
        prop_assert_eq!(&whole, &rest);
        prop_assert!(rest.ends_with(files::id_of(&rest)));

        if let Ok(uri) = format!("/{rest}").parse::<Uri>() {
            let tidy = |uri: Uri| {
                let mut request = Request::new(axum::body::Body::empty());
                *request.uri_mut() = uri;
                serve::tidy_path(request).uri().clone()
            };
            let once = tidy(uri.clone());
            prop_assert!(!once.path().contains("//"), "{} is not tidy", once);
            prop_assert_eq!(once.query(), uri.query());
            prop_assert_eq!(&tidy(once.clone()), &once);
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = once.clone();
            vertex::enter(&mut request);
            prop_assert!(!request.uri().path().contains("//"), "{} is not tidy", request.uri());
            prop_assert_eq!(request.uri().query(), once.query());
        }
        Ok(())
    });
}

#[test]
fn queries() {
    let name = select(vec![
        "stream",
        "last_event_id",
        "lastEventId",
        "include_input",
        "alt",
        "key",
        "pageSize",
        "page_token",
        "pageToken",
        "upload_id",
        "upload_protocol",
        "uploadType",
        "a",
    ]);
    let value =
        prop_oneof!["[ -~]{0,20}", select(vec!["true", "0", "sse"]).prop_map(str::to_owned)];
    let cases = vec((name, value), 0..5);
    drive("queries", &cases, |pairs| {
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let Ok(uri) = format!("/?{}", query.join("&")).parse::<Uri>() else { return Ok(()) };
        let request = Request::builder().uri(uri.clone()).body(()).expect("it is an address");
        let (mut parts, ()) = request.into_parts();
        let _ = Parameters::from_request_parts(&mut parts, &()).now_or_never();
        let _ = GoogleApiQuery::from_request_parts(&mut parts, &()).now_or_never();
        let _ = query::UploadParameters::of(&uri);
        Ok(())
    });
}

#[test]
fn headers_of_uploads() {
    let name = select(vec![
        "x-goog-upload-command",
        "x-goog-upload-protocol",
        "x-goog-upload-offset",
        "x-goog-upload-header-content-length",
        "x-goog-upload-header-content-type",
        "x-goog-upload-file-name",
        "content-type",
        "content-length",
    ]);
    let known = select(vec![
        "start",
        "upload",
        "upload, finalize",
        "query",
        "cancel",
        "finalize,upload",
        "18446744073709551616",
        "-1",
        "0",
        "8",
        "text/csv",
        "multipart/related; boundary=\"",
        "multipart/form-data;boundary=a;",
        "multipart/;boundary==",
        "a.csv",
        "../../etc",
    ]);
    let value = prop_oneof![
        2 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
    ];
    let cases = vec((name, value), 0..6);
    drive("upload headers", &cases, |pairs| {
        let mut headers = HeaderMap::new();
        for (name, value) in &pairs {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(*name, value);
            }
        }
        headers_read(&headers);
        Ok(())
    });
}

#[test]
fn places_to_go_on_from() {
    let encoded = "[0-9_a-z]{0,12}".prop_map(|text| format!("v1_{}", URL_SAFE_NO_PAD.encode(text)));
    let right = (any::<usize>(), any::<usize>())
        .prop_map(|(entry, frame)| StreamPosition { entry, frame }.id());
    let cases = prop_oneof![encoded, right, letters(), "v1_[A-Za-z0-9_=-]{0,20}"];
    drive("last_event_id", &cases, |id| {
        if let Some(place) = StreamPosition::of_id(&id) {
            prop_assert_eq!(place.id(), id, "two ids for one place");
        }
        Ok(())
    });
}

#[test]
fn base64_in_all_its_spellings() {
    let bytes = vec(any::<u8>(), 0..60);
    let cases = (bytes, 0..4_u8, "[A-Za-z0-9+/=_ \n-]{0,30}");
    drive("base64", &cases, |(bytes, spelling, text)| {
        let right = match spelling {
            0 => STANDARD.encode(&bytes),
            1 => STANDARD.encode(&bytes).trim_end_matches('=').to_owned(),
            2 => URL_SAFE_NO_PAD.encode(&bytes),
            _ => STANDARD.encode(&bytes).replace('+', "-").replace('/', "_"),
        };
        let read = content::decode(Node::root(right.clone().into()));
        prop_assert_eq!(read.as_deref(), Ok(&bytes[..]), "{}", right);
        let _ = content::decode(Node::root(text.clone().into()));
        prop_assert_eq!(
            content::is_base64(&text),
            content::decode(Node::root(text.into())).is_ok()
        );
        Ok(())
    });
}

#[test]
fn pictures_and_documents_to_count() {
    let head = select(vec![
        &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..],
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xc0",
        b"GIF89a",
        b"RIFF\xff\xff\0\0WEBPVP8 ",
        b"RIFF\0\0\0\0WEBPVP8X",
        b"RIFF\0\0\0\0WEBPVP8L",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypavif",
        b"%PDF-1.4 /Type/Page",
        b"",
    ]);
    let kind =
        select(vec![MediaKind::Image, MediaKind::Audio, MediaKind::Video, MediaKind::Document]);
    let cases = (kind, head, vec(any::<u8>(), 0..200));
    drive("media", &cases, |(kind, head, rest)| {
        let bytes = [head, &rest].concat();
        for mime_type in [None, Some("application/pdf"), Some("image/png"), Some("text/csv")] {
            let _ = media::tokens(kind, mime_type, &bytes).total();
        }
        let _ = content::mime_name(&String::from_utf8_lossy(&bytes));
        Ok(())
    });
}

#[test]
fn faults_and_namespaces() {
    let fields = vec(
        (
            select(vec![
                "status",
                "retry_after",
                "message",
                "delay",
                "between_events",
                "drop_after_events",
                "drop_after_bytes",
                "malformed_event",
                "times",
                "chance",
                "seed",
            ]),
            prop_oneof![leaf(), select(vec!["1s", "2h", "-1s", ""]).prop_map(Value::from)],
        ),
        0..5,
    );
    let cases = (fields, letters());
    drive("faults", &cases, |(fields, text)| {
        let fault: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Ok(fault) = serde_json::from_value::<Fault>(fault.into()) {
            let _ = (fault.delay(), fault.failure(), fault.damage());
        }
        if let Ok(namespace) = Namespace::named(&text) {
            prop_assert_eq!(namespace.name(), text.as_str());
        }
        let contents = content::contents(Node::root(text.into()), UnknownContent::Refuse);
        prop_assert_eq!(contents.map(|contents| contents.len()), Ok(1));
        Ok(())
    });
}
