//! What a setting is. [`settings!`] expands a list of them to the options, variables and keys.

use std::path::PathBuf;
use std::str::FromStr;

use protocol::Tier;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::Config;
use super::file::FileValue;
use super::flags::LogFormat;
use super::search;
use crate::listen::ListenAddress;
use parse::units::{ByteSize, RunTime, TimeSpan};
use recording::RecordMode;

/// A setting, beside its type and its option.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The key in the configuration file. The names of the option and the variable follow from it.
    pub name: &'static str,
    pub former_name: Option<&'static str>,
    pub default: Option<DefaultText>,
    /// The value in the output of `belljar config`; `None` if it has no line there. A setting
    /// without this function has a line if it is set.
    pub shown: Option<fn(&Config) -> Option<String>>,
    pub without_option: Option<WithoutOption>,
    /// The JSON Schema of its value in the configuration file.
    pub schema: fn() -> serde_json::Value,
}

/// The default in `--help`.
#[derive(Debug, Clone, Copy)]
pub enum DefaultText {
    Value(fn() -> String),
    Words(&'static str),
}

/// A setting that only a variable or the file sets, such as a key: other users of the machine can
/// read the command line.
#[derive(Debug, Clone, Copy)]
pub struct WithoutOption {
    pub value_name: &'static str,
    pub help: &'static str,
}

impl Definition {
    pub const fn of<T: FileValue>(name: &'static str) -> Definition {
        Definition {
            name,
            former_name: None,
            default: None,
            shown: None,
            without_option: None,
            schema: T::schema,
        }
    }

    pub const fn with_default(mut self, default: fn() -> String) -> Definition {
        self.default = Some(DefaultText::Value(default));
        self
    }

    /// The default in words, because it is not always the same value.
    pub const fn default_is(mut self, words: &'static str) -> Definition {
        self.default = Some(DefaultText::Words(words));
        self
    }

    pub const fn formerly(mut self, name: &'static str) -> Definition {
        self.former_name = Some(name);
        self
    }

    pub const fn shown(mut self, shown: fn(&Config) -> Option<String>) -> Definition {
        self.shown = Some(shown);
        self
    }

    pub const fn without_option(
        mut self,
        value_name: &'static str,
        help: &'static str,
    ) -> Definition {
        self.without_option = Some(WithoutOption { value_name, help });
        self
    }

    pub fn variable(&self) -> String {
        variable_of(self.name)
    }

    pub fn default_text(&self) -> Option<String> {
        self.default.map(|default| match default {
            DefaultText::Value(text) => text(),
            DefaultText::Words(words) => words.to_owned(),
        })
    }
}

/// The option of a setting.
pub fn option_of(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// The variable of a setting.
pub fn variable_of(setting: &str) -> String {
    format!("{}{}", super::names::PREFIX, setting.to_uppercase())
}

/// Expands to [`Given`](super::settings::Given), `DEFINITIONS` and `TABLES`.
///
/// A setting is `name(formerly "other"): Type = default, property(argument);`, where the name and
/// the type are required. A property is a method of [`Definition`]. The attributes before the name
/// are those of a field: `#[arg(…)]` of clap describes the option, `#[arg(skip)]` leaves it out, and
/// `#[serde(skip)]` leaves out the key of the configuration file.
macro_rules! settings {
    (
        settings { $(
            $(#[$attribute:meta])*
            $name:ident $((formerly $former:literal))?: $type:ty $(= $default:expr)?
            $(, $property:ident($($argument:expr),*))*;
        )* }
        tables { $(
            $table:ident: $table_type:ty $(, $table_property:ident($($table_argument:expr),*))*;
        )* }
    ) => {
        // What one source of settings contains, or all of them together.
        #[derive(Debug, Default, clap::Args, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Given {
            $( $(#[$attribute])* $(#[serde(alias = $former)])? pub $name: Option<$type>, )*
            $( #[arg(skip)] pub $table: Option<$table_type>, )*
        }

        /// The settings, in the order of `--help`.
        pub const DEFINITIONS: &[Definition] = &[ $(
            Definition::of::<$type>(stringify!($name))
                $( .formerly($former) )?
                $(
                    .with_default(|| ($default).to_string())
                    .shown(|config| Some(config.given.$name().to_string()))
                )?
                $( .$property($($argument),*) )*,
        )* ];

        /// Tables of the configuration file, which have neither option nor variable.
        pub const TABLES: &[Definition] = &[ $(
            Definition::of::<$table_type>(stringify!($table)) $( .$table_property($($table_argument),*) )*,
        )* ];

        impl Given {
            $( $(
                /// The given value, else the default.
                pub fn $name(&self) -> $type {
                    self.$name.clone().unwrap_or_else(|| $default)
                }
            )? )*

            /// These settings, completed by those of a source with lower precedence.
            pub fn or(self, lower: Given) -> Given {
                Given {
                    $( $name: self.$name.or(lower.$name), )*
                    $( $table: self.$table.or(lower.$table), )*
                }
            }

            /// The settings of the environment.
            pub(super) fn from_variables(variables: &Environment<'_>) -> Result<Given, ConfigError> {
                Ok(Given {
                    $( $name: variables.parsed(stringify!($name))?, )*
                    $( $table: None, )*
                })
            }

            /// Removes values that the user did not give: clap sets each absent switch to `false`.
            pub fn only(self, given: &BTreeSet<String>) -> Given {
                Given {
                    $( $name: self.$name.filter(|_| given.contains(stringify!($name))), )*
                    $( $table: self.$table, )*
                }
            }
        }
    };
}
pub(super) use settings;

/// A value that a variable can have.
pub trait FromVariable: Sized {
    fn from_variable(text: &str) -> Result<Self, String>;
}

macro_rules! from_variable_by_from_str {
    ($($type:ty),*) => { $(
        impl FromVariable for $type {
            fn from_variable(text: &str) -> Result<$type, String> {
                <$type>::from_str(text).map_err(|error| error.to_string())
            }
        }
    )* };
}

from_variable_by_from_str!(
    ListenAddress,
    LogFormat,
    PathBuf,
    RecordMode,
    RunTime,
    ByteSize,
    String,
    Tier,
    TimeSpan,
    search::Setting,
    u32,
    u64
);

impl FromVariable for bool {
    fn from_variable(text: &str) -> Result<bool, String> {
        match text.to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

/// Parts between commas.
impl FromVariable for Vec<String> {
    fn from_variable(text: &str) -> Result<Vec<String>, String> {
        Ok(text.split(',').map(str::trim).map(str::to_owned).collect())
    }
}

/// Text that may contain commas. In a variable, each is a line of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct TextLine(pub String);

impl FromStr for TextLine {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<TextLine, Self::Err> {
        Ok(TextLine(text.to_owned()))
    }
}

impl FromVariable for Vec<TextLine> {
    fn from_variable(text: &str) -> Result<Vec<TextLine>, String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        Ok(lines.map(|line| TextLine(line.to_owned())).collect())
    }
}

/// API keys. Neither errors nor `Debug` show them.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(pub Vec<SecretString>);

impl ApiKeys {
    fn new(keys: impl IntoIterator<Item = String>) -> ApiKeys {
        ApiKeys(keys.into_iter().filter(|key| !key.is_empty()).map(SecretString::from).collect())
    }
}

impl FromVariable for ApiKeys {
    fn from_variable(text: &str) -> Result<ApiKeys, String> {
        Ok(ApiKeys::new(text.split(',').map(str::trim).map(str::to_owned)))
    }
}

impl<'de> Deserialize<'de> for ApiKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ApiKeys, D::Error> {
        let keys: Option<Vec<String>> = match toml::Value::deserialize(from)? {
            toml::Value::Array(keys) => {
                keys.into_iter().map(|key| key.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let wrong = || serde::de::Error::custom("expected a list of strings");
        keys.map(ApiKeys::new).ok_or_else(wrong)
    }
}
