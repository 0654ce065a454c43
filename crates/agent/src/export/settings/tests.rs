use super::*;

fn resolve(variables: &[(&str, &str)], overrides: &Overrides) -> Result<Option<OtlpSettings>, Vec<Fault>> {
    otlp(Signal::Metrics, &environment(variables), overrides)
}

fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn endpoint_of(variables: &[(&str, &str)]) -> (String, Protocol) {
    let settings = resolve(variables, &Overrides::default()).unwrap().unwrap();
    (settings.endpoint.to_string(), settings.protocol)
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

#[test]
fn no_endpoint_means_no_export() {
    assert_eq!(resolve(&[], &Overrides::default()), Ok(None));
    assert_eq!(resolve(&[(ENDPOINT, " ")], &Overrides::default()), Ok(None), "empty is not set");
    let disabled = [(ENDPOINT, "http://c:4318"), ("OTEL_SDK_DISABLED", "TRUE")];
    assert_eq!(resolve(&disabled, &Overrides::default()), Ok(None));
}

#[test]
fn exporters_by_name_may_leave_otlp_out() {
    let exports = |names: &str| {
        let variables = [(ENDPOINT, "http://c:4318"), ("OTEL_METRICS_EXPORTER", names)];
        resolve(&variables, &Overrides::default()).unwrap().is_some()
    };
    assert_eq!(["none", "prometheus", "otlp", "console, otlp", ""].map(exports), [false, false, true, true, true]);
    let logs = [(ENDPOINT, "http://c:4318"), ("OTEL_METRICS_EXPORTER", "none")];
    assert!(otlp(Signal::Logs, &environment(&logs), &Overrides::default()).unwrap().is_some(), "another signal");
}

#[test]
fn only_general_endpoint_gets_a_path() {
    assert_eq!(endpoint_of(&[(ENDPOINT, "http://c:4318")]).0, "http://c:4318/v1/metrics");
    assert_eq!(endpoint_of(&[(ENDPOINT, "https://c/otlp/")]).0, "https://c/otlp/v1/metrics");
    assert_eq!(endpoint_of(&[(METRICS_ENDPOINT, "https://c/write")]).0, "https://c/write");
    assert_eq!(endpoint_of(&[(METRICS_ENDPOINT, "https://c")]).0, "https://c/");
    let logs = otlp(Signal::Logs, &environment(&[(ENDPOINT, "http://c:4318")]), &Overrides::default());
    assert_eq!(logs.unwrap().unwrap().endpoint.to_string(), "http://c:4318/v1/logs");
}

#[test]
fn flags_precede_variables() {
    let both = [(ENDPOINT, "http://general:4318"), (METRICS_ENDPOINT, "http://metrics:4318")];
    assert_eq!(endpoint_of(&both).0, "http://metrics:4318/");
    let flag = Overrides { endpoint: Some("http://flag:4318".to_owned().into()), ..Overrides::default() };
    assert_eq!(resolve(&both, &flag).unwrap().unwrap().endpoint.to_string(), "http://flag:4318/v1/metrics");
}

#[test]
fn scheme_precedes_insecure() {
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    let grpc = (PROTOCOL, "grpc");
    assert_eq!(endpoint_of(&[(ENDPOINT, "c:4317"), grpc]).0, "https://c:4317/");
    assert_eq!(endpoint_of(&[(ENDPOINT, "c:4317"), grpc, insecure]).0, "http://c:4317/");
    assert_eq!(endpoint_of(&[(ENDPOINT, "https://c:4317"), grpc, insecure]).0, "https://c:4317/");
    assert_eq!(endpoint_of(&[(ENDPOINT, "http://c:4317/any/path"), grpc]).0, "http://c:4317/");
}

#[test]
fn without_a_protocol_the_port_decides() {
    assert_eq!(endpoint_of(&[(ENDPOINT, "http://c:4317")]).1, Protocol::Grpc);
    assert_eq!(endpoint_of(&[(ENDPOINT, "http://c:4318")]).1, Protocol::HttpProtobuf);
    assert_eq!(endpoint_of(&[(ENDPOINT, "https://c")]).1, Protocol::HttpProtobuf);
    assert_eq!(endpoint_of(&[(ENDPOINT, "http://c:4317"), (PROTOCOL, "http/protobuf")]).1, Protocol::HttpProtobuf);
}

#[test]
fn all_variables_are_read() {
    let settings = resolve(
        &[
            (ENDPOINT, "https://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%2Cb, x-tenant = t1 "),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "9"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ],
        &Overrides::default(),
    );
    let settings = settings.unwrap().unwrap();
    let headers: Vec<_> = settings.headers.iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Bearer a,b"), ("x-tenant", "t1")]);
    assert_eq!(settings.timeout, Duration::from_millis(2500));
    assert!(settings.gzip);
    assert_eq!(settings.tls.ca, Some("/ca.pem".into()));
    assert_eq!(settings.tls.client, Some(("/cert.pem".into(), "/key.pem".into())));
    assert_eq!(settings.temporality, Temporality::Delta);
}

#[test]
fn all_faults_are_named_at_once() {
    let faults = resolve(
        &[
            (ENDPOINT, "collector"),
            (PROTOCOL, "carrier-pigeon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
            ("OTEL_SDK_DISABLED", "1"),
        ],
        &Overrides::default(),
    );
    let faults = faults.unwrap_err();
    let named: Vec<_> = faults.iter().map(|fault| fault.setting.trim_start_matches("OTEL_EXPORTER_OTLP_")).collect();
    let expected = [
        "INSECURE",
        "PROTOCOL",
        "HEADERS",
        "TIMEOUT",
        "COMPRESSION",
        "METRICS_TEMPORALITY_PREFERENCE",
        "CLIENT_KEY",
        "ENDPOINT",
        "OTEL_SDK_DISABLED",
    ];
    assert_eq!(named, expected);
    assert!(faults[7].to_string().contains("write http://host:4318"), "{}", faults[7]);
}

#[test]
fn resource_attributes_are_percent_decoded() {
    let variables =
        [("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,team=a%20b%2C%C3%BC"), ("OTEL_SERVICE_NAME", "agent")];
    let attributes = resource_attributes(&environment(&variables)).unwrap();
    assert_eq!(attributes, [("team".into(), "a b,ü".into()), ("service.name".into(), "agent".into())]);
    for bad in ["novalue", "=x", "k=%zz", "k=%f", "k=%ff"] {
        assert!(resource_attributes(&environment(&[("OTEL_RESOURCE_ATTRIBUTES", bad)])).is_err(), "{bad}");
    }
}

#[test]
fn the_interval_is_in_milliseconds() {
    let name = "OTEL_METRIC_EXPORT_INTERVAL";
    assert_eq!(export_interval(&environment(&[(name, "15000")])), Ok(Some(Duration::from_secs(15))));
    assert!(export_interval(&environment(&[(name, "0")])).is_err());
    assert_eq!(export_interval(&environment(&[])), Ok(None));
}
