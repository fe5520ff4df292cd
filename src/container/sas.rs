//! Shared access signatures: the token that lets a request in, and what can be told from it beforehand.
//!
//! The fields are those of Azure's documentation "Create a service SAS" and "Create an account SAS". The
//! signature (`sig`) is the secret: it leaves this type only as part of a request's URL.

use std::fmt;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use url::form_urlencoded;

/// A SAS token for a container or an account.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    /// Percent-decoded fields in the given order.
    fields: Box<[(String, String)]>,
    /// The fields as a request's query has them.
    query: Box<str>,
    start: Option<SystemTime>,
    expiry: Option<SystemTime>,
}

/// Why a text is no SAS token. Holds nothing of the text but field names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSas {
    /// Nothing was given.
    #[error("the SAS token is empty")]
    Empty,
    /// There is no `sig` field.
    #[error(
        "the SAS token has no signature (field sig): it seems to be cut off; quote the token, since the shell ends a word at '&'"
    )]
    NoSignature,
    /// The signature is empty.
    #[error("the SAS token's signature (sig=) is empty; copy the token again")]
    EmptySignature,
    /// A part of it is not `name=value`.
    #[error("the SAS token is not of the form name=value&name=value; copy the token again")]
    Form,
    /// The quotes that a shell would have taken away are part of it.
    #[error(
        "the SAS token stands in quotes that are part of it: leave them out, in a file or a variable it needs none"
    )]
    Quoted,
    /// It is a URL with a token at its end.
    #[error("the SAS token is a whole URL: give what follows its '?'")]
    WholeUrl,
    /// It is what signs tokens, not one.
    #[error(
        "the SAS token is an account's key or a connection string: make a SAS token for the container with it, which can do less and ends"
    )]
    Key,
    /// A field occurs twice.
    #[error("the SAS token has the field {0:?} twice; copy the token again")]
    Repeated(&'static str),
    /// A time could not be read.
    #[error("the SAS token's field {0} is not a time such as 2030-01-31T12:00:00Z")]
    Time(&'static str),
}

/// Permissions that a transfer may need.
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
    /// What loading needs.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        delete: true,
        list: true,
    };
    /// What reading a container needs.
    pub const READ: Self = Self {
        read: true,
        write: false,
        delete: false,
        list: true,
    };
}

/// As it is asked for: `read and list (rl)`.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = [
            (self.read, "read", 'r'),
            (self.write, "write", 'w'),
            (self.delete, "delete", 'd'),
            (self.list, "list", 'l'),
        ];
        let granted: Vec<_> = granted.iter().filter(|(granted, ..)| *granted).collect();
        let letters: String = granted.iter().map(|(.., letter)| letter).collect();
        for (number, (_, name, _)) in granted.iter().enumerate() {
            let before = match number {
                0 => "",
                last if last + 1 == granted.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{name}")?;
        }
        write!(f, " ({letters})")
    }
}

/// What makes a token useless before it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SasProblem {
    /// It is past its expiry.
    #[error("the SAS token expired at {0}: get a new one")]
    Expired(String),
    /// Its start lies ahead.
    #[error("the SAS token is valid only from {0}: wait, or check this host's clock")]
    NotYetValid(String),
    /// Permissions are missing.
    #[error("the SAS token lacks the permissions {missing}: get one with {needed}")]
    Permissions {
        /// Those that it lacks.
        missing: String,
        /// What it is needed for.
        needed: Permissions,
    },
    /// It is for something other than a container.
    #[error(
        "the SAS token is for a single {0}, not for a container (sr=c): get one for the container"
    )]
    Resource(&'static str),
    /// An account SAS that does not reach blobs.
    #[error(
        "the SAS token is for an account, but not for its blob service (ss={0}): it needs ss with b"
    )]
    Service(String),
    /// An account SAS that does not reach containers and objects.
    #[error(
        "the SAS token is for an account, but not for containers and objects (srt={0}): it needs srt with c and o"
    )]
    ResourceTypes(String),
    /// The token is of no known kind.
    #[error("the SAS token says neither sr (container) nor ss and srt (account): copy it again")]
    UnknownKind,
}

/// Clocks differ; a token is taken as not yet valid only beyond this. Azure recommends to allow for 15 minutes.
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

const KNOWN_FIELDS: [&str; 10] = [
    "sp", "se", "st", "sr", "ss", "srt", "sig", "sv", "si", "spr",
];

impl SasToken {
    /// Reads a token in the form of a URL's query; a leading `?` and surrounding white space are dropped.
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
            return Err(InvalidSas::WholeUrl);
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

    /// When it ends; `None` when a stored access policy says so, which only the service knows.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    /// Whether it can be used at `now` for what is `needed`, as far as the token itself tells.
    ///
    /// What a stored access policy (`si`) decides is left to the service.
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

    /// A request's query, percent-encoded, with the signature: not for messages.
    pub(crate) fn secret_query(&self) -> &str {
        &self.query
    }

    /// The fields of [`SasToken::secret_query`], percent-decoded, with the signature: not for messages.
    pub(crate) fn secret_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn field(&self, wanted: &str) -> Option<&str> {
        self.secret_fields()
            .find_map(|(name, value)| (name == wanted).then_some(value))
    }
}

/// Shows every known field but the signature; of unknown fields only the names, since nobody knows what they hold.
impl fmt::Display for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.fields.iter().enumerate() {
            if place > 0 {
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
    let wanted = [
        (needed.read, 'r', "read (r)"),
        (needed.write, 'w', "write (w)"),
        (needed.delete, 'd', "delete (d)"),
        (needed.list, 'l', "list (l)"),
    ];
    let names: Vec<&str> = wanted
        .into_iter()
        .filter(|&(needed, letter, _)| needed && !granted.contains(letter))
        .map(|(_, _, name)| name)
        .collect();
    names.join(", ")
}

/// Percent-decoding. A `+` stays: portals hand out signatures whose Base64 `+` is escaped or bare, but never a space.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
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

/// The forms that Azure takes: `YYYY-MM-DD`, with `Thh:mmTZD`, with `Thh:mm:ssTZD`; also with a fraction of a second.
fn parse_time(text: &str) -> Option<SystemTime> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut seconds = days_since_1970(year, month, day).checked_mul(86_400)?;
    if let Some(time) = time {
        seconds = seconds.checked_add(parse_clock(time)?)?;
    }
    match u64::try_from(seconds) {
        Ok(after) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    }
}

/// Seconds of `hh:mm[:ss[.f]]` and a zone (`Z`, `+hh:mm` or `-hh:mm`).
fn parse_clock(time: &str) -> Option<i64> {
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = match parts.next() {
        Some(second) => {
            let (whole, fraction) = second.split_once('.').unwrap_or((second, "0"));
            fraction.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            number(whole, 2)?
        }
        None => 0,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = match (zone.get(..1)?, zone.get(1..)?) {
        ("Z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
            match sign {
                "+" => offset,
                "-" => -offset,
                _ => return None,
            }
        }
    };
    Some(hour * 3600 + minute * 60 + second - offset)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 in the Gregorian calendar; years start in March here, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (153 * month + 2) / 5;
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

/// A text without the signatures of tokens in it: what follows `sig=` up to a character that no
/// signature holds.
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("sig=") {
        shown.push_str(before);
        shown.push_str("sig=REDACTED");
        let of_signature = |c: char| c.is_ascii_alphanumeric() || "%+/=-_".contains(c);
        rest = after.trim_start_matches(of_signature);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
#[path = "sas_tests.rs"]
mod tests;
