//! Connections to the service, directly or through the [`proxy`] that the environment names.

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
use super::{Timeouts, proxy};

/// The maximum number of idle connections: more than there are ever requests in flight, because a new TLS
/// connection costs more than a small put.
const IDLE_CONNECTIONS: usize = 4096;

/// The time after which an idle connection is closed, before load balancers drop it (Azure's do after four minutes).
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The idle time before the first TCP keepalive probe, and the interval of the probes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The number of unanswered keepalive probes that end a connection.
const KEEPALIVE_PROBES: u32 = 3;

/// The HTTP client. The content of a request is one piece.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;

type Tcp = HttpConnector<Resolver>;

/// A TCP connection, with TLS if it leads to a proxy with an https URL.
type ServerStream = MaybeHttpsStream<<Tcp as Service<Uri>>::Response>;

/// Creates a client for one endpoint.
///
/// It uses HTTP/1.1 only, as Azure does, so each request in flight has its own connection.
pub(super) fn client(endpoint: &Url, timeouts: &Timeouts) -> io::Result<HttpClient> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeouts.connect));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    // For sent data that the other side does not acknowledge.
    tcp.set_tcp_user_timeout(Some(timeouts.response));
    let tls = tls(endpoint)?;
    let proxy = proxy::of_environment(endpoint)?;
    let route = match &proxy {
        None => Route::Direct(tcp),
        Some(proxy) => Route::through(proxy, HttpsConnector::from((tcp, tls.clone()))),
    };
    let connector = Connector {
        service: HttpsConnector::from((route, tls)),
        proxy: proxy.as_ref().map(host_and_port),
        timeout: timeouts.connect,
    };
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIME)
        .pool_timer(TokioTimer::new())
        .build(connector))
}

/// Uses the operating system's root certificates.
fn tls(endpoint: &Url) -> io::Result<ClientConfig> {
    // The provider is explicit, because other crates of a program may add a second one.
    let builder =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
    let builder = if endpoint.scheme() == "https" {
        builder.with_native_roots()?
    } else {
        // An emulator on this host. Redirects are not followed, so TLS is never used.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The route to the service.
#[derive(Clone)]
enum Route {
    Direct(Tcp),
    Tunnel {
        tunnel: Box<Tunnel<HttpsConnector<Tcp>>>,
        proxy: Arc<str>,
    },
}

impl Route {
    fn through(proxy: &Intercept, to_proxy: HttpsConnector<Tcp>) -> Self {
        // The URI does not contain name and password; `basic_auth` does.
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
    type Response = ServerStream;
    type Error = BoxError;
    type Future = Connecting<ServerStream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Tunnel { tunnel, .. } => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Connecting<ServerStream> {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(to);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Self::Tunnel { tunnel, proxy } => {
                let connecting = tunnel.call(to);
                let proxy = Arc::clone(proxy);
                Box::pin(async move {
                    connecting.await.map_err(|error| {
                        let reason = error.into();
                        TunnelError { proxy, reason }.into()
                    })
                })
            }
        }
    }
}

/// The tunnel through the proxy could not be established.
#[derive(Debug)]
pub(super) struct TunnelError {
    /// Host and port.
    pub(super) proxy: Arc<str>,
    reason: BoxError,
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no tunnel through the proxy {}", self.proxy)
    }
}

impl StdError for TunnelError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.reason)
    }
}

/// Returns host and port of a proxy, without name and password.
fn host_and_port(proxy: &Intercept) -> Arc<str> {
    let uri = proxy.uri();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    format!("{}:{port}", uri.host().unwrap_or_default()).into()
}

/// Establishes connections with one timeout for name resolution, TCP, proxy and TLS together.
#[derive(Clone)]
pub(super) struct Connector {
    service: HttpsConnector<Route>,
    proxy: Option<Arc<str>>,
    timeout: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<ServerStream>;
    type Error = BoxError;
    type Future = Connecting<MaybeHttpsStream<ServerStream>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.service.call(to);
        let (timeout, proxy) = (self.timeout, self.proxy.clone());
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let mut text = format!("no connection within {} s", timeout.as_secs_f64());
                    if let Some(proxy) = proxy {
                        // It is unknown whether the proxy or the service behind it did not respond.
                        text.push_str(&format!(" through the proxy {proxy}"));
                    }
                    Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
                }
            }
        })
    }
}
