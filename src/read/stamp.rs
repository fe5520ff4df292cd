//! Stamps of entities: whether all objects of an entity are the same as at an earlier read.

use std::sync::Arc;

use clfs_format::{BlockId, ObjectId};
use futures::future::join_all;

use super::index::{ContentStamps, Listed};
use super::{Entity, ReadError, Reader};
use crate::container::Stamp;

/// Segments that are located concurrently if the container was not listed.
const LOCATED: usize = 64;

impl Reader {
    /// Returns the stamp of an inode's blob and its segments and indirect blocks, without a request.
    /// None if the container does not report enough. Blocks.
    ///
    /// If the container was not listed, its segments are unknown: then only an inode that is known to
    /// be `alone` has a stamp.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn stamp(&self, inode: &Listed, alone: bool) -> Result<Option<Stamp>, ReadError> {
        let content = match self.index() {
            Some(index) => index
                .content_stamps(inode.name.id.hash64())
                .map_err(|error| index.failed(error))?,
            None if alone => ContentStamps::default(),
            None => return Ok(None),
        };
        Ok(content.with_inode(inode.stamp))
    }

    /// Returns the stamp of an inode that was read, of a container that was not listed: requests the name
    /// of each segment. None if an object is damaged.
    ///
    /// # Errors
    /// If the container fails.
    pub async fn requested_stamp(
        self: &Arc<Self>,
        inode: &Listed,
        entity: &Entity,
    ) -> Result<Option<Stamp>, ReadError> {
        if entity.is_alone() {
            return Ok(ContentStamps::default().with_inode(inode.stamp));
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
    /// Returns whether all content is in the inode.
    pub fn is_alone(&self) -> bool {
        self.attributes.size <= self.first_segment()
    }
}
