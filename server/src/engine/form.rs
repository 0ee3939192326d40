//! The form that an answer was asked for in: JSON that fits a schema.

use serde_json::Value;

/// What an answer is checked against.
#[derive(Debug)]
pub struct Form {
    /// Absent where any JSON will do.
    schema: Option<jsonschema::Validator>,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotASchema(String);

impl Form {
    /// The form that the client's `generation_config` asks for, if it asks for one.
    pub fn of(generation_config: &Value) -> Result<Option<Form>, NotASchema> {
        let Some(mime_type) = generation_config.get("response_mime_type") else {
            return Ok(None);
        };
        if mime_type != "application/json" {
            return Ok(None);
        }
        let schema = generation_config.get("response_json_schema");
        let schema = schema.map(jsonschema::validator_for).transpose();
        Ok(Some(Form { schema: schema.map_err(|error| NotASchema(error.to_string()))? }))
    }

    /// The JSON text of an answer, or what is wrong with it. Models like to wrap it in a block.
    pub fn check<'a>(&self, answer: &'a str) -> Result<&'a str, String> {
        let json = unwrapped(answer.trim());
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("it is no JSON: {error}"))?;
        let Some(error) = self.schema.as_ref().and_then(|schema| schema.iter_errors(&value).next())
        else {
            return Ok(json);
        };
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the whole".to_owned() } else { place };
        Err(format!("at {place}: {error}"))
    }
}

/// What the model is told about an answer that does not fit.
pub fn complaint(why: &str) -> String {
    format!(
        "Your answer does not have the form that was asked for: {why}. Answer once more, with \
         nothing but JSON that fits the schema."
    )
}

fn unwrapped(text: &str) -> &str {
    let block = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let inside = block.map(|block| block.strip_prefix("json").unwrap_or(block));
    inside.map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(schema: Value) -> Form {
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        Form::of(&config).expect("it is a schema").expect("there is one")
    }

    #[test]
    fn an_answer_fits_or_is_told_why_not() {
        let form = form(json!({"type": "object", "properties": {"n": {"type": "integer"}}}));
        assert_eq!(form.check(" {\"n\": 1}\n"), Ok("{\"n\": 1}"));
        assert_eq!(form.check("```json\n{\"n\": 1}\n```"), Ok("{\"n\": 1}"));
        let why = form.check("{\"n\": \"one\"}").expect_err("it is a string");
        assert!(why.starts_with("at /n: "), "{why}");
        let why = form.check("Well, 1.").expect_err("it is prose");
        assert!(why.starts_with("it is no JSON: "), "{why}");
    }

    #[test]
    fn what_asks_for_no_form_has_none() {
        for config in [json!(null), json!({}), json!({"response_mime_type": "text/plain"})] {
            assert!(Form::of(&config).expect("there is no schema").is_none(), "{config}");
        }
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": {"type": 7}});
        assert!(Form::of(&config).is_err());
    }
}
