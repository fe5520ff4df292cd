//! Runs the command as a user does, and looks at what it leaves behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The seed of tests that compare containers.
pub const SEED: &str = "00112233445566778899aabbccddeeff";

/// What a run of the command said.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            // A process that a signal ended has no status.
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Asserts the exit status, showing what was said if it is another.
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Asserts the exit status and that standard error says `what`.
    pub fn refused(self, status: i32, what: &str) -> Self {
        let ran = self.expect(status);
        assert!(ran.stderr.contains(what), "no {what:?} in {}", ran.stderr);
        ran
    }
}

/// The command, without a token or a proxy in its environment. What it keeps for its user it keeps among the
/// files of the build.
pub fn clfsload() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clfsload"));
    command.env_remove("AZURE_STORAGE_SAS_TOKEN");
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");
    command.env("XDG_CACHE_HOME", cache);
    command
}

/// Runs the command with words.
pub fn run<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Ran {
    Ran::from(clfsload().args(words).output().unwrap())
}

/// A place for a source, a state and a folder container.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        Scratch {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// One on a file system without a disk, if there is one: a kill takes nothing from it, and a
    /// flush costs nothing.
    pub fn in_memory() -> Self {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => Scratch { folder },
            Err(_) => Scratch::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The source folder, made if it is not there.
    pub fn source(&self) -> PathBuf {
        let source = self.path("source");
        std::fs::create_dir_all(&source).unwrap();
        source
    }

    /// The words of a load into the folder container `container`.
    pub fn words(&self, state: &str, container: &str) -> Vec<String> {
        // The folder of a container is made, but not the one that it lies in.
        std::fs::create_dir_all(self.path("containers")).unwrap();
        vec![
            self.path(state).display().to_string(),
            self.source().display().to_string(),
            format!("file://{}", self.path("containers").display()),
            container.to_owned(),
        ]
    }

    /// Loads the source into the folder container of the same name as the state.
    pub fn load(&self, name: &str, options: &[&str]) -> Ran {
        let mut words = self.words(name, name);
        words.push("--new".to_owned());
        words.extend(options.iter().map(|option| (*option).to_owned()));
        run(words)
    }

    /// Goes on with it.
    pub fn resume(&self, name: &str, options: &[&str]) -> Ran {
        let mut words = self.words(name, name);
        words.extend(options.iter().map(|option| (*option).to_owned()));
        run(words)
    }

    pub fn container(&self, name: &str) -> PathBuf {
        self.path("containers").join(name)
    }
}

/// All blobs of a folder container.
pub fn blobs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|item| {
            let item = item.unwrap();
            let name = item.file_name().into_string().unwrap();
            match std::fs::read(item.path()) {
                Ok(content) => Some((name, content)),
                // A load that still runs has given a temporary file its name.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => panic!("{name}: {error}"),
            }
        })
        .collect()
}

/// Asserts that two containers are the same, log blobs aside.
pub fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) {
    let names = |blobs: &BTreeMap<String, Vec<u8>>| {
        let names = blobs.keys().filter(|name| !name.ends_with(".txt"));
        names.cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let (ours, theirs) = (names(one), names(other));
    let missing: Vec<_> = ours.difference(&theirs).collect();
    let added: Vec<_> = theirs.difference(&ours).collect();
    assert!(
        missing.is_empty(),
        "missing: {missing:#?}, added: {added:#?}"
    );
    assert!(added.is_empty(), "added: {added:#?}");
    for name in ours {
        assert!(one[&name] == other[&name], "{name} differs");
    }
}
