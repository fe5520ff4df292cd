//! Damage to names, wrappers, handle headers and filehandles (format.md §2 to §5).

use super::Case;
use super::edit::{handle, v2_name};
use super::fixture::Fixture;
use clfsload_checker::Rule::*;
use clfsload_checker::{Name, hash64, hex};

/// The bucket object's id.
pub(crate) const BUCKET: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x63];

/// Changes one byte of a filehandle everywhere.
fn handle_byte(f: &mut Fixture, id: &[u8], at: usize, change: fn(u8) -> u8) {
    let mut to = id.to_vec();
    to[at] = change(to[at]);
    f.container.change_id(id, &to);
}

fn field(name: &str, number: usize, value: &str) -> String {
    let mut fields: Vec<&str> = name.split('.').collect();
    fields[number] = value;
    fields.join(".")
}

/// Returns the filehandle with a random number for which `fnv1` is 0.
fn with_fnv1_zero(id: &[u8]) -> Vec<u8> {
    const PRIME: u32 = 0x0100_0193;
    let step = |h: u32, byte: u8| h.wrapping_mul(PRIME) ^ u32::from(byte);
    let start = id[..19].iter().fold(0, |h, byte| step(h, *byte));
    let found = (0..=u32::MAX).find_map(|n| {
        let [b0, b1, b2, b3] = n.to_le_bytes();
        let h = step(step(step(step(start, b3), b2), b1), b0).wrapping_mul(PRIME);
        u8::try_from(h).ok().map(|last| [b3, b2, b1, b0, last])
    });
    let mut to = id.to_vec();
    to[19..].copy_from_slice(&found.expect("one in 2^24 fits"));
    to
}

/// Returns an LZ4 block with a single run of at least 15 literals.
fn literals(bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![0xf0];
    let more = bytes.len() - 15;
    block.extend(std::iter::repeat_n(255, more / 255));
    block.push((more % 255) as u8);
    block.extend_from_slice(bytes);
    block
}

pub(crate) const CASES: &[Case] = &[
    (
        "a local bit is cleared",
        &[FilehandleLayout, AttributeContainerId],
        |f| {
            let id = f.small.clone();
            handle_byte(f, &id, 0, |byte| byte ^ 0x10);
        },
    ),
    ("byte 7 is not 0", &[FilehandleLayout], |f| {
        let id = f.small.clone();
        handle_byte(f, &id, 7, |_| 1);
    }),
    (
        "a handle of another container",
        &[AttributeContainerId],
        |f| {
            let id = f.small.clone();
            handle_byte(f, &id, 2, |byte| byte ^ 1);
        },
    ),
    (
        "a directory manager of 48",
        &[FilehandleDirectoryManager],
        |f| {
            let id = f.inner.clone();
            handle_byte(f, &id, 5, |_| 48);
        },
    ),
    (
        "a file with another manager",
        &[FilehandleDirectoryManager],
        |f| {
            let id = f.small.clone();
            handle_byte(f, &id, 5, |byte| byte ^ 1);
        },
    ),
    (
        "byte 4 is not the parent's byte 5",
        &[FilehandleDirectoryManager],
        |f| {
            let id = f.inner.clone();
            handle_byte(f, &id, 4, |byte| byte ^ 1);
        },
    ),
    ("sequence 999", &[FilehandleSequence], |f| {
        let mut to = f.small.clone();
        to[8..16].copy_from_slice(&999u64.to_le_bytes());
        f.container.change_id(&f.small, &to);
    }),
    ("a sequence used twice", &[FilehandleSequence], |f| {
        let mut to = f.small.clone();
        to[8..16].copy_from_slice(&f.multi[8..16]);
        f.container.change_id(&f.small, &to);
    }),
    ("random number 0", &[FilehandleRandom], |f| {
        let mut to = f.small.clone();
        to[16..].fill(0);
        f.container.change_id(&f.small, &to);
    }),
    ("fnv1 is 0", &[FilehandleHash], |f| {
        let to = with_fnv1_zero(&f.small);
        f.container.change_id(&f.small, &to);
    }),
    ("an empty blob", &[WrapperShort], |f| {
        f.container.raw(&f.small, Vec::clear)
    }),
    ("encrypted", &[WrapperEncryption], |f| {
        f.container.raw(&f.small, |blob| blob[0] = 1)
    }),
    ("compression 2", &[WrapperCompression], |f| {
        f.container.raw(&f.small, |blob| blob[2] = 2);
    }),
    ("independent blocks", &[FrameHeader], |f| {
        f.container.raw(&f.small, |blob| blob[8] |= 0x20);
    }),
    (
        "a stored block",
        &[FrameStoredBlock, FrameNotSmaller],
        |f| {
            let payload = f.container.payload(&f.small);
            f.container.raw(&f.small, |blob| {
                blob.truncate(11);
                blob.extend_from_slice(&(payload.len() as u32 | 1 << 31).to_le_bytes());
                blob.extend_from_slice(&payload);
                blob.extend_from_slice(&[0; 4]);
            });
        },
    ),
    ("no end mark", &[FrameCorrupt], |f| {
        f.container
            .raw(&f.small, |blob| blob.truncate(blob.len() - 4));
    }),
    ("bytes behind the end mark", &[FrameCorrupt], |f| {
        f.container.raw(&f.small, |blob| blob.push(0));
    }),
    ("a block that does not decode", &[FrameCorrupt], |f| {
        f.container.raw(&f.small, |blob| blob[15..].fill(0xff));
    }),
    ("a frame larger than the payload", &[FrameNotSmaller], |f| {
        let payload = f.container.payload(&f.small);
        let block = literals(&payload);
        f.container.raw(&f.small, |blob| {
            blob.truncate(11);
            blob.extend_from_slice(&(block.len() as u32).to_le_bytes());
            blob.extend_from_slice(&block);
            blob.extend_from_slice(&[0; 4]);
        });
    }),
    // An object whose name cannot be parsed is missing.
    ("a lower-case name", &[NameSyntax, Dangling], |f| {
        f.container.rename(&f.small, |name| name.to_lowercase());
    }),
    ("a version of ten digits", &[NameSyntax, Dangling], |f| {
        f.container
            .rename(&f.small, |name| field(name, 3, "0000000009"));
    }),
    ("a wrong hash", &[NameHash], |f| {
        f.container.rename(&f.small, |name| {
            let hash = Name::parse(name).unwrap().hash ^ 1;
            format!("{hash:016X}{}", &name[16..])
        });
    }),
    (
        "a V2 name for the bucket",
        &[NameKind, NameObjectType],
        |f| {
            f.container
                .rename(&BUCKET, |_| v2_name(&BUCKET, 11, hash64(&BUCKET)));
        },
    ),
    ("a V1 name for a segment", &[NameKind], |f| {
        f.container.rename(&f.multi_segments[0], |name| {
            let id = Name::parse(name).unwrap().id;
            let hash = hash64(&id) >> 32;
            format!("{hash:08X}_{}.00000000009.FFFFFFFF.0001", hex(&id))
        });
    }),
    ("a file called a directory", &[NameObjectType], |f| {
        f.container.rename(&f.small, |name| field(name, 1, "0002"));
    }),
    (
        "a segment called an indirect block",
        &[NameObjectType],
        |f| {
            f.container
                .rename(&f.multi_segments[0], |name| field(name, 1, "0009"));
        },
    ),
    (
        "the owner is not the first back pointer",
        &[NameOwner],
        |f| {
            let other = format!("{:016X}", hash64(&f.b));
            f.container.rename(&f.linked, |name| field(name, 2, &other));
        },
    ),
    ("a directory's owner is not its parent", &[NameOwner], |f| {
        let other = format!("{:016X}", hash64(&f.root));
        f.container.rename(&f.inner, |name| field(name, 2, &other));
    }),
    ("a segment's owner is another file", &[NameOwner], |f| {
        let other = format!("{:016X}", hash64(&f.small));
        f.container
            .rename(&f.multi_segments[0], |name| field(name, 2, &other));
    }),
    ("version 8", &[NameVersion], |f| {
        f.container
            .rename(&f.small, |name| field(name, 3, "00000000008"));
    }),
    ("version 10", &[NameVersion], |f| {
        f.container
            .rename(&f.small, |name| field(name, 3, "00000000010"));
    }),
    ("a snapshot", &[NameSnapshot], |f| {
        f.container
            .rename(&f.small, |name| field(name, 4, "00000001"));
    }),
    (
        "two names for one object",
        &[NameDuplicate, NameVersion],
        |f| {
            let name = f.container.blob_name(&f.small);
            let blob = f.container.blobs[&name].clone();
            f.container
                .blobs
                .insert(field(&name, 3, "00000000010"), blob);
        },
    ),
    // Nothing can be parsed after an invalid header.
    (
        "a wrong magic",
        &[HandleHeader, HandleOrder, HandleContent],
        |f| {
            f.container.payload_mut(&f.small, |payload| payload[0] ^= 1);
        },
    ),
    (
        "a wrong padded length",
        &[HandleHeader, HandleOrder, HandleContent],
        |f| {
            f.container.payload_mut(&f.small, |payload| payload[4] += 8);
        },
    ),
    ("the last word of a header", &[HandleHeader], |f| {
        f.container.payload_mut(&f.small, |payload| payload[16] = 1);
    }),
    (
        "a payload that is cut off",
        &[HandleHeader, HandleOrder, HandleContent],
        |f| {
            f.container
                .payload_mut(&f.fifo, |payload| payload.truncate(payload.len() - 8));
        },
    ),
    ("padding that is not zero", &[HandlePadding], |f| {
        f.container
            .payload_mut(&f.block, |payload| *payload.last_mut().unwrap() = 1);
    }),
    ("a tombstone handle", &[HandleUnknown], |f| {
        f.container
            .payload_mut(&f.small, |payload| payload.extend(handle(13, b"")));
    }),
    ("bytes behind the name in NAME", &[HandleContent], |f| {
        f.container.data(&f.small, 16, |data| data.push(b'x'));
    }),
    (
        "more back pointers announced than there",
        &[HandleContent],
        |f| {
            f.container.data(&f.small, 9, |data| data[0] = 2);
        },
    ),
    (
        "a length of attributes that is not 104",
        &[HandleContent],
        |f| {
            f.container.data(&f.small, 4, |data| data[0] = 103);
        },
    ),
    ("handles in another order", &[HandleOrder], |f| {
        f.container.handles(&f.small, |handles| handles.swap(2, 3));
    }),
    ("a handle twice", &[HandleOrder], |f| {
        f.container
            .handles(&f.small, |handles| handles.push(handles[4].clone()));
    }),
    ("a header that is cut off", &[HandleHeader], |f| {
        f.container
            .payload_mut(&f.small, |payload| payload.extend([0; 8]));
    }),
];
