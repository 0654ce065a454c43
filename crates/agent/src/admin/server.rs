//! HTTP/1 with limits on headers, time and connections.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// Bytes and number of a request's headers.
const HEADER_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Time for a request's headers, an idle connection's included.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// A connection is asked to end after this, so that slow readers do not keep the place of others,
/// and is cut after [`CUT`].
const LIFETIME: Duration = Duration::from_secs(300);
const CUT: Duration = Duration::from_secs(30);

/// Serves until `shutdown` is done; then connections end at once.
///
/// # Errors
/// When no connection can be accepted any more. Running out of file descriptors is waited out.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok(Some((stream, place))) => {
                let router = router.clone();
                connections.spawn(async move {
                    connection(stream, router).await;
                    drop(place);
                });
            }
            Ok(None) => return Ok(()),
            Err(error) if is_passing(&error) => {
                tracing::warn!(event.name = "admin_accept", %error, "cannot accept a connection now");
                // A place becomes free when a connection ends, and with it a descriptor.
                let _ = tokio::time::timeout(Duration::from_secs(1), connections.join_next()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> std::io::Result<Option<(TcpStream, Place)>> {
    let Ok(place) = places.clone().acquire_owned().await else { return Ok(None) };
    let (stream, _) = listener.accept().await?;
    Ok(Some((stream, place)))
}

/// Errors of one connection or of this moment, `accept(2)`, "Error handling".
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

async fn connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder.max_buf_size(HEADER_BYTES).max_headers(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // What goes wrong with one connection is its client's business.
    if tokio::time::timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(CUT, connection).await;
    }
}
