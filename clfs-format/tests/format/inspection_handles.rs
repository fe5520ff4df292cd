//! Tests of payloads whose sequence of handles breaks a rule: the decoded object and the listed
//! deviations.

use std::borrow::Cow;

use crate::samples::*;
use clfs_format::*;

use Corrupt as C;
use HandleType as H;

/// Asserts that an inspection returns the complete inode of the sample file with these deviations.
#[track_caller]
fn file_with(payload: &[u8], deviations: &[FormatError]) -> Vec<UnknownHandle> {
    let inspection = Object::inspect(&name_of(&file()), payload);
    assert_eq!(inspection.object, Ok(Object::Inode(file())));
    assert_eq!(inspection.deviations, deviations);
    inspection.unknown
}

#[track_caller]
fn strict_error(payload: &[u8]) -> FormatError {
    Object::decode(&name_of(&file()), payload).unwrap_err()
}

/// Returns the handles of the sample file. VATTR is at 0, BMAP at 128, BACK at 264, NAME at 312, DATA
/// at 344, the end at 376.
fn file_handles() -> Vec<Vec<u8>> {
    split(&payload(&file()))
}

fn in_payload(kind: Corrupt, offset: u64) -> FormatError {
    broken(kind, Part::Payload, offset)
}

/// Sets the padded length of a handle, and appends bytes.
fn pad(handle: &mut Vec<u8>, padded: u32, more: &[u8]) {
    handle[4..8].copy_from_slice(&padded.to_le_bytes());
    handle.extend_from_slice(more);
}

#[test]
fn more_padding_than_needed_is_a_deviation() {
    let length = in_payload(C::HandleLength, 316);
    let mut handles = file_handles();
    pad(&mut handles[3], 48, &[0; 16]);
    file_with(&handles.concat(), &[length]);
    assert_eq!(strict_error(&handles.concat()), length);
    // The additional padding must be zeros as well.
    let mut handles = file_handles();
    pad(&mut handles[3], 48, &[1; 16]);
    let zeros = in_payload(C::NotZero, 340);
    file_with(&handles.concat(), &[length, zeros]);
}

#[test]
fn padded_lengths_that_do_not_lead_to_the_next_handle_make_the_object_unreadable() {
    // 28 bytes are in use; 36 is not a multiple of 8, and 72 is after the end.
    for padded in [0, 24, 36, 72, 1 << 31, u32::MAX] {
        let mut handles = file_handles();
        pad(&mut handles[3], padded, b"");
        let bytes = handles.concat();
        let inspection = Object::inspect(&name_of(&file()), &bytes);
        let error = in_payload(C::HandleLength, 316);
        // DATA follows the damage.
        assert_eq!(inspection.object, Err(error), "{padded}");
        assert_eq!(inspection.deviations, []);
    }
}

#[test]
fn a_second_handle_of_the_same_type_is_a_deviation() {
    let mut handles = file_handles();
    handles.push(raw_handle(2, &counted(b"other")));
    handles.push(raw_handle(2, b"no DATA at all"));
    let twice = [376, 408].map(|offset| in_payload(C::HandleTwice, offset));
    file_with(&handles.concat(), &twice);
    assert_eq!(strict_error(&handles.concat()), twice[0]);
    // The first is used, even if the second is the original one.
    let mut handles = file_handles();
    handles.insert(4, raw_handle(2, &counted(b"first")));
    let bytes = handles.concat();
    let inspection = Object::inspect(&name_of(&file()), &bytes);
    let content = Content::Data(Cow::Borrowed(b"first"));
    assert_eq!(
        inspection.object,
        Ok(Object::Inode(Inode { content, ..file() }))
    );
    assert_eq!(inspection.deviations, [in_payload(C::HandleTwice, 376)]);
}

#[test]
fn an_unexpected_handle_is_a_deviation() {
    let mut handles = file_handles();
    handles.insert(2, raw_handle(3, b"no entries"));
    handles.push(raw_handle(12, b"no pairs"));
    let unexpected = [
        broken_in(C::HandleUnexpected, H::Dirents, 264 + 20),
        broken_in(C::HandleUnexpected, H::ExtendedAttributes, 376 + 32 + 20),
    ];
    file_with(&handles.concat(), &unexpected);
    assert_eq!(strict_error(&handles.concat()), unexpected[0]);
}

#[test]
fn handles_in_another_order_are_a_deviation() {
    let order = |handles: &[Vec<u8>], deviations: &[FormatError]| {
        let bytes = handles.concat();
        let unknown = file_with(&bytes, deviations);
        // The strict decoder accepts any order.
        let decoded = Object::decode_with_unknown(&name_of(&file()), &bytes);
        assert_eq!(decoded, Ok((Object::Inode(file()), unknown)));
    };
    let after = |kind, offset: u64| broken_in(C::HandleOrder, kind, offset + 20);
    let mut handles = file_handles();
    handles.swap(2, 3);
    order(&handles, &[after(H::Back, 264 + 32)]);
    let mut handles = file_handles();
    handles.rotate_left(1);
    order(&handles, &[after(H::Attributes, 376 - 128)]);
    let mut handles = file_handles();
    handles.rotate_right(1);
    order(&handles, &[after(H::Attributes, 32)]);
    let mut handles = file_handles();
    handles.reverse();
    let all = [
        after(H::Name, 32),
        after(H::Back, 64),
        after(H::BlockMap, 112),
        after(H::Attributes, 248),
    ];
    order(&handles, &all);
    // Handles of unknown types do not affect the order.
    let mut handles = file_handles();
    for index in [5, 4, 3, 2, 1, 0] {
        handles.insert(index, raw_handle(6, b""));
    }
    order(&handles, &[]);
    // Neither do unexpected handles and second handles of a type.
    let mut handles = file_handles();
    handles.insert(0, raw_handle(12, b""));
    handles.push(raw_handle(4, b""));
    let deviations = [
        broken_in(C::HandleUnexpected, H::ExtendedAttributes, 20),
        in_payload(C::HandleTwice, 376 + 24),
    ];
    file_with(&handles.concat(), &deviations);
}

#[test]
fn the_order_is_checked_for_every_kind_of_object() {
    let segment = ObjectName::block(block(5), ObjectType::Segment, Filehandle::ROOT);
    let indirect = ObjectName::block(block(5), ObjectType::Indirect, Filehandle::ROOT);
    let (dirents, data, indir) = (
        raw_handle(3, b""),
        raw_handle(2, &[0; 4]),
        raw_handle(7, &[0; 4]),
    );
    let check = |name: ObjectName, handles: &[Vec<u8>], wrong: &[HandleType]| {
        let bytes = handles.concat();
        let inspection = Object::inspect(&name, &bytes);
        assert!(inspection.object.is_ok());
        let wrong = wrong
            .iter()
            .map(|kind| (C::HandleOrder, Part::Handle(*kind)));
        let listed = inspection
            .deviations
            .iter()
            .map(|deviation| match deviation {
                FormatError::Corrupt { kind, place } => (*kind, place.part),
                other => panic!("{other}"),
            });
        assert!(listed.eq(wrong), "{:?}", inspection.deviations);
    };
    check(segment, &[data.clone(), data_back()], &[]);
    check(segment, &[data_back(), data.clone()], &[H::Data]);
    check(indirect, &[indir.clone(), data_back()], &[]);
    check(indirect, &[data_back(), indir], &[H::Indirect]);
    check(segment, &[dirents.clone(), data.clone(), data_back()], &[]);
    check(segment, &[data, dirents, data_back()], &[H::Dirents]);
    let mut inode = split(&payload(&directory()));
    check(name_of(&directory()), &inode, &[]);
    inode.swap(2, 3);
    check(name_of(&directory()), &inode, &[H::Name]);
}

#[test]
fn bytes_after_the_last_handle_are_a_deviation() {
    for (more, kind) in [
        (&b"x"[..], C::Truncated),
        (&[0; 8], C::HandleMagic),
        (&raw_handle(6, b"12345")[..16], C::Truncated),
        (&raw_handle(6, b"12345")[..24], C::Truncated),
    ] {
        let bytes = [&payload(&file()), more].concat();
        let damage = strict_error(&bytes);
        assert!(matches!(damage, FormatError::Corrupt { kind: k, .. } if k == kind));
        assert!((376..=376 + 20).contains(&damage.place().offset));
        assert_eq!(damage.place().part, Part::Payload);
        file_with(&bytes, &[damage]);
    }
}

#[test]
fn truncated_padding_is_a_deviation() {
    let mut bytes = payload(&file());
    assert_eq!(bytes.pop(), Some(0));
    let cut = in_payload(C::Truncated, 375);
    file_with(&bytes, &[cut]);
    assert_eq!(strict_error(&bytes), cut);
    bytes.pop();
    let inspection = Object::inspect(&name_of(&file()), &bytes);
    assert_eq!(inspection.object, Err(in_payload(C::Truncated, 364)));
}

#[test]
fn damage_before_a_required_handle_is_the_error() {
    let damage = |at| in_payload(C::HandleMagic, at);
    for at in [0, 128, 264, 312, 344] {
        let mut bytes = payload(&file());
        bytes[at as usize] = 6;
        // A deviation before the damage is listed in addition.
        let mut deviations = Vec::new();
        if at > 27 {
            bytes[16] = 1;
            deviations.push(in_payload(C::NotZero, 16));
        }
        let inspection = Object::inspect(&name_of(&file()), &bytes);
        assert_eq!(inspection.object, Err(damage(at)), "{at}");
        assert_eq!(inspection.deviations, deviations);
    }
    // A fifo requires only VATTR and BMAP. BACK and NAME after the damage are lost, and are not also
    // listed as missing.
    let mut fifo = file();
    fifo.attributes.object_type = ObjectType::Fifo.code();
    fifo.content = Content::None;
    let good = payload(&fifo);
    for (at, back) in [(264, &[][..]), (312, &[Filehandle::ROOT])] {
        let mut bytes = good.clone();
        bytes[at as usize] = 6;
        let inspection = Object::inspect(&name_of(&fifo), &bytes);
        let rest = Inode {
            back: Cow::Borrowed(back),
            name: Cow::Borrowed(b""),
            ..fifo.clone()
        };
        assert_eq!(inspection.object, Ok(Object::Inode(rest)));
        assert_eq!(inspection.deviations, [damage(at)]);
    }
    // The damage is listed even if the object has another error.
    let mut bytes = good;
    bytes[20] = 3;
    bytes[312] = 6;
    let inspection = Object::inspect(&name_of(&fifo), &bytes);
    let error = broken_in(C::FixedValue, H::Attributes, 20);
    assert_eq!(inspection.object, Err(error));
    assert_eq!(inspection.deviations, [damage(312)]);
}

#[test]
fn objects_without_a_decoder_are_split_into_handles() {
    let own = handle(FileType::Regular, 1001);
    let entity = |object_type| ObjectName::entity(own, object_type, Filehandle::ROOT);
    let tracker = ObjectName {
        id: ObjectId::WellKnown(WellKnownId::SpaceTracker),
        ..ObjectName::bucket()
    };
    let mut bytes = [
        raw_handle(14, b"space"),
        raw_handle(2, b"x"),
        raw_handle(2, b""),
    ]
    .concat();
    bytes[16] = 1;
    bytes.extend(b"more");
    for name in [
        entity(ObjectType::Tombstone),
        entity(ObjectType::Special),
        entity(ObjectType::HardLink),
        tracker,
    ] {
        let inspection = Object::inspect(&name, &bytes);
        assert!(matches!(
            inspection.object,
            Err(FormatError::Unsupported { .. })
        ));
        assert_eq!(Object::decode(&name, &bytes), inspection.object);
        let unknown = inspection.unknown.iter();
        let unknown: Vec<_> = unknown.map(|u| (u.code, u.offset, u.length)).collect();
        assert_eq!(unknown, [(14, 0, 5)]);
        let deviations = [
            in_payload(C::NotZero, 16),
            in_payload(C::HandleTwice, 56),
            in_payload(C::HandleMagic, 80),
        ];
        assert_eq!(inspection.deviations, deviations);
    }
}

#[test]
fn a_rule_broken_a_thousand_times_does_not_hide_others() {
    let mut handles = file_handles();
    handles[0][7 + 20] = 1;
    for _ in 0..1000 {
        handles.push(raw_handle(2, b""));
    }
    handles.push(raw_handle(12, b""));
    let bytes = handles.concat();
    let mut deviations = vec![broken_in(C::NotZero, H::Attributes, 27)];
    let twice = (0..4).map(|i| in_payload(C::HandleTwice, 376 + 24 * i));
    deviations.extend(twice);
    let last = 376 + 24 * 1000 + 20;
    deviations.push(broken_in(C::HandleUnexpected, H::ExtendedAttributes, last));
    file_with(&bytes, &deviations);
    // It does not hide the same rule in another structure either.
    let mut handles = file_handles();
    for handle in &mut handles {
        handle[16] = 1;
    }
    handles[0][7 + 20] = 1;
    let zero = |offset| in_payload(C::NotZero, offset);
    let attributes = broken_in(C::NotZero, H::Attributes, 27);
    let rest = [128, 264, 312].map(|start| zero(start + 16));
    let deviations = [&[zero(16), attributes][..], &rest].concat();
    file_with(&handles.concat(), &deviations);
}
