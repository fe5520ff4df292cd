//! The overview of all commands: below the options in the help, and for a command without arguments.

use super::command;

/// The text for a command without arguments.
pub(super) fn first() -> String {
    format!(
        "\
Loads a folder into an Azure Blob container in CLFS format, and reads such containers.

Usage: clfsload [--new] STATE_DIR SOURCE ACCOUNT CONTAINER [SAS_TOKEN]
       clfsload COMMAND ...

{}

For options, see: clfsload -h, clfsload --help, clfsload COMMAND --help",
        commands_and_examples()
    )
}

/// The text below the options of `-h`.
pub(super) fn short() -> String {
    format!("{}\n\n--help shows all options.", commands_and_examples())
}

/// The text below the options of `--help`.
pub(super) fn long() -> String {
    format!("{}\n\n{}", commands(), examples())
}

/// Examples and exit status.
pub(super) fn examples() -> String {
    format!(
        "\
{}
  clfsload --new /var/t2 /mnt/data file:///mnt/disk mycontainer
  clfsload verify --source /mnt/data /mnt/disk/mycontainer

Exit status: 0 done; 1 failed or stopped (resume without --new); 2 the command is wrong; 3 done or
paused with failed entries.",
        first_examples()
    )
}

fn commands_and_examples() -> String {
    format!("{}\n\n{}", commands(), first_examples())
}

fn commands() -> String {
    format!(
        "Commands (for details, clfsload COMMAND --help):\n{}",
        command::list()
    )
}

fn first_examples() -> &'static str {
    "\
Examples (without --new, a load resumes):
  clfsload --new /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload --dry-run /mnt/data   what it contains, and an estimate of its load"
}
