//! The conditions of `find`.

use std::time::SystemTime;

use clap::ValueEnum;
use clfs_format::{Attributes, FileType};

use super::record::system_time;
use crate::read::{Pattern, TreePath};

/// A condition on a number: equal, more than or less than.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Exactly(u64),
    MoreThan(u64),
    LessThan(u64),
}

impl Bound {
    /// Returns a parser for `N`, `+N` and `-N` that parses the number with `number`.
    pub(super) fn parse_with(
        number: fn(&str) -> Result<u64, String>,
    ) -> impl Fn(&str) -> Result<Self, String> + Clone + Send + Sync + 'static {
        move |text| match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(text), _) => number(text).map(Self::MoreThan),
            (_, Some(text)) => number(text).map(Self::LessThan),
            _ => number(text).map(Self::Exactly),
        }
    }

    fn holds(self, value: u64) -> bool {
        match self {
            Self::Exactly(bound) => value == bound,
            Self::MoreThan(bound) => value > bound,
            Self::LessThan(bound) => value < bound,
        }
    }
}

/// Parses a point in time: a date or a date and time, both in UTC, or an age.
pub(super) fn time(text: &str) -> Result<SystemTime, String> {
    let parsed = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")));
    if let Ok(time) = parsed {
        return Ok(time);
    }
    let age = text.strip_suffix(" ago").unwrap_or(text);
    humantime::parse_duration(age)
        .ok()
        .and_then(|age| SystemTime::now().checked_sub(age))
        .ok_or_else(|| {
            "must be a date (2026-01-31), date and time (2026-01-31T12:00:00Z) or age (30days, 2h)"
                .to_owned()
        })
}

/// The letters of `find --type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum TypeLetter {
    F,
    D,
    L,
    B,
    C,
    S,
    P,
}

impl TypeLetter {
    pub(super) fn file_type(self) -> FileType {
        match self {
            Self::F => FileType::Regular,
            Self::D => FileType::Directory,
            Self::L => FileType::Symlink,
            Self::B => FileType::Block,
            Self::C => FileType::Character,
            Self::S => FileType::Socket,
            Self::P => FileType::Fifo,
        }
    }
}

/// The conditions that an entry must meet. An empty list or `None` accepts all.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// One of these patterns must match.
    pub(super) names: Vec<Pattern>,
    /// The type must be one of these.
    pub(super) types: Vec<FileType>,
    pub(super) size: Option<Bound>,
    pub(super) newer_than: Option<SystemTime>,
    pub(super) older_than: Option<SystemTime>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) links: Option<Bound>,
}

impl Filter {
    /// Whether the name and the type meet the conditions. They are known from the directory.
    pub(super) fn accepts_entry(&self, path: &TreePath, file_type: FileType) -> bool {
        (self.types.is_empty() || self.types.contains(&file_type))
            && (self.names.is_empty() || self.names.iter().any(|name| name.matches(path)))
    }

    /// Whether the inode is needed for [`Filter::accepts_inode`].
    pub(super) fn needs_inode(&self) -> bool {
        let Self {
            names: _,
            types: _,
            size,
            newer_than,
            older_than,
            uid,
            gid,
            links,
        } = self;
        size.is_some()
            || newer_than.is_some()
            || older_than.is_some()
            || uid.is_some()
            || gid.is_some()
            || links.is_some()
    }

    /// Whether the attributes meet the conditions.
    pub(super) fn accepts_inode(&self, attributes: &Attributes) -> bool {
        let mtime = system_time(attributes.mtime);
        self.size.is_none_or(|size| size.holds(attributes.size))
            && self.newer_than.is_none_or(|time| mtime > time)
            && self.older_than.is_none_or(|time| mtime < time)
            && self.uid.is_none_or(|uid| uid == attributes.uid)
            && self.gid.is_none_or(|gid| gid == attributes.gid)
            && self
                .links
                .is_none_or(|links| links.holds(attributes.nlink.into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_parsed() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(time("1970-01-02").unwrap(), at(86_400));
        assert_eq!(time("1970-01-02 00:00:01").unwrap(), at(86_401));
        assert_eq!(time("1970-01-02T00:00:01Z").unwrap(), at(86_401));
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        for word in ["1h", "60min", "1h ago"] {
            let off = time(word).unwrap().duration_since(hour_ago).unwrap();
            assert!(off < Duration::from_secs(60), "{word}: {off:?}");
        }
        for word in ["", "yesterday", "1970-13-01", "5", "99999999999999years"] {
            assert!(time(word).is_err(), "{word}");
        }
    }

    #[test]
    fn bounds_are_parsed_and_hold() {
        let parse = Bound::parse_with(super::super::size::parse);
        let holds = |word: &str, value| parse(word).unwrap().holds(value);
        assert!(holds("1K", 1024) && !holds("1K", 1025));
        assert!(holds("+1K", 1025) && !holds("+1K", 1024));
        assert!(holds("-1K", 1023) && !holds("-1K", 1024));
        assert!(parse("++1").is_err() && parse("+").is_err());
    }

    #[test]
    fn an_empty_filter_accepts_all() {
        let filter = Filter::default();
        assert!(!filter.needs_inode());
        assert!(filter.accepts_entry(&TreePath::root(), FileType::Directory));
        assert!(filter.accepts_inode(&Attributes::default()));
    }
}
