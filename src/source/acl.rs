//! Access control lists as the kernel returns them, and the mode that is stored for them.
//!
//! If a file has a POSIX ACL with a mask, the group bits of `st_mode` are the mask (acl(5)), and the owning
//! group's permissions are in the ACL. A stored mode with the mask's bits would give the group permissions
//! that only named users have.

use std::ffi::CStr;

use crate::loss::{Loss, Losses};

/// `system.posix_acl_access`, the access ACL of a file.
pub(super) const POSIX_ACCESS: &CStr = c"system.posix_acl_access";
/// `system.posix_acl_default`, which new entries of a directory inherit.
pub(super) const POSIX_DEFAULT: &CStr = c"system.posix_acl_default";
/// `system.nfs4_acl`, the ACL of a file on an NFSv4 mount.
pub(super) const NFS4: &CStr = c"system.nfs4_acl";

/// The group's three bits in a mode.
const GROUP_BITS: u16 = 0o070;
/// Read, write, execute: one class of a mode.
const ALL: u8 = 0o7;

/// The effect of an ACL on the stored mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acl {
    /// The maximum permissions of the owning group.
    pub(super) group: u8,
    /// What a mode cannot express.
    pub(super) losses: Losses,
}

impl Acl {
    /// No ACL: the mode is complete.
    pub(super) const NONE: Acl = Acl {
        group: ALL,
        losses: Losses::NONE,
    };

    /// Returns an ACL that cannot be read. The group bits of `st_mode` are its mask, so the permissions of the
    /// group are unknown, and it is given none.
    pub(super) fn unreadable() -> Acl {
        Acl {
            group: 0,
            losses: Loss::Unexamined.into(),
        }
    }

    /// Combines two ACLs: the group has the permissions that both allow.
    pub(super) fn and(self, other: Acl) -> Acl {
        Acl {
            group: self.group & other.group,
            losses: self.losses.and(other.losses),
        }
    }
}

/// Returns the mode to store: the group gets its own permissions, limited to those in `st_mode`.
pub(super) fn limit_group(mode: u16, group: u8) -> u16 {
    mode & !GROUP_BITS | mode & GROUP_BITS & u16::from(group & ALL) << 3
}

fn group_bits(mode: u16) -> u8 {
    (mode >> 3) as u8 & ALL
}

fn other_bits(mode: u16) -> u8 {
    mode as u8 & ALL
}

/// Takes a little-endian number from the front.
fn little<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// Reads the value of [`POSIX_ACCESS`]: `u32` version 2, then entries of `u16` tag, `u16` permissions
/// and `u32` id, little-endian (`linux/posix_acl_xattr.h`). None when it is malformed.
pub(super) fn posix(value: &[u8], mode: u16) -> Option<Acl> {
    const VERSION: u32 = 2;
    const USER_OBJ: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP_OBJ: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;

    let mut rest = value;
    if u32::from_le_bytes(little(&mut rest)?) != VERSION {
        return None;
    }
    let (mut owner, mut group, mut mask, mut other) = (None, None, None, None);
    // The permissions that all named users have, and those that all named groups have.
    let (mut users, mut groups): (Option<u8>, Option<u8>) = (None, None);
    while !rest.is_empty() {
        let tag = u16::from_le_bytes(little(&mut rest)?);
        let permissions = u16::from_le_bytes(little(&mut rest)?);
        let _id: [u8; 4] = little(&mut rest)?;
        let permissions = u8::try_from(permissions).ok().filter(|p| *p <= ALL)?;
        let once = |place: &mut Option<u8>| match place.replace(permissions) {
            None => Some(()),
            Some(_) => None,
        };
        match tag {
            USER_OBJ => once(&mut owner)?,
            OTHER => once(&mut other)?,
            USER => users = Some(users.unwrap_or(ALL) & permissions),
            GROUP => groups = Some(groups.unwrap_or(ALL) & permissions),
            GROUP_OBJ => once(&mut group)?,
            MASK => once(&mut mask)?,
            _ => return None,
        }
    }
    // Without these, or with names and no mask, it is not a valid ACL (acl(5)). The permissions of owner and
    // others are those of the mode.
    let (Some(_), Some(group), Some(_)) = (owner, group, other) else {
        return None;
    };
    let has_names = users.is_some() || groups.is_some();
    if has_names && mask.is_none() {
        return None;
    }
    let mask = mask.unwrap_or(ALL);
    let group = group & mask;
    let mut losses = Losses::NONE;
    if has_names {
        losses = losses.with(Loss::AccessAcl);
        let (own, other) = (group_bits(limit_group(mode, group)), other_bits(mode));
        let lacks = |named: Option<u8>, gained| {
            named.is_some_and(|permissions| gained & !(permissions & mask) != 0)
        };
        // A user's entry counts before those of groups; of several groups any one is enough (acl(5)).
        if lacks(users, own | other) || lacks(groups, other) {
            losses = losses.with(Loss::DenyingAcl);
        }
    }
    Some(Acl { group, losses })
}

/// Reads the value of [`NFS4`]: XDR, a number of entries, each type, flags, access mask and "who"
/// (RFC 7530 section 6.2.1, as nfs4_acl(5) has it). None when it is malformed.
///
/// The server computes the mode, possibly from a POSIX ACL: the group bits may be a mask.
pub(super) fn nfs4(value: &[u8], mode: u16) -> Option<Acl> {
    const ALLOW: u32 = 0;
    const DENY: u32 = 1;
    const INHERITS: u32 = 0x1 | 0x2;
    const INHERIT_ONLY: u32 = 0x8;
    /// Read, write and execute in an access mask, and in a mode.
    const BITS: [(u32, u8); 3] = [(0x01, 4), (0x02, 2), (0x20, 1)];

    let mut rest = value;
    let number = |rest: &mut &[u8]| little(rest).map(u32::from_be_bytes);
    let count = number(&mut rest)?;
    let (mut allowed, mut denied, mut denied_to_named) = (0, 0, 0);
    let mut says_more = false;
    // Each takes 16 bytes at least: a number that is too large ends with the value.
    for _ in 0..count {
        let kind = number(&mut rest)?;
        let flags = number(&mut rest)?;
        let access = number(&mut rest)?;
        let length = number(&mut rest)? as usize;
        let (who, left) = rest.split_at_checked(length)?;
        rest = left.get(length.next_multiple_of(4) - length..)?;
        let bits = BITS
            .iter()
            .filter(|(bit, _)| access & bit != 0)
            .fold(0, |bits, (_, mode)| bits | mode);
        says_more |= flags & INHERITS != 0;
        if flags & INHERIT_ONLY != 0 {
            continue;
        }
        match (who, kind) {
            (b"OWNER@", _) => {}
            // The first entry with a permission decides. EVERYONE@ includes the group.
            (b"GROUP@" | b"EVERYONE@", ALLOW) => allowed |= bits & !denied,
            (b"GROUP@" | b"EVERYONE@", DENY) => denied |= bits & !allowed,
            (b"GROUP@" | b"EVERYONE@", _) => {}
            (_, kind) => {
                says_more = true;
                if kind == DENY {
                    denied_to_named |= bits;
                }
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let mut losses = Losses::NONE;
    if says_more {
        losses = losses.with(Loss::Nfs4Acl);
        let stored = limit_group(mode, allowed);
        if (group_bits(stored) | other_bits(stored)) & denied_to_named != 0 {
            losses = losses.with(Loss::DenyingAcl);
        }
    }
    // Without further names the mode is complete, whether or not the server derived it from an ACL.
    let group = if says_more { allowed } else { ALL };
    Some(Acl { group, losses })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn posix_value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    const NOBODY: u32 = u32::MAX;

    #[test]
    fn the_group_has_its_own_permissions_under_the_mask() {
        // 0600 and u:33:rw: the mask is rw, and so are the group bits of st_mode.
        let value = posix_value(&[
            (1, 6, NOBODY),
            (2, 6, 33),
            (4, 0, NOBODY),
            (0x10, 6, NOBODY),
            (0x20, 0, NOBODY),
        ]);
        let acl = posix(&value, 0o100_660).unwrap();
        assert_eq!((acl.group, acl.losses), (0, Loss::AccessAcl.into()));
        assert_eq!(limit_group(0o100_660, acl.group), 0o100_600);
        // A mask that takes from the group.
        let value = posix_value(&[
            (1, 7, NOBODY),
            (4, 7, NOBODY),
            (8, 7, 5),
            (0x10, 5, NOBODY),
            (0x20, 0, NOBODY),
        ]);
        let acl = posix(&value, 0o102_750).unwrap();
        assert_eq!(limit_group(0o102_750, acl.group), 0o102_750);
        // A mask without named entries: the mode contains all permissions, and nothing is lost.
        let value = posix_value(&[
            (1, 7, NOBODY),
            (4, 5, NOBODY),
            (0x10, 7, NOBODY),
            (0x20, 0, NOBODY),
        ]);
        let acl = posix(&value, 0o100_770).unwrap();
        assert_eq!(acl.losses, Losses::NONE);
        assert_eq!(limit_group(0o100_770, acl.group), 0o100_750);
    }

    /// The mode may have lost bits between the two calls: the group never gains.
    #[test]
    fn the_group_never_has_more_than_st_mode_says() {
        assert_eq!(limit_group(0o100_640, 0o7), 0o100_640);
        assert_eq!(limit_group(0o107_777, 0), 0o107_707);
    }

    #[test]
    fn acls_that_deny_access_are_counted() {
        let value = |tag, named, group, mask, other| {
            posix_value(&[
                (1, 7, NOBODY),
                (tag, named, 1000),
                (4, group, NOBODY),
                (0x10, mask, NOBODY),
                (0x20, other, NOBODY),
            ])
        };
        const USER: u16 = 2;
        const GROUP: u16 = 8;
        for (tag, named, group, mask, other, denies) in [
            // u:eve:--- where others may read.
            (USER, 0, 0, 7, 5, true),
            (USER, 0, 5, 7, 0, true),
            (USER, 5, 5, 7, 5, false),
            (USER, 7, 5, 7, 5, false),
            // The mask denies eve a permission that others have.
            (USER, 7, 5, 4, 5, true),
            (USER, 0, 0, 7, 0, false),
            (USER, 0, 7, 0, 0, false),
            // A member has the permissions of any of its groups.
            (GROUP, 0, 5, 7, 0, false),
            (GROUP, 0, 5, 7, 5, true),
        ] {
            let mode = 0o100_700 | mask << 3 | other;
            let acl = posix(&value(tag, named, group, mask, other), mode).unwrap();
            assert!(acl.losses.has(Loss::AccessAcl));
            assert_eq!(acl.losses.has(Loss::DenyingAcl), denies, "{mode:o} {named}");
        }
    }

    #[test]
    fn a_malformed_posix_acl_is_none() {
        let good = posix_value(&[(1, 6, NOBODY), (4, 0, NOBODY), (0x20, 0, NOBODY)]);
        assert!(posix(&good, 0o100_600).is_some());
        for end in 0..good.len() {
            let cut = &good[..end];
            assert!(posix(cut, 0o100_600).is_none(), "{end}");
        }
        let mut version = good.clone();
        version[0] = 1;
        for bad in [
            version,
            posix_value(&[(1, 6, NOBODY), (4, 8, NOBODY), (0x20, 0, NOBODY)]),
            posix_value(&[(1, 6, NOBODY), (4, 0x100, NOBODY), (0x20, 0, NOBODY)]),
            posix_value(&[(1, 6, NOBODY), (0x20, 0, NOBODY)]),
            posix_value(&[
                (1, 6, NOBODY),
                (4, 6, NOBODY),
                (4, 0, NOBODY),
                (0x20, 0, NOBODY),
            ]),
            posix_value(&[
                (1, 6, NOBODY),
                (4, 6, NOBODY),
                (0x20, 0, NOBODY),
                (0x40, 0, NOBODY),
            ]),
            posix_value(&[
                (1, 6, NOBODY),
                (2, 0, 33),
                (4, 6, NOBODY),
                (0x20, 0, NOBODY),
            ]),
        ] {
            assert!(posix(&bad, 0o100_600).is_none(), "{bad:?}");
        }
    }

    fn nfs4_value(entries: &[(u32, u32, u32, &str)]) -> Vec<u8> {
        let mut value = (entries.len() as u32).to_be_bytes().to_vec();
        for (kind, flags, access, who) in entries {
            for number in [*kind, *flags, *access, who.len() as u32] {
                value.extend(number.to_be_bytes());
            }
            value.extend(who.as_bytes());
            value.resize(value.len().next_multiple_of(4), 0);
        }
        value
    }

    const READ: u32 = 0x01;
    const WRITE: u32 = 0x02;
    const RUN: u32 = 0x20;

    #[test]
    fn an_nfs4_acl_of_the_three_classes_is_the_mode() {
        let value = nfs4_value(&[
            (0, 0, READ | WRITE, "OWNER@"),
            (0, 0x40, READ, "GROUP@"),
            (0, 0, READ, "EVERYONE@"),
        ]);
        let acl = nfs4(&value, 0o100_644).unwrap();
        assert_eq!((acl.group, acl.losses), (7, Losses::NONE));
        assert_eq!(nfs4(&nfs4_value(&[]), 0o100_644).unwrap().group, 7);
    }

    /// As Linux serves a file of mode 0600 with `u:33:rw`: the group bits are the mask.
    #[test]
    fn an_nfs4_acl_with_names_limits_the_group() {
        let value = nfs4_value(&[
            (0, 0, READ | WRITE, "OWNER@"),
            (0, 0, READ | WRITE, "www-data@example.org"),
            (1, 0x40, READ | WRITE, "GROUP@"),
            (0, 0, 0, "EVERYONE@"),
        ]);
        let acl = nfs4(&value, 0o100_660).unwrap();
        assert_eq!(limit_group(0o100_660, acl.group), 0o100_600);
        assert_eq!(acl.losses, Loss::Nfs4Acl.into());
        // EVERYONE@ includes the group unless an earlier entry denies it.
        let value = nfs4_value(&[
            (1, 0, READ | RUN, "eve@example.org"),
            (1, 0x40, RUN, "GROUP@"),
            (0, 0, READ | RUN, "EVERYONE@"),
        ]);
        let acl = nfs4(&value, 0o100_775).unwrap();
        assert_eq!(limit_group(0o100_775, acl.group), 0o100_745);
        assert!(acl.losses.has(Loss::DenyingAcl));
        // A mode cannot express inheritance. Inherit-only entries grant nothing on the directory itself.
        let value = nfs4_value(&[(0, 0x3 | 0x8, READ, "GROUP@"), (0, 0, READ, "EVERYONE@")]);
        let acl = nfs4(&value, 0o040_775).unwrap();
        assert_eq!((acl.group, acl.losses), (4, Loss::Nfs4Acl.into()));
    }

    #[test]
    fn a_malformed_nfs4_acl_is_none() {
        let good = nfs4_value(&[(0, 0, READ, "OWNER@"), (0, 0, READ, "eve")]);
        assert!(nfs4(&good, 0o100_600).is_some());
        for end in 0..good.len() {
            assert!(nfs4(&good[..end], 0o100_600).is_none(), "{end}");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(nfs4(&long, 0o100_600).is_none());
        let mut many = good.clone();
        many[..4].fill(0xff);
        assert!(nfs4(&many, 0o100_600).is_none());
        let mut who = good;
        who[16..20].fill(0xff);
        assert!(nfs4(&who, 0o100_600).is_none());
    }
}
