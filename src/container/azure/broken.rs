//! How the way to the service failed, as the HTTP client's errors tell it, without the token.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use url::form_urlencoded;

use super::super::NetworkFailure;
use super::super::sas::SasToken;
use super::connect::ToProxy;

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
        let mut on_the_way = String::new();
        loop {
            if let Some(ToProxy { proxy, .. }) = innermost.downcast_ref() {
                on_the_way = format!("on the way to the proxy {proxy}: ");
            }
            failure = failure.or_else(|| classify(innermost));
            match within(innermost) {
                Some(reason) => innermost = reason,
                None => break,
            }
        }
        Self {
            failure: failure.unwrap_or(otherwise),
            detail: on_the_way + &secrets.redact(&innermost.to_string()),
        }
    }

    pub(super) fn too_slow(what: &str, limit: Duration) -> Self {
        Self {
            failure: NetworkFailure::Timeout,
            detail: format!("{what} for {} s", limit.as_secs_f64()),
        }
    }
}

/// The error that another one wraps.
fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    // The source of an I/O error is what the error in it has as its source: that one itself would be skipped.
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
            // In a TLS handshake too: servers that restart and balancers that are full close without a word.
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return Some(NetworkFailure::Reset),
            _ => {}
        }
    }
    if let Some(error) = reason.downcast_ref::<rustls::Error>() {
        return Some(match error {
            // A byte changed on the way, which TCP's checksum does not always see; the next connection may be sound.
            rustls::Error::DecryptError
            | rustls::Error::AlertReceived(AlertDescription::BadRecordMac) => NetworkFailure::Reset,
            // Certificates that are not trusted, no version or cipher in common, another protocol than TLS.
            _ => NetworkFailure::Tls,
        });
    }
    // The resolver's errors have no type that could be named.
    let text = reason.to_string();
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        Some(NetworkFailure::Dns)
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

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    /// As hyper-rustls wraps what tokio-rustls tells of a handshake.
    fn in_handshake(
        kind: io::ErrorKind,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> BrokenTransport {
        let error = io::Error::other(io::Error::new(kind, error));
        BrokenTransport::new(&error, NetworkFailure::Connect, &Secrets::default())
    }

    #[test]
    fn a_handshake_that_is_cut_off_may_succeed_the_next_time() {
        let broken = in_handshake(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(broken.failure, NetworkFailure::Reset);
        assert_eq!(broken.detail, "tls handshake eof");
        let broken = in_handshake(io::ErrorKind::ConnectionReset, "reset");
        assert_eq!(broken.failure, NetworkFailure::Reset);
        // Words do not decide.
        let error = io::Error::other("a certificate, a handshake and a corrupt message");
        assert_eq!(classify(&error), None);
    }

    #[test]
    fn what_no_further_handshake_can_mend_is_told() {
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
            let broken = in_handshake(io::ErrorKind::InvalidData, error);
            assert_eq!((broken.failure, broken.detail), (failure, text));
        }
    }
}
