//! The layers of `src/` (docs/design.md): a module imports only from its own layer and from lower ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules of `src/`, from the lowest layer to the highest. The modules of a load have separate layers.
const LAYERS: [&[&str]; 20] = [
    &["crash_point", "process_limits", "stop", "text"],
    &["loss"],
    &["entry", "problem"],
    &["identity"],
    // Storage and its readers. They do not depend on a transfer.
    &["container"],
    &["read"],
    &["extract"],
    // Transfers.
    &["state"],
    &["source"],
    &["events", "progress"],
    &["load::adaptive_pool"],
    &["load::encode"],
    &["load::upload"],
    &["load::scan"],
    &["load::pipeline"],
    &["load"],
    // Users of both.
    &["survey"],
    &["verify"],
    &["report"],
    &["cli"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the module with a layer for a path: `load::scan` for `load::scan::Scan`, `load` for `load::prepare`.
fn module(path: &str) -> Option<&str> {
    let mut parts = path.match_indices("::").map(|(at, _)| at);
    let first = parts.next().unwrap_or(path.len());
    let second = parts.next().unwrap_or(path.len());
    let prefixes = [path.get(..second), path.get(..first)];
    prefixes
        .into_iter()
        .flatten()
        .find(|name| layer(name).is_some())
}

/// Returns the modules of `crate::` that a file names outside its unit tests.
fn imports(text: &str) -> BTreeSet<&str> {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let named = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|byte: char| !(byte.is_ascii_lowercase() || "_:".contains(byte)));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    });
    named.filter_map(module).collect()
}

/// Calls `visit` with each source file below `folder`, except files of tests.
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
        let path_of_module = below.to_str().unwrap().replace('/', "::");
        let path_of_module = path_of_module.trim_end_matches(".rs");
        if ["lib", "main"].contains(&path_of_module) {
            return;
        }
        files += 1;
        let Some(own) = module(path_of_module).and_then(layer) else {
            return forbidden.push(format!("{path_of_module} is in no layer"));
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
