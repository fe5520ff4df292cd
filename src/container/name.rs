//! Names of blobs that every backend stores unchanged.

use std::fmt;

use clfs_format::ObjectName;
use thiserror::Error;

/// The maximum length of a blob name in Azure, in characters.
const MAX_NAME_BYTES: usize = 1024;

/// A blob name that is safe on every backend.
///
/// It has 1 to 1,024 bytes of ASCII letters, digits, `_`, `.` and `-` and does not start with `.`: a URL or a path does
/// not rewrite it (`.`, `..`, `a/../b`), and a listing of a folder does not hide it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(Box<str>);

/// Why a string is not a [`BlobName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidBlobName {
    /// The name is empty.
    #[error("a blob name cannot be empty")]
    Empty,
    /// The name is longer than 1,024 bytes.
    #[error("the blob name has {0} bytes; at most 1024 are allowed")]
    TooLong(usize),
    /// The name starts with a dot.
    #[error("the blob name {0:?} starts with a dot")]
    LeadingDot(String),
    /// The name contains a character other than ASCII letters, digits, `_`, `.`, `-`.
    #[error(
        "the blob name {name:?} contains {character:?}; only letters, digits, '_', '.' and '-' are allowed"
    )]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl BlobName {
    /// Validates a name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidBlobName> {
        let name = name.into();
        if name.is_empty() {
            return Err(InvalidBlobName::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidBlobName::TooLong(name.len()));
        }
        if name.starts_with('.') {
            return Err(InvalidBlobName::LeadingDot(name));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match name.chars().find(|&c| !allowed(c)) {
            Some(character) => Err(InvalidBlobName::Character { name, character }),
            None => Ok(Self(name.into())),
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ObjectName> for BlobName {
    fn from(name: &ObjectName) -> Self {
        let text = name.to_string();
        // Hexadecimal digits, letters and dots (format.md §4).
        debug_assert!(Self::new(text.as_str()).is_ok(), "{text}");
        Self(text.into())
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobName({})", self.0)
    }
}

impl TryFrom<&str> for BlobName {
    type Error = InvalidBlobName;

    fn try_from(name: &str) -> Result<Self, InvalidBlobName> {
        Self::new(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn safe_names_are_accepted() {
        for name in [
            "a",
            "0A.B_c-d",
            "output.txt",
            "-",
            "a..b",
            &"x".repeat(1024),
        ] {
            assert_eq!(BlobName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_a_backend_would_change_are_rejected() {
        assert_eq!(BlobName::new(""), Err(InvalidBlobName::Empty));
        assert_eq!(
            BlobName::new("x".repeat(1025)),
            Err(InvalidBlobName::TooLong(1025))
        );
        for name in [".", "..", ".tmp-a"] {
            assert_eq!(
                BlobName::new(name),
                Err(InvalidBlobName::LeadingDot(name.into()))
            );
        }
        for name in [
            "a/b", "a/../b", "a b", "a\0", "ä", "a%2F", "a\\b", "a?b", "a#", "\n",
        ] {
            assert!(
                matches!(BlobName::new(name), Err(InvalidBlobName::Character { .. })),
                "{name:?}"
            );
        }
    }
}
