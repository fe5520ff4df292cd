//! Shared access signatures (SAS): tokens that authorize requests, and checks of a token before its first use.
//!
//! The fields are described in Azure's documentation, "Create a service SAS" and "Create an account SAS". The signature
//! (`sig`) is the secret: it leaves this type only in the URL of a request.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use thiserror::Error;
use url::form_urlencoded;

/// A SAS token for a container or an account.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    /// Percent-decoded fields in the given order.
    fields: Box<[(String, String)]>,
    /// The fields, percent-encoded for the query of a request.
    query: Box<str>,
    start: Option<SystemTime>,
    expiry: Option<SystemTime>,
}

/// Why a text is not a SAS token. Contains no part of the text except the names of fields.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSas {
    /// The text is empty.
    #[error("the SAS token is empty")]
    Empty,
    /// The `sig` field is missing.
    #[error(
        "the SAS token has no signature (field sig): it seems to be cut off; quote the token, because the shell ends an argument at '&'"
    )]
    NoSignature,
    /// The signature is empty.
    #[error("the SAS token's signature (sig=) is empty; copy the token again")]
    EmptySignature,
    /// A part of the text is not `name=value`.
    #[error("the SAS token is not of the form name=value&name=value; copy the token again")]
    Form,
    /// The text contains the quotes that a shell would have removed.
    #[error(
        "the SAS token contains the quotes around it: remove them, because a token in a file or a variable needs none"
    )]
    Quoted,
    /// The text is a URL that ends with a token.
    #[error("the SAS token is a complete URL: give only the part after the '?'")]
    Url,
    /// The text is a key that signs tokens.
    #[error(
        "the SAS token is an account key or a connection string: use it to create a SAS token for the container, which grants less and expires"
    )]
    Key,
    /// A field occurs twice.
    #[error("the SAS token has the field {0:?} twice; copy the token again")]
    Repeated(&'static str),
    /// The value of a field is not a time.
    #[error("the SAS token's field {0} is not a time such as 2030-01-31T12:00:00Z")]
    Time(&'static str),
}

/// Permissions of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// `r`
    pub read: bool,
    /// `w`; `c` (create) alone cannot replace a blob, so it is not enough.
    pub write: bool,
    /// `d`
    pub delete: bool,
    /// `l`
    pub list: bool,
}

impl Permissions {
    /// The permissions that a load needs.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        delete: true,
        list: true,
    };
    /// The permissions that reading a container needs.
    pub const READ: Self = Self {
        read: true,
        write: false,
        delete: false,
        list: true,
    };

    /// Returns the names and letters of these permissions.
    fn names(self) -> impl Iterator<Item = (&'static str, char)> {
        let all = [
            (self.read, "read", 'r'),
            (self.write, "write", 'w'),
            (self.delete, "delete", 'd'),
            (self.list, "list", 'l'),
        ];
        all.into_iter()
            .filter_map(|(is_set, name, letter)| is_set.then_some((name, letter)))
    }
}

/// Formats the permissions as in `read and list (rl)`.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, letters): (Vec<&str>, String) = self.names().unzip();
        match names.split_last() {
            Some((last, [])) => write!(f, "{last} ({letters})"),
            Some((last, before)) => write!(f, "{} and {last} ({letters})", before.join(", ")),
            None => Ok(()),
        }
    }
}

/// Why a token would be rejected, as far as its fields show.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SasProblem {
    /// The token has expired.
    #[error("the SAS token expired at {0}: get a new one")]
    Expired(String),
    /// The token is not valid yet.
    #[error("the SAS token is valid only from {0}: wait, or check this host's clock")]
    NotYetValid(String),
    /// Permissions are missing.
    #[error("the SAS token lacks the permissions {missing}: get one with {needed}")]
    Permissions {
        /// The missing permissions.
        missing: String,
        /// All permissions that are needed.
        needed: Permissions,
    },
    /// The token is for a resource other than a container.
    #[error(
        "the SAS token is for a single {0}, not for a container (sr=c): get one for the container"
    )]
    Resource(&'static str),
    /// An account SAS that does not grant access to the blob service.
    #[error(
        "the SAS token is for an account, but not for its blob service (ss={0}): it needs ss with b"
    )]
    Service(String),
    /// An account SAS that does not grant access to containers and objects.
    #[error(
        "the SAS token is for an account, but not for containers and objects (srt={0}): it needs srt with c and o"
    )]
    ResourceTypes(String),
    /// The token is neither a service SAS nor an account SAS.
    #[error("the SAS token has neither sr (container) nor ss and srt (account): copy it again")]
    UnknownKind,
}

/// The tolerated difference between clocks, before a token counts as not yet valid. Azure recommends 15 minutes.
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

const KNOWN_FIELDS: [&str; 10] = [
    "sp", "se", "st", "sr", "ss", "srt", "sig", "sv", "si", "spr",
];

impl SasToken {
    /// Parses a token in the form of a URL's query. A leading `?` and surrounding white space are ignored.
    pub fn parse(token: &str) -> Result<Self, InvalidSas> {
        let token = token.trim();
        let token = token.strip_prefix('?').unwrap_or(token);
        if token.is_empty() {
            return Err(InvalidSas::Empty);
        }
        if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidSas::Form);
        }
        if token.starts_with(['"', '\'']) {
            return Err(InvalidSas::Quoted);
        }
        if token.contains("://") && token.contains('?') {
            return Err(InvalidSas::Url);
        }
        // A key is 64 bytes in Base64.
        if token.contains("AccountKey=") || !token.contains('&') && token.ends_with("==") {
            return Err(InvalidSas::Key);
        }
        let mut fields = Vec::new();
        for part in token.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(InvalidSas::Form)?;
            let name = percent_decoded(name).ok_or(InvalidSas::Form)?;
            let value = percent_decoded(value).ok_or(InvalidSas::Form)?;
            fields.push((name, value));
        }
        for known in KNOWN_FIELDS {
            if fields.iter().filter(|(name, _)| name == known).count() > 1 {
                return Err(InvalidSas::Repeated(known));
            }
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&fields)
            .finish();
        let mut sas = Self {
            fields: fields.into(),
            query: query.into(),
            start: None,
            expiry: None,
        };
        match sas.field("sig") {
            None => return Err(InvalidSas::NoSignature),
            Some("") => return Err(InvalidSas::EmptySignature),
            Some(_) => {}
        }
        let time = |name: &'static str| match sas.field(name) {
            Some(text) => parse_time(text).map(Some).ok_or(InvalidSas::Time(name)),
            None => Ok(None),
        };
        (sas.start, sas.expiry) = (time("st")?, time("se")?);
        Ok(sas)
    }

    /// Returns the expiry; `None` if a stored access policy sets it, which only the service knows.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    /// Checks whether the token is valid at `now` and grants the `needed` permissions, as far as its fields show.
    ///
    /// Restrictions of a stored access policy (`si`) are not checked.
    ///
    /// # Errors
    /// The first problem found.
    pub fn check(&self, now: SystemTime, needed: Permissions) -> Result<(), SasProblem> {
        let text = |name| self.field(name).unwrap_or_default().to_owned();
        if self.expiry.is_some_and(|expiry| now >= expiry) {
            return Err(SasProblem::Expired(text("se")));
        }
        let skewed = now.checked_add(CLOCK_SKEW).unwrap_or(now);
        if self.start.is_some_and(|start| start > skewed) {
            return Err(SasProblem::NotYetValid(text("st")));
        }
        match (self.field("sr"), self.field("ss"), self.field("srt")) {
            (Some("c"), ..) => {}
            (Some("b" | "bs" | "bv"), ..) => return Err(SasProblem::Resource("blob")),
            (Some("d"), ..) => return Err(SasProblem::Resource("directory")),
            (Some("s" | "f"), ..) => return Err(SasProblem::Resource("file share or file")),
            (None, Some(services), Some(types)) => {
                if !services.contains('b') {
                    return Err(SasProblem::Service(services.to_owned()));
                }
                if !(types.contains('c') && types.contains('o')) {
                    return Err(SasProblem::ResourceTypes(types.to_owned()));
                }
            }
            _ => return Err(SasProblem::UnknownKind),
        }
        let lacking = |missing| SasProblem::Permissions { missing, needed };
        let Some(granted) = self.field("sp") else {
            return match self.field("si") {
                Some(_) => Ok(()),
                None => Err(lacking(missing("", needed))),
            };
        };
        match missing(granted, needed) {
            missing if missing.is_empty() => Ok(()),
            missing => Err(lacking(missing)),
        }
    }

    /// Returns the percent-encoded query of a request. It contains the signature: not for messages.
    pub(crate) fn secret_query(&self) -> &str {
        &self.query
    }

    /// Returns the percent-decoded fields. They contain the signature: not for messages.
    pub(crate) fn secret_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn field(&self, field: &str) -> Option<&str> {
        self.secret_fields()
            .find_map(|(name, value)| (name == field).then_some(value))
    }
}

/// Shows every known field except the signature. The values of unknown fields are not shown, because they may be secret.
impl fmt::Display for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                f.write_str("&")?;
            }
            let shown = if name != "sig" && KNOWN_FIELDS.contains(&name.as_str()) {
                value.as_str()
            } else {
                "REDACTED"
            };
            write!(f, "{}={}", name.escape_default(), shown.escape_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SasToken({self})")
    }
}

fn missing(granted: &str, needed: Permissions) -> String {
    let names: Vec<String> = needed
        .names()
        .filter(|&(_, letter)| !granted.contains(letter))
        .map(|(name, letter)| format!("{name} ({letter})"))
        .collect();
    names.join(", ")
}

/// Decodes percent-encoded UTF-8. A `+` stays: portals issue signatures whose Base64 `+` may be escaped or not, and that
/// contain no spaces.
pub(in crate::container) fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// Parses the formats that Azure accepts: `YYYY-MM-DD`, with `Thh:mmTZD`, with `Thh:mm:ssTZD`; also with a fraction of a second.
fn parse_time(text: &str) -> Option<SystemTime> {
    let timestamp: Timestamp = match text.contains('T') {
        true => text.parse().ok()?,
        false => {
            let date: Date = text.parse().ok()?;
            date.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    Some(timestamp.into())
}

/// Redacts the signatures of tokens in a text: what follows `sig=`, up to a character that no signature contains.
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("sig=") {
        shown.push_str(before);
        shown.push_str("sig=REDACTED");
        let is_in_signature = |c: char| c.is_ascii_alphanumeric() || "%+/=-_".contains(c);
        rest = after.trim_start_matches(is_in_signature);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
#[path = "sas_tests.rs"]
mod tests;
