//! The string literals in the program's sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The placeholder for a value in a text.
pub(crate) const HOLE: char = '…';

/// A string literal, with a [`HOLE`] for each `{…}`.
pub(crate) struct Literal {
    /// The file, relative to the project folder.
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    /// Whether it is the message of an error (`#[error("…")]`).
    pub(crate) is_error: bool,
}

impl Literal {
    /// Returns the number of letters outside values.
    pub(crate) fn letters(&self) -> usize {
        self.text.chars().filter(char::is_ascii_alphabetic).count()
    }
}

/// Returns the literals of all sources below a folder, except tests.
pub(crate) fn below(project: &Path, folder: &str) -> Vec<Literal> {
    let mut literals = Vec::new();
    let mut folders = vec![project.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_test = name.trim_end_matches(".rs").ends_with("tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if name.ends_with(".rs") && !is_test {
                let source = fs::read_to_string(&path).unwrap();
                let source = source.split("#[cfg(test)]\n#[").next().unwrap();
                let source = source.split("#[cfg(test)]\nmod").next().unwrap();
                let file = path.strip_prefix(project).unwrap();
                literals.extend(
                    of_source(source)
                        .into_iter()
                        .map(|(text, is_error)| Literal {
                            file: file.to_path_buf(),
                            text,
                            is_error,
                        }),
                );
            }
        }
    }
    literals
}

/// Returns the literals of a source, and whether each is the message of an error.
fn of_source(source: &str) -> Vec<(String, bool)> {
    let mut literals = Vec::new();
    let mut rest = source;
    let mut before = String::new();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            // Of the character literals, only these two could be mistaken for other tokens.
            let end = rest
                .char_indices()
                .skip(2)
                .find(|(_, c)| *c == '\'')
                .unwrap()
                .0;
            rest = &rest[end + 1..];
        } else if rest.starts_with("r#\"") {
            let (text, further) = rest[3..].split_once("\"#").unwrap();
            literals.push((with_holes(text), false));
            rest = further;
        } else if first == '"' {
            let (text, further) = quoted(&rest[1..]);
            literals.push((with_holes(&text), before.ends_with("#[error(")));
            before.clear();
            rest = further;
        } else {
            if !first.is_whitespace() {
                before.push(first);
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    literals
}

/// Returns the text up to the closing quote, and the text after it.
fn quoted(source: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = source.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, &source[at + 1..]),
            '\\' => match characters.next().unwrap().1 {
                '\n' => {
                    let further = characters.as_str().trim_start();
                    let skipped = characters.as_str().len() - further.len();
                    for _ in 0..skipped {
                        characters.next();
                    }
                }
                'n' => text.push('\n'),
                't' => text.push('\t'),
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
    panic!("a literal is not closed: {source:.60}");
}

fn with_holes(text: &str) -> String {
    let mut with_holes = String::new();
    let mut depth = 0;
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                with_holes.push(HOLE);
            }
            c if depth == 0 => with_holes.push(c),
            _ => {}
        }
    }
    with_holes.replace('\u{1}', "{").replace('\u{2}', "}")
}

#[test]
fn literals_are_found() {
    let source = "// \"no\"\nlet a = '\"'; let b = '\\''; #[error(\n  \"one {x:?} two\", .x\n)]\n\
                  f(\"three \\\n   {} {{four}} \\\"five\\\"\"); r#\"si\"x\"#";
    let expected = [
        ("one … two", true),
        ("three … {four} \"five\"", false),
        ("si\"x", false),
    ];
    let found = of_source(source);
    let found: Vec<(&str, bool)> = found
        .iter()
        .map(|(text, error)| (text.as_str(), *error))
        .collect();
    assert_eq!(found, expected);
}
