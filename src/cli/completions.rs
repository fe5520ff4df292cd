//! `clfsload completions`: scripts that let a shell complete the words of the command.
//!
//! The generators know of commands with subcommands, not of one that also takes words without any.
//! They are given the load's options at the top, and where a shell's script stops at a first word that
//! is no subcommand, the load is put there.

use clap::builder::Resettable;
use clap::{Arg, Args, Command, ValueEnum};
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
    terminal::document(script(arguments.shell).as_bytes())
}

fn script(shell: ShellWord) -> String {
    match shell {
        ShellWord::Bash => generated(Shell::Bash, top()),
        ShellWord::Zsh => zsh(),
        ShellWord::Fish => fish(),
        ShellWord::Elvish => generated(Shell::Elvish, top()),
        ShellWord::PowerShell => generated(Shell::PowerShell, top()),
    }
}

fn generated(shell: Shell, mut command: Command) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command, "clfsload", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The load's options and the commands; what is hidden from help is not offered.
fn top() -> Command {
    let whole = whole();
    let options = whole.get_arguments();
    let options = options.filter(|option| !option.is_positional() && !option.is_hide_set());
    Command::new("clfsload")
        .version(crate::version::version())
        .args(options.map(alone))
        .subcommands(whole.get_subcommands().cloned())
        .disable_help_subcommand(true)
}

/// One that names no other, which may be left out.
fn alone(argument: &Arg) -> Arg {
    let argument = argument.clone();
    argument
        .conflicts_with(Resettable::Reset)
        .requires(Resettable::Reset)
}

/// Stands for a first word that is no command.
const ANY_FOLDER: &str = "anyfolder";

/// What follows the first word is completed by a `case` over the commands: the load becomes its last
/// branch, for any other word. The first word itself may also be a folder.
fn zsh() -> String {
    let whole = whole();
    let words = whole.get_arguments().filter(|word| {
        // The first one is taken when this is reached.
        word.get_id() != "state" && !word.is_hide_set()
    });
    let load = Command::new(ANY_FOLDER).args(words.map(alone));
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

/// The load's options are offered as long as there is no command, not only as the first word.
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
    fn the_load_is_where_the_generated_scripts_have_no_place_for_it() {
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
        for shell in ShellWord::value_variants() {
            let script = script(*shell);
            assert!(script.contains("preserve-hardlinks"), "{shell:?}");
            assert!(!script.contains("answer-timeout"), "{shell:?}");
        }
    }
}
