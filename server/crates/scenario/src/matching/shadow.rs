//! Detects scenarios that never answer, because an earlier one applies in all the same cases. Only
//! certain cases are reported: none that depend on the texts of future requests.

use crate::condition::when::{FileCondition, Input, ModelGlob, When};
use crate::scenario::Scenario;
use crate::scenario::part::Part;

/// Whether `later` never answers because of `earlier`.
pub fn shadows(earlier: &Scenario, later: &Scenario) -> bool {
    // Recordings of a question take turns. A scenario that ends with a function call is finished when
    // the call is answered, and others can continue with the same text.
    earlier.question.is_none()
        && !may_end_with_call(&earlier.script)
        && earlier.when.holds_wherever(&later.when)
}

fn may_end_with_call(script: &[Part]) -> bool {
    match script.iter().rev().find(|part| !matches!(part, Part::Expect(_))) {
        Some(Part::FunctionCall(_)) => true,
        Some(Part::IfError(parts) | Part::IfOk(parts)) => may_end_with_call(parts),
        _ => false,
    }
}

impl When {
    /// Whether these conditions hold in all cases in which `those` hold.
    fn holds_wherever(&self, those: &When) -> bool {
        // Different ignore patterns compare the same text differently.
        let compares_alike = self.ignore.is_empty() && those.ignore.is_empty();
        self.after.0.is_empty()
            && compares_alike
            && implied(self.earlier.as_ref(), those.earlier.as_ref(), PartialEq::eq)
            && implied(self.input.as_ref(), those.input.as_ref(), Input::holds_wherever)
            && implied(self.model.as_ref(), those.model.as_ref(), ModelGlob::holds_wherever)
            && self.tools.iter().all(|tool| those.tools.contains(tool))
            && implied(self.turn.as_ref(), those.turn.as_ref(), PartialEq::eq)
            && implied(self.files.as_ref(), those.files.as_ref(), FileCondition::holds_wherever)
            && implied(
                self.system_instruction.as_ref(),
                those.system_instruction.as_ref(),
                Input::holds_wherever,
            )
            && implied(self.only_tools.as_ref(), those.only_tools.as_ref(), PartialEq::eq)
            && implied(self.functions.as_ref(), those.functions.as_ref(), PartialEq::eq)
            && implied(
                self.generation_config.as_ref(),
                those.generation_config.as_ref(),
                PartialEq::eq,
            )
    }
}

/// A missing condition always holds.
fn implied<T>(this: Option<&T>, that: Option<&T>, holds: fn(&T, &T) -> bool) -> bool {
    match (this, that) {
        (None, _) => true,
        (Some(this), Some(that)) => holds(this, that),
        (Some(_), None) => false,
    }
}

impl Input {
    fn holds_wherever(&self, those: &Input) -> bool {
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
        let (contains, equals) = (lower(&those.contains), lower(&those.equals));
        let has =
            |text: &Option<String>, part: &str| text.as_ref().is_some_and(|t| t.contains(part));
        let holds_contains =
            lower(&self.contains).is_none_or(|part| has(&contains, &part) || has(&equals, &part));
        let holds_equals = lower(&self.equals).is_none_or(|text| equals.as_ref() == Some(&text));
        let holds_matches = self.matches.as_ref().is_none_or(|pattern| {
            those
                .matches
                .as_ref()
                .is_some_and(|other| other.0.regex.as_str() == pattern.0.regex.as_str())
        });
        holds_contains && holds_equals && holds_matches
    }
}

impl ModelGlob {
    fn holds_wherever(&self, that: &ModelGlob) -> bool {
        let (this, that) = (&self.0, that.0.glob().glob());
        let is_name = !that.contains(['*', '?', '[', '{', '\\']);
        let pattern = this.glob().glob();
        matches!(pattern, "*" | "**") || pattern == that || (is_name && this.is_match(that))
    }
}

impl FileCondition {
    fn holds_wherever(&self, those: &FileCondition) -> bool {
        self.count == those.count
            && self.mime_type == those.mime_type
            && (self.sha256.is_none() || self.sha256 == those.sha256)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parse;

    fn pair(earlier: &str, later: &str) -> bool {
        let file = format!(
            "scenarios:\n  - {{ name: a, {earlier} }}\n  - {{ name: b, {later}, script: [text: b] }}"
        );
        let scenarios = parse(Path::new("s.yaml"), &file).unwrap_or_else(|e| panic!("{e}: {file}"));
        shadows(&scenarios[0], &scenarios[1])
    }

    #[test]
    fn what_is_certain_is_said() {
        for (earlier, later) in [
            ("when: {}", "when: { turn: 2 }"),
            ("when: { input: { contains: Sum } }", "when: { input: { contains: the sum of } }"),
            ("when: { input: { contains: sum } }", "when: { input: { equals: The SUM } }"),
            ("when: { model: 'gemini-*' }", "when: { model: gemini-3, turn: 1 }"),
            ("when: { tools: [a] }", "when: { tools: [b, a] }"),
            ("when: { input: { matches: 'a+' } }", "when: { input: { matches: 'a+' }, turn: 3 }"),
            (
                "when: { files: { count: 1 } }",
                "when: { files: { count: 1 }, after: { function_result: f } }",
            ),
            ("when: {}", "question: q, take: 1"),
        ] {
            let earlier = format!("{earlier}, script: [text: a]");
            assert!(pair(&earlier, later), "{earlier} and {later}");
        }
    }

    #[test]
    fn uncertain_cases_are_not_reported() {
        for (earlier, later) in [
            ("when: { turn: 1 }, script: [text: a]", "when: {}"),
            (
                "when: { input: { contains: summer } }, script: [text: a]",
                "when: { input: { contains: sum } }",
            ),
            (
                "when: { input: { matches: sum } }, script: [text: a]",
                "when: { input: { equals: sum } }",
            ),
            (
                "when: { input: { contains: sum } }, script: [text: a]",
                "when: { input: { matches: sum } }",
            ),
            ("when: { model: gemini-3 }, script: [text: a]", "when: { model: 'gemini-*' }"),
            ("when: {}, script: [function_call: { name: f }]", "when: { input: { contains: a } }"),
            ("when: {}, script: [code: x, if_ok: [function_call: { name: f }]]", "when: {}"),
            (
                "when: { after: { function_result: f } }, script: [text: a]",
                "when: { after: { function_result: f } }",
            ),
            ("question: q, take: 1, script: [text: a]", "question: q, take: 2"),
            (
                "when: { files: { count: 1 } }, script: [text: a]",
                "when: { files: { count: 1, mime_type: a/b } }",
            ),
        ] {
            assert!(!pair(earlier, later), "{earlier} and {later}");
        }
    }
}
