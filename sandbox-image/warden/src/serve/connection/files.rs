//! Access to the files of the connection's cell while no code runs.

use std::io;

use bytes::Bytes;
use protocol::{MAX_BLOB_BYTES, MAX_LISTED_FILES, Refusal, WardenReply};
use tokio::task::block_in_place;

use super::{Connection, invalid};

impl Connection {
    pub(super) fn put(&mut self, name: &str, content: &Bytes) -> WardenReply {
        let Some(taken) = &mut self.taken else { return lost() };
        let owner = taken.cell.resources.owner;
        match taken.cell.workspace.put(name, content, owner) {
            Ok(()) => WardenReply::FilePut,
            Err(error) => invalid(&format!("could not write {name}: {error}")),
        }
    }

    pub(super) fn list_files(&self) -> (WardenReply, Vec<u8>) {
        let Some(taken) = &self.taken else { return (lost(), Vec::new()) };
        let (files, is_cut) = taken.cell.workspace.list(MAX_LISTED_FILES);
        match serde_json::to_vec(&files) {
            Ok(list) if list.len() <= MAX_BLOB_BYTES => (WardenReply::Files { is_cut }, list),
            Ok(_) => (invalid("the list of files is too long"), Vec::new()),
            Err(error) => (invalid(&format!("could not list the files: {error}")), Vec::new()),
        }
    }

    pub(super) fn read_file(&self, path: &str, offset: u64, bytes: u64) -> (WardenReply, Vec<u8>) {
        let Some(taken) = &self.taken else { return (lost(), Vec::new()) };
        let bytes = bytes.min(MAX_BLOB_BYTES as u64);
        match block_in_place(|| taken.cell.workspace.read_part(path, offset, bytes)) {
            Ok(part) => {
                let (total_bytes, version) = (part.total_bytes, part.version);
                (WardenReply::FilePart { total_bytes, version }, part.data)
            }
            Err(error) if is_absent(&error) => (WardenReply::NoFile, Vec::new()),
            Err(error) => (invalid(&format!("could not read {path}: {error}")), Vec::new()),
        }
    }

    pub(super) fn write_file(&mut self, path: &str, content: &Bytes) -> WardenReply {
        let Some(taken) = &mut self.taken else { return lost() };
        let owner = taken.cell.resources.owner;
        match block_in_place(|| taken.cell.workspace.write(path, content, owner)) {
            Ok(()) => {
                if !taken.cell.has_run() {
                    taken.cell.workspace.add_input(path);
                }
                WardenReply::FilePut
            }
            Err(error) => invalid(&format!("could not write {path}: {error}")),
        }
    }

    pub(super) fn delete_file(&mut self, path: &str) -> WardenReply {
        let Some(taken) = &mut self.taken else { return lost() };
        let owner = taken.cell.resources.owner;
        match block_in_place(|| taken.cell.workspace.delete(path, owner)) {
            Ok(()) => WardenReply::FileDeleted,
            Err(error) if is_absent(&error) => WardenReply::NoFile,
            Err(error) => invalid(&format!("could not delete {path}: {error}")),
        }
    }
}

/// Whether there is no such file. A part of the path that is a file, or a link, leads to none.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn lost() -> WardenReply {
    WardenReply::Refused(Refusal::CellLost)
}
