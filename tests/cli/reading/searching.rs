//! find compared with the `lstat` data of the source.

use std::collections::BTreeSet;

use serde_json::Value;

use super::golden::{ALL, Golden, LARGE, tree};

fn found(golden: &Golden, arguments: &[&str]) -> BTreeSet<Vec<u8>> {
    let mut all = vec!["-0"];
    all.extend(arguments);
    let output = golden.output("find", &all);
    let mut paths: Vec<Vec<u8>> = output
        .split(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(paths.pop(), Some(Vec::new()));
    let count = paths.len();
    let paths: BTreeSet<Vec<u8>> = paths.into_iter().collect();
    assert_eq!(paths.len(), count);
    paths
}

#[test]
fn filters_select_the_matching_entries() {
    type Test = fn(&[u8], &Value) -> bool;
    let golden = Golden::unpack(LARGE);
    let tree = tree("tree-large.json.gz");
    let cases: [(&[&str], Test); 16] = [
        (&[], |_, _| true),
        (&["--type", "f"], |_, node| node["type"] == "file"),
        (&["--type", "d,l"], |_, node| {
            node["type"] == "dir" || node["type"] == "symlink"
        }),
        (&["--type", "b,c,s,p"], |_, node| {
            ["block", "char", "socket", "fifo"].contains(&node["type"].as_str().unwrap())
        }),
        (&["--name", "*.txt"], |path, _| path.ends_with(b".txt")),
        (&["--name", "*\u{fc}*"], |path, _| {
            path == "/unicode-\u{fc}\u{6f22}".as_bytes()
        }),
        (&["--name", "not-utf8-??"], |path, _| {
            path == b"/not-utf8-\xff\xfe"
        }),
        (&["--name", "new*"], |path, _| path == b"/new\nline"),
        (&["--name", "/links/**"], |path, _| {
            path.starts_with(b"/links/")
        }),
        (&["--name", "/links/*", "--name", "fifo"], |path, _| {
            path == b"/fifo" || path.starts_with(b"/links/") && !path[7..].contains(&b'/')
        }),
        (&["--type", "f", "--size", "+9M"], |_, node| {
            node["size"].as_u64() > Some(9 << 20)
        }),
        (&["--type", "f", "--size", "16K"], |_, node| {
            node["size"].as_u64() == Some(16384)
        }),
        (&["--type", "f", "--size", "-2"], |_, node| {
            node["type"] == "file" && node["size"].as_u64() < Some(2)
        }),
        (&["--uid", "1234", "--gid", "5678"], |_, node| {
            node["uid"] == 1234
        }),
        (&["--links", "+1", "--type", "f"], |_, node| {
            node["type"] == "file" && node["nlink"].as_u64() > Some(1)
        }),
        (
            &[
                "--newer-than",
                "2014-05-13T16:54:00Z",
                "--older-than",
                "2014-05-13 16:54:30",
            ],
            |_, node| (1_400_000_041..1_400_000_070).contains(&node["mtime_s"].as_u64().unwrap()),
        ),
    ];
    for (arguments, test) in cases {
        let expected: BTreeSet<Vec<u8>> = tree
            .iter()
            .filter(|(path, node)| test(path, node))
            .map(|(path, _)| path.clone())
            .collect();
        assert!(!expected.is_empty(), "{arguments:?}");
        assert_eq!(found(&golden, arguments), expected, "{arguments:?}");
    }
}

#[test]
fn start_paths_and_depth_limits_are_applied() {
    let golden = Golden::unpack(ALL[0].0);
    let paths = |arguments: &[&str]| -> Vec<String> {
        let found = found(&golden, arguments);
        found
            .into_iter()
            .map(|path| String::from_utf8(path).unwrap())
            .collect()
    };
    assert_eq!(
        paths(&["/links", "--max-depth", "1"]),
        [
            "/links",
            "/links/a",
            "/links/b",
            "/links/sym1",
            "/links/sym2"
        ]
    );
    assert_eq!(paths(&["/links", "--max-depth", "0"]), ["/links"]);
    assert_eq!(
        paths(&["/hello.txt", "/links/a"]),
        ["/hello.txt", "/links/a", "/links/a/one", "/links/a/two"]
    );
}

#[test]
fn long_lines_and_records_are_printed() {
    let golden = Golden::unpack(ALL[0].0);
    let line = golden.output("find", &["-l", "--name", "hello*"]);
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "-rwx--x--x   1  1234  5678           11 2014-05-13T16:53:47Z /hello.txt\n"
    );
    let records = golden.records("find", &["--type", "l", "--name", "symlink", "-l"]);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["target"], "hello.txt");
    // Fields that were not requested are not read.
    let records = golden.records("find", &["--size", "11"]);
    assert_eq!(records.len(), 1);
    assert!(records[0].get("size").is_none());
}
