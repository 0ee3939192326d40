//! The scripted model as the engine sees it: conversations in, events out.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use backend::{End, FileContent, Finish, InputFile, Tools};
use domain::interaction::{
    CodeResult, Content, FunctionCall, FunctionResult, GenerationConfig, Outcome, Step, Tokens,
    Usage,
};
use domain::namespace::Namespace;
use journal::JournalHandle;

fn scripted(yaml: &str) -> Scripted {
    Scripted::from_scenarios(parse(Path::new("test.yaml"), yaml).expect("valid scenarios"))
}

fn user(text: &str) -> Step {
    Step::UserInput(vec![Content::text(text)])
}

fn model() -> Step {
    Step::ModelOutput(vec![Content::text("…")])
}

fn ran(stdout: &str) -> Step {
    result(Outcome::Ok, stdout)
}

fn failed(result: &str) -> Step {
    self::result(Outcome::Failed, result)
}

fn result(outcome: Outcome, text: &str) -> Step {
    Step::CodeResult(CodeResult {
        call_id: "c".into(),
        outcome,
        result: text.into(),
        stdout: text.into(),
        images: 1,
        signature: String::new(),
    })
}

fn called(name: &str) -> Step {
    Step::FunctionCall(FunctionCall {
        id: name.into(),
        name: name.into(),
        arguments: json!({}),
        signature: String::new(),
    })
}

/// As clients send it: with the id of the call, without the function name.
fn answered(name: &str, result: Value) -> Step {
    let call_id = name.into();
    Step::FunctionResult(FunctionResult { call_id, name: None, result, is_error: false })
}

fn prompt(steps: &[Step]) -> Prompt {
    Prompt {
        model: "gemini-3-flash-preview".into(),
        system_instruction: None,
        tools: Tools {
            code_execution: true,
            google_search: false,
            functions: Vec::new(),
            built_in: Vec::new(),
            offered: ["code_execution", "get_weather", "f", "g"].map(str::to_owned).into(),
        },
        generation_config: GenerationConfig::default(),
        steps: steps.into(),
        files: [InputFile {
            name: "input_file_0.csv".into(),
            mime_type: "text/csv".into(),
            bytes: 12,
            content: FileContent::Here("a,b".into()),
        }]
        .into(),
    }
}

async fn events(scripted: &Scripted, prompt: Prompt) -> Vec<Result<ModelEvent, BackendError>> {
    events_in(scripted, prompt, &RequestContext::default()).await
}

async fn events_in(
    scripted: &Scripted,
    prompt: Prompt,
    context: &RequestContext,
) -> Vec<Result<ModelEvent, BackendError>> {
    let mut stream = scripted.generate(prompt, context);
    let mut events = Vec::new();
    while let Some(event) = stream.recv().await {
        events.push(event);
    }
    events
}

/// The output with one line per kind of event: pieces are joined, and a normal end is omitted.
async fn output(scripted: &Scripted, steps: &[Step]) -> String {
    described(events(scripted, prompt(steps)).await)
}

fn described(events: Vec<Result<ModelEvent, BackendError>>) -> String {
    let mut described: Vec<(&str, String)> = Vec::new();
    for event in events {
        let (kind, text) = match event {
            Ok(ModelEvent::Thought(text)) => ("thought", text),
            Ok(ModelEvent::Text(text)) => ("text", text),
            Ok(ModelEvent::Code(code)) => ("code", code),
            Ok(ModelEvent::FunctionCall { name, arguments }) => {
                ("call", format!("{name}{arguments}"))
            }
            Ok(ModelEvent::Search { queries, found }) => {
                ("search", format!("{queries:?}{found:?}"))
            }
            Ok(ModelEvent::Lookup { queries }) => ("lookup", format!("{queries:?}")),
            Ok(ModelEvent::Tool(used)) => ("tool", format!("{used:?}")),
            Ok(ModelEvent::Counted(usage)) => ("counted", format!("{usage:?}")),
            Ok(ModelEvent::End(end)) if end == End::default() => continue,
            Ok(
                other @ (ModelEvent::CallIdentity(_)
                | ModelEvent::ThoughtSignature(_)
                | ModelEvent::Passthrough(_)),
            ) => ("other", format!("{other:?}")),
            Ok(ModelEvent::UpstreamUsage(usage)) => ("counted", usage.to_string()),
            Ok(ModelEvent::End(end)) => ("end", format!("{end:?}")),
            Err(error) => ("refused", error.to_string()),
        };
        match described.last_mut() {
            Some((last, joined)) if *last == kind && kind != "call" => joined.push_str(&text),
            _ => described.push((kind, text)),
        }
    }
    described.iter().map(|(kind, text)| format!("{kind}: {text}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn code_ends_the_turn_and_its_output_fills_the_next_text() {
    let scripted = scripted(
        r"
scenarios:
  - name: sum
    when: { input: { contains: sum } }
    script:
      - thought: I'll add them.
      - code: print(2 + 3)
      - text: It is {{ stdout | regex_find('[0-9]+$') }}, after {{ results | length }} run.
",
    );
    let asked = [user("The sum?")];
    assert_eq!(output(&scripted, &asked).await, "thought: I'll add them.\ncode: print(2 + 3)");
    assert_eq!(
        output(&scripted, &[user("The sum?"), ran("sum=5\n")]).await,
        "text: It is 5, after 1 run."
    );
}

#[tokio::test]
async fn every_documented_variable_can_be_used() {
    let scripted = scripted(
        r#"
scenarios:
  - name: names
    script:
      - text: >-
          {{ input }}|{{ turn }}|{{ model }}|{{ files[0].name }} {{ files[0].mime_type }}
          {{ files[0].size }}|{{ stdout }}|{{ result }}|{{ is_error }}|{{ images }}|{{
          results[0].stdout }}|{{ function_result.temperature }}|{{ function_results | length }}
"#,
    );
    let steps = [
        ran("first"),
        answered("get_weather", json!([{ "type": "text", "text": "{\"temperature\": 21}" }])),
        failed("last"),
        user("Go"),
    ];
    assert_eq!(
        output(&scripted, &steps).await,
        "text: Go|1|gemini-3-flash-preview|input_file_0.csv text/csv 12|last|last|True|1|first|21|1"
    );
}

#[tokio::test]
async fn the_first_scenario_whose_conditions_hold_answers() {
    let scripted = scripted(
        r"
scenarios:
  - { name: other model, when: { model: 'gpt-*' }, script: [text: a] }
  - { name: second turn, when: { turn: 2, input: { contains: hi } }, script: [text: b] }
  - { name: greeting, when: { input: { contains: hi } }, script: [text: c] }
  - { name: always, script: [text: d] }
",
    );
    assert_eq!(output(&scripted, &[user("Hi!")]).await, "text: c");
    assert_eq!(output(&scripted, &[user("Hi!"), model(), user("Hi again")]).await, "text: b");
    assert_eq!(output(&scripted, &[user("Bye")]).await, "text: d");
}

const WEATHER: &str = r"
scenarios:
  - name: weather
    when: { input: { contains: weather }, tools: [get_weather] }
    script:
      - function_call: { name: get_weather, arguments: { city: '{{ input }}' } }
      - code: print({{ function_result.temperature }} * 9 / 5 + 32)
      - text: It has {{ stdout }} °F.
  - name: only a call
    when: { input: { contains: snow } }
    script:
      - function_call: { name: get_weather }
  - name: answer
    when: { after: { function_result: get_weather } }
    script:
      - text: It has {{ function_result }} °C.
";

#[tokio::test]
async fn a_script_continues_when_its_function_call_is_answered() {
    let scripted = scripted(WEATHER);
    let mut steps = vec![user("weather")];
    assert_eq!(output(&scripted, &steps).await, r#"call: get_weather{"city":"weather"}"#);
    steps.extend([called("get_weather"), answered("get_weather", json!({ "temperature": 20 }))]);
    assert_eq!(output(&scripted, &steps).await, "code: print(20 * 9 / 5 + 32)");
    steps.push(ran("68.0"));
    assert_eq!(output(&scripted, &steps).await, "text: It has 68.0 °F.");
}

#[tokio::test]
async fn functions_that_were_called_together_are_distinguished() {
    let scripted = scripted(
        "
scenarios:
  - name: both
    script:
      - function_call: { name: f }
      - function_call: { name: g }
      - text: '{{ function_results[0].a }} and {{ function_results[1] }}, last {{ function_result }}'
",
    );
    let calls = [called("f"), called("g")];
    let answers = [answered("f", json!({"a": 1})), answered("g", json!("two"))];
    let steps = [user("go")].into_iter().chain(calls).chain(answers).collect::<Vec<_>>();
    assert_eq!(output(&scripted, &steps).await, "text: 1 and two, last two");
}

#[tokio::test]
async fn a_scenario_uses_only_offered_tools() {
    let both = |unoffered: &str| {
        scripted(&format!(
            r"
scenarios:
  - name: weather
    {unoffered}
    when: {{ input: {{ contains: weather }} }}
    script:
      - function_call: {{ name: get_weather }}
      - code: print(1)
      - text: done
  - name: both
    {unoffered}
    when: {{ input: {{ contains: both }} }}
    script:
      - code: print(2)
      - text: then
      - function_call: {{ name: f }}
      - function_call: {{ name: g }}
      - code: print(3)
  - name: look
    {unoffered}
    script: [search: {{ queries: [q] }}]
"
        ))
    };
    let answer = answered("get_weather", json!({"temperature": 1}));
    let weather = [user("weather"), called("get_weather"), answer];
    let strict = both("");
    let none = |steps: &[Step]| Prompt { tools: Tools::default(), ..prompt(steps) };
    let offering = |steps: &[Step], offered: &[&str], choice: Value| {
        let offered = offered.iter().map(|tool| (*tool).to_owned()).collect();
        let tools = Tools { offered, code_execution: true, ..Tools::default() };
        Prompt { tools, generation_config: json!({"tool_choice": choice}).into(), ..prompt(steps) }
    };
    let code = "code_execution";
    let named = |tools: &[&str]| json!({"allowed_tools": {"mode": "auto", "tools": tools}});
    for (prompt, scenario, tool, wanted) in [
        (none(&weather[..1]), "weather", "get_weather", "it offers no tools."),
        (
            offering(&weather[..1], &[code], Value::Null),
            "weather",
            "get_weather",
            "it offers code_execution.",
        ),
        // A client that answers must offer its tools again, as the real service requires.
        (none(&weather), "weather", code, "it offers no tools."),
        (
            offering(&weather[..1], &["get_weather"], json!("none")),
            "weather",
            "get_weather",
            "it offers get_weather and its tool choice allows none of them.",
        ),
        (
            offering(&weather, &["get_weather", code], named(&["get_weather"])),
            "weather",
            code,
            "its tool choice allows get_weather alone.",
        ),
        // The parts after the code are checked before the code runs, up to the client's next answer.
        (
            offering(&[user("both")], &[code, "f"], Value::Null),
            "both",
            "g",
            "it offers code_execution, f.",
        ),
        (
            offering(&[user("?")], &[code], Value::Null),
            "look",
            "google_search",
            "it offers code_execution.",
        ),
    ] {
        let output = described(events(&strict, prompt.clone()).await);
        assert!(output.starts_with(&format!("refused: The scenario `{scenario}` ")), "{output}");
        assert!(
            output.contains(&format!("the tool `{tool}`; ")) && output.contains(wanted),
            "{output}"
        );
        assert!(output.contains("`unoffered: true`"), "{output}");
        let lenient = described(events(&both("unoffered: true"), prompt).await);
        assert!(!lenient.starts_with("refused"), "{lenient}");
    }
    for prompt in [
        offering(&weather, &["get_weather", code], named(&["get_weather", code])),
        offering(&weather, &["get_weather", code], json!("any")),
        offering(&[user("both")], &[code, "f", "g"], Value::Null),
    ] {
        let output = described(events(&strict, prompt).await);
        assert!(output.starts_with("code: "), "{output}");
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_interaction_fails_the_request() {
    let scripted = scripted(
        "scenarios: [{ name: a, script: [code: x, if_error: [function_call: { name: h }]] }]",
    );
    let output = events(&scripted, prompt(&[user("go"), failed("")])).await;
    let [Err(BackendError::Failed(failure))] = &output[..] else { panic!("{output:?}") };
    assert_eq!(
        (failure.kind, failure.delivery),
        (FailureKind::InvalidRequest, FailureDelivery::HttpError)
    );
}

#[tokio::test]
async fn recordings_of_a_question_answer_in_their_order_and_then_the_last_one() {
    let scripted = scripted(
        "
scenarios:
  - { name: c, question: q, take: 3, script: [code: print(3), text: three] }
  - { name: failed, question: q, take: 1, script: [fail: { status: 429 }] }
  - { name: a, question: q, take: 1, script: [code: print(1), text: one] }
  - { name: b, question: q, take: 2, script: [text: two] }
",
    );
    let counts = domain::counts::Counts::default();
    let in_namespace = |name: &str| {
        let namespace = Namespace::named(name).expect("it is a name");
        let journal = JournalHandle::default().counting(counts.of(&namespace));
        RequestContext { journal, ..RequestContext::default() }
    };
    let output_in = async |context: &RequestContext, steps: &[Step]| {
        described(events_in(&scripted, prompt(steps), context).await)
    };
    let go = [user("go")];
    let first = in_namespace("x");
    assert_eq!(output_in(&first, &go).await, "code: print(1)");
    assert_eq!(output_in(&in_namespace("x"), &go).await, "text: two");
    // The first interaction keeps its own take, although others have asked since.
    assert_eq!(output_in(&first, &[user("go"), ran("1")]).await, "text: one");
    for _ in 0..2 {
        assert_eq!(output_in(&in_namespace("x"), &go).await, "code: print(3)");
    }
    assert_eq!(output_in(&in_namespace("y"), &go).await, "code: print(1)");
}

#[tokio::test]
async fn earlier_output_distinguishes_recordings_and_is_not_a_condition() {
    let output_before = |text: &str| Step::ModelOutput(vec![Content::text(text)]);
    let hash = |text: &str| {
        let before = [user("hi"), output_before(text)];
        history_before(&before, &redaction::Secrets::default(), &Ignore::default())
    };
    let scripted = scripted(&format!(
        "
scenarios:
  - {{ name: a, question: a, when: {{ history: {} }}, script: [text: after one] }}
  - {{ name: b, question: b, when: {{ history: {} }}, script: [text: after two] }}
",
        hash("one"),
        hash("two")
    ));
    for (before, wanted) in [("one", "one"), ("two", "two"), ("three", "one")] {
        let steps = [user("hi"), output_before(before), user("and?")];
        assert_eq!(output(&scripted, &steps).await, format!("text: after {wanted}"));
    }
}

#[tokio::test]
async fn a_text_that_uses_a_failed_run_is_reported() {
    let scripted = scripted(
        "
scenarios:
  - { name: blind, when: { input: { contains: a } }, script: [code: x, text: 'It is {{ stdout }}.'] }
  - { name: sees, script: [code: x, if_error: [text: '{{ result }}'], text: '{{ images }}'] }
",
    );
    for (input, step, warnings) in
        [("a", failed("!"), 1), ("a", ran("1"), 0), ("b", failed("!"), 0)]
    {
        let context = RequestContext::default();
        events_in(&scripted, prompt(&[user(input), step]), &context).await;
        assert_eq!(context.journal.warnings().len(), warnings, "{input}");
    }
}

#[tokio::test]
async fn the_nearest_scenario_is_the_one_with_the_same_words() {
    let scripted = scripted(
        r"
scenarios:
  - { name: chart, when: { input: { contains: draw a chart }, turn: 1, model: 'gemini-*' }, script: [text: a] }
  - { name: average, when: { input: { matches: 'average of sales in (\w+)' }, tools: [x] }, script: [text: b] }
",
    );
    let output = output(&scripted, &[user("What is the median of sales in north?")]).await;
    assert!(output.contains("The nearest is `average`"), "{output}");
}

#[tokio::test]
async fn the_function_result_after_a_finished_script_is_matched_again() {
    let scripted = scripted(WEATHER);
    let steps = [user("snow"), called("get_weather"), answered("get_weather", json!("-3"))];
    assert_eq!(output(&scripted, &steps).await, "text: It has -3 °C.");
}

#[tokio::test]
async fn a_call_without_a_follow_up_is_not_made_twice() {
    let scripted = scripted("scenarios: [{ name: a, script: [function_call: { name: f }] }]");
    let output = output(&scripted, &[user("go"), called("f"), answered("f", json!(1))]).await;
    assert!(output.starts_with("refused: No scenario matches this request."), "{output}");
    assert!(output.contains("`a` ended with its function call"), "{output}");
}

#[tokio::test]
async fn a_miss_names_the_nearest_scenario_and_where_it_differs() {
    let scripted = scripted(
        r"
scenarios:
  - { name: far, when: { input: { contains: pedal }, turn: 3 }, script: [text: a] }
  - { name: near, when: { input: { contains: prime }, turn: 1, model: 'gemini-9*' }, script: [text: b] }
",
    );
    let output = output(&scripted, &[user("Sum the primes")]).await;
    let wanted = "refused: No scenario matches this request. The nearest is `near`: its condition \
                  `model` wants gemini-9*, and got gemini-3-flash-preview.\n";
    assert!(output.starts_with(wanted), "{output}");
}

#[tokio::test]
async fn a_miss_contains_a_matching_scenario_to_paste() {
    let scripted = scripted("scenarios: [{ name: other, when: { turn: 9 }, script: [text: a] }]");
    for input in ["Sum the primes", "It's \"6 * 7\"?\n\t{{ äöü }} # no comment: - [x", ""] {
        let miss = output(&scripted, &[user("before"), model(), user(input)]).await;
        let (_, pasted) = miss.split_once("file:\n\n").expect("there is one");
        let pasted = self::scripted(pasted);
        assert_eq!(output(&pasted, &[user("before"), model(), user(input)]).await, "text: …");
        let other = output(&pasted, &[user("another")]).await;
        assert!(other.starts_with("refused"), "{other}");
    }
}

#[tokio::test]
async fn without_scenarios_the_error_explains_how_to_add_some() {
    let output = output(&Scripted::from_scenarios(Vec::new()), &[user("Hi")]).await;
    assert!(
        output.contains("No scenarios are loaded") && output.contains("--scenarios"),
        "{output}"
    );
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let scripted = Scripted::load(folder.path()).expect("an empty folder is no mistake");
    let output = self::output(&scripted, &[user("Hi")]).await;
    let name = folder.path().to_str().expect("it is text");
    assert!(output.contains(name) && output.contains("--scenarios"), "{output}");
}

#[tokio::test]
async fn an_error_names_the_finished_script() {
    let scripted = scripted("scenarios: [{ name: short, script: [code: a] }]");
    let output = output(&scripted, &[user("go"), ran("")]).await;
    assert!(
        output.starts_with("refused: The script of the scenario `short` has ended"),
        "{output}"
    );
}

#[tokio::test]
async fn a_template_error_is_reported_before_any_output() {
    let scripted = scripted("scenarios: [{ name: a, script: [text: Hi, text: '{{ stdout }}'] }]");
    let output = output(&scripted, &[user("go")]).await;
    assert!(
        output.starts_with("refused: The scenario `a` has a `text` that fails: undefined"),
        "{output}"
    );
}

#[tokio::test]
async fn code_is_emitted_even_if_it_may_no_longer_run() {
    let scripted = scripted("scenarios: [{ name: a, script: [repeat_code_until_ok: 1/0] }]");
    let mut prompt = prompt(&[user("go"), failed(""), failed("")]);
    prompt.tools.code_execution = false;
    assert_eq!(described(events(&scripted, prompt).await), "code: 1/0");
}

#[tokio::test]
async fn an_end_has_the_reason_and_the_counts_of_the_script() {
    let scripted = scripted(
        "scenarios: [{ name: a, script: [usage: { total_output_tokens: 9 }, finish: MAX_TOKENS] }]",
    );
    let usage = Some(Usage { output: Tokens::text(9), ..Usage::default() });
    assert_eq!(
        events(&scripted, prompt(&[user("go")])).await.pop().expect("an end").expect("no error"),
        ModelEvent::End(End { finish: Finish::MaxTokens, usage })
    );
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_kept_before_every_piece_in_later_turns_too() {
    let scripted = scripted(
        "scenarios: [{ name: a, script: [pace: 1s, code: x, text: 'One piece of a text is long.'] }]",
    );
    let start = tokio::time::Instant::now();
    let output = events(&scripted, prompt(&[user("go"), ran("")])).await;
    assert_eq!(start.elapsed(), Duration::from_secs(output.len() as u64 - 1), "{output:?}");
    assert_eq!(output.len(), 3, "two pieces and an end: {output:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delay_separates_the_parts_around_it() {
    let scripted = scripted("scenarios: [{ name: a, script: [text: a, delay: 2s, text: b] }]");
    let start = tokio::time::Instant::now();
    let mut stream = scripted.generate(prompt(&[user("go")]), &RequestContext::default());
    stream.recv().await.expect("the first text").expect("no error");
    assert_eq!(start.elapsed(), Duration::ZERO);
    stream.recv().await.expect("the second text").expect("no error");
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn the_templates_of_a_search_are_rendered() {
    let scripted = scripted(
        r"
scenarios:
  - name: search
    unoffered: true
    script:
      - search:
          queries: ['{{ input }}']
          results: [{ title: 'About {{ input }}', url: 'https://a.example', snippet: '…' }]
      - text: I looked it up.
",
    );
    let output = output(&scripted, &[user("moss")]).await;
    let found = r#"search: ["moss"][Found { title: "About moss", url: "https://a.example", snippet: "…" }]"#;
    assert_eq!(output, format!("{found}\ntext: I looked it up."));
}

#[tokio::test]
async fn a_failure_and_a_disconnect_are_the_end() {
    let scripted = scripted(
        r"
scenarios:
  - name: full
    when: { input: { contains: full } }
    script:
      - text: Well,
      - fail: { status: 429, message: 'No room for {{ input }}', retry_after: 1500ms }
  - name: gone
    script: [disconnect: true]
",
    );
    let mut output = events(&scripted, prompt(&[user("full")])).await;
    let failure = Failure {
        kind: FailureKind::ResourceExhausted,
        message: "No room for full".into(),
        retry_after: Some(Duration::from_millis(1500)),
        delivery: FailureDelivery::HttpError,
    };
    let Some(Err(BackendError::Failed(failed))) = output.pop() else { panic!("{output:?}") };
    assert_eq!(failed, failure);
    assert_eq!(output, [Ok(ModelEvent::Text("Well,".into()))]);

    let output = events(&scripted, prompt(&[user("?")])).await;
    let [Err(BackendError::Failed(dropped))] = &output[..] else { panic!("{output:?}") };
    assert_eq!(dropped.delivery, FailureDelivery::ConnectionDrop);
}

#[tokio::test]
async fn scenarios_added_to_a_namespace_come_before_the_folder() {
    let additions = Arc::<AddedScenarios>::default();
    let scripted = scripted("scenarios: [{ name: folder, script: [text: folder] }]")
        .with_additions(Arc::clone(&additions));
    let mine = Namespace::named("mine").expect("it is a name");
    additions.add(&mine, "scenarios: [{ name: mine, script: [text: mine] }]").expect("right");

    let in_mine = RequestContext { namespace: mine, ..RequestContext::default() };
    let output_in_mine = events_in(&scripted, prompt(&[user("?")]), &in_mine).await;
    assert_eq!(described(output_in_mine), "text: mine");
    assert_eq!(output(&scripted, &[user("?")]).await, "text: folder");
}

#[test]
fn the_scenarios_of_this_repository_can_be_loaded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scenarios");
    let scripted = Scripted::load(folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(scripted.library.current().len() >= 8);
}

/// The schema accepts everything that the parser accepts, and rejects what a schema can express of
/// the parser's errors.
#[test]
fn the_schema_agrees_with_the_parser() {
    let schema: Value = serde_json::from_str(&SCHEMA).expect("it is JSON");
    let schema = jsonschema::validator_for(&schema).expect("it is a schema");
    let agree = |file: &str| {
        let parsed = parse(Path::new("s.yaml"), file);
        let value: Value = serde_saphyr::from_str(file).expect(file);
        assert_eq!(schema.is_valid(&value), parsed.is_ok(), "{file}: {parsed:?}");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scenarios");
    for path in files(&folder).expect("it is there") {
        agree(&text(&path).expect("it can be read"));
    }
    for part in scenario::part::SYNTAX {
        assert!(!part.valid.is_empty() && !part.invalid.is_empty(), "{}", part.key);
        for (examples, is_valid) in [(part.valid, true), (part.invalid, false)] {
            for value in examples {
                let file =
                    format!("scenarios: [{{ name: s, script: [code: a, {}: {value}] }}]", part.key);
                let parsed = parse(Path::new("s.yaml"), &file);
                assert_eq!(parsed.is_ok(), is_valid, "{file}: {parsed:?}");
                agree(&file);
            }
        }
    }
    for part in ["{ text: a, raw: true }", "{ text: a, code: b }", "{ raw: true }", "txt: a"] {
        agree(&format!("scenarios: [{{ name: s, script: [{part}] }}]"));
    }
    for when in ["turn: 0", "turn: 1", "inputs: {}", "input: a", "tools: a", "after: {}"] {
        agree(&format!("scenarios: [{{ name: s, when: {{ {when} }}, script: [text: a] }}]"));
    }
    for file in ["{}", "scenarios: []", "scenarios: [{ name: s, script: [] }]", "scenarios: [{}]"] {
        agree(file);
    }
}
