//! The four containers of the original loader have no findings with any option.

use std::fs::File;
use std::path::{Path, PathBuf};

use clfsload::verify::{Rule, Severity};
use flate2::read::GzDecoder;

use crate::support::command::{Scratch, run};

const CONTAINERS: [&str; 4] = [
    "container-plain",
    "container-lz4-nolinks",
    "container-lz4-hardlinks",
    "container-lz4-large",
];

/// Unpacks a container and returns its folder.
fn unpacked(scratch: &Scratch, name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    let archive = File::open(golden.join(format!("{name}.tar.gz"))).unwrap();
    let folder = scratch.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    tar::Archive::new(GzDecoder::new(archive))
        .unpack(&folder)
        .unwrap();
    folder
}

#[test]
fn golden_containers_are_clean() {
    let scratch = Scratch::new();
    for name in CONTAINERS {
        let folder = unpacked(&scratch, name).display().to_string();
        for depth in ["--full", "--quick"] {
            let ran = run(["verify", &folder, depth]).expect(0);
            let last = ran.stdout.lines().last().unwrap();
            assert!(last.starts_with("clean: "), "{name} {depth}: {last}");
            // The copies lack the logs.
            let notes = ran.stdout.lines().filter(|line| line.starts_with("note: "));
            assert!(notes.count() > 0);
            assert_eq!(
                ran.stdout.contains("not read (--quick)"),
                depth == "--quick"
            );
        }
    }
}

#[test]
fn json_has_one_object_per_line() {
    let scratch = Scratch::new();
    let folder = unpacked(&scratch, "container-lz4-hardlinks");
    std::fs::write(folder.join("README"), "foreign").unwrap();
    let folder = folder.display().to_string();
    let ran = run(["verify", "--json", &folder]).expect(3);
    let lines: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, findings) = lines.split_last().unwrap();
    for finding in findings {
        let rule = finding["rule"].as_str().unwrap();
        let rule = Rule::ALL.iter().find(|known| known.name() == rule).unwrap();
        assert_eq!(finding["section"].as_u64(), rule.section().map(u64::from));
        assert_eq!(finding["severity"], rule.severity().word());
        assert!(!finding["text"].as_str().unwrap().is_empty());
    }
    let foreign = findings.iter().find(|f| f["rule"] == "foreign-blob");
    assert_eq!(foreign.unwrap()["blob"], "README");
    let summary = &summary["summary"];
    assert_eq!(summary["clean"], false);
    assert_eq!(summary["warnings"], 1);
    assert_eq!(summary["errors"], 0);
    assert_eq!(summary["notes"].as_u64(), Some(findings.len() as u64 - 1));
    assert_eq!(summary["objects"]["directory"], 10);
    assert_eq!(Rule::ForeignBlob.severity(), Severity::Warning);
}

#[test]
fn every_rule_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify.md");
    let page = std::fs::read_to_string(page).unwrap();
    for rule in Rule::ALL {
        let section = rule
            .section()
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let row = format!("| `{}` | {section} | {} |", rule.name(), rule.severity());
        assert!(page.contains(&row), "{row}");
    }
}
