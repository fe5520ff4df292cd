//! ACLs and extended attributes, which a load loses because the format cannot hold them.

use std::fmt;

use crate::text::human::counted;
use crate::text::{Escaped, below_source};

/// A kind of attribute that a load loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Loss {
    /// A POSIX access ACL with named users or groups.
    AccessAcl,
    /// An ACL that denies a user or group what the stored mode allows.
    DenyingAcl,
    /// A default ACL of a directory.
    DefaultAcl,
    /// An NFSv4 ACL that grants or denies more than the mode does.
    Nfs4Acl,
    /// `security.capability`.
    Capability,
    /// `user.*`.
    UserAttributes,
    /// `trusted.*` and `security.*`, except the internal ones of file systems.
    OtherAttributes,
    /// The attributes could not be read, so there may be any of the others.
    Unexamined,
}

impl Loss {
    /// All kinds in the order of reports: those that affect access come first.
    pub const ALL: [Loss; 8] = [
        Loss::DenyingAcl,
        Loss::AccessAcl,
        Loss::DefaultAcl,
        Loss::Nfs4Acl,
        Loss::Unexamined,
        Loss::Capability,
        Loss::UserAttributes,
        Loss::OtherAttributes,
    ];

    /// Its name in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Loss::AccessAcl => "access-acl",
            Loss::DenyingAcl => "acl-denies",
            Loss::DefaultAcl => "default-acl",
            Loss::Nfs4Acl => "nfs4-acl",
            Loss::Capability => "capability",
            Loss::UserAttributes => "user-xattr",
            Loss::OtherAttributes => "other-xattr",
            Loss::Unexamined => "xattr-unexamined",
        }
    }

    /// Its bit in a set. State databases contain these bits.
    fn bit(self) -> u16 {
        1 << match self {
            Loss::AccessAcl => 0,
            Loss::DenyingAcl => 1,
            Loss::DefaultAcl => 2,
            Loss::Nfs4Acl => 3,
            Loss::Capability => 4,
            Loss::UserAttributes => 5,
            Loss::OtherAttributes => 6,
            Loss::Unexamined => 7,
        }
    }
}

/// A phrase that follows the number of entries in reports.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::AccessAcl => {
                "POSIX access ACL not stored: users and groups that it names lose their permissions"
            }
            Loss::DenyingAcl => {
                "ACL denies a user or group what the stored mode allows: in the container they may have access"
            }
            Loss::DefaultAcl => "default ACL not stored: new entries in the directory inherit none",
            Loss::Nfs4Acl => {
                "NFSv4 ACL not stored: the mode is stored without the users, groups and inheritance that it names"
            }
            Loss::Unexamined => {
                "extended attributes could not be read: an ACL may be missing, its mask may be stored as the group's permissions"
            }
            Loss::Capability => "file capabilities (security.capability) not stored",
            Loss::UserAttributes => "user extended attributes (user.*) not stored",
            Loss::OtherAttributes => {
                "other extended attributes (trusted.*, security.*) not stored"
            }
        })
    }
}

/// The kinds that one entry loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses(u16);

impl Losses {
    /// The empty set.
    pub const NONE: Losses = Losses(0);

    /// Returns this set with one more kind.
    pub fn with(self, loss: Loss) -> Self {
        Losses(self.0 | loss.bit())
    }

    /// Returns the union of two sets.
    pub fn and(self, others: Losses) -> Self {
        Losses(self.0 | others.0)
    }

    /// Returns whether the set contains `loss`.
    pub fn has(self, loss: Loss) -> bool {
        self.0 & loss.bit() != 0
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the kinds in the set, in the order of [`Loss::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.into_iter().filter(move |loss| self.has(*loss))
    }

    /// Returns the set as it is stored in a state database.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    /// Reads a set from a state database. Bits of later versions are ignored.
    pub(crate) fn from_bits(bits: u16) -> Self {
        let known = Loss::ALL.iter().fold(0, |known, loss| known | loss.bit());
        Losses(bits & known)
    }
}

impl From<Loss> for Losses {
    fn from(loss: Loss) -> Self {
        Losses::NONE.with(loss)
    }
}

/// The number of entries that lose a kind of attribute, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The kind.
    pub loss: Loss,
    /// The number of entries.
    pub entries: u64,
    /// The path of the first entry below the source, raw bytes.
    pub first: Vec<u8>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (first: {})",
            counted(self.entries, "entry", "entries"),
            self.loss,
            Escaped(below_source(&self.first))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_bit_and_a_name_of_its_own() {
        let mut all = Losses::NONE;
        let mut codes = std::collections::BTreeSet::new();
        for loss in Loss::ALL {
            assert!(!all.has(loss));
            all = all.with(loss);
            assert!(codes.insert(loss.code()));
        }
        assert_eq!(all.iter().count(), 8);
        assert_eq!(Losses::from_bits(all.bits()), all);
        assert_eq!(Losses::from_bits(u16::MAX), all);
    }
}
