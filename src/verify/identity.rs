//! What all inodes of a container agree in: fsid and container id (docs/format.md section 2).

use std::collections::HashMap;

use clfs_format::{Attributes, FileType, Filehandle, Object, ObjectId};

use super::check::inspect_as;
use crate::read::index::{Index, Listed, ObjectKey};
use crate::read::{ReadError, Reader};

/// Inodes that are asked, the root among them: damage to a few of them does not matter then.
const SAMPLE: usize = 33;
/// Objects in which they are looked for; they lie in the order of a hash, so these are any.
const PAGE: usize = 1024;

/// The two ids of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) fsid: u64,
    pub(super) container_id: u64,
}

impl Identity {
    fn of(attributes: &Attributes) -> Self {
        Self {
            fsid: attributes.fsid,
            container_id: attributes.container_id,
        }
    }

    /// Both are u32, and not 0.
    fn is_possible(&self) -> bool {
        is_possible(self.fsid) && is_possible(self.container_id)
    }

    /// What most of a few inodes say; none when none of them can be read.
    pub(super) async fn of_container(
        reader: &Reader,
        index: &Index,
    ) -> Result<Option<Self>, ReadError> {
        let failed = |error| ReadError::Index {
            path: index.path().to_path_buf(),
            error,
        };
        let root = ObjectId::Entity(Filehandle::ROOT);
        let mut sample: Vec<Listed> = index.find(&root).map_err(failed)?.into_iter().collect();
        let mut after: Option<ObjectKey> = None;
        while sample.len() < SAMPLE {
            let page = index.after(after.as_ref(), PAGE).map_err(failed)?;
            let Some(last) = page.last() else { break };
            after = Some(ObjectKey::new(&last.name.id));
            // The root has its vote already.
            let others = page.into_iter().filter(|listed| listed.name.id != root);
            let entities = others.filter(|listed| entity(listed).is_some());
            sample.extend(entities.take(SAMPLE - sample.len()));
        }
        let mut votes: HashMap<Self, usize> = HashMap::new();
        for listed in sample {
            if let Some(identity) = ask(reader, &listed).await? {
                *votes.entry(identity).or_default() += 1;
            }
        }
        // Of several with as many votes always the same.
        let most = votes
            .into_iter()
            .max_by_key(|(identity, count)| (*count, *identity));
        Ok(most.map(|(identity, _)| identity))
    }

    /// The first four bytes of every filehandle but the root's.
    pub(super) fn filehandle_start(&self) -> [u8; 4] {
        let bits = (self.container_id as u32 & 0x07ff_ffff) << 5 | 0x11;
        bits.to_le_bytes()
    }
}

/// Whether a number can be an fsid or a container id.
pub(super) fn is_possible(id: u64) -> bool {
    id != 0 && u32::try_from(id).is_ok()
}

fn entity(listed: &Listed) -> Option<(Filehandle, FileType)> {
    match listed.name.id {
        ObjectId::Entity(handle) => Some((handle, handle.file_type()?)),
        _ => None,
    }
}

async fn ask(reader: &Reader, listed: &Listed) -> Result<Option<Identity>, ReadError> {
    let Some((_, file_type)) = entity(listed) else {
        return Ok(None);
    };
    let fetched = match reader.fetch(listed).await {
        Ok(fetched) => fetched,
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match inspect_as(&fetched, file_type.object_type()).object {
        Ok(Object::Inode(inode)) => {
            Some(Identity::of(&inode.attributes)).filter(Identity::is_possible)
        }
        _ => None,
    })
}
