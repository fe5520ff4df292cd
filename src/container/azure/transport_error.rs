//! Errors of the HTTP client, classified and without the token.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use url::form_urlencoded;

use super::super::NetworkFailure;
use super::super::credential::sas::SasToken;
use super::connect::TunnelError;

/// A failed connection to the service. Its text contains no signature.
#[derive(Debug)]
pub(super) struct TransportError {
    pub(super) failure: NetworkFailure,
    pub(super) detail: String,
}

impl TransportError {
    /// Keeps the kind and the innermost cause of the client's error. That cause contains no URL; the signature is
    /// redacted nevertheless. `default` is the kind if no cause has one.
    pub(super) fn new(
        error: &(dyn StdError + 'static),
        default: NetworkFailure,
        secrets: &Secrets,
    ) -> Self {
        let mut failure = None;
        let mut innermost = error;
        let mut proxy_part = String::new();
        loop {
            if let Some(TunnelError { proxy, .. }) = innermost.downcast_ref() {
                proxy_part = format!("via the proxy {proxy}: ");
            }
            failure = failure.or_else(|| classify(innermost));
            match cause(innermost) {
                Some(cause) => innermost = cause,
                None => break,
            }
        }
        Self {
            failure: failure.unwrap_or(default),
            detail: proxy_part + &secrets.redact(&innermost.to_string()),
        }
    }

    /// Returns the error of a step `what` that was not finished within `timeout`.
    pub(super) fn timed_out(what: &str, timeout: Duration) -> Self {
        Self {
            failure: NetworkFailure::Timeout,
            detail: format!("{what} for {} s", timeout.as_secs_f64()),
        }
    }
}

/// Returns the cause of an error.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    // `source` of an I/O error returns the source of the error that it wraps, and skips that error itself.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(|error| error.get_ref());
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn classify(reason: &(dyn StdError + 'static)) -> Option<NetworkFailure> {
    if let Some(error) = reason.downcast_ref::<io::Error>() {
        match error.kind() {
            io::ErrorKind::TimedOut => return Some(NetworkFailure::Timeout),
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => return Some(NetworkFailure::Connect),
            // Also in a TLS handshake, where servers that restart and busy load balancers close without an alert.
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return Some(NetworkFailure::Reset),
            _ => {}
        }
    }
    if let Some(error) = reason.downcast_ref::<rustls::Error>() {
        return Some(match error {
            // A byte was changed in transit, which TCP's checksum does not always detect. The next connection may work.
            rustls::Error::DecryptError
            | rustls::Error::AlertReceived(AlertDescription::BadRecordMac) => NetworkFailure::Reset,
            // An untrusted certificate, no common version or cipher, or a protocol other than TLS.
            _ => NetworkFailure::Tls,
        });
    }
    // The resolver's error types are private.
    let text = reason.to_string();
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        Some(NetworkFailure::Dns)
    } else {
        None
    }
}

/// The forms of the signature that are redacted in texts.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(sas: &SasToken) -> Self {
        let mut forms = Vec::new();
        for (_, value) in sas.secret_fields().filter(|(name, _)| *name == "sig") {
            forms.push(form_urlencoded::byte_serialize(value.as_bytes()).collect());
            // XML does not escape the characters of Base64, so there is no third form.
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

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    /// Wraps an error of the handshake as hyper-rustls and tokio-rustls do.
    fn in_handshake(
        kind: io::ErrorKind,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> TransportError {
        let error = io::Error::other(io::Error::new(kind, error));
        TransportError::new(&error, NetworkFailure::Connect, &Secrets::default())
    }

    #[test]
    fn an_interrupted_handshake_is_transient() {
        let error = in_handshake(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(error.failure, NetworkFailure::Reset);
        assert_eq!(error.detail, "tls handshake eof");
        let error = in_handshake(io::ErrorKind::ConnectionReset, "reset");
        assert_eq!(error.failure, NetworkFailure::Reset);
        // The text of an error does not matter.
        let error = io::Error::other("a certificate, a handshake and a corrupt message");
        assert_eq!(classify(&error), None);
    }

    #[test]
    fn permanent_errors_of_the_handshake_are_classified() {
        let alert = rustls::Error::AlertReceived;
        for (error, failure) in [
            (CertificateError::UnknownIssuer.into(), NetworkFailure::Tls),
            (CertificateError::Expired.into(), NetworkFailure::Tls),
            (
                alert(AlertDescription::HandshakeFailure),
                NetworkFailure::Tls,
            ),
            (alert(AlertDescription::AccessDenied), NetworkFailure::Tls),
            (
                InvalidMessage::InvalidContentType.into(),
                NetworkFailure::Tls,
            ),
            (
                PeerIncompatible::NoCipherSuitesInCommon.into(),
                NetworkFailure::Tls,
            ),
            (alert(AlertDescription::BadRecordMac), NetworkFailure::Reset),
            (rustls::Error::DecryptError, NetworkFailure::Reset),
        ] {
            let text = error.to_string();
            let error = in_handshake(io::ErrorKind::InvalidData, error);
            assert_eq!((error.failure, error.detail), (failure, text));
        }
    }
}
