//! Warnings before a load that the source may not be mounted.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::mounts;
use crate::support::skip::skip;

/// Runs the command in a separate mount namespace with another /etc/fstab.
fn run_with_fstab(fstab: &Path, arguments: &[String]) -> CommandOutput {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command
        .arg("mount --bind \"$0\" /etc/fstab && exec \"$@\"")
        .arg(fstab);
    command.arg(clfsload().get_program()).args(arguments);
    CommandOutput::from(command.output().unwrap())
}

fn survey(fstab: &Path, source: &Path) -> CommandOutput {
    let source = source.display().to_string();
    run_with_fstab(fstab, &["--dry-run".to_owned(), source])
}

#[test]
fn an_empty_mount_point_of_fstab_causes_a_warning() {
    if !mounts::possible() {
        return;
    }
    if !Path::new("/etc/fstab").exists() {
        return skip("there is no /etc/fstab");
    }
    let scratch = Scratch::new();
    let source = scratch.source().canonicalize().unwrap();
    let inside = source.join("in side");
    fs::create_dir(&inside).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let fstab = scratch.path("fstab");
    let line = format!("server:/x {}/in\\040side nfs ro 0 0\n", source.display());
    fs::write(&fstab, line).unwrap();
    let warning = format!(
        "nothing is mounted on {}, which is a mount point",
        inside.display()
    );
    let mut arguments = scratch.arguments("t", "t");
    arguments.push("--new".to_owned());
    run_with_fstab(&fstab, &arguments).refused(0, &warning);
    let ran = survey(&fstab, &source).expect(0);
    assert!(
        ran.stdout
            .contains("mount points in /etc/fstab that are empty"),
        "{ran:#?}"
    );
    assert!(ran.stdout.contains("in side"), "{ran:#?}");
    // A mount point that is mounted or not empty causes no warning.
    fs::write(inside.join("file"), "content").unwrap();
    let mut arguments = scratch.arguments("u", "u");
    arguments.push("--new".to_owned());
    let ran = run_with_fstab(&fstab, &arguments).expect(0);
    assert!(!ran.stderr.contains("nothing is mounted"), "{ran:#?}");
    let ran = survey(&fstab, &source).expect(0);
    assert!(!ran.stdout.contains("/etc/fstab"), "{ran:#?}");
}

#[test]
fn an_empty_source_causes_a_warning() {
    let scratch = Scratch::new();
    let source = scratch.source().canonicalize().unwrap();
    let warning = format!(
        "the source {} is empty: is its file system mounted?",
        source.display()
    );
    scratch.load("t", &[]).refused(0, &warning);
    let path = source.display().to_string();
    let ran = crate::support::command::run(["--dry-run", &path]).expect(0);
    assert!(
        ran.stdout
            .contains("the source is empty: is its file system mounted?"),
        "{ran:#?}"
    );
    // A resume that finds no more entries does not warn again.
    let ran = scratch.resume("t", &[]).expect(0);
    assert!(!ran.stderr.contains("is empty"), "{ran:#?}");
}
