//! Templates that cost no more than the texts that they read. They are rendered in this process.
//!
//! A list of what is permitted: an estimate of everything else was wrong each time it was tried.

use minijinja::Value;
use minijinja::machinery::ast::{CallArg, Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::value::ValueKind;

use crate::template::syntax;

/// Filters whose time and result are at most proportional to the text before them.
const FILTERS: [&str; 15] = [
    "abs",
    "capitalize",
    "d",
    "default",
    "first",
    "float",
    "int",
    "last",
    "length",
    "lower",
    "regex_find",
    "round",
    "title",
    "trim",
    "upper",
];
/// Maximum length of a constant in the arguments of a filter.
const MAX_CONSTANT_BYTES: usize = 1000;
/// A pattern takes up to this many times as long as another filter: see [`crate::pattern`].
const COST_OF_PATTERN: u64 = 64;
/// Assumed size of a value that is no text.
const SCALAR_BYTES: u64 = 64;

/// Bytes that the filters of a simple template read with these variables. `None` if it is not simple: it has
/// other statements or operators, or filters lists.
pub fn work(source: &str, names: &Value) -> Option<u64> {
    let Stmt::Template(template) = parse(source, "", syntax()).ok()? else { return None };
    let of_statement = |statement: &Stmt<'_>| match statement {
        Stmt::EmitRaw(_) => Some(0),
        Stmt::EmitExpr(emit) => of_filters(&emit.expr, names),
        _ => None,
    };
    template.children.iter().map(of_statement).sum()
}

/// The work of a variable or a member of one, and of the filters after it.
fn of_filters(expression: &Expr<'_>, names: &Value) -> Option<u64> {
    let Expr::Filter(filter) = expression else { return variable(expression, names).map(|_| 0) };
    if !FILTERS.contains(&filter.name) || !filter.args.iter().all(is_short_constant) {
        return None;
    }
    let (mut first, before) = (filter.expr.as_ref()?, of_filters(filter.expr.as_ref()?, names)?);
    while let Expr::Filter(earlier) = first {
        first = earlier.expr.as_ref()?;
    }
    let value = variable(first, names)?;
    let bytes = match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len) as u64,
        ValueKind::Number | ValueKind::Bool | ValueKind::None | ValueKind::Undefined => {
            SCALAR_BYTES
        }
        ValueKind::Seq if filter.name == "length" => SCALAR_BYTES,
        _ => return None,
    };
    let cost = if filter.name == "regex_find" { COST_OF_PATTERN } else { 1 };
    Some(before + bytes * cost)
}

fn is_short_constant(argument: &CallArg<'_>) -> bool {
    let CallArg::Pos(Expr::Const(constant)) = argument else { return false };
    match constant.value.kind() {
        ValueKind::String => constant.value.as_str().map_or(0, str::len) <= MAX_CONSTANT_BYTES,
        kind => matches!(kind, ValueKind::Number | ValueKind::Bool | ValueKind::None),
    }
}

/// The value of a variable, or of a member of one. An index into a text would count its letters.
fn variable(expression: &Expr<'_>, names: &Value) -> Option<Value> {
    match expression {
        Expr::Var(name) => names.get_attr(name.id).ok(),
        Expr::GetAttr(part) => variable(&part.expr, names)?.get_attr(part.name).ok(),
        Expr::GetItem(part) => {
            let (whole, Expr::Const(index)) = (variable(&part.expr, names)?, &part.subscript_expr)
            else {
                return None;
            };
            let has_members = matches!(whole.kind(), ValueKind::Seq | ValueKind::Map);
            has_members.then(|| whole.get_item(&index.value).ok()).flatten()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_work_of_filters_is_the_text_that_they_read() {
        let names = context! {
            stdout => "12345",
            n => 7,
            results => [context! { stdout => "abc" }],
            function_result => Serde(json!({"text": "abcd", "list": vec![0; 9]})),
        };
        for (source, wanted) in [
            ("text", Some(0)),
            ("{{ stdout }}{{ results[0].stdout }}", Some(0)),
            ("{{ stdout | trim }}", Some(5)),
            ("{{ stdout | trim | upper }} {{ n | int }}", Some(10 + 64)),
            (
                "{{ results[0].stdout | regex_find('b') | default('x') }}",
                Some(3 * COST_OF_PATTERN + 3),
            ),
            ("{{ function_result.text | length }}", Some(4)),
            ("{{ results | length }}", Some(64)),
        ] {
            assert_eq!(work(source, &names), wanted, "{source}");
        }
        for source in [
            "{{ stdout * 2 }}",
            "{{ stdout ~ n }}",
            "{{ n in stdout }}",
            "{{ stdout[0] }}",
            "{{ function_result.text[0][0] }}",
            "{{ function_result.list | first }}",
            "{{ function_result.list | tojson }}",
            "{{ stdout | replace('1', stdout) }}",
            "{{ stdout | default(stdout) }}",
            "{{ stdout | list }}",
            "{{ results | map('replace', stdout, '') }}",
            "{{ results | select('in', results) }}",
            "{% if n %}{% endif %}",
            "{% for x in results %}{% endfor %}",
        ] {
            assert_eq!(work(source, &names), None, "{source}");
        }
        let long = format!("{{{{ stdout | default('{}') }}}}", "x".repeat(MAX_CONSTANT_BYTES + 1));
        assert_eq!(work(&long, &names), None);
    }
}
