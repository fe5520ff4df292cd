//! Tests of directory entries that break a rule: the other entries are still read.

use crate::samples::*;
use clfs_format::limits::DEVIATIONS;
use clfs_format::*;

use Corrupt as C;

fn in_entry(kind: Corrupt, offset: u64) -> FormatError {
    broken(kind, Part::Entry, offset)
}

fn own() -> Filehandle {
    handle(FileType::Regular, 1001)
}

/// Returns names and filehandles of invalid entries, each with its error at the offset in the entry.
fn bad_entries() -> Vec<(Vec<u8>, Vec<u8>, FormatError)> {
    let own = own().as_bytes().to_vec();
    let long_root = [Filehandle::ROOT.as_bytes(), &[0; 8]].concat();
    let limit = FormatError::Limit {
        limit: Limit::NameBytes,
        value: 256,
        place: in_entry(C::NameByte, 0).place(),
    };
    vec![
        (vec![], own.clone(), in_entry(C::NameEmpty, 0)),
        (b"a/b".to_vec(), own.clone(), in_entry(C::NameByte, 0)),
        (b"a\0".to_vec(), own.clone(), in_entry(C::NameByte, 0)),
        (vec![b'n'; 256], own, limit),
        (b"name".to_vec(), vec![7; 20], in_entry(C::IdLength, 8)),
        (b"name".to_vec(), vec![], in_entry(C::IdLength, 8)),
        (b"name".to_vec(), vec![7; 300], in_entry(C::IdLength, 8)),
        (b"name".to_vec(), vec![7; 16], in_entry(C::NotTheRoot, 8)),
        (b"name".to_vec(), vec![0; 16], in_entry(C::NotTheRoot, 8)),
        (b"name".to_vec(), long_root, in_entry(C::LongRoot, 8)),
        (b"name".to_vec(), vec![0; 24], in_entry(C::NullId, 8)),
        // Both are invalid: the rule of the name comes first.
        (b"/".to_vec(), vec![7; 20], in_entry(C::NameByte, 0)),
    ]
}

fn shifted(error: FormatError, by: u64) -> FormatError {
    let Place { part, offset } = error.place();
    let place = Place {
        part,
        offset: offset + by,
    };
    match error {
        FormatError::Corrupt { kind, .. } => FormatError::Corrupt { kind, place },
        FormatError::Limit { limit, value, .. } => FormatError::Limit {
            limit,
            value,
            place,
        },
        other => panic!("{other}"),
    }
}

#[test]
fn iteration_continues_after_a_bad_entry() {
    for (name, id, rule) in bad_entries() {
        let before = entry(b"before", own().as_bytes());
        let after = entry(b"after", Filehandle::ROOT.as_bytes());
        let bytes = [&before[..], &entry(&name, &id), &after].concat();
        let at = before.len() as u64;
        let entries = DirEntries::from_encoded(&bytes[..]);
        let error = shifted(rule, at);
        let good = |name, handle| DirEntry { name, handle };
        let expected = [
            Ok(good(b"before", own())),
            Err(error),
            Ok(good(b"after", Filehandle::ROOT)),
        ];
        assert_eq!(entries.iter().collect::<Vec<_>>(), expected);
        let raw: Vec<_> = entries.iter_raw().collect();
        let [first, Err(bad), last] = raw[..] else {
            panic!("{raw:?}");
        };
        assert_eq!(
            (first.ok(), last.ok()),
            (expected[0].ok(), expected[2].ok())
        );
        assert_eq!((bad.error, bad.offset), (error, at));
        assert_eq!((bad.name, bad.handle), (Some(&name[..]), Some(&id[..])));
    }
}

#[test]
fn iteration_stops_where_the_bytes_end_within_an_entry() {
    let complete = entry(b"before", own().as_bytes());
    let next = entry(b"name", own().as_bytes());
    let at = complete.len() as u64;
    for length in 1..next.len() {
        let bytes = [&complete, &next[..length]].concat();
        let entries = DirEntries::from_encoded(bytes);
        let raw: Vec<_> = entries.iter_raw().take(9).collect();
        let [Ok(_), Err(bad)] = raw[..] else {
            panic!("{raw:?}");
        };
        let place = match length {
            0..4 => at,
            4..8 => at + 4,
            8..10 => at + 8,
            _ => at + 10,
        };
        assert_eq!(bad.error, in_entry(C::Truncated, place), "{length}");
        assert_eq!(bad.offset, at);
        assert_eq!(bad.name, (length >= 8).then_some(&b"name"[..]));
        assert_eq!(bad.handle, None);
        assert_eq!(entries.iter().count(), 2);
    }
    // The rule of the name is returned first, then the end within the entry.
    let next = entry(b"a/b", own().as_bytes());
    let bytes = [&complete, &next[..20]].concat();
    let entries = DirEntries::from_encoded(bytes);
    let raw = entries.iter_raw().take(9);
    let bad: Vec<_> = raw.filter_map(Result::err).collect();
    let errors: Vec<_> = bad.iter().map(|bad| bad.error).collect();
    let both = [
        in_entry(C::NameByte, at),
        in_entry(C::Truncated, at + 4 + 3 + 2),
    ];
    assert_eq!(errors, both);
    assert!(bad.iter().all(|bad| bad.offset == at));
    assert!(bad.iter().all(|bad| bad.name == Some(b"a/b")));
}

#[test]
fn inspection_keeps_bad_entries_and_the_strict_decoder_rejects_them() {
    let segment = ObjectName::block(block(5), ObjectType::Segment, Filehandle::ROOT);
    let mut inode = split(&payload(&directory()));
    let inode_start = inode[..3].concat().len() as u64 + 20;
    for (name, id, rule) in bad_entries() {
        let before = entry(b"before", own().as_bytes());
        let at = before.len() as u64;
        let bytes = [&before[..], &entry(&name, &id), &before].concat();
        inode[3] = raw_handle(3, &bytes);
        let data = raw_handle(2, &[0; 4]);
        let in_segment = [&inode[3], &data[..], &data_back()].concat();
        for (name, payload, start) in [
            (name_of(&directory()), inode.concat(), inode_start),
            (segment, in_segment, 20),
        ] {
            let inspection = Object::inspect(&name, &payload);
            let error = shifted(rule, start + at);
            assert_eq!(inspection.deviations, [error]);
            let object = inspection.object.unwrap();
            let entries = match &object {
                Object::Inode(Inode {
                    content: Content::Directory(entries),
                    ..
                }) => entries,
                Object::DirectorySegment(segment) => &segment.entries,
                other => panic!("{other:?}"),
            };
            assert_eq!(entries.as_bytes(), bytes);
            let strict = Object::decode(&name, &payload);
            if rule == in_entry(C::NullId, 8) {
                // The strict decoder accepts null filehandles.
                assert_eq!(strict, Ok(object));
            } else {
                assert_eq!(strict, Err(error));
            }
        }
    }
}

#[test]
fn many_bad_entries_leave_room_for_other_deviations() {
    let mut entries = Vec::new();
    for _ in 0..1000 {
        for (name, id, _) in bad_entries() {
            entries.extend(entry(&name, &id));
        }
    }
    entries.extend([9, 0]);
    let handles = [
        raw_handle(3, &entries),
        raw_handle(2, &counted(b"x")),
        data_back(),
    ];
    let name = ObjectName::block(block(5), ObjectType::Segment, Filehandle::ROOT);
    let bytes = handles.concat();
    let inspection = Object::inspect(&name, &bytes);
    assert!(inspection.object.is_ok());
    // Eight rules of entries, of which the last, the end within an entry, is broken only once.
    assert_eq!(inspection.deviations.len(), 1 + 7 * 4 + 1 + 1);
    assert!(inspection.deviations.len() <= DEVIATIONS);
    let [.., cut, data] = inspection.deviations[..] else {
        panic!("{:?}", inspection.deviations);
    };
    let end = 20 + entries.len() as u64;
    assert_eq!(cut, in_entry(C::Truncated, end - 2));
    assert!(matches!(
        data,
        FormatError::Corrupt {
            kind: C::DataNotEmpty,
            ..
        }
    ));
    let bad = DirEntries::from_encoded(entries);
    assert_eq!(bad.iter().count(), 12 * 1000 + 1);
}
