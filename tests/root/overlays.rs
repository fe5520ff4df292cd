//! Hard links in an overlay with layers on other file systems: files have device numbers of their layers, which
//! each mount assigns again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::{CommandOutput, SEED, Scratch, clfsload, run};
use crate::support::mounts::{self, Loop, Mounted, image};
use clfsload_checker::{FolderBlobs, check};

const FILES: usize = 3;
/// The first and the further names of the files of the two layers. A later commit finds the further names.
const NAMES: [[&str; 2]; 2] = [["p", "r1/r2/r"], ["q", "s1/s2/s"]];
const CONTENT: [&str; 2] = ["of one", "of two"];

/// Two layers whose files have the same inode numbers and attributes, but different content and names.
struct Layers {
    mounted: [Mounted; 2],
    _loops: [Loop; 2],
    scratch: Scratch,
}

impl Layers {
    fn new() -> Option<Self> {
        if !mounts::possible() {
            return None;
        }
        let scratch = Scratch::in_memory();
        let content = scratch.path("content");
        for number in 0..FILES {
            let mut first: Option<PathBuf> = None;
            for (layer, names) in NAMES.iter().enumerate() {
                for directory in names {
                    let at = content.join(layer.to_string()).join(directory);
                    fs::create_dir_all(&at).unwrap();
                    let at = at.join(format!("f{number}"));
                    match &first {
                        None => fs::write(&at, format!("{number} {}", CONTENT[0])).unwrap(),
                        Some(first) => fs::hard_link(first, &at).unwrap(),
                    }
                    first.get_or_insert(at);
                }
            }
        }
        let images = ["one", "two"].map(|name| scratch.path(&format!("{name}.img")));
        image(&images[0], &content);
        let mut bytes = fs::read(&images[0]).unwrap();
        let [from, to] = CONTENT.map(str::as_bytes);
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
        fs::write(&images[1], bytes).unwrap();
        let loops = images.each_ref().map(|image| Loop::of(image));
        let mounted = [0, 1].map(|number| {
            let at = scratch.path(&format!("layer-{number}"));
            fs::create_dir(&at).unwrap();
            Mounted::device(&loops[number], &at)
        });
        // The upper layer is the same in each mount.
        for name in ["upper", "work"] {
            fs::create_dir(scratch.path(name)).unwrap();
        }
        Some(Layers {
            mounted,
            _loops: loops,
            scratch,
        })
    }

    /// Mounts the overlay. Layers get device numbers in this order.
    fn mount(&self, order: [usize; 2]) -> Mounted {
        let layer = |number| self.scratch.path(&format!("layer-{number}/{number}"));
        let path = |path: PathBuf| path.display().to_string();
        let options = format!(
            "lowerdir={}:{},upperdir={},workdir={},xino=off",
            path(layer(order[0])),
            path(layer(order[1])),
            path(self.scratch.path("upper")),
            path(self.scratch.path("work"))
        );
        let at = self.scratch.source();
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]);
        let output = mount.arg(&at).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Mounted::at(&at)
    }

    /// Starts a load that is killed at `place`.
    fn crash(&self, name: &str, place: &str) {
        let mut command = clfsload();
        command.args(self.scratch.arguments(name, name));
        command.args(["--new", "--seed", SEED, "--preserve_hardlinks", "1"]);
        let ran = CommandOutput::from(command.env("CLFSLOAD_CRASH_AT", place).output().unwrap());
        assert_eq!(ran.status, -1, "{place}: {ran:#?}");
    }

    fn assert_complete(&self, name: &str) {
        let container = self.scratch.container(name);
        let checked = check(&FolderBlobs(container.clone()));
        checked.assert_clean();
        for (names, of) in NAMES.iter().zip(CONTENT) {
            for number in 0..FILES {
                let paths = names.map(|directory| format!("{directory}/f{number}"));
                let objects = paths.each_ref().map(|path| {
                    let cat = run(["cat", &container.display().to_string(), path]).expect(0);
                    assert_eq!(cat.stdout, format!("{number} {of}"), "{name}: {path}");
                    &checked.tree[path.as_bytes()].object
                });
                assert_eq!(
                    objects[0], objects[1],
                    "{name}: {paths:?} are separate files"
                );
            }
        }
        let state = self.scratch.path(name).display().to_string();
        let status = run(["status", "--json", &state]).expect(0).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["links"], 2 * FILES, "{name}");
        assert_eq!(status["unlike_names"], 0, "{name}");
    }
}

/// Takes the next free device number with another mount.
fn take_device_number(at: &Path) -> Mounted {
    fs::create_dir_all(at).unwrap();
    let mut mount = Command::new("mount");
    let output = mount.args(["-t", "tmpfs", "none"]).arg(at).output();
    assert!(output.unwrap().status.success());
    Mounted::at(at)
}

#[test]
fn links_are_joined_within_a_layer_whatever_device_numbers_a_mount_assigns() {
    let Some(layers) = Layers::new() else {
        return;
    };
    let scratch = &layers.scratch;
    for place in [
        "ScanCommitted:1",
        "ScanCommitted:2",
        "ScanCommitted:3",
        "SettleCommitted",
    ] {
        // In the other order, each layer gets the number that the other layer had.
        for (case, order) in [("shifted", [0, 1]), ("swapped", [1, 0])] {
            let name = format!("{case}-{}", place.replace(':', "-"));
            let mounted = layers.mount([0, 1]);
            layers.crash(&name, place);
            mounted.unmount();
            let taken = (case == "shifted").then(|| take_device_number(&scratch.path("taken")));
            let mounted = layers.mount(order);
            scratch.resume(&name, &[]).expect(0);
            layers.assert_complete(&name);
            mounted.unmount();
            taken.into_iter().for_each(Mounted::unmount);
        }
    }
    let Layers { mounted, .. } = layers;
    mounted.into_iter().for_each(Mounted::unmount);
}
