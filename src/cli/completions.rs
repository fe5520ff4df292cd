//! `clfsload completions`: scripts that let a shell complete the words of the command.

use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use super::command::whole;
use super::{Failure, Status, terminal};

/// Writes a script that lets a shell complete clfsload's words
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: ShellWord,
}

const EXAMPLES: &str = "\
Examples:
  clfsload completions bash > ~/.local/share/bash-completion/completions/clfsload
  clfsload completions zsh > ~/.zfunc/_clfsload    # with fpath+=~/.zfunc before compinit
  clfsload completions fish > ~/.config/fish/completions/clfsload.fish";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
enum ShellWord {
    Bash,
    Zsh,
    Fish,
    Elvish,
    PowerShell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let shell = match arguments.shell {
        ShellWord::Bash => Shell::Bash,
        ShellWord::Zsh => Shell::Zsh,
        ShellWord::Fish => Shell::Fish,
        ShellWord::Elvish => Shell::Elvish,
        ShellWord::PowerShell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    generate(shell, &mut whole(), "clfsload", &mut script);
    terminal::document(&script)
}
