//! The JSON Schema of the configuration file, for editors that complete and check it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::Tier;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, json};

use crate::backends::kind::KINDS;
use crate::config::definition::{ApiKeys, Definition, TextLine};
use crate::config::flags::LogFormat;
use crate::config::models::ModelTable;
use crate::config::search::{self, SearchTable};
use crate::config::settings::{DEFINITIONS, Given, TABLES};
use crate::listen::ListenAddress;
use domain::chaos::fault::Fault;
use parse::units::{ByteSize, RunTime, TimeSpan};
use recording::RecordMode;

/// A value in the configuration file.
pub trait FileValue {
    /// The JSON Schema of the value.
    fn schema() -> Value;
}

/// The JSON Schema of the configuration file.
pub fn schema() -> Value {
    let help = help();
    let known = words::<Given>();
    let settings = DEFINITIONS.iter().chain(TABLES).filter(|setting| known.contains(&setting.name));
    let properties: Map<String, Value> =
        settings.map(|setting| (setting.name.to_owned(), property(setting, &help))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Belljar",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn property(setting: &Definition, help: &BTreeMap<String, String>) -> Value {
    let mut schema = (setting.schema)();
    let own = setting.without_option.map(|without| without.help.to_owned());
    // The help of an option has its default already.
    if let Some(text) = own.or_else(|| help.get(setting.name).cloned()) {
        schema["description"] = text.into();
    }
    schema
}

/// The help of the options by their settings.
fn help() -> BTreeMap<String, String> {
    let command = crate::config::help::command();
    let serve = command.find_subcommand("serve").into_iter();
    serve
        .flat_map(clap::Command::get_arguments)
        .filter_map(|option| {
            let help = option.get_long_help().or_else(|| option.get_help())?;
            Some((option.get_id().to_string(), help.to_string()))
        })
        .collect()
}

macro_rules! schemas {
    ($($type:ty => $schema:expr;)*) => { $(
        impl FileValue for $type {
            fn schema() -> Value {
                $schema
            }
        }
    )* };
}

schemas! {
    bool => json!({"type": "boolean"});
    u32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    u64 => json!({"type": "integer", "minimum": 0});
    String => json!({"type": "string"});
    TextLine => json!({"type": "string"});
    PathBuf => json!({"type": "string"});
    ListenAddress => json!({"type": ["string", "integer"], "minimum": 0, "maximum": u16::MAX});
    ByteSize => json!({"type": ["string", "number"], "minimum": 0, "examples": ["100MiB"]});
    TimeSpan => json!({"type": ["string", "number"], "minimum": 0, "examples": ["500ms", "1h30m"]});
    RunTime => json!({"type": ["string", "number"], "minimum": 0, "examples": ["30s"]});
    LogFormat => json!({"enum": words::<LogFormat>()});
    RecordMode => json!({"enum": words::<RecordMode>()});
    Tier => json!({"enum": words::<Tier>()});
    ApiKeys => json!({"type": "array", "items": {"type": "string"}});
    search::Setting => object_of::<SearchTable>();
    Fault => object_of::<Fault>();
    ModelTable => model();
}

impl<T: FileValue> FileValue for Vec<T> {
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
}

/// The kinds of backends have further keys.
fn model() -> Value {
    json!({
        "type": "object",
        "required": ["name", "backend"],
        "properties": {
            "name": {"type": "string", "description": "Pattern of model names, such as qwen*"},
            "backend": {"enum": KINDS.map(|kind| kind.name)},
            "record": {
                "type": ["string", "boolean"],
                "description": "Folder of recordings; false excludes the model",
            },
        },
    })
}

/// An object with the fields of this type, and no others.
fn object_of<T: for<'de> Deserialize<'de>>() -> Value {
    let fields: Map<String, Value> =
        words::<T>().iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({"type": "object", "properties": fields, "additionalProperties": false})
}

/// The names that serde knows of a type: the fields of a structure, or the variants of an enumeration.
fn words<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut known: &'static [&'static str] = &[];
    // It always fails, once the names are known.
    let _ = T::deserialize(Names(&mut known));
    known
}

struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("only names are read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file follows the schema.
    fn follows(text: &str) -> bool {
        let file: toml::Table = toml::from_str(text).expect("it is TOML");
        let validator = jsonschema::validator_for(&schema()).expect("it is a schema");
        validator.is_valid(&serde_json::to_value(file).expect("it has no dates"))
    }

    #[test]
    fn the_schema_accepts_what_the_server_accepts() {
        for (text, is_right) in [
            (
                "listen = 8080\nmax_upload_bytes = \"1GiB\"\nrun_timeout = 0.5\nhosts = [\"a\"]",
                true,
            ),
            ("log_format = \"json\"\nrecord_mode = \"new\"\napi_keys = [\"a\"]", true),
            (
                "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"http://[::1]:1/v1\"",
                true,
            ),
            ("[[fault]]\nchance = 0.5\nstatus = 503\n[search]\nprovider = \"searxng\"", true),
            ("lisen = 1", false),
            ("log = \"info\"", false),
            ("log_format = \"loud\"", false),
            ("no_auth = \"yes\"", false),
            ("[[model]]\nname = \"q*\"", false),
            ("[[model]]\nname = \"q*\"\nbackend = \"none\"", false),
            ("[[fault]]\nchanse = 0.5", false),
        ] {
            assert_eq!(follows(text), is_right, "{text}");
            if is_right {
                toml::from_str::<Given>(text).expect("the server reads it too");
            }
        }
    }

    #[test]
    fn every_setting_is_described_with_its_default() {
        let schema = schema();
        let settings = schema["properties"].as_object().expect("it has some");
        let described = |name: &str| settings[name]["description"].as_str().unwrap_or_default();
        for (name, setting) in settings.iter().filter(|(name, _)| *name != "model") {
            let is_table = TABLES.iter().any(|table| table.name == name);
            assert!(is_table || setting["description"].is_string(), "{name}");
        }
        let grace = described("shutdown_grace");
        assert!(grace.ends_with("[default: 10s]") && grace.matches("[default").count() == 1);
        assert!(described("api_keys").starts_with("require one of these API keys"));
    }
}
