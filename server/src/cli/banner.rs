//! The lines that a server prints when it is ready.

use std::fmt::Write as _;
use std::path::Path;

use protocol::Description;
use server::config::{Config, DataDir, LogFormat, SandboxConfig, time_text};
use tracing::Level;

use super::install;

/// Facts that are known once the server is built.
pub struct Banner<'s> {
    pub config: &'s Config,
    /// One per address; the first is the preferred one.
    pub urls: &'s [String],
    /// Number of loaded scenarios.
    pub scenarios: usize,
    /// The credentials file for clients of Vertex AI, if one was requested.
    pub credentials: Option<&'s Path>,
    /// The folder of libraries that were installed for this start.
    pub installed: Option<&'s Path>,
}

impl Banner<'_> {
    /// Prints lines for people, or logs one event in the JSON format.
    pub fn announce(&self, description: &Description) {
        if !tracing::enabled!(Level::INFO) {
            return;
        }
        match self.config.given.log_format() {
            // One write, because the warden writes to the same stderr.
            LogFormat::Plain => eprint!("{}", self.lines(description)),
            LogFormat::Json => tracing::info!(
                version = env!("CARGO_PKG_VERSION"),
                url = self.urls[0],
                scenarios = self.scenarios,
                scenarios_dir = self.scenarios_dir(),
                models = self.models(),
                data_dir = self.data(),
                api_keys = self.config.api_keys.len(),
                isolation = %description.tier,
                python = description.python,
                missing = missing(description),
                credentials = self.credentials.map(absolute),
                "server ready"
            ),
        }
    }

    fn lines(&self, description: &Description) -> String {
        let missing = match missing(description) {
            missing if missing.is_empty() => String::new(),
            missing => format!(", without {missing}: see `belljar doctor`"),
        };
        let sandbox = match &self.config.sandbox {
            SandboxConfig::Socket(socket) => format!("at {}", socket.display()),
            SandboxConfig::Warden { run, libraries, .. } => {
                let found = libraries.as_deref().or(self.installed);
                let lacks = found.is_some_and(|folder| !install::has_tensorflow(folder));
                let note = match (lacks, self.installed) {
                    (false, _) => "",
                    (true, Some(_)) => ", without TensorFlow, which is being installed",
                    (true, None) => ", without TensorFlow: `belljar libraries install` installs it",
                };
                format!("runs stop after {}{note}", time_text(*run))
            }
        };
        let rows = [
            ("address", self.urls.join(", ")),
            ("docs", format!("{}/docs", reachable(&self.urls[0]))),
            ("models", self.models()),
            ("scenarios", self.scenarios_line()),
            ("data", self.data()),
            ("keys", self.keys()),
            ("isolation", format!("{}{missing}", description.tier)),
            ("sandbox", format!("Python {}, {sandbox}", description.python)),
        ];
        let mut lines =
            format!("\nBelljar {} ({})\n", env!("CARGO_PKG_VERSION"), env!("BUILD_COMMIT"));
        for (name, value) in rows {
            // Writing to a `String` cannot fail.
            let _ = writeln!(lines, "  {name:<10} {value}");
        }
        if let Some(credentials) = self.credentials {
            let _ = writeln!(lines, "  {:<10} {}", "vertex", absolute(credentials));
        }
        let key = if self.config.api_keys.is_empty() { "anything" } else { "KEY" };
        let _ = writeln!(
            lines,
            "\n  For Google's SDKs:\n    export GOOGLE_GEMINI_BASE_URL={} GEMINI_API_KEY={key}\n",
            reachable(&self.urls[0])
        );
        lines
    }

    fn models(&self) -> String {
        let names = self.config.models.iter().map(|rule| rule.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn scenarios_dir(&self) -> String {
        self.config.scenarios.as_deref().map(absolute).unwrap_or_default()
    }

    fn scenarios_line(&self) -> String {
        match (&self.config.scenarios, self.scenarios) {
            (Some(folder), 1) => format!("1 in {}", absolute(folder)),
            (Some(folder), count) => format!("{count} in {}", absolute(folder)),
            (None, _) => format!(
                "none: {} does not exist (pass --scenarios DIR for another folder)",
                absolute(Path::new("scenarios"))
            ),
        }
    }

    fn data(&self) -> String {
        match &self.config.data_dir {
            DataDir::Folder(folder) => {
                format!(
                    "{}, kept for {}",
                    absolute(folder),
                    time_text(self.config.given.retention().0)
                )
            }
            DataDir::Scratch => "in a temporary folder, deleted when the server stops".to_owned(),
        }
    }

    fn keys(&self) -> String {
        match self.config.api_keys.len() {
            0 => "none: clients may send any key".to_owned(),
            1 => "1, required".to_owned(),
            count => format!("{count}, one of which is required"),
        }
    }
}

/// An address that clients on this machine can use.
pub fn reachable(url: &str) -> String {
    url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
}

fn missing(description: &Description) -> String {
    let layers = description.layers.iter().filter(|layer| !layer.holds);
    layers.map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
