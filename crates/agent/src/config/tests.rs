use std::collections::HashMap;
use std::path::Path;

use clap::Command;
use iface_core::{Netns, NetnsId, NetnsName, Peer, Place};

use super::*;
use crate::testing;

fn load(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let mut line: Vec<String> = std::iter::once("run").chain(flags.iter().copied()).map(str::to_owned).collect();
    if let Some(text) = file {
        let path = dir.path().join("netns-agent.yaml");
        std::fs::write(&path, text).unwrap();
        line.extend(["--config".into(), path.display().to_string()]);
    }
    let matches = Command::new("run").args(args(&Section::ALL)).try_get_matches_from(line).unwrap();
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let environment = |name: &str| variables.get(name).map(|text| (*text).to_owned());
    ConfigSources::new(&matches, &environment).load(&environment)
}

fn faults(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> String {
    load(flags, variables, file).unwrap_err().to_string()
}

fn allows(config: &Config, name: &str) -> bool {
    let mut interface = crate::json::tests::bare();
    interface.name = name.parse().unwrap();
    config.filter.allows(&interface)
}

#[test]
fn filter_faults_name_their_setting() {
    let text =
        faults(&["--interfaces", "/(/", "--interface-ips", "10.0.0.0/99"], &[("EXCLUDE_INTERFACES", "a,a")], None);
    for part in ["3 faults", "--interfaces: ", "--interface-ips: ", "EXCLUDE_INTERFACES: "] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let both = faults(&["--interfaces", "eth0", "--interface-ips", "10.0.0.0/8"], &[], None);
    assert!(both.contains("1 fault") && both.contains("--interface-ips: "), "{both}");
}

#[test]
fn filters_choose_namespaces_and_host_ends() {
    let config = load(&["--include-netns", "/^cni-/", "--exclude-netns", "host,cni-0"], &[], None).unwrap();
    let at = |name: &str| Netns::new(crate::json::tests::bare().netns.id, Place::Named(NetnsName::new(name)));
    assert!(config.filter.allows_netns(&at("cni-1")) && config.metrics_filter.allows_netns(&at("cni-1")));
    assert!(["cni-0", "blue", "host"].iter().all(|name| !config.filter.allows_netns(&at(name))));
    let text = faults(&["--include-netns", "a/b", "--exclude-netns", "/(/", "--exclude-host-ends", "yes"], &[], None);
    for part in ["3 faults", "--include-netns: \"a/b\"", "--exclude-netns: ", "is not metrics, true or false"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn filters_choose_owners() {
    let config = load(&["--include-owner", "default/*", "--exclude-owner", "/-1$/"], &[], None).unwrap();
    let shown = |pod: &str| {
        let interface = testing::pod_interface(1, "eth0", &testing::pod(pod), testing::at(0));
        (config.filter.allows(&interface), config.metrics_filter.allows(&interface))
    };
    assert_eq!((shown("web-0"), shown("web-1")), ((true, true), (false, false)));
    let text = faults(&["--include-owner", "web", "--exclude-owner", "/(/"], &[], None);
    for part in ["2 faults", "--include-owner: \"web\"", "--exclude-owner: "] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// By default, metrics leave host ends out and other outputs do not.
#[test]
fn outputs_differ_in_host_ends() {
    let mut end = crate::json::tests::bare();
    end.netns = Netns::new(end.netns.id, Place::Host).into();
    let pod = Netns::new(NetnsId(end.netns.id.0 + 1), Place::Named(NetnsName::new("cni-1")));
    end.peer = Some(Box::new(Peer::new(pod.into(), 2, "eth0".parse().unwrap())));
    let shown = |flags: &[&str]| {
        let config = load(flags, &[], None).unwrap();
        (config.filter.allows(&end), config.metrics_filter.allows(&end))
    };
    assert_eq!(shown(&[]), (true, false));
    assert_eq!(shown(&["--exclude-host-ends", "false"]), (true, true));
    assert_eq!(shown(&["--exclude-host-ends", "true"]), (false, false));
    assert_eq!(shown(&["--exclude-interfaces", "eth0"]), (true, true), "the only end left");
}

#[test]
fn every_default_is_valid() {
    let config = load(&[], &[], None).unwrap();
    assert_eq!((&config.scan.dirs[..], config.scan.find_mounted), (&[PathBuf::from("/var/run/netns")][..], true));
    assert_eq!(config.export.interval, Duration::from_secs(15));
    assert!(!allows(&config, "lo") && allows(&config, "eth0"));
    assert_eq!(config.admin_address, Some("127.0.0.1:9465".parse().unwrap()));
}

#[test]
fn settings_of_metrics_tls_belong_together() {
    let address = ["--metrics-address", "127.0.0.1:9466"];
    let (certificate, key) = (["--metrics-tls-certificate", "/a.pem"], ["--metrics-tls-key", "/a.key"]);
    let ca = ["--metrics-tls-client-ca", "/ca.pem"];
    let files = load(&[address, certificate, key, ca].concat(), &[], None).unwrap().metrics_tls.unwrap();
    assert_eq!((files.key, files.client_ca), ("/a.key".into(), Some("/ca.pem".into())));
    for (flags, fault) in [
        (vec![address, certificate], "belong together"),
        (vec![address, key, ca], "belong together"),
        (vec![address, ca], "--metrics-tls-client-ca needs"),
        (vec![certificate, key], "--metrics-address, which is not set"),
    ] {
        let text = faults(&flags.concat(), &[], None);
        assert!(text.contains(fault), "{flags:?}: {text}");
    }
}

/// Tokens never cross a network in the clear; on the loopback, a proxy may add TLS.
#[test]
fn tokens_of_scrapers_need_tls() {
    let tokens = ["--metrics-authorization", "kubernetes"];
    let address = |text| ["--metrics-address", text];
    let tls = ["--metrics-tls-certificate", "/a.pem", "--metrics-tls-key", "/a.key"];
    for flags in [[&address("0.0.0.0:9466")[..], &tls, &tokens].concat(), [address("[::1]:9466"), tokens].concat()] {
        let config = load(&flags, &[], None).unwrap();
        assert_eq!(config.metrics_authorization, Authorization::Kubernetes);
    }
    assert_eq!(load(&[], &[], None).unwrap().metrics_authorization, Authorization::Open);
    assert!(faults(&tokens, &[], None).contains("--metrics-address, which is not set"));
    assert!(faults(&[address("0.0.0.0:9466"), tokens].concat(), &[], None).contains("needs --metrics-tls-certificate"));
    assert!(faults(&["--metrics-authorization", "basic"], &[], None).contains("none or kubernetes"));
}

#[test]
fn precedence_of_flags_environment_and_file() {
    let file = Some("poll-period: 3s\nexport-interval: 3s\nlisten: poll\n");
    let variables = [("NETNS_AGENT_POLL_PERIOD", "2s"), ("NETNS_AGENT_EXPORT_INTERVAL", "2s")];
    let config = load(&["--poll-period", "1s"], &variables, file).unwrap();
    assert_eq!(config.poll_period, Duration::from_secs(1));
    assert_eq!(config.export.interval, Duration::from_secs(2));
    assert_eq!(config.listen, Listen::Poll);
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
}

#[test]
fn all_faults_name_their_origin() {
    let text = faults(
        &["--engine", "magic", "--netns-dir", "here"],
        &[("NETNS_AGENT_LISTEN", "hard"), ("OTEL_METRIC_EXPORT_INTERVAL", "soon")],
        Some("poll-period: never\nexport-intervall: 5s\n"),
    );
    for part in [
        "6 faults",
        "--engine: \"magic\"",
        "--netns-dir: \"here\" is not an absolute path",
        "NETNS_AGENT_LISTEN: \"hard\"",
        "OTEL_METRIC_EXPORT_INTERVAL: \"soon\"",
        "netns-agent.yaml: poll-period: \"never\"",
        "export-intervall: no such setting; did you mean export-interval?",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn variables_of_other_programs() {
    let variables = [
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000"),
        ("LISTEN_INTERFACES", "poll"),
        ("LISTEN_POLL_PERIOD", "1m"),
        ("EXCLUDE_INTERFACES", "lo,/^veth/"),
    ];
    let config = load(&[], &variables, None).unwrap();
    assert_eq!(config.export.interval, Duration::from_secs(60));
    assert_eq!((config.listen, config.poll_period), (Listen::Poll, Duration::from_secs(60)));
    assert!(["lo", "veth1"].iter().all(|name| !allows(&config, name)) && allows(&config, "eth0"));
}

#[test]
fn empty_variable_is_unset_empty_flag_set() {
    let shows_lo =
        |flags: &[&str], variables: &[(&str, &str)], file| allows(&load(flags, variables, file).unwrap(), "lo");
    assert!(!shows_lo(&[], &[("NETNS_AGENT_EXCLUDE_INTERFACES", "")], None));
    assert!(shows_lo(&["--exclude-interfaces="], &[], None));
    assert!(shows_lo(&[], &[], Some("exclude-interfaces: []\n")));
}

#[test]
fn three_notations_of_a_list() {
    let want = ["/a", "/b"].map(PathBuf::from);
    assert_eq!(load(&["--netns-dir", "/a", "--netns-dir=/b"], &[], None).unwrap().scan.dirs, want);
    assert_eq!(load(&["--netns-dir", "/a,/b"], &[], None).unwrap().scan.dirs, want);
    assert!(!load(&["--netns-dir", "/a,/b"], &[], None).unwrap().scan.find_mounted);
    let both = load(&["--netns-dir", "auto,/b"], &[], None).unwrap().scan;
    assert_eq!((both.dirs, both.find_mounted), (vec!["/var/run/netns".into(), "/b".into()], true));
    assert_eq!(load(&[], &[], Some("netns-dir: [/a, /b]\n")).unwrap().scan.dirs, want);
}

#[test]
fn unreadable_file_is_a_fault() {
    assert!(faults(&["--config", "/nowhere/at.all"], &[], None).contains("/nowhere/at.all: "));
    for text in ["- a\n- b\n", "engine: [auto]\n", "engine: {a: b}\n", "engine: auto\nengine: nsid\n", "a: [\n"] {
        assert!(faults(&[], &[], Some(text)).contains("netns-agent.yaml: "), "{text}");
    }
}

#[test]
fn default_file_is_valid() {
    let text = default_file();
    load(&[], &[], Some(&text)).unwrap();
    let in_force: String = text
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#'])))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(in_force.lines().count(), settings().count());
    load(&[], &[], Some(&in_force)).unwrap();
}

fn endpoint(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Option<String> {
    load(flags, variables, file).unwrap().export.otlp.metrics.map(|otlp| otlp.endpoint.to_string())
}

#[test]
fn precedence_of_the_otlp_endpoint() {
    let file = Some("otlp-endpoint: http://file:4317\n");
    let variable = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable:4317");
    let own = ("NETNS_AGENT_OTLP_ENDPOINT", "http://own:4317");
    let flag = ["--otlp-endpoint", "http://flag:4317"];
    assert_eq!(endpoint(&[], &[], None), None);
    assert_eq!(endpoint(&[], &[], file).unwrap(), "http://file:4317/");
    assert_eq!(endpoint(&[], &[variable], file).unwrap(), "http://variable:4317/");
    let specific = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://specific:4317");
    assert_eq!(endpoint(&[], &[variable, specific], file).unwrap(), "http://specific:4317/");
    assert_eq!(endpoint(&[], &[variable, specific, own], file).unwrap(), "http://own:4317/");
    assert_eq!(endpoint(&flag, &[variable, own], file).unwrap(), "http://flag:4317/");
}

#[test]
fn every_otlp_setting_of_the_file_arrives() {
    let file = "otlp-endpoint: https://collector:4318\notlp-headers: a=b\notlp-timeout: 3s\notlp-compression: gzip\n\
                otlp-certificate: /ca\notlp-client-certificate: /c\notlp-client-key: /k\n\
                otlp-protocol: http/protobuf\notlp-temporality-preference: delta\n";
    let otlp = load(&[], &[], Some(file)).unwrap().export.otlp.metrics.unwrap();
    assert_eq!(otlp.endpoint.to_string(), "https://collector:4318/v1/metrics");
    assert_eq!((otlp.headers.len(), otlp.timeout, otlp.gzip), (1, Duration::from_secs(3), true));
    assert_eq!(otlp.tls.ca.as_deref(), Some(Path::new("/ca")));
    assert!(otlp.tls.client.is_some());
    assert_eq!(otlp.temporality, crate::metrics::points::Temporality::Delta);
}

#[test]
fn otlp_faults_name_their_origin_once() {
    let text = faults(
        &["--otlp-compression", "zip"],
        &[("NETNS_AGENT_OTLP_PROTOCOL", "smoke"), ("OTEL_EXPORTER_OTLP_HEADERS", "x")],
        Some("otlp-endpoint: ftp://x\notlp-timeout: soon\n"),
    );
    for part in [
        "5 faults",
        "--otlp-compression: ",
        "NETNS_AGENT_OTLP_PROTOCOL: ",
        "OTEL_EXPORTER_OTLP_HEADERS: ",
        "netns-agent.yaml: otlp-endpoint: ",
        "netns-agent.yaml: otlp-timeout: ",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part:?} in:\n{text}");
    }
}

#[test]
fn prometheus_interfaces_without_otlp() {
    let shown = |flags: &[&str]| load(flags, &[], None).unwrap().export.shows_interfaces();
    assert!(shown(&[]));
    assert!(!shown(&["--otlp-endpoint", "http://c:4317"]));
    assert!(shown(&["--otlp-endpoint", "http://c:4317", "--prometheus-interfaces", "on"]));
    assert!(!shown(&["--prometheus-interfaces", "off"]));
}

#[test]
fn help_names_all_opt_in_metrics() {
    let help = Setting::named("metrics").unwrap().help;
    for metric in crate::metrics::catalog::INTERFACE_METRICS.iter().filter(|metric| metric.opt_in) {
        assert!(help.contains(metric.suffix), "{}", metric.suffix);
        assert!(load(&["--metrics", metric.suffix], &[], None).is_ok());
    }
}

/// Counters that explain errors are read from the kernel only where they are reported.
#[test]
fn all_counters_are_read_on_request() {
    for (flags, reads, count) in [
        (&[][..], false, 0),
        (&["--metrics", "interface.mtu,interface.address"], false, 2),
        (&["--metrics", "interface.errors"], true, 1),
        (&["--all-counters", "true"], true, 7),
        (&["--all-counters", "true", "--metrics", "interface.errors,interface.info"], true, 8),
    ] {
        let config = load(flags, &[], None).unwrap();
        assert_eq!((config.scan.details, config.export.options.opt_in.len()), (reads, count), "{flags:?}");
    }
}

#[test]
fn settings_and_variables_are_unique() {
    let keys: std::collections::HashSet<_> = settings().map(|setting| setting.key).collect();
    let also: Vec<_> = settings().flat_map(|setting| setting.also).map(|env| env.name).collect();
    let unique: std::collections::HashSet<_> = also.iter().collect();
    assert_eq!((keys.len(), unique.len()), (settings().count(), also.len()));
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == markdown(),
        "docs/configuration.md is behind: run UPDATE_DOCS=1 cargo test -p netns-agent config::"
    );
}

#[test]
fn export_interval_is_bounded() {
    for wrong in ["1ms", "999ms", "61m", "never"] {
        assert!(faults(&["--export-interval", wrong], &[], None).contains("--export-interval"), "{wrong}");
    }
    assert_eq!(load(&["--export-interval", "1s"], &[], None).unwrap().export.interval, Duration::from_secs(1));
}

#[test]
fn settings_that_need_a_restart_are_named() {
    let running = load(&["--export-interval", "5s"], &[], None).unwrap();
    let changed = load(&["--export-interval", "6s", "--interfaces", "eth0", "--listen", "poll"], &[], None).unwrap();
    assert_eq!(changed.needs_restart(&running), ["listen", "export-interval"]);
    assert!(running.needs_restart(&running).is_empty());
}

#[test]
fn misspelt_variables_are_reported() {
    let names = ["NETNS_AGENT_EXPORT_INTERVALL", "NETNS_AGENT_CONFIG", "NETNS_AGENT_ENGINE", "PATH", "NETNS_AGENT_X"];
    let of_a_service = ["NETNS_AGENT_SERVICE_HOST", "NETNS_AGENT_PORT_9465_TCP_ADDR", "NETNS_AGENT_SERVICE_PORT_HTTP"];
    let warnings = unknown_variables(names.into_iter().chain(of_a_service).map(str::to_owned));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("did you mean NETNS_AGENT_EXPORT_INTERVAL?"), "{warnings:?}");
}

/// Faults reach logs and terminals, so a value that may hold a secret is never quoted.
#[test]
fn faults_do_not_quote_secrets() {
    let headers = "api-key=TOKEN,TOKEN,b=%ZZTOKEN";
    let texts = [
        faults(&["--otlp-headers", headers], &[], None),
        faults(&[], &[("OTEL_EXPORTER_OTLP_HEADERS", headers)], None),
        faults(&[], &[("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a b=TOKEN")], None),
        faults(&[], &[], Some("otlp-headers: [TOKEN\nengine: {")),
        faults(&[], &[], Some("TOKEN\n")),
        faults(&[], &[], Some("otlp-headers: {api-key: TOKEN}\n")),
        faults(&["--otlp-endpoint", "ftp://me:TOKEN@host/?key=TOKEN"], &[], None),
        faults(&["--otlp-endpoint", "http://me:TOKEN@ho st?key=TOKEN"], &[], None),
    ];
    for text in texts {
        assert!(!text.contains("TOKEN"), "{text}");
    }
}

/// Debug output ends in logs and panics.
#[test]
fn debug_shows_no_secret() {
    let endpoint = "http://me:TOKEN@host/?key=TOKEN";
    let flags = ["--otlp-endpoint", endpoint, "--otlp-headers", "api-key=TOKEN"];
    let line = ["run"].into_iter().chain(flags);
    let matches = Command::new("run").args(args(&Section::ALL)).try_get_matches_from(line).unwrap();
    let sources = ConfigSources::new(&matches, &|_| None);
    let variables = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_HEADERS", "a=TOKEN")];
    for config in [load(&flags, &[], None), load(&[], &variables, None)] {
        let config = config.unwrap();
        assert!(config.export.otlp.logs.is_some());
        let text = format!("{config:?} {sources:?}");
        assert!(!text.contains("TOKEN"), "{text}");
    }
}
