//! Every link points to an existing file, every anchor to a heading, and the book contains all pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::pages::{self, Page, project};

/// Returns the targets of a line's links, except those inside `code`.
fn targets(line: &str) -> Vec<String> {
    let mut plain = String::new();
    for (number, piece) in line.split('`').enumerate() {
        plain += if number % 2 == 0 { piece } else { "code" };
    }
    plain
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// Returns the anchor that GitHub and mdBook assign to a heading.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in page.prose() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading);
        let before: &mut usize = seen.entry(anchor.clone()).or_default();
        anchors.insert(match *before {
            0 => anchor,
            further => format!("{anchor}-{further}"),
        });
        *before += 1;
    }
    anchors
}

/// Resolves `..` in a path, as for the links of a page.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{}: leaves the project", path.display()),
            component => plain.push(component),
        }
    }
    plain
}

/// Returns the broken links of a page, with the reasons.
fn broken(page: &Page, pages: &[Page]) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in page.prose() {
        for target in targets(line) {
            if ["https://", "http://", "mailto:"]
                .iter()
                .any(|scheme| target.starts_with(scheme))
            {
                continue;
            }
            let (file, wanted) = target.split_once('#').unwrap_or((&target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => plain(&page.path.parent().unwrap().join(file)),
            };
            let mut complain = |what: &str| {
                broken.push(format!("{}: {target}: {what}", page.place(number)));
            };
            if !project().join(&path).exists() && !pages.iter().any(|page| page.path == path) {
                complain("there is no such file");
                continue;
            }
            let in_book = page.path.starts_with("docs");
            if in_book && !path.starts_with("docs") {
                complain("a page of the book cannot link to what is not in the book");
            }
            match pages.iter().find(|page| page.path == path) {
                Some(other) if !wanted.is_empty() && !anchors(other).contains(wanted) => {
                    complain("there is no such heading");
                }
                None if !wanted.is_empty() => complain("only pages have headings"),
                _ => {}
            }
        }
    }
    broken
}

#[test]
fn every_link_has_a_target() {
    let pages = pages::all();
    let broken: Vec<String> = pages.iter().flat_map(|page| broken(page, &pages)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let links: usize = pages
        .iter()
        .flat_map(Page::prose)
        .map(|(_, line)| targets(line).len())
        .sum();
    assert!(links > 60, "{links}");
}

#[test]
fn broken_links_are_found() {
    let page = Page {
        path: "docs/none.md".into(),
        text: "# One\n## Two: `three`\n## One\n[a](#one) [b](#two-three) [c](#one-1) `[d](e)` [f](https://g)\n\
               [h](#i) [j](k.md) [l](format.md#m) [n](../Cargo.toml)\n```text\n[o](p)\n```\n"
            .to_owned(),
    };
    let mut pages = pages::all();
    pages.push(Page {
        path: page.path.clone(),
        text: page.text.clone(),
    });
    let broken = broken(&page, &pages);
    let reasons: Vec<&str> = broken
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        reasons,
        ["#i", "k.md", "format.md#m", "../Cargo.toml"],
        "{broken:#?}"
    );
}

#[test]
fn the_book_has_every_page_once() {
    let pages = pages::all();
    let summary = pages
        .iter()
        .find(|page| page.path == Path::new("docs/SUMMARY.md"))
        .unwrap();
    let mut listed: Vec<String> = summary
        .prose()
        .iter()
        .flat_map(|(_, line)| targets(line))
        .collect();
    listed.sort();
    let mut there: Vec<String> = pages
        .iter()
        .filter_map(|page| page.path.strip_prefix("docs").ok())
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|path| path != "SUMMARY.md")
        .collect();
    there.sort();
    assert_eq!(listed, there);
}
