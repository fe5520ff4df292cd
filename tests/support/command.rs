//! Runs the command as a user does, and reads its output and its containers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The seed of tests that compare containers.
pub const SEED: &str = "00112233445566778899aabbccddeeff";

/// The exit status and the output of one run of the command.
#[derive(Debug)]
pub struct CommandOutput {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        CommandOutput {
            // A process that was ended by a signal has no status.
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl CommandOutput {
    /// Asserts the exit status. On failure, shows the output.
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Asserts the exit status and that standard error contains `text`.
    pub fn refused(self, status: i32, text: &str) -> Self {
        let ran = self.expect(status);
        assert!(ran.stderr.contains(text), "no {text:?} in {}", ran.stderr);
        ran
    }
}

/// Returns the command, without a token or a proxy in its environment. Its cache folder is below the build's
/// target folder.
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

/// Runs the command with these arguments.
pub fn run<W: AsRef<OsStr>>(arguments: impl IntoIterator<Item = W>) -> CommandOutput {
    CommandOutput::from(clfsload().args(arguments).output().unwrap())
}

/// A temporary folder for a source, a state folder and a folder container.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        Scratch {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Creates one in `/dev/shm` if that exists. Flushes cost nothing there.
    pub fn in_memory() -> Self {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => Scratch { folder },
            Err(_) => Scratch::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the source folder and creates it if it is missing.
    pub fn source(&self) -> PathBuf {
        let source = self.path("source");
        std::fs::create_dir_all(&source).unwrap();
        source
    }

    /// Returns the arguments of a load into the folder container `container`.
    pub fn arguments(&self, state: &str, container: &str) -> Vec<String> {
        // The command creates the folder of a container, but not its parent.
        std::fs::create_dir_all(self.path("containers")).unwrap();
        vec![
            self.path(state).display().to_string(),
            self.source().display().to_string(),
            format!("file://{}", self.path("containers").display()),
            container.to_owned(),
        ]
    }

    /// Loads the source into the folder container that has the same name as the state folder.
    pub fn load(&self, name: &str, options: &[&str]) -> CommandOutput {
        let mut arguments = self.arguments(name, name);
        arguments.push("--new".to_owned());
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        run(arguments)
    }

    /// Resumes that load.
    pub fn resume(&self, name: &str, options: &[&str]) -> CommandOutput {
        let mut arguments = self.arguments(name, name);
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        run(arguments)
    }

    pub fn container(&self, name: &str) -> PathBuf {
        self.path("containers").join(name)
    }
}

/// Returns all blobs of a folder container.
pub fn blobs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|item| {
            let item = item.unwrap();
            let name = item.file_name().into_string().unwrap();
            match std::fs::read(item.path()) {
                Ok(content) => Some((name, content)),
                // A running load renamed this temporary file after it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => panic!("{name}: {error}"),
            }
        })
        .collect()
}

/// Asserts that two containers have the same blobs, except log blobs.
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
