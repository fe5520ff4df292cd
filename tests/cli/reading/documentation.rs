//! The commands in docs/reading.md work on its demo container.

use std::path::Path;
use std::process::Command;

use crate::support::command::{Scratch, run};

#[test]
fn the_examples_of_the_documentation_work() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Scratch::new();
    let url = format!("file://{}", scratch.path("containers").display());
    std::fs::create_dir(scratch.path("containers")).unwrap();
    let [state, source] = [scratch.path("state"), project.join("fixtures/tree")];
    run([
        state.as_os_str(),
        source.as_os_str(),
        url.as_ref(),
        "demo".as_ref(),
        "--new".as_ref(),
    ])
    .expect(0);
    let text = std::fs::read_to_string(project.join("docs/reading.md")).unwrap();
    let examples: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("clfsload "))
        .collect();
    assert!(examples.len() >= 11, "{examples:#?}");
    for example in examples {
        let line = example.replace(
            "/tmp/clfsload-demo/demo",
            scratch.container("demo").to_str().unwrap(),
        );
        let line = format!("'{}' {line}", env!("CARGO_BIN_EXE_clfsload"));
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{example}: {output:?}");
        assert!(output.stderr.is_empty(), "{example}: {output:?}");
        // Nothing in the fixture is older than the checkout.
        let empty = example.contains("--older-than");
        assert!(empty || !output.stdout.is_empty(), "{example}");
    }
}
