//! The golden exchanges in `tests/golden`, compared with the server's answers.

use harness::golden::check;

/// A test for each file, and the list of all.
macro_rules! golden_files {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            check(include_str!(concat!("../../golden/", stringify!($name), ".json"))).await;
        })*

        const TESTED_HERE: &[&str] = &[$(stringify!($name)),*];
    };
}

golden_files! {
    batch,
    batch_file,
    cached_content,
    count_tokens,
    embedding_batch,
    embeddings,
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
    openai_chat,
    openai_embeddings,
    vertex_cached_content,
    vertex_embeddings,
    vertex_generate,
    vertex_interactions,
    vertex_models,
}

/// Tests of these check more than a sequence of exchanges: `stream.rs`, `generate.rs`, `files.rs`.
const TESTED_ELSEWHERE: [&str; 3] = ["code_execution_stream", "generate_content", "upload"];

#[test]
fn every_golden_file_is_tested_and_names_its_source() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("it is text");
        assert!(
            TESTED_HERE.contains(&name) || TESTED_ELSEWHERE.contains(&name),
            "no test uses {name}"
        );
        let exchanges = std::fs::read(&path).expect("it can be read");
        let exchanges: serde_json::Value = serde_json::from_slice(&exchanges).expect("it is JSON");
        for field in ["source", "date"] {
            assert_ne!(exchanges[field].as_str().unwrap_or_default(), "", "{name} has no {field}");
        }
    }
}
