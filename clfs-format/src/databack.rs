//! The back pointer of segments and indirect blocks: the DATABACK handle (docs/format.md section 5).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::FormatError;
use crate::filehandle::Filehandle;
use crate::handle::{HEADER_BYTES, Handle, HandleType};

/// To which entity, and where in it, a segment or an indirect block belongs.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct DataBack {
    /// Seconds of the owning entity's ctime.
    pub ctime_seconds: u32,
    /// Offset of a segment (section 6); for an indirect block `(tree << 16) + depth`.
    pub offset: u64,
    /// The file or directory.
    pub owner: Filehandle,
}

impl DataBack {
    /// Bytes of the handle with a 24-byte owner, header and padding included.
    pub(crate) const MOST_HANDLE_BYTES: usize = HEADER_BYTES + 40;

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
        deviations.allow(cursor.finish())?;
        Ok(Self {
            ctime_seconds,
            offset,
            owner,
        })
    }
}
