//! `clfsload completions`: completion scripts for shells.
//!
//! clap_complete does not support a command that takes either a subcommand or arguments of its own. The options of the
//! load are therefore options of the top level, and the scripts of zsh and fish are changed so that a first argument
//! that is not a subcommand starts a load.

use clap::builder::Resettable;
use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::command::with_load;
use super::{Failure, Status, terminal};

/// Writes a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: ShellName,
}

const EXAMPLES: &str = "\
Examples:
  clfsload completions bash > ~/.local/share/bash-completion/completions/clfsload
  clfsload completions zsh > ~/.zfunc/_clfsload    # with fpath+=~/.zfunc before compinit
  clfsload completions fish > ~/.config/fish/completions/clfsload.fish";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Elvish,
    PowerShell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    terminal::document(script(arguments.shell).as_bytes())
}

fn script(shell: ShellName) -> String {
    match shell {
        ShellName::Bash => generated(Shell::Bash, top()),
        ShellName::Zsh => zsh(),
        ShellName::Fish => fish(),
        ShellName::Elvish => generated(Shell::Elvish, top()),
        ShellName::PowerShell => generated(Shell::PowerShell, top()),
    }
}

fn generated(shell: Shell, mut command: Command) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command, "clfsload", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The options of the load and the commands, without hidden options.
fn top() -> Command {
    let command = with_load();
    let options = command.get_arguments();
    let options = options.filter(|option| !option.is_positional() && !option.is_hide_set());
    Command::new("clfsload")
        .version(crate::cli::version::version())
        .args(options.map(standalone))
        .subcommands(command.get_subcommands().cloned())
        .disable_help_subcommand(true)
}

/// An argument without references to others, which the generated command may not have.
fn standalone(argument: &Arg) -> Arg {
    let argument = argument.clone();
    argument
        .conflicts_with(Resettable::Reset)
        .requires(Resettable::Reset)
}

/// The placeholder for a first argument that is not a command.
const ANY_FOLDER: &str = "anyfolder";

/// The generated script completes further arguments by a `case` over the commands. The load becomes its last branch,
/// for any other first argument, and the first argument may also be a folder.
fn zsh() -> String {
    let command = with_load();
    let arguments = command.get_arguments().filter(|argument| {
        // The first argument was completed before.
        argument.get_id() != "state" && !argument.is_hide_set()
    });
    let load = Command::new(ANY_FOLDER).args(arguments.map(standalone));
    let script = generated(Shell::Zsh, top().subcommand(load));
    let listed = format!("'{ANY_FOLDER}:");
    let lines = script.lines().filter(|line| !line.starts_with(&listed));
    let script: String = lines.flat_map(|line| [line, "\n"]).collect();
    script
        .replace(&format!("({ANY_FOLDER})"), "(*)")
        .replacen("\":: :_clfsload_commands\"", "\":: :_clfsload_first\"", 1)
        .replacen(
            "(( $+functions[_clfsload_commands] )) ||\n",
            "_clfsload_first() {\n    \
                 _alternative 'commands:command:_clfsload_commands' 'folders:state folder:_files -/'\n\
             }\n\n\
             (( $+functions[_clfsload_commands] )) ||\n",
            1,
        )
}

/// The options of the load are offered until there is a command, not only as the first argument.
fn fish() -> String {
    let needed = "-n \"__fish_clfsload_needs_command\"";
    let names: Vec<String> = top()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let without = format!(
        "-n \"not __fish_clfsload_using_subcommand {}\"",
        names.join(" ")
    );
    let script = generated(Shell::Fish, top());
    let lines =
        script.lines().map(
            |line| match line.contains(" -a \"") && !line.contains(" -r ") {
                true => line.to_owned(),
                false => line.replace(needed, &without),
            },
        );
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_zsh_and_fish_complete_a_load() {
        let zsh = zsh();
        assert!(!zsh.contains(&format!("({ANY_FOLDER})")));
        let case = zsh.find("case $line[1] in").zip(zsh.find("\n(*)\n"));
        assert!(case.is_some_and(|(case, load)| case < load), "{zsh}");
        assert_eq!(zsh.matches("_clfsload_first").count(), 2, "{zsh}");
        let fish = fish();
        let new = fish.lines().find(|line| line.contains(" -l new "));
        assert!(
            new.is_some_and(|line| line.contains("not __fish_clfsload_using_subcommand ls stat")),
            "{fish}"
        );
    }

    #[test]
    fn hidden_options_are_not_offered() {
        for shell in ShellName::value_variants() {
            let script = script(*shell);
            assert!(script.contains("preserve-hardlinks"), "{shell:?}");
            assert!(!script.contains("answer-timeout"), "{shell:?}");
        }
    }
}
