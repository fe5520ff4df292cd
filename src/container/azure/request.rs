//! The four requests, as described in Azure's REST documentation: "Put Blob", "Get Blob", "List Blobs" and
//! "Delete Blob".
//!
//! The common parts of the requests to a container are built once.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use url::{Url, form_urlencoded};

use super::super::credential::sas::SasToken;
use super::super::{BlobKind, BlobName, Operation, PutBody};

/// The version of the REST interface.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-ms-version"),
    HeaderValue::from_static("2022-11-02"),
);

const BLOCK_BLOB: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-ms-blob-type"),
    HeaderValue::from_static("BlockBlob"),
);

/// Without this header, the service refuses to delete a blob that has snapshots.
const WITH_SNAPSHOTS: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-ms-delete-snapshots"),
    HeaderValue::from_static("include"),
);

/// The user agent, which the storage account's logs show.
const USER_AGENT_VALUE: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A call without a token.
#[derive(Debug)]
pub(super) enum Call<'a> {
    Put {
        name: &'a BlobName,
        content: &'a PutBody,
    },
    Get {
        name: &'a BlobName,
        /// The maximum size of the blob in bytes.
        at_most: u64,
    },
    List {
        prefix: &'a str,
        marker: Option<&'a str>,
        at_most: u32,
    },
    Delete {
        name: &'a BlobName,
    },
}

impl Call<'_> {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Put { .. } => Operation::Put,
            Self::Get { .. } => Operation::Get,
            Self::List { .. } => Operation::List,
            Self::Delete { .. } => Operation::Delete,
        }
    }

    pub(super) fn blob(&self) -> Option<&BlobName> {
        match self {
            Self::Put { name, .. } | Self::Get { name, .. } | Self::Delete { name } => Some(name),
            Self::List { .. } => None,
        }
    }

    /// Returns the only status that means success.
    pub(super) fn success(&self) -> StatusCode {
        match self {
            Self::Put { .. } => StatusCode::CREATED,
            Self::Get { .. } | Self::List { .. } => StatusCode::OK,
            Self::Delete { .. } => StatusCode::ACCEPTED,
        }
    }

    /// Returns the number of content bytes that are sent.
    pub(super) fn content_bytes(&self) -> u64 {
        match self {
            Self::Put { content, .. } => content.bytes.len() as u64,
            _ => 0,
        }
    }
}

/// The common parts of the requests to one container.
#[derive(Debug)]
pub(super) struct RequestBase {
    scheme: Scheme,
    authority: Authority,
    /// The container's path, percent-encoded, without a trailing slash.
    path: String,
    object: HeaderMap,
    log: HeaderMap,
    read: HeaderMap,
    delete: HeaderMap,
}

impl RequestBase {
    /// Creates the common parts for the container with that URL; `None` if the URL has no host.
    pub(super) fn new(container: &Url) -> Option<Self> {
        let uri: Uri = container.as_str().parse().ok()?;
        let path = uri.path().to_owned();
        let parts = uri.into_parts();
        let with = |more: &[(HeaderName, HeaderValue)]| {
            let common = [
                VERSION,
                (USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE)),
            ];
            HeaderMap::from_iter(common.into_iter().chain(more.iter().cloned()))
        };
        let put = |kind: BlobKind| {
            let content_type = HeaderValue::from_static(kind.content_type());
            with(&[BLOCK_BLOB, (CONTENT_TYPE, content_type)])
        };
        Some(Self {
            scheme: parts.scheme?,
            authority: parts.authority?,
            path,
            object: put(BlobKind::Object),
            log: put(BlobKind::Log),
            read: with(&[]),
            delete: with(&[WITH_SNAPSHOTS]),
        })
    }

    /// Builds the request of a call. It contains the token: not for messages.
    pub(super) fn request(
        &self,
        call: &Call<'_>,
        sas: &SasToken,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.target(call, sas)?);
        let (method, headers, content) = match call {
            Call::Put { content, .. } => {
                let mut headers = match content.kind {
                    BlobKind::Object => self.object.clone(),
                    BlobKind::Log => self.log.clone(),
                };
                // hyper omits the length of empty content, and the service requires it (411).
                headers.insert(CONTENT_LENGTH, HeaderValue::from(content.bytes.len()));
                (Method::PUT, headers, content.bytes.clone())
            }
            Call::Get { .. } | Call::List { .. } => (Method::GET, self.read.clone(), Bytes::new()),
            Call::Delete { .. } => (Method::DELETE, self.delete.clone(), Bytes::new()),
        };
        let mut request = Request::new(Full::new(content));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Returns path and query, which ends with the token.
    fn target(&self, call: &Call<'_>, sas: &SasToken) -> Result<PathAndQuery, http::Error> {
        let token = sas.secret_query();
        let name = call.blob().map_or("", BlobName::as_str);
        let mut target = String::with_capacity(self.path.len() + name.len() + token.len() + 64);
        target.push_str(&self.path);
        match call {
            // A `BlobName` has no characters that a URL escapes or rewrites.
            Call::Put { name, .. } | Call::Get { name, .. } | Call::Delete { name } => {
                target.push('/');
                target.push_str(name.as_str());
                target.push('?');
            }
            Call::List {
                prefix,
                marker,
                at_most,
            } => {
                target.push('?');
                let start = target.len();
                let mut query = form_urlencoded::Serializer::for_suffix(target, start);
                query.append_pair("restype", "container");
                query.append_pair("comp", "list");
                if let Some(marker) = marker {
                    query.append_pair("marker", marker);
                }
                if !prefix.is_empty() {
                    query.append_pair("prefix", prefix);
                }
                query.append_pair("maxresults", &at_most.to_string());
                target = query.finish();
                target.push('&');
            }
        }
        target.push_str(token);
        Ok(PathAndQuery::from_maybe_shared(Bytes::from(target))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOKEN: &str = "sv=2020-12-06&sp=rwdl&se=2099-01-01T00:00:00Z&sig=a%2Bb%2Fc%3D";
    /// The token as the query of a request.
    const QUERY: &str = "sv=2020-12-06&sp=rwdl&se=2099-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D";

    fn request(call: &Call<'_>) -> Request<Full<Bytes>> {
        let url = Url::parse("http://127.0.0.1:10000/account/data").unwrap();
        let base = RequestBase::new(&url).unwrap();
        base.request(call, &SasToken::parse(TOKEN).unwrap())
            .unwrap()
    }

    fn get(name: &BlobName) -> Call<'_> {
        Call::Get { name, at_most: 1 }
    }

    fn header<'a>(request: &'a Request<Full<Bytes>>, name: &str) -> Option<&'a str> {
        Some(request.headers().get(name)?.to_str().unwrap())
    }

    #[test]
    fn puts_have_the_headers_of_their_kind() {
        let name = BlobName::new("a.B_c-0").unwrap();
        for (content, content_type) in [
            (PutBody::object("xyz"), "application/octet-stream"),
            (PutBody::log("xyz"), "text/plain; charset=utf-8"),
        ] {
            let put = request(&Call::Put {
                name: &name,
                content: &content,
            });
            assert_eq!(put.method(), Method::PUT);
            let expected = format!("http://127.0.0.1:10000/account/data/a.B_c-0?{QUERY}");
            assert_eq!(put.uri().to_string(), expected);
            assert_eq!(header(&put, "content-type"), Some(content_type));
            assert_eq!(header(&put, "content-length"), Some("3"));
            assert_eq!(header(&put, "x-ms-blob-type"), Some("BlockBlob"));
            assert_eq!(header(&put, "x-ms-version"), Some("2022-11-02"));
        }
    }

    #[test]
    fn listings_escape_prefix_and_marker() {
        let list = |prefix, marker| {
            let call = Call::List {
                prefix,
                marker,
                at_most: 7,
            };
            request(&call).uri().to_string()
        };
        let start = "http://127.0.0.1:10000/account/data?restype=container&comp=list";
        assert_eq!(list("", None), format!("{start}&maxresults=7&{QUERY}"));
        assert_eq!(
            list("a&b=\u{e4}", Some("2!9 +%/m-")),
            format!("{start}&marker=2%219+%2B%25%2Fm-&prefix=a%26b%3D%C3%A4&maxresults=7&{QUERY}")
        );
    }

    #[test]
    fn deletes_include_snapshots() {
        let name = BlobName::new("a").unwrap();
        let delete = request(&Call::Delete { name: &name });
        assert_eq!(delete.method(), Method::DELETE);
        assert_eq!(header(&delete, "x-ms-delete-snapshots"), Some("include"));
        assert_eq!(header(&request(&get(&name)), "x-ms-delete-snapshots"), None);
    }

    #[test]
    fn a_name_needs_no_escapes() {
        let longest = "x".repeat(1024);
        let name = BlobName::new(longest.as_str()).unwrap();
        let target = request(&get(&name)).uri().path().to_owned();
        assert_eq!(target, format!("/account/data/{longest}"));
        for name in ["-", "a..b", "0._-Z"] {
            let name = BlobName::new(name).unwrap();
            let uri = request(&get(&name)).uri().to_string();
            // URL normalization changes nothing.
            assert_eq!(Url::parse(&uri).unwrap().as_str(), uri);
        }
    }
}
