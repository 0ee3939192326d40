//! Precedence of settings, and rejected ones.

use std::ffi::OsString;
use std::io::Write as _;

use secrecy::ExposeSecret;

use super::*;
use crate::verify::Changes;

fn task(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Task, ConfigError> {
    let arguments = ["belljar"].iter().chain(arguments).map(OsString::from);
    Task::read(arguments, |name| {
        let surely = [("HOME", "/home/user"), ("BELLJAR_LIBRARIES", "/libraries")];
        variables.iter().chain(&surely).find(|(known, _)| *known == name).map(|(_, v)| (*v).into())
    })
}

fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let arguments: Vec<&str> = ["serve"].iter().chain(arguments).copied().collect();
    task(&arguments, variables).map(|task| match task {
        Task::Serve(config) => config,
        other => panic!("expected the command `serve`: {other:?}"),
    })
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary folder can be created");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn the_default_server_listens_on_localhost_only() {
    let config = read(&[], &[]).expect("the configuration is valid");
    assert_eq!(config.given.listen().to_string(), "localhost:8080");
    let folder = DataDir::Folder("/home/user/.local/share/belljar".into());
    assert_eq!(config.data_dir, folder);
    assert!(config.api_keys.is_empty());
    assert_eq!(config.limits, Limits { regenerations: 5, model_turns: 20 });
    assert_eq!(config.given.request_bytes().in_memory(), 100 << 20);
    let two_days = Duration::from_secs(48 * 60 * 60);
    let files = FileLimits { file_bytes: 2 << 30, total_bytes: 20 << 30, lifetime: two_days };
    assert_eq!(config.files, files);
    assert_eq!(config.given.retention().0, Duration::from_secs(55 * 24 * 60 * 60));
    let rules: Vec<_> = config.models.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["direct", "*"]);
    let SandboxConfig::Warden { program, run, seed, .. } = config.sandbox else {
        panic!("expected a warden that the server starts");
    };
    assert_eq!(seed, None);
    assert!(program.ends_with("belljar-warden"));
    assert_eq!(run, Duration::from_secs(30));
}

#[test]
fn an_option_overrides_the_variable_and_that_overrides_the_file() {
    let file = file("max_model_turns = 1\nmax_code_retries = 1\nrun_timeout = 0.5\nseed = 7\n");
    let path = file.path().to_str().expect("the path is UTF-8");
    let variables = [
        ("BELLJAR_CONFIG", path),
        ("BELLJAR_MAX_MODEL_TURNS", "2"),
        ("BELLJAR_MAX_CODE_RETRIES", "2"),
    ];
    let config = read(&["--max-model-turns", "3"], &variables).expect("the configuration is valid");
    assert_eq!(config.limits, Limits { regenerations: 2, model_turns: 3 });
    let SandboxConfig::Warden { run, seed, .. } = config.sandbox else {
        panic!("expected a warden that the server starts")
    };
    assert_eq!((run, seed), (Duration::from_millis(500), Some(7)));
}

#[test]
fn other_machines_are_accepted_with_keys_or_with_no_auth() {
    let everywhere = ["--listen", "0.0.0.0:0"];
    assert!(matches!(read(&everywhere, &[]), Err(ConfigError::Open(_))));
    assert!(matches!(read(&everywhere, &[("BELLJAR_API_KEYS", " ,")]), Err(ConfigError::Open(_))));
    let config = read(&everywhere, &[("BELLJAR_API_KEYS", "a, b")]).expect("it has keys");
    let keys: Vec<_> = config.api_keys.iter().map(|key| key.expose_secret()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert!(read(&["--listen", "0.0.0.0:0", "--no-auth"], &[]).is_ok());
    for (word, wanted) in
        [("true", true), ("1", true), ("YES", true), ("0", false), ("maybe", false)]
    {
        assert_eq!(read(&everywhere, &[("BELLJAR_NO_AUTH", word)]).is_ok(), wanted, "{word}");
    }
    let both = [("BELLJAR_NO_AUTH", "true"), ("BELLJAR_API_KEYS", "a")];
    assert_eq!(read(&everywhere, &both).expect("it has a key").api_keys.len(), 1);
}

#[test]
fn keys_are_in_no_error_and_no_debug_output() {
    let config = read(&[], &[("BELLJAR_API_KEYS", "geheim")]).expect("the configuration is valid");
    assert!(!format!("{config:?}").contains("geheim"));
    for text in ["api_keys = [\"geheim\", 7]", "api_keys = \"geheim\""] {
        let file = file(text);
        let path = file.path().to_str().expect("the path is UTF-8");
        let error = read(&["--config", path], &[]).expect_err("it is rejected").to_string();
        assert!(!error.contains("geheim"), "{error}");
        assert!(error.contains("line 1, column"), "{error}");
    }
}

#[test]
fn an_invalid_setting_is_rejected_by_name() {
    for (text, wanted) in [
        ("lisen = 1", "line 1, column 1: unknown field `lisen`: did you mean `listen`?"),
        ("[[fault]]\nchance = 7", "line 2, column 10: invalid chance 7"),
        ("run_timeout = 0", "expected a duration from"),
        ("shutdown_grace = \"soon\"", "line 1, column 18"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"gemini\"\nbase_url = \"google\"",
            "invalid base_url google: expected a URL such as https://generativelanguage.googleapis.com",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"gemini\"\nexecution = \"here\"",
            "[[model]] q*: invalid execution: unknown variant `here`, expected `sandbox` or",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"openai\"", "[[model]] q*: missing base_url"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"gopher://x\"",
            "invalid base_url gopher://x: expected a URL such as",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"http://x\"\napi_key_env = \"NO\"",
            "[[model]] q*: environment variable NO contains no key",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nimages = 1",
            "[[model]] q*: invalid images: expected true, false or",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nexecution = \"sandbox\"",
            "[[model]] q*: unknown field `execution`, expected one of `base_url`",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"gemini\"\nmodle = \"m\"",
            "[[model]] q*: unknown field `modle`: did you mean `model`?",
        ),
        (
            "[[model]]\nname = \"q*\"\nbakend = \"direct\"",
            "line 1, column 1: unknown field `bakend`: did you mean `backend`?",
        ),
        ("[[model]]\nbackend = \"direct\"", "line 1, column 1: missing field `name`"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"direct\"\nrecords = false",
            "[[model]] q*: unknown field `records`: did you mean `record`?",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"scripted\"\nfolder = \"f\"",
            "[[model]] q*: unknown field `folder`: this backend has no keys of its own",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"replay\"", "[[model]] q*: missing folder"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"direct\"\nrecord = true",
            "record must be a folder or false",
        ),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"magic\"",
            "[[model]] q*: unknown backend magic: expected direct, scripted, openai, gemini or replay",
        ),
        ("[search]\nprovider = \"web\"", "[search]: unknown provider web"),
        ("[search]\nprovider = \"folder\"", "[search]: missing folder"),
        ("[search]\nprovider = \"searxng\"", "[search]: missing base_url"),
        (
            "[search]\nprovider = \"folder\"\nfolder = \"d\"\nresults = 0",
            "[search]: invalid results 0: expected 1 to 20",
        ),
        ("[[model]]\nname = \"[\"\nbackend = \"direct\"", "[[model]] [: "),
    ] {
        let file = file(text);
        let path = file.path().to_str().expect("the path is UTF-8");
        let error = read(&["--config", path], &[]).expect_err("it is rejected").to_string();
        assert!(error.contains(wanted), "{text} gave {error}");
    }
    let error = read(&[], &[("BELLJAR_LISTEN", "home")]).expect_err("it is no URL");
    assert!(error.to_string().starts_with("invalid BELLJAR_LISTEN=home: expected"), "{error}");
}

#[test]
fn models_are_recorded_in_the_configured_folder_without_keys() {
    let nothing = read(&[], &[]).expect("the configuration is valid");
    assert!(nothing.models.iter().all(|rule| rule.record.is_none()));
    let file = file(
        "record = \"all\"\nrecord_from_anywhere = true\napi_keys = [\"the-servers-own\"]\n\
         [[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"http://h\"\n\
         api_key_env = \"KEY\"\nrecord = \"some\"\n\
         [[model]]\nname = \"r*\"\nbackend = \"replay\"\nfolder = \"kept\"\nrecord = false\n",
    );
    let path = file.path().to_str().expect("the path is UTF-8");
    let config = read(&["--config", path], &[("KEY", "the-models-own")])
        .expect("the configuration is valid");
    assert_eq!(config.given.record_remote_clients, Some(true));
    let folders: Vec<_> = config.models.iter().map(|rule| rule.record.as_deref()).collect();
    let all = Some(Path::new("all"));
    assert_eq!(folders, [Some(Path::new("some")), None, all, all]);
    assert_eq!(config.models[1].backend.replayed(), Some(Path::new("kept")));
    let secrets = config.secrets();
    assert_eq!(secrets.redact("the-models-own the-servers-own"), "[redacted] [redacted]");

    let variables =
        [("BELLJAR_RECORD", "others"), ("BELLJAR_RECORD_REMOTE_CLIENTS", "false"), ("KEY", "k")];
    let config = read(&["--config", path], &variables).expect("the configuration is valid");
    assert_eq!(config.given.record_remote_clients, Some(false));
    assert_eq!(config.models[2].record.as_deref(), Some(Path::new("others")));
    let flags = ["--record", "these", "--record-remote-clients", "--config", path];
    let config = read(&flags, &variables).expect("the configuration is valid");
    assert_eq!(config.given.record_remote_clients, Some(true));
    assert_eq!(config.models[2].record.as_deref(), Some(Path::new("these")));
}

#[test]
fn the_record_mode_comes_from_the_option_the_variable_or_the_file() {
    let file = file("record_mode = 'all'\nrecord_ignore = ['c']\n");
    let path = file.path().to_str().expect("the path is UTF-8");
    let variables = [
        ("BELLJAR_CONFIG", path),
        ("BELLJAR_RECORD_MODE", "replace"),
        ("BELLJAR_RECORD_IGNORE", "a,b\n\nc|d"),
    ];
    for (arguments, variables, mode, patterns) in [
        (&[][..], &[][..], RecordMode::Replace, 0),
        (&["--config", path], &[], RecordMode::All, 1),
        (&[], &variables, RecordMode::Replace, 2),
        (
            &[
                "--record-mode",
                "new",
                "--record-ignore",
                "a",
                "--record-ignore=b",
                "--record-ignore=c",
            ],
            &variables,
            RecordMode::New,
            3,
        ),
    ] {
        let config = read(arguments, variables).expect("the configuration is valid");
        assert_eq!((config.given.record_mode(), config.record_ignore.len()), (mode, patterns));
    }
    assert!(matches!(read(&["--record-mode", "some"], &[]), Err(ConfigError::Arguments(_))));
    assert!(matches!(read(&["--record-ignore", "("], &[]), Err(ConfigError::RecordIgnore(_))));
}

#[test]
fn verify_takes_the_named_recordings() {
    let Ok(Task::Verify(config, paths, changes)) = task(&["verify", "--seed", "7", "a", "b"], &[])
    else {
        panic!("the configuration is valid");
    };
    assert_eq!(paths, [Path::new("a"), Path::new("b")]);
    assert_eq!((&config.data_dir, &*config.given.log()), (&DataDir::Scratch, "warn"));
    assert_eq!(changes, Changes::Refuse);
    let update = task(&["verify", "--update", "a"], &[]);
    assert!(matches!(update, Ok(Task::Verify(_, _, Changes::Accept))));
    assert!(
        matches!(task(&["verify"], &[]), Err(ConfigError::Arguments(_))),
        "verify needs a path"
    );
}

#[test]
fn search_is_off_unless_configured() {
    assert_eq!(read(&[], &[]).expect("the configuration is valid").search, None);
    let file = file(
        "[search]\nprovider = \"folder\"\nfolder = \"docs\"\nresults = 3\nmax_files = 7\n\
         base_url = \"https://wiki.example/\"\n",
    );
    let path = file.path().to_str().expect("the path is UTF-8");
    let wanted = SearchConfig::Folder {
        folder: "docs".into(),
        base_url: "https://wiki.example/".into(),
        results: 3,
        limits: FolderLimits { files: 7, file_bytes: 10 << 20, bytes: 128 << 20 },
    };
    let found = read(&["--config", path], &[]).expect("the configuration is valid").search;
    assert_eq!(found, Some(wanted));
    let variables = [("BELLJAR_SEARCH", "http://127.0.0.1:8888")];
    let wanted = SearchConfig::Searxng {
        base_url: "http://127.0.0.1:8888".into(),
        timeout: Duration::from_secs(10),
        results: 5,
    };
    let found = read(&["--config", path], &variables).expect("the configuration is valid").search;
    assert_eq!(found, Some(wanted));
    let found = read(&["--config", path, "--search", "off"], &variables);
    assert_eq!(found.expect("the configuration is valid").search, None);
}

#[test]
fn doctor_tests_a_client_with_a_server_of_its_own() {
    let arguments = ["doctor", "--client", "--client-timeout", "5s", "--", "pytest"];
    let Ok(Task::DoctorClient(config, exec, within)) = task(&arguments, &[]) else {
        panic!("the configuration is valid");
    };
    assert_eq!((config.given.listen().port, config.data_dir), (0, DataDir::Scratch));
    assert_eq!((exec.command, within), (vec!["pytest".into()], Duration::from_secs(5)));
    for wrong in [&["doctor", "--client"][..], &["doctor", "--", "pytest"]] {
        assert!(matches!(task(wrong, &[]), Err(ConfigError::Arguments(_))), "{wrong:?}");
    }
}

#[test]
fn exec_gives_a_command_a_server_of_its_own() {
    let variables = [
        ("BELLJAR_LISTEN", "127.0.0.1:8080"),
        ("BELLJAR_DATA_DIR", "/data"),
        ("NO_PROXY", "intra.net"),
    ];
    let arguments = ["exec", "--scenarios", "s", "--", "pytest", "--flag"];
    let Ok(Task::Exec(config, exec)) = task(&arguments, &variables) else {
        panic!("the configuration is valid");
    };
    assert_eq!((config.given.listen().port, config.data_dir), (0, DataDir::Scratch));
    assert_eq!(config.scenarios, Some("s".into()));
    assert_eq!(exec.command, ["pytest", "--flag"]);
    assert_eq!(exec.no_proxy, "127.0.0.1,localhost,intra.net");
    assert!(matches!(task(&["exec"], &[]), Err(ConfigError::Arguments(_))), "it has no command");
}

#[test]
fn files_are_fetched_only_from_configured_addresses() {
    let nowhere = read(&[], &[]).expect("the configuration is valid").fetch_from;
    assert_eq!(nowhere, FetchFrom::default());
    let variable = [("BELLJAR_FETCH_FROM", "https://a.org/data/, https://b.org/")];
    let both = FetchFrom::new(["https://a.org/data/", "https://b.org/"]).expect("both are folders");
    assert_eq!(read(&[], &variable).expect("the configuration is valid").fetch_from, both);
    let file = file("fetch_from = ['https://a.org/data/', 'https://b.org/']\n");
    let path = file.path().to_str().expect("the path is UTF-8");
    assert_eq!(
        read(&["--config", path], &[]).expect("the configuration is valid").fetch_from,
        both
    );
    let error = read(&[], &[("BELLJAR_FETCH_FROM", "a.org")]).expect_err("it is no URL");
    assert!(error.to_string().contains("invalid URL prefix 'a.org'"), "{error}");
}

#[test]
fn every_known_variable_is_read_and_every_variable_read_is_known() {
    let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let file = file("[[model]]\nname = \"q*\"\nbackend = \"direct\"\n");
    let file = file.path().to_str().expect("the path is UTF-8").to_owned();
    // Without libraries, to also exercise the search for the installed ones.
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        match name {
            "BELLJAR_CONFIG" => Some(file.clone()),
            "HOME" => Some("/nonexistent".to_owned()),
            _ => None,
        }
    };
    let arguments = ["belljar", "serve"].map(OsString::from);
    let Ok(Task::Serve(config)) = Task::read(arguments, lookup) else { panic!("no server") };
    assert!(matches!(config.sandbox, SandboxConfig::Warden { libraries: None, .. }));
    let arguments = ["belljar", "serve", "--libraries", "/l"].map(OsString::from);
    Task::read(arguments, lookup).expect("the configuration is valid");
    let mut asked = asked.into_inner();
    asked.retain(|name| name.starts_with("BELLJAR_") && !super::renamed::is_former_variable(name));
    let known: std::collections::BTreeSet<String> = names::settings().into_iter().collect();
    let known: Vec<_> = known.into_iter().filter(|name| name != "BELLJAR_LIBRARIES").collect();
    asked.remove("BELLJAR_LIBRARIES"); // a flag had it
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), known);
}

/// The defaults in `--help` are the effective ones: passing each as an option changes nothing.
#[test]
fn the_defaults_in_help_are_the_effective_defaults() {
    let defaults = |command: &str| -> Vec<(String, String)> {
        let mut all = help::command();
        let command = all.find_subcommand_mut(command).expect("it is a command");
        let found = command.get_arguments().filter_map(|arg| {
            let help = arg.get_help()?.to_string();
            let default = help.split_once("[default: ")?.1.split(']').next()?.to_owned();
            Some((arg.get_long()?.to_owned(), default))
        });
        found.collect()
    };
    let shown = |options: &[&str]| {
        let arguments = [&["config"], options].concat();
        let Ok(Task::ShowConfig(table)) = task(&arguments, &[]) else { panic!("{arguments:?}") };
        let columns =
            |line: &str| line.rsplit_once("  ").map(|(before, _)| before.trim().to_owned());
        table.lines().filter_map(columns).collect::<Vec<_>>()
    };
    let usual = shown(&[]);
    assert!(usual.len() > 20, "{usual:?}");
    let mut tried = 0;
    for (flag, default) in defaults("serve") {
        let value = match flag.as_str() {
            "data-dir" => "/home/user/.local/share/belljar",
            // Described in words; the test of the default server covers them.
            "scenarios" | "search" | "warden" | "libraries" | "control" | "hosts" => continue,
            _ => &default,
        };
        assert_eq!(shown(&[&format!("--{flag}"), value]), usual, "--{flag} {value}");
        tried += 1;
    }
    assert!(tried >= 14, "only {tried} defaults were found");
    let exec = defaults("exec");
    let listen = exec.iter().find(|(flag, _)| flag == "listen").expect("it has one");
    assert_eq!(listen.1, "a free port of 127.0.0.1");
}

#[test]
fn help_of_each_command_lists_its_own_options_in_groups() {
    let mut all = help::command();
    let mut help_of = |name: &str| {
        let command = all.find_subcommand_mut(name).expect("it is a command");
        (command.render_help().to_string(), command.render_long_help().to_string())
    };
    let (short, long) = help_of("serve");
    assert!(short.len() < long.len() / 2, "{short}");
    for group in
        ["Server:", "Data:", "Model:", "Sandbox:", "Limits:", "Examples:", "BELLJAR_API_KEYS"]
    {
        assert!(long.contains(group), "{group} is missing in {long}");
    }
    let (_, exec) = help_of("exec");
    for absent in ["--retention", "--max-upload-bytes", "127.0.0.1:8080", "Limits:", "--no-auth"] {
        assert!(!exec.contains(absent), "{exec}");
    }
    assert!(exec.contains("--scenarios") && exec.contains("-- pytest"), "{exec}");
    let (_, verify) = help_of("verify");
    assert!(!verify.contains("--listen") && verify.contains("--seed"), "{verify}");
    let refused = task(&["verify", "--retention", "5d", "a"], &[]).expect_err("it has no effect");
    assert!(refused.to_string().contains("unexpected argument '--retention'"), "{refused}");
    assert!(task(&["exec", "--retention", "5d", "--", "a"], &[]).is_ok(), "it is accepted");
}

#[test]
fn no_data_is_kept_with_ephemeral() {
    let dir = |arguments: &[&str], variables: &[(&str, &str)]| {
        read(arguments, variables).expect("the configuration is valid").data_dir
    };
    let folder = |path: &str| DataDir::Folder(path.into());
    let (on, data) = (("BELLJAR_EPHEMERAL", "true"), ("BELLJAR_DATA_DIR", "/d"));
    assert_eq!(dir(&["--ephemeral"], &[]), DataDir::Scratch);
    assert_eq!(dir(&["--ephemeral"], &[data]), DataDir::Scratch);
    assert_eq!(dir(&[], &[on, data]), DataDir::Scratch);
    assert_eq!(dir(&["--data-dir", "/f"], &[on]), folder("/f"));
    assert_eq!(dir(&[], &[("BELLJAR_EPHEMERAL", "false"), data]), folder("/d"));
    let file = file("ephemeral = true\n");
    let config = ("BELLJAR_CONFIG", file.path().to_str().expect("the path is UTF-8"));
    assert_eq!(dir(&[], &[config]), DataDir::Scratch);
    let off = ("BELLJAR_EPHEMERAL", "false");
    assert_eq!(dir(&[], &[config, off]), folder("/home/user/.local/share/belljar"));
    assert_eq!(dir(&[], &[config, data]), folder("/d"));
    let both = read(&["--ephemeral", "--data-dir", "/f"], &[]);
    assert!(matches!(both, Err(ConfigError::Arguments(_))));
}

#[test]
fn sizes_and_durations_may_have_units_everywhere() {
    let file = file(
        "listen = 8091\nrequest_bytes = \"1MiB\"\nmax_upload_bytes = 7\nmax_total_upload_bytes = \"1_000\"\n\
         run_timeout = \"1m\"\nretention = \"1.5h\"\nlog_format = \"json\"\n\
         [search]\nprovider = \"folder\"\nfolder = \"d\"\nmax_file_bytes = \"1MB\"\nmax_bytes = 9\n",
    );
    let path = file.path().to_str().expect("the path is UTF-8");
    let config = read(&["--config", path], &[]).expect("the configuration is valid");
    assert_eq!(config.given.listen().to_string(), "localhost:8091");
    let files = (config.given.request_bytes().0, config.files.file_bytes, config.files.total_bytes);
    assert_eq!(files, (1 << 20, 7, 1000));
    assert_eq!(config.given.retention().0, Duration::from_secs(5400));
    assert_eq!(config.given.log_format(), LogFormat::Json);
    let Some(SearchConfig::Folder { limits, .. }) = config.search else {
        panic!("expected a folder")
    };
    assert_eq!((limits.file_bytes, limits.bytes), (1_000_000, 9));
    let SandboxConfig::Warden { run, .. } = config.sandbox else {
        panic!("expected a warden that the server starts")
    };
    assert_eq!(run, Duration::from_secs(60));

    let variables = [
        ("BELLJAR_LISTEN", "localhost:0"),
        ("BELLJAR_REQUEST_BYTES", "2KiB"),
        ("BELLJAR_RUN_TIMEOUT", "500ms"),
    ];
    let config =
        read(&["--max-upload-bytes", "3MB"], &variables).expect("the configuration is valid");
    let shown = (
        config.given.listen().to_string(),
        config.given.request_bytes().0,
        config.files.file_bytes,
    );
    assert_eq!(shown, ("localhost:0".to_owned(), 2048, 3_000_000));
    for (name, value, wanted) in [
        ("BELLJAR_RUN_TIMEOUT", "abc", "invalid BELLJAR_RUN_TIMEOUT=abc: expected a duration"),
        ("BELLJAR_REQUEST_BYTES", "lots", "expected a size such as 100MiB"),
        ("BELLJAR_LISTEN", "*:80", "write 0.0.0.0:80"),
        ("BELLJAR_LOG_FORMAT", "xml", "expected plain or json"),
    ] {
        let error = read(&[], &[(name, value)]).expect_err("it is wrong").to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn colours_follow_the_standard_variables() {
    let colour = |variables: &[(&str, &str)]| {
        read(&[], variables).expect("the configuration is valid").colour
    };
    assert_eq!(colour(&[]), Colour::Auto);
    assert_eq!(colour(&[("NO_COLOR", "")]), Colour::Auto);
    assert_eq!(colour(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), Colour::Never);
    assert_eq!(colour(&[("CLICOLOR_FORCE", "1")]), Colour::Always);
    assert_eq!(colour(&[("CLICOLOR_FORCE", "0")]), Colour::Auto);
    assert_eq!(colour(&[("TERM", "dumb")]), Colour::Never);
}

#[test]
fn the_effective_settings_are_shown_with_their_source_and_without_keys() {
    let file = file(
        "max_model_turns = 7\nrequest_bytes = 2048\n[[model]]\nname = \"q*\"\nbackend = \"openai\"\n\
         base_url = \"http://user:geheim@h/v1\"\napi_key_env = \"KEY\"\n",
    );
    let path = file.path().to_str().expect("the path is UTF-8");
    let variables =
        [("BELLJAR_API_KEYS", "geheim,auch-geheim"), ("KEY", "geheim"), ("BELLJAR_LOG", "debug")];
    let arguments = ["config", "--config", path, "--run-timeout", "90", "--listen", ":0"];
    let Ok(Task::ShowConfig(table)) = task(&arguments, &variables) else {
        panic!("the configuration is valid");
    };
    assert!(!table.contains("geheim"), "{table}");
    for (name, value, from) in [
        ("config", path, "--config"),
        ("listen", "localhost:0", "--listen"),
        ("api_keys", "2 keys", "BELLJAR_API_KEYS"),
        ("max_model_turns", "7", path),
        ("request_bytes", "2KiB", path),
        ("run_timeout", "90s", "--run-timeout"),
        ("log", "debug", "BELLJAR_LOG"),
        ("libraries", "/libraries", "BELLJAR_LIBRARIES"),
        ("retention", "55d", "default"),
    ] {
        let row = table.lines().find(|line| line.starts_with(&format!("{name} ")));
        let row = row.unwrap_or_else(|| panic!("{name} is missing in {table}"));
        assert!(row.contains(value) && row.ends_with(from), "{row}");
    }
    assert!(table.contains("q*: openai http://h/v1"), "{table}");
}

#[test]
fn test_controls_are_off_with_keys_unless_enabled() {
    let keys = ("BELLJAR_API_KEYS", "a,b");
    let (on, off) = (file("control = true"), file("control = false"));
    let path = |file: &tempfile::NamedTempFile| {
        file.path().to_str().expect("the path is UTF-8").to_owned()
    };
    let (on, off) = (path(&on), path(&off));
    for (arguments, variables, wanted) in [
        (&[][..], &[][..], Control::On),
        (&[], &[keys], Control::Off),
        (&["--no-control"], &[], Control::Off),
        (&["--control"], &[keys], Control::On),
        (&["--control", "--no-control"], &[], Control::Off),
        (&["--no-control", "--control"], &[keys], Control::On),
        (&[], &[keys, ("BELLJAR_CONTROL", "true")], Control::On),
        (&[], &[("BELLJAR_CONTROL", "false")], Control::Off),
        (&[], &[("BELLJAR_NO_CONTROL", "true")], Control::Off),
        (&["--control"], &[("BELLJAR_CONTROL", "false")], Control::On),
        (&["--config", &on], &[keys], Control::On),
        (&["--config", &off], &[], Control::Off),
        (&["--config", &off], &[("BELLJAR_CONTROL", "true")], Control::On),
    ] {
        let config = read(arguments, variables).expect("the configuration is valid");
        assert_eq!(config.control, wanted, "{arguments:?} {variables:?}");
    }
    let exec = task(&["exec", "--", "true"], &[keys, ("BELLJAR_CONTROL", "false")]);
    let Ok(Task::Exec(config, _)) = exec else { panic!("{exec:?}") };
    assert_eq!(config.control, Control::On, "a server for one command is for tests");
}

#[test]
fn each_key_is_a_tenant_unless_keys_are_shared() {
    let file = file("shared_keys = true");
    let path = file.path().to_str().expect("the path is UTF-8");
    for (arguments, variables, wanted) in [
        (&[][..], &[("BELLJAR_API_KEYS", "a,b")][..], None),
        (&["--shared-keys"], &[], Some(true)),
        (&[], &[("BELLJAR_SHARED_KEYS", "true")], Some(true)),
        (&["--config", path], &[], Some(true)),
        (&["--config", path], &[("BELLJAR_SHARED_KEYS", "false")], Some(false)),
    ] {
        let config = read(arguments, variables).expect("the configuration is valid");
        assert_eq!(config.given.shared_keys, wanted, "{arguments:?} {variables:?}");
    }
}

#[test]
fn recordings_of_one_key_do_not_answer_another() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let whole = folder.path().to_str().expect("the path is UTF-8");
    let below = format!("{whole}/recorded");
    let other = tempfile::tempdir().expect("a temporary folder can be created");
    let other = other.path().to_str().expect("the path is UTF-8");
    let two = [("BELLJAR_API_KEYS", "a,b")];
    for record in [whole, &below, &format!("{whole}/./x/..")] {
        let arguments = ["--record", record, "--scenarios", whole];
        let refused = read(&arguments, &two);
        assert!(matches!(refused, Err(ConfigError::RecordingsAnswer(_))), "{record}");
        assert!(read(&arguments, &[("BELLJAR_API_KEYS", "a")]).is_ok(), "there is only one key");
        let shared = [&arguments[..], &["--shared-keys"]].concat();
        assert!(read(&shared, &two).is_ok());
    }
    let apart = ["--record", other, "--scenarios", whole];
    assert!(read(&apart, &two).is_ok());
    let new = [&apart[..], &["--record-mode", "new"]].concat();
    assert!(matches!(read(&new, &two), Err(ConfigError::RecordingsAnswer(_))), "they answer");
    assert!(read(&[&new[..], &["--shared-keys"]].concat(), &two).is_ok());
}

#[test]
fn names_of_the_server_come_from_the_flag_the_variable_or_the_file() {
    let file = file("hosts = ['c']\n");
    let path = file.path().to_str().expect("the path is UTF-8");
    let variables = [("BELLJAR_CONFIG", path), ("BELLJAR_HOSTS", "b, server,")];
    let hosts = |names: &[&str]| Hosts::new(names.iter().copied()).expect("they are names");
    for (arguments, variables, wanted) in [
        (&["--hosts", "a,a.example.org"][..], &variables[..], &["a", "a.example.org"][..]),
        (&[], &variables[..], &["b", "server"]),
        (&[], &variables[..1], &["c"]),
        (&[], &[], &[]),
    ] {
        let config = read(arguments, variables).expect("the configuration is valid");
        assert_eq!(config.hosts, hosts(wanted));
    }
    let error = read(&["--hosts", "http://a"], &[]).expect_err("it is an address");
    assert!(error.to_string().contains("invalid host 'http://a'"), "{error}");
}

#[test]
fn former_names_of_settings_are_accepted_and_reported() {
    let file = file(
        "stalled_after = \"5s\"\nregenerations = 1\nfile_bytes = 7\n\
         [search]\nprovider = \"searxng\"\nbase_url = \"http://s\"\nwithin = \"4s\"\n\
         [[model]]\nname = \"q\"\nbackend = \"openai\"\nbase_url = \"http://m/v1\"\nmodel = \"m\"\n\
         silence = \"3s\"\n",
    );
    let path = file.path().to_str().expect("it is UTF-8");
    let variables = [
        ("BELLJAR_CONFIG", path),
        ("BELLJAR_REGENERATIONS", "2"),
        ("BELLJAR_RECORD_FROM_ANYWHERE", "true"),
        ("BELLJAR_FILES_BYTES", "9"),
    ];
    let config =
        read(&["--model-turns=3", "--run-seconds", "1m"], &variables).expect("it is valid");
    assert_eq!(config.limits, Limits { regenerations: 2, model_turns: 3 });
    assert_eq!(config.given.write_timeout().0, Duration::from_secs(5));
    assert_eq!((config.files.file_bytes, config.files.total_bytes), (7, 9));
    assert_eq!(config.given.record_remote_clients, Some(true));
    assert!(matches!(config.sandbox, SandboxConfig::Warden { run, .. } if run.as_secs() == 60));
    assert!(matches!(
        config.search,
        Some(SearchConfig::Searxng { timeout, .. }) if timeout.as_secs() == 4
    ));
    let names: Vec<_> =
        config.former_names.iter().map(|name| (name.former.as_str(), name.new.as_str())).collect();
    assert_eq!(
        names,
        [
            ("--model-turns", "--max-model-turns"),
            ("--run-seconds", "--run-timeout"),
            ("BELLJAR_FILES_BYTES", "BELLJAR_MAX_TOTAL_UPLOAD_BYTES"),
            ("BELLJAR_RECORD_FROM_ANYWHERE", "BELLJAR_RECORD_REMOTE_CLIENTS"),
            ("BELLJAR_REGENERATIONS", "BELLJAR_MAX_CODE_RETRIES"),
            ("file_bytes", "max_upload_bytes"),
            ("model.silence", "model.idle_timeout"),
            ("regenerations", "max_code_retries"),
            ("search.within", "search.timeout"),
            ("stalled_after", "write_timeout"),
        ]
    );
    let new = [("BELLJAR_REGENERATIONS", "2"), ("BELLJAR_MAX_CODE_RETRIES", "4")];
    let config = read(&[], &new).expect("it is valid");
    assert_eq!(config.limits.regenerations, 4, "the new name overrides the former one");
}
