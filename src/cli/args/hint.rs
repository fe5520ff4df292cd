//! Suggestions for a command line that was refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::load::{LoadArguments, Target};
use super::location_hints as hints;
use super::{CommandLine, is_command};
use crate::state::State;

const ORDER: &str = "the order of the arguments is STATE_DIR SOURCE ACCOUNT CONTAINER";

/// Returns a suggestion for arguments of a load, after the program's name, that the parser refused with an
/// error of this kind.
pub(super) fn for_arguments(arguments: &[OsString], kind: ErrorKind) -> Option<String> {
    if !matches!(
        kind,
        ErrorKind::MissingRequiredArgument | ErrorKind::UnknownArgument
    ) {
        return None;
    }
    let texts: Vec<&str> = arguments
        .iter()
        .skip(1)
        .filter_map(|text| text.to_str())
        .collect();
    let arguments = match texts.split_first()? {
        (&"load", arguments) => arguments,
        (first, _) if is_command(first) => return None,
        (first, later) => {
            let meant = match first.starts_with('-') {
                false if texts.contains(&"--new") => None,
                false => command_meant(first),
                true => later.iter().find(|later| is_command(later)).map(|name| {
                    format!("the command must be the first argument: clfsload {name} ...")
                }),
            };
            if meant.is_some() {
                return meant;
            }
            &texts
        }
    };
    let load = CommandLine::command().find_subcommand("load")?.clone();
    let options = load.get_arguments().filter(|option| !option.is_hide_set());
    let names: Vec<&str> = options.filter_map(|option| option.get_long()).collect();
    let with_one_dash = |argument: &&str| {
        let name = argument.strip_prefix('-')?.split('=').next()?;
        (name.len() > 1 && names.contains(&name)).then(|| name.to_owned())
    };
    if let Some(name) = arguments.iter().find_map(with_one_dash) {
        return Some(format!("long options have two dashes: --{name}"));
    }
    if kind == ErrorKind::UnknownArgument {
        return None;
    }
    let line = load.no_binary_name(true).ignore_errors(true);
    let line = line.try_get_matches_from(arguments).ok()?;
    let is_url = |name| {
        let path = line.get_one::<PathBuf>(name).and_then(|path| path.to_str());
        path.is_some_and(|text| text.starts_with("https://") || text.starts_with("file://"))
    };
    match is_url("state") || is_url("source") {
        true => Some(ORDER.to_owned()),
        false => hints::container_url(line.get_one::<String>("account")?),
    }
}

/// Returns a suggestion for a load whose arguments were parsed, but that was refused.
pub(crate) fn for_load(arguments: &LoadArguments) -> Option<String> {
    let new = arguments.new;
    let Target {
        state,
        source,
        account,
        ..
    } = arguments.target().ok()?;
    if account.starts_with('/') && !source.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Some(ORDER.to_owned());
    }
    // The first argument of a resume without a state folder may be a mistyped command.
    let first = std::env::args_os().nth(1);
    if !new
        && !state.exists()
        && first.is_some_and(|first| first == state)
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

/// Returns a suggestion for a Windows path that does not exist.
pub(crate) fn windows_path(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|_| !path.exists())?;
    hints::windows_path(text)
}

/// Returns a suggestion for a word that is similar to a command.
fn command_meant(word: &str) -> Option<String> {
    if word.contains(['/', '.', '\\']) || Path::new(word).exists() {
        return None;
    }
    let meant = match synonym(word) {
        Some(name) => name.to_owned(),
        None => {
            let error = CommandLine::try_parse_from(["clfsload", word]).err()?;
            match error.get(ContextKind::SuggestedSubcommand)? {
                // clap sorts suggestions by rising similarity.
                ContextValue::Strings(near) => near.last()?.clone(),
                _ => return None,
            }
        }
    };
    Some(format!(
        "there is no command {word:?}; did you mean: clfsload {meant} ..."
    ))
}

/// Returns the command that has this name in other tools.
fn synonym(word: &str) -> Option<&'static str> {
    Some(match word {
        "list" | "dir" | "tree" => "ls",
        "check" | "fsck" | "scrub" => "verify",
        "restore" | "download" | "get" | "export" | "unpack" => "extract",
        "show" | "info" => "stat",
        "progress" => "status",
        "completion" => "completions",
        "new" | "upload" | "copy" | "cp" | "sync" | "import" | "resume" => "load",
        _ => return None,
    })
}
