//! Where the SAS token comes from.

use std::fs::File;
use std::path::Path;

use super::Failure;
use crate::container::sas::SasToken;
use crate::container::token::read_token;

/// The variable that other Azure tools use too.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";

/// The token of the command line, a file, standard input or the environment; the first of them.
pub(super) fn sas_token(
    word: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<SasToken>, Failure> {
    let token = match (word, file) {
        (Some("-"), _) => read_token(std::io::stdin())
            .map_err(|error| Failure::usage(format!("the SAS token on standard input: {error}")))?,
        (Some(word), _) => SasToken::parse(word).map_err(Failure::usage)?,
        (None, Some(path)) => File::open(path)
            .map_err(Into::into)
            .and_then(read_token)
            .map_err(|error| {
                Failure::usage(format!("the SAS token file {}: {error}", path.display()))
            })?,
        (None, None) => match std::env::var(VARIABLE) {
            Ok(word) => SasToken::parse(&word).map_err(Failure::usage)?,
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(token))
}
