//! Values that must not reach logs, errors or the terminal.

use std::fmt;

use hyper::Uri;

/// Displays an endpoint without its userinfo and query, which may hold credentials.
#[derive(Clone, Copy)]
pub struct Redacted<'a>(pub &'a Uri);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(uri) = self;
        if let Some(scheme) = uri.scheme_str() {
            write!(f, "{scheme}://")?;
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        match authority.rsplit_once('@') {
            Some((_, host)) => write!(f, "***@{host}")?,
            None => f.write_str(authority)?,
        }
        f.write_str(uri.path())?;
        if uri.query().is_some() { f.write_str("?***") } else { Ok(()) }
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of an endpoint that is not a valid URL, for an error: up to the first character that may begin a secret.
#[must_use]
pub fn redacted_text(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("***@", host));
    let (host, query) = host.split_once(['?', '#']).map_or((host, ""), |(host, _)| (host, "?***"));
    format!("{scheme}{separator}{user}{host}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn userinfo_and_query_are_not_displayed() {
        for (text, shown) in [
            ("http://me:TOKEN@host:4318/v1/metrics?key=TOKEN", "http://***@host:4318/v1/metrics?***"),
            ("https://host/", "https://host/"),
            (
                "https://user:pass@otel.example:4318/v1/metrics?key=secret",
                "https://***@otel.example:4318/v1/metrics?***",
            ),
        ] {
            let uri: Uri = text.parse().unwrap();
            assert_eq!(Redacted(&uri).to_string(), shown);
            assert_eq!(redacted_text(text), shown);
        }
        assert_eq!(redacted_text("me:TO@KEN@ho st?a=TOKEN"), "***@ho st?***");
    }
}
