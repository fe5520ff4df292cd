//! Paths in a container, and the entries that they lead to. A path is a chain, so that paths share
//! their common components, and its length is not limited.

use std::fmt;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};

use super::{Entity, ReadError, Reader};
use crate::text::Escaped;

/// A path from the root of a container. Components are raw bytes; the root has none.
#[derive(Clone, Default)]
pub struct TreePath(Option<Arc<Node>>);

struct Node {
    parent: TreePath,
    name: Box<[u8]>,
    depth: usize,
}

impl TreePath {
    /// Returns the path of the root directory.
    pub fn root() -> Self {
        Self(None)
    }

    /// Returns the path of the entry `name` of this directory.
    pub fn child(&self, name: &[u8]) -> Self {
        Self(Some(Arc::new(Node {
            parent: self.clone(),
            name: name.into(),
            depth: self.depth() + 1,
        })))
    }

    /// Returns the path of the parent directory; none for the root.
    pub fn parent(&self) -> Option<&TreePath> {
        self.0.as_deref().map(|node| &node.parent)
    }

    /// Returns the last component; none for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.0.as_deref().map(|node| &*node.name)
    }

    /// Returns the number of components.
    pub fn depth(&self) -> usize {
        self.0.as_deref().map_or(0, |node| node.depth)
    }

    /// Returns the components, from the root on.
    pub fn components(&self) -> Vec<&[u8]> {
        let mut components = Vec::with_capacity(self.depth());
        let mut at = self;
        while let Some(node) = at.0.as_deref() {
            components.push(&*node.name);
            at = &node.parent;
        }
        components.reverse();
        components
    }

    /// Returns the components with `/` between them; empty for the root.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.components().join(&b'/')
    }

    /// Returns `/` and the components with `/` between them.
    pub fn absolute(&self) -> Vec<u8> {
        let mut path = vec![b'/'];
        path.append(&mut self.to_bytes());
        path
    }

    /// Parses a path of a user: empty components, `.` and a leading `/` are ignored.
    pub fn parse(path: &[u8]) -> Self {
        path.split(|byte| *byte == b'/')
            .filter(|component| !matches!(*component, b"" | b"."))
            .fold(Self::root(), |path, component| path.child(component))
    }
}

impl Drop for Node {
    /// Drops the chain in a loop: a million nested calls would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.0.take();
        while let Some(node) = next {
            next = match Arc::try_unwrap(node) {
                Ok(mut alone) => alone.parent.0.take(),
                Err(_) => None,
            };
        }
    }
}

impl fmt::Display for TreePath {
    /// Writes `/a/b`, with control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", Escaped(&self.to_bytes()))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

/// An entry that a path leads to.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The path.
    pub path: TreePath,
    /// The inode.
    pub entity: Arc<Entity>,
}

impl Reader {
    /// Reads the entry at `path`. Symlinks are not followed.
    ///
    /// # Errors
    /// [`ReadError::NoEntry`] or [`ReadError::NotADirectory`] if the path does not exist. If an entry
    /// is not found and a part of its directory could not be read, the error of that part.
    pub async fn resolve(self: &Arc<Self>, path: &TreePath) -> Result<Resolved, ReadError> {
        self.resolve_through(path, |_| ()).await
    }

    /// Does the same as [`Reader::resolve`]; calls `passed` for each directory on the path, from the root on.
    ///
    /// # Errors
    /// As [`Reader::resolve`].
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

    /// Returns the entity that `name` names in a directory.
    async fn find(
        self: &Arc<Self>,
        directory: &Arc<Entity>,
        name: &[u8],
    ) -> Result<Option<Filehandle>, ReadError> {
        // They do not name children.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_and_bytes() {
        let path = TreePath::parse(b"/a//./b/");
        assert_eq!(path.components(), [b"a", b"b"]);
        assert_eq!(path.to_bytes(), b"a/b");
        assert_eq!(path.parent().map(TreePath::to_bytes), Some(b"a".to_vec()));
        assert_eq!(TreePath::root().to_bytes(), b"");
        assert_eq!(path.to_string(), "/a/b");
        assert_eq!(path.absolute(), b"/a/b");
        assert_eq!(TreePath::root().absolute(), b"/");
    }

    #[test]
    fn a_deep_path_is_dropped() {
        let mut path = TreePath::root();
        for _ in 0..1_000_000 {
            path = path.child(b"d");
        }
        assert_eq!(path.depth(), 1_000_000);
    }
}
