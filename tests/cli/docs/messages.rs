//! docs/troubleshooting.md explains only messages of the program, and all of its errors and warnings.

use std::collections::BTreeSet;
use std::path::Path;

use super::literals::{self, HOLE, Literal};
use super::pages::{self, Page, project};

/// Sources in which every sentence is a message.
const MESSAGE_SOURCES: [&str; 6] = [
    "src/container/error.rs",
    "src/container/notice.rs",
    "src/extract/problem.rs",
    "src/load/error.rs",
    "src/events/mod.rs",
    "src/problem.rs",
];

/// A text with fewer letters, such as "{path}: {error}", is not a message by itself.
const MIN_LETTERS: usize = 12;

/// Returns the messages in the first column of the page's tables, with their line numbers.
fn quoted(page: &Page) -> Vec<(usize, String)> {
    let mut quoted = Vec::new();
    for (number, line) in page.prose() {
        if let Some(row) = line.strip_prefix("| `") {
            let cell = format!("`{}", row.split(" | ").next().unwrap());
            let inside = cell.split('`').skip(1).step_by(2);
            quoted.extend(inside.map(|message| (number, message.to_owned())));
        }
    }
    quoted
}

/// Returns whether a text contains the parts of a message between its [`HOLE`]s, in order.
fn is_in(message: &str, text: &str) -> bool {
    let mut rest = text;
    for piece in message
        .split(HOLE)
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
    {
        match rest.split_once(piece) {
            Some((_, further)) => rest = further,
            None => return false,
        }
    }
    true
}

fn troubleshooting() -> Page {
    let pages = pages::all();
    pages
        .into_iter()
        .find(|page| page.path == Path::new("docs/troubleshooting.md"))
        .unwrap()
}

/// Returns the messages that the page quotes and no source contains.
fn unknown(page: &Page, literals: &[Literal]) -> Vec<String> {
    quoted(page)
        .into_iter()
        .filter(|(_, message)| !literals.iter().any(|literal| is_in(message, &literal.text)))
        .map(|(line, message)| format!("{}: no source contains: {message}", page.place(line)))
        .collect()
}

/// Returns the messages that a source contains and the page does not quote.
fn unexplained(page: &Page, literals: &[Literal]) -> BTreeSet<String> {
    let quoted = quoted(page);
    literals
        .iter()
        .filter(|literal| {
            let speaks = MESSAGE_SOURCES
                .iter()
                .any(|file| literal.file == Path::new(file));
            let sentence = literal.text.contains(' ');
            (literal.is_error || (speaks && sentence)) && literal.letters() >= MIN_LETTERS
        })
        .filter(|literal| {
            !quoted
                .iter()
                .any(|(_, message)| is_in(message, &literal.text))
        })
        .map(|literal| format!("{}: {}", literal.file.display(), literal.text))
        .collect()
}

#[test]
fn every_message_on_the_page_is_one_of_the_program() {
    let page = troubleshooting();
    let literals = literals::below(project(), "src");
    let unknown = unknown(&page, &literals);
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    for (line, message) in quoted(&page) {
        let letters = message.chars().filter(char::is_ascii_alphabetic).count();
        assert!(
            letters >= 7,
            "{}: too little to search for: {message}",
            page.place(line)
        );
    }
}

#[test]
fn every_error_and_warning_is_on_the_page() {
    let page = troubleshooting();
    let literals = literals::below(project(), "src");
    let errors = literals.iter().filter(|literal| literal.is_error).count();
    assert!(errors > 70, "{errors}");
    for source in MESSAGE_SOURCES {
        let has_messages = literals
            .iter()
            .any(|literal| literal.file == Path::new(source));
        assert!(has_messages, "{source} has no message");
    }
    let unexplained = unexplained(&page, &literals);
    assert!(
        unexplained.is_empty(),
        "docs/troubleshooting.md must explain:\n{}",
        unexplained.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn unknown_and_unexplained_messages_are_found() {
    let page = Page {
        path: "docs/none.md".into(),
        text: "| message | meaning |\n|---|---|\n| `the disk … is full: make` `the moon is full` | no room |\n".into(),
    };
    let literal = |text: &str| Literal {
        file: "src/x.rs".into(),
        text: text.to_owned(),
        is_error: true,
    };
    let literals = [
        literal("the disk under … is full: make room"),
        literal("the make of the disk is full"),
    ];
    let unknown = unknown(&page, &literals);
    assert_eq!(
        unknown,
        ["docs/none.md:3: no source contains: the moon is full"]
    );
    let unexplained: Vec<String> = unexplained(&page, &literals).into_iter().collect();
    assert_eq!(unexplained, ["src/x.rs: the make of the disk is full"]);
}
