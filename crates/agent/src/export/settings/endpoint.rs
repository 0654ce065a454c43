//! Endpoints: the text of an operator, or of a variable in a pod template, to a URL. Pure.

use std::net::Ipv6Addr;
use std::str::FromStr;

use hyper::Uri;

use super::Protocol;
use crate::secret::Endpoint;

/// Ports of OTLP receivers: gRPC and HTTP.
const PORTS: [&str; 2] = ["4317", "4318"];

/// `append` is the signal's path below a general endpoint; a specific endpoint is used unchanged.
pub(super) fn endpoint(
    text: &str,
    protocol: Option<Protocol>,
    insecure: bool,
    append: Option<&str>,
) -> Result<(Endpoint, Protocol), String> {
    let has_scheme = text.contains("://");
    let scheme = if insecure { "http" } else { "https" };
    let full = if has_scheme { text.to_owned() } else { format!("{scheme}://{text}") };
    let full = with_brackets(&full)?;
    let uri = Uri::from_str(&full).map_err(|error| format!("is no URL ({error}); write http://host:4318"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("has another scheme than http and https".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("names no host; write http://host:4318".to_owned());
    }
    let protocol = protocol.unwrap_or(match uri.port_u16() {
        Some(4317) => Protocol::Grpc,
        _ => Protocol::HttpProtobuf,
    });
    if protocol != Protocol::Grpc && !has_scheme {
        return Err("has no scheme; write http://host:4318 or https://host:4318".to_owned());
    }
    let path = match (protocol, append) {
        (Protocol::Grpc, _) => "/".to_owned(),
        (_, Some(path)) => format!("{}/{path}", uri.path().trim_end_matches('/')),
        (_, None) => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(path.parse().map_err(|error| format!("has a path that cannot be used ({error})"))?);
    Uri::from_parts(parts).map(|uri| (uri.into(), protocol)).map_err(|error| format!("is no URL ({error})"))
}

/// Adds the brackets of an IPv6 address (RFC 3986, section 3.2.2).
///
/// The kubelet puts an address without brackets in place of `$(NODE_IP)` of `http://$(NODE_IP):4317`. Without
/// brackets the last group may be a port or a part of the address, so only a port of OTLP, or a group too many,
/// is taken as a port.
fn with_brackets(full: &str) -> Result<String, String> {
    let Some((scheme, rest)) = full.split_once("://") else { return Ok(full.to_owned()) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    if host.starts_with('[') || host.matches(':').count() < 2 {
        return Ok(full.to_owned());
    }
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    match host.rsplit_once(':') {
        Some((address, port))
            if is_address(address) && is_port(port) && (PORTS.contains(&port) || !is_address(host)) =>
        {
            Ok(format!("{scheme}://{user}[{address}]:{port}{path}"))
        }
        _ if is_address(host) => {
            Err(format!("has an IPv6 address without brackets; write {scheme}://[{host}]:4318, with the port"))
        }
        _ => Ok(full.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_nodes_get_brackets() {
        let url = |text: &str| endpoint(text, None, false, None).map(|(endpoint, _)| endpoint.to_string());
        for (text, expected) in [
            ("http://fd00::1:4317", "http://[fd00::1]:4317/"),
            ("http://2001:db8:0:0:0:0:0:1:8080/otlp", "http://[2001:db8:0:0:0:0:0:1]:8080/otlp"),
            ("http://[fd00::1]:4318/a:b::c", "http://[fd00::1]:4318/a:b::c"),
            ("http://10.0.0.1:4318", "http://10.0.0.1:4318/"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(expected), "{text}");
        }
        for ambiguous in ["http://fd00::1", "https://fd00::1:443", "http://user:secret@fd00::1:9"] {
            let error = url(ambiguous).unwrap_err();
            assert!(error.contains("without brackets; write http"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let grpc = endpoint("fd00::1:4317", Some(Protocol::Grpc), true, None).unwrap().0;
        assert_eq!(grpc.to_string(), "http://[fd00::1]:4317/");
    }
}
