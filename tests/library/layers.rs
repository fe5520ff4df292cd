//! The layers of `src/` (docs/design.md): a module imports only from its own layer and from lower ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules of `src/`, from the lowest layer to the highest.
const LAYERS: [&[&str]; 19] = [
    &[
        "adaptive_pool",
        "crash_point",
        "process_limits",
        "stop",
        "text",
        "version",
    ],
    &["loss"],
    &["entry", "problem"],
    &["identity"],
    // Storage, and those who read it: they know nothing of a transfer.
    &["container"],
    &["read"],
    &["extract"],
    // A transfer.
    &["state"],
    &["source"],
    &["events", "progress"],
    &["encode"],
    &["upload"],
    &["scan"],
    &["pass"],
    &["load"],
    // Both.
    &["survey"],
    &["verify"],
    &["report"],
    &["cli"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules of `crate::` that a file names, without its unit tests.
fn imports(text: &str) -> BTreeSet<&str> {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let named = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|byte: char| !(byte.is_ascii_lowercase() || byte == '_'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    });
    named.filter(|name| layer(name).is_some()).collect()
}

/// Calls `visit` with each source file below `folder` that is not a file of tests.
fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("tests") {
            continue;
        }
        match path.is_dir() {
            true => each_file(&path, visit),
            false => visit(&path),
        }
    }
}

#[test]
fn modules_import_only_from_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    let mut forbidden = Vec::new();
    each_file(&root, &mut |path| {
        let below = path.strip_prefix(&root).unwrap();
        let first = below.components().next().unwrap().as_os_str();
        let module = first.to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) || !module.ends_with(char::is_alphabetic) {
            return;
        }
        files += 1;
        let Some(own) = layer(module) else {
            return forbidden.push(format!("{module} is in no layer"));
        };
        let text = fs::read_to_string(path).unwrap();
        for imported in imports(&text) {
            if layer(imported) > Some(own) {
                forbidden.push(format!("{} imports {imported}", below.display()));
            }
        }
    });
    assert!(files > 100, "{files} files: is this the source?");
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}
