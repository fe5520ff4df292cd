//! Tests with the byte vectors of the golden data: every value encodes to exactly these bytes, and
//! the bytes decode to the value.

use std::borrow::Cow;
use std::fmt::Write;

use crate::golden::*;
use clfs_format::*;
use serde_json::Value;

#[test]
fn hashes_match_the_vectors() {
    let vectors = json("vectors.json");
    for vector in list(&vectors, "hashes") {
        let input = bytes(vector, "bytes");
        assert_eq!(format!("{:08x}", fnv1(&input)), text(vector, "fnv1"));
        assert_eq!(format!("{:08x}", murmur2(&input)), text(vector, "murmur2"));
        assert_eq!(format!("{:016x}", hash64(&input)), text(vector, "hash64"));
    }
    assert_eq!(list(&vectors, "hashes").len(), 37);
}

#[test]
fn filehandles_match_the_vectors() {
    let vectors = json("vectors.json");
    for vector in list(&vectors, "filehandles") {
        let fields = FilehandleFields {
            container_id: number32(vector, "containerid"),
            parent_directory_manager: number(vector, "dirmgr_src").try_into().unwrap(),
            directory_manager: number(vector, "dirmgr_tgt").try_into().unwrap(),
            file_type: FileType::from_ftype(number(vector, "ftype").try_into().unwrap()).unwrap(),
            // The vectors contain 64-bit numbers as strings.
            sequence: text(vector, "seq").parse().unwrap(),
            random: text(vector, "random").parse().unwrap(),
        };
        let made = fields.filehandle().unwrap();
        assert_eq!(made, handle(&vector["hex"]));
        assert_eq!(made.as_bytes(), bytes(vector, "hex"));
        assert_eq!(made.sequence(), Some(fields.sequence));
        assert_eq!(made.file_type(), Some(fields.file_type));
        assert_eq!(made.directory_manager(), fields.directory_manager);
    }
    assert_eq!(list(&vectors, "filehandles").len(), 12);
}

#[test]
fn names_match_the_vectors() {
    let vectors = json("vectors.json");
    for vector in list(&vectors, "names") {
        let object_type = ObjectType::from_code(number(vector, "btype").try_into().unwrap());
        let id = ObjectId::from_bytes(&bytes(vector, "object")).unwrap();
        let mut made = match id {
            ObjectId::WellKnown(_) => ObjectName::bucket(),
            ObjectId::Entity(id) => {
                ObjectName::entity(id, object_type.unwrap(), handle(&vector["owner"]))
            }
            ObjectId::Block(id) => {
                ObjectName::block(id, object_type.unwrap(), handle(&vector["owner"]))
            }
        };
        made.version = number(vector, "version");
        assert_eq!(made.to_string(), text(vector, "name"));
        assert_eq!(ObjectName::parse(text(vector, "name")), Ok(made));
        assert_eq!(Some(made.object_type()), object_type);
    }
    assert_eq!(list(&vectors, "names").len(), 12);
}

#[test]
fn objects_match_the_vectors() {
    let vectors = json("vectors.json");
    let mut kinds: Vec<&str> = Vec::new();
    for vector in list(&vectors, "objects") {
        let (name, object) = object(vector);
        let payload = bytes(vector, "payload");
        let mut buffer = ObjectBuffer::with_capacity(0);
        object.encode(&mut buffer).unwrap();
        let kind = text(vector, "kind");
        assert_eq!(buffer.payload(), payload, "{kind}");
        assert_eq!(Object::decode(&name, &payload).unwrap(), object, "{kind}");
        kinds.push(kind);
    }
    kinds.dedup();
    let all = "file file-segment symlink special dir dir-segment root bucket";
    assert_eq!(kinds, all.split(' ').collect::<Vec<_>>());
    assert_eq!(list(&vectors, "objects").len(), 13);
}

/// Returns the object that a vector describes, and a name for it.
fn object(vector: &Value) -> (ObjectName, Object<'_>) {
    let kind = text(vector, "kind");
    if kind == "bucket" {
        let pairs = extended(vector).0;
        let logs: Vec<_> = pairs[4..].iter().map(|(_, log)| log.clone()).collect();
        assert_eq!(logs.len(), 1);
        let bucket = Bucket::new(&pairs[3].1, &logs);
        assert_eq!(bucket.logs().collect::<Vec<_>>(), ["output.txt"]);
        let name = ObjectName::parse(text(vector, "name")).unwrap();
        return (name, Object::Bucket(bucket));
    }
    let own = handle(&vector["filehandle"]);
    if kind.ends_with("segment") {
        let name = ObjectName::block(block_id(&vector["id"]), ObjectType::Segment, own);
        return (name, segment(vector, own));
    }
    let file_type = FileType::from_ftype(number(vector, "ftype").try_into().unwrap()).unwrap();
    let object_type = file_type.object_type();
    let inode = inode(vector, own, file_type);
    let owner = inode.back.first().copied().unwrap_or(Filehandle::ROOT);
    let name = ObjectName::entity(own, object_type, owner);
    (name, Object::Inode(inode))
}

fn segment(vector: &Value, own: Filehandle) -> Object<'_> {
    let data_back = DataBack {
        ctime_seconds: number32(vector, "ctime"),
        offset: number(vector, "offset"),
        owner: own,
    };
    assert_eq!(file_segment_range(1, u64::MAX).start, data_back.offset);
    assert_eq!(directory_segment_offset(1), data_back.offset);
    if text(vector, "kind") == "file-segment" {
        let data = Cow::Owned(bytes(vector, "data"));
        Object::FileSegment(FileSegment { data, data_back })
    } else {
        let entries = entries(vector);
        Object::DirectorySegment(DirectorySegment { entries, data_back })
    }
}

/// Encodes the entries of a vector with the segmenter, and removes its `.` and `..` if the vector has
/// none.
fn entries(vector: &Value) -> DirEntries<'static> {
    let mut segmenter = DirectorySegmenter::new(Filehandle::ROOT, Filehandle::ROOT);
    let dots = segmenter_bytes(DirectorySegmenter::new(Filehandle::ROOT, Filehandle::ROOT)).len();
    let mut listed = list(vector, "entries");
    let mut cut = dots;
    if listed[0][0] == "2e" {
        segmenter = DirectorySegmenter::new(handle(&listed[0][1]), handle(&listed[1][1]));
        listed = &listed[2..];
        cut = 0;
    }
    for entry in listed {
        let name = unhex(entry[0].as_str().unwrap());
        assert_eq!(segmenter.push(&name, handle(&entry[1])), Ok(None));
    }
    let encoded = segmenter_bytes(segmenter);
    DirEntries::from_encoded(encoded[cut..].to_vec())
}

fn segmenter_bytes(segmenter: DirectorySegmenter) -> Vec<u8> {
    segmenter.finish().last
}

fn inode(vector: &Value, own: Filehandle, file_type: FileType) -> Inode<'_> {
    let time = |key| Timestamp::from_unix(number(vector, key).try_into().unwrap(), 0).0;
    let size = number(vector, "size");
    let attributes = Attributes {
        mode: number(vector, "mode").try_into().unwrap(),
        object_type: file_type.object_type().code(),
        uid: number32(vector, "uid"),
        gid: number32(vector, "gid"),
        size,
        mtime: time("mtime"),
        ctime: time("ctime"),
        atime: time("atime"),
        used: size,
        fsid: number(vector, "fsid"),
        file_id: number(vector, "ino"),
        major: number32(vector, "major"),
        minor: number32(vector, "minor"),
        nlink: number32(vector, "nlink"),
        container_id: number(vector, "containerid"),
        ..Attributes::default()
    };
    assert_eq!(FileType::from_mode(attributes.mode.into()), Some(file_type));
    let mut back = Vec::new();
    let mut other_segment = FILE_SEGMENT_BYTES;
    let content = match file_type {
        FileType::Directory => {
            other_segment = DIRECTORY_SEGMENT_BYTES;
            assert_eq!(entries(vector).size(), size);
            if own.is_root() {
                Content::Root(entries(vector), extended(vector))
            } else {
                Content::Directory(entries(vector))
            }
        }
        _ => {
            back = list(vector, "back").iter().map(handle).collect();
            match file_type {
                FileType::Regular | FileType::Symlink => {
                    Content::Data(bytes(vector, "data").into())
                }
                _ => Content::None,
            }
        }
    };
    let mut builder = BlockMapBuilder::new(own, other_segment.try_into().unwrap());
    for block in list(vector, "blocks") {
        let id = block_id(block);
        let indirect = &mut |_| panic!("no indirect blocks here");
        builder.push(id, indirect, &mut |_| ()).unwrap();
    }
    if file_type == FileType::Regular {
        assert_eq!(
            list(vector, "blocks").len() as u64,
            file_segment_count(size)
        );
    }
    Inode {
        attributes,
        block_map: builder.finish(&mut |_| panic!("nor here"), &mut |_| ()),
        back: back.into(),
        name: text(vector, "name").as_bytes().into(),
        content,
    }
}

fn extended(vector: &Value) -> ExtendedAttributes {
    let pair = |p: &Value| {
        let text = |i: usize| p[i].as_str().unwrap().to_owned();
        (text(0), text(1))
    };
    let given = ExtendedAttributes(list(vector, "extattrs").iter().map(pair).collect());
    if text(vector, "kind") == "root" {
        let [mass, wipe] = ["massUUID", "wipeEpoch"].map(|key| given.get(key).unwrap());
        let made = ExtendedAttributes::root_attributes(mass, wipe);
        assert_eq!(made, given);
    }
    given
}

#[test]
fn block_maps_match_the_vectors() {
    let vectors = json("vectors.json");
    let owner = &vectors["blockmap_owner"];
    for vector in list(&vectors, "blockmaps") {
        let (map, finished) = build_map(vector, handle(&owner["filehandle"]));
        assert_eq!(1 + map.direct.len() as u64, number(vector, "direct"));
        let roots: Vec<_> = list(vector, "roots").iter().map(block_id).collect();
        assert_eq!(map.roots.as_slice(), roots);
        let mut all = String::new();
        let mut emitted = Vec::new();
        for block in &finished {
            let indirect = IndirectBlock {
                pointers: block.pointers.clone(),
                data_back: DataBack {
                    ctime_seconds: number32(owner, "ctime"),
                    offset: block.position.offset(),
                    owner: handle(&owner["filehandle"]),
                },
            };
            let mut buffer = ObjectBuffer::with_capacity(0);
            indirect.encode(&mut buffer).unwrap();
            let name = ObjectName::block(block.id, ObjectType::Indirect, Filehandle::ROOT);
            let decoded = Object::decode(&name, buffer.payload()).unwrap();
            assert_eq!(decoded, Object::IndirectBlock(indirect));
            let id = block.id.to_string().to_lowercase();
            let sha256 = sha256(buffer.payload());
            write!(all, "{id}{sha256}").unwrap();
            emitted.push((id, block.position.depth, block.pointers.len(), sha256));
        }
        let expected: Vec<_> = list(vector, "indirect_blocks").iter().map(listed).collect();
        assert_eq!(emitted.len() as u64, number(vector, "indirect_count"));
        assert!(expected.iter().all(|e| emitted.contains(e)), "{expected:?}");
        assert_eq!(sha256(all.as_bytes()), text(vector, "all_sha256"));
    }
    assert_eq!(list(&vectors, "blockmaps").len(), 10);
}

fn listed(block: &Value) -> (String, u8, usize, String) {
    let number = |key| usize::try_from(number(block, key)).unwrap();
    (
        text(block, "id").to_owned(),
        number("depth").try_into().unwrap(),
        number("pointers"),
        text(block, "sha256").to_owned(),
    )
}

fn build_map(vector: &Value, own: Filehandle) -> (BlockMap, Vec<FinishedIndirect>) {
    let mut finished = Vec::new();
    let mut counter = 0_u64;
    let mut indirect_id = |_| {
        counter += 1;
        BlockId((u128::from(u64::MAX) << 64 | u128::from(counter)).to_be_bytes())
    };
    let mut builder = BlockMapBuilder::new(own, FILE_SEGMENT_BYTES.try_into().unwrap());
    for i in 1..number(vector, "blocks") {
        let id = BlockId(u128::from(i).to_be_bytes());
        let emit = &mut |block| finished.push(block);
        builder.push(id, &mut indirect_id, emit).unwrap();
    }
    let map = builder.finish(&mut indirect_id, &mut |block| finished.push(block));
    (map, finished)
}
