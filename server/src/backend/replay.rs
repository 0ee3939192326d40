//! A model that answers from a folder of recordings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::Backend;
use super::kind::{self, BackendConfig, Kind, Shared};
use super::scripted::{BrokenScenarios, Scripted};

pub const KIND: Kind = Kind {
    name: "replay",
    without_table: None,
    configure: |keys, _| {
        let Keys { folder } = kind::read(keys)?;
        let folder = folder.ok_or("missing folder: the path of its recordings")?;
        Ok(Arc::new(Config { folder }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    folder: Option<PathBuf>,
}

#[derive(Debug)]
struct Config {
    folder: PathBuf,
}

impl BackendConfig for Config {
    fn shown(&self) -> String {
        format!("{} {}", KIND.name, self.folder.display())
    }

    fn replayed(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn build(&self, shared: &Shared) -> anyhow::Result<Arc<dyn Backend>> {
        let replay = Scripted::replay(&self.folder).map_err(BrokenScenarios::of(&self.folder))?;
        Ok(Arc::new(replay.listed_in(&shared.additions)))
    }
}
