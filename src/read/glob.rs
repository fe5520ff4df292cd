//! Patterns for names and paths, over bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

use super::TreePath;

/// A pattern such as `*.tmp` or `/home/**/core`.
///
/// Without a `/` it is compared with the last component of a path, so it matches at any depth. With
/// one it is compared with the whole path from the root of the container; whether it begins with `/`
/// makes no difference. `*` and `?` stop at `/`, `**` as a whole component does not. `[a-z]`, `[!a-z]`
/// and `{a,b}` are possible; a backslash takes a special character for itself. `?` and `[…]` stand for
/// one byte: names need not be UTF-8. A `/` at the end means nothing.
#[derive(Debug, Clone)]
pub struct Pattern {
    matcher: GlobMatcher,
    whole_path: bool,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be used: {problem}")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Pattern {
    /// Takes a pattern.
    ///
    /// # Errors
    /// When it is empty, or a bracket or brace is not closed.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |problem: String| InvalidPattern {
            pattern: pattern.to_owned(),
            problem,
        };
        let given = pattern.strip_suffix('/').unwrap_or(pattern);
        let whole_path = given.contains('/');
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
            whole_path,
        })
    }

    /// Whether it matches an entry. The root has no name, so nothing matches it.
    pub fn matches(&self, path: &TreePath) -> bool {
        let Some(name) = path.name() else {
            return false;
        };
        match self.whole_path {
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
    fn without_a_slash_the_last_component_counts() {
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
    fn a_slash_at_the_end_means_nothing() {
        assert!(matches("tmp/", b"a/tmp") && matches("/a/tmp/", b"a/tmp"));
        assert!(!matches("/tmp/", b"a/tmp"));
    }

    #[test]
    fn with_a_slash_the_whole_path_counts() {
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
    fn the_root_has_no_name() {
        assert!(!matches("*", b"/") && !matches("/**", b"/"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", "/", "[a", "{a"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }
}
