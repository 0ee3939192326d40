//! Filters of documents by their metadata, such as `genre = "fiction" AND year >= 1990`.
//!
//! ```text
//! filter  = terms { OR terms }
//! terms   = factor { [AND] factor }
//! factor  = [NOT | -] ( "(" filter ")" | name operator value )
//! ```

use std::collections::BTreeMap;

/// Maximum length of a filter.
pub const MAX_FILTER_BYTES: usize = 4096;
/// Maximum depth of its parentheses.
const MAX_DEPTH: usize = 32;

/// The metadata of a document.
pub type Metadata = BTreeMap<String, MetadataValue>;

#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    Text(String),
    Number(f64),
    Texts(Vec<String>),
}

/// A condition on the metadata of documents.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare { name: String, operator: Operator, value: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// One of a list, or the value itself.
    Has,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("it has more than {MAX_FILTER_BYTES} bytes")]
    TooLong,
    #[error("its parentheses are nested too deeply")]
    TooDeep,
    #[error("expected {wanted} at byte {at}")]
    Syntax { wanted: &'static str, at: usize },
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
    Minus,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(FilterError::TooLong);
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len() };
        let filter = parser.any(0)?;
        if parser.next < parser.tokens.len() {
            return Err(parser.expected("the end"));
        }
        Ok(filter)
    }

    pub fn matches(&self, metadata: &Metadata) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|filter| filter.matches(metadata)),
            Filter::Any(filters) => filters.iter().any(|filter| filter.matches(metadata)),
            Filter::Not(filter) => !filter.matches(metadata),
            Filter::Compare { name, operator, value } => {
                metadata.get(name).is_some_and(|of| compare(of, *operator, value))
            }
        }
    }
}

fn compare(of: &MetadataValue, operator: Operator, value: &str) -> bool {
    let order = match of {
        MetadataValue::Texts(texts) => {
            let has = texts.iter().any(|text| text == value);
            return match operator {
                Operator::Has | Operator::Equal => has,
                Operator::NotEqual => !has,
                _ => false,
            };
        }
        MetadataValue::Text(text) => Some(text.as_str().cmp(value)),
        MetadataValue::Number(number) => {
            value.parse().ok().and_then(|value: f64| number.partial_cmp(&value))
        }
    };
    match operator {
        Operator::Equal | Operator::Has => order.is_some_and(|order| order.is_eq()),
        Operator::NotEqual => order.is_none_or(|order| order.is_ne()),
        Operator::Less => order.is_some_and(|order| order.is_lt()),
        Operator::LessOrEqual => order.is_some_and(|order| order.is_le()),
        Operator::Greater => order.is_some_and(|order| order.is_gt()),
        Operator::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth > MAX_DEPTH {
            return Err(FilterError::TooDeep);
        }
        let mut filters = vec![self.all(depth)?];
        while self.takes_word("OR") {
            filters.push(self.all(depth)?);
        }
        Ok(one_or(filters, Filter::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filters = vec![self.factor(depth)?];
        loop {
            let goes_on = match self.peek() {
                None | Some(Token::Close) => false,
                Some(Token::Word(word)) if word == "OR" => false,
                Some(_) => true,
            };
            if !goes_on {
                return Ok(one_or(filters, Filter::All));
            }
            self.takes_word("AND");
            filters.push(self.factor(depth)?);
        }
    }

    fn factor(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if self.takes_word("NOT") || self.takes(&Token::Minus) {
            if depth >= MAX_DEPTH {
                return Err(FilterError::TooDeep);
            }
            return Ok(Filter::Not(Box::new(self.factor(depth + 1)?)));
        }
        if self.takes(&Token::Open) {
            let filter = self.any(depth + 1)?;
            return if self.takes(&Token::Close) {
                Ok(filter)
            } else {
                Err(self.expected("a ')'"))
            };
        }
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err(self.expected("a name"));
        };
        self.next += 1;
        let Some(Token::Operator(operator)) = self.peek().cloned() else {
            return Err(self.expected("an operator"));
        };
        self.next += 1;
        let minus = self.takes(&Token::Minus);
        let value = match self.peek().cloned() {
            Some(Token::Quoted(text)) if !minus => text,
            Some(Token::Word(word)) if minus => format!("-{word}"),
            Some(Token::Word(word)) => word,
            _ => return Err(self.expected("a value")),
        };
        self.next += 1;
        Ok(Filter::Compare { name, operator, value })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.next += usize::from(is_next);
        is_next
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.next += usize::from(is_next);
        is_next
    }

    fn expected(&self, wanted: &'static str) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        FilterError::Syntax { wanted, at }
    }
}

fn one_or(mut filters: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        last => many(filters.into_iter().chain(last).collect()),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    let mut tokens = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let mut with_equals = |with: Operator, without: Operator| {
            let has = letters.next_if(|(_, next)| *next == '=').is_some();
            Token::Operator(if has { with } else { without })
        };
        let token = match letter {
            letter if letter.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '-' => Token::Minus,
            ':' => Token::Operator(Operator::Has),
            '=' => with_equals(Operator::Equal, Operator::Equal),
            '<' => with_equals(Operator::LessOrEqual, Operator::Less),
            '>' => with_equals(Operator::GreaterOrEqual, Operator::Greater),
            '!' => match letters.next_if(|(_, next)| *next == '=') {
                Some(_) => Token::Operator(Operator::NotEqual),
                None => return Err(FilterError::Syntax { wanted: "'!='", at }),
            },
            quote @ ('"' | '\'') => {
                let mut quoted = String::new();
                loop {
                    match letters.next() {
                        Some((_, letter)) if letter == quote => break,
                        Some((_, '\\')) => quoted.extend(letters.next().map(|(_, letter)| letter)),
                        Some((_, letter)) => quoted.push(letter),
                        None => return Err(FilterError::Syntax { wanted: "a closing quote", at }),
                    }
                }
                Token::Quoted(quoted)
            }
            first => {
                let mut word = first.to_string();
                let ends = |letter: char| letter.is_whitespace() || "()=<>!:\"'".contains(letter);
                while let Some((_, letter)) = letters.next_if(|(_, letter)| !ends(*letter)) {
                    word.push(letter);
                }
                Token::Word(word)
            }
        };
        tokens.push((at, token));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        BTreeMap::from([
            ("genre".to_owned(), MetadataValue::Text("fiction".into())),
            ("year".to_owned(), MetadataValue::Number(1990.0)),
            ("tags".to_owned(), MetadataValue::Texts(vec!["a".into(), "b c".into()])),
        ])
    }

    #[test]
    fn a_filter_compares_metadata() {
        for (filter, wanted) in [
            ("genre = \"fiction\"", true),
            ("genre='fiction'", true),
            ("genre = fiction", true),
            ("genre != \"fiction\"", false),
            ("year >= 1990", true),
            ("year > 1990", false),
            ("year > -1", true),
            ("year = 1990.0", true),
            ("tags:\"b c\"", true),
            ("tags:c", false),
            ("missing = 1", false),
            ("NOT missing = 1", true),
            ("-genre = x", true),
            ("genre = x OR year < 2000", true),
            ("genre = x OR year < 2000 AND tags:z", false),
            ("(genre = x OR year < 2000) tags:a", true),
            ("NOT (genre = x OR year < 2000)", false),
            ("year = \"1990\"", true),
            ("year = x", false),
            ("genre = \"fic\\\"tion\"", false),
        ] {
            let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
            assert_eq!(filter.matches(&metadata()), wanted, "{filter:?}");
        }
    }

    #[test]
    fn an_invalid_filter_names_the_place() {
        for (filter, wanted) in [
            ("", "expected a name at byte 0"),
            ("genre", "expected an operator at byte 5"),
            ("genre =", "expected a value at byte 7"),
            ("genre = \"x", "expected a closing quote at byte 8"),
            ("(genre = x", "expected a ')' at byte 10"),
            ("genre = x)", "expected the end at byte 9"),
            ("genre ! x", "expected '!=' at byte 6"),
            ("genre = x OR", "expected a name at byte 12"),
        ] {
            let error = Filter::parse(filter).expect_err(filter);
            assert_eq!(error.to_string(), wanted, "{filter}");
        }
        assert_eq!(Filter::parse(&"a".repeat(MAX_FILTER_BYTES + 1)), Err(FilterError::TooLong));
        for opening in ["(", "NOT "] {
            let deep = format!("{}a = 1", opening.repeat(500));
            assert_eq!(Filter::parse(&deep), Err(FilterError::TooDeep), "{opening}");
        }
    }
}
