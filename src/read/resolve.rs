//! Finds an entry by its path.

use std::sync::Arc;

use clfs_format::{FileType, Filehandle};

use super::{Entity, ReadError, Reader, TreePath};

/// An entry that was found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Its path.
    pub path: TreePath,
    /// Its inode.
    pub entity: Arc<Entity>,
}

impl Reader {
    /// Reads the entry at `path`. Symlinks are not followed.
    ///
    /// # Errors
    /// [`ReadError::NoEntry`] and [`ReadError::NotADirectory`] for paths that are not there. When an
    /// entry is not found, but a part of its directory could not be read, the error is about that.
    pub async fn resolve(self: &Arc<Self>, path: &TreePath) -> Result<Resolved, ReadError> {
        self.resolve_through(path, |_| ()).await
    }

    /// As [`Reader::resolve`]; `passed` hears of every directory on the way, from the root on.
    ///
    /// # Errors
    /// The same.
    pub async fn resolve_through(
        self: &Arc<Self>,
        path: &TreePath,
        mut passed: impl FnMut(Resolved),
    ) -> Result<Resolved, ReadError> {
        let mut entity = Arc::new(self.root().await?);
        let mut at = TreePath::root();
        for component in path.components() {
            if entity.file_type != FileType::Directory {
                return Err(ReadError::NotADirectory {
                    path: at.to_bytes(),
                });
            }
            let next = at.child(component);
            let handle = self.find(&entity, component).await?;
            let handle = handle.ok_or_else(|| ReadError::NoEntry {
                path: next.to_bytes(),
            })?;
            let inner = Arc::new(self.entity(handle).await?);
            let path = std::mem::replace(&mut at, next);
            let entity = std::mem::replace(&mut entity, inner);
            passed(Resolved { path, entity });
        }
        Ok(Resolved { path: at, entity })
    }

    /// What `name` names in a directory.
    async fn find(
        self: &Arc<Self>,
        directory: &Arc<Entity>,
        name: &[u8],
    ) -> Result<Option<Filehandle>, ReadError> {
        // Neither is a child.
        if matches!(name, b"." | b"..") {
            return Ok(None);
        }
        let mut segments = self.entry_segments(directory);
        let mut unreadable = None;
        loop {
            match segments.next().await {
                Ok(Some(segment)) => {
                    for entry in segment.entries() {
                        match entry {
                            Ok(entry) if entry.name == name => return Ok(Some(entry.handle)),
                            Err(bad) if bad.name.as_deref() == Some(name) => {
                                return Err(ReadError::Format {
                                    blob: segment.blob.to_string(),
                                    error: bad.error,
                                });
                            }
                            _ => {}
                        }
                    }
                }
                Ok(None) => break,
                Err(error) if error.is_damage() => unreadable = Some(error),
                Err(error) => return Err(error),
            }
        }
        match unreadable {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }
}
