//! Bytes of a file in the source against those in the container.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clfs_format::FIRST_SEGMENT_BYTES;
use rustix::io::Errno;

use super::Comparison;
use super::pairs::Pair;
use crate::problem::Problem;
use crate::read::{Chunk, Entity, ReadError};
use crate::source::Seen;
use crate::verify::check::blocking;
use crate::verify::rule::Rule;

/// Bytes of the source that are read together.
const PIECE: usize = 256 << 10;

impl Comparison {
    /// Compares the content of a regular file, unless its size tells that it differs.
    pub(super) async fn content(
        &self,
        pair: Arc<Pair>,
        seen: &Seen,
        entity: &Arc<Entity>,
    ) -> Result<(), ReadError> {
        let size = entity.attributes.size;
        if seen.attributes.size != size {
            return Ok(());
        }
        let _permit = match size > FIRST_SEGMENT_BYTES {
            true => Some(self.large.acquire().await.map_err(|_| ReadError::Stopped)?),
            false => None,
        };
        let opened = {
            let pair = Arc::clone(&pair);
            blocking(move || pair.directory.open_file(&pair.name)).await?
        };
        let file = match opened {
            Ok(descriptor) => Arc::new(File::from(descriptor)),
            Err(errno) => return self.send(pair.unread(&Problem::from_errno(errno))).await,
        };
        let mut content = self.reader.content(entity, 0..size);
        loop {
            let chunk = match content.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => return self.send(pair.unread(&error)).await,
                Err(error) => return Err(error),
            };
            let length = chunk.bytes.len() as u64;
            let file = Arc::clone(&file);
            match blocking(move || first_difference(&file, &chunk)).await? {
                Ok(None) => {}
                Ok(Some(at)) => {
                    let text = format!("the content differs from byte {at} on");
                    return self.send(pair.found(Rule::SourceContent, text)).await;
                }
                Err(error) => {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    return self.send(pair.unread(&Problem::from_errno(errno))).await;
                }
            }
            self.figures.bytes.fetch_add(length, Ordering::Relaxed);
        }
    }
}

/// Where the source begins to differ from a piece of the container's file.
fn first_difference(file: &File, chunk: &Chunk) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; PIECE.min(chunk.bytes.len())];
    let mut offset = chunk.offset;
    for ours in chunk.bytes.chunks(PIECE) {
        let Some(source) = buffer.get_mut(..ours.len()) else {
            return Ok(Some(offset));
        };
        match file.read_exact_at(source, offset) {
            Ok(()) => {}
            // It became shorter meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(offset)),
            Err(error) => return Err(error),
        }
        let differing = source
            .iter()
            .zip(ours)
            .position(|(one, other)| one != other);
        if let Some(at) = differing {
            return Ok(Some(offset + at as u64));
        }
        offset += ours.len() as u64;
    }
    Ok(None)
}
