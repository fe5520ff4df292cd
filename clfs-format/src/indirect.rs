//! Indirect blocks: the INDIR handle (format.md §5) and its object (format.md §6 "BMAP").

use crate::buffer::ObjectBuffer;
use crate::databack::DataBack;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{HEADER_BYTES, HandleType, Handles};
use crate::id::BlockId;

/// Length of an encoded pointer: u16 length and 16 bytes.
const POINTER_BYTES: usize = 18;

/// An indirect block: a node of a tree with the blocks that do not fit in the direct list of a block
/// map (format.md §6 "BMAP"). Layout: INDIR (u32 count, then u16 16 and 16 bytes for each pointer),
/// DATABACK.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndirectBlock {
    /// At most 4096 ids: segments, or indirect blocks of the next level.
    pub pointers: Vec<BlockId>,
    /// The owner; its offset is `(tree << 16) + depth`.
    pub data_back: DataBack,
}

impl IndirectBlock {
    /// Returns a capacity in bytes that suffices for the payload.
    pub fn payload_capacity(&self) -> usize {
        HEADER_BYTES + 8 + self.pointers.len() * POINTER_BYTES + DataBack::MAX_HANDLE_BYTES
    }

    /// Appends the payload: INDIR, DATABACK.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if there are more than 4096 pointers, [`FormatError::Corrupt`] if one is
    /// null.
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
            pointers.push(cursor.non_null_block_id()?);
        }
        deviations.optional(cursor.finish())?;
        let data_back = DataBack::decode(handles.require(HandleType::DataBack)?, deviations)?;
        handles.finish(deviations)?;
        Ok(Self {
            pointers,
            data_back,
        })
    }
}
