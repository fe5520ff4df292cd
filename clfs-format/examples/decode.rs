//! Decodes a downloaded blob and prints the object in it:
//! `cargo run --example decode -- FILE`. The file has the name of the blob.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use clfs_format::limits::PAYLOAD_BYTES;
use clfs_format::{Content, FormatError, Object, ObjectName, unwrap};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: decode FILE")?;
    let name = Path::new(&path).file_name().and_then(|name| name.to_str());
    let name = name.ok_or("the file must have the name of a blob")?;
    println!("{}", describe(name, &fs::read(&path)?)?);
    Ok(())
}

/// Returns what a blob holds; entries of a directory line by line. Rejects an object that breaks a rule.
pub fn describe(name: &str, blob: &[u8]) -> Result<String, FormatError> {
    let name = ObjectName::parse(name)?;
    let payload = unwrap(blob, PAYLOAD_BYTES)?;
    Ok(match Object::decode(&name, &payload)? {
        Object::Inode(inode) => {
            let attributes = &inode.attributes;
            let mut lines = vec![format!(
                "inode of \"{}\": mode {:o}, owner {}:{}, {} bytes",
                inode.name.escape_ascii(),
                attributes.mode,
                attributes.uid,
                attributes.gid,
                attributes.size
            )];
            if let Content::Directory(entries) | Content::Root(entries, _) = &inode.content {
                for entry in entries.iter() {
                    let entry = entry?;
                    lines.push(format!("{} {}", entry.handle, entry.name.escape_ascii()));
                }
            }
            lines.join("\n")
        }
        Object::FileSegment(segment) => format!(
            "{} bytes of {} at {}",
            segment.data.len(),
            segment.data_back.owner,
            segment.data_back.offset
        ),
        Object::DirectorySegment(segment) => {
            format!("more entries of {}", segment.data_back.owner)
        }
        Object::IndirectBlock(block) => format!("{} pointers", block.pointers.len()),
        other => format!("{other:?}"),
    })
}
