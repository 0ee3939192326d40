//! Scenarios that clients add for their tests, in addition to those of the folder.

use std::path::Path;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::pattern;
use super::scenario::library::Scenarios;
use super::scenario::{self, Scenario};
use domain::namespace::{Namespace, PerNamespace};

/// Maximum size of all files that were added to one namespace.
const MAX_BYTES: usize = 256 << 10;

/// Maximum number of patterns in the scenarios of one namespace. Each takes up to half a mebibyte.
const MAX_PATTERNS: usize = 32;

/// Both limits are this many times as high for all namespaces of one owner together.
const FULL_NAMESPACES: usize = 10;

/// Maximum number of patterns compiled while a file is parsed. An untagged enum may parse a part twice.
const MAX_COMPILED: usize = 4 * MAX_PATTERNS;

/// The added scenarios of each namespace.
#[derive(Debug, Default)]
pub struct AddedScenarios {
    namespaces: PerNamespace<NamespaceScenarios>,
    /// The loaded scenarios, in the order of their models.
    loaded: Mutex<Vec<watch::Receiver<Scenarios>>>,
}

#[derive(Debug, Default)]
struct NamespaceScenarios {
    scenarios: Scenarios,
    bytes: usize,
}

impl AddedScenarios {
    /// Adds the scenarios of a file before the existing ones and returns their names. The error is
    /// a text for the author of the file.
    pub fn add(&self, namespace: &Namespace, file: &str) -> Result<Vec<String>, String> {
        if file.len() > MAX_BYTES {
            return Err(too_many_bytes(file.len()));
        }
        // JSON is valid YAML.
        let parse = || scenario::parse(Path::new("scenarios.yaml"), file);
        let mut added =
            pattern::with_patterns(MAX_COMPILED, parse).map_err(|error| error.explained(file))?;
        for scenario in &mut added {
            scenario.file = None;
        }
        let names = added.iter().map(|scenario| scenario.name.clone()).collect();
        self.leave_room(namespace, file.len(), patterns(&added))?;
        self.namespaces.with(namespace, |own| {
            let bytes = own.bytes + file.len();
            if bytes > MAX_BYTES {
                return Err(too_many_bytes(bytes));
            }
            if patterns(&added) + patterns(&own.scenarios) > MAX_PATTERNS {
                return Err(format!(
                    "A namespace may have {MAX_PATTERNS} patterns (`matches`, `model`, `ignore`). `DELETE \
                     /x/scenarios` makes room."
                ));
            }
            own.bytes = bytes;
            own.scenarios = added.into_iter().chain(own.scenarios.iter().cloned()).collect();
            Ok(names)
        })
    }

    /// Checks the limits of the owner. Two requests at once may exceed them by one file.
    fn leave_room(
        &self,
        namespace: &Namespace,
        bytes: usize,
        more_patterns: usize,
    ) -> Result<(), String> {
        let sum = |of: fn(&NamespaceScenarios) -> usize| self.namespaces.sum(namespace.owner(), of);
        let has_room = bytes + sum(|own| own.bytes) <= FULL_NAMESPACES * MAX_BYTES
            && more_patterns + sum(|own| patterns(&own.scenarios))
                <= FULL_NAMESPACES * MAX_PATTERNS;
        if has_room {
            return Ok(());
        }
        Err(format!(
            "All namespaces together may have {} bytes of scenarios and {} patterns. `DELETE /x/scenarios` \
             makes room.",
            FULL_NAMESPACES * MAX_BYTES,
            FULL_NAMESPACES * MAX_PATTERNS
        ))
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.namespaces.clear(namespace);
    }

    /// Registers loaded scenarios, so that they are listed too.
    pub fn beside(&self, loaded: watch::Receiver<Scenarios>) {
        self.loaded.lock().push(loaded);
    }

    /// All scenarios of a namespace, in matching order.
    pub fn all(&self, namespace: &Namespace) -> Vec<Scenario> {
        let mut all = self.of(namespace).to_vec();
        for loaded in self.loaded.lock().iter() {
            all.extend(loaded.borrow().iter().cloned());
        }
        all
    }

    pub fn of(&self, namespace: &Namespace) -> Scenarios {
        self.namespaces.with(namespace, |own| own.scenarios.clone())
    }
}

fn patterns(scenarios: &[Scenario]) -> usize {
    scenarios.iter().map(|scenario| scenario.when.patterns()).sum()
}

fn too_many_bytes(bytes: usize) -> String {
    format!(
        "{bytes} bytes of scenarios are more than the {MAX_BYTES} that a namespace may have. `DELETE \
         /x/scenarios` makes room."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::owner::Owner;

    fn file(name: &str) -> String {
        format!("scenarios: [{{ name: {name}, script: [text: hi] }}]")
    }

    fn names(additions: &AddedScenarios, namespace: &Namespace) -> Vec<String> {
        additions.of(namespace).iter().map(|scenario| scenario.name.clone()).collect()
    }

    #[test]
    fn the_namespaces_of_an_owner_have_limits_together() {
        let additions = AddedScenarios::default();
        let file = |name: &str| {
            let scenario = format!(
                "  - {{ name: {name}, when: {{ input: {{ matches: a }} }}, script: [text: hi] }}\n"
            );
            format!("scenarios:\n{}", scenario.repeat(MAX_PATTERNS))
        };
        let add = |owner: &str, namespace: usize| {
            let namespace = Namespace::named(&namespace.to_string()).expect("it is a name");
            additions.add(&namespace.of(Owner::named(owner.to_owned())), &file("a"))
        };
        assert!((0..FULL_NAMESPACES).all(|n| add("a", n).is_ok()));
        assert!(add("a", FULL_NAMESPACES).is_err_and(|why| why.contains("320 patterns")));
        assert!(add("b", 0).is_ok());
    }

    #[test]
    fn the_newest_addition_is_tried_first_and_only_in_its_namespace() {
        let additions = AddedScenarios::default();
        let mine = Namespace::named("mine").expect("it is a name");
        assert_eq!(additions.add(&mine, &file("first")), Ok(vec!["first".to_owned()]));
        additions.add(&mine, &file("second")).expect("it is right");
        assert_eq!(names(&additions, &mine), ["second", "first"]);
        assert!(names(&additions, &Namespace::default()).is_empty());
        additions.clear(&mine);
        assert!(names(&additions, &mine).is_empty());
    }

    #[test]
    fn a_namespace_has_a_limit() {
        let additions = AddedScenarios::default();
        let everybody = Namespace::default();
        let long = file(&"x".repeat(MAX_BYTES / 2));
        additions.add(&everybody, &long).expect("there is room");
        let whole = "[".repeat(MAX_BYTES + 1); // it is not parsed, or it would be another mistake
        let error = additions.add(&everybody, &whole).expect_err("it is too large");
        assert!(error.contains("more than the 262144"), "{error}");
        let error = additions.add(&everybody, &long).expect_err("there is none");
        assert!(error.contains("more than the 262144"), "{error}");
        assert_eq!(names(&additions, &everybody).len(), 1, "the first one stays");
    }

    #[test]
    fn patterns_have_a_limit_each_and_together() {
        let additions = AddedScenarios::default();
        let everybody = Namespace::default();
        let with = |pattern: &str| {
            format!(
                "scenarios: [{{ name: a, when: {{ input: {{ matches: '{pattern}' }} }}, script: \
                 [text: hi] }}]"
            )
        };
        let error = additions.add(&everybody, &with("\\w{2000}")).expect_err("it is too large");
        assert!(error.contains("size limit"), "{error}");
        for _ in 0..MAX_PATTERNS {
            additions.add(&everybody, &with("^a+$")).expect("there is room");
        }
        let error = additions.add(&everybody, &with("^a+$")).expect_err("there is none");
        assert!(error.contains("32 patterns"), "{error}");
    }

    /// They took gigabytes before they were counted.
    #[test]
    fn patterns_that_are_too_many_are_refused_before_all_are_compiled() {
        let additions = AddedScenarios::default();
        let pattern = |number: usize| format!("^\\p{{L}}{{4}}|x{number}");
        let patterns: Vec<String> = (0..2500).map(pattern).collect();
        let scenario = |when: serde_json::Value| {
            let scenario =
                serde_json::json!({"name": "a", "when": when, "script": [{"text": "hi"}]});
            serde_json::json!({"scenarios": [scenario]}).to_string()
        };
        let file = scenario(serde_json::json!({"ignore": patterns}));
        let many: Vec<serde_json::Value> = patterns
            .iter()
            .map(|pattern| {
                serde_json::json!({"name": "a", "when": {"input": {"matches": pattern}},
                                   "script": [{"text": "hi"}]})
            })
            .collect();
        for file in [file, serde_json::json!({"scenarios": many}).to_string()] {
            assert!(file.len() < MAX_BYTES, "{}", file.len());
            let error = additions.add(&Namespace::default(), &file).expect_err("they are too many");
            assert!(error.contains("too many patterns"), "{error}");
        }
    }
}
