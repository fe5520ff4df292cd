//! The common parts of all inodes: attributes, block map, name (format.md §5 and §6).

use super::attributes::Attributes;
use super::filehandle::{self, ROOT, directory_manager, kind_of};
use super::handles::{self, BACK, BMAP, BlockMap, DATA, DIRENTS, EXTATTRS, NAME, VATTR};
use super::name::hash64;
use super::walk::{Object, Walk};
use super::{Kind, Node, Rule};

/// An inode with all parts parsed.
#[derive(Debug)]
pub(crate) struct Inode {
    pub handle: Vec<u8>,
    pub kind: Kind,
    pub object: Object,
    pub attributes: Attributes,
    pub block_map: BlockMap,
    pub name: Vec<u8>,
    pub back: Vec<Vec<u8>>,
}

const FIRST_SEGMENT: u32 = 16384;

impl Inode {
    /// Returns the node of the tree, without content.
    pub(crate) fn node(&self) -> Node {
        let a = &self.attributes;
        Node {
            kind: self.kind,
            mode: a.mode,
            uid: a.uid,
            gid: a.gid,
            size: a.size,
            sha256: None,
            target: None,
            major: a.major,
            minor: a.minor,
            nlink: a.nlink,
            file_id: a.file_id,
            object: self.handle.clone(),
            mtime: a.mtime,
            ctime: a.ctime,
            atime: a.atime,
        }
    }
}

fn expected_handles(handle: &[u8], kind: Kind) -> &'static [u32] {
    match kind {
        _ if handle == ROOT => &[VATTR, BMAP, NAME, DIRENTS, EXTATTRS],
        Kind::Directory => &[VATTR, BMAP, NAME, DIRENTS],
        Kind::Regular | Kind::Symlink => &[VATTR, BMAP, BACK, NAME, DATA],
        _ => &[VATTR, BMAP, BACK, NAME],
    }
}

/// Returns the size of all segments but the first.
pub(crate) fn other_segment(kind: Kind) -> u32 {
    if kind == Kind::Directory {
        256 << 10
    } else {
        8 << 20
    }
}

impl Walk<'_> {
    /// Reads an inode and checks the rules that need no other object. `from` is the place of the filehandle.
    pub(crate) fn inode(&mut self, handle: &[u8], from: &str) -> Option<Inode> {
        let kind = kind_of(handle)?;
        let object = self.open(handle, from)?;
        self.expect_order(&object, expected_handles(handle, kind));
        let mut broken = Vec::new();
        let attributes = object
            .handle(VATTR)
            .and_then(|data| Attributes::parse(data, &mut broken));
        let block_map = object.handle(BMAP).and_then(BlockMap::parse);
        let name = object.handle(NAME).and_then(handles::exact_string);
        let back = match kind {
            Kind::Directory => Some(Vec::new()),
            _ => object.handle(BACK).and_then(handles::back),
        };
        let parts = [
            ("VATTR", attributes.is_some()),
            ("BMAP", block_map.is_some()),
            ("NAME", name.is_some()),
            ("BACK", back.is_some()),
        ];
        for (part, _) in parts.iter().filter(|(_, readable)| !readable) {
            broken.push((Rule::HandleContent, format!("{part} missing or unreadable")));
        }
        if let Some(attributes) = &attributes {
            attributes.check(kind, &mut broken);
            self.check_container_wide(attributes, handle, &mut broken);
        }
        if let Some(map) = &block_map {
            if (map.first, map.other) != (FIRST_SEGMENT, other_segment(kind)) {
                let text = format!("{} and {}", map.first, map.other);
                broken.push((Rule::BlockMapSegmentSize, text));
            }
            if map.direct.first().map(Vec::as_slice) != Some(handle) {
                broken.push((Rule::BlockMapSelf, "block 0 is another".into()));
            }
        }
        let name = name.map(<[u8]>::to_vec);
        for (rule, text) in broken {
            self.add(rule, &object.blob, text);
        }
        Some(Inode {
            handle: handle.to_vec(),
            kind,
            object,
            attributes: attributes?,
            block_map: block_map?,
            name: name?,
            back: back?,
        })
    }

    /// Compares fsid and container id with those of the first inode that was read.
    fn check_container_wide(
        &mut self,
        attributes: &Attributes,
        handle: &[u8],
        broken: &mut Vec<(Rule, String)>,
    ) {
        let fsid = *self.fsid.get_or_insert(attributes.fsid);
        let container_id = *self.container_id.get_or_insert(attributes.container_id);
        if attributes.fsid != fsid {
            let text = format!("fsid {:x}, elsewhere {fsid:x}", attributes.fsid);
            broken.push((Rule::AttributeFsid, text));
        }
        let fits = handle == ROOT || handle[..4] == filehandle::container_bits(container_id);
        if attributes.container_id != container_id || !fits {
            let text = format!(
                "container id {:x}, elsewhere {container_id:x}, handle {}",
                attributes.container_id,
                super::hex(handle)
            );
            broken.push((Rule::AttributeContainerId, text));
        }
    }

    /// Checks the owner hash in the name and byte 4 of the filehandle against the owning parent.
    pub(crate) fn check_owner(&mut self, inode: &Inode, owner: &[u8]) {
        self.check_owner_hash(&inode.object, owner);
        if inode.handle != ROOT && inode.handle[4] != directory_manager(owner) {
            let text = format!(
                "byte 4 is {}, the parent's byte 5 {}",
                inode.handle[4],
                directory_manager(owner)
            );
            self.add(Rule::FilehandleDirectoryManager, &inode.object.blob, text);
        }
    }

    /// Checks the owner hash in a blob name.
    pub(crate) fn check_owner_hash(&mut self, object: &Object, owner: &[u8]) {
        if let Some((_, hash)) = object.name.v2
            && hash != hash64(owner)
        {
            let text = format!("{hash:016X}, not that of {}", super::hex(owner));
            self.add(Rule::NameOwner, &object.blob, text);
        }
    }
}
