//! HTTP/1 with limits on headers, time and connections.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::host::{one_host, own_host};
use super::places::{Activity, Endless, Places};
use super::socket::Socket;
use super::tls::Tls;

/// Connections at a time. A new connection beyond ends the one that has been idle for longest, so that a probe
/// is answered whatever else is connected.
pub(super) const CONNECTIONS: usize = 256;
/// Bytes and number of a request's headers.
const HEADER_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Time for a request's headers, an idle connection's included.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// A connection is ended gracefully after this, and is cut after [`CUT`].
const LIFETIME: Duration = Duration::from_secs(300);
const CUT: Duration = Duration::from_secs(30);
/// A connection with an endless response lives for longer, and is cut when the client takes nothing for this time.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// Connections that wait to be accepted. Where the queue is full, a probe is delayed by the second after which TCP tries
/// again, so the queue is as long as Linux allows by default (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Listens at an address; needs a tokio runtime.
///
/// # Errors
/// When the address is in use or not one of this machine.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a predecessor do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The place where clients connect.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// A path; without TLS.
    Unix(Socket),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<Socket> for Listener {
    fn from(socket: Socket) -> Self {
        Self::Unix(socket)
    }
}

impl Listener {
    /// Cancellation loses no connection.
    async fn accept(&self) -> std::io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(listener) => Accepted::Tcp(listener.accept().await?.0),
            Self::Unix(socket) => Accepted::Unix(socket.accept().await?),
        })
    }
}

/// A connection of a client.
enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    /// Whether a browser on the node can reach the server under any name.
    fn is_loopback(&self) -> bool {
        let Self::Tcp(stream) = self else { return false };
        stream.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }
}

/// Serves, with TLS where given, until `shutdown` is done; then connections end at once.
///
/// # Errors
/// When no connection can be accepted any more. Running out of file descriptors is waited out.
pub async fn serve(
    listener: impl Into<Listener>,
    mut tls: Option<Tls>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listener = listener.into();
    let places = Places::new(CONNECTIONS);
    let router = router.layer(middleware::from_fn(one_host));
    let guarded = router.clone().layer(middleware::from_fn(own_host));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                let router = if accepted.is_loopback() { &guarded } else { &router }.clone();
                let activity = places.activity();
                let task = match (accepted, tls.as_mut().map(Tls::config)) {
                    (Accepted::Tcp(stream), Some(tls)) => {
                        connections.spawn(encrypted(stream, tls, router, activity.clone()))
                    }
                    (Accepted::Tcp(stream), None) => connections.spawn(plain(stream, router, activity.clone())),
                    (Accepted::Unix(stream), _) => connections.spawn(connection(stream, router, activity.clone())),
                };
                places.take(activity, task);
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(event.name = "admin.accept_failed", %error, "cannot accept a connection now");
                // A descriptor becomes free when a connection ends.
                let _ = tokio::time::timeout(Duration::from_secs(1), connections.join_next()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Transient errors and errors of a single connection, `accept(2)`, "Error handling".
fn is_passing(error: &std::io::Error) -> bool {
    let out_of = [nix::libc::EMFILE, nix::libc::ENFILE, nix::libc::ENOBUFS, nix::libc::ENOMEM];
    error.raw_os_error().is_some_and(|number| out_of.contains(&number))
        || matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::Interrupted
                | std::io::ErrorKind::HostUnreachable
                | std::io::ErrorKind::NetworkUnreachable
        )
}

/// The first line of HTTP/2's preface (RFC 9113, section 3.4); a client sends the whole preface at once.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Whether the client begins with HTTP/2.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    let peeked = tokio::time::timeout(HEADER_TIME, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(_))) && first == PREFACE
}

/// Answers that HTTP/2 is not spoken, RFC 9110, section 15.6.6.
async fn refuse_http2(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // Unread bytes would reset the connection before the answer is read.
    let _ = stream.try_read(&mut [0; 1024]);
    if stream.write_all(ANSWER).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

async fn encrypted(stream: TcpStream, tls: Arc<ServerConfig>, router: Router, activity: Arc<Activity>) {
    let handshake = tokio::time::timeout(HEADER_TIME, TlsAcceptor::from(tls).accept(stream));
    if let Ok(Ok(stream)) = handshake.await {
        connection(stream, router, activity).await;
    }
}

async fn plain(stream: TcpStream, router: Router, activity: Arc<Activity>) {
    if begins_http2(&stream).await {
        return refuse_http2(stream).await;
    }
    connection(stream, router, activity).await;
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, activity: Arc<Activity>) {
    // The guard moves into the body, so that the connection counts as busy until the answer is complete.
    let served = activity.clone();
    let count = move |request, next: Next| {
        let busy = activity.begin();
        let activity = activity.clone();
        async move {
            let response: Response = next.run(request).await;
            if response.extensions().get::<Endless>().is_some() {
                activity.set_endless();
            }
            response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    busy.took_piece();
                    frame
                }))
            })
        }
    };
    let service = TowerToHyperService::new(router.layer(middleware::from_fn(count)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder.max_buf_size(HEADER_BYTES).max_headers(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Errors of one connection concern its client alone.
    let mut taken = None;
    let end = Instant::now() + LIFETIME;
    while tokio::time::timeout(STALL, connection.as_mut()).await.is_err() {
        match served.endless_pieces() {
            // Heartbeats make progress wherever the client reads.
            pieces @ Some(_) if pieces == taken => return,
            pieces @ Some(_) => taken = pieces,
            None if Instant::now() < end => {}
            None => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(CUT, connection).await;
                return;
            }
        }
    }
}
