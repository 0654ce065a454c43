//! Values that must not reach logs, errors or the terminal.

use std::fmt;

use hyper::Uri;

/// Shown in place of a secret.
const HIDDEN: &str = "***";

/// The URL of a receiver. Its userinfo and query may hold credentials, so neither is displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// The complete URL, for requests only.
    #[must_use]
    pub fn expose(&self) -> &Uri {
        &self.0
    }
}

impl From<Uri> for Endpoint {
    fn from(uri: Uri) -> Self {
        Self(uri)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(uri) = self;
        if let Some(scheme) = uri.scheme_str() {
            write!(f, "{scheme}://")?;
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        match authority.rsplit_once('@') {
            Some((_, host)) => write!(f, "{HIDDEN}@{host}")?,
            None => f.write_str(authority)?,
        }
        f.write_str(uri.path())?;
        if uri.query().is_some() { write!(f, "?{HIDDEN}") } else { Ok(()) }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of a setting that may hold credentials; never displayed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for parsing only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text as a URL that is not valid, for an error: without the parts that may hold a secret.
    #[must_use]
    pub fn redacted(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").map_or(("", &*self.0), |(scheme, rest)| (scheme, rest));
        let separator = if scheme.is_empty() { "" } else { "://" };
        let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
        let (host, query) = rest.split_once(['?', '#']).map_or((rest, ""), |(host, _)| (host, "?***"));
        format!("{scheme}{separator}{user}{host}{query}")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
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
            assert_eq!(Endpoint(uri.clone()).to_string(), shown);
            assert_eq!(format!("{:?}", Endpoint(uri)), shown);
            let secret = Secret::from(text.to_owned());
            assert_eq!(secret.redacted(), shown);
            assert_eq!(format!("{secret:?}"), "***");
        }
        assert_eq!(Secret::from("me:TO@KEN@ho st?a=TOKEN".to_owned()).redacted(), "***@ho st?***");
    }
}
