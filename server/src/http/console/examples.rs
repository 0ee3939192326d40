//! A request in other forms: as a command, as code for Google's SDKs, and as a scenario that answers it.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::text::{MAX_BLOCK_BYTES, line};
use domain::interaction::Step;

const NAME_CHARS: usize = 40;
/// Maximum size of a scenario on a page, without its last part.
const MAX_SCENARIO_BYTES: usize = 4 * MAX_BLOCK_BYTES;

/// A request as far as the server remembers it.
#[derive(Debug)]
pub struct CopiedRequest<'a> {
    /// Of the server, without a slash at its end.
    pub url: String,
    pub model: &'a str,
    pub input: &'a str,
    pub runs_code: bool,
    pub searches: bool,
    pub needs_key: bool,
}

impl CopiedRequest<'_> {
    /// Requests to copy.
    pub fn copies(&self, scenario: Option<&str>) -> Markup {
        let mut forms = vec![
            ("curl", self.curl()),
            ("Python", self.python()),
            ("JavaScript", self.javascript()),
        ];
        forms.extend(scenario.map(|scenario| ("Scenario", scenario.to_owned())));
        html! {
            section .copies aria-label="Copy" {
                h2 { "Copy as" }
                @for (name, text) in &forms {
                    details {
                        summary { (name) }
                        pre .example tabindex="0" role="group" aria-label=(name) { (text) }
                        button type="button" data-copy="" hidden { "Copy" }
                    }
                }
            }
        }
    }

    fn tools(&self) -> Vec<Value> {
        let code = self.runs_code.then(|| json!({"type": "code_execution"}));
        let search = self.searches.then(|| json!({"type": "google_search"}));
        code.into_iter().chain(search).collect()
    }

    fn curl(&self) -> String {
        let mut body = json!({"model": self.model, "input": self.input});
        if !self.tools().is_empty() {
            body["tools"] = self.tools().into();
        }
        let key = if self.needs_key { " \\\n  -H \"x-goog-api-key: $GEMINI_API_KEY\"" } else { "" };
        let body = body.to_string().replace('\'', r"'\''");
        format!(
            "curl {}/v1beta/interactions{key} \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'\n",
            self.url
        )
    }

    fn python(&self) -> String {
        let tools = match self.tools() {
            tools if tools.is_empty() => String::new(),
            tools => format!("    tools={},\n", Value::from(tools)),
        };
        format!(
            "from google import genai\n\nclient = genai.Client(api_key={}, http_options={{\"base_url\": {}}})\n\
             interaction = client.interactions.create(\n    model={},\n    input={},\n{tools})\nprint(interaction)\n",
            quoted(self.key()),
            quoted(&self.url),
            quoted(self.model),
            quoted(self.input),
        )
    }

    fn javascript(&self) -> String {
        let tools = match self.tools() {
            tools if tools.is_empty() => String::new(),
            tools => format!("  tools: {},\n", Value::from(tools)),
        };
        format!(
            "import {{ GoogleGenAI }} from \"@google/genai\";\n\nconst client = new GoogleGenAI({{ apiKey: {}, \
             httpOptions: {{ baseUrl: {} }} }});\nconst interaction = await client.interactions.create({{\n  \
             model: {},\n  input: {},\n{tools}}});\nconsole.log(interaction);\n",
            quoted(self.key()),
            quoted(&self.url),
            quoted(self.model),
            quoted(self.input),
        )
    }

    fn key(&self) -> &'static str {
        if self.needs_key { "YOUR_API_KEY" } else { "anything" }
    }
}

/// A string of JSON, which is one of Python, JavaScript and YAML too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A scenario for this input, with the script of these steps; `None` if it is too long for a page.
pub fn scenario(input: &str, steps: &[Step]) -> Option<String> {
    let name = line(input, NAME_CHARS);
    let name = if name.is_empty() { "answer".to_owned() } else { name };
    let mut yaml = format!("scenarios:\n  - name: {}\n", quoted(&name));
    if !input.is_empty() {
        yaml.push_str(&format!("    when: {{ input: {{ contains: {} }} }}\n", quoted(input)));
    }
    yaml.push_str("    script:\n");
    let mut parts: Vec<String> = Vec::new();
    for step in steps {
        if yaml.len() + parts.iter().map(String::len).sum::<usize>() > MAX_SCENARIO_BYTES {
            return None;
        }
        match step {
            Step::Thought { summary, .. } if !summary.is_empty() => {
                parts.push(part("thought", summary))
            }
            Step::CodeCall(call) => parts.push(part("code", &call.code)),
            Step::ModelOutput(_) => {
                let text = step.model_text().filter(|text| !text.is_empty());
                parts.extend(text.map(|text| part("text", &text)));
            }
            Step::FunctionCall(call) => {
                let call = json!({"name": call.name, "arguments": call.arguments});
                parts.push(format!("      - function_call: {call}\n        raw: true\n"));
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        parts.push(part("text", "The answer."));
    }
    Some(yaml + &parts.concat())
}

fn part(kind: &str, text: &str) -> String {
    let has_template = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    let raw = if has_template { "        raw: true\n" } else { "" };
    let lines: Vec<&str> = text.split('\n').collect();
    let is_simple = lines.len() > 1
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with("\n\n")
        && !text.contains(|char: char| char.is_control() && char != '\n')
        && !text.contains(['\u{feff}', '\u{2028}', '\u{2029}', '\u{85}'])
        && lines.iter().all(|line| !line.ends_with(' '));
    if !is_simple {
        return format!("      - {kind}: {}\n{raw}", quoted(text));
    }
    let (mark, body) = match text.strip_suffix('\n') {
        Some(body) => ("|", body),
        None => ("|-", text),
    };
    let indented: Vec<String> = body
        .split('\n')
        .map(|line| if line.is_empty() { String::new() } else { format!("          {line}") })
        .collect();
    format!("      - {kind}: {mark}\n{}\n{raw}", indented.join("\n"))
}

#[cfg(test)]
mod tests {
    use domain::interaction::{CodeCall, Content};
    use domain::namespace::Namespace;
    use proptest::prelude::*;
    use scenario::AddedScenarios;

    use super::*;

    fn steps(code: &str, text: &str) -> Vec<Step> {
        let call = CodeCall { id: "c".into(), code: code.to_owned(), signature: String::new() };
        vec![Step::CodeCall(call), Step::ModelOutput(vec![Content::text(text)])]
    }

    fn read(yaml: &str) -> Value {
        AddedScenarios::default()
            .add(&Namespace::default(), yaml)
            .unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"))
    }

    #[test]
    fn a_scenario_of_an_interaction_is_one_that_the_server_accepts() {
        let yaml = scenario("6 * 7?", &steps("x = 6\n\nprint(x * 7)\n", "It is {{ 42 }}."))
            .expect("it is short");
        assert_eq!(
            yaml,
            "scenarios:\n  - name: \"6 * 7?\"\n    when: { input: { contains: \"6 * 7?\" } }\n    script:\n      \
             - code: |\n          x = 6\n\n          print(x * 7)\n      - text: \"It is {{ 42 }}.\"\n        raw: true\n"
        );
        read(&yaml);
        read(&scenario("", &[]).expect("it is short"));
    }

    proptest! {
        #[test]
        fn texts_are_kept_as_they_are(
            input in "[ -~ä\n\t]{1,60}",
            code in "[ -~\n\t#|>ä]{1,80}",
            text in "[ -~\n:{}%]{1,80}",
        ) {
            let read = read(&scenario(&input, &steps(&code, &text)).expect("it is short"));
            let scenario = &read["scenarios"][0];
            prop_assert_eq!(scenario["when"]["input"]["contains"].as_str(), Some(input.as_str()));
            prop_assert_eq!(scenario["script"][0]["code"].as_str(), Some(code.as_str()));
            prop_assert_eq!(scenario["script"][1]["text"].as_str(), Some(text.as_str()));
        }
    }
}
