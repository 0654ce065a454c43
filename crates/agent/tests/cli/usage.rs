use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use netns_testbed::{Rtnl, Test, scaled, tests};

use crate::program::{command, listed, output, stdout};
use crate::scene::Scene;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        wrong_usage_exits_with_2,
        configuration_faults_exit_with_2,
        help_version_completions_and_manual,
        manual_has_all_verbs_and_settings,
        default_file_passes_the_check,
        missing_directory_is_not_a_failure,
        failure_exits_with_1_and_one_line,
        doctor_prints_all_checks,
        doctor_is_quick_where_nothing_answers,
        foreign_variables_end_sending_verbs_only,
        check_reads_the_named_files,
        kubeconfig_needs_certificates_for_https_only,
        lookup_by_index_mac_and_namespace,
        lookup_finds_filtered_interfaces,
    ]
    .into()
}

fn stderr(arguments: &[&str], code: i32) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn wrong_usage_exits_with_2() {
    assert!(stderr(&["lisst"], 2).contains("'list'"));
    assert!(stderr(&["list", "--netns-dri", "/x"], 2).contains("--netns-dir"));
    assert!(stderr(&[], 2).contains("Usage"));
}

fn configuration_faults_exit_with_2() {
    for verb in [&["run"][..], &["list"], &["config", "check"]] {
        let said = stderr(&[verb, &["--engine", "magic", "--netns-dir", "here"]].concat(), 2);
        assert!(said.contains("2 faults") && said.contains("--engine") && said.contains("--netns-dir"), "{said}");
    }
}

fn help_version_completions_and_manual() {
    assert!(stdout(&["--help"]).contains("Examples:"));
    assert!(stdout(&["--version"]).starts_with("netns-agent "));
    for verb in ["run", "list", "watch", "lookup", "doctor", "top", "tree", "config", "completions", "man"] {
        assert!(stdout(&[verb, "--help"]).contains("Usage: netns-agent"), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("netns-dir"), "{shell}");
    }
}

fn manual_has_all_verbs_and_settings() {
    let man = stdout(&["man"]);
    let sections =
        |verb: &str| man.split("\n.SH ").filter(|part| part.starts_with(&format!("\"NETNS-AGENT {verb}\""))).count();
    for verb in
        ["RUN", "LIST", "WATCH", "LOOKUP", "DOCTOR", "TOP", "CONFIG DEFAULT", "CONFIG CHECK", "COMPLETIONS", "MAN"]
    {
        assert_eq!(sections(verb), 1, "{verb}");
    }
    assert!(man.contains("netns\\-agent list \\-n default"), "{man}");
    for setting in netns_agent::config::settings() {
        let flag = format!("\\fB\\-\\-{}\\fR", setting.key.replace('-', "\\-"));
        assert_eq!(man.matches(&flag).count(), 1, "{flag}");
    }
    for section in ["SETTINGS", "ENVIRONMENT", "FILES", "EXIT STATUS", "SEE ALSO"] {
        assert!(man.contains(&format!("\n.SH {section}\n")), "{section}");
    }
    // No line of text may be taken for a request.
    let requests = ["ie", "el", "TH", "SH", "SS", "TP", "PP", "br", "nf", "fi", "RS", "RE", "BR", "ds", "sp", "IP"];
    let odd =
        |line: &&str| line.starts_with(['.', '\'']) && !requests.iter().any(|word| line[1..].trim().starts_with(word));
    assert_eq!(man.lines().find(odd), None);
}

fn default_file_passes_the_check() {
    fs::write("/run/netns-agent.yaml", stdout(&["config", "default"])).unwrap();
    assert!(stdout(&["config", "check", "--config", "/run/netns-agent.yaml"]).contains("without fault"));
}

fn missing_directory_is_not_a_failure() {
    let list = stdout(&["list", "--netns-dir", "/run/nowhere", "--cni-cache-dir", "/run/nothing", "-o", "json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    assert!(list.iter().all(|one| one["netns"]["host"] == true), "{list:?}");
}

fn failure_exits_with_1_and_one_line() {
    let said = stderr(&["list", "--kubeconfig", "/run/nowhere"], 1);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("/run/nowhere"), "{said}");
    fs::write("/run/kubeconfig", "no\nkubeconfig\n").unwrap();
    let said = stderr(&["list", "--kubeconfig", "/run/kubeconfig"], 1);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(stderr(&["top"], 1).contains("needs a terminal"));
}

fn doctor_prints_all_checks() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let well = stdout(&["doctor", "--cni-cache-dir", &cni]);
    let subjects =
        ["kernel", "capabilities", "engine", "namespaces", "mounts", "CNI cache", "API server", "OTLP endpoint"];
    for subject in subjects {
        assert!(well.lines().any(|line| line.contains(subject)), "{subject} is not in:\n{well}");
    }
    assert!(well.contains("3 results"), "{well}");
    let output = output(&["doctor", "--otlp-endpoint", "http://127.0.0.1:1", "--cni-cache-dir", &cni]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let bad: Vec<_> = said.lines().filter(|line| line.starts_with("NOT OK")).collect();
    assert!(bad.len() == 1 && bad[0].contains("http://127.0.0.1:1/"), "{said}");
    assert!(said.contains("remedy: "), "{said}");
}

/// The checks that wait do so at the same time: one after the other would take 9 s.
fn doctor_is_quick_where_nothing_answers() {
    Rtnl::new().up(&["lo"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    kubeconfig(&format!("http://{at}"));
    let (endpoint, start) = (format!("http://{at}"), Instant::now());
    let mut arguments = vec!["--otlp-endpoint", &endpoint, "--kubeconfig", "/run/kubeconfig", "--node-name", "n1"];
    arguments.extend(["--metrics-address", "127.0.0.1:9466", "--metrics-authorization", "kubernetes"]);
    let said = String::from_utf8(output(&[&["doctor"], &arguments[..]].concat()).stdout).unwrap();
    let took = start.elapsed();
    assert_eq!(said.lines().filter(|line| line.starts_with("NOT OK")).count(), 3, "{said}");
    assert!(took < scaled(Duration::from_secs(9)), "{took:?}: {said}");
}

/// Writes `/run/kubeconfig` for a server.
pub(crate) fn kubeconfig(server: &str) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write("/run/kubeconfig", text).unwrap();
}

/// OpenTelemetry's variables may be meant for another program on the machine.
fn foreign_variables_end_sending_verbs_only() {
    let run = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318").env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml");
        command.output().unwrap()
    };
    assert_eq!(run(&["list", "-o", "name"]).status.code(), Some(0));
    let refused = run(&["config", "check"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL: "), "{said}");
    let mut checked = command(&["config", "check"]);
    let checked =
        checked.env("OTEL_CONFIG_FILE", "/etc/otel.yaml").env("OTEL_METRICS_EXPORTER", "none").output().unwrap();
    assert_eq!(checked.status.code(), Some(0));
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(said.contains("OTEL_CONFIG_FILE is ignored") && !said.contains("OTEL_METRICS_EXPORTER"), "{said}");
}

fn check_reads_the_named_files() {
    let check = |more: &[&str]| stderr(&[&["config", "check", "--otlp-endpoint", "https://c:4317"], more].concat(), 2);
    fs::write("/run/empty.pem", "").unwrap();
    let said = check(&["--otlp-certificate", "/run/empty.pem", "--kubeconfig", "/run/nowhere"]);
    for part in ["2 faults", "/run/empty.pem", "/run/nowhere"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    kubeconfig("http://127.0.0.1:1");
    stdout(&["config", "check", "--otlp-endpoint", "http://c:4317", "--kubeconfig", "/run/kubeconfig"]);
}

/// As in an image without CA certificates: the faults are the kubeconfig's, and plain http needs none.
fn kubeconfig_needs_certificates_for_https_only() {
    let check = |server: &str| {
        kubeconfig(server);
        let mut check = command(&["config", "check", "--kubeconfig", "/run/kubeconfig"]);
        check.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/run/nowhere").output().unwrap()
    };
    let plain = check("http://127.0.0.1:1");
    assert!(plain.status.success(), "{plain:?}");
    let secured = check("https://127.0.0.1:1");
    let said = String::from_utf8_lossy(&secured.stderr);
    assert_eq!(secured.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot use the kubeconfig /run/kubeconfig: ") && said.contains("CA certificates"), "{said}");
}

fn lookup_by_index_mac_and_namespace() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let lookup = |more: &[&str]| stdout(&[&["lookup", "--cni-cache-dir", &cni, "2"], more].concat());
    let name = scene.pods[1].netns.name();
    assert_eq!(lookup(&["0a:58:0a:f4:00:06"]), format!("{name}/eth0 of default/web-1, exact\n"));
    assert_eq!(lookup(&["--netns", name]), format!("{name}/eth0 of default/web-1, exact\n"));
    assert!(lookup(&["02:00:00:00:00:99"]).ends_with(", guess\n"));
    let index = Rtnl::new().index_of("veth0").unwrap().to_string();
    let host = stdout(&["lookup", "--cni-cache-dir", &cni, "--netns", "host", &index]);
    assert_eq!(host, "host/veth0, the host's end of default/web-0, exact\n");
    assert!(lookup(&["--netns", "host", "-o", "json"]).contains(r#""confidence":"exact""#));
    assert!(stderr(&["lookup", "4711"], 1).contains("4711"));
    assert!(stderr(&["lookup", "2", "0a:zz"], 2).contains("0a:zz"));
}

// The filter narrows outputs, not lookups: an interface that `list` hides still has an exact answer.
fn lookup_finds_filtered_interfaces() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let filtered =
        |verb: &[&str]| stdout(&[verb, &["--cni-cache-dir", &cni, "--exclude-interfaces", "lo,/^veth/"]].concat());
    assert!(!filtered(&["list", "-o", "name"]).contains("veth"));
    let index = Rtnl::new().index_of("veth0").unwrap().to_string();
    let mac = listed(&scene.cni, &["--netns", "host", "veth0"])[0]["mac"].as_str().unwrap().to_owned();
    let by_mac = filtered(&["lookup", &index, &mac]);
    assert_eq!(by_mac, "host/veth0, the host's end of default/web-0, exact\n");
    assert_eq!(filtered(&["lookup", "1", "--netns", "host"]), "host/lo, exact\n");
    assert!(filtered(&["lookup", "1"]).ends_with(", guess\n"), "every namespace has a lo");
}
