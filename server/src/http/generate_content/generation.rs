//! Derives a model's generation from its name, for rules of the service that depend on it.

use serde_json::Value;

use super::tool::OfferedTools;
use crate::http::wire::WireError;
use backend::BuiltIn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    BeforeThree,
    /// And later ones.
    Three,
}

impl Generation {
    /// Parses `gemini-2.5-flash`, `gemini-3-pro-preview` and the like; an alias is the newest
    /// model. Other names, such as those of tuned models, have no generation, and no such rule
    /// applies.
    pub fn of_model(name: &str) -> Option<Generation> {
        let name = name.to_ascii_lowercase();
        let rest = name.strip_prefix("models/").unwrap_or(&name).strip_prefix("gemini-")?;
        if rest.ends_with("-latest") && !rest.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Some(Generation::Three);
        }
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        match rest[..digits].parse::<u32>().ok()? {
            0..=2 => Some(Generation::BeforeThree),
            3.. => Some(Generation::Three),
        }
    }
}

/// The real service's rules and messages for combinations of features before Gemini 3.
pub fn check(
    model: &str,
    offer: &OfferedTools,
    generation_config: &Value,
) -> Result<(), WireError> {
    if Generation::of_model(model) != Some(Generation::BeforeThree) {
        return Ok(());
    }
    let tools = &offer.tools;
    let built_in = tools.code_execution
        || tools.google_search
        || tools.built_in.iter().any(BuiltIn::has_invocations);
    let whole = |text: String| Err(WireError::Whole(text));
    if built_in && !tools.functions.is_empty() {
        return whole("Tool use with function calling is unsupported by the model.".to_owned());
    }
    let mime_type = match generation_config["response_mime_type"].as_str() {
        Some(mime_type) => Some(mime_type.to_ascii_lowercase()),
        // A schema implies JSON.
        None => {
            generation_config.get("response_json_schema").map(|_| "application/json".to_owned())
        }
    };
    let Some(mime_type) = mime_type.filter(|name| !name.is_empty() && name != "text/plain") else {
        return Ok(());
    };
    if built_in {
        return whole(format!("Tool use with a response mime type: '{mime_type}' is unsupported"));
    }
    if !tools.functions.is_empty() {
        return whole(format!(
            "Function calling with a response mime type: '{mime_type}' is unsupported"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_follows_from_the_name() {
        for (name, wanted) in [
            ("gemini-2.5-flash", Some(Generation::BeforeThree)),
            ("gemini-1.5-pro-002", Some(Generation::BeforeThree)),
            ("gemini-2.0-flash-001", Some(Generation::BeforeThree)),
            ("gemini-2.5-flash-latest", Some(Generation::BeforeThree)),
            ("models/gemini-2.5-pro", Some(Generation::BeforeThree)),
            ("gemini-3-flash-preview", Some(Generation::Three)),
            ("gemini-3.8-flash", Some(Generation::Three)),
            ("gemini-4-neon", Some(Generation::Three)),
            ("gemini-10-flash", Some(Generation::Three)),
            ("gemini-flash-latest", Some(Generation::Three)),
            ("gemini-pro-latest", Some(Generation::Three)),
            ("gemini-flash-lite-latest", Some(Generation::Three)),
            ("gemini-robotics-er-1.5-preview", None),
            ("gemma-4-31b-it", None),
            ("direct", None),
            ("tunedModels/gemini-2.5-x", None),
        ] {
            assert_eq!(Generation::of_model(name), wanted, "{name}");
        }
    }
}
