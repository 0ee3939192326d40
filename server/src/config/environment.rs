//! What the user's machine and command line say.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::definition::{FromVariable, variable_of};
use super::{Colour, ConfigError, FormerName, renamed};

/// The environment and the names of the given options. Tests pass their own.
pub struct Environment<'s> {
    /// The value of a variable.
    pub variable: &'s dyn Fn(&str) -> Option<String>,
    /// Settings that the command line sets.
    pub options: BTreeSet<String>,
    /// Options and variables that were given under former names.
    pub former_names: BTreeSet<FormerName>,
}

impl Environment<'_> {
    /// The variable of a setting, also under its former name. An empty one counts as unset.
    pub fn setting(&self, name: &str) -> Option<String> {
        let set = |variable: String| (self.variable)(&variable).filter(|value| !value.is_empty());
        set(variable_of(name)).or_else(|| set(variable_of(renamed::former_name(name)?)))
    }

    pub fn parsed<T: FromVariable>(&self, setting: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.setting(setting) else { return Ok(None) };
        match T::from_variable(&value) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(why) => Err(ConfigError::Variable { name: variable_of(setting), value, why }),
        }
    }

    /// Without it, clients send even loopback requests to the proxy.
    pub fn no_proxy(&self) -> String {
        let mut hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let before = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| (self.variable)(name));
        hosts.extend(before.filter(|before| !before.is_empty()));
        hosts.join(",")
    }

    /// https://no-color.org and http://bixense.com/clicolors
    pub fn colour(&self) -> Colour {
        let variable = |name| (self.variable)(name).filter(|value| !value.is_empty());
        let is_forced = variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        if variable("NO_COLOR").is_some() {
            Colour::Never
        } else if is_forced {
            Colour::Always
        } else if variable("TERM").as_deref() == Some("dumb")
            || variable("CLICOLOR").as_deref() == Some("0")
        {
            Colour::Never
        } else {
            Colour::Auto
        }
    }

    pub fn platform_data_dir(&self) -> Option<PathBuf> {
        let data = self.folder("XDG_DATA_HOME").or_else(|| self.home(".local/share"))?;
        Some(data.join("belljar"))
    }

    /// See [`installed_libraries`].
    pub fn installed_libraries(&self) -> Option<PathBuf> {
        installed_libraries(self.variable)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        folder(self.variable, name)
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        self.folder("HOME").map(|home| home.join(below))
    }
}

/// The newest complete folder of `install-libraries` in the cache folder.
pub fn installed_libraries(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let complete = |entry: std::fs::DirEntry| {
        let finished = entry.path().join(".key").metadata().ok()?.modified().ok()?;
        let named = entry.file_name().to_string_lossy().starts_with("libraries-");
        named.then(|| (finished, entry.path()))
    };
    let found = std::fs::read_dir(cache_folder(variable)?).ok()?.flatten().filter_map(complete);
    found.max().map(|(_, folder)| folder)
}

/// The folder of what the project's scripts install.
pub fn cache_folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    folder(variable, "BELLJAR_CACHE").or_else(|| {
        let home = || folder(variable, "HOME").map(|home| home.join(".cache"));
        Some(folder(variable, "XDG_CACHE_HOME").or_else(home)?.join("belljar"))
    })
}

fn folder(variable: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
