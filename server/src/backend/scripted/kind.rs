//! The scripted model as a kind of backend: all its tables share the scenarios of the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ScenarioError;
use crate::backend::Backend;
use crate::backend::kind::{self, BackendConfig, BackendKind, SharedParts};

pub const KIND: BackendKind = BackendKind {
    name: "scripted",
    without_table: Some("*"),
    configure: |keys, _| {
        kind::read_none(&keys)?;
        Ok(Arc::new(ScriptedConfig))
    },
};

#[derive(Debug)]
struct ScriptedConfig;

impl BackendConfig for ScriptedConfig {
    fn shown(&self) -> String {
        KIND.name.to_owned()
    }

    fn build(&self, shared: &SharedParts) -> anyhow::Result<Arc<dyn Backend>> {
        Ok(Arc::clone(&shared.scripted) as Arc<dyn Backend>)
    }
}

/// A folder of scenarios that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("could not load the scenarios in {}: {source}", folder.display())]
pub struct BrokenScenarios {
    pub folder: PathBuf,
    pub source: ScenarioError,
}

impl BrokenScenarios {
    /// Adds the folder to an error.
    pub fn of(folder: &Path) -> impl FnOnce(ScenarioError) -> BrokenScenarios {
        move |source| BrokenScenarios { folder: folder.to_owned(), source }
    }
}
