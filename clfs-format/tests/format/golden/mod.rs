//! Reads the golden data in `fixtures/golden`, which its README describes.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clfs_format::{BlockId, Filehandle};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const CONTAINERS: [(&str, &str); 4] = [
    ("container-plain.tar.gz", "tree-small.json"),
    ("container-lz4-nolinks.tar.gz", "tree-small.json"),
    ("container-lz4-hardlinks.tar.gz", "tree-small.json"),
    ("container-lz4-large.tar.gz", "tree-large.json.gz"),
];

fn open(file: &str) -> Box<dyn Read> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden");
    let raw = File::open(path.join(file)).unwrap();
    if file.ends_with(".gz") {
        Box::new(GzDecoder::new(raw))
    } else {
        Box::new(raw)
    }
}

pub fn json(file: &str) -> Value {
    let mut text = String::new();
    open(file).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the blobs of a container by name.
pub fn container(file: &str) -> BTreeMap<String, Vec<u8>> {
    let mut blobs = BTreeMap::new();
    for entry in tar::Archive::new(open(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let path = entry.path().unwrap().into_owned();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut blob = Vec::new();
            entry.read_to_end(&mut blob).unwrap();
            blobs.insert(name, blob);
        }
    }
    assert!(blobs.len() > 30, "{file} contains {} blobs", blobs.len());
    blobs
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    let digit = |d: u8| u8::try_from((d as char).to_digit(16).unwrap()).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key}"))
}

pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}"))
}

pub fn number32(value: &Value, key: &str) -> u32 {
    number(value, key).try_into().unwrap()
}

pub fn bytes(value: &Value, key: &str) -> Vec<u8> {
    unhex(text(value, key))
}

pub fn handle(value: &Value) -> Filehandle {
    Filehandle::from_bytes(&unhex(value.as_str().unwrap())).unwrap()
}

pub fn block_id(value: &Value) -> BlockId {
    BlockId(unhex(value.as_str().unwrap()).try_into().unwrap())
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key}"))
}
