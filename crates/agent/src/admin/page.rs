//! The page at `/`: a map of the node in a browser.
//!
//! `crates/agent/ui/build.sh` makes the files from the sources in `crates/agent/ui`.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Handles, Route, accept};
use crate::export::gzip::Compressed;

/// Nothing but the server's own files and answers, and no markup made by a script: the page shows names that pods choose.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The page itself.
pub(super) async fn index(headers: HeaderMap) -> Response {
    asset(&headers, "text/html; charset=utf-8", include_str!("page/index.html"))
}

/// The files that the page loads.
pub(super) fn assets() -> [Route; 4] {
    [
        file("/ui/app.js", SCRIPT, include_str!("page/app.js")),
        file("/ui/app.css", STYLE, include_str!("page/app.css")),
        file("/ui/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
        file("/ui/licenses.txt", "text/plain; charset=utf-8", include_str!("page/licenses.txt")),
    ]
}

fn file(path: &'static str, content_type: &'static str, text: &'static str) -> Route {
    let answer = move |headers: HeaderMap| async move { asset(&headers, content_type, text) };
    (path, get::<_, _, Arc<Handles>>(answer))
}

fn asset(headers: &HeaderMap, content_type: &'static str, text: &'static str) -> Response {
    let own = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "Accept-Encoding"),
    ];
    // A page is opened by a person, so its files are compressed when they are asked for.
    let compressed = || Compressed::new(|to| to.write_all(text.as_bytes()));
    match accept::gzip(headers).then(compressed) {
        Some(Ok(bytes)) => (own, [(header::CONTENT_ENCODING, "gzip")], bytes.into_bytes()).into_response(),
        Some(Err(_)) | None => (own, text).into_response(),
    }
}

#[cfg(test)]
mod tests;
