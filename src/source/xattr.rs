//! Extended attributes of an entry: which there are that a load loses, and what an ACL makes of its mode.
//!
//! One call lists the names for each entry that is not a symlink, and one more reads an access ACL or that
//! of an NFSv4 mount. Calls that take a directory's descriptor exist since Linux 6.13 only;
//! `/proc/self/fd` does the same everywhere.

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use clfs_format::FileType;
use rustix::fs::{getxattr, lgetxattr, listxattr, llistxattr};
use rustix::io::{Errno, retry_on_intr};

use super::acl::{self, Acl};
use super::listxattrat::listxattrat;
use super::stat::Seen;
use crate::loss::{Loss, Losses};

/// The most that the kernel gives of a list or a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST_BYTES: usize = 64 << 10;
/// Enough for nearly all.
const FEW_BYTES: usize = 1 << 10;
/// `/proc/self/fd/`, a number, a slash, a name and a zero.
const PATH_BYTES: usize = 32 + 256;
/// How often an entry is examined whose ACL goes away meanwhile.
const TRIES: usize = 3;

/// Names and values that a file system or the system keeps for itself: they mean nothing elsewhere, and
/// are made anew there. Of Lustre, XFS, overlays and GlusterFS; labels and signatures of a host's policy.
const BOOKKEEPING: [&[u8]; 21] = [
    b"security.selinux",
    b"security.SMACK64",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
    b"trusted.SGI_",
    b"trusted.overlay.",
    b"trusted.lov",
    b"trusted.lma",
    b"trusted.lmv",
    b"trusted.dmv",
    b"trusted.link",
    b"trusted.fid",
    b"trusted.hsm",
    b"trusted.som",
    b"trusted.version",
    b"trusted.gfid",
    b"trusted.glusterfs.",
    b"trusted.afr.",
    b"trusted.ec.",
    b"trusted.pgfid.",
];

/// Names of ACLs of which only the presence is seen: parts of an NFSv4 ACL, and those of local file
/// systems.
const OTHER_ACLS: [&[u8]; 4] = [
    b"system.nfs4_dacl",
    b"system.nfs4_sacl",
    b"system.nfs4_acl_xdr",
    b"system.richacl",
];

/// Where the attributes of an entry are read.
#[derive(Clone, Copy)]
enum Place<'a> {
    In(BorrowedFd<'a>, &'a CStr),
    Open(BorrowedFd<'a>),
}

/// What was found.
enum Examined {
    Acl(Acl),
    /// The ACL that was listed is gone: `st_mode` may have been read before that.
    Changed,
    /// There is no such entry, or no `/proc`.
    NotFound,
}

/// What a list of names shows.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    /// There is a POSIX access ACL.
    access: bool,
    /// There may be an NFSv4 ACL.
    nfs4: bool,
    losses: Losses,
}

impl Listed {
    /// Names, each with a zero at its end.
    fn of(names: &[u8]) -> Self {
        let mut listed = Listed {
            access: false,
            nfs4: false,
            losses: Losses::NONE,
        };
        let mut other_acl = false;
        for name in names.split(|byte| *byte == 0) {
            let loss = match name {
                b"" => continue,
                name if name == acl::POSIX_ACCESS.to_bytes() => {
                    listed.access = true;
                    continue;
                }
                name if name == acl::NFS4.to_bytes() => {
                    listed.nfs4 = true;
                    continue;
                }
                name if OTHER_ACLS.contains(&name) => {
                    other_acl = true;
                    continue;
                }
                name if name == acl::POSIX_DEFAULT.to_bytes() => Loss::DefaultAcl,
                b"security.capability" => Loss::Capability,
                name if name.starts_with(b"user.") => Loss::UserAttributes,
                name if BOOKKEEPING.iter().any(|kept| name.starts_with(kept)) => continue,
                name if name.starts_with(b"trusted.") || name.starts_with(b"security.") => {
                    Loss::OtherAttributes
                }
                // Of other name spaces are answers of the file system that nobody stored.
                _ => continue,
            };
            listed.losses = listed.losses.with(loss);
        }
        // Beside the whole NFSv4 ACL these are parts of it.
        if other_acl && !listed.nfs4 {
            listed.losses = listed.losses.with(Loss::Nfs4Acl);
        }
        listed
    }
}

/// Reads a list or a value into a small buffer, or into a large one.
fn read<'b>(
    few: &'b mut [u8],
    many: &'b mut Vec<u8>,
    call: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<&'b [u8], Errno> {
    let call = |buffer: &mut [u8]| retry_on_intr(|| call(buffer));
    let (length, buffer) = match call(few) {
        Err(Errno::RANGE) => {
            many.resize(MOST_BYTES, 0);
            (call(many)?, many.as_slice())
        }
        length => (length?, &*few),
    };
    Ok(buffer.get(..length).unwrap_or_default())
}

impl Seen {
    /// Looks at `name` in `directory` as [`at`](Self::at), with its ACL and extended attributes.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn examined_at(directory: impl AsFd, name: &CStr) -> Result<Seen, Errno> {
        let directory = directory.as_fd();
        examined(Place::In(directory, name), || Seen::at(directory, name))
    }

    /// Looks at an open file as [`open`](Self::open), with its ACL and extended attributes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn examined_open(file: impl AsFd) -> Result<Seen, Errno> {
        let file = file.as_fd();
        examined(Place::Open(file), || Seen::open(file))
    }
}

fn examined(place: Place<'_>, look: impl Fn() -> Result<Seen, Errno>) -> Result<Seen, Errno> {
    let mut seen = look()?;
    for _ in 0..TRIES {
        let attributes = &mut seen.attributes;
        if attributes.file_type == FileType::Symlink {
            // It has no ACL, and no attributes of its user (xattr(7)).
            attributes.losses = Losses::NONE;
            return Ok(seen);
        }
        match place.examine(attributes.mode) {
            Examined::Acl(Acl { group, losses }) => {
                attributes.mode = acl::limit_group(attributes.mode, group);
                attributes.losses = losses;
                return Ok(seen);
            }
            Examined::Changed => seen = look()?,
            Examined::NotFound => {
                // The entry may have vanished; else there is no /proc.
                look()?;
                attributes.losses = Loss::Unexamined.into();
                return Ok(seen);
            }
        }
    }
    let Acl { group, losses } = Acl::unreadable();
    seen.attributes.mode = acl::limit_group(seen.attributes.mode, group);
    seen.attributes.losses = losses;
    Ok(seen)
}

impl Place<'_> {
    fn examine(self, mode: u16) -> Examined {
        let (mut few, mut many) = ([0; FEW_BYTES], Vec::new());
        let names = match read(&mut few, &mut many, |buffer| self.list(buffer)) {
            // As most have none.
            Ok([]) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Examined::Acl(Acl::NONE),
            Ok(names) => names,
            Err(Errno::NOENT) => return Examined::NotFound,
            // Nothing shows that there is an ACL: the mode stays.
            Err(_) => {
                return Examined::Acl(Acl {
                    losses: Loss::Unexamined.into(),
                    ..Acl::NONE
                });
            }
        };
        let listed = Listed::of(names);
        let mut found = Acl {
            losses: listed.losses,
            ..Acl::NONE
        };
        if listed.access {
            let acl = match self.value(acl::POSIX_ACCESS) {
                Err(Errno::NODATA) => return Examined::Changed,
                Ok(value) => acl::posix(&value, mode),
                Err(_) => None,
            };
            found = found.and(acl.unwrap_or_else(Acl::unreadable));
        }
        if listed.nfs4 {
            found = found.and(match self.value(acl::NFS4) {
                Ok(value) => acl::nfs4(&value, mode).unwrap_or_else(Acl::unreadable),
                // An NFSv4 mount lists it for each file: that shows no ACL of this one.
                Err(Errno::NODATA | Errno::OPNOTSUPP) => Acl::NONE,
                Err(_) => Acl {
                    losses: Loss::Unexamined.into(),
                    ..Acl::NONE
                },
            });
        }
        Examined::Acl(found)
    }

    fn value(self, name: &CStr) -> Result<Vec<u8>, Errno> {
        let (mut few, mut many) = ([0; FEW_BYTES], Vec::new());
        read(&mut few, &mut many, |buffer| self.get(name, buffer)).map(<[u8]>::to_vec)
    }

    fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut path = [0; PATH_BYTES];
        match self {
            Place::In(directory, name) => match listxattrat(directory, name, buffer) {
                Some(listed) => listed,
                None => llistxattr(self.path(&mut path)?, buffer),
            },
            // The last component is a symlink of /proc.
            Place::Open(_) => listxattr(self.path(&mut path)?, buffer),
        }
    }

    fn get(self, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut path = [0; PATH_BYTES];
        match self {
            Place::In(..) => lgetxattr(self.path(&mut path)?, name, buffer),
            Place::Open(_) => getxattr(self.path(&mut path)?, name, buffer),
        }
    }

    fn path(self, buffer: &mut [u8; PATH_BYTES]) -> Result<&CStr, Errno> {
        let mut rest = buffer.as_mut_slice();
        let written = match self {
            Place::In(directory, name) => write!(rest, "/proc/self/fd/{}/", directory.as_raw_fd())
                .and_then(|()| rest.write_all(name.to_bytes_with_nul())),
            Place::Open(file) => write!(rest, "/proc/self/fd/{}\0", file.as_raw_fd()),
        };
        written.map_err(|_| Errno::NAMETOOLONG)?;
        CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::NAMETOOLONG)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Listed {
        Listed::of((names.join("\0") + "\0").as_bytes())
    }

    #[test]
    fn only_what_somebody_stored_is_lost() {
        let own = [
            "security.selinux",
            "security.ima",
            "trusted.lov",
            "trusted.overlay.opaque",
            "trusted.SGI_ACL_FILE",
            "btrfs.compression",
            "lustre.lov",
            "system.cifs_acl",
        ];
        let none = Listed {
            access: false,
            nfs4: false,
            losses: Losses::NONE,
        };
        assert_eq!(listed(&own), none);
        assert_eq!(Listed::of(b""), none);
        for (name, loss) in [
            ("system.posix_acl_default", Loss::DefaultAcl),
            ("system.richacl", Loss::Nfs4Acl),
            ("system.nfs4_dacl", Loss::Nfs4Acl),
            ("security.capability", Loss::Capability),
            ("user.x", Loss::UserAttributes),
            ("trusted.x", Loss::OtherAttributes),
            ("security.NTACL", Loss::OtherAttributes),
        ] {
            let losses = loss.into();
            assert_eq!(
                listed(&["security.selinux", name]),
                Listed { losses, ..none }
            );
        }
        let both = listed(&[
            "system.nfs4_acl",
            "system.nfs4_dacl",
            "system.posix_acl_access",
        ]);
        assert!(both.access && both.nfs4 && both.losses.is_empty());
    }

    /// Both ways to a list give the same.
    #[test]
    fn names_are_listed_with_and_without_proc() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"").unwrap();
        for number in 0..100 {
            let name = format!("user.{number:03}-{}", "n".repeat(20));
            match rustix::fs::setxattr(&path, name, b"", rustix::fs::XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => return eprintln!("skipped: no extended attributes here"),
                // ext4 keeps few kilobytes.
                Err(Errno::NOSPC) => break,
                set => set.unwrap(),
            }
        }
        let directory = std::fs::File::open(folder.path()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let of = |place: Place<'_>| {
            let (mut few, mut many) = ([0; FEW_BYTES], Vec::new());
            let names = read(&mut few, &mut many, |buffer| place.list(buffer));
            names.map(<[u8]>::to_vec).unwrap()
        };
        let named = of(Place::In(directory.as_fd(), c"file"));
        // More than the small buffer holds.
        assert!(named.len() > FEW_BYTES, "{}", named.len());
        assert_eq!(named, of(Place::Open(file.as_fd())));
        let mut path = [0; PATH_BYTES];
        let place = Place::In(directory.as_fd(), c"file");
        let mut list = vec![0; MOST_BYTES];
        let length = llistxattr(place.path(&mut path).unwrap(), list.as_mut_slice()).unwrap();
        assert_eq!(named, list[..length]);
        let seen = Seen::examined_at(&directory, c"file").unwrap();
        assert_eq!(seen.attributes.losses, Loss::UserAttributes.into());
        assert_eq!(
            Seen::examined_at(&directory, c"no-such-file"),
            Err(Errno::NOENT)
        );
    }
}
