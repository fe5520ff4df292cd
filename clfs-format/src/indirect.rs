//! Indirect blocks (docs/format.md sections 5 INDIR and 6 "BMAP").

use crate::buffer::ObjectBuffer;
use crate::databack::DataBack;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{HEADER_BYTES, HandleType, Handles};
use crate::id::BlockId;

/// u16 length and 16 bytes.
const POINTER_BYTES: usize = 18;

/// A block of a tree that holds what does not fit into the inode's block map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndirectBlock {
    /// At most 4096 segments, or indirect blocks of the next level.
    pub pointers: Vec<BlockId>,
    /// The owner; the offset is `(tree << 16) + depth`.
    pub data_back: DataBack,
}

impl IndirectBlock {
    /// Bytes of the payload, or a little more: what to reserve.
    pub fn payload_capacity(&self) -> usize {
        HEADER_BYTES + 8 + self.pointers.len() * POINTER_BYTES + DataBack::MOST_HANDLE_BYTES
    }

    /// Appends the payload: INDIR, DATABACK.
    ///
    /// # Errors
    /// Limit when there are more than 4096 pointers, Corrupt when one is null.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::Indirect), 0);
        place.limit(Limit::Pointers, self.pointers.len() as u64)?;
        if self.pointers.iter().any(BlockId::is_none) {
            return Err(place.corrupt(Corrupt::NullId));
        }
        let handle = buffer.begin(HandleType::Indirect);
        buffer.u32(self.pointers.len() as u32);
        for id in &self.pointers {
            buffer.id(id.as_bytes());
        }
        buffer.end(handle)?;
        self.data_back.encode(buffer);
        Ok(())
    }

    pub(crate) fn decode(
        mut handles: Handles<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handles.require(HandleType::Indirect)?.cursor();
        let place = cursor.place();
        let count = cursor.count(POINTER_BYTES)?;
        place.limit(Limit::Pointers, count as u64)?;
        let mut pointers = Vec::with_capacity(count);
        for _ in 0..count {
            pointers.push(cursor.some_block_id()?);
        }
        deviations.allow(cursor.finish())?;
        let data_back = DataBack::decode(handles.require(HandleType::DataBack)?, deviations)?;
        handles.finish(deviations)?;
        Ok(Self {
            pointers,
            data_back,
        })
    }
}
