//! What the command tells of itself as a whole: below the options, and to who gave no words at all.

use super::command;

/// For who gave no words.
pub(super) fn first() -> String {
    format!(
        "\
Loads a folder into an Azure Blob container in CLFS format, and reads such containers.

Usage: clfsload [--new] STATE_DIR SOURCE ACCOUNT CONTAINER [SAS_TOKEN]
       clfsload COMMAND ...

{}

Options and the rest: clfsload -h, clfsload --help, clfsload COMMAND --help",
        commands_and_examples()
    )
}

/// What stands below the options of `-h`.
pub(super) fn short() -> String {
    format!(
        "{}\n\n--help tells of all options.",
        commands_and_examples()
    )
}

/// What stands below the options of `--help`.
pub(super) fn long() -> String {
    format!("{}\n\n{}", commands(), examples())
}

/// Examples and exit statuses.
pub(super) fn examples() -> String {
    format!(
        "\
{}
  clfsload --new /var/t2 /mnt/data file:///mnt/disk mycontainer
  clfsload verify --source /mnt/data /mnt/disk/mycontainer

Exit status: 0 done; 1 failed or stopped, run again without --new to go on; 2 the command is wrong;
3 done or at rest with failed entries.",
        first_examples()
    )
}

fn commands_and_examples() -> String {
    format!("{}\n\n{}", commands(), first_examples())
}

fn commands() -> String {
    format!(
        "Commands; clfsload COMMAND --help tells more:\n{}",
        command::list()
    )
}

fn first_examples() -> &'static str {
    "\
Examples (without --new, a load goes on):
  clfsload --new /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload --dry-run /mnt/data   what is in it, and what its load would take"
}
