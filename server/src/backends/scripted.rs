//! The scripted model as a kind of backend: all its tables share the scenarios of the server.

use std::sync::Arc;

use backend::Backend;

use super::kind::{self, BackendConfig, BackendKind, SharedParts};

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
