//! The bytes of pictures and documents, beside the rows: files that are named by their SHA-256, so
//! that the same bytes are there once.

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::StoreError;
use super::record::Blobs;

#[derive(Debug, Clone)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    /// Read by those who add blobs, from the first byte to the row that says that they are in use;
    /// written by those who remove what has no such row.
    gate: Arc<RwLock<()>>,
}

/// While one exists, no blob is removed.
pub type Pin = OwnedRwLockReadGuard<()>;
/// While one exists, no blob is added.
pub type Alone = OwnedRwLockWriteGuard<()>;

impl BlobStore {
    pub fn open(folder: &Path) -> std::io::Result<BlobStore> {
        std::fs::create_dir_all(folder)?;
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(std::io::Error::other)?;
        Ok(BlobStore { objects: Arc::new(objects), gate: Arc::default() })
    }

    /// Writes what is not there yet.
    pub async fn put(&self, blobs: &Blobs) -> Result<Option<Pin>, StoreError> {
        if blobs.is_empty() {
            return Ok(None);
        }
        let pin = Arc::clone(&self.gate).read_owned().await;
        for (address, bytes) in blobs.iter() {
            let options = PutOptions::from(PutMode::Create);
            match self.objects.put_opts(&key(address), bytes.clone().into(), options).await {
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(pin))
    }

    pub async fn get(&self, addresses: Vec<String>) -> Result<Blobs, StoreError> {
        let mut blobs = Blobs::default();
        for address in addresses {
            let bytes = self.objects.get(&key(&address)).await?.bytes().await?;
            blobs.insert(address, bytes);
        }
        Ok(blobs)
    }

    pub async fn alone(&self) -> Alone {
        Arc::clone(&self.gate).write_owned().await
    }

    pub async fn remove(&self, _alone: &Alone, addresses: &[String]) -> Result<(), StoreError> {
        for address in addresses {
            match self.objects.delete(&key(address)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Folders by the first two digits: file systems are slow with a million files in one.
fn key(address: &str) -> Key {
    let (folder, _) = address.split_at_checked(2).unwrap_or((address, ""));
    Key::from_iter([folder, address])
}
