//! Names of environment variables, and suggestions for misspelled ones.

use std::collections::BTreeSet;
use std::ffi::OsString;

use strsim::damerau_levenshtein;

use super::settings::DEFINITIONS;
use super::{ConfigError, renamed};

pub const PREFIX: &str = "BELLJAR_";

/// The folder below which `install-libraries` installs. It is no setting of the server, which only
/// looks for the libraries there.
const CACHE: &str = "BELLJAR_CACHE";

/// Variables that only docker-compose.yml reads. A sourced `.env` puts them into the server's
/// environment.
const OF_COMPOSE: [&str; 30] = [
    "BELLJAR_PUBLISH",
    "BELLJAR_SCENARIOS_DIR",
    "BELLJAR_CONFIG_FILE",
    "BELLJAR_OLLAMA_MODEL",
    "BELLJAR_LLAMA_CPP_DIR",
    "BELLJAR_LLAMA_CPP_MODEL",
    "BELLJAR_LLAMA_CPP_CONTEXT",
    "BELLJAR_MODEL_MEMORY",
    "BELLJAR_SEARXNG_SETTINGS",
    "BELLJAR_WALL_MS",
    "BELLJAR_CPU_MS",
    "BELLJAR_MEMORY_MIB",
    "BELLJAR_SCRATCH_MIB",
    "BELLJAR_PROCESSES",
    "BELLJAR_THREADS",
    "BELLJAR_MAX_CELLS",
    "BELLJAR_KITS",
    "BELLJAR_STANDBYS",
    "BELLJAR_STANDBY_MIB",
    "BELLJAR_SANDBOX_MEMORY",
    "BELLJAR_SANDBOX_CPUS",
    "BELLJAR_SERVER_MEMORY",
    "BELLJAR_SERVER_CPUS",
    "BELLJAR_APPARMOR",
    "BELLJAR_SERVER_IMAGE",
    "BELLJAR_SANDBOX_IMAGE",
    "BELLJAR_OLLAMA_IMAGE",
    "BELLJAR_LLAMA_CPP_IMAGE",
    "BELLJAR_SEARXNG_IMAGE",
    "BELLJAR_COMMIT",
];

/// Variables of the project's tests and scripts, besides those that begin with `BELLJAR_TEST_`.
const OF_TESTS: [&str; 6] = [
    "BELLJAR_IMAGE",
    "BELLJAR_PROJECT",
    "BELLJAR_URL",
    "BELLJAR_COMPOSE",
    "BELLJAR_CHECKOUT",
    "BELLJAR_STACK_WITHOUT_SDK",
];

/// Rejects unknown variables with our prefix: the user expects them to have an effect.
pub fn check(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), ConfigError> {
    let settings = settings();
    let ours = variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    let mut unknown = Vec::new();
    for (name, value) in ours.filter(|(name, _)| name.starts_with(PREFIX)) {
        match value.to_str() {
            Some(value) if is_known(&name, value, &settings) => {}
            // It would count as unset.
            None if settings.contains(&name) || renamed::is_former_variable(&name) => {
                return Err(ConfigError::NotText(name));
            }
            _ => unknown.push(name),
        }
    }
    let Some(name) = unknown.into_iter().min() else { return Ok(()) };
    let meant = nearest(&name, settings.iter().map(String::as_str)).map(str::to_owned);
    Err(ConfigError::UnknownVariable { name, meant })
}

/// The variables of the server.
pub fn settings() -> BTreeSet<String> {
    let settings = DEFINITIONS.iter().map(|setting| setting.variable());
    settings.chain([CACHE.to_owned()]).collect()
}

fn is_known(name: &str, value: &str, settings: &BTreeSet<String>) -> bool {
    settings.contains(name)
        || renamed::is_former_variable(name)
        || OF_COMPOSE.contains(&name)
        || OF_TESTS.contains(&name)
        || name.starts_with("BELLJAR_TEST_")
        || is_of_kubernetes(name, value)
}

/// Whether Kubernetes sets this variable to describe a service named `belljar` or
/// `belljar-sandbox`: `BELLJAR_SERVICE_HOST`, `BELLJAR_PORT=tcp://10.0.0.1:8080`,
/// `BELLJAR_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|kind| value.starts_with(kind));
    let of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut words = rest.split('_');
        let is_port = words.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_port && words.next().is_some_and(|kind| matches!(kind, "TCP" | "UDP" | "SCTP"))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_address
        || of_port
}

/// The known name that differs in the fewest characters, if any is close.
pub fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let letters = written.trim_start_matches(PREFIX).len();
    // A short name is within a few edits of any other.
    let typos = (letters / 3).clamp(1, 3);
    let distance = |name: &str| damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let known = known.into_iter().map(|name| (distance(name), name));
    known.filter(|(distance, _)| *distance <= typos).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), String> {
        let variable = (OsString::from(name), OsString::from(value));
        check([variable].into_iter()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_variable_is_rejected_with_the_nearest_name() {
        for (name, meant) in [
            ("BELLJAR_LISEN", "BELLJAR_LISTEN"),
            ("BELLJAR_LIBARIES", "BELLJAR_LIBRARIES"),
            ("BELLJAR_APIKEYS", "BELLJAR_API_KEYS"),
            ("BELLJAR_REQUESTS_BYTES", "BELLJAR_REQUEST_BYTES"),
            ("BELLJAR_SCENARIO", "BELLJAR_SCENARIOS"),
        ] {
            let error = checked(name, "x").expect_err(name);
            assert_eq!(error, format!("unknown variable {name}: did you mean {meant}?"));
        }
        let error = checked("BELLJAR_PORT", "80").expect_err("it means nothing");
        assert_eq!(error, "unknown variable BELLJAR_PORT");
        assert!(checked("BELLJAR_", "x").is_err());
    }

    #[test]
    fn a_value_that_is_not_utf8_is_rejected() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(vec![b'/', 0xff]);
        let error = check([("BELLJAR_DATA_DIR".into(), value)].into_iter()).expect_err("no text");
        assert_eq!(error.to_string(), "invalid BELLJAR_DATA_DIR: the value is not UTF-8");
    }

    #[test]
    fn variables_of_other_programs_are_accepted() {
        for (name, value) in [
            ("BELLJAR_LISTEN", "anything"),
            ("BELLJAR_TEST_ANSWERS", "/tmp"),
            ("BELLJAR_PUBLISH", "127.0.0.1:1"),
            ("BELLJARS", "x"),
            ("PATH", "/bin"),
            ("BELLJAR_SERVICE_HOST", "10.0.0.1"),
            ("BELLJAR_SERVICE_PORT", "80"),
            ("BELLJAR_SERVICE_PORT_HTTP", "80"),
            ("BELLJAR_PORT", "tcp://10.0.0.1:80"),
            ("BELLJAR_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("BELLJAR_SANDBOX_PORT_80_TCP_PROTO", "tcp"),
        ] {
            assert_eq!(checked(name, value), Ok(()), "{name}");
        }
    }

    /// Compose passes `.env` to itself only, but users also source it.
    #[test]
    fn every_variable_of_compose_is_known() {
        let texts = [
            include_str!("../../../.env.example"),
            include_str!("../../../docker-compose.yml"),
            include_str!("../../Dockerfile"),
            include_str!("../../../sandbox-image/install-libraries"),
            include_str!("../../../tests/stack/run"),
            include_str!("../../../deploy/README.md"),
            include_str!("../../../README.md"),
            include_str!("../../../docs/src/operations/access.md"),
            include_str!("../../../docs/src/reference/generated/settings.md"),
        ];
        let pattern = regex::Regex::new("BELLJAR_[A-Z_]*[A-Z]").expect("it is a pattern");
        let mut found = 0;
        for name in texts.iter().flat_map(|text| pattern.find_iter(text)) {
            assert_eq!(checked(name.as_str(), "x"), Ok(()), "{}", name.as_str());
            found += 1;
        }
        assert!(found > 60, "only {found} names were found");
    }
}
