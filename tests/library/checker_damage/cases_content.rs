//! Damage to attributes, block maps and segments (format.md §5 and §6).

use super::Case;
use super::fixture::Fixture;
use clfsload_checker::Rule::*;

const DATA: u32 = 2;
const DIRENTS: u32 = 3;
const BMAP: u32 = 5;
const DATABACK: u32 = 10;

fn set(f: &mut Fixture, pick: fn(&Fixture) -> &Vec<u8>, at: std::ops::Range<usize>, value: u64) {
    let id = pick(f).clone();
    f.container.attribute(&id, at, value);
}

pub(crate) const CASES: &[Case] = &[
    ("mode of a fifo on a file", &[AttributeType], |f| {
        set(f, |f| &f.small, 4..6, 0o010_644);
    }),
    ("btype of a fifo on a file", &[AttributeType], |f| {
        set(f, |f| &f.small, 6..7, 7)
    }),
    ("the byte behind btype", &[AttributeReserved], |f| {
        set(f, |f| &f.small, 7..8, 1)
    }),
    ("flags", &[AttributeReserved], |f| {
        set(f, |f| &f.small, 8..12, 1)
    }),
    ("a dtime", &[AttributeReserved], |f| {
        set(f, |f| &f.small, 28..32, 1)
    }),
    ("the word behind nlink", &[AttributeReserved], |f| {
        set(f, |f| &f.small, 96..100, 1)
    }),
    ("10^9 nanoseconds of mtime", &[AttributeTime], |f| {
        set(f, |f| &f.small, 40..44, 1_000_000_000);
    }),
    ("10^9 nanoseconds of atime", &[AttributeTime], |f| {
        set(f, |f| &f.small, 56..60, 1_000_000_000);
    }),
    ("used is not size", &[AttributeUsed], |f| {
        set(f, |f| &f.small, 60..68, 1)
    }),
    ("fsid 0", &[AttributeFsid], |f| {
        set(f, |f| &f.small, 68..76, 0)
    }),
    ("another fsid", &[AttributeFsid], |f| {
        set(f, |f| &f.small, 68..76, 77)
    }),
    ("container id 0", &[AttributeContainerId], |f| {
        set(f, |f| &f.small, 100..108, 0)
    }),
    ("another container id", &[AttributeContainerId], |f| {
        set(f, |f| &f.multi, 100..108, 77);
    }),
    ("device numbers on a file", &[AttributeDevice], |f| {
        set(f, |f| &f.small, 84..88, 1)
    }),
    ("a size on a fifo", &[AttributeSize, AttributeUsed], |f| {
        set(f, |f| &f.fifo, 20..28, 1);
    }),
    (
        "size of a small file",
        &[AttributeSize, AttributeUsed],
        |f| {
            set(f, |f| &f.small, 20..28, 551);
        },
    ),
    (
        "size of a large file",
        &[AttributeSize, AttributeUsed],
        |f| {
            set(f, |f| &f.multi, 20..28, (8 << 20) + 16_385);
        },
    ),
    (
        "size that needs another segment",
        &[AttributeSize, AttributeUsed, BlockMapCount],
        |f| {
            set(f, |f| &f.multi, 20..28, (8 << 20) + 16_384);
        },
    ),
    (
        "size of a symlink in characters",
        &[AttributeSize, AttributeUsed],
        |f| {
            set(f, |f| &f.symlink, 20..28, 6);
        },
    ),
    (
        "size of a directory",
        &[AttributeSize, AttributeUsed],
        |f| {
            set(f, |f| &f.many, 20..28, 1000);
        },
    ),
    ("nlink of a file with three links", &[AttributeLinks], |f| {
        set(f, |f| &f.linked, 92..96, 2);
    }),
    ("nlink 0", &[AttributeLinks], |f| {
        set(f, |f| &f.small, 92..96, 0)
    }),
    ("nlink of a directory", &[AttributeLinks], |f| {
        set(f, |f| &f.a, 92..96, 2)
    }),
    ("nlink of the root", &[AttributeLinks], |f| {
        set(f, |f| &f.root, 92..96, 2)
    }),
    (
        "a symlink without target",
        &[SymlinkTarget, AttributeSize],
        |f| {
            f.container
                .data(&f.symlink, DATA, |data| *data = vec![0; 4]);
        },
    ),
    (
        "a symlink of 1024 bytes",
        &[SymlinkTarget, AttributeSize],
        |f| {
            f.container.data(&f.symlink, DATA, |data| {
                *data = 1024u32.to_le_bytes().to_vec();
                data.resize(4 + 1024, b't');
            });
        },
    ),
    ("first segment size", &[BlockMapSegmentSize], |f| {
        f.container.data(&f.small, BMAP, |data| data[1] ^= 1);
    }),
    (
        "a directory's segment size on a file",
        &[BlockMapSegmentSize],
        |f| {
            f.container.data(&f.small, BMAP, |data| {
                data[4..8].copy_from_slice(&(256u32 << 10).to_le_bytes());
            });
        },
    ),
    (
        "a file's segment size on a directory",
        &[BlockMapSegmentSize],
        |f| {
            f.container.data(&f.many, BMAP, |data| {
                data[4..8].copy_from_slice(&(8u32 << 20).to_le_bytes());
            });
        },
    ),
    ("block 0 is another entity", &[BlockMapSelf], |f| {
        let other = f.multi.clone();
        f.container
            .data(&f.small, BMAP, |data| data[14..38].copy_from_slice(&other));
    }),
    (
        "a hole in the direct list",
        &[BlockMapOrder, Dangling, Orphan],
        |f| {
            f.container
                .data(&f.multi, BMAP, |data| data[40..56].fill(0));
        },
    ),
    (
        "segments in the wrong order",
        &[SegmentSize, DataBackOffset],
        |f| {
            f.container.data(&f.multi, BMAP, |data| {
                let first = data[40..56].to_vec();
                data.copy_within(58..74, 40);
                data[58..74].copy_from_slice(&first);
            });
        },
    ),
    ("a segment twice", &[BlockTwice, Orphan], |f| {
        f.container
            .data(&f.multi, BMAP, |data| data.copy_within(40..56, 58));
    }),
    (
        "a segment that nothing needs",
        &[BlockMapCount, Orphan, AttributeSize],
        |f| {
            f.container.data(&f.multi, BMAP, |data| {
                data[8] -= 1;
                data.drain(56..74);
            });
        },
    ),
    (
        "a tree of a file that needs none",
        &[BlockMapOrder, Dangling],
        |f| {
            f.container
                .data(&f.small, BMAP, |data| *data.last_mut().unwrap() = 1);
        },
    ),
    ("a segment of a fifo", &[BlockMapCount], |f| {
        f.container.data(&f.fifo, BMAP, |data| {
            data[8] += 1;
            data.splice(38..38, [16, 0].into_iter().chain([5; 16]));
        });
    }),
    ("roots missing", &[HandleContent], |f| {
        f.container.data(&f.fifo, BMAP, |data| {
            let end = data.len() - 18;
            data.truncate(end);
            data[38] = 3;
        });
    }),
    ("offset of a segment", &[DataBackOffset], |f| {
        f.container
            .data(&f.multi_segments[1], DATABACK, |data| data[4] ^= 1);
    }),
    ("offset of a directory's segment", &[DataBackOffset], |f| {
        f.container
            .data(&f.many_segments[1], DATABACK, |data| data[4] ^= 1);
    }),
    ("owner of a segment", &[DataBackOwner], |f| {
        let other = f.small.clone();
        f.container.data(&f.multi_segments[0], DATABACK, |data| {
            data[14..].copy_from_slice(&other);
        });
    }),
    ("ctime of a segment", &[DataBackTime], |f| {
        f.container
            .data(&f.multi_segments[0], DATABACK, |data| data[0] ^= 1);
    }),
    ("ctime of a directory's segment", &[DataBackTime], |f| {
        f.container
            .data(&f.many_segments[0], DATABACK, |data| data[0] ^= 1);
    }),
    (
        "a short first segment",
        &[SegmentSize, AttributeSize],
        |f| {
            f.container.data(&f.multi, DATA, |data| {
                data[..4].copy_from_slice(&16_383u32.to_le_bytes());
                data.pop();
            });
        },
    ),
    ("a long first segment", &[SegmentSize, AttributeSize], |f| {
        f.container.data(&f.multi, DATA, |data| {
            data[..4].copy_from_slice(&16_385u32.to_le_bytes());
            data.push(7);
        });
    }),
    (
        "a short segment in the middle",
        &[SegmentSize, AttributeSize],
        |f| {
            f.container.data(&f.multi_segments[0], DATA, |data| {
                data[..4].copy_from_slice(&100u32.to_le_bytes());
                data.truncate(104);
            });
        },
    ),
    (
        "an empty last segment",
        &[SegmentSize, AttributeSize],
        |f| {
            f.container
                .data(&f.multi_segments[1], DATA, |data| *data = vec![0; 4]);
        },
    ),
    (
        "bytes in a directory segment's DATA",
        &[HandleContent],
        |f| {
            f.container.data(&f.many_segments[0], DATA, |data| {
                *data = vec![1, 0, 0, 0, 0]
            });
        },
    ),
    (
        "a directory segment without DATA",
        &[HandleOrder, HandleContent],
        |f| {
            f.container
                .handles(&f.many_segments[0], |handles| drop(handles.remove(1)));
        },
    ),
    ("a segment is missing", &[Dangling], |f| {
        f.container.remove(&f.multi_segments[1]);
    }),
    ("DATABACK that is cut off", &[HandleContent], |f| {
        f.container.data(&f.multi_segments[0], DATABACK, |data| {
            data.pop();
        });
    }),
    ("bytes behind the content in DATA", &[HandleContent], |f| {
        f.container.data(&f.small, DATA, |data| data.push(b'x'));
    }),
    (
        "16,385 bytes in one segment",
        &[SegmentSize, BlockMapCount],
        |f| {
            f.container.data(&f.small, DATA, |data| {
                *data = 16_385u32.to_le_bytes().to_vec();
                data.resize(4 + 16_385, b'x');
            });
            set(f, |f| &f.small, 20..28, 16_385);
            set(f, |f| &f.small, 60..68, 16_385);
        },
    ),
    ("more than 16,384 bytes of entries", &[SegmentSize], |f| {
        // Entries of `many` have 4 + 250 + 2 + 24 bytes.
        move_entries(f, |f| (f.many_segments[0].clone(), f.many.clone()), 560);
    }),
    ("more than 256 KiB of entries", &[SegmentSize], |f| {
        let from = |f: &Fixture| (f.many_segments[1].clone(), f.many_segments[0].clone());
        move_entries(f, from, 560);
    }),
    ("a directory segment without entries", &[SegmentSize], |f| {
        let from = |f: &Fixture| (f.many_segments[1].clone(), f.many_segments[0].clone());
        move_entries(f, from, usize::MAX);
    }),
];

/// Moves entries from the start of one segment to the end of another.
fn move_entries(f: &mut Fixture, pick: fn(&Fixture) -> (Vec<u8>, Vec<u8>), maximum: usize) {
    let (from, to) = pick(f);
    let payload = f.container.payload(&from);
    let (handles, _) = clfsload_checker::parse_handles(&payload);
    let dirents = handles
        .iter()
        .find(|handle| handle.kind == DIRENTS)
        .unwrap();
    let all = &payload[dirents.data.clone()];
    let count = maximum.min(all.len());
    f.container
        .data(&from, DIRENTS, |data| drop(data.drain(..count)));
    f.container
        .data(&to, DIRENTS, |data| data.extend_from_slice(&all[..count]));
}
