//! Suggestions for a command line that was refused.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::location_hints as hints;
use super::arguments::Arguments;
use super::command::{self, is_command};
use crate::state::State;

const ORDER: &str = "the order of the arguments is STATE_DIR SOURCE ACCOUNT CONTAINER";

/// A suggestion for arguments that the parser refused with an error of this kind.
pub(super) fn for_arguments(arguments: &[OsString], kind: ErrorKind) -> Option<String> {
    if !matches!(
        kind,
        ErrorKind::MissingRequiredArgument | ErrorKind::UnknownArgument
    ) {
        return None;
    }
    let line = Arguments::command()
        .ignore_errors(true)
        .try_get_matches_from([OsString::from("clfsload")].iter().chain(arguments))
        .ok()?;
    let given = |name: &str| match name {
        "state" | "source" => line.get_one::<PathBuf>(name).and_then(|path| path.to_str()),
        _ => line.get_one::<String>(name).map(String::as_str),
    };
    let first = arguments.first().and_then(|first| first.to_str());
    if let Some(first) = first
        && !line.get_flag("new")
        && let Some(meant) = command_meant(first)
    {
        return Some(meant);
    }
    if let Some(later) = arguments
        .iter()
        .skip(1)
        .find(|later| is_command(Some(later)))
        && first.is_some_and(|first| first.starts_with('-'))
    {
        let name = later.to_string_lossy();
        return Some(format!(
            "the command must be the first argument: clfsload {name} ..."
        ));
    }
    if let Some(short) = arguments
        .iter()
        .find_map(|argument| with_one_dash(argument.to_str()?))
    {
        return Some(format!("long options have two dashes: {short}"));
    }
    if kind == ErrorKind::UnknownArgument {
        return None;
    }
    if ["state", "source"].iter().any(|name| {
        given(name).is_some_and(|text| text.starts_with("https://") || text.starts_with("file://"))
    }) {
        return Some(ORDER.to_owned());
    }
    hints::container_url(given("account")?)
}

/// A suggestion for a load whose arguments were parsed, but that was refused.
pub(super) fn for_load(state: &Path, source: &Path, account: &str, new: bool) -> Option<String> {
    if account.starts_with('/') && !source.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Some(ORDER.to_owned());
    }
    // The first argument of a resume without a state folder may be a mistyped command.
    if !new
        && !state.exists()
        && let Some(meant) = state.to_str().and_then(command_meant)
    {
        return Some(meant);
    }
    if State::exists(source) && !State::exists(state) {
        return Some(format!(
            "{} holds the state of a transfer: STATE_DIR comes first, then SOURCE",
            source.display()
        ));
    }
    if let Some(hint) = windows_path(source) {
        return Some(hint);
    }
    let full =
        |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut items| items.next().is_some());
    (new && full(state) && !State::exists(state) && !full(source)).then(|| {
        format!(
            "STATE_DIR comes first, then SOURCE: to load {}, swap the two",
            state.display()
        )
    })
}

/// A suggestion for a Windows path that does not exist.
pub(super) fn windows_path(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|_| !path.exists())?;
    hints::windows_path(text)
}

/// A suggestion for a word that is similar to a command.
fn command_meant(word: &str) -> Option<String> {
    if word.contains(['/', '.', '\\']) || word.starts_with('-') || Path::new(word).exists() {
        return None;
    }
    let mut line = format!("there is no command {word:?}");
    match synonym(word) {
        Some(Synonym::Command(name)) => write!(line, "; did you mean: clfsload {name} ...").ok()?,
        Some(Synonym::Load) => {
            line += "; to load, run: clfsload --new STATE_DIR SOURCE ACCOUNT CONTAINER";
        }
        None => {
            let error = command::parse([word]).err()?;
            let Some(ContextValue::Strings(near)) = error.get(ContextKind::SuggestedSubcommand)
            else {
                return None;
            };
            // clap sorts suggestions by rising similarity.
            write!(line, "; did you mean: clfsload {} ...", near.last()?).ok()?;
        }
    }
    Some(line)
}

enum Synonym {
    Command(&'static str),
    Load,
}

/// The command that has this name in other tools.
fn synonym(word: &str) -> Option<Synonym> {
    Some(match word {
        "list" | "dir" | "tree" => Synonym::Command("ls"),
        "check" | "fsck" | "scrub" => Synonym::Command("verify"),
        "restore" | "download" | "get" | "export" | "unpack" => Synonym::Command("extract"),
        "show" | "info" => Synonym::Command("stat"),
        "progress" => Synonym::Command("status"),
        "completion" => Synonym::Command("completions"),
        "load" | "new" | "upload" | "copy" | "cp" | "sync" | "import" | "resume" => Synonym::Load,
        _ => return None,
    })
}

/// `--new` for `-new`.
fn with_one_dash(word: &str) -> Option<String> {
    let name = word
        .strip_prefix('-')
        .filter(|name| !name.starts_with('-'))?;
    let name = name.split('=').next().unwrap_or(name);
    let arguments = Arguments::command();
    let known = arguments
        .get_arguments()
        .any(|argument| argument.get_long() == Some(name) && !argument.is_hide_set());
    (name.len() > 1 && known).then(|| format!("--{name}"))
}
