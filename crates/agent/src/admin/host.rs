//! Refuses requests that name another host, or not one host.
//!
//! A page in a browser on the node could otherwise read a server on loopback through a DNS name that its author lets
//! resolve to 127.0.0.1 (DNS rebinding).

use axum::extract::Request;
use axum::http::{StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use super::fault;

/// Answers 400 to a request of HTTP/1.1 that has not one `Host`, RFC 9112, section 3.2.
pub(super) async fn one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        return next.run(request).await;
    }
    fault(StatusCode::BAD_REQUEST, "the request needs one Host header")
}

/// Answers 403 where `Host` is a name that a public DNS server can resolve. Probes are answered anyway: they
/// reveal nothing, and a health check may send any name.
pub(super) async fn own_host(request: Request, next: Next) -> Response {
    let probe = matches!(request.uri().path(), "/livez" | "/healthz" | "/readyz");
    let host = request.headers().get(header::HOST);
    if probe || host.is_none_or(|host| host.to_str().is_ok_and(is_own)) {
        return next.run(request).await;
    }
    fault(StatusCode::FORBIDDEN, "the server listens on loopback and answers requests to localhost only")
}

/// Whether the text of a `Host` header is an IP address, a name below `localhost` or a name without a dot.
fn is_own(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    let name = uri.host().unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    !name.contains('.') || name.ends_with(".localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn names_of_public_dns_are_foreign() {
        for host in ["localhost", "localhost:9465", "127.0.0.1:9465", "[::1]:9465", "a.localhost", "node-1", "x"] {
            assert!(is_own(host), "{host}");
        }
        for host in ["evil.example", "evil.example:9465", "127.0.0.1.evil.example", "evil.example.", "a b.c"] {
            assert!(!is_own(host), "{host}");
        }
    }
}
