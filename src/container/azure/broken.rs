//! How the way to the service failed, as the HTTP client's errors tell it, without the token.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use url::form_urlencoded;

use super::super::NetworkFailure;
use super::super::sas::SasToken;

/// The service was not reached, or the connection broke. Its text holds no signature.
#[derive(Debug)]
pub(super) struct BrokenTransport {
    pub(super) failure: NetworkFailure,
    pub(super) detail: String,
}

impl BrokenTransport {
    /// Keeps of the client's error a kind and the innermost reason, which names no URL; the signature is removed
    /// all the same. `otherwise` is the kind when the reasons tell none.
    pub(super) fn new(
        error: &(dyn StdError + 'static),
        otherwise: NetworkFailure,
        secrets: &Secrets,
    ) -> Self {
        let mut failure = None;
        let mut innermost = error;
        loop {
            failure = failure.or_else(|| classify(innermost));
            match innermost.source() {
                Some(reason) => innermost = reason,
                None => break,
            }
        }
        Self {
            failure: failure.unwrap_or(otherwise),
            detail: secrets.redact(&innermost.to_string()),
        }
    }

    pub(super) fn too_slow(what: &str, limit: Duration) -> Self {
        Self {
            failure: NetworkFailure::Timeout,
            detail: format!("{what} for {} s", limit.as_secs_f64()),
        }
    }
}

pub(super) fn classify(reason: &(dyn StdError + 'static)) -> Option<NetworkFailure> {
    if let Some(error) = reason.downcast_ref::<io::Error>() {
        match error.kind() {
            io::ErrorKind::TimedOut => return Some(NetworkFailure::Timeout),
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => return Some(NetworkFailure::Connect),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return Some(NetworkFailure::Reset),
            _ => {}
        }
    }
    if reason.is::<rustls::Error>() {
        return Some(NetworkFailure::Tls);
    }
    // The resolver's errors have no type that could be named.
    let text = reason.to_string();
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        Some(NetworkFailure::Dns)
    } else if text.contains("certificate")
        || text.contains("handshake")
        || text.contains("corrupt message")
    {
        Some(NetworkFailure::Tls)
    } else {
        None
    }
}

/// The forms in which the signature may appear in a text.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(sas: &SasToken) -> Self {
        let mut forms = Vec::new();
        for (_, value) in sas.secret_fields().filter(|(name, _)| *name == "sig") {
            forms.push(form_urlencoded::byte_serialize(value.as_bytes()).collect());
            // An answer in XML escapes nothing that Base64 uses, so these two are all.
            forms.push(value.to_owned());
        }
        Self(forms)
    }

    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, "REDACTED");
        }
        text
    }
}
