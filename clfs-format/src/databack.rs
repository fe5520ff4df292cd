//! The back pointer of segments and indirect blocks: the DATABACK handle (format.md §5).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::FormatError;
use crate::filehandle::Filehandle;
use crate::handle::{HEADER_BYTES, Handle, HandleType};

/// The DATABACK handle: the entity to which a segment or an indirect block belongs, and its position
/// there (format.md §5). Layout: u32 seconds, u64 offset, u16 length, filehandle.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct DataBack {
    /// The ctime of the owner, in seconds since 1970.
    pub ctime_seconds: u32,
    /// The offset of a segment in bytes ([`crate::file_segment_range`],
    /// [`crate::directory_segment_offset`]); for an indirect block [`crate::IndirectPosition::offset`].
    pub offset: u64,
    /// The owner: a file or directory.
    pub owner: Filehandle,
}

impl DataBack {
    /// Maximum length of the handle in bytes, with header and padding: the owner has 24 bytes.
    pub(crate) const MAX_HANDLE_BYTES: usize = HEADER_BYTES + 40;

    pub(crate) fn encode(&self, buffer: &mut ObjectBuffer) {
        let handle = buffer.begin(HandleType::DataBack);
        buffer.u32(self.ctime_seconds);
        buffer.u64(self.offset);
        buffer.id(self.owner.as_bytes());
        buffer.end_small(handle);
    }

    pub(crate) fn decode(
        handle: Handle<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handle.cursor();
        let ctime_seconds = cursor.u32()?;
        let offset = cursor.u64()?;
        let owner = cursor.filehandle()?;
        deviations.optional(cursor.finish())?;
        Ok(Self {
            ctime_seconds,
            offset,
            owner,
        })
    }
}
