//! The files of a cell between two runs.

use bytes::Bytes;
use protocol::{FileEntry, WardenReply, WardenRequest};

use crate::{CellClient, SandboxError, unexpected};

/// The files of a work directory, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileList {
    pub files: Vec<FileEntry>,
    /// Whether some are missing because there are too many, or because they are too deep.
    pub is_cut: bool,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    pub data: Bytes,
    /// Size of the whole file.
    pub total_bytes: u64,
    /// Differs after a change of the file.
    pub version: u64,
}

impl CellClient {
    pub async fn list_files(&mut self) -> Result<FileList, SandboxError> {
        match self.request(&WardenRequest::ListFiles, &[]).await? {
            (WardenReply::Files { is_cut }, list) => {
                let files = serde_json::from_slice(&list).map_err(|_| SandboxError::OutOfTurn)?;
                Ok(FileList { files, is_cut })
            }
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Reads a part of a file, which may be shorter than requested; `None` if there is no such file.
    pub async fn read_file(
        &mut self,
        path: &str,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<FilePart>, SandboxError> {
        let request = WardenRequest::ReadFile { path: path.to_owned(), offset, bytes };
        match self.request(&request, &[]).await? {
            (WardenReply::FilePart { total_bytes, version }, data) => {
                Ok(Some(FilePart { data, total_bytes, version }))
            }
            (WardenReply::NoFile, _) => Ok(None),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Writes a file, replaces an existing one, and creates missing folders.
    pub async fn write_file(&mut self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        match self.request(&WardenRequest::WriteFile { path: path.to_owned() }, content).await? {
            (WardenReply::FilePut, _) => Ok(()),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Deletes a file or an empty folder. Returns whether there was one.
    pub async fn delete_file(&mut self, path: &str) -> Result<bool, SandboxError> {
        match self.request(&WardenRequest::DeleteFile { path: path.to_owned() }, &[]).await? {
            (WardenReply::FileDeleted, _) => Ok(true),
            (WardenReply::NoFile, _) => Ok(false),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    async fn request(
        &mut self,
        request: &WardenRequest,
        blob: &[u8],
    ) -> Result<(WardenReply, Bytes), SandboxError> {
        self.connection.send(request, blob).await?;
        self.connection.flush().await?;
        self.connection.answer().await
    }
}
