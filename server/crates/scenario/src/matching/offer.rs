//! Checks that a request offers the tools that a scenario uses. Otherwise, tests would still pass
//! after a client lost its tools.

use crate::position::Speech;
use crate::scenario::Scenario;
use crate::scenario::part::Part;
use backend::Prompt;

const CODE_EXECUTION: &str = "code_execution";
const GOOGLE_SEARCH: &str = "google_search";

/// Why a scenario may not answer, if it may not. Parts that certainly follow in the same
/// interaction are checked too, so that nothing runs before the request is refused.
pub fn refusal(scenario: &Scenario, speech: &Speech<'_>, prompt: &Prompt) -> Option<String> {
    if scenario.unoffered {
        return None;
    }
    let allowed = prompt.allowed();
    let parts = speech.parts.iter().chain(&speech.rest);
    let may_use = |tool: &str| allowed.contains(&tool) || prompt.tools.has_predefined(tool);
    let (does, tool) = parts.filter_map(|part| needs(part)).find(|(_, tool)| !may_use(tool))?;
    let offered = match &prompt.tools.offered[..] {
        [] => "offers no tools".to_owned(),
        offered => format!("offers {}", offered.join(", ")),
    };
    let choice = if prompt.tools.offered.iter().any(|offered| offered == tool) {
        match &allowed[..] {
            [] => " and its tool choice allows none of them".to_owned(),
            allowed => format!(" and its tool choice allows {} alone", allowed.join(", ")),
        }
    } else {
        String::new()
    };
    Some(format!(
        "The scenario `{}` {does}, for which the request must offer the tool `{tool}`; it \
         {offered}{choice}. A real model could not do that either. Offer the tool in the request, or \
         put `unoffered: true` beside the scenario's name.",
        scenario.name
    ))
}

/// What a part does, and the tool that it needs.
fn needs(part: &Part) -> Option<(String, &str)> {
    match part {
        Part::Code(_) | Part::RepeatCodeUntilOk(_) => Some(("runs code".into(), CODE_EXECUTION)),
        Part::Search(_) => Some(("searches".into(), GOOGLE_SEARCH)),
        Part::Tool(tool, _) => Some((format!("uses {}", tool.as_str()), tool.as_str())),
        Part::FunctionCall(call) => {
            Some((format!("calls the function {}", call.name), call.name.as_str()))
        }
        _ => None,
    }
}
