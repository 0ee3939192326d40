//! Checks the document's references and the schemas of requests. `tests/wire` checks the schemas of
//! responses.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::RequestBody;
use crate::http::routes;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::ASKED;

pub fn document() -> Value {
    super::document(routes::table().operations())
}

/// The bodies of all operations, each once.
pub fn bodies() -> Vec<&'static RequestBody> {
    let operations = routes::table().operations();
    let mut bodies: Vec<_> = operations.iter().filter_map(|found| found.operation.body).collect();
    bodies.sort_by_key(|body| body.schema.name());
    bodies.dedup_by_key(|body| body.schema.name());
    bodies
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("it is a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} has no target");
    }
    let components = document["components"]["schemas"].as_object().expect("it is one").keys();
    let unused: Vec<_> = components
        .filter(|name| !found.contains(format!("#/components/schemas/{name}").as_str()))
        .collect();
    assert!(unused.is_empty(), "nothing refers to {unused:?}");
}

/// Names of the fields of a schema and of its nested schemas, as paths. Lists are treated like their
/// elements.
fn documented(document: &Value, schema: &Value, place: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).expect("it has a target");
        return documented(document, target, place, found);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        found.insert(path.clone());
        documented(document, field, &path, found);
    }
    for schema in schema["anyOf"].as_array().into_iter().flatten() {
        documented(document, schema, place, found);
    }
    if schema["items"].is_object() {
        documented(document, &schema["items"], place, found);
    }
}

/// The fields that the reader takes from these bodies.
fn asked(body: &RequestBody) -> BTreeSet<String> {
    let index = Regex::new(r"\[\d+\]").expect("it is one");
    let reader = &body.reader;
    ASKED.with_borrow_mut(BTreeSet::clear);
    for sample in (reader.samples)() {
        (reader.read)(sample.clone()).unwrap_or_else(|error| panic!("{sample} gave {error}"));
    }
    for rejected in (reader.rejected)() {
        let _: Result<(), WireError> = (reader.read)(rejected);
    }
    let refused = (reader.refused)();
    let asked: BTreeSet<String> = ASKED.with_borrow(|asked| {
        asked.iter().map(|path| index.replace_all(path, "").into_owned()).collect()
    });
    asked.into_iter().filter(|path| !refused.contains(path)).collect()
}

fn is_read_as_documented(body: &RequestBody, document: &Value) {
    let component = body.schema.name();
    let mut named = BTreeSet::new();
    documented(document, &document["components"]["schemas"][component], "", &mut named);
    let asked = asked(body);
    let unnamed: Vec<_> = asked.difference(&named).collect();
    assert!(unnamed.is_empty(), "{component} parses undocumented fields: {unnamed:?}");
    let unread: Vec<_> = named.difference(&asked).collect();
    assert!(unread.is_empty(), "{component} documents fields that it does not parse: {unread:?}");

    let mut whole = json!({"$ref": format!("#/components/schemas/{component}")});
    whole["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&whole).expect("it is a schema");
    for sample in (body.reader.samples)() {
        if let Some(error) = validator.iter_errors(&sample).next() {
            panic!("{sample} is accepted, but does not match {component}: {error}");
        }
        // Undocumented fields are rejected too.
        let Value::Object(fields) = sample else { continue };
        let mut more = Map::clone(&fields);
        more.insert("not_documented".into(), 1.into());
        assert!(!validator.is_valid(&more.clone().into()), "{component} accepts unknown fields");
        (body.reader.read)(more.into()).expect_err("an unknown field was accepted");
    }
}

#[test]
fn every_body_is_read_as_the_document_says() {
    let document = document();
    for body in bodies() {
        assert!(!(body.reader.samples)().is_empty(), "{} has no samples", body.schema.name());
        is_read_as_documented(body, &document);
    }
}
