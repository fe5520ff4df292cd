//! Paths inside a container, as chains: each component is held once, however many paths go through
//! it, and no path is too long.

use std::fmt;
use std::sync::Arc;

use crate::monitor::Escaped;

/// A path from the root of a container. Components are raw bytes; the root has none.
#[derive(Clone, Default)]
pub struct TreePath(Option<Arc<Node>>);

struct Node {
    parent: TreePath,
    name: Box<[u8]>,
    depth: usize,
}

impl TreePath {
    /// The root directory.
    pub fn root() -> Self {
        Self(None)
    }

    /// The entry `name` of this directory.
    pub fn child(&self, name: &[u8]) -> Self {
        Self(Some(Arc::new(Node {
            parent: self.clone(),
            name: name.into(),
            depth: self.depth() + 1,
        })))
    }

    /// The directory that holds it; none for the root.
    pub fn parent(&self) -> Option<&TreePath> {
        self.0.as_deref().map(|node| &node.parent)
    }

    /// The last component; none for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.0.as_deref().map(|node| &*node.name)
    }

    /// Number of components.
    pub fn depth(&self) -> usize {
        self.0.as_deref().map_or(0, |node| node.depth)
    }

    /// The components from the root on.
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

    /// The components with `/` between them; empty for the root.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.components().join(&b'/')
    }

    /// `/` and the components with `/` between them: how users write it.
    pub fn absolute(&self) -> Vec<u8> {
        let mut path = vec![b'/'];
        path.append(&mut self.to_bytes());
        path
    }

    /// Components of a path that a person gave: empty ones and `.` do not count, a leading `/` is
    /// the root.
    pub fn parse(path: &[u8]) -> Self {
        path.split(|byte| *byte == b'/')
            .filter(|component| !matches!(*component, b"" | b"."))
            .fold(Self::root(), |path, component| path.child(component))
    }
}

impl Drop for Node {
    /// A chain of a million components must not be dropped by a million nested calls.
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
    /// `/a/b`, with what a terminal must not see escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", Escaped(&self.to_bytes()))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
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
