//! Loads through the fault proxy into Azurite, compared with an undisturbed load into a folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::azurite::{ACCOUNT, Azurite, blobs as azure_blobs, container_sas};
use super::command::{CommandOutput, SEED, Scratch, assert_same, blobs, clfsload};
use super::fault_proxy::{FaultProxy, Script};
use super::tree::{self, walk_source};

/// A source of a few hundred entries, and the blobs of an undisturbed load of it.
pub struct Wire {
    pub scratch: Scratch,
    pub server: Arc<Azurite>,
    pub undisturbed: BTreeMap<String, Vec<u8>>,
    pub container: String,
    pub token: String,
}

/// The options of every load.
const OPTIONS: [&str; 4] = ["--seed", SEED, "--preserve-hardlinks", "1"];

impl Wire {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let source = scratch.source();
        for folder in 0..4 {
            let folder = source.join(format!("folder-{folder}"));
            std::fs::create_dir(&folder).unwrap();
            for number in 0..60 {
                std::fs::write(
                    folder.join(format!("file-{number}")),
                    vec![b'x'; number * 97],
                )
                .unwrap();
            }
        }
        // Files with two and three segments, whose uploads take some time.
        for (name, size) in [("two", 9 << 20), ("three", 17 << 20)] {
            let content: Vec<u8> = (0..size as u32)
                .map(|at| (at.wrapping_mul(at) >> 7) as u8)
                .collect();
            std::fs::write(source.join(name), content).unwrap();
        }
        let links = source.join("links");
        std::fs::create_dir(&links).unwrap();
        tree::hard_links(&links, 30);
        // The first read of a symlink sets its access time.
        walk_source(&source);
        scratch.load("undisturbed", &OPTIONS).expect(0);
        let undisturbed = blobs(&scratch.container("undisturbed"));
        let server = Azurite::shared();
        let container = Azurite::unused_name();
        server.create_container(&container);
        let token = container_sas(&container, "rwdl");
        Wire {
            scratch,
            server,
            undisturbed,
            container,
            token,
        }
    }

    pub fn proxy(&self, script: Script) -> FaultProxy {
        FaultProxy::start(&self.server, script)
    }

    /// Returns the number of uploads of an undisturbed load: one for each blob.
    pub fn objects(&self) -> usize {
        self.undisturbed.len()
    }

    pub fn state(&self) -> PathBuf {
        self.scratch.path("state")
    }

    /// Returns the command of a load through `endpoint`, with the token in the environment.
    pub fn command(&self, endpoint: &str, options: &[&str]) -> Command {
        let mut command = self.without_token(endpoint, options);
        command.env("AZURE_STORAGE_SAS_TOKEN", &self.token);
        command
    }

    pub fn without_token(&self, endpoint: &str, options: &[&str]) -> Command {
        let mut arguments = self.scratch.arguments("state", &self.container);
        arguments[2] = ACCOUNT.to_owned();
        let mut command = clfsload();
        command
            .args(arguments)
            .args(["--blob-endpoint", endpoint])
            .args(OPTIONS)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, proxy: &FaultProxy, options: &[&str]) -> CommandOutput {
        let mut all = vec!["--new"];
        all.extend(options);
        self.resume(proxy, &all)
    }

    pub fn resume(&self, proxy: &FaultProxy, options: &[&str]) -> CommandOutput {
        self.command(&proxy.endpoint(), options)
            .output()
            .unwrap()
            .into()
    }

    pub fn spawn(&self, proxy: &FaultProxy, options: &[&str]) -> Child {
        let mut all = vec!["--new"];
        all.extend(options);
        self.command(&proxy.endpoint(), &all).spawn().unwrap()
    }

    /// Asserts that the container is the one of an undisturbed load, blob by blob.
    pub fn assert_identical(&self) {
        assert_same(
            &self.undisturbed,
            &azure_blobs(&self.server, &self.container),
        );
    }
}
