//! The sources of the SAS token.

use std::fs::File;
use std::path::Path;

use super::Failure;
use crate::container::sas::SasToken;
use crate::container::token::read_token;

/// The environment variable, which other Azure tools use too.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";

/// Returns the token of the command line ("-" for standard input), of the file, or of the environment: the first that
/// is given.
pub(super) fn sas_token(
    argument: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<SasToken>, Failure> {
    let token = match (argument, file) {
        (Some("-"), _) => read_token(std::io::stdin())
            .map_err(|error| Failure::usage(format!("the SAS token on standard input: {error}")))?,
        (Some(token), _) => SasToken::parse(token).map_err(Failure::usage)?,
        (None, Some(path)) => File::open(path)
            .map_err(Into::into)
            .and_then(read_token)
            .map_err(|error| {
                Failure::usage(format!("the SAS token file {}: {error}", path.display()))
            })?,
        (None, None) => match std::env::var(VARIABLE) {
            Ok(token) => SasToken::parse(&token).map_err(Failure::usage)?,
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(token))
}
