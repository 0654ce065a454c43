//! OpenTelemetry's environment variables, as its specification defines them.
//!
//! Sources: "OpenTelemetry Protocol Exporter" (endpoint, protocol, headers, TLS, timeout), "General
//! SDK Configuration" (service name, resource attributes, disabling) and "Metrics Exporters"
//! (interval, temporality) of the OpenTelemetry specification. An empty variable counts as not
//! set. The specification lets an SDK warn about a bad value and continue with another; here a bad value
//! is a [`Fault`]: an agent must not export to a place nobody configured.

mod endpoint;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};

use self::endpoint::endpoint;
use crate::metrics::points::Temporality;
use crate::proxy::{self, Proxy};
use crate::secret::{Endpoint, Secret};

/// Exported signals; the variables of a signal take precedence over the general variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Logs: interface events.
    Logs,
}

impl Signal {
    /// The word in attributes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    fn infix(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS_",
            Self::Logs => "LOGS_",
        }
    }

    fn http_path(self) -> &'static str {
        match self {
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
        }
    }
}

/// Transport of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, usually port 4317.
    Grpc,
    /// Protobuf in HTTP POST requests, usually port 4318.
    HttpProtobuf,
    /// JSON in HTTP POST requests, usually port 4318.
    HttpJson,
}

/// Export settings of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// With HTTP the URL of the POST requests, with gRPC scheme and authority.
    pub endpoint: Endpoint,
    /// Transport of requests.
    pub protocol: Protocol,
    /// The proxy between the agent and the endpoint.
    pub proxy: Option<Proxy>,
    /// Sent with each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Compress requests with gzip.
    pub gzip: bool,
    /// Trusted authorities and client certificate, for https.
    pub tls: TlsFiles,
    /// Temporality of counters.
    pub temporality: Temporality,
}

/// PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsFiles {
    /// Certificates of the authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// The agent's certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Values of flags and the configuration file; they take precedence over the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// As `OTEL_EXPORTER_OTLP_ENDPOINT`: with HTTP the signal's path is appended.
    pub endpoint: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub protocol: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_TIMEOUT`, milliseconds.
    pub timeout: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_COMPRESSION`.
    pub compression: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_CERTIFICATE`.
    pub certificate: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`.
    pub client_certificate: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_CLIENT_KEY`.
    pub client_key: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_INSECURE`.
    pub insecure: Option<Secret>,
    /// As `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
    pub temporality: Option<Secret>,
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable or flag.
    pub setting: String,
    /// The fault and its correction.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for Fault {}

/// The environment, or a substitute in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Export settings of `signal`; `None` without an endpoint, with the SDK disabled, and where
/// `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER` leaves OTLP out.
///
/// Without a protocol, the endpoint's port decides: 4317 is gRPC's; any other port is HTTP with
/// protobuf, the specification's default.
///
/// # Errors
/// All faults at once.
pub fn otlp(
    signal: Signal,
    environment: Environment<'_>,
    overrides: &Overrides,
) -> Result<Option<OtlpSettings>, Vec<Fault>> {
    let mut reader = Reader { signal, environment, faults: Vec::new() };
    let settings = reader.otlp(overrides);
    let disabled = reader.flag("OTEL_SDK_DISABLED") || reader.is_left_out();
    if reader.faults.is_empty() { Ok(settings.filter(|_| !disabled)) } else { Err(reader.faults) }
}

/// `OTEL_METRIC_EXPORT_INTERVAL`, milliseconds.
///
/// # Errors
/// Fails for 0 and for text that is not a number.
pub fn export_interval(environment: Environment<'_>) -> Result<Option<Duration>, Fault> {
    let name = "OTEL_METRIC_EXPORT_INTERVAL";
    set(environment, name).map(|text| milliseconds(&text).map_err(|problem| fault(name, problem))).transpose()
}

/// The attributes of every Resource: `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_SERVICE_NAME`, which
/// takes precedence over `service.name` in the former.
///
/// # Errors
/// Fails for text that is not a list of `key=value`.
pub fn resource_attributes(environment: Environment<'_>) -> Result<Vec<(String, String)>, Fault> {
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    let text = set(environment, name).unwrap_or_default();
    let mut attributes = pairs(&text).map_err(|problem| fault(name, problem))?;
    if let Some(service) = set(environment, "OTEL_SERVICE_NAME") {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), service));
    }
    Ok(attributes)
}

/// A value and the name of its source.
struct Found {
    name: String,
    value: Secret,
    /// Of the signal itself: its endpoint is complete.
    specific: bool,
}

impl Found {
    fn path(&self) -> PathBuf {
        self.value.expose().into()
    }

    /// Quotes the value, unless it may hold a secret.
    fn fault(&self, problem: impl fmt::Display) -> Fault {
        if self.name.to_uppercase().ends_with("HEADERS") {
            return fault(&self.name, format!("the value {problem}"));
        }
        fault(&self.name, format!("{:?} {problem}", self.value.redacted()))
    }
}

struct Reader<'a> {
    signal: Signal,
    environment: Environment<'a>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// Flag or file, the signal's variable, the general variable: the first with a value.
    fn find(&self, suffix: &str, given: Option<&Secret>) -> Option<Found> {
        let flag = || {
            let name = format!("--otlp-{}", suffix.to_lowercase().replace('_', "-"));
            given.map(|value| Found { name, value: value.clone(), specific: false })
        };
        let variable = |infix: &str| {
            let name = format!("OTEL_EXPORTER_OTLP_{infix}{suffix}");
            set(self.environment, &name).map(|value| Found { name, value: value.into(), specific: !infix.is_empty() })
        };
        flag().or_else(|| variable(self.signal.infix())).or_else(|| variable(""))
    }

    fn parse<T>(
        &mut self,
        suffix: &str,
        given: Option<&Secret>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(suffix, given)?;
        parse(found.value.expose()).map_err(|problem| self.faults.push(found.fault(problem))).ok()
    }

    fn flag(&mut self, name: &str) -> bool {
        let value = set(self.environment, name);
        value.is_some_and(|value| {
            boolean(&value).map_err(|problem| self.faults.push(fault(name, problem))).unwrap_or(false)
        })
    }

    /// Whether the signal has exporters by name, and OTLP is not among them.
    fn is_left_out(&self) -> bool {
        let names = set(self.environment, &format!("OTEL_{}EXPORTER", self.signal.infix()));
        names.is_some_and(|names| !names.split(',').any(|name| name.trim() == "otlp"))
    }

    fn otlp(&mut self, given: &Overrides) -> Option<OtlpSettings> {
        let insecure = self.parse("INSECURE", given.insecure.as_ref(), boolean).unwrap_or(false);
        let protocol = self.parse("PROTOCOL", given.protocol.as_ref(), protocol);
        let headers = self.parse("HEADERS", given.headers.as_ref(), headers).unwrap_or_default();
        let timeout = self.parse("TIMEOUT", given.timeout.as_ref(), milliseconds).unwrap_or(Duration::from_secs(10));
        let gzip = self.parse("COMPRESSION", given.compression.as_ref(), compression).unwrap_or(false);
        let temporality = self.temporality(given);
        let tls = self.tls(given);
        let (endpoint, protocol) = self.endpoint(given, protocol, insecure)?;
        let proxy = proxy::proxy(self.environment, endpoint.expose());
        let proxy = proxy.map_err(|wrong| self.faults.push(fault(wrong.variable, wrong))).ok()?;
        Some(OtlpSettings { endpoint, protocol, proxy, headers, timeout, gzip, tls, temporality })
    }

    fn temporality(&mut self, given: &Overrides) -> Temporality {
        match self.signal {
            Signal::Metrics => self.parse("TEMPORALITY_PREFERENCE", given.temporality.as_ref(), temporality),
            Signal::Logs => None,
        }
        .unwrap_or_default()
    }

    fn tls(&mut self, given: &Overrides) -> TlsFiles {
        let ca = self.find("CERTIFICATE", given.certificate.as_ref()).map(|found| found.path());
        let certificate = self.find("CLIENT_CERTIFICATE", given.client_certificate.as_ref());
        let key = self.find("CLIENT_KEY", given.client_key.as_ref());
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate.path(), key.path())),
            (None, None) => None,
            (Some(certificate), None) => {
                self.faults.push(certificate.fault("has no key: name the client key too"));
                None
            }
            (None, Some(key)) => {
                self.faults.push(key.fault("has no certificate: name the client certificate too"));
                None
            }
        };
        TlsFiles { ca, client }
    }

    fn endpoint(
        &mut self,
        given: &Overrides,
        protocol: Option<Protocol>,
        insecure: bool,
    ) -> Option<(Endpoint, Protocol)> {
        let found = self.find("ENDPOINT", given.endpoint.as_ref())?;
        let endpoint =
            endpoint(found.value.expose(), protocol, insecure, (!found.specific).then(|| self.signal.http_path()));
        endpoint.map_err(|problem| self.faults.push(found.fault(problem))).ok()
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "http/json" => Ok(Protocol::HttpJson),
        _ => Err("is no OTLP protocol; write grpc, http/protobuf or http/json".to_owned()),
    }
}

fn temporality(text: &str) -> Result<Temporality, String> {
    match text.to_ascii_lowercase().as_str() {
        "cumulative" => Ok(Temporality::Cumulative),
        // "lowmemory" differs only for instruments not used for interfaces.
        "delta" | "lowmemory" => Ok(Temporality::Delta),
        _ => Err("is no temporality; write cumulative, delta or lowmemory".to_owned()),
    }
}

fn compression(text: &str) -> Result<bool, String> {
    match text {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err("is no compression; write gzip or none".to_owned()),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("is no number of milliseconds above 0".to_owned()),
        Ok(number) => Ok(Duration::from_millis(number)),
    }
}

fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(key, value): (String, String)| {
        let name = HeaderName::from_str(&key).map_err(|_| "has a key that is not a header name".to_owned())?;
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| "has a value with characters that a header must not have".to_owned())?;
        value.set_sensitive(true);
        Ok(((name), value))
    };
    pairs(text)?.into_iter().map(header).collect()
}

/// `key1=value1,key2=value2`, values percent-encoded, as in W3C Baggage.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| "has a part that is not key=value".to_owned())?;
        let [key, value] = [key, value].map(|part| percent_decoded(part.trim()));
        match (key, value) {
            (Some(key), Some(value)) if !key.is_empty() => Ok((key, value)),
            _ => Err("has a part whose key is empty or whose percent-encoding is wrong".to_owned()),
        }
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low, after @ ..] = rest else { return None };
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn set(environment: Environment<'_>, name: &str) -> Option<String> {
    environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn fault(setting: &str, problem: impl fmt::Display) -> Fault {
    Fault { setting: setting.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
