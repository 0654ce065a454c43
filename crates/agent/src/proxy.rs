//! The HTTP proxy of a server, by the variables that curl, Go and most SDKs read. Pure.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;

use crate::secret::Endpoint;

/// Reads a variable of the environment.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A proxy that opens tunnels (`CONNECT`, RFC 9110, section 9.3.6).
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// URL of the proxy.
    pub uri: Endpoint,
    /// Value of `proxy-authorization`, from the userinfo of the variable; sensitive.
    pub authorization: Option<HeaderValue>,
}

/// A variable names a proxy that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "names a proxy that is not reached by http://; leave the host out with NO_PROXY, or send to a Collector that uses \
     the proxy"
)]
pub struct WrongProxy {
    /// Name of the variable.
    pub variable: &'static str,
}

/// The proxy for a server: `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, unless `NO_PROXY` names the host. As in Go,
/// a loopback address has no proxy, and names may be in lower case.
///
/// # Errors
/// When the variable names a proxy of another kind.
pub fn proxy(environment: Environment<'_>, server: &Uri) -> Result<Option<Proxy>, WrongProxy> {
    if server.host().is_none_or(is_loopback) {
        return Ok(None);
    }
    let names = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    let [all, http, https, no] = names.map(|name| variable(environment, name).unwrap_or_default());
    let matcher = Matcher::builder().all(all).http(http).https(https).no(no).build();
    let Some(found) = matcher.intercept(server) else { return Ok(None) };
    if found.uri().scheme_str() != Some("http") {
        let variable = if server.scheme_str() == Some("https") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        return Err(WrongProxy { variable });
    }
    let authorization = found.basic_auth().cloned().map(|mut value| {
        value.set_sensitive(true);
        value
    });
    Ok(Some(Proxy { uri: found.uri().clone().into(), authorization }))
}

/// The URL of the proxy for a server that is reached by TLS, userinfo included; `None` without a proxy that can be used.
#[must_use]
pub fn proxy_url(environment: Environment<'_>, server: &Uri) -> Option<Uri> {
    proxy(environment, server).ok().flatten()?;
    let text = ["HTTPS_PROXY", "ALL_PROXY"].iter().find_map(|name| variable(environment, name))?;
    if text.contains("://") { text.parse().ok() } else { format!("http://{text}").parse().ok() }
}

/// The value of a variable, by its name in lower case before the name in capitals.
fn variable(environment: Environment<'_>, name: &str) -> Option<String> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    set(&name.to_lowercase()).or_else(|| set(name))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, WrongProxy> {
        let environment =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        proxy(&environment, &endpoint.parse().unwrap())
    }

    fn uri(endpoint: &str, variables: &[(&str, &str)]) -> Option<String> {
        of(endpoint, variables).unwrap().map(|proxy| proxy.uri.to_string())
    }

    #[test]
    fn scheme_and_host_choose_the_proxy() {
        let both =
            [("HTTPS_PROXY", "http://tls:3128"), ("http_proxy", "plain:8080"), ("NO_PROXY", ".internal,10.0.0.0/8")];
        for (endpoint, expected) in [
            ("https://otlp.example/otlp", Some("http://tls:3128/")),
            ("http://otlp.example:4318/", Some("http://plain:8080/")),
            ("https://collector.internal:4317/", None),
            ("http://10.1.2.3:4317/", None),
            ("http://127.0.0.1:4317/", None),
            ("http://[::1]:4317/", None),
            ("http://localhost:4317/", None),
        ] {
            assert_eq!(uri(endpoint, &both).as_deref(), expected, "{endpoint}");
        }
        assert_eq!(uri("https://otlp.example/", &[]), None);
        let all = [("ALL_PROXY", "http://all:1")];
        assert_eq!(uri("https://otlp.example/", &all).as_deref(), Some("http://all:1/"));
    }

    #[test]
    fn url_of_a_proxy_keeps_its_user() {
        let url = |server: &str| {
            let environment = |name: &str| match name {
                "https_proxy" => Some("me:secret@tls:3128".to_owned()),
                "no_proxy" => Some("api.internal".to_owned()),
                _ => None,
            };
            proxy_url(&environment, &server.parse().unwrap()).map(|uri| uri.to_string())
        };
        assert_eq!(url("https://api.example:6443").as_deref(), Some("http://me:secret@tls:3128/"));
        assert_eq!(url("https://api.internal:6443"), None);
    }

    #[test]
    fn credentials_are_not_displayed() {
        let proxy = of("https://otlp.example/", &[("HTTPS_PROXY", "http://me:SECRET@tls:3128")]).unwrap().unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic bWU6U0VDUkVU");
        assert!(!format!("{proxy:?}").contains("SECRET") && !format!("{proxy:?}").contains("bWU6"), "{proxy:?}");
    }

    #[test]
    fn other_kinds_of_proxies_are_errors() {
        let wrong = of("https://otlp.example/", &[("HTTPS_PROXY", "socks5://me:SECRET@tls:1080")]);
        assert_eq!(wrong, Err(WrongProxy { variable: "HTTPS_PROXY" }));
    }
}
