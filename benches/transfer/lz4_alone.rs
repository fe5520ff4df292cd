//! What `lz4_flex` costs by itself: the same bytes, from memory into memory, and nothing else.
//!
//! A load with LZ4 cannot cost less than this and the same load without compression.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::child::own_cpu;
use crate::floor::bodies;
use crate::trees::Kind;

/// The first word of the process that compresses.
pub(crate) const ROLE: &str = "as-lz4";

/// CPU of the compression of what the tree's files hold, in pieces of the load's segments.
pub(crate) fn run(kind: Kind) -> io::Result<Duration> {
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
            "the compression ended with {status} and {line:?}"
        ))),
    }
}

/// The process: `words` is the tree's name.
pub(crate) fn compress_all(words: &[OsString]) -> io::Result<()> {
    let kind = match words {
        [name] => Kind::named(name),
        _ => None,
    };
    let kind = kind.ok_or_else(|| io::Error::other("the kind of tree is needed"))?;
    let bodies = bodies(kind.shape());
    let mut blob = Vec::new();
    let before = own_cpu()?;
    for body in &bodies {
        blob.clear();
        let info = FrameInfo::new()
            .block_size(BlockSize::Max256KB)
            .block_mode(BlockMode::Linked);
        let mut frame = FrameEncoder::with_frame_info(info, &mut blob);
        frame.write_all(body)?;
        frame.finish()?;
    }
    println!("{}", (own_cpu()? - before).as_micros());
    Ok(())
}
