//! A container that is a folder with one file per blob.
//!
//! A blob is written as `.tmp-NAME`, flushed and renamed to `NAME`, and the folder is flushed ([`commit`]). A crash leaves
//! at most a file `.tmp-NAME`, which listings hide and the next put of that name replaces. All paths are relative to the
//! folder's descriptor, so that moving the folder does not split the container. Symbolic links are not followed, because
//! the files in the folder are foreign.

mod commit;
mod listing;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::{Notify, oneshot};

use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, MAX_BLOB_BYTES,
    Operation, PutBody,
};
use crate::process_limits;
use commit::{Commits, Written};
use listing::Listings;

const TEMPORARY_PREFIX: &str = ".tmp-";

/// A container whose blobs are the files of one folder.
#[derive(Debug)]
pub struct Folder {
    location: String,
    folder: Arc<OwnedFd>,
    commits: Arc<Commits>,
    locks: Arc<NameLocks>,
    listings: Arc<Listings>,
}

/// Locks on the names that are being written: two puts of one name would share a temporary file.
#[derive(Debug, Default)]
struct NameLocks {
    names: Mutex<HashSet<BlobName>>,
    released: Notify,
}

/// The lock on one name. The write itself owns it, so that it outlives a cancelled put.
#[derive(Debug)]
struct NameLock {
    locks: Arc<NameLocks>,
    name: BlobName,
}

impl NameLocks {
    async fn acquire(self: &Arc<Self>, name: &BlobName) -> NameLock {
        loop {
            // Registered before the set is read, so that a release in between is not missed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if self.lock().insert(name.clone()) {
                return NameLock {
                    locks: Arc::clone(self),
                    name: name.clone(),
                };
            }
            released.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<BlobName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.name);
        self.locks.released.notify_waiters();
    }
}

impl Folder {
    /// Opens the folder. With `create`, first creates it durably if it is missing, but not its parents: they would be
    /// created in the place of a disk that is not mounted. Blocks.
    ///
    /// # Errors
    /// [`ContainerErrorKind::ContainerMissing`] if the folder does not exist; otherwise the error of the file system.
    pub fn open(path: &Path, create: bool) -> Result<Self, ContainerError> {
        let location = path.display().to_string();
        let failed = |errno| failure(errno, Operation::Open, &location, None);
        if create {
            create_durably(path).map_err(failed)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let folder = Arc::new(folder);
        Ok(Self {
            location,
            commits: Arc::new(Commits::new(Arc::clone(&folder))),
            folder,
            locks: Arc::default(),
            listings: Arc::default(),
        })
    }

    fn error(&self, errno: Errno, operation: Operation, blob: Option<&BlobName>) -> ContainerError {
        failure(errno, operation, &self.location, blob)
    }

    /// Runs file operations on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: Operation,
        blob: Option<&BlobName>,
        work: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, ContainerError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome.map_err(|errno| self.error(errno, operation, blob)),
            // The runtime is shutting down, or the work panicked.
            Err(_) => Err(self.error(Errno::CANCELED, operation, blob)),
        }
    }
}

#[async_trait]
impl Container for Folder {
    fn location(&self) -> &str {
        &self.location
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        if content.bytes.len() as u64 > MAX_BLOB_BYTES {
            let kind = ContainerErrorKind::TooLarge;
            return Err(ContainerError::new(kind, Operation::Put, &self.location)
                .with_detail(too_large())
                .with_blob(name.as_str()));
        }
        let lock = self.locks.acquire(name).await;
        let (folder, commits) = (Arc::clone(&self.folder), Arc::clone(&self.commits));
        let (done, durable) = oneshot::channel();
        // Not awaited: the task may continue as the leader of other puts' commits.
        tokio::task::spawn_blocking(move || {
            let temporary = format!("{TEMPORARY_PREFIX}{}", lock.name);
            match write_temporary(&folder, &temporary, &content.bytes) {
                Ok(file) => commits.enter(Written {
                    file,
                    temporary,
                    lock,
                    done,
                }),
                Err(errno) => {
                    drop(lock);
                    let _ = done.send(Err(errno));
                }
            }
        });
        // The sender is dropped only if the runtime shuts down.
        durable
            .await
            .unwrap_or(Err(Errno::CANCELED))
            .map_err(|errno| self.error(errno, Operation::Put, Some(name)))
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let folder = Arc::clone(&self.folder);
        let file_name = name.clone();
        let read = move || read_file(&folder, file_name.as_str(), at_most);
        self.blocking(Operation::Get, Some(name), read).await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let folder = Arc::clone(&self.folder);
        let listings = Arc::clone(&self.listings);
        let prefix = prefix.as_bytes().to_vec();
        let page = move || listings.page(&folder, prefix, from, at_most.max(1) as usize);
        self.blocking(Operation::List, None, page).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let folder = Arc::clone(&self.folder);
        let file_name = name.clone();
        let remove =
            move || match rustix::fs::unlinkat(&*folder, file_name.as_str(), AtFlags::empty()) {
                Ok(()) => rustix::fs::fsync(&*folder),
                Err(Errno::NOENT) if exists(&folder)? => Ok(()),
                Err(errno) => Err(errno),
            };
        self.blocking(Operation::Delete, Some(name), remove).await
    }
}

/// Returns whether the folder itself still exists: a deleted folder has no links.
fn exists(folder: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstat(folder)?.st_nlink > 0)
}

fn write_temporary(folder: &OwnedFd, name: &str, content: &[u8]) -> Result<OwnedFd, Errno> {
    // A file that a crash left is unlinked, not truncated, because it may have been replaced by anything.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let file = match rustix::fs::openat(folder, name, flags, mode) {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            rustix::fs::openat(folder, name, flags, mode)?
        }
        opened => opened?,
    };
    let mut file = File::from(file);
    if let Err(error) = file.write_all(content) {
        // Frees the space; the put has failed anyway.
        let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(file.into())
}

fn read_file(folder: &OwnedFd, name: &str, at_most: u64) -> Result<Bytes, Errno> {
    let at_most = at_most.min(MAX_BLOB_BYTES);
    // With NONBLOCK, a foreign FIFO is rejected below and does not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        // NODATA means that the blob is missing, NOENT that the folder is.
        Err(Errno::NOENT) if exists(folder)? => return Err(Errno::NODATA),
        opened => opened?,
    };
    let status = rustix::fs::fstat(file.as_fd())?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let size = u64::try_from(status.st_size).unwrap_or(0);
    if size > at_most {
        return Err(Errno::FBIG);
    }
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    File::from(file)
        .take(at_most + 1)
        .read_to_end(&mut content)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if content.len() as u64 > at_most {
        return Err(Errno::FBIG);
    }
    Ok(content.into())
}

/// Creates the folder if it is missing, and makes its name durable.
fn create_durably(folder: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(folder, Mode::from_raw_mode(0o777)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::open(parent, flags, Mode::empty())?)
}

fn too_large() -> String {
    format!("at most {MAX_BLOB_BYTES} bytes are allowed")
}

fn failure(
    errno: Errno,
    operation: Operation,
    location: &str,
    blob: Option<&BlobName>,
) -> ContainerError {
    let (kind, detail) = match errno {
        Errno::NODATA => (ContainerErrorKind::BlobMissing, None),
        Errno::NOENT => (
            ContainerErrorKind::ContainerMissing,
            Some(
                "the folder does not exist; if it is on a disk of its own, mount that first"
                    .to_owned(),
            ),
        ),
        Errno::NOSPC | Errno::DQUOT => (ContainerErrorKind::DiskFull, Some(errno.to_string())),
        Errno::FBIG if operation == Operation::Get => (ContainerErrorKind::TooLarge, None),
        Errno::INVAL | Errno::LOOP if operation == Operation::Get => (
            ContainerErrorKind::Io,
            Some("it is not a regular file".into()),
        ),
        Errno::CANCELED => (
            ContainerErrorKind::Io,
            Some("the work was abandoned because the program is exiting".into()),
        ),
        errno => (ContainerErrorKind::Io, Some(errno.to_string())),
    };
    // For example if a limit of this process on the size of files is exceeded.
    let advice = process_limits::advice(&errno.into());
    let mut error = ContainerError::new(kind, operation, location);
    if let Some(detail) = detail {
        error = error.with_detail(detail);
    }
    let advice = advice.filter(|_| matches!(error.kind(), ContainerErrorKind::Io));
    error.with_optional_advice(advice).with_optional_blob(blob)
}

#[cfg(test)]
mod tests;
