//! A model that answers from a folder of recordings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use backend::Backend;
use scenario::{BrokenScenarios, Scripted};

use super::kind::{self, BackendConfig, BackendKind, SharedParts};

pub const KIND: BackendKind = BackendKind {
    name: "replay",
    without_table: None,
    configure: |keys, _| {
        let ReplayKeys { folder } = kind::read(keys)?;
        let folder = folder.ok_or("missing folder: the path of its recordings")?;
        Ok(Arc::new(ReplayConfig { folder }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayKeys {
    folder: Option<PathBuf>,
}

#[derive(Debug)]
struct ReplayConfig {
    folder: PathBuf,
}

impl BackendConfig for ReplayConfig {
    fn shown(&self) -> String {
        format!("{} {}", KIND.name, self.folder.display())
    }

    fn replayed(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn build(&self, shared: &SharedParts) -> anyhow::Result<Arc<dyn Backend>> {
        let replay = Scripted::replay(&self.folder).map_err(BrokenScenarios::of(&self.folder))?;
        Ok(Arc::new(replay.listed_in(&shared.additions)))
    }
}
