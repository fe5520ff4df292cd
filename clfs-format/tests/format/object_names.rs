//! Tests of object names, which come from a container's listing and are untrusted: each field is
//! broken once.

use clfs_format::*;

const ROOT: &str = "0000006457871C6B_00000000000000000000000000000064.0002.0000006457871C6B.00000000009.FFFFFFFF.0002";
const BUCKET: &str = "00000063_00000000000000000000000000000063.00000000009.FFFFFFFF.0001";

#[test]
fn root_and_bucket_have_fixed_names() {
    assert_eq!(ObjectName::root().to_string(), ROOT);
    assert_eq!(ObjectName::bucket().to_string(), BUCKET);
    assert_eq!(ObjectName::parse(ROOT), Ok(ObjectName::root()));
    assert_eq!(
        ObjectName::parse(BUCKET.as_bytes()),
        Ok(ObjectName::bucket())
    );
}

#[test]
fn large_versions_keep_their_digits() {
    for version in [0, 99_999_999_999, 100_000_000_000, u64::MAX] {
        let mut name = ObjectName::root();
        name.version = version;
        name.snapshot = 7;
        assert_eq!(ObjectName::parse(name.to_string()), Ok(name));
    }
}

#[test]
fn each_field_is_checked() {
    let cases = [
        (ROOT, ".0002.", ".2.", Corrupt::NameWidth),
        (ROOT, ".0002.", ".00002.", Corrupt::NameWidth),
        (ROOT, ".0002.", ".000x.", Corrupt::NameDigit),
        (ROOT, ".0002.", ".70000.", Corrupt::NameWidth),
        (ROOT, ".0002.", "..", Corrupt::NameWidth),
        (ROOT, "871C6B_", "871C6b_", Corrupt::NameDigit),
        (
            ROOT,
            "0000006457871C6B_",
            "0000006457871C6C_",
            Corrupt::NameHash,
        ),
        (ROOT, "0000006457871C6B_", "_", Corrupt::NameWidth),
        (ROOT, "_", "-", Corrupt::NameFields),
        (ROOT, "064.", "065.", Corrupt::NameHash),
        (ROOT, "064.", "64.", Corrupt::NameWidth),
        (ROOT, "064.", "0064.", Corrupt::NameWidth),
        (ROOT, "064.", "00064.", Corrupt::IdLength),
        (
            ROOT,
            "0000000064.",
            "00000000640000000000000000.",
            Corrupt::LongRoot,
        ),
        (
            ROOT,
            "00000000000000000000000000000064",
            "00000000000000000000000000000000",
            Corrupt::NullId,
        ),
        (
            ROOT,
            "_0000000000000000000000000000",
            "_",
            Corrupt::IdLength,
        ),
        (ROOT, "6B.00000000009", "6B.0000000009", Corrupt::NameWidth),
        (
            ROOT,
            "6B.00000000009",
            "6B.000000000009",
            Corrupt::NameWidth,
        ),
        (
            ROOT,
            "6B.00000000009",
            "6B.99999999999999999999",
            Corrupt::NameWidth,
        ),
        (ROOT, "6B.00000000009", "6B.-0000000009", Corrupt::NameDigit),
        (ROOT, ".FFFFFFFF.", ".FFFFFFF.", Corrupt::NameWidth),
        (ROOT, ".FFFFFFFF.", ".0FFFFFFFF.", Corrupt::NameWidth),
        (ROOT, ".FFFFFFFF.", ".FFFFFFFG.", Corrupt::NameDigit),
        (ROOT, "FF.0002", "FF.0001", Corrupt::NameVersion),
        (ROOT, "FF.0002", "FF.0002.", Corrupt::NameFields),
        (ROOT, "FF.0002", "FF", Corrupt::NameFields),
        (BUCKET, "FF.0001", "FF.0002", Corrupt::NameVersion),
        (BUCKET, "FF.0001", "FF.0001.0001", Corrupt::NameFields),
        (BUCKET, "00000063_", "00000064_", Corrupt::NameHash),
        (BUCKET, "00000063_", "000000063_", Corrupt::NameWidth),
        (BUCKET, "", "output.txt", Corrupt::NameFields),
    ];
    for (good, from, to, kind) in cases {
        assert!(good.contains(from), "{from}");
        let bad = if from.is_empty() {
            to.to_owned()
        } else {
            good.replacen(from, to, 1)
        };
        match ObjectName::parse(&bad).unwrap_err() {
            FormatError::Corrupt { kind: seen, place } => {
                assert_eq!(seen, kind, "{bad}");
                assert_eq!(place.part, Part::ObjectName);
                assert!(place.offset <= bad.len() as u64);
            }
            other => panic!("{bad}: {other}"),
        }
    }
    let unknown = ROOT.replacen(".0002.", ".0013.", 1);
    let text = "not supported: object type 13, in the object name at byte 50 (format.md §4)";
    assert_eq!(ObjectName::parse(unknown).unwrap_err().to_string(), text);
}

#[test]
fn an_id_has_one_kind_of_name() {
    // The bucket with a V2 name and the root with a V1 name, both with correct hashes.
    let bucket = ObjectId::WellKnown(WellKnownId::Bucket);
    let tail = ".0011.0000006457871C6B.00000000009.FFFFFFFF.0002";
    let v2 = format!("{:016X}_{bucket}{tail}", bucket.hash64());
    let v1 = "00000064_00000000000000000000000000000064.00000000009.FFFFFFFF.0001";
    for name in [v2.as_str(), v1] {
        let error = ObjectName::parse(name).unwrap_err();
        let kind = Corrupt::NameVersion;
        assert!(
            matches!(error, FormatError::Corrupt { kind: k, .. } if k == kind),
            "{error}"
        );
    }
}
