//! What is documented of the API, told as stories: `tests/golden` has them.

use crate::harness::golden::tell;

/// A test for each, and the list of all.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            tell(include_str!(concat!("../golden/", stringify!($name), ".json"))).await;
        })*

        const STORIES: &[&str] = &[$(stringify!($name)),*];
    };
}

stories! {
    count_tokens,
    files,
    generate_chat,
    generate_failure,
    generate_functions,
    generate_picture,
    generate_refused,
    interaction,
    interaction_background,
    interaction_chain,
    interaction_functions,
    interaction_input,
    interaction_picture,
    interaction_refused,
    interaction_resumed,
    interaction_stateless,
    models,
}

/// Their tests look at more than an order of exchanges: `stream.rs`, `generate.rs`, `files.rs`.
const TOLD_ELSEWHERE: [&str; 3] = ["code_execution_stream", "generate_content", "upload"];

#[test]
fn every_story_is_told_and_names_its_source() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("it is text");
        assert!(STORIES.contains(&name) || TOLD_ELSEWHERE.contains(&name), "nobody tells {name}");
        let story = std::fs::read(&path).expect("it can be read");
        let story: serde_json::Value = serde_json::from_slice(&story).expect("it is JSON");
        for field in ["source", "date"] {
            assert_ne!(story[field].as_str().unwrap_or_default(), "", "{name} has no {field}");
        }
    }
}
