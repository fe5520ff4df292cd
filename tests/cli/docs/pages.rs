//! The pages and their blocks of code.

use std::path::{Path, PathBuf};

/// Returns the project folder.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page of the documentation.
pub(crate) struct Page {
    /// The path, relative to the project folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The kind of a block, given by the info string of its opening fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `sh`: commands that the tests run.
    Commands,
    /// `sh azure`: commands that need an Azure account or a cluster. Not run.
    Azure,
    /// `sh by-hand`: commands that a test cannot run, such as all tests. Not run.
    ByHand,
    /// `text output`: each line occurs in the output of the page's commands.
    Output,
    /// `text` and configuration: only for reading.
    Shown,
}

impl Kind {
    fn of(info: &str) -> Option<Kind> {
        Some(match info {
            "sh" => Kind::Commands,
            "sh azure" => Kind::Azure,
            "sh by-hand" => Kind::ByHand,
            "text output" => Kind::Output,
            "text" | "ini" | "json" | "yaml" => Kind::Shown,
            _ => return None,
        })
    }
}

/// A block of code.
pub(crate) struct Block {
    /// The number of its first line in the page, from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// Returns the pages of the documentation: those in the project folder and those below docs/, sorted by name.
pub(crate) fn all() -> Vec<Page> {
    let mut found = Vec::new();
    let mut folders = vec![project().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| project().join(name)));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
        .into_iter()
        .map(|path| Page {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(project()).unwrap().to_path_buf(),
        })
        .collect()
}

impl Page {
    /// Returns the place of a line, for messages.
    pub(crate) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Returns the lines outside code blocks, with their numbers from 1.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((number, line));
            }
        }
        assert!(!inside, "{}: a block is not closed", self.path.display());
        prose
    }

    /// Returns the code blocks.
    ///
    /// # Panics
    /// If a block does not state its kind.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut inside = false;
        let mut blank_before = true;
        let mut in_list = false;
        for (number, line) in (1..).zip(self.text.lines()) {
            match line.strip_prefix("```") {
                Some("") if inside => inside = false,
                Some(info) => {
                    assert!(!inside, "{}: a fence in a block", self.place(number));
                    let kind = Kind::of(info).unwrap_or_else(|| {
                        panic!(
                            "{}: a block must state its kind (see tests/cli/docs/pages.rs): {info:?}",
                            self.place(number)
                        )
                    });
                    inside = true;
                    blocks.push(Block {
                        line: number + 1,
                        kind,
                        text: String::new(),
                    });
                }
                None if inside => {
                    let block = blocks.last_mut().unwrap();
                    block.text += line;
                    block.text.push('\n');
                }
                None => {
                    let indented = line.starts_with("    ");
                    assert!(
                        !indented || !blank_before || in_list,
                        "{}: an indented block cannot state its kind: use a fence",
                        self.place(number)
                    );
                    let item =
                        line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit());
                    in_list = item || (in_list && (line.is_empty() || line.starts_with("  ")));
                    blank_before = line.is_empty();
                }
            }
        }
        blocks
    }
}

#[test]
fn every_block_states_its_kind() {
    let blocks: usize = all().iter().map(|page| page.blocks().len()).sum();
    assert!(blocks > 30, "{blocks}");
}
