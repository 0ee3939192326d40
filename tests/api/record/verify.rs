//! `belljar verify`: runs the code of recordings again.

use std::path::Path;
use std::process::{Command, Output};

use super::{Folder, painter, picture_and_table};
use harness::socket;

fn verify(paths: &[&Path]) -> (Option<i32>, String) {
    run(&[], paths)
}

fn run(options: &[&str], paths: &[&Path]) -> (Option<i32>, String) {
    let mut belljar = Command::new(harness::belljar());
    let Output { status, stdout, stderr } = belljar
        .args(["verify", "--sandbox-socket"])
        .arg(socket())
        .args(options)
        .args(paths)
        .env_remove("BELLJAR_API_KEYS")
        .output()
        .expect("it is a program");
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).expect("it is text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_runs_code_again_and_shows_differences() {
    let folder = Folder::new();
    let fake = painter().await;
    folder.recording(fake.model()).await.create(picture_and_table()).await;
    drop(fake);
    let (code, output) = verify(&[folder.path()]);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.ends_with(
            "  run 1: unchanged\n1 runs unchanged, 0 changed, 0 without an expected result\n"
        ),
        "{output}"
    );

    // Output of a library before it was upgraded.
    let path = folder.files().remove(0);
    let text = std::fs::read_to_string(&path).expect("it is text");
    let changed = text
        .replace("{braces} 42", "{braces} 41")
        .replace("\n          pictures:\n", "\n          is_error: true\n          pictures:\n");
    assert_ne!(text, changed);
    std::fs::write(&path, changed).expect("the folder is ours");
    let png = folder.path().join("files");
    let pictures =
        png.read_dir().expect("it is there").map(|file| file.expect("it is there").path());
    let drawn = pictures.max_by_key(|path| path.metadata().expect("it is there").len());
    let drawn = drawn.expect("there is one");
    let kept = std::fs::read(&drawn).expect("it is there");
    std::fs::write(&drawn, b"another picture").expect("the folder is ours");
    let (code, output) = verify(&[&path]);
    assert_eq!(code, Some(1), "{output}");
    for wanted in [
        "  run 1: changed\n",
        "    expected an error, got no error\n",
        "    - {braces} 41\n    + {braces} 42\n",
        "    picture 1 (files/",
        "): expected 15 bytes, got ",
        "0 runs unchanged, 1 changed, 0 without an expected result\n",
    ] {
        assert!(output.contains(wanted), "no {wanted} in {output}");
    }

    // The same pixels, written by another version of the encoder.
    std::fs::write(&path, text).expect("the folder is ours");
    let mut with_words = kept[..kept.len() - 12].to_vec();
    with_words.extend_from_slice(b"\x00\x00\x00\x04tEXtab\x00c");
    with_words.extend_from_slice(&crc(b"tEXtab\x00c").to_be_bytes());
    with_words.extend_from_slice(&kept[kept.len() - 12..]);
    std::fs::write(&drawn, with_words).expect("the folder is ours");
    let (code, output) = verify(&[folder.path()]);
    assert_eq!(code, Some(0), "{output}");

    std::fs::remove_file(&drawn).expect("it is there");
    let (code, output) = verify(&[folder.path()]);
    assert!(code == Some(1) && output.contains("No such file"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_update_accepts_differences() {
    let folder = Folder::new();
    let fake = painter().await;
    folder.recording(fake.model()).await.create(picture_and_table()).await;
    drop(fake);
    let path = folder.files().remove(0);
    let text = std::fs::read_to_string(&path).expect("it is text");
    let picture = text.split("- files/").nth(1).and_then(|rest| rest.lines().next());
    let picture = format!("files/{}", picture.expect("it draws one"));
    let changed = text.replace("{braces} 42", "{braces} 41").replace(&picture, "files/gone.png");
    assert_ne!(text, changed);
    std::fs::write(&path, &changed).expect("the folder is ours");
    std::fs::remove_file(folder.path().join(&picture)).expect("it is there");

    let (code, output) = run(&["--update"], &[folder.path()]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("    - {braces} 41\n    + {braces} 42\n"), "{output}");
    assert!(output.ends_with("0 changed, 0 without an expected result, 1 updated\n"), "{output}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is text"), text, "and nothing else");
    let (code, output) = verify(&[folder.path()]);
    assert_eq!(code, Some(0), "{output}");
    let (code, output) = run(&["--update"], &[folder.path()]);
    assert!(code == Some(0) && output.ends_with(" 0 updated\n"), "{output}");
}

/// Checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn handwritten_scenarios_can_be_verified() {
    let folder = Folder::new();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    };
    write("no_code.yaml", "scenarios: [{ name: a, script: [text: hi] }]");
    write(
        "days.yaml",
        "scenarios:\n  - name: days\n    when:\n      input: { contains: days of 2028 }\n      \
         earlier: [hello]\n      after: { function_result: year, equals: { days: 366 } }\n    \
         script:\n      - delay: 10m\n      - code: print({{ function_result.days }}, {{ turn }}, '{{ input }}')\n      \
         - expect: { result: \"366 2 days of 2028\\n\" }\n      - code: 1 / 0\n      - if_error: [code: print(2)]\n      \
         - text: done\n",
    );
    let (code, output) = verify(&[folder.path()]);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("run 1: unchanged\n  run 2: no expected result\n  run 3: no expected"),
        "{output}"
    );

    write("hole.yaml", "scenarios: [{ name: a, script: [code: print(1), text: '{{ nothing }}'] }]");
    write("broken.yaml", "scenarios: [{ name: a }]");
    let (code, output) = verify(&[folder.path(), Path::new("/nowhere/at/all")]);
    assert_eq!(code, Some(1));
    for wanted in [
        "broken.yaml:1:",
        "hint: ",
        "the script cannot continue: The scenario `a` has a `text` that fails",
        "/nowhere/at/all: ",
    ] {
        assert!(output.contains(wanted), "no {wanted} in {output}");
    }
}
