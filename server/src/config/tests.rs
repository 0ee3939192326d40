//! Which setting wins, and what is refused.

use std::io::Write as _;

use secrecy::ExposeSecret;

use super::*;

fn task(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Task, ConfigError> {
    let arguments = ["belljar"].iter().chain(arguments).map(OsString::from);
    Task::read(arguments, |name| {
        let surely = [("HOME", "/home/somebody"), ("BELLJAR_LIBRARIES", "/libraries")];
        variables.iter().chain(&surely).find(|(known, _)| *known == name).map(|(_, v)| (*v).into())
    })
}

fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let arguments: Vec<&str> = ["serve"].iter().chain(arguments).copied().collect();
    task(&arguments, variables).map(|task| match task {
        Task::Serve(config) => config,
        other => panic!("it was asked to serve: {other:?}"),
    })
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn without_a_word_it_serves_this_machine_alone() {
    let config = read(&[], &[]).expect("there is nothing wrong");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    let folder = DataDir::Folder("/home/somebody/.local/share/belljar".into());
    assert_eq!(config.data_dir, folder);
    assert!(config.api_keys.is_empty());
    assert_eq!(config.limits, Limits { regenerations: 5, model_turns: 20 });
    assert_eq!(config.request_bytes, 100 << 20);
    let two_days = Duration::from_secs(48 * 60 * 60);
    let files = FileLimits { file_bytes: 2 << 30, total_bytes: 20 << 30, lifetime: two_days };
    assert_eq!(config.files, files);
    assert_eq!(config.retention, Duration::from_secs(55 * 24 * 60 * 60));
    let rules: Vec<_> = config.models.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["direct", "*"]);
    let SandboxConfig::Warden { program, run, seed, .. } = config.sandbox else {
        panic!("it must start a warden of its own");
    };
    assert_eq!(seed, None);
    assert!(program.ends_with("belljar-warden"));
    assert_eq!(run, Duration::from_secs(30));
}

#[test]
fn a_flag_comes_before_a_variable_and_that_before_the_file() {
    let file = file("model_turns = 1\nregenerations = 1\nrun_seconds = 0.5\nseed = 7\n");
    let path = file.path().to_str().expect("it is text");
    let variables =
        [("BELLJAR_CONFIG", path), ("BELLJAR_MODEL_TURNS", "2"), ("BELLJAR_REGENERATIONS", "2")];
    let config = read(&["--model-turns", "3"], &variables).expect("there is nothing wrong");
    assert_eq!(config.limits, Limits { regenerations: 2, model_turns: 3 });
    let SandboxConfig::Warden { run, seed, .. } = config.sandbox else {
        panic!("there is no socket")
    };
    assert_eq!((run, seed), (Duration::from_millis(500), Some(7)));
}

#[test]
fn other_machines_are_let_in_with_keys_or_when_somebody_says_so() {
    let everywhere = ["--listen", "0.0.0.0:0"];
    assert!(matches!(read(&everywhere, &[]), Err(ConfigError::Open(_))));
    assert!(matches!(read(&everywhere, &[("BELLJAR_API_KEYS", " ,")]), Err(ConfigError::Open(_))));
    let config = read(&everywhere, &[("BELLJAR_API_KEYS", "a, b")]).expect("it has keys");
    let keys: Vec<_> = config.api_keys.iter().map(|key| key.expose_secret()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert!(read(&["--listen", "0.0.0.0:0", "--no-auth"], &[]).is_ok());
    assert!(read(&everywhere, &[("BELLJAR_NO_AUTH", "true")]).is_ok());
    let both = [("BELLJAR_NO_AUTH", "true"), ("BELLJAR_API_KEYS", "a")];
    assert_eq!(read(&everywhere, &both).expect("it has a key").api_keys.len(), 1);
}

#[test]
fn keys_are_in_no_error_and_no_debug_output() {
    let config = read(&[], &[("BELLJAR_API_KEYS", "geheim")]).expect("there is nothing wrong");
    assert!(!format!("{config:?}").contains("geheim"));
    for text in ["api_keys = [\"geheim\", 7]", "api_keys = \"geheim\""] {
        let file = file(text);
        let path = file.path().to_str().expect("it is text");
        let error = read(&["--config", path], &[]).expect_err("it was accepted").to_string();
        assert!(!error.contains("geheim"), "{error}");
        assert!(error.contains("line 1, column"), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (text, wanted) in [
        ("lisen = 1", "line 1, column 1: unknown field `lisen`"),
        ("[[fault]]\nchance = 7", "line 2, column 10: a chance lies between 0 and 1"),
        ("run_seconds = 0", "it must lie between"),
        ("shutdown_grace = \"soon\"", "line 1, column 18"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"gemini\"\nbase_url = \"google\"",
            "base_url google is no URL such as https://generativelanguage.googleapis.com",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"gemini\"\nexecution = \"here\"",
            "unknown variant `here`, expected `sandbox` or `upstream`",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"openai\"", "[[model]] q*: base_url is missing"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"gopher://x\"",
            "base_url gopher://x is no URL such as",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"http://x\"\napi_key_env = \"NO\"",
            "[[model]] q*: NO has no key in it",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"openai\"\nimages = 1", "images is true, false or"),
        ("[[model]]\nname = \"q*\"\nbackend = \"replay\"", "[[model]] q*: folder is missing"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"direct\"\nrecord = true",
            "record is a folder or false",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"magic\"", "there is no backend magic"),
        ("[search]\nprovider = \"web\"", "[search]: there is no provider web"),
        ("[search]\nprovider = \"folder\"", "[search]: folder is missing"),
        ("[search]\nprovider = \"searxng\"", "[search]: base_url is missing"),
        (
            "[search]\nprovider = \"folder\"\nfolder = \"d\"\nresults = 0",
            "[search]: results lies between 1 and 20",
        ),
        ("[[model]]\nname = \"[\"\nbackend = \"direct\"", "[[model]] [: "),
    ] {
        let file = file(text);
        let path = file.path().to_str().expect("it is text");
        let error = read(&["--config", path], &[]).expect_err("it was accepted").to_string();
        assert!(error.contains(wanted), "{text} gave {error}");
    }
    let error = read(&[], &[("BELLJAR_LISTEN", "home")]).expect_err("it is no address");
    assert!(error.to_string().starts_with("BELLJAR_LISTEN=home does not read"), "{error}");
}

#[test]
fn a_model_on_another_server_has_an_address_and_a_key_that_is_not_shown() {
    let file = file(
        "[[model]]\nname = \"qwen*\"\nbackend = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         model = \"qwen3:8b\"\napi_key_env = \"OLLAMA_KEY\"\ntools = \"fenced\"\nsilence = \"5s\"\n",
    );
    let path = file.path().to_str().expect("it is text");
    let config = read(&["--config", path], &[("OLLAMA_KEY", "geheim")]).expect("it is right");
    let BackendConfig::OpenAi(address, model) = &config.models[0].backend else {
        panic!("{config:?}");
    };
    assert_eq!(
        (address.base_url.as_str(), address.silence.as_secs()),
        ("http://127.0.0.1:1/v1", 5)
    );
    assert_eq!(address.key.as_ref().map(ExposeSecret::expose_secret), Some("geheim"));
    let wanted = openai::Model {
        name: Some("qwen3:8b".into()),
        tools: openai::Has::No,
        images: openai::Has::Auto,
    };
    assert_eq!(*model, wanted);
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn geminis_models_are_googles_unless_somebody_says_otherwise() {
    let file = file(
        "[[model]]\nname = \"gemini-*\"\nbackend = \"gemini\"\napi_key_env = \"KEY\"\n\
         [[model]]\nname = \"*\"\nbackend = \"gemini\"\nbase_url = \"http://127.0.0.1:1\"\n\
         model = \"m\"\nexecution = \"upstream\"\nsilence = \"5s\"\n",
    );
    let path = file.path().to_str().expect("it is text");
    let config = read(&["--config", path], &[("KEY", "geheim")]).expect("it is right");
    assert!(!format!("{config:?}").contains("geheim"));
    let [first, second, ..] = &config.models[..] else { panic!("{config:?}") };
    let BackendConfig::Gemini(address, model) = &first.backend else { panic!("{config:?}") };
    assert_eq!(address.base_url, "https://generativelanguage.googleapis.com");
    assert_eq!(address.key.as_ref().map(ExposeSecret::expose_secret), Some("geheim"));
    let usual = gemini::Model { name: None, execution: gemini::Execution::Sandbox };
    assert_eq!(*model, usual);
    let BackendConfig::Gemini(address, model) = &second.backend else { panic!("{config:?}") };
    assert_eq!((address.base_url.as_str(), address.silence.as_secs()), ("http://127.0.0.1:1", 5));
    let theirs = gemini::Model { name: Some("m".into()), execution: gemini::Execution::Upstream };
    assert_eq!(*model, theirs);
}

#[test]
fn models_are_recorded_where_somebody_says_so_and_keys_are_known() {
    let nothing = read(&[], &[]).expect("there is nothing wrong");
    assert!(nothing.models.iter().all(|rule| rule.record.is_none()));
    let file = file(
        "record = \"all\"\nrecord_from_anywhere = true\napi_keys = [\"the-servers-own\"]\n\
         [[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"http://h\"\n\
         api_key_env = \"KEY\"\nrecord = \"some\"\n\
         [[model]]\nname = \"r*\"\nbackend = \"replay\"\nfolder = \"kept\"\nrecord = false\n",
    );
    let path = file.path().to_str().expect("it is text");
    let config = read(&["--config", path], &[("KEY", "the-models-own")]).expect("it is right");
    assert!(config.record_from_anywhere);
    let folders: Vec<_> = config.models.iter().map(|rule| rule.record.as_deref()).collect();
    let all = Some(Path::new("all"));
    assert_eq!(folders, [Some(Path::new("some")), None, all, all]);
    assert!(matches!(&config.models[1].backend, BackendConfig::Replay(at) if at == "kept"));
    let secrets = config.secrets();
    assert_eq!(secrets.redact("the-models-own the-servers-own"), "[redacted] [redacted]");

    let variables =
        [("BELLJAR_RECORD", "others"), ("BELLJAR_RECORD_FROM_ANYWHERE", "false"), ("KEY", "k")];
    let config = read(&["--config", path], &variables).expect("it is right");
    assert!(!config.record_from_anywhere);
    assert_eq!(config.models[2].record.as_deref(), Some(Path::new("others")));
    let flags = ["--record", "these", "--record-from-anywhere", "--config", path];
    let config = read(&flags, &variables).expect("it is right");
    assert!(config.record_from_anywhere);
    assert_eq!(config.models[2].record.as_deref(), Some(Path::new("these")));
}

#[test]
fn what_was_recorded_is_verified_by_name() {
    let Ok(Task::Verify(config, paths)) = task(&["verify", "--seed", "7", "a", "b"], &[]) else {
        panic!("there is nothing wrong");
    };
    assert_eq!(paths, [Path::new("a"), Path::new("b")]);
    assert_eq!((config.data_dir, config.log.as_str()), (DataDir::Scratch, "warn"));
    assert!(matches!(task(&["verify"], &[]), Err(ConfigError::Arguments(_))), "verify what?");
}

#[test]
fn models_search_where_somebody_says_and_otherwise_nowhere() {
    assert_eq!(read(&[], &[]).expect("there is nothing wrong").search, None);
    let file = file(
        "[search]\nprovider = \"folder\"\nfolder = \"docs\"\nresults = 3\nmax_files = 7\n\
         base_url = \"https://wiki.example/\"\n",
    );
    let path = file.path().to_str().expect("it is text");
    let wanted = SearchConfig::Folder {
        folder: "docs".into(),
        base_url: "https://wiki.example/".into(),
        results: 3,
        limits: FolderLimits { files: 7, file_bytes: 10 << 20, bytes: 128 << 20 },
    };
    let found = read(&["--config", path], &[]).expect("there is nothing wrong").search;
    assert_eq!(found, Some(wanted));
    let variables = [("BELLJAR_SEARCH", "http://127.0.0.1:8888")];
    let wanted = SearchConfig::Searxng {
        base_url: "http://127.0.0.1:8888".into(),
        within: Duration::from_secs(10),
        results: 5,
    };
    let found = read(&["--config", path], &variables).expect("there is nothing wrong").search;
    assert_eq!(found, Some(wanted));
    let found = read(&["--config", path, "--search", "off"], &variables);
    assert_eq!(found.expect("there is nothing wrong").search, None);
}

#[test]
fn a_client_is_tried_by_a_server_that_is_in_nobodys_way() {
    let arguments = ["doctor", "--client", "--client-within", "5s", "--", "pytest"];
    let Ok(Task::DoctorClient(config, exec, within)) = task(&arguments, &[]) else {
        panic!("there is nothing wrong");
    };
    assert_eq!((config.listen.port(), config.data_dir), (0, DataDir::Scratch));
    assert_eq!((exec.command, within), (vec!["pytest".into()], Duration::from_secs(5)));
    for wrong in [&["doctor", "--client"][..], &["doctor", "--", "pytest"]] {
        assert!(matches!(task(wrong, &[]), Err(ConfigError::Arguments(_))), "{wrong:?}");
    }
}

#[test]
fn a_command_gets_a_server_that_is_in_nobodys_way() {
    let variables = [
        ("BELLJAR_LISTEN", "127.0.0.1:8080"),
        ("BELLJAR_DATA_DIR", "/data"),
        ("NO_PROXY", "intra.net"),
    ];
    let arguments = ["exec", "--scenarios", "s", "--", "pytest", "--flag"];
    let Ok(Task::Exec(config, exec)) = task(&arguments, &variables) else {
        panic!("there is nothing wrong");
    };
    assert_eq!((config.listen.port(), config.data_dir), (0, DataDir::Scratch));
    assert_eq!(config.scenarios, Some("s".into()));
    assert_eq!(exec.command, ["pytest", "--flag"]);
    assert_eq!(exec.no_proxy, "127.0.0.1,localhost,intra.net");
    assert!(matches!(task(&["exec"], &[]), Err(ConfigError::Arguments(_))), "it has no command");
}

#[test]
fn files_are_fetched_from_nowhere_unless_somebody_says_from_where() {
    let nowhere = read(&[], &[]).expect("there is nothing wrong").fetch_from;
    assert_eq!(nowhere, FetchFrom::default());
    let variable = [("BELLJAR_FETCH_FROM", "https://a.org/data/, https://b.org/")];
    let both = FetchFrom::new(["https://a.org/data/", "https://b.org/"]).expect("both are folders");
    assert_eq!(read(&[], &variable).expect("there is nothing wrong").fetch_from, both);
    let file = file("fetch_from = ['https://a.org/data/', 'https://b.org/']\n");
    let path = file.path().to_str().expect("it is text");
    assert_eq!(read(&["--config", path], &[]).expect("there is nothing wrong").fetch_from, both);
    let error = read(&[], &[("BELLJAR_FETCH_FROM", "a.org")]).expect_err("it is no address");
    assert!(error.to_string().contains("'a.org' is no address"), "{error}");
}

#[test]
fn names_of_the_server_come_from_the_flag_the_variable_or_the_file() {
    let file = file("hosts = ['c']\n");
    let path = file.path().to_str().expect("it is text");
    let variables = [("BELLJAR_CONFIG", path), ("BELLJAR_HOSTS", "b, server,")];
    let hosts = |names: &[&str]| Hosts::new(names.iter().copied()).expect("they are names");
    for (arguments, variables, wanted) in [
        (&["--hosts", "a,a.example.org"][..], &variables[..], &["a", "a.example.org"][..]),
        (&[], &variables[..], &["b", "server"]),
        (&[], &variables[..1], &["c"]),
        (&[], &[], &[]),
    ] {
        let config = read(arguments, variables).expect("there is nothing wrong");
        assert_eq!(config.hosts, hosts(wanted));
    }
    let error = read(&["--hosts", "http://a"], &[]).expect_err("it is an address");
    assert!(error.to_string().contains("invalid host 'http://a'"), "{error}");
}
