//! The golden containers in folders, and their trees.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::clfsload;

pub(crate) const PLAIN: &str = "container-plain.tar.gz";
pub(crate) const LARGE: &str = "container-lz4-large.tar.gz";
/// The containers, their trees, and whether links were preserved.
pub(crate) const ALL: [(&str, &str, bool); 4] = [
    (PLAIN, "tree-small.json", false),
    ("container-lz4-nolinks.tar.gz", "tree-small.json", false),
    ("container-lz4-hardlinks.tar.gz", "tree-small.json", true),
    (LARGE, "tree-large.json.gz", true),
];

fn file(name: &str) -> File {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    File::open(folder.join(name)).unwrap()
}

/// A container in a temporary folder.
pub(crate) struct Golden(TempDir);

impl Golden {
    pub(crate) fn unpack(archive: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = tar::Archive::new(GzDecoder::new(file(archive)));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.header().entry_type().is_file() {
                let path = entry.path().unwrap().into_owned();
                let name = path.file_name().unwrap();
                entry.unpack(folder.path().join(name)).unwrap();
            }
        }
        Golden(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command on it.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let mut run = clfsload();
        run.arg(command).arg(self.path()).args(arguments);
        run.output().unwrap()
    }

    /// Returns the standard output of a command that must succeed without messages.
    pub(crate) fn output(&self, command: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(command, arguments);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        output.stdout
    }

    /// Returns the JSON lines of a command.
    pub(crate) fn records(&self, command: &str, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        records(&self.output(command, &all))
    }

    /// Returns the path of the blob with the inode at `path`.
    pub(crate) fn blob(&self, path: &str) -> PathBuf {
        let records = self.records("stat", &[path]);
        self.path().join(records[0]["blob"].as_str().unwrap())
    }

    /// Returns the blobs of the segments of the file at `path`. Their names contain the hash of their owner.
    pub(crate) fn segments(&self, path: &str) -> Vec<PathBuf> {
        let inode = self.blob(path);
        let hash = inode.file_name().unwrap().to_str().unwrap()[..16].to_owned();
        let mut segments: Vec<PathBuf> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|item| item.unwrap().path())
            .filter(|blob| {
                let name = blob.file_name().unwrap().to_str().unwrap();
                name.contains(&format!(".0008.{hash}."))
            })
            .collect();
        segments.sort();
        segments
    }
}

pub(crate) fn records(output: &[u8]) -> Vec<Value> {
    let lines = output.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Returns the bytes of a field of a record, which are in hex if they are not valid text.
pub(crate) fn bytes(record: &Value, field: &str) -> Vec<u8> {
    match record.get(format!("{field}_hex")) {
        Some(hex) => unhex(hex.as_str().unwrap()),
        None => record[field].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Returns the `lstat` data of the source, by path as the commands print it.
pub(crate) fn tree(name: &str) -> BTreeMap<Vec<u8>, Value> {
    let mut text = String::new();
    match name.ends_with(".gz") {
        true => GzDecoder::new(file(name))
            .read_to_string(&mut text)
            .unwrap(),
        false => file(name).read_to_string(&mut text).unwrap(),
    };
    let nodes: Vec<Value> = serde_json::from_str(&text).unwrap();
    let path = |node: &Value| {
        let path = unhex(node["path_hex"].as_str().unwrap());
        [b"/", &path[..]].concat()
    };
    nodes.into_iter().map(|node| (path(&node), node)).collect()
}

/// Returns the directory of a path, and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap();
    (&path[..slash.max(1)], &path[slash + 1..])
}
