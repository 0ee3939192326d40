//! Matches function results of the client with the calls of the model.

use std::collections::HashSet;

use domain::interaction::{Finished, Step};

/// The call id of the first result that matches no earlier call. Results without a call id come
/// from an API that matches by function name.
pub fn unknown<'a>(history: &'a [Step], input: &'a [Step]) -> Option<&'a str> {
    let mut calls: HashSet<&str> = history.iter().filter_map(id).collect();
    input.iter().find_map(|step| match step {
        Step::FunctionResult(result) => {
            let is_known = result.call_id.is_empty() || calls.contains(&*result.call_id);
            (!is_known).then_some(&*result.call_id)
        }
        step => {
            calls.extend(id(step));
            None
        }
    })
}

/// The id that a result may refer to. Whether a passed-through call may have a result is decided by
/// its server.
fn id(step: &Step) -> Option<&str> {
    match step {
        Step::FunctionCall(call) => Some(&call.id),
        Step::Passthrough(step) => step["id"].as_str(),
        _ => None,
    }
}

/// Whether a function call has no result yet.
pub fn are_pending(done: &Finished) -> bool {
    done.steps
        .iter()
        .rev()
        .take_while(|step| !matches!(step, Step::UserInput(_) | Step::FunctionResult(_)))
        .any(|step| match step {
            Step::FunctionCall(_) => true,
            Step::Passthrough(step) => step["type"] == "function_call",
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use domain::interaction::{FunctionCall, FunctionResult};

    fn call(id: &str) -> Step {
        Step::FunctionCall(FunctionCall {
            id: id.into(),
            name: "f".into(),
            arguments: json!({}),
            signature: String::new(),
        })
    }

    fn result(call_id: &str) -> Step {
        Step::FunctionResult(FunctionResult {
            call_id: call_id.into(),
            name: None,
            result: json!("r"),
            is_error: false,
        })
    }

    #[test]
    fn a_result_must_refer_to_an_earlier_call() {
        let theirs = Step::Passthrough(json!({"type": "tool_call", "id": "theirs"}));
        let history = [call("a"), theirs, result("old")];
        for (input, wanted) in [
            (vec![result("a")], None),
            (vec![result("theirs")], None),
            (vec![call("b"), result("b"), result("a")], None),
            (vec![result("")], None),
            (vec![result("a"), result("b")], Some("b")),
            (vec![result("b"), call("b")], Some("b")),
            (vec![result("old")], Some("old")),
        ] {
            assert_eq!(unknown(&history, &input), wanted, "{input:?}");
        }
    }
}
