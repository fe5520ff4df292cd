#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn page(blobs: &str, marker: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a.blob.core.windows.net/\" \
         ContainerName=\"c\"><Prefix>p</Prefix><MaxResults>7</MaxResults><Blobs>{blobs}</Blobs>{marker}</EnumerationResults>"
    )
}

fn blob(name: &str) -> String {
    format!(
        "<Blob>{name}<Properties><Creation-Time>Thu, 01 Jul 2021 10:44:59 GMT</Creation-Time><Etag>0x8D</Etag>\
         <Content-Length>8</Content-Length><Content-Type>text/plain</Content-Type><Content-Encoding />\
         <ServerEncrypted>true</ServerEncrypted></Properties><Metadata><Name>other</Name>\
         <Content-Length>99</Content-Length></Metadata><OrMetadata /></Blob>"
    )
}

fn read(xml: &str) -> Result<ListPage, InvalidListing> {
    read_page(xml.as_bytes())
}

fn name(element: &str) -> String {
    let page = read(&page(&blob(element), "<NextMarker />")).unwrap();
    assert_eq!((page.blobs.len(), page.next), (1, None));
    assert_eq!(page.blobs[0].size, 8);
    page.blobs[0].name.clone()
}

#[test]
fn names_are_kept_unchanged() {
    let cases = [
        ("<Name>plain-1.txt</Name>", "plain-1.txt"),
        (
            "<Name>a &amp; b &lt;c&gt; &quot;d&quot; &apos;</Name>",
            "a & b <c> \"d\" '",
        ),
        ("<Name> in   spaces </Name>", " in   spaces "),
        ("<Name>&#228;&#xE4;ä/\u{1F600}</Name>", "äää/\u{1F600}"),
        ("<Name><![CDATA[<a&amp;>]]></Name>", "<a&amp;>"),
        ("<Name>100%25</Name>", "100%25"),
        ("<Name Encoded=\"false\">100%25</Name>", "100%25"),
        (
            "<Name Encoded=\"true\">a%EF%BF%BEb%20c</Name>",
            "a\u{FFFE}b c",
        ),
        // A name that cannot be decoded is kept.
        ("<Name Encoded=\"true\">a%FFb</Name>", "a%FFb"),
        ("<Name Encoded=\"true\">a%2</Name>", "a%2"),
        ("<Name/>", ""),
    ];
    for (element, expected) in cases {
        assert_eq!(name(element), expected, "{element}");
    }
}

/// The version is the ETag, or otherwise size and time of the last change. Without these there is no stamp.
#[test]
fn versions_have_different_stamps() {
    let stamp = |properties: &str| {
        let blob = format!(
            "<Blob><Name>n</Name><Properties><Content-Length>8</Content-Length>{properties}</Properties></Blob>"
        );
        read(&page(&blob, "")).unwrap().blobs[0].stamp
    };
    let all = [
        "<Etag>0x8D</Etag>",
        "<Etag>0x8E</Etag>",
        "<Last-Modified>Thu, 01 Jul 2021 10:44:59 GMT</Last-Modified>",
        "<Last-Modified>Thu, 01 Jul 2021 10:45:00 GMT</Last-Modified>",
    ];
    let stamps = all.map(stamp);
    for (number, one) in stamps.iter().enumerate() {
        assert!(one.is_some() && !stamps[..number].contains(one), "{number}");
    }
    assert_eq!(stamp(""), None);
    let both = [all[2], all[0]].concat();
    assert_eq!(stamp(&both), stamps[0]);
}

#[test]
fn pages_follow_each_other() {
    let blobs = blob("<Name>a</Name>")
        + "<BlobPrefix><Name>b/</Name></BlobPrefix>\n"
        + &blob("<Name>c</Name>");
    let page = read(&page(&blobs, "<NextMarker>2!96!MDA&amp;wM-</NextMarker>")).unwrap();
    let names: Vec<&str> = page.blobs.iter().map(|blob| blob.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(page.next, Some(ListMarker(b"2!96!MDA&wM-".to_vec())));
}

#[test]
fn an_empty_container_has_an_empty_page() {
    for (blobs, marker) in [
        ("", "<NextMarker />"),
        ("", "<NextMarker></NextMarker>"),
        ("\n", ""),
    ] {
        let page = read(&page(blobs, marker)).unwrap();
        assert_eq!((page.blobs.len(), page.next), (0, None));
    }
    let short = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
    assert!(read(short).unwrap().blobs.is_empty());
}

#[test]
fn truncated_listings_are_rejected() {
    let complete = page(&blob("<Name>a&amp;b</Name>"), "<NextMarker>m</NextMarker>");
    for cut in 0..complete.len() {
        if let Some(part) = complete.get(..cut) {
            assert!(read(part).is_err(), "{part}");
        }
    }
    read(&complete).unwrap();
}

#[test]
fn other_texts_are_rejected() {
    for text in [
        "",
        "hello",
        "<html><body>Sign in</body></html>",
        "<Blobs></Blobs>",
        "<EnumerationResults><Blobs></EnumerationResults></Blobs>",
        "<Error><Code>x</Code></Error><EnumerationResults><Blobs/></EnumerationResults>",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read_page(b"<EnumerationResults>\xFF</EnumerationResults>").is_err());
    let deep = "<a>".repeat(100_000);
    let result = read(&page(&deep, ""));
    assert!(matches!(result, Err(InvalidListing::TooDeep)), "{result:?}");
}

#[test]
fn a_blob_needs_a_name_and_a_size() {
    let result = read(&page(&blob(""), ""));
    assert!(matches!(result, Err(InvalidListing::NoName)), "{result:?}");
    for size in ["", "-1", "x", "99999999999999999999"] {
        let blob = blob("<Name>a</Name>").replace(">8<", &format!(">{size}<"));
        let result = read(&page(&blob, ""));
        assert!(matches!(result, Err(InvalidListing::NoSize)), "{result:?}");
    }
    // The size of one blob is not used for the next.
    let blobs = blob("<Name>a</Name>") + "<Blob><Name>b</Name></Blob>";
    let result = read(&page(&blobs, ""));
    assert!(matches!(result, Err(InvalidListing::NoSize)), "{result:?}");
}

#[test]
fn entities_are_not_expanded() {
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY big \"{}\">]>{}",
        "x".repeat(1000),
        page(&blob("<Name>&big;</Name>"), "").trim_start_matches('\u{feff}')
    );
    let result = read(&bomb);
    assert!(
        matches!(result, Err(InvalidListing::Character)),
        "{result:?}"
    );
}

#[test]
fn tiers_determine_availability() {
    use crate::container::Availability::{Archived, Online, Rehydrating};
    let cases = [
        ("", Online),
        ("<AccessTier>Hot</AccessTier>", Online),
        (
            "<AccessTier>Cold</AccessTier><AccessTierInferred>true</AccessTierInferred>",
            Online,
        ),
        ("<AccessTier>Archive</AccessTier>", Archived),
        (
            "<AccessTier>Archive</AccessTier><ArchiveStatus />",
            Archived,
        ),
        (
            "<AccessTier>Archive</AccessTier><ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus>",
            Rehydrating,
        ),
    ];
    let blobs: String = cases
        .iter()
        .map(|(tier, _)| {
            format!("<Blob><Name>n</Name><Properties><Content-Length>1</Content-Length>{tier}</Properties></Blob>")
        })
        .collect();
    // Blobs after an archived one are not archived.
    let blobs = format!("{blobs}{}", blob("<Name>last</Name>"));
    let read = read(&page(&blobs, "<NextMarker />")).unwrap();
    let found: Vec<_> = read.blobs.iter().map(|blob| blob.availability).collect();
    let mut expected: Vec<_> = cases.iter().map(|(_, expected)| *expected).collect();
    expected.push(Online);
    assert_eq!(found, expected);
}
