//! Verification of a container on a storage service.

use std::fs;

use crate::support::azurite::{ACCOUNT, Azurite, container_sas};
use crate::support::command::{CommandOutput, Scratch, clfsload};

#[test]
fn a_container_in_azurite_is_verified() {
    let scratch = Scratch::new();
    for directory in 0..3 {
        let at = scratch.source().join(format!("d{directory}"));
        fs::create_dir(&at).unwrap();
        for file in 0..40 {
            fs::write(at.join(format!("f{file}")), vec![7; file * 1000]).unwrap();
        }
    }
    let server = Azurite::shared();
    let container = Azurite::unused_name();
    server.create_container(&container);
    let mut arguments = scratch.arguments("t", &container);
    arguments[2] = ACCOUNT.to_owned();
    let loaded = clfsload()
        .arg("--new")
        .args(arguments)
        .args(["--blob-endpoint", &server.endpoint(), "--verify"])
        .env("AZURE_STORAGE_SAS_TOKEN", container_sas(&container, "rwdl"))
        .output()
        .unwrap();
    let ran = CommandOutput::from(loaded).expect(0);
    assert!(ran.stdout.contains("\nclean: "), "{ran:#?}");

    // Reading needs only these permissions.
    let verify = || {
        let output = clfsload()
            .arg("verify")
            .arg(format!("{}/{container}", server.endpoint()))
            .arg("--source")
            .arg(scratch.source())
            .env("AZURE_STORAGE_SAS_TOKEN", container_sas(&container, "rl"))
            .output()
            .unwrap();
        CommandOutput::from(output)
    };
    let ran = verify().expect(0);
    assert!(ran.stdout.contains("124 entries"), "{ran:#?}");
    fs::remove_file(scratch.source().join("d1/f7")).unwrap();
    let ran = verify().expect(3);
    assert!(
        ran.stdout.contains("error: /d1/f7: it is in the container"),
        "{ran:#?}"
    );
    server.remove_container(&container);
    verify().expect(1);
}
