//! The option to verify after a load, and the hint without it.

use std::fs;

use crate::support::command::Scratch;

#[test]
fn a_load_verifies_on_request_and_suggests_the_command_otherwise() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("file"), vec![7; 20_000]).unwrap();
    let ran = scratch.load("t", &["--verify"]).expect(0);
    assert!(ran.stdout.contains("\nclean: no errors"), "{ran:#?}");
    assert!(!ran.stdout.contains("to check it"), "{ran:#?}");
    let container = scratch.container("t");
    let ran = scratch.resume("t", &[]).expect(0);
    let advice = format!("to check it: clfsload verify {}\n", container.display());
    assert!(ran.stdout.ends_with(&advice), "{ran:#?}");

    let segment = fs::read_dir(&container)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains(".0008."))
        .unwrap();
    fs::remove_file(segment).unwrap();
    let ran = scratch.resume("t", &["--verify"]).expect(3);
    assert!(ran.stdout.contains("error: /file (blob "), "{ran:#?}");
    assert!(ran.stdout.contains("[dangling, section 6]"), "{ran:#?}");
    // Without the option there is no verification.
    scratch.resume("t", &[]).expect(0);
}
