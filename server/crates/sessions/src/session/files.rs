//! Access to the files of a session.

use std::sync::Arc;

use bytes::Bytes;
use sandbox_client::{FileList, FilePart};

use super::Session;
use crate::error::SessionError;

impl Session {
    pub async fn list_files(self: &Arc<Session>) -> Result<FileList, SessionError> {
        let session = Arc::clone(self);
        self.task(async move {
            let listed = session.cell().await?.list_files().await;
            session.used(listed)
        })
        .await
    }

    /// Reads a part of a file, which may be shorter than requested.
    pub async fn read_file(
        self: &Arc<Session>,
        path: String,
        offset: u64,
        bytes: u64,
    ) -> Result<FilePart, SessionError> {
        let session = Arc::clone(self);
        self.task(async move {
            let read = session.cell().await?.read_file(&path, offset, bytes).await;
            session.used(read)?.ok_or(SessionError::NoFile(path))
        })
        .await
    }

    /// Writes a file, replaces an existing one, and creates missing folders.
    pub async fn write_file(
        self: &Arc<Session>,
        path: String,
        content: Bytes,
    ) -> Result<(), SessionError> {
        let session = Arc::clone(self);
        self.task(async move {
            let written = session.cell().await?.write_file(&path, &content).await;
            session.used(written)
        })
        .await
    }

    /// Deletes a file or an empty folder.
    pub async fn delete_file(self: &Arc<Session>, path: String) -> Result<(), SessionError> {
        let session = Arc::clone(self);
        self.task(async move {
            let deleted = session.cell().await?.delete_file(&path).await;
            match session.used(deleted)? {
                true => Ok(()),
                false => Err(SessionError::NoFile(path)),
            }
        })
        .await
    }
}
