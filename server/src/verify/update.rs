//! `belljar verify --update`: writes the new results into the `expect` parts of scenarios. The rest
//! of the file stays unchanged, comments included.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use domain::interaction::CodeResult;
use parse::yaml::YamlNode;
use recording::{Picture, map_at};
use sandbox_client::RunOutput;
use scenario::Expect;

const BY_HAND: &str = "its `expect` could not be found in the text of the file: edit it by hand";

/// The new result of one `expect` part.
#[derive(Debug)]
pub struct Accepted {
    /// Number of the scenario in the file, starting with 0.
    scenario: usize,
    /// Number of the `expect` part in its script, starting with 0.
    number: usize,
    /// The new value.
    expect: Value,
    pictures: Vec<Picture>,
}

impl Accepted {
    /// With the same keys as the existing value.
    pub fn of(scenario: usize, old: &Expect, result: &CodeResult, output: &RunOutput) -> Accepted {
        let mut expect = json!({});
        if old.result.is_some() {
            expect["result"] = result.result.clone().into();
        }
        if result.outcome.is_error() {
            expect["is_error"] = true.into();
        }
        let mut pictures = Vec::new();
        if old.pictures.is_some() {
            let images = output.images.iter();
            pictures.extend(images.map(|image| Picture::new(&image.mime_type, image.data.clone())));
            expect["pictures"] = pictures.iter().map(Picture::path).collect();
        }
        Accepted { scenario, number: old.number, expect, pictures }
    }

    fn is_of_the_same(&self, other: &Accepted) -> bool {
        (self.scenario, self.number) == (other.scenario, other.number)
    }
}

/// Writes all accepted results into the file, or none.
pub fn write(file: &Path, accepted: &[Accepted]) -> Result<(), String> {
    let could_not_update =
        |error: std::io::Error| format!("could not update {}: {error}", file.display());
    let text = scenario::text(file).map_err(|error| error.to_string())?;
    let updated = updated(&text, accepted)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    for picture in accepted.iter().flat_map(|accepted| &accepted.pictures) {
        let path = folder.join(picture.path());
        if !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(could_not_update)?;
            std::fs::write(path, &picture.content).map_err(could_not_update)?;
        }
    }
    replace(file, &updated).map_err(could_not_update)
}

/// Written under a temporary name first, so that the file is never incomplete.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let file = file.canonicalize()?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(file.metadata()?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// The text of a file with the new values. It is an error if the result does not parse to these
/// values.
fn updated(text: &str, accepted: &[Accepted]) -> Result<String, String> {
    let mut wanted: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    for (at, one) in accepted.iter().enumerate() {
        let other = accepted[..at].iter().find(|other| other.is_of_the_same(one));
        if other.is_some_and(|other| other.expect != one.expect) {
            return Err(
                "several runs have one `expect` and came to different results: edit it by hand"
                    .to_owned(),
            );
        }
        let script = &mut wanted["scenarios"][one.scenario]["script"];
        *expectation(script, &mut one.number.clone()).ok_or(BY_HAND)? = one.expect.clone();
    }
    let tree = YamlNode::parse(text).filter(|tree| !tree.has_aliases()).ok_or(BY_HAND)?;
    let says_it =
        |text: &String| serde_saphyr::from_str::<Value>(text).is_ok_and(|read| read == wanted);
    // In the recording's YAML style if possible, otherwise as JSON, which is valid YAML.
    [Form::Block, Form::Json]
        .into_iter()
        .find_map(|form| edited(text, &tree, accepted, form).filter(says_it))
        .ok_or_else(|| BY_HAND.to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Block,
    Json,
}

fn edited(text: &str, tree: &YamlNode, accepted: &[Accepted], form: Form) -> Option<String> {
    let scenarios = tree.get("scenarios")?.items();
    let mut edits = Vec::new();
    for one in accepted {
        let mut nodes = Vec::new();
        expectations(scenarios.get(one.scenario)?.get("script")?, &mut nodes);
        let node = nodes.get(one.number)?;
        let end = end(node, text)?;
        let is_flow = text.get(node.start..)?.starts_with('{');
        let new = match form {
            Form::Block if !is_flow => map_at(node.column - 1, &one.expect).ok()?,
            _ => one.expect.to_string(),
        };
        edits.push((node.start..end, new));
    }
    // From the end to the start, so that earlier positions stay valid.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    edits.dedup_by_key(|(range, _)| range.start);
    let mut text = text.to_owned();
    for (range, new) in edits {
        text.replace_range(range, &new);
    }
    Some(text)
}

/// The end of a value, without the comments and empty lines after it.
fn end(node: &YamlNode, text: &str) -> Option<usize> {
    let is_flow = text.get(node.start..)?.starts_with(['{', '[']);
    let last = node.fields().last().map(|(_, value)| value).or(node.items().last());
    match last {
        Some(last) if !is_flow => end(last, text),
        _ => Some(node.start + text.get(node.start..node.end)?.trim_end().len()),
    }
}

/// The values of all `expect` parts of a script, in counting order.
fn expectations<'n>(script: &'n YamlNode, found: &mut Vec<&'n YamlNode>) {
    for (key, value) in script.items().iter().flat_map(YamlNode::fields) {
        match key.text() {
            Some("if_error" | "if_ok") => expectations(value, found),
            Some("expect") => found.push(value),
            _ => {}
        }
    }
}

/// The same in a parsed file. `left` is the number of `expect` parts before the wanted one.
fn expectation<'v>(script: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    let parts = script.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut);
    for (key, value) in parts.flat_map(|part| part.iter_mut()) {
        match key.as_str() {
            "if_error" | "if_ok" => {
                if let Some(found) = expectation(value, left) {
                    return Some(found);
                }
            }
            "expect" if *left == 0 => return Some(value),
            "expect" => *left -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# A comment.
scenarios:
  - name: a
    script:
      - code: print(1)   # stays
      # 0.1 s
      - expect:
          result: |
            old
          pictures: []

      # 0.2 s
      - if_error:
          - code: print(2)
          - expect: { result: \"2\", is_error: true }
      - text: done
  - name: b
    script:
      - code: print(3)
      - expect:
          pictures:
            - files/old.png
      # The end.
";

    fn accepted(scenario: usize, number: usize, expect: Value) -> Accepted {
        Accepted { scenario, number, expect, pictures: Vec::new() }
    }

    #[test]
    fn only_changed_results_are_written_and_comments_stay() {
        let all = [
            accepted(0, 0, json!({"result": "new\nlines\n", "pictures": []})),
            accepted(0, 1, json!({"result": "two"})),
            accepted(1, 0, json!({"pictures": ["files/new.png"]})),
        ];
        let text = updated(FILE, &all).expect("all is found");
        for line in FILE.lines().filter(|line| line.contains('#') || line.contains("code")) {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        assert!(
            text.contains("          result: |\n            new\n            lines\n"),
            "{text}"
        );
        assert!(text.contains("- expect: {\"result\":\"two\"}\n"), "{text}");
        assert!(text.contains("- files/new.png\n      # The end.\n"), "{text}");
    }

    #[test]
    fn difficult_results_survive_the_file() {
        for result in
            ["", "\n", "a\n\n", "  a", "\ta: #b", "\0\u{1b}", "{{ x }}", "---\n...", "\r\n"]
        {
            let expect = json!({"result": result});
            let text = updated(FILE, &[accepted(0, 0, expect.clone())]).expect("it is written");
            let read: Value = serde_saphyr::from_str(&text).expect("it is YAML");
            assert_eq!(read["scenarios"][0]["script"][1]["expect"], expect, "{text}");
        }
    }

    #[test]
    fn an_update_that_cannot_be_written_is_refused() {
        let one = |result: &str| accepted(0, 0, json!({"result": result}));
        let error = updated(FILE, &[one("a"), one("b")]).expect_err("which one?");
        assert!(error.contains("different results"), "{error}");
        assert_eq!(updated(FILE, &[accepted(0, 2, json!({}))]), Err(BY_HAND.to_owned()));
        let aliases = FILE.replace("print(1) ", "&x print(1) ").replace("print(3)", "*x");
        assert_eq!(updated(&aliases, &[one("a")]), Err(BY_HAND.to_owned()));
    }
}
