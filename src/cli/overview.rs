//! What the command tells of itself as a whole: below the options, and to who gave no words at all.

use super::command;

/// For who gave no words.
pub(super) fn first() -> String {
    format!(
        "\
clfsload loads a folder into an Azure Blob container in CLFS format, and reads such containers.

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
    format!(
        "\
{}
  clfsload --new /var/clfsload/t2 /mnt/data file:///mnt/disk mycontainer
  clfsload verify --source /mnt/data /mnt/disk/mycontainer

Exit status: 0 done; 1 failed or stopped, run again without --new to go on; 2 the command is wrong;
3 done or at rest with failed entries.",
        commands_and_examples()
    )
}

fn commands_and_examples() -> String {
    format!(
        "\
A load is: clfsload [--new] STATE_DIR SOURCE ACCOUNT CONTAINER
Everything else is a command; clfsload COMMAND --help tells more:
{}

Examples:
  clfsload --new /var/clfsload/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload /var/clfsload/t1 /mnt/data myaccount mycontainer --sas-token-file token   # goes on",
        command::list()
    )
}
