//! The examples do what their first lines say.

#[path = "../../examples/decode.rs"]
#[allow(dead_code, unreachable_pub)]
mod decode;
#[path = "../../examples/encode.rs"]
#[allow(dead_code, unreachable_pub)]
mod encode;
#[path = "../../examples/inspect.rs"]
#[allow(dead_code, unreachable_pub)]
mod inspect;

use crate::golden::{CONTAINERS, container};

#[test]
fn golden_containers_are_described_and_keep_all_rules() {
    for (file, _) in CONTAINERS {
        let mut directories = 0;
        for (name, blob) in container(file) {
            // The original loader's log.
            if name.ends_with(".txt") {
                continue;
            }
            let text = decode::describe(&name, &blob).unwrap();
            directories += usize::from(text.starts_with("inode of") && text.contains(" .."));
            assert_eq!(
                inspect::broken_rules(&name, &blob),
                Ok(Vec::new()),
                "{name}"
            );
        }
        assert!(directories > 1, "{file}");
    }
}

#[test]
fn an_encoded_file_is_decoded_and_a_damaged_one_inspected() {
    let (name, blob) = encode::encode(b"greeting", b"hello").unwrap();
    let text = decode::describe(&name, &blob).unwrap();
    assert_eq!(
        text,
        "inode of \"greeting\": mode 100644, owner 0:0, 5 bytes"
    );
    assert_eq!(inspect::broken_rules(&name, &blob), Ok(Vec::new()));
    assert!(encode::encode(b"", b"hello").is_err());
    assert!(inspect::broken_rules(&name, &blob[..8]).is_err());
}
