//! The credential of a command: where its SAS token is found.

use std::path::Path;

use crate::cli::Failure;
use crate::container::ContainerLocation;
use crate::container::credential::sas::SasToken;
use crate::container::credential::{Credential, read_token, read_token_file};

/// The environment variable, which other Azure tools use too.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";

/// The places of a SAS token in the arguments. They contain secrets, so there is no `Debug`.
#[derive(Default)]
pub(in crate::cli) struct TokenArguments<'a> {
    /// The query of the container's URL.
    pub(in crate::cli) url: Option<&'a str>,
    /// The argument SAS_TOKEN; "-" is standard input.
    pub(in crate::cli) argument: Option<&'a str>,
    /// The file of `--sas-token-file`; "-" is standard input.
    pub(in crate::cli) file: Option<&'a Path>,
}

/// Returns the credential for a container: none for a folder, otherwise the first token that is given in the URL, as an
/// argument, in a file, or in the environment.
pub(in crate::cli) fn find(
    location: &ContainerLocation,
    given: &TokenArguments<'_>,
) -> Result<Credential, Failure> {
    if let ContainerLocation::Folder { .. } = location {
        return Ok(Credential::None);
    }
    let file = given.file.filter(|file| file.as_os_str() != "-");
    let standard_input = given.file.is_some() && file.is_none();
    let token = match (given.url, given.argument) {
        (Some(query), _) => SasToken::parse(query).map_err(|problem| {
            Failure::usage(format!("the SAS token in the container's URL: {problem}"))
        })?,
        (None, Some(token)) if token != "-" => SasToken::parse(token).map_err(Failure::usage)?,
        (None, argument) if argument.is_some() || standard_input => read_token(std::io::stdin())
            .map_err(|problem| {
                Failure::usage(format!("the SAS token on standard input: {problem}"))
            })?,
        _ => match (file, std::env::var(VARIABLE)) {
            (Some(file), _) => read_token_file(file).map_err(Failure::usage)?,
            (None, Ok(token)) => SasToken::parse(&token).map_err(Failure::usage)?,
            (None, Err(_)) => {
                return Err(Failure::usage(format!(
                    "a SAS token is needed for the container {location}: give it with --sas-token-file or in {VARIABLE}"
                )));
            }
        },
    };
    // A pipe can be read only once; only a file can provide the next token.
    let file = file.filter(|file| file.is_file()).map(Path::to_path_buf);
    Ok(Credential::Sas { token, file })
}
