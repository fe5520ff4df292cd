//! Every test and every source file that docs/reliability.md and docs/design.md cite exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::pages::{self, Page, project};

/// Returns the functions of all Rust files below a folder, with the paths of their files.
fn functions(folder: &Path, found: &mut BTreeSet<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                let name = line
                    .strip_prefix("fn ")
                    .and_then(|line| line.split_once('('));
                found.extend(name.map(|(name, _)| (path.clone(), name.to_owned())));
            }
        }
    }
}

/// Returns the citations that do not exist. A citation of a test is `FILE::NAME`, `FILE`: `NAME` or `NAME`, and a name has at
/// least three underscores. Files and folders are cited by their paths from the project's folder.
fn unknown(page: &Page, functions: &BTreeSet<(PathBuf, String)>) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut unknown = Vec::new();
    for (number, line) in page.prose() {
        let mut before = "";
        for (place, code) in line.split('`').enumerate() {
            if place % 2 == 0 {
                continue;
            }
            let is_path = ["src/", "tests/", "clfs-format/", "scripts/", "fixtures/"]
                .iter()
                .any(|folder| code.starts_with(folder));
            let path = code.split("::").next().unwrap();
            if is_path && !path.contains('*') && !project().join(path).exists() {
                unknown.push(format!("{}: {code}", page.place(number)));
            }
            let after_colon = line.contains(&format!("`{before}`: `{code}`"));
            let file_before = if after_colon { before } else { "" };
            let (file, name) = code.rsplit_once("::").unwrap_or((file_before, code));
            before = code;
            let is_name = name.chars().all(is_part) && name.matches('_').count() >= 3;
            let is_cited = |(path, function): &(PathBuf, String)| {
                let is_in = path.ends_with(file) || path.starts_with(project().join(file));
                function == name && (file.is_empty() || is_in)
            };
            if is_name && !functions.iter().any(is_cited) {
                unknown.push(format!("{}: {code}", page.place(number)));
            }
        }
    }
    unknown
}

fn all_functions() -> BTreeSet<(PathBuf, String)> {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests", "clfs-format/src", "clfs-format/tests"] {
        functions(&project().join(folder), &mut found);
    }
    found
}

#[test]
fn every_cited_test_exists() {
    let functions = all_functions();
    let citing = ["docs/reliability.md", "docs/design.md"].map(Path::new);
    let pages = pages::all().into_iter();
    let pages: Vec<Page> = pages.filter(|page| citing.contains(&&*page.path)).collect();
    assert_eq!(pages.len(), citing.len());
    let unknown: Vec<String> = pages
        .iter()
        .flat_map(|page| unknown(page, &functions))
        .collect();
    assert!(unknown.is_empty(), "no such tests: {unknown:#?}");
}

#[test]
fn citations_of_missing_tests_are_found() {
    let page = Page {
        path: "docs/none.md".into(),
        text: "`every_cited_test_exists` `cited_tests.rs::every_cited_test_exists`\n\
               `links.rs::every_cited_test_exists` `every_cited_test_is_missing` `two_words`\n\
               `tests/cli/docs`: `every_cited_test_exists` `src/no/such.rs`\n\
               `tests/cli/docs/links.rs`: `every_cited_test_exists`\n"
            .to_owned(),
    };
    assert_eq!(
        unknown(&page, &all_functions()),
        [
            "docs/none.md:2: links.rs::every_cited_test_exists",
            "docs/none.md:2: every_cited_test_is_missing",
            "docs/none.md:3: src/no/such.rs",
            "docs/none.md:4: every_cited_test_exists"
        ]
    );
}
