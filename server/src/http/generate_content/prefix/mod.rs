//! The beginning of a conversation that comes from a cached content.

use serde_json::Value;

use super::content::{self, ContentTurn};
use super::tool::{self, OfferedTools};
use crate::http::vertex::Dialect;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use domain::interaction::Tokens;

/// Messages of the real services.
const SET_TWICE: &str = "CachedContent can not be used with GenerateContent request setting \
                         system_instruction, tools or tool_config.\n\nProposed fix: move those values \
                         to CachedContent from GenerateContent request.";
const SET_TWICE_IN_VERTEX: &str = "Tool config, tools and system instruction should not be set in the \
                                   request when using cached content.";

/// What a request gets from a cached content.
#[derive(Debug, Default)]
pub struct CachedPrefix {
    pub turns: Vec<ContentTurn>,
    pub instruction: Option<String>,
    pub offer: OfferedTools,
    /// Its size, part of the prompt's.
    pub tokens: Tokens,
}

impl CachedPrefix {
    /// Parses the content, of an unknown size.
    pub fn read(content: Value, dialect: &Dialect) -> Result<CachedPrefix, WireError> {
        let mut fields = Node::root(content).object()?.camel()?;
        let empty = "A cached content needs 'contents' or 'systemInstruction'.";
        let turns = fields.take("contents").map(|node| content::turns(Some(node))).transpose()?;
        let instruction = fields.take("systemInstruction").map(content::instruction).transpose()?;
        let offer = tool::offer(fields.take("tools"), fields.take("toolConfig"), dialect)?;
        fields.done()?;
        if turns.is_none() && instruction.is_none() {
            return Err(WireError::Whole(empty.to_owned()));
        }
        let instruction = instruction.filter(|text| !text.is_empty());
        let turns = turns.unwrap_or_default();
        Ok(CachedPrefix { turns, instruction, offer, tokens: Tokens::default() })
    }
}

/// Rejects a request that names a cached content and sets what only that may have.
pub fn excludes(fields: &ObjectReader, names: &[&str], dialect: &Dialect) -> Result<(), WireError> {
    if names.iter().any(|name| fields.has_content(name)) {
        return Err(set_twice(dialect));
    }
    Ok(())
}

pub fn set_twice(dialect: &Dialect) -> WireError {
    let why = if dialect.is_vertex() { SET_TWICE_IN_VERTEX } else { SET_TWICE };
    WireError::Whole(why.to_owned())
}

/// The name of the cached content in the body of a request, or of one that is to be counted.
pub fn named(body: &Value) -> Option<&str> {
    name_of(body).or_else(|| {
        let names = ["generateContentRequest", "generate_content_request"];
        names.iter().find_map(|name| name_of(body.get(name)?))
    })
}

fn name_of(body: &Value) -> Option<&str> {
    ["cachedContent", "cached_content"].iter().find_map(|name| body.get(name)?.as_str())
}
