//! The cost of `lz4_flex` alone: compresses the same bytes from memory to memory.
//!
//! A load with LZ4 costs at least this in addition to the same load without compression.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use lz4_flex::frame::{BlockMode, BlockSize, Error, FrameEncoder, FrameInfo};

use crate::child::own_cpu;
use crate::floor::bodies;
use crate::trees::TreeKind;

/// The block size of a load's frames.
const BLOCK_BYTES: usize = 256 << 10;
const FRAME_HEADER_BYTES: usize = 7;
/// The flag in a block's length for a block that is stored uncompressed.
const UNCOMPRESSED: u32 = 1 << 31;

/// The first argument of the process that compresses.
pub(crate) const ROLE: &str = "as-lz4";

/// Returns the CPU time to compress content of the sizes of the tree's files, split as a load's segments.
pub(crate) fn run(kind: TreeKind) -> io::Result<Duration> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([ROLE, kind.name()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(mut figures) = child.stdout.take() {
        figures.read_to_string(&mut line)?;
    }
    let status = child.wait()?;
    match line.trim().parse() {
        Ok(micros) if status.success() => Ok(Duration::from_micros(micros)),
        _ => Err(io::Error::other(format!(
            "the compression exited with {status} and printed {line:?}"
        ))),
    }
}

/// Runs the child process; `arguments` is the tree's name.
pub(crate) fn compress_all(arguments: &[OsString]) -> io::Result<()> {
    let kind = match arguments {
        [name] => TreeKind::from_name(name),
        _ => None,
    };
    let kind = kind.ok_or_else(|| io::Error::other("expected the kind of tree"))?;
    let bodies = bodies(kind.shape());
    // Reused for all bodies, as by one thread of a load.
    let mut compressor = Compressor {
        small: CompressTable::small(),
        large: CompressTable::large(),
        output: Vec::new(),
    };
    let before = own_cpu()?;
    for body in &bodies {
        compressor.compress(body)?;
    }
    println!("{}", (own_cpu()? - before).as_micros());
    Ok(())
}

/// Calls `lz4_flex` as clfs-format does: a single block by itself, larger content in a frame.
struct Compressor {
    /// For content below 64 KiB.
    small: CompressTable,
    large: CompressTable,
    output: Vec<u8>,
}

impl Compressor {
    fn compress(&mut self, body: &[u8]) -> io::Result<()> {
        if body.len() <= BLOCK_BYTES {
            let room = get_maximum_output_size(body.len());
            if self.output.len() < room {
                self.output.resize(room, 0);
            }
            let table = match body.len() < usize::from(u16::MAX) {
                true => &mut self.small,
                false => &mut self.large,
            };
            let compressed = compress_into_with_table(body, &mut self.output, table);
            return compressed.map(drop).map_err(io::Error::other);
        }
        self.output.clear();
        let info = FrameInfo::new()
            .block_size(BlockSize::Max256KB)
            .block_mode(BlockMode::Linked);
        let frame = StopAtUncompressed {
            output: &mut self.output,
            next_block: FRAME_HEADER_BYTES,
        };
        let mut frame = FrameEncoder::with_frame_info(info, frame);
        match frame.write_all(body) {
            // A load uploads such an object uncompressed, without compressing the rest.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(()),
            written => {
                written?;
                frame.finish().map(drop).or_else(|error| match error {
                    Error::IoError(error) if error.kind() == io::ErrorKind::InvalidData => Ok(()),
                    error => Err(error.into()),
                })
            }
        }
    }
}

/// Stops a frame at the first block that does not become smaller.
struct StopAtUncompressed<'a> {
    output: &'a mut Vec<u8>,
    /// The offset of the next block's length.
    next_block: usize,
}

impl Write for StopAtUncompressed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        let rest = self.output.get(self.next_block..).unwrap_or_default();
        if let Some(length) = rest.first_chunk() {
            let length = u32::from_le_bytes(*length);
            if length & UNCOMPRESSED != 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.next_block += 4 + length as usize;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
