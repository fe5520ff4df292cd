//! Encodes a file of up to 16 KiB as an inode in the root directory, and writes the blob into a folder:
//! `cargo run --example encode -- FILE FOLDER`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use clfs_format::{
    Attributes, BlockMap, Compression, Content, FILE_SEGMENT_BYTES, FIRST_SEQUENCE, FileType,
    Filehandle, FilehandleFields, Inode, Lz4Encoder, ObjectBuffer, ObjectName, ObjectType,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: encode FILE FOLDER".into());
    };
    let name = Path::new(&file).file_name().ok_or("not a file")?;
    let (name, blob) = encode(name.as_encoded_bytes(), &fs::read(&file)?)?;
    fs::write(Path::new(&folder).join(&name), blob)?;
    println!("{name}");
    Ok(())
}

/// Returns the name and the bytes of the blob of a file in the root directory.
pub fn encode(name: &[u8], content: &[u8]) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    // A loader takes a new sequence number and new random bits for each entity.
    let fields = FilehandleFields {
        container_id: 0x0012_3456,
        parent_directory_manager: 0,
        directory_manager: 0,
        file_type: FileType::Regular,
        sequence: FIRST_SEQUENCE,
        random: 0x5eed,
    };
    let handle = fields
        .filehandle()
        .ok_or("choose another random number: the hash is 0")?;
    let size = content.len() as u64;
    let inode = Inode {
        attributes: Attributes {
            mode: 0o100_644,
            object_type: ObjectType::Regular.code(),
            size,
            used: size,
            nlink: 1,
            ..Attributes::default()
        },
        block_map: BlockMap::single(handle, FILE_SEGMENT_BYTES.try_into()?),
        back: vec![Filehandle::ROOT].into(),
        name: name.into(),
        content: Content::Data(content.into()),
    };
    let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
    inode.encode(&mut buffer)?;
    let blob = Lz4Encoder::new().wrap(buffer, Compression::Lz4);
    let name = ObjectName::entity(handle, ObjectType::Regular, Filehandle::ROOT);
    Ok((name.to_string(), blob.to_vec()))
}
