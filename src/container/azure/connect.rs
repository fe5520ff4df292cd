//! Connections to the service: straight, or through the [`proxy`] that the environment names.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;
use url::Url;

use super::resolve::Resolver;
use super::{Patience, proxy};

/// Idle connections kept: more than requests are ever under way, since a new TLS connection costs more than a small put.
const IDLE_CONNECTIONS: usize = 4096;

/// Idle connections are closed before load balancers on the way forget them (Azure's after four minutes).
const IDLE_TIME: Duration = Duration::from_secs(60);

/// After so much silence, and as often again, the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How many such questions may stay without an answer.
const KEEPALIVE_TRIES: u32 = 3;

/// What sends requests with their content in one piece.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;

type Tcp = HttpConnector<Resolver>;

/// TCP, with TLS inside on the way to a proxy that wants it.
type Way = MaybeHttpsStream<<Tcp as Service<Uri>>::Response>;

/// A client for one endpoint.
///
/// It speaks HTTP/1.1 only, as Azure does; each request under way has a connection of its own.
pub(super) fn client(endpoint: &Url, patience: &Patience) -> io::Result<HttpClient> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(patience.connect));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    // For content that nobody acknowledges.
    tcp.set_tcp_user_timeout(Some(patience.silence));
    let tls = tls(endpoint)?;
    let proxy = proxy::of_environment(endpoint)?;
    let route = match &proxy {
        None => Route::Straight(tcp),
        Some(proxy) => Route::through(proxy, HttpsConnector::from((tcp, tls.clone()))),
    };
    let connector = Connector {
        service: HttpsConnector::from((route, tls)),
        proxy: proxy.as_ref().map(host_and_port),
        limit: patience.connect,
    };
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIME)
        .pool_timer(TokioTimer::new())
        .build(connector))
}

/// Trusts whom the system trusts.
fn tls(endpoint: &Url) -> io::Result<ClientConfig> {
    // The provider is named, since other crates of a program may bring in a second one.
    let builder =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
    let trusting = if endpoint.scheme() == "https" {
        builder.with_native_roots()?
    } else {
        // An emulator on this host. Redirections are not followed, so TLS never comes up.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = trusting.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// How bytes get to the service.
#[derive(Clone)]
enum Route {
    Straight(Tcp),
    Tunnel {
        tunnel: Box<Tunnel<HttpsConnector<Tcp>>>,
        proxy: Arc<str>,
    },
}

impl Route {
    fn through(proxy: &Intercept, to_proxy: HttpsConnector<Tcp>) -> Self {
        // The matcher keeps name and password apart from this.
        let tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        let tunnel = Box::new(match proxy.basic_auth() {
            Some(name_and_password) => tunnel.with_auth(name_and_password.clone()),
            None => tunnel,
        });
        let proxy = host_and_port(proxy);
        Self::Tunnel { tunnel, proxy }
    }
}

impl Service<Uri> for Route {
    type Response = Way;
    type Error = BoxError;
    type Future = Connecting<Way>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Straight(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Tunnel { tunnel, .. } => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Connecting<Way> {
        match self {
            Self::Straight(tcp) => {
                let connecting = tcp.call(to);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Self::Tunnel { tunnel, proxy } => {
                let connecting = tunnel.call(to);
                let proxy = Arc::clone(proxy);
                Box::pin(async move {
                    connecting.await.map_err(|error| {
                        let reason = error.into();
                        ToProxy { proxy, reason }.into()
                    })
                })
            }
        }
    }
}

/// There is no tunnel through the proxy.
#[derive(Debug)]
pub(super) struct ToProxy {
    /// Host and port.
    pub(super) proxy: Arc<str>,
    reason: BoxError,
}

impl fmt::Display for ToProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no tunnel through the proxy {}", self.proxy)
    }
}

impl StdError for ToProxy {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.reason)
    }
}

/// Where a proxy is, without name and password.
fn host_and_port(proxy: &Intercept) -> Arc<str> {
    let uri = proxy.uri();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    format!("{}:{port}", uri.host().unwrap_or_default()).into()
}

/// Makes connections, each within a time: for the name, TCP, a proxy and TLS together.
#[derive(Clone)]
pub(super) struct Connector {
    service: HttpsConnector<Route>,
    proxy: Option<Arc<str>>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Way>;
    type Error = BoxError;
    type Future = Connecting<MaybeHttpsStream<Way>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.service.call(to);
        let (limit, proxy) = (self.limit, self.proxy.clone());
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let mut text = format!("no connection within {} s", limit.as_secs_f64());
                    if let Some(proxy) = proxy {
                        // Whether the proxy, or the service behind it, nobody can tell.
                        text.push_str(&format!(" through the proxy {proxy}"));
                    }
                    Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
                }
            }
        })
    }
}
