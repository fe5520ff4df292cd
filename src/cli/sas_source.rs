//! Where the SAS token comes from.

use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::container::sas::SasToken;

/// The variable that other Azure tools use too.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";
/// Far more than any token has.
const MAX_BYTES: u64 = 64 << 10;

/// The token of the command line, a file, standard input or the environment; the first of them.
pub(super) fn sas_token(
    word: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<SasToken>, Failure> {
    let text = match (word, file) {
        (Some("-"), _) => Some(read(std::io::stdin(), "standard input")?),
        (Some(word), _) => Some(word.to_owned()),
        (None, Some(path)) => {
            let name = format!("the SAS token file {}", path.display());
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
            Some(read(file, &name)?)
        }
        (None, None) => std::env::var(VARIABLE).ok(),
    };
    text.map(|text| SasToken::parse(text.trim()).map_err(Failure::usage))
        .transpose()
}

fn read(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    Ok(text)
}
