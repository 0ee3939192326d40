//! The bytes of pictures and documents, as files named by their SHA-256, so that equal content is
//! stored once.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::StoreError;
use super::record::Blobs;
use super::room::{DiskRoom, explained};

/// Larger blobs are hashed in `spawn_blocking`, not on the thread that serves requests.
const HASHED_INLINE_BYTES: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    folder: Arc<Path>,
    /// Adding blobs holds it for reading, from the first byte until a row refers to them. Removing
    /// unused blobs holds it for writing.
    gate: Arc<RwLock<()>>,
    room: DiskRoom,
}

/// While it exists, no blob is removed.
pub type Pin = OwnedRwLockReadGuard<()>;
/// While it exists, no blob is added.
pub type ExclusiveLock = OwnedRwLockWriteGuard<()>;

impl BlobStore {
    pub fn open(folder: &Path, room: DiskRoom) -> std::io::Result<BlobStore> {
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(std::io::Error::other)?;
        let (objects, gate) = (Arc::new(objects), Arc::default());
        Ok(BlobStore { objects, folder: folder.into(), gate, room })
    }

    /// Writes the blobs that do not exist yet.
    pub async fn put(&self, blobs: &Blobs) -> Result<Option<Pin>, StoreError> {
        if blobs.is_empty() {
            return Ok(None);
        }
        let pin = Arc::clone(&self.gate).read_owned().await;
        for (address, bytes) in blobs.iter() {
            let options = PutOptions::from(PutMode::Create);
            match self.objects.put_opts(&key(address), bytes.clone().into(), options).await {
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => {
                    let failed = explained(Err(error.into()), &self.folder).await;
                    self.room.note(&failed);
                    return failed;
                }
            }
        }
        Ok(Some(pin))
    }

    /// Makes a blob of a complete, synced file without reading it, by a hard link. The caller removes
    /// the old name after a row refers to the blob, not before.
    pub async fn adopt(&self, file: &Path, address: &str) -> std::io::Result<Pin> {
        let pin = Arc::clone(&self.gate).read_owned().await;
        let place = self.folder.join(key(address).as_ref());
        if let Some(folder) = place.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        // The rename replaces an existing blob by the same bytes. Another task may do so at the same time.
        let new = place.with_extension(file.file_name().unwrap_or_default());
        remove(&new).await?; // left by a server that died here
        tokio::fs::hard_link(file, &new).await?;
        tokio::fs::rename(&new, &place).await?;
        remove(&new).await?; // it still exists if both were links to the same file
        Ok(pin)
    }

    /// The content of a blob; an error if it does not have its hash.
    pub async fn read(&self, address: &str) -> Result<Bytes, StoreError> {
        let bytes = self.objects.get(&key(address)).await?.bytes().await?;
        let hash = |bytes: &Bytes| hex::encode(Sha256::digest(bytes));
        let found = if bytes.len() <= HASHED_INLINE_BYTES {
            hash(&bytes)
        } else {
            let bytes = bytes.clone();
            let hashing = tokio::task::spawn_blocking(move || hash(&bytes)).await;
            hashing.map_err(|_| StoreError::Closed)?
        };
        if found == address { Ok(bytes) } else { Err(StoreError::DamagedBlob(address.to_owned())) }
    }

    /// The content of a blob in pieces. It is not compared with the hash.
    pub async fn pieces(
        &self,
        address: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + use<>, StoreError> {
        let pieces = self.objects.get(&key(address)).await?.into_stream();
        Ok(pieces.map_err(StoreError::from))
    }

    /// The first bytes of a blob, for detecting its type. They are not compared with the hash.
    pub async fn read_first(&self, address: &str, bytes: u64) -> Result<Bytes, StoreError> {
        if bytes == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.objects.get_range(&key(address), 0..bytes).await?)
    }

    /// The total size of these blobs, without reading them.
    pub async fn bytes(&self, addresses: &[String]) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for address in addresses {
            match self.objects.head(&key(address)).await {
                Ok(about) => bytes += about.size,
                Err(object_store::Error::NotFound { .. }) => {} // reading it is an error
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes)
    }

    pub async fn get(&self, addresses: Vec<String>) -> Result<Blobs, StoreError> {
        let mut blobs = Blobs::default();
        for address in addresses {
            let bytes = self.read(&address).await?;
            blobs.insert(address, bytes);
        }
        Ok(blobs)
    }

    pub async fn lock_exclusively(&self) -> ExclusiveLock {
        Arc::clone(&self.gate).write_owned().await
    }

    pub async fn remove(
        &self,
        _exclusive: &ExclusiveLock,
        addresses: &[String],
    ) -> Result<(), StoreError> {
        for address in addresses {
            match self.objects.delete(&key(address)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Removes a file if it exists.
pub async fn remove(path: &Path) -> std::io::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Blobs are in folders named by their first two digits: file systems are slow with a million files
/// in one folder.
fn key(address: &str) -> Key {
    let (folder, _) = address.split_at_checked(2).unwrap_or((address, ""));
    Key::from_iter([folder, address])
}
