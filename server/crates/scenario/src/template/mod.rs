//! Templates: Jinja with the results of the conversation.

pub mod child;
pub mod extent;
pub mod names;
mod simple;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use regex::{Captures, Regex};
use serde_json::Value as Json;

use extent::TooMuch;
use resources::child::ChildError;

use crate::pattern::Pattern;

/// Maximum number of instructions in one template, which bounds loops.
const FUEL: u64 = 100_000;

/// Maximum output size of one template. A loop over the output of a run could otherwise exhaust the
/// memory.
const MAX_RENDERED_BYTES: usize = 4 << 20;

/// Maximum number of patterns that one template compiles. Each can take milliseconds.
const MAX_PATTERNS: usize = 100;

/// Maximum total size of the texts that the patterns of one template search.
const MAX_SEARCHED_BYTES: usize = 64 << 20;

pub static JINJA: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_fuel(Some(FUEL));
    jinja.set_syntax(syntax());
    jinja.add_filter("regex_find", regex_find);
    jinja.add_filter("regex_replace", regex_replace);
    jinja
});

/// A trailing line break of a text or of code is kept.
pub fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the default syntax")
}

/// A text in a scenario.
///
/// Code is a template like any other text: `{{`, `{%` and `{#` are template syntax, single braces
/// are Python's. Where Python needs double braces, `raw: true` leaves the text unchanged. Values
/// are formatted as in Python (`True`, `None`, `['a']`), and as JSON with `| tojson`.
#[derive(Clone, PartialEq, Eq)]
pub enum Template {
    /// Without template syntax, or `raw`.
    Plain(String),
    /// Only inserts variables and members of them.
    Inserts(String),
    /// Anything else with valid syntax.
    Jinja(String),
}

impl Template {
    pub fn new(source: String, raw: bool) -> Result<Template, TemplateError> {
        if raw {
            return Ok(Template::Plain(source));
        }
        extent::check_nesting(&source)?;
        // Not compiled, because the compiler evaluates constants.
        parse(&source, "", syntax())?;
        extent::check(&source, None)?;
        let has_holes = ["{{", "{%", "{#"].iter().any(|hole| source.contains(hole));
        Ok(match has_holes {
            false => Template::Plain(source),
            true if inserts_only(&source) => Template::Inserts(source),
            true => Template::Jinja(source),
        })
    }

    /// Whether the template uses one of these names.
    pub fn uses(&self, names: &[&str]) -> bool {
        let (Template::Inserts(source) | Template::Jinja(source)) = self else { return false };
        child::identifiers(source).any(|name| names.contains(&name))
    }

    /// Whether rendering it may block other requests for too long.
    pub fn is_heavy(&self) -> bool {
        matches!(self, Template::Jinja(_))
    }

    pub fn render(&self, names: &Value) -> Result<String, TemplateError> {
        match self {
            Template::Plain(text) => Ok(text.clone()),
            Template::Inserts(source) => rendered(source, names),
            // The unit tests have no program to start.
            Template::Jinja(source) if cfg!(test) => render_here(source, names),
            Template::Jinja(source) => {
                if child::may_render_here(source, names) {
                    rendered(source, names)
                } else {
                    child::render(source, names)
                }
            }
        }
    }
}

/// Whether all holes of a template are variables or members of them.
fn inserts_only(source: &str) -> bool {
    let (mut is_inside, mut wants_name) = (false, false);
    for token in tokenize(source, false, syntax()) {
        match token {
            Ok((Token::TemplateData(_), _)) => {}
            Ok((Token::VariableStart, _)) => (is_inside, wants_name) = (true, true),
            Ok((Token::Ident(_), _)) if wants_name => wants_name = false,
            Ok((Token::Dot, _)) if !wants_name => wants_name = true,
            Ok((Token::VariableEnd, _)) if !wants_name => is_inside = false,
            _ => return false,
        }
    }
    !is_inside
}

/// Checks a template and renders it in this process.
fn render_here(source: &str, names: &Value) -> Result<String, TemplateError> {
    extent::check(source, Some(names))?;
    rendered(source, names)
}

fn rendered(source: &str, names: &Value) -> Result<String, TemplateError> {
    let template = JINJA.template_from_str(source)?;
    let mut rendered = Bounded(Vec::new());
    PATTERNS.set(Patterns::default());
    let done = template.render_captured_to(names, &mut rendered);
    PATTERNS.set(Patterns::default());
    drop(done?);
    Ok(String::from_utf8(rendered.0).expect("a template writes text"))
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Template::Plain(text) | Template::Inserts(text) | Template::Jinja(text)) = self;
        write!(f, "{text:?}")
    }
}

/// The arguments of a function call: JSON whose strings are templates.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgumentTemplate {
    json: Json,
    raw: bool,
}

impl ArgumentTemplate {
    pub fn new(json: Json, raw: bool) -> Result<ArgumentTemplate, TemplateError> {
        map_strings(&json, &mut |text| Template::new(text.into(), raw).map(|_| String::new()))?;
        Ok(ArgumentTemplate { json, raw })
    }

    /// Whether the arguments use one of these names.
    pub fn uses(&self, names: &[&str]) -> bool {
        let mut uses = false;
        let seen: Result<_, TemplateError> = map_strings(&self.json, &mut |text| {
            uses |= Template::new(text.into(), self.raw)?.uses(names);
            Ok(String::new())
        });
        uses && seen.is_ok()
    }

    /// Whether rendering them may block other requests for too long.
    pub fn is_heavy(&self) -> bool {
        fn is_heavy(json: &Json) -> bool {
            match json {
                Json::String(text) => !inserts_only(text),
                Json::Array(items) => items.iter().any(is_heavy),
                Json::Object(fields) => fields.values().any(is_heavy),
                _ => false,
            }
        }
        !self.raw && is_heavy(&self.json)
    }

    /// All strings together have the limit of one template.
    pub fn render(&self, names: &Value) -> Result<Json, TemplateError> {
        let mut bytes = 0;
        map_strings(&self.json, &mut |text| {
            let rendered = Template::new(text.into(), self.raw)?.render(names)?;
            bytes += rendered.len();
            if bytes > MAX_RENDERED_BYTES {
                let why = format!("its strings have more than {MAX_RENDERED_BYTES} bytes together");
                return Err(TemplateError::TooMuch(why));
            }
            Ok(rendered)
        })
    }
}

fn map_strings<E>(
    json: &Json,
    change: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<Json, E> {
    Ok(match json {
        Json::String(text) => Json::String(change(text)?),
        Json::Array(items) => Json::Array(
            items.iter().map(|item| map_strings(item, change)).collect::<Result<_, _>>()?,
        ),
        Json::Object(fields) => {
            let mut changed = serde_json::Map::new();
            for (name, value) in fields {
                changed.insert(name.clone(), map_strings(value, change)?);
            }
            Json::Object(changed)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    })
}

/// The error of a template, with its line within the template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("{}", describe(.0))]
    Jinja(#[from] Error),
    #[error("{0}")]
    TooMuch(String),
    /// The error's text, from the process that rendered it.
    #[error("{0}")]
    InChild(String),
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl From<TooMuch> for TemplateError {
    fn from(TooMuch(why): TooMuch) -> TemplateError {
        TemplateError::TooMuch(why)
    }
}

fn describe(error: &Error) -> String {
    let line = error.line().map(|line| format!(" (line {line} of the template)"));
    let what = match error.kind() {
        ErrorKind::OutOfFuel => format!("it uses more than {FUEL} instructions"),
        ErrorKind::WriteFailure => format!("it writes more than {MAX_RENDERED_BYTES} bytes"),
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    what + &line.unwrap_or_default()
}

struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED_BYTES {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The first match: its first group if the pattern has one, otherwise the whole match. Undefined
/// without a match, so that it is an error unless the template uses `| default(…)`.
///
/// As in Python, `$` also matches before a line break at the end of the text: output nearly always
/// ends with one.
fn regex_find(text: &str, pattern: &str) -> Result<Value, Error> {
    let pattern = compiled(pattern, text)?;
    let without_break = text.strip_suffix('\n').unwrap_or(text);
    let found = pattern.captures(without_break).or_else(|| pattern.captures(text));
    Ok(found.as_ref().and_then(wanted_group).map_or(Value::UNDEFINED, Value::from))
}

fn wanted_group<'t>(found: &Captures<'t>) -> Option<&'t str> {
    found.get(usize::from(found.len() > 1)).map(|group| group.as_str())
}

/// Replaces every match; `$1` in the replacement is the first group.
fn regex_replace(text: &str, pattern: &str, replacement: &str) -> Result<String, Error> {
    let replaced = compiled(pattern, text)?.replace_all(text, replacement).into_owned();
    if replaced.len() > MAX_RENDERED_BYTES {
        let why = format!("the result of `regex_replace` has more than {MAX_RENDERED_BYTES} bytes");
        return Err(Error::new(ErrorKind::InvalidOperation, why));
    }
    Ok(replaced)
}

/// The compiled patterns of the template that this thread renders.
#[derive(Debug, Default)]
struct Patterns {
    compiled: HashMap<String, Regex>,
    searched_bytes: usize,
}

thread_local! {
    static PATTERNS: RefCell<Patterns> = RefCell::default();
}

/// Compiles a pattern and counts the text that it will search.
fn compiled(pattern: &str, text: &str) -> Result<Regex, Error> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidOperation, why);
    PATTERNS.with_borrow_mut(|patterns| {
        patterns.searched_bytes = patterns.searched_bytes.saturating_add(text.len());
        if patterns.searched_bytes > MAX_SEARCHED_BYTES {
            return Err(invalid(format!(
                "patterns look through more than {MAX_SEARCHED_BYTES} bytes"
            )));
        }
        if let Some(known) = patterns.compiled.get(pattern) {
            return Ok(known.clone());
        }
        if patterns.compiled.len() == MAX_PATTERNS {
            return Err(invalid(format!("it has more than {MAX_PATTERNS} patterns")));
        }
        let Pattern { regex, .. } = Pattern::compile(pattern).map_err(invalid)?;
        patterns.compiled.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    })
}

#[cfg(test)]
mod tests {
    use minijinja::context;
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    fn result(source: &str) -> String {
        let names = context! {
            stdout => "primes=[2, 3]\nsum=5\n",
            empty => "",
            function_result => Serde(json!({ "temperature": 21, "large": 2_000_000_000 })),
        };
        match Template::new(source.into(), false).and_then(|template| template.render(&names)) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn holes_are_filled() {
        for (source, expected) in [
            ("no holes\n", "no holes\n"),
            ("{{ function_result.temperature }} °C", "21 °C"),
            ("{{ stdout | regex_find('[0-9]+$') }}", "5"),
            ("{{ stdout | regex_find('primes=(.*)') }}", "[2, 3]"),
            ("{{ stdout | regex_find('none') | default('nothing') }}", "nothing"),
            ("{{ function_result.temperature * 2 }}", "42"),
            ("{{ stdout | regex_find('sum=(.*)') | int * function_result.temperature }}", "105"),
            ("{{ '-' * 10 }}", "----------"),
            ("{{ '-' * (stdout | trim | length) }}", "-------------------"),
            ("{{ stdout | indent(function_result.temperature) | length }}", "40"),
            (
                "{% for l in stdout | lines %}{{ loop.index * 10 }}{{ l ~ ';' }}{% endfor %}",
                "10primes=[2, 3];20sum=5;",
            ),
            (
                "{% set a, b = stdout | trim | split('\n') %}{{ [b, a] | tojson(indent=2) | length }}",
                "32",
            ),
            (
                "{% if stdout %}{% set x = '%-5s|%03d' | format('a', 7) %}{{ x }}{% endif %}",
                "a    |007",
            ),
            ("{% for n in range(3) %}{{ n + 1 }},{% endfor %}", "1,2,3,"),
            ("{{ stdout | regex_replace('([a-z]+)=', '$1: ') }}", "primes: [2, 3]\nsum: 5\n"),
        ] {
            assert_eq!(result(source), expected, "{source}");
        }
    }

    #[test]
    fn only_variables_and_their_members_are_inserted_without_a_check() {
        for source in ["", "a {b} {", "{{ stdout }}", "{{a.b.c}} {# x #} {{ d }}"] {
            assert!(inserts_only(source), "{source}");
        }
        for source in [
            "{{ a in b }}",
            "{{ a == b }}",
            "{{ f(a) }}",
            "{{ a[0] }}",
            "{{ not a }}",
            "{{ (a) }}",
            "{{ 1 }}",
            "{{ a | trim }}",
            "{{ a ~ b }}",
            "{% if a %}{% endif %}",
            "{{ a",
        ] {
            assert!(!inserts_only(source), "{source}");
        }
    }

    #[test]
    fn the_single_braces_of_python_are_left_alone() {
        let code = "squares = {n: n * n for n in {1, 2}}\nprint(f'{squares=}')  # {ok}\n";
        assert_eq!(result(code), code);
    }

    #[test]
    fn a_template_that_cannot_be_rendered_is_an_error_with_its_reason() {
        for (source, expected) in [
            ("{{ stout }}", "undefined"),
            ("{{ stdout | regex_find('none') }}", "undefined"),
            ("{{ stdout | regex_find('(') }}", "regex parse error"),
            ("a\n{{ stdout", "line 2"),
            ("{% for n in range(90000) %}{{ n + n }}{% endfor %}", "more than 100000 instructions"),
            ("{{ '%5000000s' | format(empty) }}", "more than 4194304 bytes"),
            ("{{ 'x' * 5000000000 }}", "more than 67108864 bytes"),
            ("{{ '%900000000s' | format('x') }}", "more than 67108864 bytes"),
            ("{{ '%*s' | format(900000000, 'x') }}", "more than 67108864 bytes"),
            ("{{ 'a\nb' | indent(500000000) }}", "more than 67108864 bytes"),
            ("{{ 'a\nb' | indent(function_result.large) }}", "more than 67108864 bytes"),
            ("{{ stdout | tojson(indent=300000000) }}", "more than 67108864 bytes"),
            ("{{ [1] * 100000000 }}", "more than 67108864 bytes"),
            ("{{ [1] * function_result.large }}", "more than 67108864 bytes"),
            ("{{ stdout * (function_result.large | int) }}", "more than 67108864 bytes"),
            ("{% set a = 'a' * 10000 %}{{ a | replace('a', a) }}", "more than 67108864 bytes"),
            (
                "{% set a = 'a' * 10000 %}{{ a | regex_replace('a', a) }}",
                "more than 67108864 bytes",
            ),
            ("{% set a = 'a' * 10000 %}{{ (a | list) | join(a) }}", "more than 67108864 bytes"),
            (
                &format!("{{% set a = stdout %}}{}{{{{ a }}}}", "{% set a = a ~ a %}".repeat(40)),
                "more than 67108864 bytes",
            ),
            (
                &format!(
                    "{{% set a = [1] %}}{}{{{{ a | length }}}}",
                    "{% set a = [a, a] %}".repeat(40)
                ),
                "more than 67108864 bytes",
            ),
            (
                &format!(
                    "{{% set x = stdout %}}{}{{{{ x }}}}{}",
                    "{% for x in [x ~ x] %}".repeat(40),
                    "{% endfor %}".repeat(40)
                ),
                "more than 67108864 bytes",
            ),
            (
                "{% set a %}{% for n in range(30000) %}{{ stdout }}{% endfor %}{% endset %}",
                "only `for`",
            ),
            ("{% filter upper %}a{% endfilter %}", "only `for`"),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "only `for`"),
            ("{% set a = namespace(x=1) %}", "the function `namespace`"),
            ("{{ stdout | regex_find('\\\\w{200}{200}') }}", "size limit"),
            (
                "{% for n in range(200) %}{{ stdout | regex_find('a?' ~ n) | default('') }}{% endfor %}",
                "more than 100 patterns",
            ),
            (&format!("{{{{ {} 1 }}}}", "not ".repeat(20_000)), "more than 200 operators"),
            (&format!("{{{{ {}1 }}}}", "-".repeat(20_000)), "more than 200 operators"),
            (
                &format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
                "more than 200 operators",
            ),
            (&format!("{{{{ '}}}}' {} }}}}", "~ 1".repeat(20_000)), "more than 200 operators"),
            (&format!("{{{{ a{} }}}}", ".a".repeat(20_000)), "more than 200 operators"),
            (&format!("{{{{ a{} }}}}", "|trim".repeat(20_000)), "more than 200 operators"),
            (&"{% if 1 %}".repeat(20_000), "more than 50 statements"),
            (&format!("{{% if 1 %}}{}", "{% elif 1 %}".repeat(20_000)), "more than 50 statements"),
        ] {
            let rendered = result(source);
            assert!(rendered.starts_with("error:") && rendered.contains(expected), "{rendered}");
        }
    }

    #[test]
    fn raw_is_left_untouched() {
        let code = "print(f'{{braces}} {1 + 1}')";
        let template = Template::new(code.into(), true).expect("raw text has no syntax");
        assert_eq!(template.render(&Value::UNDEFINED).expect("nothing to fill"), code);
    }

    #[test]
    fn strings_anywhere_in_arguments_are_templates() {
        let json = json!({ "days": 3, "cities": [{ "name": "{{ city }}" }] });
        let arguments = ArgumentTemplate::new(json, false).expect("valid");
        assert_eq!(
            arguments.render(&context! { city => "Rome" }).expect("can be filled"),
            json!({ "days": 3, "cities": [{ "name": "Rome" }] })
        );
        assert!(ArgumentTemplate::new(json!(["{{ city"]), false).is_err());
    }
}
