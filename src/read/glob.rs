//! Patterns for names and paths, which are bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

use super::TreePath;

/// A pattern such as `*.tmp` or `/home/**/core`.
///
/// A pattern without a `/` is compared with the last component of a path, so that it matches at any
/// depth. A pattern with a `/` is compared with the complete path from the root of the container; a
/// leading or trailing `/` is ignored. `*` and `?` do not match `/`; `**` as a component matches any
/// number of directories. `[a-z]`, `[!a-z]` and `{a,b}` are supported; a backslash escapes a special
/// character. `?` and `[…]` match one byte, because names need not be UTF-8.
#[derive(Debug, Clone)]
pub struct Pattern {
    matcher: GlobMatcher,
    full_path: bool,
}

/// Why a pattern is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} is invalid: {problem}")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong.
    pub problem: String,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// If it is empty, or a bracket or brace is not closed.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |problem: String| InvalidPattern {
            pattern: pattern.to_owned(),
            problem,
        };
        let given = pattern.strip_suffix('/').unwrap_or(pattern);
        let full_path = given.contains('/');
        let from_root = given.strip_prefix('/').unwrap_or(given);
        if from_root.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        let glob = GlobBuilder::new(from_root)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| invalid(error.kind().to_string()))?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            full_path,
        })
    }

    /// Returns whether it matches an entry. No pattern matches the root, which has no name.
    pub fn matches(&self, path: &TreePath) -> bool {
        let Some(name) = path.name() else {
            return false;
        };
        match self.full_path {
            true => self.matcher.is_match(OsStr::from_bytes(&path.to_bytes())),
            false => self.matcher.is_match(OsStr::from_bytes(name)),
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(pattern: &str) -> Result<Self, InvalidPattern> {
        Self::parse(pattern)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Pattern::parse(pattern)
            .unwrap()
            .matches(&TreePath::parse(path))
    }

    #[test]
    fn a_pattern_without_a_slash_matches_the_last_component() {
        assert!(matches("*.o", b"a/b/x.o"));
        assert!(matches("x", b"x"));
        assert!(!matches("x", b"x/y"));
        assert!(!matches("*.o", b"a.o/b"));
        assert!(matches("*", b"a/.hidden"));
        assert!(matches("{a,b}?", b"bz"));
        assert!(matches("[!a]*", b"bz"));
        assert!(!matches("[!a]*", b"az"));
        assert!(matches("\\*", b"*") && !matches("\\*", b"a"));
    }

    #[test]
    fn a_trailing_slash_is_ignored() {
        assert!(matches("tmp/", b"a/tmp") && matches("/a/tmp/", b"a/tmp"));
        assert!(!matches("/tmp/", b"a/tmp"));
    }

    #[test]
    fn a_pattern_with_a_slash_matches_the_complete_path() {
        for pattern in ["a/*.o", "/a/*.o"] {
            assert!(matches(pattern, b"a/x.o"), "{pattern}");
            assert!(!matches(pattern, b"b/a/x.o"), "{pattern}");
            assert!(!matches(pattern, b"a/b/x.o"), "{pattern}");
        }
        assert!(matches("/x", b"x") && !matches("/x", b"a/x"));
        assert!(matches("a/**/x", b"a/x") && matches("a/**/x", b"a/b/c/x"));
        assert!(matches("a/**", b"a/b/c") && !matches("a/**", b"a"));
        assert!(matches("**/x", b"x") && matches("**/x", b"a/b/x"));
    }

    #[test]
    fn names_are_bytes() {
        assert!(matches("a*b", b"a\xff\xfeb"));
        assert!(matches("a?b", b"a\xffb"));
        assert!(matches("*", b"new\nline"));
        assert!(matches("\u{fc}*", b"\xc3\xbcx"));
        // Two bytes.
        assert!(!matches("?", b"\xc3\xbc") && matches("??", b"\xc3\xbc"));
    }

    #[test]
    fn no_pattern_matches_the_root() {
        assert!(!matches("*", b"/") && !matches("/**", b"/"));
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for pattern in ["", "/", "[a", "{a"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }
}
