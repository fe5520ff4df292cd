//! Measures the time to encode objects on one core:
//! `cargo bench --bench encode [-- FILE]`
//!
//! FILE provides the content of the large segments; the default is generated text. `cargo test --benches`
//! only runs a small version of it.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use clfs_format::{
    Attributes, BlockMap, Compression, Content, DataBack, FILE_SEGMENT_BYTES, FileType, Filehandle,
    FilehandleFields, Inode, Lz4Encoder, ObjectBuffer, unwrap,
};

const SMALL_FILE_BYTES: usize = 3000;

fn main() -> io::Result<()> {
    let is_bench = std::env::args_os().any(|argument| argument == "--bench");
    let (small_files, segments) = if is_bench { (200_000, 4) } else { (10, 1) };
    let file = std::env::args_os()
        .skip(1)
        .find(|argument| argument != "--bench");
    let mut content = match file {
        Some(file) => std::fs::read(file)?,
        None => Vec::new(),
    };
    while content.len() < segments * FILE_SEGMENT_BYTES as usize {
        let n = content.len();
        writeln!(content, "{} entries, {} of them files", n * 7, n % 1013)?;
    }
    small_inodes(&content, small_files)?;
    large_segments(&content)
}

fn small_inodes(content: &[u8], count: u32) -> io::Result<()> {
    let fields = FilehandleFields {
        container_id: 1,
        parent_directory_manager: 0,
        directory_manager: 0,
        file_type: FileType::Regular,
        sequence: 1000,
        random: 77,
    };
    let handle = fields.filehandle().ok_or(io::ErrorKind::InvalidInput)?;
    let data = content.get(..SMALL_FILE_BYTES).unwrap_or_default();
    let mut encoder = Lz4Encoder::new();
    for compression in [Compression::Disabled, Compression::Lz4] {
        let start = Instant::now();
        let mut bytes = 0;
        for _ in 0..count {
            let inode = Inode {
                attributes: Attributes {
                    object_type: FileType::Regular.object_type().code(),
                    ..Attributes::default()
                },
                block_map: BlockMap::single(handle, FILE_SEGMENT_BYTES as u32),
                back: (&[Filehandle::ROOT][..]).into(),
                name: (&b"some-file.txt"[..]).into(),
                content: Content::Data(data.into()),
            };
            let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
            inode.encode(&mut buffer).map_err(io::Error::other)?;
            bytes = black_box(encoder.wrap(buffer, compression)).len();
        }
        let time = start.elapsed() / count;
        println!(
            "inode of a {SMALL_FILE_BYTES}-byte file, {compression:?}: {time:?}, {bytes} bytes"
        );
    }
    Ok(())
}

fn large_segments(content: &[u8]) -> io::Result<()> {
    let mut encoder = Lz4Encoder::new();
    for compression in [Compression::Disabled, Compression::Lz4] {
        let (mut read, mut written, mut compressed) = (0, 0, 0);
        let start = Instant::now();
        let mut blobs = Vec::new();
        for data in content.chunks(FILE_SEGMENT_BYTES as usize) {
            // A chunk is at most 8 MiB, so its length fits.
            let buffer = ObjectBuffer::file_segment(data.len() as u32);
            let mut segment = buffer.map_err(io::Error::other)?;
            segment.data_mut().copy_from_slice(data);
            let data_back = DataBack {
                ctime_seconds: 1_700_000_000,
                offset: 16384 + read,
                owner: Filehandle::NULL,
            };
            let blob = encoder.wrap(segment.finish(data_back), compression);
            read += data.len() as u64;
            written += blob.len();
            compressed += usize::from(blob.get(2) == Some(&1));
            blobs.push(blob);
        }
        let rate = read as f64 / start.elapsed().as_secs_f64() / 1e6;
        let count = blobs.len();
        println!(
            "{count} segments, {compression:?}: {rate:.0} MB/s, {read} -> {written} bytes, {compressed} compressed"
        );
        let start = Instant::now();
        for blob in &blobs {
            black_box(unwrap(blob, usize::MAX).map_err(io::Error::other)?);
        }
        let rate = read as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("  decoding: {rate:.0} MB/s");
    }
    Ok(())
}
