//! What shows that all objects of an entity are those of an earlier read.

use std::sync::Arc;

use clfs_format::{BlockId, ObjectId};
use futures::future::join_all;

use super::index::{ContentStamps, Listed};
use super::{Entity, ReadError, Reader};
use crate::container::Stamp;

/// Segments that are located at a time where the container was not listed.
const LOCATED: usize = 64;

impl Reader {
    /// The stamp over an inode's blob and the segments and indirect blocks that belong to it, without
    /// a request. None where the container shows too little.
    ///
    /// A container that was not listed shows no segments: then there is a stamp only for an inode
    /// that is known to be `alone`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn stamp(&self, inode: &Listed, alone: bool) -> Result<Option<Stamp>, ReadError> {
        let content = match self.index() {
            Some(index) => index
                .content_stamps(inode.name.id.hash64())
                .map_err(|error| ReadError::index(index.path(), error))?,
            None if alone => ContentStamps::default(),
            None => return Ok(None),
        };
        Ok(content.with_inode(inode.stamp))
    }

    /// The same for an inode that was read. Requests the name of each segment where the container
    /// was not listed.
    ///
    /// # Errors
    /// When the container or the index fails. Damage gives no stamp.
    pub async fn stamp_of_content(
        self: &Arc<Self>,
        inode: &Listed,
        entity: &Entity,
    ) -> Result<Option<Stamp>, ReadError> {
        if self.index().is_some() || entity.is_alone() {
            return self.stamp(inode, true);
        }
        match self.located_content(entity).await {
            Ok(content) => Ok(content.with_inode(inode.stamp)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn located_content(
        self: &Arc<Self>,
        entity: &Entity,
    ) -> Result<ContentStamps, ReadError> {
        let mut blocks = self.blocks(entity, 0);
        let mut content = ContentStamps::default();
        let mut segments: Vec<BlockId> = Vec::new();
        loop {
            let place = blocks.next().await?;
            let is_last = place.is_none();
            segments.extend(place.map(|place| place.id));
            if segments.len() >= LOCATED || is_last {
                let ids: Vec<ObjectId> = segments.drain(..).map(ObjectId::Block).collect();
                for located in join_all(ids.iter().map(|id| self.locate(id))).await {
                    content.add(located?.stamp);
                }
            }
            if is_last {
                content.add_all(&blocks.indirect);
                return Ok(content);
            }
        }
    }
}

impl Entity {
    /// Whether all of its content lies in its inode.
    pub fn is_alone(&self) -> bool {
        self.attributes.size <= self.first_segment()
    }
}
