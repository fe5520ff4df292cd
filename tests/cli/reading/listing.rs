//! ls, stat and du compared with the `lstat` data of the source.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::golden::{ALL, Golden, LARGE, PLAIN, bytes, split, tree};

fn number(node: &Value, field: &str) -> u64 {
    node[field].as_u64().unwrap_or(0)
}

fn type_name(node: &Value) -> &str {
    match node["type"].as_str().unwrap() {
        "dir" => "directory",
        "char" => "character",
        same => same,
    }
}

/// Directories keep their number of links in either case.
fn links(node: &Value, preserved: bool) -> u64 {
    match preserved || node["type"] == "dir" {
        true => number(node, "nlink"),
        false => 1,
    }
}

fn seconds(time: &Value) -> u64 {
    let time = humantime::parse_rfc3339(time.as_str().unwrap()).unwrap();
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// Compares all fields of a record with the source.
fn assert_same(record: &Value, node: &Value, preserved: bool) {
    let path = &record["path"];
    assert_eq!(record["type"], type_name(node), "{path}");
    let mode = u64::from_str_radix(record["mode"].as_str().unwrap(), 8).unwrap();
    assert_eq!(mode, number(node, "mode") & 0o7777, "{path}");
    assert_eq!(number(record, "nlink"), links(node, preserved), "{path}");
    for (field, of_source) in [("uid", "uid"), ("gid", "gid"), ("inode", "ino")] {
        assert_eq!(
            number(record, field),
            number(node, of_source),
            "{path} {field}"
        );
    }
    for (field, of_source) in [("major", "major"), ("minor", "minor")] {
        assert_eq!(record.get(field), node.get(of_source), "{path} {field}");
    }
    assert_eq!(seconds(&record["mtime"]), number(node, "mtime_s"), "{path}");
    // The loader read the root's change time later.
    if record["path"] != "/" {
        assert_eq!(seconds(&record["ctime"]), number(node, "ctime_s"), "{path}");
    }
    if node["type"] == "file" {
        assert_eq!(number(record, "size"), number(node, "size"), "{path}");
    }
    match node.get("target_hex") {
        Some(target) => {
            let target = super::golden::unhex(target.as_str().unwrap());
            assert_eq!(bytes(record, "target"), target);
            assert_eq!(number(record, "size"), target.len() as u64);
        }
        None => assert!(record.get("target").is_none(), "{path}"),
    }
}

#[test]
fn ls_l_r_as_json_equals_the_tree() {
    for (archive, name, preserved) in ALL {
        let tree = tree(name);
        let golden = Golden::unpack(archive);
        let mut seen = HashSet::new();
        for record in golden.records("ls", &["-lR"]) {
            let path = bytes(&record, "path");
            assert_same(&record, &tree[&path], preserved);
            assert!(seen.insert(path));
        }
        // All but the root.
        assert_eq!(seen.len(), tree.len() - 1, "{archive}");
    }
}

#[test]
fn stat_of_every_path_equals_the_tree() {
    let (archive, name, preserved) = ALL[2];
    let tree = tree(name);
    let golden = Golden::unpack(archive);
    // Arguments are bytes.
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut command = crate::support::command::clfsload();
    command.args(["stat", "--json"]).arg(golden.path());
    command.args(tree.keys().map(|path| OsStr::from_bytes(path)));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let records = super::golden::records(&output.stdout);
    assert_eq!(records.len(), tree.len());
    for (record, (path, node)) in records.iter().zip(&tree) {
        assert_eq!(bytes(record, "path"), *path);
        assert_same(record, node, preserved);
        let back = record["back"].as_array().unwrap().len() as u64;
        let named = if node["type"] == "dir" {
            0
        } else {
            number(node, "nlink")
        };
        assert_eq!(back, named, "{record}");
        assert_eq!(record["unusual"], serde_json::json!([]));
        let mode = u64::from_str_radix(record["st_mode"].as_str().unwrap(), 8).unwrap();
        assert_eq!(mode, number(node, "mode"));
        assert!(
            golden
                .path()
                .join(record["blob"].as_str().unwrap())
                .exists()
        );
    }
    let root = &records[0];
    assert_eq!(root["extended"]["containeridEpoch"], "2");
}

#[test]
fn stat_prints_readable_text() {
    let golden = Golden::unpack(ALL[2].0);
    let text = String::from_utf8(golden.output("stat", &["/hello.txt", "/blk-7-300"])).unwrap();
    for line in [
        "      path: /hello.txt",
        "      mode: 0711 -rwx--x--x (st_mode 100711)",
        "     owner: uid 1234, gid 5678",
        "      size: 11",
        "  modified: 2014-05-13T16:53:47.000000000Z",
        "    device: major 7, minor 300",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?}: {text}");
    }
    // A newline in a name does not start a new line.
    let text = String::from_utf8(golden.output("stat", &["/new\nline"])).unwrap();
    assert!(text.contains("path: '/new'$'\\n''line'\n"), "{text}");
}

fn letters(mode: u64) -> String {
    let letter = |at: u64| match mode >> (8 - at) & 1 {
        0 => '-',
        _ => ['r', 'w', 'x'][at as usize % 3],
    };
    (0..9).map(letter).collect()
}

#[test]
fn ls_l_prints_readable_text() {
    for (archive, name, preserved) in ALL {
        let golden = Golden::unpack(archive);
        let tree = tree(name);
        let mut directories: BTreeMap<&[u8], Vec<(&[u8], &Value)>> = BTreeMap::new();
        for (path, node) in tree.iter().skip(1) {
            let (directory, name) = split(path);
            directories.entry(directory).or_default().push((name, node));
        }
        for (directory, mut nodes) in directories {
            nodes.sort_by_key(|(name, _)| *name);
            let directory = std::str::from_utf8(directory).unwrap();
            let output = golden.output("ls", &["-l0", directory]);
            let lines: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
            assert_eq!(lines.len(), nodes.len() + 1);
            for (line, (name, node)) in lines.iter().zip(nodes) {
                let shown = String::from_utf8_lossy(line);
                let mut columns = shown.split_ascii_whitespace();
                let mut next = || columns.next().unwrap().to_owned();
                let letter = match type_name(node) {
                    "file" => '-',
                    "fifo" => 'p',
                    "symlink" => 'l',
                    other => other.chars().next().unwrap(),
                };
                assert_eq!(next(), format!("{letter}{}", letters(number(node, "mode"))));
                assert_eq!(next(), links(node, preserved).to_string());
                assert_eq!(next(), node["uid"].to_string());
                assert_eq!(next(), node["gid"].to_string());
                match type_name(node) {
                    "block" | "character" => {
                        assert_eq!(next(), format!("{},", node["major"]));
                        assert_eq!(next(), node["minor"].to_string());
                    }
                    "file" => assert_eq!(next(), node["size"].to_string()),
                    _ => drop(next()),
                }
                let time = next();
                assert_eq!(time.len(), "2014-05-13T16:53:20Z".len());
                assert_eq!(seconds(&time.into()), number(node, "mtime_s"));
                let mut end = name.to_vec();
                if let Some(target) = node.get("target_hex") {
                    end.extend(b" -> ");
                    end.extend(super::golden::unhex(target.as_str().unwrap()));
                }
                end.insert(0, b' ');
                assert!(line.ends_with(&end), "{shown}");
            }
        }
    }
}

#[test]
fn ls_r_has_headings() {
    let golden = Golden::unpack(PLAIN);
    let text = golden.output(
        "ls",
        &["-RF", "/deep0/deep1/deep2/deep3", "/links", "/hello.txt"],
    );
    // Without inodes, executable files are unknown, but the inode of a PATH is read.
    let expected = "/hello.txt*\n\n\
                    /deep0/deep1/deep2/deep3:\ndeep4/\n\n/deep0/deep1/deep2/deep3/deep4:\nleaf\n\n\
                    /links:\na/\nb/\nsym1@\nsym2@\n\n/links/a:\none\ntwo\n\n/links/b:\nthree\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    assert_eq!(golden.output("ls", &["-d", "/", "/links"]), b"/\n/links\n");
    assert_eq!(golden.output("ls", &["/empty-dir"]), b"");
    assert_eq!(
        golden.output("ls", &["-pd", "/", "/links", "/fifo"]),
        b"/\n/links/\n/fifo\n"
    );
    assert_eq!(
        golden.output("ls", &["-F0", "/links"]),
        b"a/\0b/\0sym1@\0sym2@\0"
    );
}

#[test]
fn a_directory_of_several_segments_is_listed_completely() {
    let golden = Golden::unpack(LARGE);
    let tree = tree("tree-large.json.gz");
    let names: Vec<&[u8]> = tree
        .keys()
        .map(|path| split(path))
        .filter(|(directory, _)| *directory == b"/wide")
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names.len(), 2500);
    let lines = |arguments: &[&str]| {
        let output = golden.output("ls", arguments);
        let mut names: Vec<Vec<u8>> = output
            .split(|byte| *byte == 0)
            .map(<[u8]>::to_vec)
            .collect();
        names.pop();
        names
    };
    assert_eq!(lines(&["-0", "/wide"]), names);
    let mut stored = lines(&["-0U", "/wide"]);
    stored.sort();
    assert_eq!(stored, names);
    assert_eq!(golden.records("ls", &["-l", "/wide"]).len(), 2500);
}

/// Returns the expected output of du: bytes and entries below each directory.
fn usage(tree: &BTreeMap<Vec<u8>, Value>, preserved: bool) -> BTreeMap<Vec<u8>, (u64, u64)> {
    let below = |directory: &[u8], path: &[u8]| {
        path != directory && (directory == b"/" || path.starts_with(&[directory, b"/"].concat()))
    };
    let directories = tree.iter().filter(|(_, node)| node["type"] == "dir");
    let sum = |directory: &[u8]| {
        let (mut bytes, mut entries) = (0, 0);
        let mut counted = HashSet::new();
        for (_, node) in tree.iter().filter(|(path, _)| below(directory, path)) {
            entries += 1;
            if preserved && node["type"] != "dir" && !counted.insert(number(node, "ino")) {
                continue;
            }
            bytes += number(node, "size");
            bytes += node["target_hex"]
                .as_str()
                .map_or(0, |hex| hex.len() as u64 / 2);
        }
        (bytes, entries)
    };
    directories
        .map(|(path, _)| (path.clone(), sum(path)))
        .collect()
}

#[test]
fn du_sums_equal_the_tree() {
    for (archive, name, preserved) in ALL {
        let golden = Golden::unpack(archive);
        let expected = usage(&tree(name), preserved);
        let records = golden.records("du", &[]);
        assert_eq!(records.len(), expected.len());
        for record in &records {
            let path = bytes(record, "path");
            let found = (number(record, "bytes"), number(record, "entries"));
            // A file with names in several directories counts only in the first of them.
            let shared = preserved && path.starts_with(b"/links/");
            assert!(shared || found == expected[&path], "{record} {expected:?}");
        }
        let (bytes, entries) = expected[&b"/"[..]];
        let line = format!("{bytes}\t{entries}\t/\n");
        assert_eq!(golden.output("du", &["-s"]), line.as_bytes());
        assert_eq!(golden.output("du", &["-d", "0", "/"]), line.as_bytes());
        // Each directory by itself counts all of its files.
        for (path, (bytes, entries)) in &expected {
            let path = std::str::from_utf8(path).unwrap();
            let line = format!("{bytes}\t{entries}\t{path}\n");
            assert_eq!(golden.output("du", &["-s", path]), line.as_bytes());
        }
    }
}

#[test]
fn du_applies_depth_and_units() {
    let golden = Golden::unpack(ALL[2].0);
    let lines = |arguments: &[&str]| String::from_utf8(golden.output("du", arguments)).unwrap();
    let paths = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.rsplit('\t').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        paths(&lines(&["-d", "1"])),
        ["/deep0", "/empty-dir", "/links", "/"]
    );
    assert_eq!(lines(&["/hello.txt"]), "11\t0\t/hello.txt\n");
    assert_eq!(lines(&["-hs", "/links"]), "5.9K\t7\t/links\n");
    // Files counted for one PATH do not count for the next.
    assert_eq!(
        lines(&["/links/a", "/links/b"]),
        "6000\t2\t/links/a\n0\t1\t/links/b\n"
    );
}
