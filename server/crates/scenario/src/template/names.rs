//! The variables, filters and tests of templates, and the detection of unknown ones.

use std::collections::HashSet;

use minijinja::machinery::{Token, tokenize};
use minijinja::{ErrorKind, Value};

use crate::nearest::nearest;
use crate::template::JINJA;

/// All variables that [`crate::condition::conversation::Conversation::names`] can define.
pub const NAMES: [&str; 11] = [
    "input",
    "turn",
    "model",
    "files",
    "result",
    "stdout",
    "images",
    "is_error",
    "results",
    "function_result",
    "function_results",
];

/// Filters that are suggested for similar names. There are more.
const FILTERS: [&str; 24] = [
    "regex_find",
    "regex_replace",
    "default",
    "first",
    "float",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "replace",
    "round",
    "select",
    "sort",
    "split",
    "sum",
    "title",
    "tojson",
    "trim",
    "upper",
];
const TESTS: [&str; 11] = [
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "false",
    "in",
    "none",
    "odd",
    "startingwith",
    "true",
    "undefined",
];

/// An unknown name in a template.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Line within the template, starting with 1.
    pub line: usize,
    pub message: String,
    pub hint: Option<String>,
}

/// All unknown names in a template. Invalid templates have none.
pub fn unknown(source: &str) -> Vec<Unknown> {
    let Ok(template) = JINJA.template_from_str(source) else { return Vec::new() };
    let globals: HashSet<&str> = JINJA.globals().map(|(name, _)| name).collect();
    let undeclared = template.undeclared_variables(false);
    let mut found = Vec::new();
    let mut reported = HashSet::new();
    let (mut before, mut before_that): (Option<Token<'_>>, Option<Token<'_>>) = (None, None);
    for next in tokenize(source, false, JINJA.syntax().clone()) {
        let Ok((token, span)) = next else { break };
        if let Token::Ident(name) = token {
            let is_not = matches!(before, Some(Token::Ident("not")));
            let last = if is_not { &before_that } else { &before };
            let (kind, is_known, known): (_, _, &[&str]) = match (last, &before) {
                (_, Some(Token::Pipe)) => ("filter", is_filter(name), &FILTERS),
                (Some(Token::Ident("is")), _) if name != "not" => ("test", is_test(name), &TESTS),
                (_, Some(Token::Dot)) => ("", true, &[]),
                _ => {
                    let is_unknown = undeclared.contains(name)
                        && !NAMES.contains(&name)
                        && !globals.contains(name);
                    ("variable", !is_unknown, &NAMES)
                }
            };
            if !is_known && reported.insert((kind, name.to_owned())) {
                found.push(Unknown {
                    line: usize::from(span.start_line).max(1),
                    message: format!("unknown {kind} `{name}`"),
                    hint: Some(match nearest(name, known.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None if kind == "variable" => format!("there are {}", NAMES.join(", ")),
                        None => "filters and tests are those of Jinja, with `regex_find` and \
                                 `regex_replace`"
                            .to_owned(),
                    }),
                });
            }
        }
        before_that = before.replace(token);
    }
    found
}

fn is_filter(name: &str) -> bool {
    let called = JINJA.empty_state().apply_filter(name, &[Value::UNDEFINED]);
    !called.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter)
}

fn is_test(name: &str) -> bool {
    let called = JINJA.empty_state().perform_test(name, &[Value::UNDEFINED]);
    !called.is_err_and(|error| error.kind() == ErrorKind::UnknownTest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_reported_with_a_suggestion() {
        for (source, message, hint) in [
            ("{{ stdot }}", "unknown variable `stdot`", "did you mean `stdout`?"),
            ("{{ stdout | regexfind('a') }}", "unknown filter `regexfind`", "`regex_find`"),
            ("{{ stdout | xyz }}", "unknown filter `xyz`", "those of Jinja"),
            ("{% if stdout is definde %}a{% endif %}", "unknown test `definde`", "`defined`"),
            ("{% if a is not b %}{% endif %}", "unknown variable `a`", "there are input"),
            ("{{ lookup('x') }}", "unknown variable `lookup`", "there are input"),
            ("{{ name.stdout }}", "unknown variable `name`", "there are"),
            ("{% for x in fils %}{{ x }}{% endfor %}", "unknown variable `fils`", "`files`"),
        ] {
            let found = unknown(source);
            let first = found.first().unwrap_or_else(|| panic!("{source} has nothing"));
            assert_eq!(first.message, message, "{source}");
            assert!(first.hint.as_ref().is_some_and(|it| it.contains(hint)), "{source}: {first:?}");
        }
        let found = unknown("a\nb {{ stdot }}\n{{ stdout | x | y }} {{ stdot }}");
        let lines: Vec<usize> = found.iter().map(|unknown| unknown.line).collect();
        assert_eq!(lines, [2, 3, 3], "each once: {found:?}");
    }

    #[test]
    fn known_names_are_not_reported() {
        for source in [
            "{{ stdout | regex_find('[0-9]+$') | default('none') | trim }}",
            "{% for file in files %}{{ loop.index }}{{ file.name | upper }}{% endfor %}",
            "{% set x = 1 %}{{ x }} {{ range(3) | list }} {{ namespace }}",
            "{% if is_error is defined and not is_error %}{{ results[0].stdout }}{% endif %}",
            "{{ 7 is not odd }} {{ function_results | map(attribute='a') | join(', ') }}",
            "{{ function_result.stdot }} plain stdot | nofilter",
            "{{ broken",
        ] {
            assert_eq!(unknown(source), [], "{source}");
        }
    }
}
