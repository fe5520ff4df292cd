//! The ids and "random" numbers of a container, derived from one seed.
//!
//! Instead of random numbers, the container has `SHA-256(seed, label, numbers)` (docs/design.md,
//! invariant 1). An upload that is repeated after a crash therefore has the same blob name and the same
//! bytes, and overwrites the first one.

use std::fmt;
use std::str::FromStr;

use clfs_format::{
    BlockId, DIRECTORY_MANAGERS, FileType, Filehandle, FilehandleFields, IndirectPosition,
};
use sha2::{Digest, Sha256};

use crate::entry::EntryId;

/// The 128 bits from which all ids of a transfer are derived. Set by `--new`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 16]);

/// Why a text is not a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 32 hexadecimal digits")]
pub struct InvalidSeed;

impl Seed {
    /// Creates a seed from its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Seed(bytes)
    }

    /// Returns the bytes, as the state database stores them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns a new seed from the kernel's random source.
    ///
    /// # Errors
    /// If `getrandom(2)` fails.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        // getrandom(2): requests of up to 256 bytes are never short once the pool is initialized.
        if got != bytes.len() {
            return Err(std::io::Error::other("getrandom returned too few bytes"));
        }
        Ok(Seed(bytes))
    }

    fn derive(&self, label: &str, numbers: &[u64]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(label.as_bytes());
        hash.update([0]);
        for number in numbers {
            hash.update(number.to_le_bytes());
        }
        hash.finalize().into()
    }

    fn first_u64(&self, label: &str, numbers: &[u64]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.derive(label, numbers);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Returns a number of 32 bits whose lower 27 are not all zero, because a filehandle only stores these of a
    /// container id (format.md §2).
    fn nonzero_u32(&self, label: &str) -> u32 {
        let mut attempt = 0;
        loop {
            let number = (self.first_u64(label, &[attempt]) >> 32) as u32;
            if number & 0x07ff_ffff != 0 {
                return number;
            }
            attempt += 1;
        }
    }

    /// Returns sixteen bytes in the form of a random (version 4) UUID.
    fn uuid(&self, label: &str, numbers: &[u64]) -> [u8; 16] {
        let digest = self.derive(label, numbers);
        let mut bytes = [0; 16];
        // A SHA-256 has 32 bytes.
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidSeed);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidSeed)?;
        Ok(Seed(number.to_be_bytes()))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({:032x})", u128::from_be_bytes(self.0))
    }
}

/// The generator of all ids of one container.
#[derive(Debug, Clone)]
pub struct Identity {
    seed: Seed,
    container_id: u32,
    fsid: u32,
}

impl Identity {
    /// Creates a generator of the ids that follow from `seed`.
    pub fn new(seed: Seed) -> Self {
        Identity {
            seed,
            container_id: seed.nonzero_u32("container id"),
            fsid: seed.nonzero_u32("fsid"),
        }
    }

    /// Returns the container id in attributes (format.md §5).
    pub fn container_id(&self) -> u32 {
        self.container_id
    }

    /// Returns the file system id in attributes.
    pub fn fsid(&self) -> u32 {
        self.fsid
    }

    /// Returns `bucketUUID`, which distinguishes this container from all others.
    pub fn bucket_uuid(&self) -> String {
        hyphenated(self.seed.uuid("bucketUUID", &[]))
    }

    /// Returns `massUUID` in the attributes of the root.
    pub fn mass_uuid(&self) -> String {
        hyphenated(self.seed.uuid("massUUID", &[]))
    }

    /// Returns `wipeEpoch` in the attributes of the root.
    pub fn wipe_epoch(&self) -> String {
        hyphenated(self.seed.uuid("wipeEpoch", &[]))
    }

    /// Returns the directory manager of a directory.
    ///
    /// Chosen by hash rather than round robin: needs no stored counter to be the same after a restart, and is
    /// independent of patterns in the tree.
    fn directory_manager(&self, directory: EntryId) -> u8 {
        if directory == EntryId::ROOT {
            return 0;
        }
        let number = self.seed.first_u64("directory manager", &[directory.get()]);
        (number % u64::from(DIRECTORY_MANAGERS)) as u8
    }

    /// Returns the filehandle of the entity whose sequence number is `id`, found in directory `parent`.
    pub fn filehandle(&self, id: EntryId, parent: EntryId, file_type: FileType) -> Filehandle {
        if id == EntryId::ROOT {
            return Filehandle::ROOT;
        }
        let parent_directory_manager = self.directory_manager(parent);
        let directory_manager = match file_type {
            FileType::Directory => self.directory_manager(id),
            _ => parent_directory_manager,
        };
        let mut attempt = 0;
        loop {
            let fields = FilehandleFields {
                container_id: self.container_id,
                parent_directory_manager,
                directory_manager,
                file_type,
                sequence: id.get(),
                random: self.seed.first_u64("filehandle", &[id.get(), attempt]),
            };
            // format.md §2: a handle whose fnv1 is 0 gets another random number.
            if let Some(handle) = fields.filehandle() {
                return handle;
            }
            attempt += 1;
        }
    }

    /// Returns the id of segment `block` of entity `id`. 1 is the first segment that is not in the inode's object.
    pub fn segment(&self, id: EntryId, block: u64) -> BlockId {
        BlockId(self.seed.uuid("segment", &[id.get(), block]))
    }

    /// Returns the id of an indirect block of entity `id`.
    pub fn indirect(&self, id: EntryId, position: IndirectPosition) -> BlockId {
        let numbers = [
            id.get(),
            u64::from(position.tree),
            u64::from(position.depth),
            position.index,
        ];
        BlockId(self.seed.uuid("indirect", &numbers))
    }
}

/// Formats a UUID as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
fn hyphenated(uuid: [u8; 16]) -> String {
    // Always 32 ASCII digits, because the number has 128 bits, so slicing cannot panic.
    let hex = format!("{:032x}", u128::from_be_bytes(uuid));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("000102030405060708090a0b0c0d0e0f".parse().unwrap())
    }

    #[test]
    fn a_seed_is_parsed_from_32_hexadecimal_digits_only() {
        let seed: Seed = "00FF0203040506070809a0b0c0d0e0f0".parse().unwrap();
        assert_eq!(
            format!("{seed:?}"),
            "Seed(00ff0203040506070809a0b0c0d0e0f0)"
        );
        for wrong in [
            "",
            "00",
            "+0ff0203040506070809a0b0c0d0e0f0",
            &"g".repeat(32),
        ] {
            assert_eq!(wrong.parse::<Seed>(), Err(InvalidSeed), "{wrong:?}");
        }
    }

    #[test]
    fn ids_depend_on_seed_and_entry_only() {
        let (one, same) = (identity(), identity());
        let other = Identity::new(Seed::from_bytes([9; 16]));
        let handle =
            |ids: &Identity, id| ids.filehandle(EntryId::new(id), EntryId::ROOT, FileType::Regular);
        assert_eq!(handle(&one, 1000), handle(&same, 1000));
        assert_ne!(handle(&one, 1000), handle(&one, 1001));
        assert_ne!(handle(&one, 1000), handle(&other, 1000));
        assert_ne!(one.bucket_uuid(), one.mass_uuid());
        assert_ne!(
            one.segment(EntryId::new(1000), 1),
            one.segment(EntryId::new(1000), 2)
        );
    }

    #[test]
    fn a_file_has_the_directory_manager_of_its_parent() {
        let ids = identity();
        let (directory, file) = (EntryId::new(1003), EntryId::new(2000));
        let parent = ids.filehandle(directory, EntryId::ROOT, FileType::Directory);
        let child = ids.filehandle(file, directory, FileType::Regular);
        let bytes = child.as_bytes();
        assert_eq!(bytes[4], parent.directory_manager());
        assert_eq!(bytes[5], parent.directory_manager());
        assert_eq!(parent.as_bytes()[4], 0);
    }

    #[test]
    fn all_directory_managers_are_used_evenly() {
        let ids = identity();
        let mut seen = [0u32; DIRECTORY_MANAGERS as usize];
        for id in 1000..1000 + 48 * 100 {
            seen[usize::from(ids.directory_manager(EntryId::new(id)))] += 1;
        }
        assert!(
            seen.iter().all(|&count| (50..200).contains(&count)),
            "{seen:?}"
        );
    }

    #[test]
    fn uuids_are_version_4() {
        let uuid = identity().bucket_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
