//! Containers and trees in `fixtures/golden`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::tree::SourceNode;

/// Opens a file in `fixtures/golden`.
fn golden(name: &str) -> File {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    File::open(folder.join(name)).unwrap()
}

/// Returns the blobs of a container.
pub fn container(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut blobs = Vec::new();
    let mut archive = tar::Archive::new(GzDecoder::new(golden(name)));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().unwrap().into_owned();
        let blob = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        blobs.push((blob, content));
    }
    blobs
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Returns the tree that was loaded. Its change times are in seconds, without a fraction.
pub fn tree(name: &str) -> BTreeMap<Vec<u8>, SourceNode> {
    let mut text = String::new();
    let mut file = golden(name);
    if name.ends_with(".gz") {
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    let nodes: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let number = |node: &serde_json::Value, key: &str| node[key].as_u64().unwrap_or(0);
    let bytes = |node: &serde_json::Value, key: &str| node[key].as_str().map(unhex);
    nodes
        .iter()
        .map(|node| {
            let from = SourceNode {
                mode: number(node, "mode") as u32,
                uid: number(node, "uid") as u32,
                gid: number(node, "gid") as u32,
                size: number(node, "size"),
                sha256: bytes(node, "sha256").map(|hash| hash.try_into().unwrap()),
                target: bytes(node, "target_hex"),
                major: number(node, "major") as u32,
                minor: number(node, "minor") as u32,
                nlink: number(node, "nlink"),
                dev: 0,
                ino: number(node, "ino"),
                mtime: (
                    number(node, "mtime_s") as i64,
                    number(node, "mtime_ns") as u32,
                ),
                ctime: (number(node, "ctime_s") as i64, 0),
            };
            (bytes(node, "path_hex").unwrap(), from)
        })
        .collect()
}
