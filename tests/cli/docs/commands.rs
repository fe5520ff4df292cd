//! The commands on each page are run, in order, in a separate folder.
//!
//! That folder contains the project's example tree and scripts. `clfsload` is the program of this build, and `cargo` is
//! a stub, since the program is already built.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::pages::{self, Kind, Page, project};

/// The prefix of all paths in the examples.
const PLACE: &str = "/tmp/clfsload-";

/// The container that the pages on reading use. The introduction creates it.
const DEMO: &str = "/tmp/clfsload-demo/demo";

/// The default port of Azurite.
const PORT: &str = "10000";

/// A `cargo` that builds and runs only existing programs.
const CARGO: &str = r#"#!/bin/bash
case "$*" in
"build --release" | "build --release --locked")
    mkdir -p target/release && ln -sf "$CLFSLOAD" target/release/clfsload ;;
"run --release -- "*)
    mkdir -p target/release && ln -sf "$CLFSLOAD" target/release/clfsload
    shift 3 && exec "$CLFSLOAD" "$@" ;;
*)
    echo "cargo $*: not known to tests/cli/docs/commands.rs" >&2
    exit 97 ;;
esac
"#;

fn commands(page: &Page) -> String {
    let mut script = String::new();
    for block in page.blocks() {
        if block.kind == Kind::Commands {
            script += &format!("echo '== {}' >&2\n{}", page.place(block.line), block.text);
        }
    }
    script
}

/// Returns a free port below those that the kernel assigns to other tests meanwhile (`ip_local_port_range`).
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000))
        .find(is_free)
        .unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Runs a page's commands. Returns their output, or the error.
fn run(page: &Page, before: &str) -> Result<String, String> {
    let script = format!("{before}{}", commands(page));
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_clfsload"), bin.join("clfsload")).unwrap();
    fs::write(bin.join("cargo"), CARGO).unwrap();
    fs::set_permissions(bin.join("cargo"), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("home")).unwrap();
    let work = folder.path().join("project");
    fs::create_dir_all(work.join("fixtures")).unwrap();
    copy_tree(&project().join("fixtures/tree"), &work.join("fixtures"));
    // Azurite is installed there once for all tests.
    let tools = project().join(".tools");
    fs::create_dir_all(&tools).unwrap();
    symlink(tools, work.join(".tools")).unwrap();
    symlink(project().join("scripts"), work.join("scripts")).unwrap();

    let port = free_port().to_string();
    let place = folder.path().join("clfsload-");
    let script = script
        .replace(PLACE, place.to_str().unwrap())
        .replace(&format!("127.0.0.1:{PORT}"), &format!("127.0.0.1:{port}"))
        .replace(&format!("--blobPort {PORT}"), &format!("--blobPort {port}"));
    // Background processes of a failed command would keep the output open.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script])
        .current_dir(&work)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CLFSLOAD", env!("CARGO_BIN_EXE_clfsload"))
        .env("HOME", folder.path().join("home"))
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .env_remove("AZURE_STORAGE_SAS_TOKEN")
        .stdin(Stdio::null());
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        bash.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = bash.output().unwrap();
    let [out, err] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let from = folder.path().to_str().unwrap();
    let (out, err) = (
        out.replace(&port, PORT)
            .replace(&format!("{from}/clfsload-"), PLACE),
        err.replace(&port, PORT)
            .replace(&format!("{from}/clfsload-"), PLACE),
    );
    match output.status.success() {
        true => Ok(out + &err),
        false => Err(format!(
            "{}: {}\n{out}\n{err}",
            page.path.display(),
            output.status
        )),
    }
}

/// Returns the first block of the introduction, which creates the demo container.
fn demo(pages: &[Page]) -> String {
    let introduction = pages
        .iter()
        .find(|page| page.path == Path::new("docs/README.md"))
        .unwrap();
    let block = introduction
        .blocks()
        .into_iter()
        .find(|block| block.kind == Kind::Commands)
        .unwrap();
    assert!(
        block.text.contains("file:///tmp/clfsload-demo demo"),
        "{}",
        block.text
    );
    block.text
}

fn check(page: &Page, demo: &str) -> Result<(), String> {
    let needs_demo = !page.path.ends_with("README.md") && commands(page).contains(DEMO);
    let output = run(page, if needs_demo { demo } else { "" })?;
    let lines: BTreeSet<&str> = output.lines().map(str::trim_end).collect();
    for block in page.blocks() {
        if block.kind != Kind::Output {
            continue;
        }
        for (number, line) in (block.line..).zip(block.text.lines()) {
            if !lines.contains(line.trim_end()) {
                return Err(format!(
                    "{}: no command prints this line:\n{line}\n\n{output}",
                    page.place(number)
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn the_commands_of_all_pages_run() {
    let pages = pages::all();
    let demo = demo(&pages);
    let with_commands: Vec<&Page> = pages
        .iter()
        .filter(|page| !commands(page).is_empty())
        .collect();
    assert!(with_commands.len() >= 8, "{}", with_commands.len());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = with_commands
            .iter()
            .map(|page| scope.spawn(|| check(page, &demo).err()))
            .collect();
        running
            .into_iter()
            .filter_map(|page| page.join().unwrap())
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_page_whose_command_fails_or_prints_something_else_is_found() {
    let page = |text: &str| Page {
        path: "docs/none.md".into(),
        text: text.to_owned(),
    };
    let fails = page("```sh\ntrue\nfalse\ntrue\n```\n");
    assert!(check(&fails, "").unwrap_err().contains("exit status: 1"));
    let in_a_pipe = page("```sh\nfalse | cat\n```\n");
    check(&in_a_pipe, "").unwrap_err();
    let unknown = page("```sh\ncargo frobnicate\n```\n");
    assert!(check(&unknown, "").unwrap_err().contains("exit status: 97"));
    let other = page("```sh\necho one\n```\n\n```text output\none\ntwo\n```\n");
    assert!(check(&other, "").unwrap_err().contains("docs/none.md:7"));
    let right = page(
        "```sh\nclfsload --version >&2\necho /tmp/clfsload-x\n```\n\n```text output\n/tmp/clfsload-x\n```\n",
    );
    check(&right, "").unwrap();
}
