//! `clfsload completions`: completion scripts for shells.

use clap::{Args, Command, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::args::CommandLine;
use crate::cli::output::terminal;
use crate::cli::{Failure, Status};

/// Writes a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  clfsload completions bash > ~/.local/share/bash-completion/completions/clfsload
  clfsload completions zsh > ~/.zfunc/_clfsload    # with fpath+=~/.zfunc before compinit
  clfsload completions fish > ~/.config/fish/completions/clfsload.fish";

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    terminal::document(&script(arguments.shell))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = visible(&CommandLine::command());
    generate(shell, &mut command, "clfsload", &mut script);
    script
}

/// Returns the command without hidden options, which clap_complete would offer.
fn visible(command: &Command) -> Command {
    let options = command
        .get_arguments()
        .filter(|option| !option.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .version(command.get_version().unwrap_or_default().to_owned())
        .disable_help_flag(command.is_disable_help_flag_set())
        .args(options.cloned())
        .groups(command.get_groups().cloned())
        .subcommands(command.get_subcommands().map(visible))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn hidden_options_are_not_offered() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8_lossy(&script(*shell)).into_owned();
            assert!(script.contains("preserve-hardlinks"), "{shell:?}");
            assert!(!script.contains("answer-timeout"), "{shell:?}");
        }
    }
}
