use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use netns_testbed::{Test, tests};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Listen, Running, command, get};
use crate::receiver::Receiver;
use crate::scene::{Pod, Scene};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        scrapers_get_pod_series_without_otlp,
        otlp_bytes_equal_the_kernel_counters,
        address_in_use_is_one_line,
        filter_is_reloaded_and_faults_are_refused,
        host_ends_and_namespaces_leave_metrics,
        foreign_files_and_restart_settings_at_reload,
        sighup_during_the_start_is_survived,
        service_manager_is_notified_of_readiness,
        hanging_receiver_is_given_up_with_success,
        hostile_pod_cannot_fill_the_log,
        secrets_are_not_printed,
        two_inotify_instances_are_enough,
    ]
    .into()
}

pub(crate) const ADMIN: &str = "127.0.0.1:9465";

pub(crate) fn run(scene: &Scene, more: &[&str]) -> Running {
    let cni = scene.cni.display().to_string();
    let arguments = [&["run", "--log-format", "json", "--cni-cache-dir", &cni, "--node-name", "node-1"], more].concat();
    let running = Running::start(command(&arguments), Listen::Errors);
    running.until(|line| line.contains("\"event.name\":\"agent.synced\""));
    running
}

/// Sends some datagrams out of the pod, to the broadcast address because there is no neighbour.
fn traffic(pod: &Pod) {
    pod.netns.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_broadcast(true).unwrap();
        for size in [100, 1000, 50] {
            socket.send_to(&vec![0; size], "10.244.0.255:9").unwrap();
        }
    });
}

/// Bytes as `ip -s link` shows them: received, transmitted.
fn kernel_bytes(pod: &Pod) -> (u64, u64) {
    let text = pod.netns.inside(|| {
        let output =
            std::process::Command::new("ip").args(["-j", "-s", "-s", "link", "show", "eth0"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let link: Value = serde_json::from_str(&text).unwrap();
    let bytes = |direction: &str| link[0]["stats64"][direction]["bytes"].as_u64().unwrap();
    (bytes("rx"), bytes("tx"))
}

/// IPv6 of the sandbox sends its own packets at its own times; without it counters stand still.
fn quiet(scene: &Scene) {
    for pod in &scene.pods {
        pod.netns.inside(|| {
            let _ = fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
        });
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", pod.veth.host()), "1");
    }
}

fn scrapers_get_pod_series_without_otlp() {
    let scene = Scene::new();
    quiet(&scene);
    traffic(&scene.pods[0]);
    const METRICS: &str = "127.0.0.1:9466";
    let running = run(&scene, &["--metrics-address", METRICS]);
    assert_eq!(get(ADMIN, "/readyz").0, "HTTP/1.1 200 OK");
    let (_, page) = get(METRICS, "/metrics");
    assert!(get(METRICS, "/v1/interfaces").0.contains("404"));
    let (_, sent) = kernel_bytes(&scene.pods[0]);
    let series = page.lines().find(|line| {
        let parts = ["k8s_pod_network_io_bytes_total{", "k8s_pod_name=\"web-0\"", "eth0", "transmit"];
        parts.iter().all(|part| line.contains(part))
    });
    let series = series.unwrap_or_else(|| panic!("no series of web-0 in\n{page}"));
    assert!(sent >= 1150 && series.ends_with(&format!(" {sent}")), "{series}, the kernel says {sent}");
    assert!(get(ADMIN, "/v1/lookup?ifindex=2&netns=nowhere").0.contains("404"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
}

fn otlp_bytes_equal_the_kernel_counters() {
    let scene = Scene::new();
    quiet(&scene);
    scene.pods.iter().for_each(traffic);
    let receiver = Receiver::start();
    let otlp = ["--otlp-endpoint", &receiver.endpoint, "--otlp-protocol", "grpc", "--export-interval", "1h"];
    let running = run(&scene, &otlp);
    receiver.pod_bytes(|bytes| scene.pods.iter().all(|pod| bytes.contains_key(&key(pod, "transmit"))));
    // Traffic after the only tick can only be in the last export.
    scene.pods.iter().for_each(traffic);
    let totals = |pod: &Pod| {
        let (received, sent) = kernel_bytes(pod);
        [(key(pod, "receive"), received), (key(pod, "transmit"), sent)]
    };
    let kernel: BTreeMap<_, _> = scene.pods.iter().flat_map(totals).collect();
    assert!(scene.pods.iter().all(|pod| kernel[&key(pod, "transmit")] >= 2300), "{kernel:?}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
    receiver.pod_bytes(|bytes| *bytes == kernel);
}

fn key(pod: &Pod, direction: &str) -> (String, String) {
    (pod.uid(), direction.to_owned())
}

fn address_in_use_is_one_line() {
    let scene = Scene::new();
    let _taken = TcpListener::bind(ADMIN).unwrap();
    let cni = scene.cni.display().to_string();
    let output = command(&["run", "--cni-cache-dir", &cni, "--log-level", "error"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains(ADMIN) && said.contains("--admin-address"), "{said}");
}

/// As with a systemd unit of `Type=notify`.
fn service_manager_is_notified_of_readiness() {
    let scene = Scene::new();
    let address = "/run/notify";
    let socket = UnixDatagram::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let received = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let cni = scene.cni.display().to_string();
    let mut command = command(&["run", "--cni-cache-dir", &cni]);
    command.env("NOTIFY_SOCKET", address);
    let running = Running::start(command, Listen::Errors);
    assert_eq!(received(), "READY=1");
    assert_eq!(get(ADMIN, "/readyz").0, "HTTP/1.1 200 OK");
    running.signal(Signal::SIGTERM);
    assert_eq!(received(), "STOPPING=1");
    assert_eq!(running.ended(), Some(0));
}

fn filter_is_reloaded_and_faults_are_refused() {
    let scene = Scene::new();
    let file = "/run/netns-agent.yaml";
    fs::write(file, "exclude-interfaces: [lo]\n").unwrap();
    let running = run(&scene, &["--config", file]);
    let named = |name: &str| get(ADMIN, "/v1/interfaces").1.matches(&format!(r#""name":"{name}","mac""#)).count();
    assert_eq!((named("eth0"), named("veth0")), (3, 1));
    fs::write(file, "exclude-interfaces: [lo, /^veth/]\n").unwrap();
    running.until(|line| line.contains("interface.deleted") && line.contains("veth2"));
    assert_eq!((named("eth0"), named("veth0")), (3, 0));
    fs::write(file, "exclude-interfaces: [lo\n").unwrap();
    running.until(|line| line.contains("config.refused"));
    running.signal(Signal::SIGHUP);
    running.until(|line| line.contains("config.refused"));
    assert_eq!((named("eth0"), named("veth0")), (3, 0));
}

/// A pod's traffic is reported once by default, and lookups find everything under each filter.
fn host_ends_and_namespaces_leave_metrics() {
    let scene = Scene::new();
    let file = "/run/netns-agent.yaml";
    fs::write(file, "exclude-host-ends: metrics\n").unwrap();
    let running = run(&scene, &["--config", file]);
    let has = |path: &str, text: &str| get(ADMIN, path).1.contains(text);
    let in_metrics = |name: &str| has("/metrics", &format!(r#"network_interface_name="{name}""#));
    let is_listed = |name: &str| has("/v1/interfaces", &format!(r#""name":"{name}","mac""#));
    assert!(in_metrics("eth0") && !in_metrics("veth0") && is_listed("veth0"));
    let reload = |text: &str| {
        fs::write(file, text).unwrap();
        running.until(|line| line.contains("config.reloaded"));
    };
    reload("exclude-host-ends: false\n");
    assert!(in_metrics("eth0") && in_metrics("veth0") && is_listed("veth0"));
    reload(&format!("exclude-host-ends: true\nexclude-netns: [{}]\n", scene.pods[0].netns.name()));
    assert!(in_metrics("eth0") && !in_metrics("veth0") && !is_listed("veth0"));
    let [hidden, shown] =
        [0, 1].map(|number: usize| format!(r#""netns":{{"name":"{}""#, scene.pods[number].netns.name()));
    assert!(!has("/v1/interfaces", &hidden) && has("/v1/interfaces", &shown));
    assert!(has(&format!("/v1/lookup?ifindex=2&netns={}", scene.pods[0].netns.name()), &hidden));
    let of_pod = |name: &str| has("/metrics", &format!(r#"k8s_pod_name="{name}""#));
    reload("exclude-owner: [default/web-1]\n");
    assert_eq!((of_pod("web-0"), of_pod("web-1"), of_pod("db-0")), (true, false, true));
    assert!(!has("/v1/interfaces", &shown), "web-1 is in no output");
    assert!(has(&format!("/v1/lookup?ifindex=2&netns={}", scene.pods[1].netns.name()), r#""name":"web-1""#));
    reload("include-owner: [/^default.web-1$/]\n");
    assert_eq!((of_pod("web-0"), of_pod("web-1"), of_pod("db-0")), (false, true, false));
}

fn foreign_files_and_restart_settings_at_reload() {
    let scene = Scene::new();
    let dir = "/run/netns-agent.d";
    fs::create_dir(dir).unwrap();
    let file = format!("{dir}/config.yaml");
    let target = "/run/target.yaml";
    fs::write(target, "exclude-interfaces: [lo]\n").unwrap();
    fs::write(&file, "exclude-interfaces: [lo]\n").unwrap();
    let running = run(&scene, &["--config", &file]);
    // The file becomes a link with the same content.
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(target, &file).unwrap();
    for number in 0..5 {
        fs::write(format!("{dir}/foreign-{number}"), "x").unwrap();
    }
    // A change of the link's target is followed.
    fs::write(target, "exclude-interfaces: [lo]\nexport-interval: 7s\n").unwrap();
    let lines = running.until(|line| line.contains("config.restart_needed"));
    assert!(lines.last().unwrap().contains("\"settings\":\"export-interval\""), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("config.reloaded")).count(), 1, "{lines:?}");
    // Many signals at once are one reload.
    for _ in 0..50 {
        running.signal(Signal::SIGHUP);
    }
    running.until(|line| line.contains("config.reloaded"));
    fs::write(target, "exclude-interfaces: [lo]\nexport-interval: 8s\nlisten: poll\n").unwrap();
    let lines = running.until(|line| line.contains("listen, export-interval"));
    let reloads = lines.iter().filter(|line| line.contains("config.reloaded")).count();
    assert!(reloads <= 2, "{reloads} more reloads");
}

/// Whether a signal in one of the masks of /proc/PID/status, see proc_pid_status(5).
fn has_signal(status: &str, mask: &str, signal: Signal) -> bool {
    let bits = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap().trim();
    u64::from_str_radix(bits, 16).unwrap() & (1 << (signal as u32 - 1)) != 0
}

/// SIGHUP is blocked before anything else and from then on either blocked or caught.
fn sighup_during_the_start_is_survived() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let arguments = ["run", "--log-format", "json", "--cni-cache-dir", &cni];
    let running = Running::start(command(&arguments), Listen::Errors);
    let status = || fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let safe =
        |status: &str| has_signal(status, "SigBlk:", Signal::SIGHUP) || has_signal(status, "SigCgt:", Signal::SIGHUP);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !safe(&status()) {
        assert!(Instant::now() < deadline, "SIGHUP is never blocked");
    }
    for _ in 0..100 {
        running.signal(Signal::SIGHUP);
        assert!(safe(&status()));
    }
    running.until(|line| line.contains("config.reloaded"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
}

fn hanging_receiver_is_given_up_with_success() {
    let scene = Scene::new();
    // The kernel accepts connections, but nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let otlp = ["--otlp-endpoint", &endpoint, "--otlp-protocol", "grpc", "--export-interval", "1h"];
    let running = run(&scene, &[&otlp[..], &["--shutdown-grace", "1s"]].concat());
    running.signal(Signal::SIGTERM);
    let lines = running.until(|line| line.contains("export.last_export_lost"));
    assert!(lines.last().unwrap().contains("did not answer"), "{lines:?}");
    assert_eq!(running.ended(), Some(0));
    let running = run(&scene, &[&otlp[..], &["--shutdown-grace", "1h"]].concat());
    running.signal(Signal::SIGTERM);
    running.until(|line| line.contains("agent.stopping"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0), "a second signal ends the wait");
}

/// A pod with CAP_NET_ADMIN can change its links as fast as the kernel allows.
fn hostile_pod_cannot_fill_the_log() {
    let scene = Scene::new();
    let running = run(&scene, &["--log-level", "debug"]);
    let start = Instant::now();
    scene.pods[0].netns.inside(|| {
        let ip = |arguments: &[&str]| std::process::Command::new("ip").args(arguments).status().unwrap();
        for _ in 0..60 {
            ip(&["link", "set", "eth0", "mtu", "1400"]);
            ip(&["link", "set", "eth0", "mtu", "1401"]);
            ip(&["link", "add", "evil0", "type", "bridge"]);
            ip(&["link", "del", "evil0"]);
        }
    });
    // The host's own interfaces are not limited with the pod's.
    let marker = ["link", "add", "marker0", "type", "bridge"];
    assert!(std::process::Command::new("ip").args(marker).status().unwrap().success());
    let lines = running.until(|line| line.contains("interface.added") && line.contains("marker0"));
    let about_interfaces = lines.iter().filter(|line| line.contains("\"event.name\":\"interface.")).count();
    let minutes = 1 + start.elapsed().as_secs() / 60;
    assert!((1..=26 * minutes as usize).contains(&about_interfaces), "{about_interfaces} lines in {minutes} minutes");
}

fn secrets_are_not_printed() {
    let scene = Scene::new();
    let endpoint = "http://me:TOKEN@127.0.0.1:1/v1?key=TOKEN";
    let cni = scene.cni.display().to_string();
    let arguments = ["run", "--log-format", "json", "--cni-cache-dir", &cni, "--otlp-endpoint", endpoint];
    let running = Running::start(command(&arguments), Listen::Errors);
    let mut lines = running.until(|line| line.contains("\"event.name\":\"agent.synced\""));
    running.signal(Signal::SIGTERM);
    lines.extend(running.until(|line| line.contains("agent.stopping")));
    let start = lines.iter().find(|line| line.contains("export.enabled")).unwrap();
    assert!(start.contains("http://***@127.0.0.1:1/"), "{start}");
    let doctor = command(&["doctor", "--otlp-endpoint", endpoint]).output().unwrap();
    let refused = command(&["doctor"]).env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=TOKEN,TOKEN").output().unwrap();
    fs::write("/run/secret.yaml", "otlp-headers: \"api-key=TOKEN\n: [").unwrap();
    let check = command(&["config", "check", "--config", "/run/secret.yaml"]).output().unwrap();
    assert_eq!((refused.status.code(), check.status.code()), (Some(2), Some(2)));
    for output in [doctor, refused, check] {
        lines.extend([output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()));
    }
    assert!(lines.iter().all(|line| !line.contains("TOKEN")), "{lines:#?}");
}

/// All programs of root on a node share `fs.inotify.max_user_instances`.
fn two_inotify_instances_are_enough() {
    let scene = Scene::new();
    let file = "/run/netns-agent.yaml";
    fs::write(file, "exclude-interfaces: [lo]\n").unwrap();
    let directories = ["/run/more-results", "/run/containers"];
    let running =
        run(&scene, &["--config", file, "--cni-cache-dir", directories[0], "--container-dir", directories[1]]);
    let files = fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    let links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    assert_eq!(links.filter(|link| link.to_str() == Some("anon_inode:inotify")).count(), 2);
}
