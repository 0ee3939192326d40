//! Upper bounds for the size of template results, computed before rendering.
//!
//! Fuel limits the number of instructions, but not the size of their results: `'x' * n`, a filter
//! with a width, or a text that is repeatedly appended to itself can exceed the memory. Here each
//! expression gets the maximum number of bytes of its result, computed from the sizes of its
//! operands. Unknown variables are assumed to be short.

use std::collections::HashMap;

use minijinja::Value;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::value::ValueKind;

use crate::template::syntax;

/// Maximum size of any value within a template.
pub const MAX_VALUE_BYTES: u64 = 64 << 20;
/// Maximum number of operators in one pair of braces. Each can add a nesting level to the parser.
const MAX_OPERATORS: usize = 200;
/// Maximum nesting depth of statements.
const MAX_DEPTH: usize = 50;
/// Size of a list element in addition to its text.
const ELEMENT_BYTES: u64 = 40;
/// Size of a value that is neither a text nor a list.
const SCALAR_BYTES: u64 = 64;
/// Of `range`, which minijinja limits itself.
const RANGE_BYTES: u64 = 100_000 * ELEMENT_BYTES;

/// Filters whose result is a number or a boolean.
const SCALAR: [&str; 7] = ["int", "float", "abs", "round", "sum", "bool", "wordcount"];
/// Filters that return lists.
const LISTS: [&str; 18] = [
    "list",
    "split",
    "lines",
    "batch",
    "slice",
    "sort",
    "map",
    "unique",
    "zip",
    "chain",
    "items",
    "dictsort",
    "groupby",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "reverse",
];
/// Statements and functions that store output or repeat it.
const REFUSED: &str = "only `for`, `if`, `set … = …` and `with` can be used in a scenario";

/// Why a template is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMuch(pub String);

/// Maximum size of the result of an expression.
#[derive(Debug, Clone, Copy)]
struct Extent {
    bytes: u64,
    is_scalar: bool,
    /// The value, if it is a known number.
    number: Option<u64>,
}

impl Extent {
    const SCALAR: Extent = Extent { bytes: SCALAR_BYTES, is_scalar: true, number: None };

    fn text(bytes: u64) -> Extent {
        Extent { bytes: bytes.max(1), is_scalar: false, number: None }
    }

    fn of(value: &Value) -> Extent {
        match value.kind() {
            ValueKind::Number => {
                Extent { number: value.as_usize().map(|n| n as u64), ..Extent::SCALAR }
            }
            ValueKind::String => Extent::text(value.as_str().map_or(0, str::len) as u64),
            ValueKind::Undefined | ValueKind::None | ValueKind::Bool => Extent::SCALAR,
            _ => Extent::text(value.to_string().len() as u64),
        }
    }

    fn or(self, other: Extent) -> Extent {
        Extent {
            bytes: self.bytes.max(other.bytes),
            is_scalar: self.is_scalar && other.is_scalar,
            number: self.number.filter(|number| other.number == Some(*number)),
        }
    }
}

/// Checks the nesting of a source. The parser's stack overflows on deeply nested templates.
pub fn check_nesting(source: &str) -> Result<(), TooMuch> {
    let (mut operators, mut open, mut starts) = (0, Vec::new(), false);
    for token in tokenize(source, false, syntax()) {
        // The parser reports the error.
        let Ok((token, _)) = token else { return Ok(()) };
        match token {
            Token::VariableStart | Token::BlockStart => operators = 0,
            Token::Ident("for" | "if" | "with") if starts => open.push(1),
            // The parser nests it inside the preceding branch.
            Token::Ident("elif") if starts => {
                if let Some(levels) = open.last_mut() {
                    *levels += 1;
                }
            }
            Token::Ident("endfor" | "endif" | "endwith") if starts => drop(open.pop()),
            Token::Ident("not" | "and" | "or" | "if" | "else" | "is" | "in") => operators += 1,
            Token::TemplateData(_)
            | Token::Ident(_)
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::Comma
            | Token::Colon => {}
            _ => operators += 1,
        }
        starts = matches!(token, Token::BlockStart);
        let depth: usize = open.iter().sum();
        if operators > MAX_OPERATORS {
            return Err(TooMuch(format!(
                "there are more than {MAX_OPERATORS} operators in one pair of braces"
            )));
        }
        if depth > MAX_DEPTH {
            return Err(TooMuch(format!("more than {MAX_DEPTH} statements stand in one another")));
        }
    }
    Ok(())
}

/// Checks that no value of the template can become too large with these variables. Without
/// variables, only constants are checked.
pub fn check(source: &str, names: Option<&Value>) -> Result<(), TooMuch> {
    match parse(source, "", syntax()) {
        Ok(Stmt::Template(template)) => {
            TemplateReader { names, known: HashMap::new() }.all(&template.children)
        }
        _ => Ok(()), // the compiler reports the error
    }
}

struct TemplateReader<'n, 's> {
    names: Option<&'n Value>,
    /// Variables that the template has set.
    known: HashMap<&'s str, Extent>,
}

impl<'s> TemplateReader<'_, 's> {
    fn all(&mut self, statements: &[Stmt<'s>]) -> Result<(), TooMuch> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt<'s>) -> Result<(), TooMuch> {
        match statement {
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(emit) => self.of(&emit.expr).map(drop),
            Stmt::Template(template) => self.all(&template.children),
            Stmt::IfCond(branch) => {
                self.of(&branch.expr)?;
                self.all(&branch.true_body)?;
                self.all(&branch.false_body)
            }
            Stmt::Set(set) => {
                let extent = self.of(&set.expr)?;
                self.set(&set.target, extent);
                Ok(())
            }
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    let extent = self.of(value)?;
                    self.set(target, extent);
                }
                self.all(&with.body)
            }
            Stmt::ForLoop(each) if !each.recursive => {
                let extent = self.of(&each.iter)?;
                self.known.insert("loop", Extent::text(extent.bytes.saturating_mul(3)));
                let element = Extent { number: None, ..Extent::text(extent.bytes) };
                self.set(&each.target, element);
                if let Some(filter) = &each.filter_expr {
                    self.of(filter)?;
                }
                self.all(&each.body)?;
                self.all(&each.else_body)
            }
            _ => Err(TooMuch(REFUSED.to_owned())),
        }
    }

    /// The previous value may still apply.
    fn set(&mut self, target: &Expr<'s>, extent: Extent) {
        match target {
            Expr::Var(name) => {
                let known = self.known.entry(name.id).or_insert(extent);
                *known = known.or(extent);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.set(item, extent)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.set(item, extent)),
            _ => {}
        }
    }

    /// The maximum size of the expression, or an error if it exceeds the limit.
    fn of(&self, expression: &Expr<'s>) -> Result<Extent, TooMuch> {
        let mut extent = self.extent(expression)?;
        if self.names.is_none() && extent.is_scalar {
            extent.number = extent.number.or(Some(1));
        }
        if extent.bytes > MAX_VALUE_BYTES {
            return Err(TooMuch(format!(
                "a value in it could have more than {MAX_VALUE_BYTES} bytes"
            )));
        }
        Ok(extent)
    }

    fn extent(&self, expression: &Expr<'s>) -> Result<Extent, TooMuch> {
        if let Some(value) = self.value(expression) {
            return Ok(Extent::of(&value));
        }
        Ok(match expression {
            Expr::Const(constant) => Extent::of(&constant.value),
            Expr::Var(name) => match self.known.get(name.id) {
                Some(extent) => *extent,
                // An unknown variable, or an error.
                None => Extent { number: Some(1), ..Extent::text(1) },
            },
            Expr::GetAttr(part) => self.part(self.of(&part.expr)?),
            Expr::GetItem(part) => {
                self.of(&part.subscript_expr)?;
                self.part(self.of(&part.expr)?)
            }
            Expr::Slice(slice) => self.of(&slice.expr)?,
            Expr::UnaryOp(unary) => {
                self.of(&unary.expr)?;
                Extent::SCALAR
            }
            Expr::BinOp(both) => self.both(&both.op, self.of(&both.left)?, self.of(&both.right)?),
            Expr::Compare(compare) => {
                self.of(&compare.expr)?;
                compare.ops.iter().try_for_each(|op| self.of(&op.expr).map(drop))?;
                Extent::SCALAR
            }
            Expr::IfExpr(choice) => {
                self.of(&choice.test_expr)?;
                let right = self.of(&choice.true_expr)?;
                match &choice.false_expr {
                    Some(wrong) => right.or(self.of(wrong)?),
                    None => right,
                }
            }
            Expr::Test(test) => {
                self.of(&test.expr)?;
                self.arguments(&test.args)?;
                Extent::SCALAR
            }
            Expr::Filter(filter) => {
                let Some(of) = &filter.expr else { return Err(TooMuch(REFUSED.to_owned())) };
                if let ("map", Some(CallArg::Pos(inner))) = (filter.name, filter.args.first()) {
                    return self.mapped(self.of(of)?, inner, &filter.args[1..]);
                }
                let constant = self.value(of).and_then(|value| value.as_str().map(str::to_owned));
                let arguments = self.arguments(&filter.args)?;
                filtered(filter.name, self.of(of)?, &arguments, constant.as_deref())
            }
            Expr::Call(call) => self.call(&call.expr, &self.arguments(&call.args)?)?,
            Expr::List(list) => self.sum(&list.items)?,
            Expr::Tuple(tuple) => self.sum(&tuple.items)?,
            Expr::Map(map) => {
                let (keys, values) = (self.sum(&map.keys)?, self.sum(&map.values)?);
                Extent::text(keys.bytes.saturating_add(values.bytes))
            }
        })
    }

    /// The result of applying a filter to each element of a list.
    fn mapped(
        &self,
        of: Extent,
        filter: &Expr<'s>,
        arguments: &[CallArg<'s>],
    ) -> Result<Extent, TooMuch> {
        let name = self.value(filter);
        let Some(name) = name.as_ref().and_then(|name| name.as_str()) else {
            return Err(TooMuch("`map` needs the name of a filter".to_owned()));
        };
        let arguments = self.arguments(arguments)?;
        if name == "format" || name == "map" {
            return Err(TooMuch(format!("`{name}` cannot be mapped in a scenario")));
        }
        // An empty element still takes space.
        let all = Extent::text(of.bytes.saturating_mul(2));
        Ok(Extent::text(filtered(name, all, &arguments, None).bytes.max(all.bytes)))
    }

    /// The value, if it is a constant, a variable, or a part of one.
    fn value(&self, expression: &Expr<'s>) -> Option<Value> {
        match expression {
            Expr::Const(constant) => Some(constant.value.clone()),
            Expr::Var(name) if !self.known.contains_key(name.id) => {
                self.names?.get_attr(name.id).ok().filter(|value| !value.is_undefined())
            }
            Expr::GetAttr(part) => self.value(&part.expr)?.get_attr(part.name).ok(),
            Expr::GetItem(part) => {
                let item = self.value(&part.subscript_expr)?;
                self.value(&part.expr)?.get_item(&item).ok()
            }
            _ => None,
        }
    }

    fn part(&self, whole: Extent) -> Extent {
        Extent { number: self.names.is_none().then_some(1), ..Extent::text(whole.bytes) }
    }

    fn both(&self, op: &BinOpKind, left: Extent, right: Extent) -> Extent {
        let sum = left.bytes.saturating_add(right.bytes);
        match op {
            BinOpKind::Concat => Extent::text(sum),
            BinOpKind::Add if left.is_scalar && right.is_scalar => Extent::SCALAR,
            BinOpKind::Add => Extent { is_scalar: false, number: None, ..Extent::text(sum) },
            BinOpKind::Mul if left.is_scalar && right.is_scalar => Extent::SCALAR,
            BinOpKind::Mul => {
                // A factor that is not known can be any number.
                let times = |text: Extent, number: Extent| match number {
                    Extent { number: Some(number), .. } => {
                        text.bytes.max(ELEMENT_BYTES).saturating_mul(number)
                    }
                    _ => u64::MAX,
                };
                let bytes = match (left.is_scalar, right.is_scalar) {
                    (true, _) => times(right, left),
                    (_, true) => times(left, right),
                    _ => times(left, right).min(times(right, left)),
                };
                Extent::text(bytes)
            }
            BinOpKind::ScAnd | BinOpKind::ScOr => left.or(right),
            // `2 ** 1000000` is not a number: minijinja's have 128 bits.
            _ => Extent::SCALAR,
        }
    }

    fn call(&self, function: &Expr<'s>, arguments: &[Extent]) -> Result<Extent, TooMuch> {
        let sum = arguments.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.bytes));
        match function {
            Expr::Var(name) if self.known.contains_key(name.id) => {
                Err(TooMuch(format!("`{}` is no function", name.id)))
            }
            Expr::Var(name) if name.id == "range" => Ok(Extent::text(RANGE_BYTES)),
            Expr::Var(name) if name.id == "dict" => Ok(Extent::text(sum)),
            Expr::Var(name) => {
                Err(TooMuch(format!("the function `{}` cannot be used in a scenario", name.id)))
            }
            Expr::GetAttr(method) => {
                let whole = self.of(&method.expr)?;
                Ok(Extent::text(whole.bytes.saturating_add(sum).saturating_mul(ELEMENT_BYTES)))
            }
            _ => Err(TooMuch(REFUSED.to_owned())),
        }
    }

    fn arguments(&self, arguments: &[CallArg<'s>]) -> Result<Vec<Extent>, TooMuch> {
        let one = |argument: &CallArg<'s>| match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.of(value),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => Err(TooMuch(REFUSED.to_owned())),
        };
        arguments.iter().map(one).collect()
    }

    fn sum(&self, items: &[Expr<'s>]) -> Result<Extent, TooMuch> {
        let mut bytes = ELEMENT_BYTES;
        for item in items {
            bytes = bytes.saturating_add(self.of(item)?.bytes).saturating_add(ELEMENT_BYTES);
        }
        Ok(Extent::text(bytes))
    }
}

/// The result of a filter. `constant` is the value if it is a known text.
fn filtered(name: &str, of: Extent, arguments: &[Extent], constant: Option<&str>) -> Extent {
    let bytes = |at: usize| arguments.get(at).map_or(0, |extent| extent.bytes);
    let sum = arguments.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.bytes));
    let number = |extent: &Extent| extent.number.unwrap_or(u64::MAX);
    // The largest numeric argument of the filter; booleans count as small.
    let width = arguments.iter().filter(|extent| extent.is_scalar).map(number).max();
    let times = |count: u64| of.bytes.saturating_add(1).saturating_mul(count.saturating_add(1));
    match name {
        "length" | "count" => Extent { number: Some(of.bytes), ..Extent::SCALAR },
        name if SCALAR.contains(&name) => Extent::SCALAR,
        "trim" | "lower" | "upper" | "title" | "capitalize" | "first" | "last" | "min" | "max"
        | "string" | "attr" | "safe" | "regex_find" => {
            Extent { number: None, ..Extent::text(of.bytes.saturating_mul(3)) }
        }
        "default" | "d" => arguments.iter().fold(of, |most, extent| most.or(*extent)),
        "replace" => Extent::text(times(bytes(1))),
        // Each named group returns its match; all matches together are no longer than the text.
        "regex_replace" => Extent::text(times(bytes(1)).saturating_add(times(bytes(1)))),
        "join" => Extent::text(times(bytes(0))),
        "indent" => Extent::text(times(width.unwrap_or(4))),
        // Each line of it may be indented to the nesting depth of the JSON.
        "tojson" => Extent::text(times(6u64.saturating_add(width.unwrap_or(0).saturating_mul(64)))),
        "format" => match constant.map(widths) {
            Some(width) => Extent::text(width.saturating_add(times(1)).saturating_add(sum)),
            None => Extent::text(u64::MAX),
        },
        "e" | "escape" | "urlencode" => Extent::text(of.bytes.saturating_mul(6)),
        "pprint" => Extent::text(of.bytes.saturating_mul(64)),
        name if LISTS.contains(&name) => {
            let all = of.bytes.saturating_add(sum);
            let fill = width.filter(|_| matches!(name, "batch" | "slice")).unwrap_or(0);
            let bytes = all.saturating_add(fill.saturating_mul(ELEMENT_BYTES));
            // The elements hold no more text than before, but each takes space.
            if bytes.saturating_mul(ELEMENT_BYTES) > MAX_VALUE_BYTES {
                return Extent::text(u64::MAX);
            }
            Extent::text(bytes)
        }
        _ => Extent::text(of.bytes.saturating_add(sum).saturating_mul(64)),
    }
}

/// The sum of all widths and precisions of a format. A width that is an argument is unknown.
fn widths(format: &str) -> u64 {
    let mut sum = 0u64;
    for part in format.split('%').skip(1) {
        let spec = part.split(|c: char| c.is_ascii_alphabetic()).next().unwrap_or_default();
        let spec = spec.rsplit(')').next().unwrap_or_default();
        if spec.contains('*') {
            return u64::MAX;
        }
        for digits in spec.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty())
        {
            sum = sum.saturating_add(digits.parse().unwrap_or(u64::MAX));
        }
    }
    sum
}
